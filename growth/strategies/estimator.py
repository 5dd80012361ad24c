"""How fast would this network learn that task? An estimate from two signatures, and a choice.

The adaptation rate integral of a network with weights theta on a task tau is the mean accuracy
over its first T updates, ``psi(theta, tau, T) = 1 - mean_{t < T} error(theta_t)``, T being the
same for all; with T = 0 it is the accuracy as it is. A small regression network estimates it
from a signature of theta (what it says to fixed noise), one of tau (its exemplars' means), and
whether T is 0.

Source: the paper that `ari` corrects. To tell T = 0 apart is ours: choosing what to serve with
is another question than choosing what to train.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from growth.layered import Layered
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Estimator", "coverage", "rate_integral"]

PROBES, DIMENSIONS = 8, 8
"""Noise samples of a network's signature; numbers for each label of a task's."""

BATCH = 250


def rate_integral(hits: Sequence[float], steps: int) -> float:
    """Mean accuracy of the first `steps` updates.

    Raises
    ------
    MosaicError
        If there were fewer: integrals over other times cannot be compared.

    Examples
    --------
    >>> rate_integral([0.5, 0.75, 1.0, 1.0], 2)
    0.625
    """
    if len(hits) < steps:
        raise MosaicError(
            f"horizon is {steps} updates, but training on this task makes {len(hits)}; set "
            "options.horizon to that or less, or train for more epochs."
        )
    return sum(hits[:steps]) / steps


def coverage(values: Tensor, most: int, least_gain: float) -> list[int]:
    """Choose members that serve every task well together: greedy facility location.

    Maximises ``sum over tasks of max over chosen of values``, which needs one good member for
    each task. (A plain sum over members keeps generalists and drops the only specialist.)

    Parameters
    ----------
    values : Tensor, (members, tasks)
    most : int
    least_gain : float
        Stop where the next member adds no more than this to the sum. The first is kept.

    Returns
    -------
    list of int, in the order of choice; of equal ones the first

    References
    ----------
    Nemhauser, Wolsey and Fisher, Mathematical Programming 14, 1978: at least 63 % of the best.

    Examples
    --------
    >>> coverage(torch.tensor([[0.6, 0.6], [0.9, 0.0], [0.0, 0.9]]), 3, 0.0)
    [0, 1, 2]
    """
    chosen: list[int] = []
    covered = torch.zeros(values.shape[1], dtype=values.dtype)
    for _ in range(min(most, len(values))):
        gains = (values - covered).clamp(min=0).sum(1)
        best = int(gains.argmax())
        if chosen and not gains[best] > least_gain:
            break
        chosen.append(best)
        covered = torch.maximum(covered, values[best])
    return chosen


class Estimator:
    """Estimates adaptation rate integrals of networks on tasks.

    Parameters
    ----------
    inputs, labels : int
        Of the stream.
    generator : torch.Generator
    """

    def __init__(self, inputs: int, labels: int, generator: torch.Generator) -> None:
        self.labels = labels
        loudness = torch.rand(PROBES, 1, generator=generator)
        self.probes = torch.rand(PROBES, inputs, generator=generator) * loudness
        self.project = (
            torch.randn(inputs, DIMENSIONS, generator=generator) / inputs**0.5 * 4
        )
        sizes = [PROBES * labels + DIMENSIONS * labels + 1, 100, 100, 1]
        self.net = Layered(sizes, leak=1.0, spiking=False, generator=generator)
        self.fitted = False

    @staticmethod
    def of_outputs(outputs: Tensor) -> Tensor:
        """Signature of a network from its summed outputs on `probes`, (probes, labels)."""
        return outputs.softmax(1).flatten()

    def of_task(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Signature of a task from some samples: a projected mean of each label, or zeros."""
        still = inputs.float().mean(1) if inputs.ndim == 3 else inputs.float()
        signature = torch.zeros(self.labels, DIMENSIONS)
        for label in labels.unique():
            signature[label] = still[labels == label].mean(0) @ self.project
        return signature.flatten()

    def rows(self, networks: Tensor, tasks: Tensor, trained: bool) -> Tensor:
        """Input rows of every pair, (networks * tasks, signature), tasks running fastest."""
        first = networks.repeat_interleave(len(tasks), 0)
        second = tasks.repeat(len(networks), 1)
        flag = torch.full((len(first), 1), float(trained))
        return torch.cat([first, second, flag], 1)

    @torch.no_grad()
    def estimate(self, networks: Tensor, tasks: Tensor, trained: bool) -> Tensor:
        """Estimated integrals, (networks, tasks), of signatures; with T = 0 unless `trained`."""
        found = self.net(self.rows(networks, tasks, trained)[None])[0]
        return found.view(len(networks), len(tasks))

    def fit(
        self, rows: Tensor, values: Tensor, epochs: int, generator: torch.Generator
    ) -> float:
        """Fit by least squares, from where the last fit ended; return the last loss."""
        optimiser = torch.optim.Adam(self.net.parameters(), 1e-3)
        last = 0.0
        for _ in range(epochs):
            order, last = torch.randperm(len(rows), generator=generator), 0.0
            for part in order.split(BATCH):
                optimiser.zero_grad()
                found = self.net(rows[part][None])[0, :, 0]
                loss = (found - values[part]).square().mean()
                loss.backward()
                optimiser.step()
                last += float(loss.detach()) * len(part) / len(rows)
        self.fitted = True
        return last

"""What new neurons at a site could learn first: the matrix M, and what seeded neurons answer.

M is the gradient of an auxiliary layer of zeros, from what the sources read to what the targets
give, past everything in between (Evci et al., arXiv:2201.05125, section 3.2). Here it is exact
for convolutions of any stride, padding and dilation, since the auxiliary layer is unfolded, and
for spiking neurons, since what lies between is a linear filter for a neuron at rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from growth.initialise.layout import delayed, outer, unfolded
from growth.initialise.rest import at_rest, cell_trace
from growth.initialise.site import Loss, Parts, Record, Site, observe, parts_of
from mosaic_sim.errors import MosaicError

__all__ = ["Statistics", "expected_gain", "measure", "rank_of", "spiking_matrix"]

RELATIVE_RANK = {torch.float32: 1e-5, torch.float64: 1e-10}
"""A singular value counts as 0 below this share of the largest: rounding of the sums."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """What a loss told about a site; from `measure`.

    Parameters
    ----------
    model : nn.Module
    site : Site
    losses : tuple of callables
        One for each batch.
    record : Record
        Inputs and errors of all batches, side by side as samples.
    """

    model: nn.Module
    site: Site
    losses: tuple[Loss, ...]
    record: Record

    @cached_property
    def parts(self) -> Parts:
        """The modules of the site."""
        return parts_of(self.model, self.site)

    @cached_property
    def matrix(self) -> Tensor:
        """M, (rows of the targets, columns of the sources), with all slopes at rest.

        The gradient on the incoming weights of a neuron that starts with incoming weights 0
        and outgoing weights Omega is ``Omega^T M``. Rows run over the targets, their outputs
        and the positions of their kernels; columns over the sources and what each reads.

        Raises
        ------
        MosaicError
            If neurons at rest would not learn here, or not be silent, with advice.
        """
        return self._assemble(slopes=True)

    @cached_property
    def directions(self) -> Tensor:
        """M without slopes: what the sources' traces and the errors have in common.

        It needs no slope at rest, so it exists behind a ReLU and a steep surrogate, too.
        """
        return self._assemble(slopes=False)

    @cached_property
    def mean_input(self) -> Tensor:
        """Mean over steps, samples and positions of what drives a neuron at rest, (columns,)."""
        columns = self._columns(slopes=False)
        return columns.movedim(2, 0).flatten(1).mean(1)

    @property
    def singular(self) -> Tensor:
        """Singular values of M, largest first."""
        return torch.linalg.svdvals(self.matrix)

    @property
    def rank(self) -> int:
        """Number of singular values that are not rounding."""
        return rank_of(self.matrix)

    def _columns(self, *, slopes: bool) -> Tensor:
        reads = [
            unfolded(module, series)
            for module, series in zip(
                self.parts.sources.values(), self.record.inputs, strict=True
            )
        ]
        between = list(self.parts.between.values())
        return at_rest(between, torch.cat(reads, dim=2), slopes=slopes)

    def _assemble(self, *, slopes: bool) -> Tensor:
        columns = self._columns(slopes=slopes)
        rows = [
            outer(module, delta, delayed(columns, delay))
            for module, delta, delay in zip(
                self.parts.targets.values(),
                self.record.errors,
                self.parts.delays,
                strict=True,
            )
        ]
        return torch.cat(rows)


def measure(model: nn.Module, site: Site, loss: Loss | Sequence[Loss]) -> Statistics:
    """Measure what new neurons at a site could contribute.

    Parameters
    ----------
    model : nn.Module
        Run, but left as it was.
    site : Site
    loss : callable, or several
        Runs the model it is given on a batch and returns the mean loss. Of several, the mean
        is measured.

    Returns
    -------
    Statistics
        Nothing is decided here: `growth.initialise.INITIALISATIONS` turn it into weights.

    Raises
    ------
    MosaicError
        If the site does not exist or cannot grow, or if the loss has diverged.

    Examples
    --------
    >>> from growth.initialise import sites_of
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> found = measure(net, sites_of(net)[0], lambda net: net(torch.eye(3)).square().mean())
    >>> found.matrix.shape
    torch.Size([2, 3])
    """
    losses = tuple(loss) if isinstance(loss, Sequence) else (loss,)
    if not losses:
        raise MosaicError("measure needs at least one loss.")
    records = [observe(model, site, each) for each in losses]
    share = 1 / len(records)
    return Statistics(
        model, site, losses,
        Record(
            share * sum(record.loss for record in records),
            tuple(torch.cat(each, 1) for each in zip(*(r.inputs for r in records), strict=True)),
            tuple(
                share * torch.cat(each, 1)
                for each in zip(*(r.errors for r in records), strict=True)
            ),
        ),
    )  # fmt: skip


def spiking_matrix(
    errors: Tensor, inputs: Tensor, cell: nn.Module,
    *, into: int | Tensor = 0, out: int | Tensor = 0,
) -> Tensor:  # fmt: skip
    """M of a spiking neuron from recorded series, with delays of its own on every synapse.

    ``M[i, j] = g0 sum over t of errors[t + out_i, i] trace[t - into_j, j]``

    Parameters
    ----------
    errors : (steps, samples, post)
        Derivative of the loss by the input currents of the neurons that the new one reaches.
    inputs : (steps, samples, pre)
        Spikes of the neurons that it can read.
    cell : snntorch.Leaky, Synaptic or RLeaky
        What the new neuron is.
    into, out : int or int tensor, (pre,) or (post,)
        Steps from a source to the new neuron, and from it to a target.

    Returns
    -------
    Tensor, (post, pre)

    Raises
    ------
    MosaicError
        If the cell's surrogate vanishes at rest, or a delay is negative.

    Examples
    --------
    >>> import snntorch
    >>> spike = torch.zeros(4, 1, 1)
    >>> spike[0] = 1
    >>> cell = snntorch.Leaky(beta=0.5)
    >>> spiking_matrix(spike.flip(0), spike, cell, into=1) / spiking_matrix(spike, spike, cell)
    tensor([[0.2500]])
    """
    read = cell_trace(cell, delayed(inputs, into))
    return torch.einsum("tbo,tbi->oi", delayed(errors, out, ahead=True), read)


def rank_of(matrix: Tensor) -> int:
    """Singular values above 1e-5 (float32) or 1e-10 (float64) of the largest."""
    singular = torch.linalg.svdvals(matrix)
    return int((singular > RELATIVE_RANK[matrix.dtype] * singular[:1]).sum())


def expected_gain(matrix: Tensor, neurons: int) -> float:
    """Gradient norm of GradMax over the root mean square of Gaussian columns as long.

    ``gain^2 = (sum_{i<=k} sigma_i^2 / k) / (|M|_F^2 / rows) <= rows / k``: with as many new
    neurons as the next layer has, GradMax cannot differ from random.

    Examples
    --------
    >>> expected_gain(torch.diag(torch.tensor([2.0, 0.0])), 1) ** 2
    2.0
    """
    squares = torch.linalg.svdvals(matrix.double()).square()
    best = squares[:neurons].sum() / neurons
    return float((best / (squares.sum() / matrix.shape[0])).sqrt())

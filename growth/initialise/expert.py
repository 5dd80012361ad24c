"""How new hidden neurons of an expert start: GradMax, or one of what it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from growth.initialise.need import gradmax
from growth.sequence import leaky
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from torch import Tensor

    from growth.initialise.need import Need

__all__ = ["How", "start"]

How = Literal["gradmax", "gaussian", "uniform", "seeded"]

DOUBLINGS, HALVINGS = 24, 16


def start(
    how: How, need: Need, reads: Tensor, neurons: int, norm: float, *,
    generator: torch.Generator, spikes: Tensor, leak: float, rate: float = 0.2,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Weights of new hidden neurons, of which one side is 0: the answer does not change.

    ``gradmax``: incoming 0, outgoing columns as `gradmax` has them. ``gaussian``, ``uniform``: the
    same with columns drawn from a Gaussian, or from [0, 1) as GradMax's released code does, all
    of length `norm`. ``seeded``: outgoing 0, incoming the right singular vectors of the need, at
    the length at which each fires in a share `rate` of the steps, with the sign that fires.

    Parameters
    ----------
    how : str
    need : Need
    reads : bool tensor, (inputs,)
        Lines that the neurons read; all other incoming weights are 0.
    neurons : int
    norm : float
        Length of each outgoing column, in all but ``seeded``.
    generator : torch.Generator
    spikes : (steps, samples, inputs)
        What ``seeded`` neurons are brought to their rate on.
    leak : float
    rate : float

    Returns
    -------
    incoming : (neurons, inputs)
    outgoing : (classes, neurons)

    Raises
    ------
    MosaicError
        If there are fewer directions than neurons, or a seeded neuron never fires.

    References
    ----------
    Evci et al., "GradMax", ICLR 2022; its released code draws from U[0, 1).
    """
    matrix = need.matrix * reads
    incoming, outgoing, _ = gradmax(matrix, neurons, norm, need.toward)
    if how == "seeded":
        _, _, right = torch.linalg.svd(matrix, full_matrices=False)
        rows = right[:neurons] * reads  # exactly 0 elsewhere
        rows = torch.where((rows @ need.toward)[:, None] >= 0, rows, -rows)
        return at_rate(rows, spikes, leak, rate), torch.zeros_like(outgoing)
    if how != "gradmax":
        draw = torch.randn if how == "gaussian" else torch.rand
        drawn = draw(outgoing.shape, generator=generator, dtype=outgoing.dtype)
        outgoing = norm * drawn / drawn.norm(dim=0)
    return incoming, outgoing


def at_rate(rows: Tensor, spikes: Tensor, leak: float, rate: float) -> Tensor:
    """Bring incoming weights, (neurons, inputs), to the length at which they fire at a rate.

    Raises
    ------
    MosaicError
        If a neuron fires at no length.
    """

    def fires(length: Tensor) -> Tensor:
        fired = leaky(spikes @ (rows * length[:, None]).T, leak)
        return fired.mean((0, 1))

    low, high = torch.zeros(len(rows)), torch.ones(len(rows))
    for _ in range(DOUBLINGS):
        few = fires(high) < rate
        if not bool(few.any()):
            break
        low, high = torch.where(few, high, low), torch.where(few, 2 * high, high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        few = fires(middle) < rate
        low, high = torch.where(few, middle, low), torch.where(few, high, middle)
    silent = int((fires(high) == 0).sum())
    if silent:
        raise MosaicError(
            f"{silent} of {len(rows)} seeded neurons fire at no length of their weights; use "
            '"gradmax".'
        )
    return rows * high[:, None]

"""Neurons by depth, as the kernels of the time loop want them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.program import Program

__all__ = ["ByDepth"]


class ByDepth(NamedTuple):
    """The neurons of a program, renumbered by depth: those of one depth are updated together.

    Attributes
    ----------
    order : int64 array, (n,)
        Real number of each.
    rank : int32 array, (n,)
        The inverse.
    moved : bool
        Whether any has another number.
    bounds : int64 array, (depths + 1,)
        First neuron of each depth.
    plain, traced, alike : bool array, (depths,)
        Whether the neurons of a depth need no more than leaky integration; have synaptic
        currents; share one leak and one threshold.
    neurons : tuple of array
        Leak, threshold, reset, current leak, gain and prompt, in the new order.
    depth : int32 array, (n,)
        In the new order.
    """

    order: NDArray[np.int64]
    rank: NDArray[np.int32]
    moved: bool
    bounds: NDArray[np.int64]
    plain: NDArray[np.bool_]
    traced: NDArray[np.bool_]
    alike: NDArray[np.bool_]
    neurons: tuple[NDArray[Any], ...]
    depth: NDArray[np.int32]

    @classmethod
    def of(cls, program: Program) -> ByDepth:
        """Sort the neurons of a program."""
        depth = program.depth
        moved = bool(np.any(np.diff(depth) < 0))
        order = np.argsort(depth, kind="stable") if moved else np.arange(depth.size)
        rank = np.empty(depth.size, np.int32)
        rank[order] = np.arange(depth.size)
        bounds = np.searchsorted(depth[order], np.arange(int(depth.max(initial=0)) + 2))
        own = tuple(
            getattr(program, name)[order]
            for name in ("leak", "threshold", "reset", "current_leak", "gain", "prompt")
        )
        leak, threshold, _, current_leak, gain, prompt = own
        special = (gain > 0) | prompt | (program.geometry.refractory_steps > 0)
        parts = [slice(a, b) for a, b in pairwise(bounds)]
        plain = np.array([not special[part].any() for part in parts])
        traced = np.array([bool(current_leak[part].any()) for part in parts])
        alike = ~traced & [
            bool((leak[part] == leak[part][:1]).all())
            and bool((threshold[part] == threshold[part][:1]).all())
            for part in parts
        ]
        return cls(order, rank, moved, bounds, plain, traced, alike, own, depth[order])

    @property
    def tables(self) -> tuple[NDArray[Any], ...]:
        """What the kernels take first."""
        return self.bounds, self.plain, self.traced, self.alike, self.order

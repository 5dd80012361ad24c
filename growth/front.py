"""A frozen layer in front of all experts: local neurons that see edges and lines.

Each neuron reads a small square of the image through a filter that never changes: two-dimensional
Gabor functions, at some orientations, as edges (odd) and as lines (even). A neuron reads few
pixels and fires seldom, so what all experts share costs few devices and few lines a tile. Nothing
is learnt or drawn, so nothing about the layer depends on a task or a seed.

Whoever learns behind the front is given rates: how often each of its neurons fired, as a share of
the steps, in the place of intensities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.blueprint import INPUTS, Blueprint, Connection, Population
from growth.encode import regular_rate
from growth.sequence import leaky
from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.config import FrontConfig

__all__ = ["FEATURES", "Front", "gabor", "make_front"]

FEATURES = "features"
"""Name of the population."""

AT_ONCE = 200
"""Samples whose spikes are held in memory together."""


def gabor(size: int, orientations: int, wave: float) -> NDArray[np.float64]:
    """Edges at angles over the full turn, then lines over half a turn.

    A sine (edges) or cosine (lines) of the given wave length under a Gaussian of standard
    deviation ``size / 4``; what is left of the mean is taken off under the same Gaussian, and
    each filter is brought to length 1.

    Parameters
    ----------
    size : int
        Pixels a side, odd.
    orientations : int
    wave : float, in pixels

    Returns
    -------
    float64 array, (2 * orientations, size, size)

    References
    ----------
    J. G. Daugman, "Uncertainty relation for resolution in space, spatial frequency, and
    orientation optimized by two-dimensional visual cortical filters", JOSA A 2, 1985.

    Examples
    --------
    >>> edge, _, line, _ = gabor(5, 2, 5.0)
    >>> bool(np.allclose(edge, -edge[:, ::-1])), bool(np.allclose(line, line[:, ::-1]))
    (True, True)
    """
    along = np.arange(size) - (size - 1) / 2
    y, x = np.meshgrid(along, along, indexing="ij")
    window = np.exp(-(x**2 + y**2) / (2 * (size / 4) ** 2))
    found = []
    for shape, turn in ((np.sin, 2 * np.pi), (np.cos, np.pi)):
        for angle in turn * np.arange(orientations) / orientations:
            across = x * np.cos(angle) + y * np.sin(angle)
            one = window * shape(2 * np.pi * across / wave)
            one -= window * one.sum() / window.sum()
            found.append(one / np.linalg.norm(one))
    return np.array(found)


@dataclass(frozen=True, eq=False)
class Front:
    """A frozen layer of spiking neurons that read the inputs.

    Parameters
    ----------
    weight : float32 array, (features, inputs)
        On the levels of a device.
    reads : bool array, (features, inputs)
        Where there are synapses.
    leak : float
    steps : int
        Of one inference.
    """

    weight: NDArray[np.float32]
    reads: NDArray[np.bool_]
    leak: float
    steps: int

    @property
    def size(self) -> int:
        """Neurons."""
        return len(self.weight)

    @torch.no_grad()
    def rates(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Share of the steps in which each neuron fires, (samples, features)."""
        weight = torch.from_numpy(self.weight.T.copy())
        found = np.empty((len(inputs), self.size), np.float32)
        for start in range(0, len(inputs), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            spikes = regular_rate(inputs[part], self.steps).transpose(1, 0, 2)
            given = torch.from_numpy(np.ascontiguousarray(spikes, np.float32))
            found[part] = leaky(given @ weight, self.leak).sum(0).numpy() / self.steps
        return found

    def before(self, blueprint: Blueprint) -> Blueprint:
        """Put the layer in front of a network whose inputs are its neurons.

        Its neurons are born first; all others come after them.
        """
        features = Population(FEATURES, np.arange(self.size), self.leak)
        later = tuple(
            replace(p, births=p.births + self.size) for p in blueprint.populations
        )
        rewired = tuple(
            replace(c, source=FEATURES) if c.source == INPUTS else c
            for c in blueprint.connections
        )
        reading = Connection(INPUTS, FEATURES, self.weight, self.reads)
        return Blueprint(self.weight.shape[1], (features, *later), (reading, *rewired))


def make_front(
    config: FrontConfig, inputs: int, *, levels: int, leak: float, steps: int
) -> Front:
    """Build the front that a configuration describes, for square images.

    Neurons stand in order of the square that they read, row by row; the last plane of a square
    is the last to be read. A square that hangs over the edge is cut off there.

    Raises
    ------
    ConfigError
        If the inputs are no square images of so many planes, or `size` is even.

    Examples
    --------
    >>> from growth.config import FrontConfig
    >>> front = make_front(FrontConfig(kind="gabor"), 784, levels=16, leak=0.9, steps=25)
    >>> front.size, int(front.reads.sum(1).max())
    (784, 81)
    """
    side = round((inputs / config.planes) ** 0.5)
    if config.planes * side * side != inputs:
        raise ConfigError(
            f"front.kind is {config.kind!r}, for square images of front.planes = "
            f"{config.planes}, and there are {inputs} inputs; set front.planes, or "
            'front.kind = "none".'
        )
    if config.size % 2 == 0:
        raise ConfigError(f"front.size is {config.size}; it has to be odd.")
    filters = config.gain * gabor(config.size, config.orientations, config.wave)
    half, rows, there = config.size // 2, [], []
    for top in range(0, side, config.stride):
        for left in range(0, side, config.stride):
            for plane in range(config.planes):
                image = np.zeros((len(filters), config.planes, *2 * (side + 2 * half,)))
                mask = image[0] > 0
                square = np.s_[top : top + config.size, left : left + config.size]
                image[(np.s_[:], plane, *square)] = filters
                mask[(plane, *square)] = True
                inner = np.s_[..., half : half + side, half : half + side]
                rows.append(image[inner].reshape(len(filters), -1))
                there.append(np.tile(mask[inner].reshape(1, -1), (len(filters), 1)))
    weight, reads = np.concatenate(rows), np.concatenate(there)
    unit = np.abs(weight).max(1, keepdims=True) / (levels - 1)
    weight = np.round(weight / unit) * unit
    return Front(weight.astype(np.float32), reads, leak, steps)

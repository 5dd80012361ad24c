"""A recurrent network that is made like the chip: tiles of neurons, few lines between them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from growth.hardware.recurrent import recurrent_leaky
from growth.sequence import SLOPES
from mosaic_sim import Chip, Network, Placement
from mosaic_sim.connectivity import draw_reach
from mosaic_sim.errors import CapacityError, MosaicError, suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from growth.hardware.disturb import ReadNoise
    from growth.sequence import Surrogate

__all__ = ["PRESETS", "Activity", "TiledNetwork", "tiled_preset"]

FAR = 1e30
"""Threshold of a neuron that never fires. (Infinity times no spike would be no number.)"""

MOST = 1e9
"""Thresholds and gains end here, far from those of neurons that never fire."""

PRESETS: dict[str, dict[str, Any]] = {
    "8x8x32": {
        "rows": 8, "columns": 8, "neurons_per_tile": 32, "profile": None,
        "beta": math.exp(-1 / 45), "surrogate": "fast_sigmoid", "slope": 10.0,
    },
    "5x5x32": {
        "rows": 5, "columns": 5, "neurons_per_tile": 32, "profile": {1: 1.0, 3: 0.1},
        "beta": math.exp(-1 / 45), "surrogate": "fast_sigmoid", "slope": 10.0,
    },
}  # fmt: skip
"""Published topologies. "8x8x32", of Dalgaty et al. 2024, starts with all connections, and a
regulariser thins them out; "5x5x32", of Weber et al., arXiv:2412.01575, has a share of those over
1 and 3 hops (one of the settings that they swept). Neuron and surrogate: EIS-Hub/Mosaic."""


class Activity(NamedTuple):
    """What a tiled network did.

    Attributes
    ----------
    spikes, membranes : tensors, (steps, samples, neurons)
    output : tensor, (samples, outputs)
        Spike counts of the output neurons, or their membranes, in the mean over all steps.
    """

    spikes: Tensor
    membranes: Tensor
    output: Tensor


class TiledNetwork(nn.Module):
    """Leaky neurons in tiles: all to all inside a tile, single neurons to whole tiles between.

    The unit of connection is *neuron to tile*: once the line of a neuron reaches a tile, all
    synapses there come free. How many neurons reach how many tiles is a share for each distance
    in hops. Inputs enter the first tiles of the first row, an equal part each, and are connected
    to all neurons of their tile, which has no recurrent weights inside, as published. The last
    neurons of the last row are the outputs; they send to nobody. A spike is felt by recurrent
    synapses one step later, by input synapses at once; a step is that of `recurrent_leaky`.

    Neurons are numbered tile by tile, tiles row by row.

    Parameters
    ----------
    rows, columns, neurons_per_tile : int
    inputs, outputs : int
        Input channels, at most `neurons_per_tile` for each tile that they enter; output
        neurons, at most those of the last row.
    profile : mapping of int to float, or None
        Share of the pairs of neuron and tile that is connected, by hops, as in
        `mosaic_sim.connectivity.draw_reach`. None: all pairs.
    beta, threshold : float
        Of all neurons.
    input_tiles : int, optional
        Tiles of the first row that inputs enter; as few as hold them by default.
    readout : "spikes" or "membrane"
        Whether outputs fire and are counted, or integrate without firing.
    surrogate, slope
        As in `recurrent_leaky`.
    gain : float
        Standard deviation of the first weights, times the root of a neuron's synapses.
    seed : int
        Of connections and first weights.

    Attributes
    ----------
    incoming : Parameter, (neurons, inputs)
    recurrent : Parameter, (neurons, neurons)
        From column to row. Weights where no connection is are 0 and not used.
    reach : bool buffer, (neurons, tiles)
        Tiles in which each neuron has synapses.

    Raises
    ------
    MosaicError
        If a size, share or name is impossible.

    Examples
    --------
    >>> net = TiledNetwork(2, 2, 4, inputs=3, outputs=2, profile={1: 0.5}, seed=0)
    >>> net(torch.ones(5, 1, 3)).shape
    torch.Size([1, 2])
    >>> int(net.reach.sum(1).max()), net.neurons
    (3, 16)
    """

    crossbar = (("incoming",), ("recurrent",))
    read_noise: ReadNoise | None = None
    reach: Tensor
    beta: Tensor
    threshold: Tensor

    def __init__(
        self,
        rows: int,
        columns: int,
        neurons_per_tile: int,
        *,
        inputs: int,
        outputs: int,
        profile: Mapping[int, float] | None,
        beta: float = math.exp(-1 / 45),
        threshold: float = 1.0,
        input_tiles: int | None = None,
        readout: str = "spikes",
        surrogate: Surrogate = "fast_sigmoid",
        slope: float | None = None,
        gain: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        k = neurons_per_tile
        self.grid = Chip(rows, columns, k, k, k, k)
        entered = _entered_tiles(self.grid, inputs, outputs, input_tiles)
        _check_neurons(beta, threshold, gain, readout, surrogate)
        self.inputs, self.outputs, self.readout = inputs, outputs, readout
        self.surrogate, self.slope = surrogate, slope
        self.entry = np.arange(inputs) * entered // inputs
        levels = torch.full((self.neurons,), float(threshold))
        if readout == "membrane":
            levels[-outputs:] = FAR
        self.register_buffer("threshold", levels)
        self.register_buffer("beta", torch.full((self.neurons,), float(beta)))
        self.register_buffer("reach", torch.from_numpy(self._reach(profile, seed)))
        generator = torch.Generator().manual_seed(seed)
        self.incoming = nn.Parameter(torch.randn(self.neurons, inputs, generator=generator))
        self.recurrent = nn.Parameter(
            torch.randn(self.neurons, self.neurons, generator=generator)
        )
        fan_in = (self.input_mask.sum(1) + self.mask.sum(1)).clamp(min=1)
        with torch.no_grad():
            self.incoming.mul_(self.input_mask * (gain / fan_in.sqrt())[:, None])
            self.recurrent.mul_(self.mask * (gain / fan_in.sqrt())[:, None])

    def _reach(self, profile: Mapping[int, float] | None, seed: int) -> NDArray[np.bool_]:
        """Tiles that each neuron reaches at first, (neurons, tiles)."""
        hops = self.grid.tile_hops
        shares = (
            {int(d): 1.0 for d in np.unique(hops[hops > 0])} if profile is None else profile
        )
        reach = draw_reach(self.grid, shares, seed)
        reach[np.arange(self.neurons), self.tile.numpy()] = True
        reach[self.barred.numpy()] = False
        return reach

    # what is where --------------------------------------------------------------------

    @property
    def neurons(self) -> int:
        """All neurons, outputs included."""
        return self.grid.neurons

    @property
    def tile(self) -> Tensor:
        """Tile of each neuron, (neurons,)."""
        return torch.arange(self.neurons) // self.grid.neurons_per_tile

    @property
    def mask(self) -> Tensor:
        """Which recurrent weights exist, bool, (neurons, neurons), from column to row."""
        return self.reach.t().repeat_interleave(self.grid.neurons_per_tile, 0)

    @property
    def input_mask(self) -> Tensor:
        """Which input weights exist, bool, (neurons, inputs)."""
        return self.tile[:, None] == torch.from_numpy(self.entry)[None]

    @property
    def own(self) -> Tensor:
        """Pairs of a neuron and the tile it sits on, bool, (neurons, tiles)."""
        return self.tile[:, None] == torch.arange(self.grid.tiles)[None]

    @property
    def barred(self) -> Tensor:
        """Pairs that are never connected, bool, (neurons, tiles).

        Output neurons send to nobody; a tile that inputs enter has no weights inside.
        """
        entered = torch.zeros(self.grid.tiles, dtype=torch.bool)
        entered[torch.from_numpy(self.entry)] = True
        sends = torch.ones(self.neurons, dtype=torch.bool)
        sends[-self.outputs :] = False
        return ~sends[:, None] | (self.own & entered)

    @property
    def protected(self) -> Tensor:
        """Pairs that are never removed, bool, (neurons, tiles): the own tiles."""
        return self.own & ~self.barred

    @property
    def output_tiles(self) -> Tensor:
        """Whether each tile holds outputs, bool, (tiles,)."""
        held = torch.zeros(self.grid.tiles, dtype=torch.bool)
        held[self.tile[-self.outputs :]] = True
        return held

    # running --------------------------------------------------------------------------

    def forward(self, spikes: Tensor) -> Tensor:
        """Return `Activity.output` of input spikes, (steps, samples, inputs)."""
        return self.run(spikes).output

    def run(self, spikes: Tensor) -> Activity:
        """Run all steps of input spikes, (steps, samples, inputs), from rest.

        Raises
        ------
        MosaicError
            If `spikes` has another shape.
        """
        if spikes.ndim != 3 or spikes.shape[2] != self.inputs or not len(spikes):
            raise MosaicError(
                f"spikes has shape {tuple(spikes.shape)}; it needs (steps, samples, "
                f"{self.inputs})."
            )
        given = spikes.to(self.incoming.dtype)
        current = given @ (self.incoming * self.input_mask).t()
        noise = None
        if (reading := self.read_noise) is not None:
            power = reading.power
            current = current + reading.draw(given.square() @ power["incoming"].t())

            def noise(fired: Tensor) -> Tensor:
                return reading.draw(fired @ power["recurrent"].t())

        fired, membranes = recurrent_leaky(
            current, self.recurrent * self.mask, self.beta, self.threshold,
            surrogate=self.surrogate, slope=self.slope, noise=noise,
        )  # fmt: skip
        last = slice(self.neurons - self.outputs, self.neurons)
        output = (
            fired[..., last].sum(0)
            if self.readout == "spikes"
            else membranes[..., last].mean(0)
        )
        return Activity(fired, membranes, output)

    # onto the chip --------------------------------------------------------------------

    def to_network(self) -> Network:
        """Return the network for `mosaic_sim`, with a synapse for each weight that is not 0.

        Groups are ``hidden`` and ``outputs``. Inside a block of `growth.hardware.disturb` it has
        the disturbed weights and neurons.
        """
        weights = torch.cat(
            [self.incoming * self.input_mask, self.recurrent * self.mask], 1
        )
        values = weights.detach().numpy()
        target, source = np.nonzero(values)
        threshold = self.threshold.detach().numpy()
        end = self.neurons - self.outputs
        return Network.from_synapses(
            inputs=self.inputs, neurons=self.neurons, source=source, target=target,
            weight=values[target, source], delay=(source >= self.inputs).astype(np.int16),
            leak=self.beta.detach().numpy(),
            threshold=np.where(threshold < FAR / MOST, threshold, np.inf),
            groups={"hidden": np.arange(end), "outputs": np.arange(end, self.neurons)},
        )  # fmt: skip

    def placement(self, chip: Chip) -> Placement:
        """Return the placement that the tiles imply; inputs come in above their tile.

        Raises
        ------
        MosaicError
            If the chip has another grid.
        CapacityError
            If its tiles are too small, or ports too narrow.
        """
        grid = self.grid
        if (chip.rows, chip.columns) != (grid.rows, grid.columns):
            raise MosaicError(
                f"chip has {chip.rows} x {chip.columns} tiles; the network is made for "
                f"{grid.rows} x {grid.columns}."
            )
        k = grid.neurons_per_tile
        if chip.neurons_per_tile < k:
            raise CapacityError(
                f"The tiles of chip hold {chip.neurons_per_tile} neurons; the network has {k} in "
                "each."
            )
        most = int(np.bincount(self.entry).max())
        if most > chip.r1_lines:
            raise CapacityError(
                f"{most} inputs enter one tile; a port of chip has {chip.r1_lines} lines."
            )
        neuron = np.arange(self.neurons)
        return Placement(
            (neuron // k).astype(np.int32), (neuron % k).astype(np.int32),
            self.entry.astype(np.int32),
        )  # fmt: skip


def _entered_tiles(grid: Chip, inputs: int, outputs: int, input_tiles: int | None) -> int:
    """Return how many tiles inputs enter; refuse what the first and last row cannot take."""
    sizes = {"inputs": inputs, "outputs": outputs}
    if input_tiles is not None:
        sizes["input_tiles"] = input_tiles
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise MosaicError(f"{name} is {value!r}; it needs an integer of at least 1.")
    columns, k = grid.columns, grid.neurons_per_tile
    if input_tiles is None:
        input_tiles = -(-inputs // k)
    if input_tiles > min(columns, inputs) or inputs > input_tiles * k:
        raise MosaicError(
            f"{inputs} inputs do not enter {input_tiles} tiles of the first row, which has "
            f"{columns} tiles of {k}: from 1 to {k} enter each."
        )
    if outputs > columns * k:
        raise MosaicError(
            f"outputs is {outputs}; the last row has {columns} tiles of {k} neurons."
        )
    if grid.rows == 1 and outputs > (columns - input_tiles) * k:
        raise MosaicError(
            f"outputs is {outputs}, but in a single row only {columns - input_tiles} tiles "
            "are left beside those of the inputs; use more rows or columns."
        )
    return input_tiles


def _check_neurons(
    beta: float, threshold: float, gain: float, readout: str, surrogate: str
) -> None:
    """Refuse settings of neurons that are unknown or out of range."""
    if readout not in ("spikes", "membrane"):
        raise MosaicError(f"readout is {readout!r}; it needs 'spikes' or 'membrane'.")
    if surrogate not in SLOPES:
        raise MosaicError(
            f"surrogate is {surrogate!r}; it needs one of {', '.join(SLOPES)}."
        )
    for name, number, right, words in (
        ("beta", beta, 0 <= beta <= 1, "0 to 1"),
        (
            "threshold",
            threshold,
            0 < threshold <= MOST,
            f"a number above 0, up to {MOST:g}",
        ),
        ("gain", gain, 0 <= gain <= MOST, f"0 to {MOST:g}"),
    ):
        if not right:
            raise MosaicError(f"{name} is {number!r}; it needs {words}.")


def tiled_preset(name: str, *, inputs: int, outputs: int, **changes: Any) -> TiledNetwork:
    """Build a network of a published topology; `changes` are arguments of `TiledNetwork`.

    Raises
    ------
    MosaicError
        If there is none of that name.

    Examples
    --------
    >>> net = tiled_preset("5x5x32", inputs=4, outputs=2)
    >>> net.neurons, int(net.grid.tiles)
    (800, 25)
    """
    if name not in PRESETS:
        raise MosaicError(
            f"Unknown preset {name!r}.{suggest(name, PRESETS)} There are: {', '.join(PRESETS)}."
        )
    return TiledNetwork(
        **{**PRESETS[name], "inputs": inputs, "outputs": outputs, **changes}
    )

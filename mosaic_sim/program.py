"""The image of a chip: what to run, what each spike costs in events, what each device holds.

Routes are static wires, so everything that costs something is a fixed number per spike of its
source. `compile_program` writes these numbers down once; a run only counts spikes, and
`count_events` is an exact integer product of the two.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mosaic_sim.chip import Chip
from mosaic_sim.errors import MosaicError
from mosaic_sim.files import write_whole
from mosaic_sim.network import RESETS

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = [
    "EVENTS",
    "Program",
    "count_events",
    "device_count",
    "event_names",
    "largest_crossbar",
    "load_program",
    "save_program",
    "validate",
    "writes",
]

FORMAT = 1
"""Version of the file format of `save_program`."""

EVENTS = (
    "neuron spike",
    "neuron step",
    "line driven",
    "router column compared",
    "router HCS read",
    "router LCS read",
    "neuron tile step",
    "routing tile step",
    "hop",
)
"""Kinds of events; after these come ``device read, level l`` for each conductance level."""

SPIKE, STEP, DRIVEN, COMPARED, HCS, LCS, TILE_STEP, ROUTER_STEP, HOP = range(len(EVENTS))


class Program(NamedTuple):
    """Flat arrays, ready for the kernel and for a file.

    n neurons, s synapses; sources are inputs, bias line, neurons (see `Network`).

    Attributes
    ----------
    chip : int64 array, (6,)
        The fields of `Chip`.
    levels : int
        Conductance levels of a device.
    inputs, bias : int, bool
    offsets, target, weight, delay, order, leak, threshold, reset
        As in `Network`; `weight` is what the devices give.
    tile, slot : int32 array, (n,)
        Placement of the neurons.
    port : int32 array, (inputs and bias line,)
    event_offsets : int64 array, (sources + 1,)
        Events of source i are ``event_offsets[i]`` to ``event_offsets[i + 1]``.
    event_cell, event_kind, event_count : int32, int16, int32 arrays
        That many events of that kind (an index into `event_names`) in that cell per spike.
    powered : bool array, (cells,)
        Tiles in use: the others are switched off and do not leak.
    path : int64 array, (2,)
        Crossbar reads and routing-tile hops on the longest way that a spike can take within
        one step.
    device : int64 array, (d,), sorted
        Devices that hold a synapse or a connection: ``(cell * rows + row) * columns + column``
        with the largest crossbar of the chip; two a synapse, one a connection. Rows and the
        columns of a routing tile are ``side * lines + line`` with the most lines that a side
        has on this chip; after them come the feedback rows of a neuron tile, by slot, and the
        two columns of a neuron are ``2 * slot`` (positive) and ``2 * slot + 1``.
    level : uint8 array, (d,)
        Level of each; 1 is HCS in a routing tile.
    """

    chip: NDArray[np.int64]
    levels: int
    inputs: int
    bias: bool
    offsets: NDArray[np.int64]
    target: NDArray[np.int32]
    weight: NDArray[np.float32]
    delay: NDArray[np.int32]
    order: NDArray[np.int32]
    leak: NDArray[np.float32]
    threshold: NDArray[np.float32]
    reset: NDArray[np.int8]
    tile: NDArray[np.int32]
    slot: NDArray[np.int32]
    port: NDArray[np.int32]
    event_offsets: NDArray[np.int64]
    event_cell: NDArray[np.int32]
    event_kind: NDArray[np.int16]
    event_count: NDArray[np.int32]
    powered: NDArray[np.bool_]
    path: NDArray[np.int64]
    device: NDArray[np.int64]
    level: NDArray[np.uint8]

    @property
    def geometry(self) -> Chip:
        """The chip that the program is for."""
        return Chip(*(int(x) for x in self.chip))

    @property
    def first_neuron(self) -> int:
        """Source number of neuron 0."""
        return self.inputs + int(self.bias)

    @property
    def sources(self) -> int:
        """Input channels, bias line and neurons."""
        return self.first_neuron + self.leak.size


def event_names(levels: int) -> list[str]:
    """Names of all kinds of events on a chip whose devices have `levels` levels."""
    return [*EVENTS, *(f"device read, level {level}" for level in range(levels))]


def count_events(
    program: Program, spikes: NDArray[np.int64], sample_steps: int
) -> NDArray[np.int64]:
    """Count events from spike counts, exactly.

    Parameters
    ----------
    program : Program
    spikes : int64 array, (sources,)
        Spikes of each source, over any number of samples.
    sample_steps : int
        Samples times steps: how long the chip was on.

    Returns
    -------
    int64 array, (cells, kinds)
        Columns as in `event_names`.
    """
    chip = program.geometry
    if np.shape(spikes) != (program.sources,):
        raise MosaicError(
            f"spikes has shape {np.shape(spikes)}; it needs ({program.sources},), one count a "
            "source."
        )
    kinds = len(EVENTS) + program.levels
    per_event = np.repeat(spikes, np.diff(program.event_offsets)) * program.event_count
    counts = np.zeros((chip.cells, kinds), np.int64)
    np.add.at(counts, (program.event_cell, program.event_kind), per_event)
    is_tile = chip.kinds == "NT"
    cells = np.array([chip.tile_cell(t) for t in range(chip.tiles)])
    counts[cells, STEP] += np.bincount(program.tile, minlength=chip.tiles) * sample_steps
    counts[program.powered & is_tile, TILE_STEP] = sample_steps
    counts[program.powered & ~is_tile, ROUTER_STEP] = sample_steps
    return counts


def device_count(program: Program) -> dict[str, int]:
    """Devices that hold something, by kind of tile: pairs of synapses, and connections."""
    chip = program.geometry
    rows, columns = largest_crossbar(chip)
    kind = chip.kinds[program.device // (rows * columns)]
    return {name: int((kind == name).sum()) for name in ("NT", "R0", "R1")}


def writes(old: Program | None, new: Program) -> int:
    """Count the devices whose level differs between two images of the same chip.

    Devices in no image, and all devices of a blank chip (`old` None), are at level 0.

    Raises
    ------
    MosaicError
        If the programs are for different chips or have different levels.
    """
    if old is None:
        return int(np.count_nonzero(new.level))
    if not np.array_equal(old.chip, new.chip) or old.levels != new.levels:
        raise MosaicError(
            "writes needs two programs for the same chip and number of levels."
        )
    device = np.union1d(old.device, new.device)

    def levels(program: Program) -> NDArray[np.uint8]:
        full = np.zeros(device.size, np.uint8)
        full[np.searchsorted(device, program.device)] = program.level
        return full

    return int(np.count_nonzero(levels(old) != levels(new)))


def save_program(program: Program, path: Path | str) -> None:
    """Write `program` to one ``.npz``, whole or not at all.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    buffer = io.BytesIO()
    arrays = {name: np.asarray(value) for name, value in program._asdict().items()}
    np.savez_compressed(buffer, format=np.int64(FORMAT), **arrays)  # type: ignore[arg-type]
    write_whole(path, buffer.getvalue())


def load_program(path: Path | str) -> Program:
    """Read a program from a file of `save_program`.

    Raises
    ------
    MosaicError
        If the file is missing, damaged, no program, or of another format version.
    """
    if not Path(path).exists():
        raise MosaicError(f"There is no program file {str(path)!r}.")
    if not zipfile.is_zipfile(path):
        raise MosaicError(f"{str(path)!r} is not a program of mosaic_sim, or is cut short.")
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # numpy, zipfile and zlib each have their own for damage
        raise MosaicError(f"{str(path)!r} is not a readable program: {error}") from None
    foreign = MosaicError(f"{str(path)!r} is not a program of mosaic_sim.")
    if "format" not in arrays or arrays["format"].size != 1:
        raise foreign
    version = int(arrays.pop("format"))
    if version != FORMAT:
        raise MosaicError(
            f"{str(path)!r} has format {version}; this version reads format {FORMAT}."
        )
    scalars = {"levels": int, "inputs": int, "bias": bool}
    if set(arrays) != {*Program._fields} or any(arrays[name].size != 1 for name in scalars):
        raise foreign
    program = Program(
        **{n: scalars[n](a) if n in scalars else a for n, a in arrays.items()}
    )
    validate(program)
    return program


def validate(program: Program) -> None:
    """Refuse a program whose arrays do not fit together, so that the kernel can trust it.

    Raises
    ------
    MosaicError
    """

    def require(holds: bool | np.bool_, what: str) -> None:
        if not holds:
            raise MosaicError(f"Damaged program: {what}.")

    kinds = {"weight": "f", "leak": "f", "threshold": "f", "powered": "b"}
    for name, values in program._asdict().items():
        if name not in ("levels", "inputs", "bias"):
            require(values.ndim == 1, f"{name} is not a flat array")
            require(
                values.dtype.kind in kinds.get(name, "iu"), f"{name} holds {values.dtype}"
            )
    require(program.chip.size == 6, "chip has not six entries")
    require(program.path.size == 2, "path has not two entries")
    require(2 <= program.levels <= 256, "levels is not from 2 to 256")
    require(program.inputs >= 0, "inputs is negative")
    chip = program.geometry
    n, sources = program.leak.size, program.sources
    require(program.powered.size == chip.cells, "powered has not one entry a cell")
    require(program.port.size == program.first_neuron, "port has not one entry an input")
    for name in ("order", "threshold", "reset", "tile", "slot"):
        require(getattr(program, name).size == n, f"{name} has not one entry a neuron")
    for start, body in (("offsets", "target"), ("event_offsets", "event_cell")):
        offsets, size = getattr(program, start), getattr(program, body).size
        require(
            offsets.size == sources + 1, f"{start} has not one entry a source and one more"
        )
        require(
            offsets[0] == 0 and offsets[-1] == size and bool((np.diff(offsets) >= 0).all()),
            f"{start} does not rise from 0 to {size}",
        )

    def inside(name: str, end: int) -> None:
        values = getattr(program, name)
        require(
            not values.size or (values.min() >= 0 and values.max() < end),
            f"{name} leaves 0 to {end - 1}",
        )

    inside("target", n)
    inside("order", n)
    inside("tile", chip.tiles)
    inside("slot", chip.neurons_per_tile)
    inside("port", len(chip.port_sites))
    inside("event_cell", chip.cells)
    inside("event_kind", len(EVENTS) + program.levels)
    inside("level", program.levels)
    inside("reset", len(RESETS))
    inside("path", 1 << 62)
    inside("delay", 1 << 20)
    inside("event_count", 1 << 30)
    rows, columns = largest_crossbar(chip)
    inside("device", chip.cells * rows * columns)
    require(
        program.weight.size == program.target.size, "weight has not one entry a synapse"
    )
    require(program.delay.size == program.target.size, "delay has not one entry a synapse")
    require(program.event_kind.size == program.event_cell.size, "events are ragged")
    require(program.event_count.size == program.event_cell.size, "events are ragged")
    require(program.level.size == program.device.size, "level has not one entry a device")
    require(np.unique(program.order).size == n, "order is not a permutation")
    rank = np.argsort(program.order)
    source = np.repeat(np.arange(sources), np.diff(program.offsets)) - program.first_neuron
    inner = (source >= 0) & (program.delay == 0)
    require(
        bool((rank[source[inner]] < rank[program.target[inner]]).all()),
        "order puts a neuron before one that reaches it without delay",
    )
    place = program.tile * chip.neurons_per_tile + program.slot
    require(np.unique(place).size == n, "two neurons share a slot")
    require(bool((np.diff(program.device) > 0).all()), "device does not rise")
    require(bool(np.isfinite(program.weight).all()), "a weight is not finite")
    require(bool(((program.leak >= 0) & (program.leak <= 1)).all()), "leak leaves 0 to 1")
    firm = np.isfinite(program.threshold) & (program.threshold > 0)
    require(bool(firm.all()), "threshold is not finite and above 0")


def largest_crossbar(chip: Chip) -> tuple[int, int]:
    """(rows, columns) that no crossbar exceeds: numbers of devices are unique over the chip."""
    rows = 4 * max(chip.tile_lines, chip.r0_lines, chip.r1_lines) + chip.neurons_per_tile
    return rows, max(rows, 2 * chip.neurons_per_tile)

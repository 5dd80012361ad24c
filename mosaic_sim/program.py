"""The image of a chip: what to run, where everything sits, and which lines spikes take.

Routes are static wires, so everything that costs something is a fixed number per spike of its
source: `mosaic_sim.events` works it out from the image, a run only counts spikes.
"""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.chip import SIZES, Chip
from mosaic_sim.errors import MosaicError
from mosaic_sim.files import write_whole
from mosaic_sim.network import MOST_DELAY, NEURON_PARAMETERS, RESETS

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = ["EVENTS", "Program", "load_program", "save_program", "validate"]

FORMAT = 4
"""Version of the file format of `save_program`. 4: the chip says what of it is broken."""


@lru_cache(maxsize=16)
def _chip(*numbers: int) -> Chip:
    """One object for each geometry: a chip remembers its tables."""
    return Chip.from_integers(numbers)


EVENTS = (
    "input spike",
    "neuron spike",
    "neuron step",
    "line driven",
    "router column compared",
    "router HCS read",
    "router LCS read",
    "column sensed",
    "neuron tile step",
    "routing tile step",
    "hop",
    "neuron tile conductance beyond its levels [pS]",
    "router conductance beyond its states [pS]",
)
"""Kinds of events; after these come ``device read, level l`` for each conductance level."""


class Program(NamedTuple):
    """Flat arrays, ready for the kernels and for a file.

    n neurons, s synapses; sources are inputs, bias line, neurons (see `Network`).

    Attributes
    ----------
    chip : int64 array, (7,) or longer
        The fields of `Chip`, as `Chip.as_integers` lists them.
    levels : int
        Conductance levels of a device.
    inputs, bias : int, bool
    offsets, target, weight, delay, depth
        As in `Network`; `weight` is what the devices give.
    level : int16 array, (s,)
        Level of the device pair of each synapse; negative: of the device that subtracts.
    leak, threshold, reset, current_leak, gain, prompt
        As in `Network`.
    tile, slot : int32 array, (n,)
        Placement of the neurons.
    port, entry_line : int32 array, (inputs and bias line,)
        Where external sources enter.
    link_offsets, link_cell, link_side, link_line
        The routes, as in `mosaic_sim.route.Routing`.
    events : int64 array, (sources * kinds,)
        Events of one spike of each source, over the whole chip: kinds as in
        `mosaic_sim.events.event_names`.
    links : int64 array, (cells,)
        Links that leave each cell.
    path : int64 array, (2,)
        Crossbar reads and routing-tile hops on the longest way that a spike can take within
        one step.
    """

    chip: NDArray[np.int64]
    levels: int
    inputs: int
    bias: bool
    offsets: NDArray[np.int64]
    target: NDArray[np.int32]
    weight: NDArray[np.float32]
    delay: NDArray[np.int16]
    depth: NDArray[np.int32]
    level: NDArray[np.int16]
    leak: NDArray[np.float32]
    threshold: NDArray[np.float32]
    reset: NDArray[np.int8]
    current_leak: NDArray[np.float32]
    gain: NDArray[np.float32]
    prompt: NDArray[np.bool_]
    tile: NDArray[np.int32]
    slot: NDArray[np.int32]
    port: NDArray[np.int32]
    entry_line: NDArray[np.int32]
    link_offsets: NDArray[np.int64]
    link_cell: NDArray[np.int32]
    link_side: NDArray[np.int8]
    link_line: NDArray[np.int16]
    events: NDArray[np.int64]
    links: NDArray[np.int64]
    path: NDArray[np.int64]

    @property
    def geometry(self) -> Chip:
        """The chip that the program is for."""
        return _chip(*self.chip.tolist())

    @property
    def neurons(self) -> int:
        """Number of neurons, n."""
        return int(self.leak.size)

    @property
    def first_neuron(self) -> int:
        """Source number of neuron 0."""
        return self.inputs + int(self.bias)

    @property
    def sources(self) -> int:
        """Input channels, bias line and neurons."""
        return self.first_neuron + self.neurons


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
    if version not in (FORMAT - 1, FORMAT):  # before 4, nothing was broken
        raise MosaicError(
            f"{str(path)!r} has format {version}; this version reads formats "
            f"{FORMAT - 1} and {FORMAT}."
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
    """Refuse a program whose arrays do not fit together, so that the kernels can trust it.

    Raises
    ------
    MosaicError
    """

    def require(holds: bool | np.bool_, what: str) -> None:
        if not holds:
            raise MosaicError(f"Damaged program: {what}.")

    for name, kind in Program.__annotations__.items():
        if name in ("levels", "inputs", "bias"):
            continue
        values = getattr(program, name)
        require(values.ndim == 1, f"{name} is not a flat array")
        wanted = np.dtype(kind.__forward_arg__.split(".")[-1].strip("]"))
        require(values.dtype == wanted, f"{name} holds {values.dtype}, not {wanted}")
    require(program.chip.size >= SIZES, "chip has not seven entries or more")
    require(program.path.size == 2, "path has not two entries")
    require(2 <= program.levels <= 256, "levels is not from 2 to 256")
    require(program.inputs >= 0, "inputs is negative")
    chip = program.geometry
    n, sources, synapses = program.neurons, program.sources, program.target.size
    for names, size, each in (
        (("port", "entry_line"), program.first_neuron, "an input"),
        ((*NEURON_PARAMETERS, "depth", "tile", "slot"), n, "a neuron"),
        (("weight", "delay", "level"), synapses, "a synapse"),
        (("link_side", "link_line"), program.link_cell.size, "a link"),
        (("links",), chip.cells, "a cell"),
        (("offsets", "link_offsets"), sources + 1, "a source and one more"),
    ):
        for name in names:
            require(getattr(program, name).size == size, f"{name} has not one entry {each}")
    for start, size in (("offsets", synapses), ("link_offsets", program.link_cell.size)):
        offsets = getattr(program, start)
        require(
            offsets[0] == 0 and offsets[-1] == size and bool((np.diff(offsets) >= 0).all()),
            f"{start} does not rise from 0 to {size}",
        )
    for name, least, end in (
        ("target", 0, n),
        ("delay", 0, MOST_DELAY + 1),
        ("depth", 0, max(n, 1)),
        ("level", 1 - program.levels, program.levels),
        ("reset", 0, len(RESETS)),
        ("tile", 0, chip.tiles),
        ("slot", 0, chip.neurons_per_tile),
        ("port", 0, len(chip.port_sites)),
        ("entry_line", 0, chip.r1_lines),
        ("link_cell", 0, chip.cells),
        ("link_side", 0, 4),
        ("events", 0, 1 << 62),
        ("links", 0, 1 << 62),
        ("path", 0, 1 << 62),
    ):
        values = getattr(program, name)
        require(
            not values.size or (values.min() >= least and values.max() < end),
            f"{name} leaves {least} to {end - 1}",
        )
    require(
        program.events.size == sources * (len(EVENTS) + program.levels),
        "events has not one entry for each source and kind",
    )
    require(
        bool((chip.neighbours[program.link_cell, program.link_side] >= 0).all()),
        "a link leaves the chip",
    )
    lines = chip.wired[program.link_cell, program.link_side]
    require(
        bool(((program.link_line >= 0) & (program.link_line < lines)).all()),
        "link_line names a line that is not there",
    )
    if not chip.whole:
        require(bool(chip.slots[program.tile].all()), "a neuron is on a broken tile")
        require(
            not chip.line_broken(
                program.link_cell, program.link_side, program.link_line
            ).any(),
            "link_line names a broken line",
        )
    source = np.repeat(np.arange(sources), np.diff(program.offsets)) - program.first_neuron
    inner = (source >= 0) & (program.delay == 0)
    require(
        bool((program.depth[source[inner]] < program.depth[program.target[inner]]).all()),
        "depth does not rise along a synapse without delay",
    )
    fault, _ = _kernels.synapse_fault(
        program.offsets, program.target, program.weight, program.delay, n
    )
    require(fault != 2, "a weight is not finite")
    require(fault != 4, "two synapses join the same source and target")
    place = program.tile.astype(np.int64) * chip.neurons_per_tile + program.slot
    require(np.unique(place).size == n, "two neurons share a slot")
    for name in ("leak", "current_leak"):
        values = getattr(program, name)
        require(bool(((values >= 0) & (values <= 1)).all()), f"{name} leaves 0 to 1")
    require(
        bool((np.isfinite(program.gain) & (program.gain >= 0)).all()), "gain is below 0"
    )
    require(bool((program.threshold > 0).all()), "threshold is not above 0")

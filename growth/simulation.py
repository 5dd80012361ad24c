"""One network from a file, run on one chip: what ``mosaic simulate`` does.

Nothing here trains, and nothing here needs torch: the command is there in a second. `bridge` is
the other door to the simulator, for networks that learn.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim import (
    EFFECTS,
    Chip,
    CostReport,
    Device,
    Events,
    Fit,
    Network,
    Program,
    Recording,
    Routing,
    Technology,
    Writing,
    compile_program,
    fit,
    load_program,
    load_technology,
    place,
    price,
    route,
    sample_die,
    save_program,
    simulate,
    technology_preset,
    write_bill,
    writes,
)
from mosaic_sim.chipfile import chip_text, find_chip
from mosaic_sim.compare import CAVEAT, Comparison, compare
from mosaic_sim.cost import COMPONENTS, price_writes
from mosaic_sim.errors import MosaicError, suggest
from mosaic_sim.files import write_whole
from mosaic_sim.place import PLACERS
from mosaic_sim.platform import (
    Platform,
    is_platform,
    load_platform,
    platform_names,
    platform_preset,
)
from mosaic_sim.quantity import count_statuses, status_words
from mosaic_sim.route import ROUTERS
from mosaic_sim.technology import technology_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.spikes import Drive

__all__ = [
    "CAVEAT",
    "COMPONENTS",
    "EFFECTS",
    "Comparison",
    "CostReport",
    "Drive",
    "Events",
    "Fit",
    "Platform",
    "Program",
    "Recording",
    "Simulation",
    "Technology",
    "Writing",
    "bill",
    "chip_text",
    "compare",
    "count_statuses",
    "find_chip",
    "find_technology",
    "fit_file",
    "make_technology",
    "price",
    "price_writes",
    "put_on_chip",
    "read_labels",
    "read_network",
    "read_spikes",
    "routing_of",
    "sample_die",
    "save",
    "simulate",
    "simulate_file",
    "status_words",
    "technologies",
    "write_bill",
]

DT = 1e-4
"""Length of a step [s] if nothing else is said: that of the graphs of snnTorch."""

INPUT_NAMES = ("spikes", "time", "channel", "sample", "value", "steps", "samples")
"""Arrays that an input file may hold."""


@dataclass(frozen=True, eq=False)
class Simulation:
    """A network that was run on a chip, and its bill.

    Parameters
    ----------
    network, spikes : Path
        The files.
    notes : tuple of str
        What had to be assumed on the way.
    groups : mapping of str to int array
        Named sets of neurons; all of them in one where the file knows no names.
    program : Program
    places : (str, str), or None
        Names of the placer and router; None if the file was a program already.
    exact : bool
        Whether the weights are those of the file, not those that the devices give.
    recording : Recording
    report : CostReport
    """

    network: Path
    spikes: Path
    notes: tuple[str, ...]
    groups: Mapping[str, NDArray[np.int64]]
    program: Program
    places: tuple[str, str] | None
    exact: bool
    recording: Recording
    report: CostReport

    @property
    def writes(self) -> int:
        """Devices to program on an empty chip."""
        return writes(None, self.program)


def simulate_file(
    network: Path,
    spikes: Path,
    *,
    chip: str | None = None,
    technology: str = "rram-130nm",
    placer: str | None = None,
    router: str | None = None,
    effort: float | None = None,
    levels: int | None = None,
    exact: bool | None = None,
    reading: Mapping[str, Any] | None = None,
    raster: bool = False,
) -> Simulation:
    """Read a network and its input, put it on a chip, run it and price the run.

    Parameters
    ----------
    network : Path
        A NIR graph (``.nir``), or a program (``.npz``), which is on its chip already: then all
        that says how to get there has to be left out.
    spikes : Path
        See `read_spikes`.
    chip, technology : str
        A TOML file, or the name of a preset.
    placer, router : str, optional
        A name in `mosaic_sim.place.PLACERS`, `mosaic_sim.route.ROUTERS`; "multilevel" and
        "negotiated" by default.
    effort : float, optional
        How hard they search, see `mosaic_sim.place.Search`; 1 by default.
    levels : int, optional
        Conductance levels of a device.
    exact : bool, optional
        Compute with the weights as they are in the file.
    reading : mapping, optional
        Options of `mosaic_sim.interop.nir.from_nir`, where not None; dt is 1e-4 by default.
    raster : bool
        Keep every spike.

    Raises
    ------
    MosaicError
        If a file is missing or damaged, the network does not fit the chip, or the input does
        not fit the network.
    """
    priced = make_technology(technology)
    fed = read_spikes(spikes)
    options = {k: v for k, v in (reading or {}).items() if v is not None}
    notes: tuple[str, ...] = ()
    groups: Mapping[str, NDArray[np.int64]] = {}
    if network.suffix == ".npz":
        own = {
            "chip": chip, "placer": placer, "router": router, "effort": effort,
            "levels": levels,
        }  # fmt: skip
        unused = [name for name, value in (own | options).items() if value is not None]
        unused += ["exact"] if exact else []
        if unused:
            named_there = {"prompt": "reset-delay"}  # as the command calls it
            names = ", ".join(f"--{named_there.get(name, name)}" for name in unused)
            raise MosaicError(
                f"{network.name} is a program, which is on its chip already; leave out {names}."
            )
        program, places = load_program(network), None
    else:
        if chip is None:
            raise MosaicError(
                "A chip is needed: --chip with a TOML file or the name of a preset, such as "
                "--chip demo."
            )
        where = find_chip(chip)
        options = {"dt": DT} | options
        net, notes = read_network(network, options)
        device = Device(levels=16 if levels is None else levels, exact=bool(exact))
        program, places = put_on_chip(
            net, where, device, placer=placer, router=router,
            effort=1.0 if effort is None else effort,
        )  # fmt: skip
        groups = net.groups
        step, dt = priced["step_time"].value, options["dt"]
        if not np.isclose(step, dt):
            notes += (
                f"A step of the network is {dt:g} s, but the bill has steps of {step:g} s "
                f"(step_time of {priced.name}): static energy, speed and power depend on it.",
            )
    recording = simulate(program, fed, raster=raster)
    report = price(program, recording, priced)
    named = groups or {"neurons": np.arange(program.neurons)}
    return Simulation(
        network, spikes, notes, named, program, places, bool(exact), recording, report
    )


def fit_file(
    network: Path,
    *,
    spikes: Path | None = None,
    technology: str = "rram-130nm",
    tile_sizes: Sequence[int] | None = None,
    placer: str | None = None,
    router: str | None = None,
    reading: Mapping[str, Any] | None = None,
    **search: Any,
) -> tuple[Fit, tuple[str, ...]]:
    """Read a network and find the smallest chip for it: what ``mosaic fit`` does.

    Parameters
    ----------
    network : Path
        A NIR graph (``.nir``).
    spikes : Path, optional
        Input as for `read_spikes`; what the network spikes on it is what energy is worked out
        for. Without, every source spikes once in an inference of one step.
    technology, placer, router, reading
        As for `simulate_file`.
    tile_sizes, search
        As for `mosaic_sim.fit`.

    Returns
    -------
    Fit
    notes : tuple of str
        What had to be assumed to read the network.
    """
    priced = make_technology(technology)
    options = {"dt": DT} | {k: v for k, v in (reading or {}).items() if v is not None}
    net, notes = read_network(network, options)
    rates = None
    if spikes is not None:
        lines = max(net.sources, 1)
        chip = Chip(
            1, 1, max(net.neurons, 1), lines, lines, lines
        )  # counts ask for no chip
        program, _ = put_on_chip(net, chip, Device(), placer="in order")
        rates = simulate(program, read_spikes(spikes))
    if placer is not None:
        search["placer"] = _known("placer", placer, PLACERS)
    if router is not None:
        search["router"] = _known("router", router, ROUTERS)
    found = fit(net, rates=rates, technology=priced, tile_sizes=tile_sizes, **search)
    return found, notes


def read_network(path: Path, options: Mapping[str, Any]) -> tuple[Network, tuple[str, ...]]:
    """Read a NIR graph; return the network and what had to be assumed."""
    if path.suffix not in (".nir", ".h5", ".hdf5"):
        raise MosaicError(
            f"{path.name} is neither a NIR graph (.nir) nor a saved program (.npz)."
        )
    from mosaic_sim.interop.nir import from_nir  # late: programs do not need h5py

    read = from_nir(path, **options)
    return read.network, read.notes


def put_on_chip(
    network: Network,
    chip: Chip,
    device: Device,
    *,
    placer: str | None = None,
    router: str | None = None,
    effort: float = 1.0,
) -> tuple[Program, tuple[str, str]]:
    """Place, route and compile; return the program and the names of the placer and router."""
    places = (
        _known("placer", placer or "multilevel", PLACERS),
        _known("router", router or "negotiated", ROUTERS),
    )
    placement = place(network, chip, placer=places[0], effort=effort)
    routing = route(network, chip, placement, router=places[1], effort=effort)
    return compile_program(network, chip, placement, routing, device=device), places


def _known(kind: str, name: str, known: Mapping[str, Any]) -> str:
    plain = {key.replace("_", " "): key for key in known}
    written = name.replace("-", " ").replace("_", " ")
    if written not in plain:
        raise MosaicError(
            f"Unknown {kind} {name!r}.{suggest(written, known)} There are: {', '.join(known)}."
        )
    return plain[written]


def make_technology(name: str) -> Technology:
    """Return a preset by name, or read a technology file by path."""
    return (
        load_technology(name) if Path(name).suffix == ".toml" else technology_preset(name)
    )


def technologies() -> list[Technology | Platform]:
    """All technologies and platforms that come with the package."""
    return [
        *map(technology_preset, technology_names()),
        *map(platform_preset, platform_names()),
    ]


def find_technology(name: str) -> Technology | Platform:
    """Return a preset by name or read a file by path, of this chip or of another platform.

    Raises
    ------
    MosaicError
        If there is none of that name, or something in the file is wrong.
    """
    if Path(name).suffix == ".toml":
        return load_platform(name) if is_platform(name) else load_technology(name)
    if name in platform_names():
        return platform_preset(name)
    known = [*technology_names(), *platform_names()]
    if name not in known:
        raise MosaicError(
            f"Unknown technology {name!r}.{suggest(name, known)} There are: {', '.join(known)}; "
            "or give a .toml file."
        )
    return technology_preset(name)


def routing_of(program: Program) -> Routing:
    """Return the routes that a program holds, for its map."""
    return Routing(
        program.link_offsets,
        program.link_cell,
        program.link_side,
        program.link_line,
        program.entry_line,
    )


# --- input -------------------------------------------------------------------------------


def read_spikes(path: Path) -> NDArray[Any] | Events:
    """Read the input of a network from an ``.npz`` file.

    It holds either ``spikes``, (samples, steps, channels), with as many axes for the channels
    as you like; or the events ``time`` and ``channel`` with the number of ``steps``, and where
    they matter ``sample``, ``value`` (currents) and the number of ``samples``. Other arrays, such
    as labels, are left alone.

    Raises
    ------
    MosaicError
        If the file is missing or damaged, or does not hold either.
    """
    arrays = _arrays(path)
    for name in arrays.keys() - {*INPUT_NAMES}:
        if meant := suggest(name, INPUT_NAMES):
            raise MosaicError(f"{path.name} holds {name!r}.{meant}")
    events = [name for name in INPUT_NAMES[1:] if name in arrays]
    if "spikes" in arrays and not {"time", "channel"} & {*events}:
        dense = arrays["spikes"]
        if dense.ndim < 3:
            raise MosaicError(
                f"{path.name}: spikes has shape {dense.shape}; it needs (samples, steps, "
                "channels). One sample is spikes[None]."
            )
        return dense.reshape(*dense.shape[:2], -1) if dense.size else dense
    missing = [name for name in ("time", "channel", "steps") if name not in arrays]
    if missing or "spikes" in arrays:
        raise MosaicError(
            f"{path.name} holds {', '.join(arrays) or 'nothing'}; it needs spikes (samples, "
            "steps, channels), or else time, channel and steps (and sample, value, samples)."
        )
    single = {name: _whole(path, name, arrays) for name in ("steps", "samples")}
    columns = {name: arrays[name] for name in events if name not in single}
    try:
        return Events(**columns, steps=single["steps"] or 0, samples=single["samples"])
    except MosaicError as error:
        raise MosaicError(f"{path.name}: {error}") from None


def read_labels(path: Path) -> NDArray[Any] | None:
    """Read ``labels``, what is right for each sample, from an input file, if it has them."""
    return _arrays(path).get("labels")


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise MosaicError(f"There is no input file {str(path)!r}.")
    if not zipfile.is_zipfile(path):
        raise MosaicError(
            f"{str(path)!r} is no .npz file, or is cut short; write it with "
            "np.savez(path, spikes=...)."
        )
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # numpy, zipfile and zlib each have their own for damage
        raise MosaicError(f"{str(path)!r} is not readable: {error}") from None


def _whole(path: Path, name: str, arrays: Mapping[str, NDArray[Any]]) -> int | None:
    if name not in arrays:
        return None
    value = arrays[name]
    if value.size != 1 or value.dtype.kind not in "iu" or value.item() < 0:
        raise MosaicError(
            f"{path.name}: {name} holds {value.dtype} of shape {value.shape}; it needs one "
            "whole number."
        )
    return int(value.item())


# --- results -----------------------------------------------------------------------------


def save(run: Simulation, folder: Path, dies: dict[str, Any] | None = None) -> list[Path]:
    """Write ``program.npz``, ``recording.npz`` and ``report.json``, each whole or not at all.

    `dies` goes into the report as it is: what `growth.dies` found.

    The recording holds the spike counts of all sources, the first spikes of neurons, and all
    spikes as events, with the names that `read_spikes` knows and ``neuron`` for ``channel``.

    Raises
    ------
    MosaicError
        If the folder cannot be written to.
    """
    recording = run.recording
    assert recording.offsets is not None
    assert recording.neuron is not None
    rows = np.repeat(
        np.arange(recording.samples * recording.steps), np.diff(recording.offsets)
    )
    sample, time = np.divmod(rows.astype(np.int32), max(recording.steps, 1))
    arrays = io.BytesIO()
    np.savez_compressed(
        arrays, counts=recording.counts, latency=recording.latency, time=time,
        neuron=recording.neuron, sample=sample, steps=np.int64(recording.steps),
        samples=np.int64(recording.samples),
    )  # fmt: skip
    paths = [folder / name for name in ("program.npz", "recording.npz", "report.json")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_program(run.program, paths[0])
        write_whole(paths[1], arrays.getvalue())
        facts = _facts(run) | ({"dies": dies} if dies else {})
        write_whole(paths[2], json.dumps(facts, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise MosaicError(
            f"Cannot write to {str(folder)!r} ({error.strerror}); give a folder that can be "
            "written to."
        ) from None
    return paths


def _facts(run: Simulation) -> dict[str, Any]:
    """Return everything about a run but its spikes, as plain values, ready for JSON."""
    recording, program = run.recording, run.program
    total = recording.total
    placer, router = run.places or (None, None)
    return {
        "network": run.network.name,
        "input": run.spikes.name,
        "notes": list(run.notes),
        "chip": asdict(program.geometry),
        "levels": program.levels,
        "exact": run.exact,
        "placer": placer,
        "router": router,
        "neurons": program.neurons,
        "synapses": int(program.target.size),
        "samples": recording.samples,
        "steps": recording.steps,
        "spikes": {
            "inputs": int(total[: program.inputs].sum()),
            **{
                name: int(total[program.first_neuron + members].sum())
                for name, members in run.groups.items()
            },
        },
        "bill": bill(run.report, run.writes),
        "versions": {
            name: version(name) for name in ("mosaic-growth", "numpy", "numba", "scipy")
        },
    }


def bill(
    report: CostReport,
    deployment_writes: int,
    groups: Mapping[str, NDArray[np.int64]] | None = None,
) -> dict[str, Any]:
    """Summarise a report as plain values, ready for JSON.

    With `groups`, those of the network, it says what each expert causes. Writes are programmed
    one after the other; `wear` is their mean share of the endurance of the devices in use.
    """
    return {
        "energy_per_inference": report.energy_per_inference,
        "by_component": {k: v / report.samples for k, v in report.by_component().items()},
        "hops_per_inference": report.hops / report.samples,
        "devices": report.devices,
        "writes": deployment_writes,
        "write_energy": price_writes(deployment_writes, report.technology),
        "write_time": deployment_writes * report.technology["write_time"].value,
        "wear": deployment_writes
        / max(sum(report.devices.values()), 1)
        / report.technology["endurance"].value,
        "critical_path": report.critical_path,
        **_physics(report),
        **({} if groups is None else {"by_expert": _shared(report.by_expert(groups), report)}),
        "technology": report.technology.name,
        "rows": [
            {
                "event": r.event, "component": r.component, "count": r.count,
                "unit_price": r.unit_price, "formula": r.formula, "status": r.status,
            }
            for r in report.rows
        ],
        "assumed": [name for name, _ in report.assumptions()],
    }  # fmt: skip


def _shared(energies: Mapping[str, float], report: CostReport) -> dict[str, float]:
    """Energies of a whole run, of one inference [J]."""
    return {name: energy / report.samples for name, energy in energies.items()}


def _physics(report: CostReport) -> dict[str, Any]:
    """Splits, times, areas and elasticities of a bill; what is not finite becomes None."""
    timing, area = report.timing, report.area
    rates = {
        name: rate if math.isfinite(rate) else None
        for name, rate in (
            ("throughput", timing.throughput),
            ("fastest_throughput", timing.fastest_throughput),
        )
    }
    return {
        "by_kind": _shared(report.by_kind(), report),
        "energy_per_spike": report.energy_per_spike,
        "energy_per_synaptic_operation": report.energy_per_synaptic_operation,
        "timing": {
            "read_time": timing.read_time,
            "step_time": timing.step_time,
            "smallest_step": timing.smallest_step,
            "fits": timing.fits,
            "real_time_factor": timing.real_time_factor,
            "mean_power": timing.mean_power,
            "fastest_power": timing.fastest_power,
            **rates,
        },
        "area": {"total": area.total, "powered": area.powered_total, **area.by_kind()},
        "sensitivity": {e.name: e.elasticity for e in report.sensitivity()},
    }

"""Commands of ``mosaic`` for a network on a chip: run it, fit it, look at technologies."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from growth.console import make_console

# Whatever is slow to load (torch, Numba, matplotlib) is imported where a command needs it.

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from growth.simulation import Simulation

__all__ = ["chips"]

chips = typer.Typer()

technologies = typer.Typer(
    no_args_is_help=True,
    help="Look at what prices a chip: quantities, each with its unit, status and source.",
)
chips.add_typer(technologies, name="technology")


@chips.command()
def simulate(
    network: Annotated[
        Path,
        typer.Argument(help="A NIR graph (.nir), or a saved program (.npz)."),
    ],
    spikes: Annotated[
        Path,
        typer.Option(
            "--input",
            help="An .npz file with spikes (samples, steps, channels), or with time, channel and "
            "steps (and sample, value).",
        ),
    ],
    chip: Annotated[
        str | None, typer.Option(help="A chip file (.toml), or the name of a preset.")
    ] = None,
    technology: Annotated[
        str, typer.Option(help="A technology file (.toml), or the name of a preset.")
    ] = "rram-130nm",
    dt: Annotated[
        float | None,
        typer.Option(
            help="Length of a step of the graph in seconds; 1e-4 by default, as snnTorch."
        ),
    ] = None,
    reset: Annotated[
        str | None,
        typer.Option(
            help="What a spike does to the membrane: subtract, zero, none or clear. By default "
            "what the graph says, else zero."
        ),
    ] = None,
    reset_delay: Annotated[
        bool | None,
        typer.Option(
            help="Whether the reset comes a step after the spike, as in snnTorch; the notes call "
            "the opposite 'prompt'. By default what the graph says, else no."
        ),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="From time constants to steps: euler or exponential.")
    ] = None,
    exporter: Annotated[
        str | None, typer.Option(help="Who wrote the graph, if it matters: nir or norse.")
    ] = None,
    placer: Annotated[
        str | None,
        typer.Option(
            help="multilevel (the default), hypergraph, layered, greedy, in-order, hilbert, "
            "spectral or random."
        ),
    ] = None,
    router: Annotated[
        str | None,
        typer.Option(help="negotiated (the default), steiner, trunk or one_turn."),
    ] = None,
    effort: Annotated[
        float | None,
        typer.Option(
            help="How hard to search for a placement and routes; 1 by default.", min=0
        ),
    ] = None,
    levels: Annotated[
        int | None, typer.Option(help="Conductance levels of a device; 16 by default.")
    ] = None,
    exact: Annotated[
        bool | None,
        typer.Option(
            "--exact", help="Compute with the weights as they are, without levels."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for program.npz, recording.npz and report.json."),
    ] = None,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw figures into the folder of --out.")
    ] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Price the run on other platforms too, as far as published."
        ),
    ] = False,
    devices: Annotated[
        int | None,
        typer.Option(
            help="Run so many dies with real devices besides: mean, interval and yield. Labels "
            "of the samples come from the array 'labels' of the input."
        ),
    ] = None,
    effects: Annotated[
        str | None,
        typer.Option(
            help="What is not ideal on the dies, separated by commas; all by default."
        ),
    ] = None,
    wanted: Annotated[
        float, typer.Option(help="Accuracy from which a die counts as good.", min=0, max=1)
    ] = 0.9,
    seed: Annotated[int, typer.Option(help="Seed of the first die.", min=0)] = 0,
    attempts: Annotated[
        int,
        typer.Option(
            help="Pulses at most to write a device, with a look after each.", min=1
        ),
    ] = 1,
    age: Annotated[
        float, typer.Option(help="Seconds since the dies were written.", min=0)
    ] = 0.0,
    windows: Annotated[
        int | None,
        typer.Option(
            help="Parts of a step within which spikes coincide in routing tiles: as many pulses "
            "as fit by default, 1 is the worst case.",
            min=1,
        ),
    ] = None,
) -> None:
    """Put a network from another tool on a chip, run it on spikes, and print the bill."""
    from growth import tables
    from growth.simulation import compare as price_elsewhere
    from growth.simulation import save, simulate_file, write_bill
    from mosaic_sim.errors import MosaicError

    if plot and out is None:
        raise MosaicError("--plot needs a folder to draw into: --out FOLDER.")
    if effects is not None and devices is None:
        raise MosaicError("--effects needs the number of dies: --devices 50.")
    reading = {"dt": dt, "reset": reset, "method": method, "exporter": exporter}
    if reset_delay is not None:
        reading["prompt"] = not reset_delay
    console = make_console()
    done = simulate_file(
        network, spikes, chip=chip, technology=technology, placer=placer, router=router,
        effort=effort, levels=levels, exact=exact, reading=reading, raster=out is not None,
    )  # fmt: skip
    _tell(console, done)
    report = done.report
    console.print(tables.activity_table(done))
    console.print(tables.cause_table(done))
    console.print(tables.bill_table(report, done.writes))
    # Who looks after a pulse needs to know what pulses miss.
    missing = ("programming", "variation", "stuck") if attempts > 1 else ()
    written = write_bill(
        None, done.program, report.technology, effects=missing, seed=seed, attempts=attempts
    )
    console.print(tables.writing_table(written, report.technology, attempts))
    console.print(tables.timing_table(report))
    console.print(tables.area_table(report))
    if compare:
        console.print(tables.platform_table(report, price_elsewhere(report)))
    many = None
    if devices is not None:
        from growth.dies import run_dies
        from growth.simulation import EFFECTS, read_labels

        chosen = (
            tuple(EFFECTS)
            if effects is None
            else tuple(e.strip() for e in effects.split(","))
        )
        with _counting(console, devices, "dies") as advance:
            many = run_dies(
                done.program, report.technology, done.recording.drive, dies=devices,
                labels=read_labels(spikes), effects=chosen, seed=seed, attempts=attempts,
                age=age, windows=windows, done=advance,
            )  # fmt: skip
        console.print(tables.dies_table(many, wanted, report.energy_per_inference))
    console.print(tables.assumption_table(report.technology, tables.used_for(report)))
    found = {e.name: e.elasticity for e in report.sensitivity()}
    console.print(tables.sensitivity_table(report.technology, found))
    if out is None:
        return
    for path in save(done, out, None if many is None else many.facts(wanted)):
        console.print(f"stored  {path}", highlight=False, soft_wrap=True)
    if plot:
        from growth.simulation_drawing import draw_simulation

        for path in draw_simulation(done, out, many):
            console.print(f"figure  {path}", highlight=False, soft_wrap=True)


@chips.command()
def fit(
    network: Annotated[Path, typer.Argument(help="A NIR graph (.nir).")],
    spikes: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="An .npz file with spikes, as for simulate: energy is that of what the network "
            "spikes on them. Without, every source spikes once in one step.",
        ),
    ] = None,
    technology: Annotated[
        str, typer.Option(help="A technology file (.toml), or the name of a preset.")
    ] = "rram-130nm",
    per_tile: Annotated[
        list[int] | None,
        typer.Option(help="Neurons per tile; may be repeated. By default 8, 16, ... 256."),
    ] = None,
    aspect: Annotated[float, typer.Option(help="Columns of tiles by rows, about.")] = 1.0,
    spare: Annotated[
        float, typer.Option(help="Share of free slots beside the neurons, for growth.")
    ] = 0.0,
    placer: Annotated[str | None, typer.Option(help="As for simulate.")] = None,
    router: Annotated[str | None, typer.Option(help="As for simulate.")] = None,
    effort: Annotated[float, typer.Option(help="How hard to search; 1 by default.")] = 1.0,
    seed: Annotated[int, typer.Option(help="For placers that search.", min=0)] = 0,
    dt: Annotated[
        float | None, typer.Option(help="Length of a step of the graph in seconds.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the smallest chip (.toml).")
    ] = None,
) -> None:
    """Find the smallest chip for a network, and what chips of less energy cost in devices."""
    from growth.simulation import chip_text, fit_file
    from growth.tables import fit_table
    from mosaic_sim.files import write_whole

    found, notes = fit_file(
        network, spikes=spikes, technology=technology, tile_sizes=per_tile, placer=placer,
        router=router, reading={"dt": dt}, aspect=aspect, spare=spare, effort=effort, seed=seed,
    )  # fmt: skip
    console = make_console()
    for note in notes:
        console.print(f"note  {note}", highlight=False, markup=False)
    console.print(fit_table(found))
    for size, reason in found.refused.items():
        console.print(f"{size} neurons a tile: {reason}", highlight=False, markup=False)
    if out is not None:
        write_whole(out, chip_text(found.chip))
        console.print(f"stored  {out}", highlight=False, soft_wrap=True)


@technologies.command("list")
def list_technologies() -> None:
    """List the technologies and the platforms that come with the package."""
    from growth.simulation import technologies as known
    from growth.tables import technology_table

    make_console().print(technology_table(known()))


@technologies.command("show")
def show_technology(
    name: Annotated[str, typer.Argument(help="A name from the list, or a file (.toml).")],
) -> None:
    """Print every quantity of a technology or platform."""
    from growth.simulation import find_technology
    from growth.tables import quantity_table

    console, found = make_console(), find_technology(name)
    console.print(found.about, highlight=False, markup=False)
    console.print(quantity_table(found))


@technologies.command("check")
def check_technology(
    file: Annotated[Path, typer.Argument(help="A technology or platform file (.toml).")],
) -> None:
    """Say whether a file is complete and possible, or what is wrong with it."""
    from growth.simulation import Platform, find_technology, status_words
    from mosaic_sim.errors import MosaicError

    if file.suffix != ".toml":
        raise MosaicError(
            f"{str(file)!r} is no .toml file; 'mosaic technology show' takes names."
        )
    found = find_technology(str(file))
    kind = "platform" if isinstance(found, Platform) else "technology"
    make_console().print(
        f"{file.name} is complete: a {kind} of {len(found.quantities)} quantities, "
        f"{status_words(found.quantities)}.",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


@chips.command()
def memory(
    neurons: Annotated[
        list[int] | None,
        typer.Option(help="Network size; may be repeated. By default 128, 256, ... 4096."),
    ] = None,
    per_tile: Annotated[
        list[int] | None,
        typer.Option(help="Neurons per tile; may be repeated. By default 2, 4, ... 64."),
    ] = None,
    p1: Annotated[
        float, typer.Option(help="Share of neurons and neighbour tiles (1 hop) connected.")
    ] = 1.0,
    p3: Annotated[
        float, typer.Option(help="The same for diagonal neighbours (3 hops).")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="For the connections that are drawn.")] = 0,
    synapse_bits: Annotated[
        int, typer.Option(help="Bits of a weight in the tables; an assumption.")
    ] = 4,
    tags_per_neuron: Annotated[
        float, typer.Option(help="Tags of a cluster, per neuron; an assumption.")
    ] = 1.0,
    out: Annotated[
        Path | None,
        typer.Option(help="Figure (.svg); a .png and a .csv are written beside it."),
    ] = None,
) -> None:
    """Compare the memory of Mosaic with one crossbar and with tables in CAM and SRAM."""
    from growth.memory import compare, draw_memory, memory_tables

    points = compare(
        neurons or [128 << k for k in range(6)], per_tile or [2 << k for k in range(6)],
        {1: p1, 3: p3}, synapse_bits=synapse_bits, tags_per_neuron=tags_per_neuron, seed=seed,
    )  # fmt: skip
    drawings = draw_memory(points, out) if out is not None else []
    console = make_console()
    for table in memory_tables(points):
        console.print(table)
    console.print(
        f"Connections: p1 = {p1:g}, p3 = {p3:g}, seed {seed}. All tiles of a kind are sized for "
        "the worst one, by the formula of arXiv:2412.01575.\n"
        f"Assumed in tables: {synapse_bits} bits a weight; {tags_per_neuron:g} x neurons per tile "
        "tags in a tile's cluster.\n"
        "A device, a bit of CAM and a bit of SRAM are three different units.",
        highlight=False,
    )
    for drawing in drawings:
        console.print(f"figure  {drawing}", highlight=False, soft_wrap=True)


def _tell(console: Console, done: Simulation) -> None:
    """Say what was read, what had to be assumed, and where it is on the chip."""
    from growth.tables import length_of

    program, recording = done.program, done.recording
    chip = program.geometry
    used = len(set(program.tile.tolist()))
    how = (
        "as stored" if done.places is None else "placed {}, routed {}".format(*done.places)
    )
    lines = [
        (
            "network",
            f"{done.network.name}: {program.inputs:,} inputs, {program.neurons:,} neurons, "
            f"{program.target.size:,} synapses{', a bias line' if program.bias else ''}",
        ),
        *(("note", note) for note in done.notes),
        (
            "input",
            f"{done.spikes.name}: {length_of(recording)}, "
            f"{int(recording.total[: program.inputs].sum()):,} spikes",
        ),
        (
            "chip",
            f"{chip.rows} x {chip.columns} tiles of {chip.neurons_per_tile} neurons, {used} in "
            f"use; {how}; devices of {program.levels} levels"
            f"{', weights as in the file' if done.exact else ''}",
        ),
    ]
    grid = Table.grid(padding=(0, 2))
    for name, text in lines:
        grid.add_row(Text(name), Text(text))
    console.print(grid)
    console.print()


@contextmanager
def _counting(console: Console, total: int, what: str) -> Iterator[Callable[[], None]]:
    """Show a bar that goes on each time the function it gives is called."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)

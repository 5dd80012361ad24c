"""The command ``mosaic``."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Whatever is slow to load (torch, Numba, matplotlib) is imported where a command needs it.

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from growth.report import Summary
    from growth.simulation import Simulation

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Grow spiking networks on a simulated Mosaic chip, price them, and draw them.",
)

technologies = typer.Typer(
    no_args_is_help=True,
    help="Look at what prices a chip: quantities, each with its unit, status and source.",
)
app.add_typer(technologies, name="technology")

WIDTH = 100
"""Columns when output goes to a file or pipe."""

Root = Annotated[Path, typer.Option("--runs", help="Folder where run folders are made.")]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Processes; as many as cores by default.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change one setting, like --set chip.rows=8. May be repeated."
    ),
]
Runs = Annotated[list[Path], typer.Argument(help="Run folders, made by demo or run.")]


@app.command()
def demo(root: Root = Path("runs"), jobs: Jobs = None, settings: Settings = None) -> None:
    """Run the main job: naive, growing and joint learner on split digits.

    Three seeds each, on the same stream and the same chip. Prints the comparison and where
    the results are; a second call finds them again.
    """
    from growth.demo import demo as run_demo
    from growth.report import comparison_table, summarise

    console = _console()
    console.print(
        "Three learners see ten digits, two at a time, on one simulated Mosaic chip."
    )
    runs, drawings = run_demo(root, settings=settings or (), jobs=jobs, console=console)
    summaries = [summarise(run) for run in runs]
    console.print(comparison_table(summaries))
    _endings(console, summaries)
    _chip_note(console, runs[0].path)
    for run in runs:
        console.print(f"run     {run.path}", highlight=False, soft_wrap=True)
    for drawing in drawings:
        console.print(f"figure  {drawing}", highlight=False, soft_wrap=True)


@app.command()
def run(
    config: Annotated[
        str, typer.Argument(help="A TOML file, or the name of a packaged one.")
    ],
    root: Root = Path("runs"),
    jobs: Jobs = None,
    settings: Settings = None,
) -> None:
    """Run one experiment; resume it if it was stopped, and do nothing if it is done."""
    from growth.config import load_experiment
    from growth.experiment import run_experiments

    console = _console()
    experiment = load_experiment(config, settings or ())
    (folder,) = run_experiments([experiment], root, jobs=jobs, console=console)
    _show(console, [folder.path])
    console.print(f"run     {folder.path}", highlight=False, soft_wrap=True)


@app.command()
def compare(
    config: Annotated[str, typer.Argument(help="A TOML file with entries of compare.")],
    root: Root = Path("runs"),
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Seeds 0 to N - 1, instead of the file's.")
    ] = None,
    jobs: Jobs = None,
    settings: Settings = None,
) -> None:
    """Run several strategies on one stream and one chip, and print the table.

    Without a chip in the file, the smallest chip is looked for on which every network is
    legal. Killed and called again, it goes on where it was.
    """
    from growth import comparison as comparing
    from growth.comparison_drawing import draw_rows, write_rows

    console = _console()
    wanted = comparing.load_comparison(config, settings or (), seeds=seeds)
    runs, folder = comparing.compare(wanted, root, jobs=jobs, console=console)
    rows = comparing.rows_of(runs)
    for table in comparing.tables(rows, wanted.reference):
        console.print(table)
    for row in rows:
        if row.ended:
            console.print(f"[yellow]ended[/]   {row.label}: {row.ended}", soft_wrap=True)
    console.print(
        "[dim]samples: forward and backward for a task, however often · "
        f"p: exact sign-flip test against {wanted.reference}, Holm · compute and routing: "
        "energy of an inference · writes: one reprogramming after a task · in place: learning a "
        "task on the chip, step by step · switch: from one task's program to the next · life: "
        "tasks until the mean device is worn out by writes[/]",
        soft_wrap=True,
    )
    _chip_note(console, next(iter(runs.values())).path)
    for path in write_rows(rows, wanted.reference, folder):
        console.print(f"table   {path}", highlight=False, soft_wrap=True)
    for drawing in draw_rows(rows, folder, title=wanted.name):
        console.print(f"figure  {drawing}", highlight=False, soft_wrap=True)


@app.command()
def paths(
    config: Annotated[str, typer.Argument(help="A TOML file of a growth-path experiment.")],
    out: Annotated[
        Path, typer.Option("--out", help="Folder where the experiment's folder is made.")
    ] = Path("runs"),
    jobs: Jobs = None,
) -> None:
    """Grow two hidden layers in different orders and from different starts, and compare.

    Prints accuracies beside what they cost, and paired tests. Killed and called again, it goes
    on where it was, with the same table.
    """
    from growth.paths import grids, load_paths, read_cells, run_paths, write_tables
    from growth.paths.drawing import draw_paths
    from growth.tables import table_of

    console = _console()
    plan = load_paths(config)
    folder = run_paths(plan, out, jobs=jobs, console=console)
    results = read_cells(plan, folder)
    for grid in grids(results):
        if grid.rows:
            table = table_of(grid.title)
            for name in grid.head:
                table.add_column(name)
            for row in grid.rows:
                table.add_row(*row)
            console.print(table)
    for path in write_tables(results, folder):
        console.print(f"table   {path}", highlight=False, soft_wrap=True)
    for path in draw_paths(results, folder, title=plan.dataset):
        console.print(f"figure  {path}", highlight=False, soft_wrap=True)


@app.command()
def show(runs: Runs) -> None:
    """Print the tables of one run, or several side by side."""
    _show(_console(), runs)


@app.command()
def ranks(
    comparisons: Annotated[
        list[Path], typer.Argument(help="Folders of comparisons on different streams.")
    ],
    column: Annotated[str, typer.Option(help="A column of table.csv.")] = "accuracy",
    told: Annotated[
        bool, typer.Option(help="Rank the strategies that were told the task instead.")
    ] = False,
    smaller: Annotated[bool, typer.Option(help="Smaller values are better.")] = False,
) -> None:
    """Rank strategies over several comparisons, with Friedman's test."""
    from growth.ranking import left_out, rank, rank_table

    console = _console()
    found = rank(comparisons, column, told=told, larger_is_better=not smaller)
    console.print(rank_table(found, column))
    missing = left_out(comparisons, found, column, told=told)
    if missing:
        console.print(
            f"[yellow]left out[/]  not in every comparison: {', '.join(missing)}",
            soft_wrap=True,
        )


@app.command()
def measures(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    joint: Annotated[
        Path | None,
        typer.Option(help="Run folder of joint training, same seeds: for intransigence."),
    ] = None,
    classes: Annotated[
        bool, typer.Option(help="Also precision, recall, F1 and confusion of each label.")
    ] = False,
) -> None:
    """Print every measure of a run, and why those that have no value have none."""
    from growth.measures import all_measures, class_table, measure_table
    from growth.runs import open_run

    console, folder = _console(), open_run(run)
    found = all_measures(folder, None if joint is None else open_run(joint))
    console.print(measure_table(folder, found))
    if classes:
        console.print(class_table(folder))


@app.command()
def plot(
    runs: Runs,
    out: Annotated[
        Path | None, typer.Option(help="Folder for figures that compare several runs.")
    ] = None,
) -> None:
    """Draw the figures of runs again, from their folders alone."""
    from growth.drawing import draw_comparison, draw_run
    from growth.runs import open_run

    folders = [open_run(path) for path in runs]
    drawings = [path for folder in folders for path in draw_run(folder)]
    if len(folders) > 1:
        drawings += draw_comparison(folders, out or folders[0].path.parent / "comparison")
    for drawing in drawings:
        _console().print(f"figure  {drawing}", highlight=False, soft_wrap=True)


@app.command()
def price(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    technology: Annotated[
        str, typer.Option(help="A technology file (.toml), or the name of a preset.")
    ],
) -> None:
    """Price a stored run under another technology, without simulating again."""
    from growth.bridge import bill, make_technology
    from growth.report import assumption_table, reprice, reprice_table, summarise
    from growth.runs import open_run
    from growth.tables import sensitivity_table
    from mosaic_sim.errors import MosaicError

    console = _console()
    folder, other = open_run(run), make_technology(technology)
    summary = summarise(folder)
    if not summary.measured:
        raise MosaicError(f"{str(run)!r} has a seed that never fitted the chip: no bill.")
    again = reprice(folder, other)
    for seed, costs in zip(folder.seeds, summary.cost, strict=True):
        rows = [
            {"task": old["task"]} | bill(report, old["writes"])
            for old, report in zip(costs, again[seed.path.name], strict=True)
        ]
        seed.write_lines(f"cost-{other.name}", rows)
    before = summary.cost[0][-1]["technology"]
    console.print(reprice_table(summary, before, again, other))
    last = next(iter(again.values()))[-1]
    console.print(assumption_table(other, [name for name, _ in last.assumptions()]))
    found = {e.name: e.elasticity for e in last.sensitivity()}
    console.print(sensitivity_table(other, found))
    console.print(
        f"stored  {folder.path}/seed-*/cost-{other.name}.jsonl",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
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
    console = _console()
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


@app.command()
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
    console = _console()
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

    _console().print(technology_table(known()))


@technologies.command("show")
def show_technology(
    name: Annotated[str, typer.Argument(help="A name from the list, or a file (.toml).")],
) -> None:
    """Print every quantity of a technology or platform."""
    from growth.simulation import find_technology
    from growth.tables import quantity_table

    console, found = _console(), find_technology(name)
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
    _console().print(
        f"{file.name} is complete: a {kind} of {len(found.quantities)} quantities, "
        f"{status_words(found.quantities)}.",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


@app.command()
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
    console = _console()
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


def _console() -> Console:
    """Return a console that leaves tables their width when nobody watches the terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def _show(console: Console, paths: list[Path]) -> None:
    from growth import report, wear
    from growth.runs import open_run
    from growth.tables import sensitivity_table

    folders = [open_run(path) for path in paths]
    summaries = [report.summarise(folder) for folder in folders]
    console.print(report.comparison_table(summaries))
    _endings(console, summaries)
    if len(folders) == 1 and summaries[0].measured:
        console.print(report.accuracy_table(summaries[0]))
        console.print(report.life_table(summaries[0]))
        console.print(report.expert_table(summaries[0]))
        used = report.technology_of(folders[0])
        console.print(wear.wear_table(wear.wear_of(folders[0], used), used))
        decisions = report.decision_table(summaries[0])
        if decisions is not None:
            console.print(decisions)
    else:
        _chip_note(console, paths[0])
    # What every bill rests on comes last: once for each technology.
    told: set[str] = set()
    for folder, summary in zip(folders, summaries, strict=True):
        technology = report.technology_of(folder)
        if not summary.measured or technology.text in told:
            continue
        told.add(technology.text)
        bill = summary.cost[0][-1]
        console.print(report.assumption_table(technology, bill["assumed"]))
        console.print(sensitivity_table(technology, bill["sensitivity"]))


def _endings(console: Console, summaries: list[Summary]) -> None:
    from growth.report import endings

    for line in endings(summaries):
        console.print(f"ended early: {line}", highlight=False, soft_wrap=True)


def _chip_note(console: Console, path: Path) -> None:
    """Say on what the energies rest."""
    from growth.bridge import chip_preset, make_chip
    from growth.report import technology_of
    from growth.runs import open_run

    folder = open_run(path)
    chip, technology = make_chip(folder.experiment.chip), technology_of(folder)
    sized = (
        " This preset is sized so that 64 pixels and a bias line reach every tile that "
        "reads them."
        if chip == chip_preset("demo")
        else ""
    )
    console.print(
        f"Chip: {chip.rows} x {chip.columns} tiles of {chip.neurons_per_tile} neurons; lines a "
        f"side: {chip.tile_lines} into a tile, {chip.r0_lines} at R0, {chip.r1_lines} at R1."
        f"{sized}\n"
        f"Technology: {technology.name}. {len(technology.assumptions())} of its "
        f"{len(technology.quantities)} quantities are assumed and none is a verified figure of "
        "Mosaic; 'mosaic show RUN' lists them.",
        highlight=False,
    )
    bills = folder.seeds[0].lines("cost")
    most = (
        sorted(bills[-1]["sensitivity"].items(), key=lambda e: -abs(e[1])) if bills else []
    )
    if most:
        named = ", ".join(f"{name} ({value:+.2f})" for name, value in most[:4])
        console.print(
            f"The energy depends most on {named}: in brackets its change in % for 1 % more.",
            highlight=False,
        )


def main() -> None:
    """Run the command; what the user can put right is said in one line."""
    try:
        app()
    except Exception as error:
        from mosaic_sim.errors import (
            MosaicError,
        )  # late: all of the simulator comes with it

        if not isinstance(error, MosaicError):
            raise
        Console(stderr=True).print(
            f"error: {error}", highlight=False, markup=False, soft_wrap=True
        )
        sys.exit(2)

"""The command ``mosaic``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from growth.cli_chips import chips
from growth.console import make_console

# Whatever is slow to load (torch, Numba, matplotlib) is imported where a command needs it.

if TYPE_CHECKING:
    from collections.abc import Sequence

    from growth.comparison import Grid
    from growth.report import Summary

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Grow spiking networks on a simulated Mosaic chip, price them, and draw them.",
)

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

    console = make_console()
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

    console = make_console()
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

    console = make_console()
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

    console = make_console()
    plan = load_paths(config)
    folder = run_paths(plan, out, jobs=jobs, console=console)
    results = read_cells(plan, folder)
    _made(
        console,
        grids(results),
        write_tables(results, folder),
        draw_paths(results, folder, title=plan.dataset),
    )


@app.command()
def showcase(
    config: Annotated[str, typer.Argument(help="A TOML file of a showcase.")],
    root: Root = Path("runs"),
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Seeds 0 to N - 1, instead of the file's.")
    ] = None,
    jobs: Jobs = None,
    settings: Settings = None,
) -> None:
    """Train a network for the chip and as usual, and run both on chips as they come out.

    Prints accuracy in torch, on the ideal chip, with levels and on noisy dies, beside what an
    inference costs. Killed and called again, it goes on after the last epoch, with the same
    table.
    """
    from growth.showcase import (
        grids,
        load_showcase,
        read_results,
        run_showcase,
        write_tables,
    )
    from growth.showcase.drawing import draw_showcase

    console = make_console()
    plan = load_showcase(config, settings or (), seeds=seeds)
    folder = run_showcase(plan, root, jobs=jobs, console=console)
    results = read_results(plan, folder)
    _made(
        console,
        grids(plan, results),
        write_tables(plan, results, folder),
        draw_showcase(plan, results, folder),
    )


@app.command()
def claims(
    root: Root = Path("runs"),
    out: Annotated[
        Path, typer.Option("--out", help="Folder where claims.md and images/ are written.")
    ] = Path("docs"),
    experiments: Annotated[Path, typer.Option(help="Folder of the configurations.")] = Path(
        "experiments"
    ),
    partial: Annotated[
        bool, typer.Option("--partial", help="Write the page also if runs are missing.")
    ] = False,
) -> None:
    """Write the page that compares what the documents claim with what runs here measured.

    It reads finished runs alone. If some are missing it names their commands, and leaves the page
    as it is.
    """
    from growth.claims import write_page

    console = make_console()
    page = write_page(experiments, root, out, partial=partial)
    for command in page.missing:
        console.print(f"missing {command}", highlight=False, soft_wrap=True)
    if page.path is None:
        console.print("Nothing was written: run these first, or give --partial.")
        raise typer.Exit(1)
    console.print(f"page    {page.path}", highlight=False, soft_wrap=True)


@app.command()
def show(runs: Runs) -> None:
    """Print the tables of one run, or several side by side."""
    _show(make_console(), runs)


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

    console = make_console()
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

    console, folder = make_console(), open_run(run)
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
        make_console().print(f"figure  {drawing}", highlight=False, soft_wrap=True)


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

    console = make_console()
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


def _made(
    console: Console, grids: Sequence[Grid], tables: list[Path], figures: list[Path]
) -> None:
    """Print tables, and where they and the figures are."""
    from growth.tables import table_of

    for grid in grids:
        if grid.rows:
            table = table_of(grid.title)
            for name in grid.head:
                table.add_column(name)
            for row in grid.rows:
                table.add_row(*row)
            console.print(table)
    for kind, paths in (("table", tables), ("figure", figures)):
        for path in paths:
            console.print(f"{kind:7} {path}", highlight=False, soft_wrap=True)


def _show(console: Console, paths: list[Path]) -> None:
    from growth import report, wear
    from growth.runs import open_run
    from growth.tables import sensitivity_table

    folders = [open_run(path) for path in paths]
    summaries = [report.summarise(folder) for folder in folders]
    console.print(report.comparison_table(summaries))
    _endings(console, summaries)
    alone = len(folders) == 1 and summaries[0].measured
    if alone:
        console.print(report.accuracy_table(summaries[0]))
    if alone and summaries[0].priced:
        console.print(report.life_table(summaries[0]))
        console.print(report.expert_table(summaries[0]))
        used = report.technology_of(folders[0])
        console.print(wear.wear_table(wear.wear_of(folders[0], used), used))
        decisions = report.decision_table(summaries[0])
        if decisions is not None:
            console.print(decisions)
    elif not alone:
        _chip_note(console, paths[0])
    # What every bill rests on comes last: once for each technology.
    told: set[str] = set()
    for folder, summary in zip(folders, summaries, strict=True):
        technology = report.technology_of(folder)
        if not summary.measured or not summary.priced or technology.text in told:
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
    if folder.experiment.cell == "relu":
        console.print("No chip takes a network that does not spike: nothing is billed.")
        return
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


app.add_typer(chips)


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

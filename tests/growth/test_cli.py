import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import records, tiny
from typer.testing import CliRunner

import mosaic_sim
from growth import cli
from growth.bridge import load_program, make_technology
from growth.runs import RunFolder

SMALL = [
    arg
    for setting in (
        "seeds=[0]", "train.epochs=1", "stream.classes=[[0,1],[2,3]]", "stream.steps=4",
        "hidden=6",
    )
    for arg in ("--set", setting)
]  # fmt: skip


@pytest.fixture
def copied(runs, tmp_path):
    """A copy of a finished run, to write into."""

    def copy(name):
        source = runs[name]
        return Path(shutil.copytree(source.path, tmp_path / "runs" / source.path.name))

    return copy


# --- help --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], ["Grow spiking networks on a simulated Mosaic chip", "demo", "price"]),
        (["demo"], ["naive, growing and joint learner", "--set", "--jobs", "--runs"]),
        (["run"], ["resume it if it was stopped", "name of a packaged one"]),
        (["show"], ["Print the tables", "Run folders"]),
        (["plot"], ["from their folders alone", "--out"]),
        (["price"], ["without simulating", "--technology", "technology file (.toml)"]),
    ],
)
def test_help_explains(command, words):
    result = CliRunner().invoke(cli.app, [*command, "--help"], terminal_width=200)
    assert result.exit_code == 0
    shown = " ".join(result.output.split())
    for word in words:
        assert word in shown


# --- what it does ------------------------------------------------------------------------


def test_run_writes_a_run_folder_shows_it_and_does_it_only_once(mosaic, tmp_path):
    args = ("run", "split-digits-naive", *SMALL, "--runs", tmp_path, "--jobs", 1)
    code, out, err = mosaic(*args)
    assert (code, err) == (0, "")
    (folder,) = tmp_path.iterdir()
    assert f"run     {folder}" in out.splitlines()
    for title in ("average accuracy", "After each task", "Assumed quantities"):
        assert title in out
    stamp = (folder / "seed-0" / "DONE").stat().st_mtime_ns
    code, again, _ = mosaic(*args)
    assert code == 0
    assert out[out.index("average accuracy") :] == again[again.index("average accuracy") :]
    assert (folder / "seed-0" / "DONE").stat().st_mtime_ns == stamp


def test_run_takes_a_file_of_ones_own(mosaic, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(tiny("naive", "train.epochs=1", "stream.steps=4").to_toml())
    code, out, _ = mosaic(
        "run", file, "--set", "name=mine", "--runs", tmp_path / "r", "--jobs", 1
    )
    assert code == 0
    assert "/mine-" in out


def test_the_demo_compares_three_learners_and_draws_them(mosaic, tmp_path, monkeypatch):
    # What the figures look like is proven where `plot` makes them: here only that they are made.
    monkeypatch.setattr(
        "growth.figures.save", lambda _, path, __: path.with_suffix(".svg").touch()
    )
    code, out, err = mosaic("demo", *SMALL, "--runs", tmp_path, "--jobs", 1)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    runs = [Path(line.split()[1]) for line in lines if line.startswith("run ")]
    drawn = [Path(line.split()[1]) for line in lines if line.startswith("figure ")]
    assert [path.name.split("-")[2] for path in runs] == ["naive", "grow", "joint"]
    assert all((path / "seed-0" / "DONE").exists() for path in runs)
    assert all(path.is_file() for path in drawn)
    assert {"accuracy-over-tasks.svg", "placement-map.svg"} <= {path.name for path in drawn}
    header = next(line.split() for line in lines if "joint" in line and "grow" in line)
    assert header[-3:] == ["naive", "grow", "joint"]
    assert "quantities are assumed" in " ".join(out.split())


def test_show_prints_one_run_in_full_and_several_side_by_side(mosaic, runs):
    code, out, _ = mosaic("show", runs["grow"].path)
    assert code == 0
    for title in (
        "average accuracy",
        "Accuracy [%]",
        "After each task",
        "Decisions",
        "Assumed",
        "Sensitivity",
    ):
        assert title in out
    bill = runs["grow"].seed(0).lines("cost")[-1]
    rows = [line.split() for line in out[out.index("Sensitivity") :].splitlines()]
    for name, elasticity in bill["sensitivity"].items():
        if abs(elasticity) >= 5e-4:
            assert [name, "assumed", f"{elasticity:+.3f}"] in [
                [row[0], *row[3:]] for row in rows if len(row) == 5
            ]
    code, out, _ = mosaic("show", runs["grow"].path, runs["naive"].path)
    assert code == 0
    most = max(bill["sensitivity"], key=bill["sensitivity"].get)
    assert f"depends most on {most} (+" in " ".join(out.split())
    assert "Decisions" not in out
    assert next(line for line in out.splitlines() if "naive" in line).split()[-2:] == [
        "grow", "naive",
    ]  # fmt: skip


def test_show_says_why_a_run_ended(mosaic, squeezed):
    for name, reason in (
        ("grow", "no tile with room for task 1"),
        ("naive", "does not fit the chip"),
    ):
        code, out, _ = mosaic("show", squeezed[name].path)
        assert code == 0
        assert f"ended early: split-digits-{name}, seed-0:" in out
        assert reason in out


@pytest.fixture(scope="module")
def drawn(runs, tmp_path_factory):
    """Copies of two runs, plotted into their own folders and one for both."""
    root = tmp_path_factory.mktemp("drawn")
    one, two = (
        Path(shutil.copytree(runs[name].path, root / name)) for name in ("grow", "joint")
    )
    result = CliRunner().invoke(
        cli.app, ["plot", str(one), str(two), "--out", str(root / "both")]
    )
    assert result.exit_code == 0
    return root, [Path(line.split()[1]) for line in result.output.splitlines()]


@pytest.mark.slow
def test_plot_draws_from_the_folder_alone_each_figure_with_its_numbers(drawn):
    root, paths = drawn
    per_run = {"placement-map", "accuracy-matrix", "energy-by-component", "energy-by-tile"}
    for folder, expected in (
        (root / "grow" / "figures", per_run | {"growth-over-time"}),
        (root / "joint" / "figures", per_run),
        (root / "both", {"energy-by-component", "accuracy-over-tasks"}),
    ):
        assert {path.stem for path in paths if path.parent == folder} == expected
    for path in paths:
        for kind in (".svg", ".png", ".csv"):
            assert path.with_suffix(kind).stat().st_size > 0


@pytest.mark.slow
def test_the_numbers_beside_the_figures_are_those_of_the_run(drawn, runs):
    folder = drawn[0] / "grow"

    def table(name, where="grow/figures"):
        with (drawn[0] / where / f"{name}.csv").open() as file:
            return list(csv.DictReader(file))

    metrics, cost = (runs["grow"].seed(0).lines(name) for name in ("metrics", "cost"))
    matrix = {
        (int(r["learnt"]), int(r["task"])): float(r["accuracy"])
        for r in table("accuracy-matrix")
    }
    assert matrix == {
        (i, j): a for i, row in enumerate(metrics) for j, a in enumerate(row["accuracy"])
    }
    program = load_program(folder / "seed-0" / "program-1.npz")
    seats = [
        (int(r["tile"]), int(r["slot"]), int(r["expert"])) for r in table("placement-map")
    ]
    assert seats == list(zip(program.tile, program.slot, metrics[-1]["owner"], strict=True))
    (energy,) = table("energy-by-component")
    for component, joules in cost[-1]["by_component"].items():
        assert float(energy[f"{component} [J]"]) == pytest.approx(joules)
    tiles = sum(float(row["energy per inference [J]"]) for row in table("energy-by-tile"))
    assert tiles == pytest.approx(cost[-1]["energy_per_inference"])
    grown = [
        (int(r["neurons"]), int(r["tiles"]), int(r["writes"]))
        for r in table("growth-over-time")
    ]
    assert grown == [
        (m["neurons"], m["tiles"], c["writes"]) for m, c in zip(metrics, cost, strict=True)
    ]
    both = [r for r in table("accuracy-over-tasks", "both") if r["learner"] == "grow"]
    seen = [sum(row["accuracy"][: t + 1]) / (t + 1) for t, row in enumerate(metrics)]
    assert [float(r["mean"]) for r in both] == pytest.approx(seen)


def test_a_run_that_never_fitted_is_plotted_as_nothing(mosaic, squeezed):
    code, out, err = mosaic("plot", squeezed["naive"].path)
    assert (code, out, err) == (0, "", "")


def test_price_takes_a_preset_or_a_file_and_leaves_the_run_as_it_is(
    mosaic, copied, tmp_path
):
    folder = copied("grow")
    before = records(RunFolder(folder, tiny("grow")))
    mine = tmp_path / "mine.toml"
    preset = Path(mosaic_sim.__path__[0]) / "technologies" / "rram-22nm.toml"
    mine.write_text(preset.read_text())
    old = [json.loads(line) for line in before["cost"].splitlines()]
    priced = {}
    for name, technology in (("rram-22nm", "rram-22nm"), ("mine", mine)):
        code, out, err = mosaic("price", folder, "--technology", technology)
        assert (code, err) == (0, "")
        assert "rram-130nm" in out
        assert name in out
        assert "Sensitivity" in out[out.index("Assumed quantities") :]
        lines = (folder / "seed-0" / f"cost-{name}.jsonl").read_text().splitlines()
        priced[name] = [json.loads(line) for line in lines]
        for now, then in zip(priced[name], old, strict=True):
            assert (now["task"], now["writes"], now["devices"]) == (
                then["task"], then["writes"], then["devices"],
            )  # fmt: skip
            counts = [(row["event"], row["count"]) for row in now["rows"]]
            assert counts == [(row["event"], row["count"]) for row in then["rows"]]
            assert now["energy_per_inference"] != then["energy_per_inference"]
            writing = make_technology("rram-22nm")["write_energy"].value
            assert now["write_energy"] == pytest.approx(now["writes"] * writing)
    assert [r["energy_per_inference"] for r in priced["mine"]] == [
        r["energy_per_inference"] for r in priced["rram-22nm"]
    ]
    assert records(RunFolder(folder, tiny("grow"))) == before


# --- what it refuses ---------------------------------------------------------------------


def refusals(tmp_path, run):
    """Commands, each with what the complaint has to say."""
    file = tmp_path / "file"
    file.touch()
    unfinished = RunFolder.create(tmp_path / "stopped", tiny("grow")).path
    return [
        (("show", tmp_path / "absent"), "is not a run folder"),
        (("show", unfinished), "is not finished (seed-0); run the same command again"),
        (("plot", unfinished), "is not finished"),
        (("price", unfinished, "--technology", "rram-22nm"), "is not finished"),
        (("run", "absent.toml"), "There is no configuration 'absent.toml'"),
        (("run", file), "'name' is missing"),
        (("run", "split-digits-grow", "--set", "chip.row=3"), "Did you mean 'rows'?"),
        (
            ("run", "split-digits-grow", "--set", "chip.rows"),
            "not of the form section.key=value",
        ),
        (("demo", "--set", "hidden=-1"), "hidden.0 is -1"),
        (("run", "split-digits-naive", "--runs", file), "Cannot write to"),
        (("run", "split-digits-naive", "--set", "strategy=niave"), "Did you mean 'naive'?"),
        (
            ("run", "split-digits-naive", "--set", "options.rate=1"),
            "unknown key 'options.rate'. It takes nothing.",
        ),
        (("price", run, "--technology", "rram-2nm"), "Did you mean 'rram-22nm'?"),
        (("price", run, "--technology", "absent.toml"), "There is no technology file"),
        (
            ("price", run, "--technology", str(file) + ".toml"),
            "There is no technology file",
        ),
    ]


def test_bad_input_ends_with_code_2_and_one_line_that_says_what_is_wrong(
    mosaic, runs, tmp_path
):
    for args, message in refusals(tmp_path, runs["grow"].path):
        code, out, err = mosaic(*args)
        assert code == 2
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert message in err
        assert "Traceback" not in out + err


def test_pricing_a_run_that_never_fitted_is_refused(mosaic, squeezed):
    code, _, err = mosaic("price", squeezed["naive"].path, "--technology", "rram-22nm")
    assert code == 2
    assert "never fitted the chip: no bill" in err


@pytest.mark.parametrize("args", [["--jobs", "0"], ["--unknown"], []])
def test_misused_options_end_with_code_2(mosaic, args):
    code, _, err = mosaic("run", *args)
    assert code == 2
    assert "Traceback" not in err


@pytest.mark.slow
def test_the_process_itself_ends_with_code_2_and_one_line(tmp_path):
    script = "from growth.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", script, "show", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1

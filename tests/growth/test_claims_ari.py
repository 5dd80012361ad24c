"""The section on adaptation rate integrals: the printed table by hand, the text by small runs."""

import csv
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from growth.claims import ari, find
from growth.claims.ari_table import PRINTED, TASKS, PrintedCell, impossible
from growth.comparison import compare, load_comparison
from growth.report import summarise

slow = pytest.mark.slow  # training; no other section rests on it

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

LITTLE = {
    "exemplars": 6,
    "trained": 2,
    "epochs": 3,
    "fit_steps": 3,
    "horizon": 2,
    "tune": 1,
}


def shrunk(name, folder):
    """A configuration of the section, on a few digits."""
    tables = tomllib.loads((EXPERIMENTS / f"{name}.toml").read_text("utf-8"))
    stream = tables["stream"] | {
        "dataset": "digits", "protocol": "own", "train_samples": 40, "test_samples": 10,
        "steps": 4,
    }  # fmt: skip
    if stream.get("kind") == "permuted":
        stream |= {"tasks": 3, "train_samples": 150}
    tables |= {"stream": stream, "seeds": [0, 1], "hidden": [8, 8]}
    tables["chip"] = {"preset": "demo"}
    tables["train"] |= {"batch": 20, "learning_rate": 0.01}
    for entry in tables["compare"]:
        options = entry.setdefault("options", {})
        if entry["strategy"] == "ari":
            options |= LITTLE
        if entry["strategy"] in ("gem", "icarl", "replay"):
            options["memory"] = 20
        if entry["strategy"] == "ewc":
            options["samples"] = 10
        if "stream" in entry:
            entry |= {"stream": {"train_samples": 6}, "train": {"epochs": 2}}
    path = folder / f"{name}.toml"
    path.write_text(tomli_w.dumps(tables), "utf-8")
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Experiments of the section by name, as run on a few digits."""
    folder = tmp_path_factory.mktemp("ari")
    found = {}
    for name in ari.EXPERIMENTS:
        file = shrunk(name, folder)
        compare(load_comparison(file), folder / "runs", jobs=1)
        found[name] = find(file, folder / "runs")
    return found


@pytest.fixture(scope="module")
def written(small, tmp_path_factory):
    images = tmp_path_factory.mktemp("images")
    return ari.section(small, images), images


# --- the printed table ------------------------------------------


def test_three_printed_cells_are_impossible_and_by_how_much():
    """100 - F (T - 1) / T, worked by hand."""
    bounds = {
        ("split MNIST", "Single"): 100 - 96.1 * 4 / 5,  # 23.1, printed 30.2
        ("split MNIST", "EWC"): 100 - 94.4 * 4 / 5,  # 24.5, printed 43.9
        ("permuted MNIST", "ARI, random selection"): 100
        - 68.2 * 9 / 10,  # 38.6, printed 45.4
    }
    assert impossible() == list(bounds)
    for (stream, method), bound in bounds.items():
        cell = PRINTED[stream][method]
        assert cell.bound(TASKS[stream]) == pytest.approx(bound)
        assert cell.accuracy > bound


def test_however_many_tasks_are_meant_the_cifar_columns_are_possible():
    for stream in ("split CIFAR-10", "split CIFAR-100"):
        for cell in PRINTED[stream].values():
            assert cell.accuracy < 100 - cell.forgetting


def test_a_cell_is_written_as_it_is_printed():
    assert PrintedCell(72.36, 3.8, 11.3, 1.1).text == "72.36 ± 3.8 / 11.3 ± 1.1"


# --- the section ------------------------------------------------


@slow
def test_the_section_names_what_is_impossible(written):
    text, _ = written
    assert "| split MNIST | Single | 30.2 | 96.1 | 5 | 23.1 | +7.1 |" in text
    assert "| split MNIST | EWC | 43.9 | 94.4 | 5 | 24.5 | +19.4 |" in text
    assert (
        "| permuted MNIST | ARI, random selection | 45.4 | 68.2 | 10 | 38.6 | +6.8 |"
        in text
    )
    assert text.count("(impossible)") == 3


@slow
def test_accuracies_and_forgetting_are_those_of_the_runs(small, written):
    text, _ = written
    ran = small["claims-ari-permuted"]
    summary = summarise(ran.runs["gem"])
    (line,) = [x for x in text.splitlines() if x.startswith("| permuted MNIST | GEM |")]
    accuracy, lost = 100 * summary.accuracy.mean, 100 * summary.forgetting.mean
    assert f"| {accuracy:.1f} ± " in line
    assert f" / {lost:.1f} ± " in line
    assert f"| {accuracy - 82.8:+.1f} |".replace("-", "−") in line


@slow
def test_every_strategy_stands_in_both_tables_with_whether_it_is_told(small, written):
    text, _ = written
    for label, name in ari.NAMES.items():
        rows = [x for x in text.splitlines() if x.startswith(f"| {name} | ")]
        told = [x for x in rows if x.split(" | ")[1] in ("yes", "no")]
        assert len(told) == 1 + (label in small["claims-ari-permuted"].runs)
        needs = label.startswith(("ari", "exemplars")) or label == "independent"
        assert all((x.split(" | ")[1] == "yes") == needs for x in told)
    assert set(small["claims-ari-split"].runs) == set(ari.NAMES)


@slow
def test_a_part_is_worth_the_paired_difference(small, written):
    text, _ = written
    ran = small["claims-ari-split"]
    with_it, without = (
        np.array(summarise(ran.runs[label]).accuracies)
        for label in ("ari-weights", "ari-random")
    )
    (line,) = [x for x in text.splitlines() if x.startswith("| choosing: against chance")]
    assert f"| {100 * (with_it - without).mean():.1f} ± " in line


@slow
def test_figures_hold_the_bounds_and_every_run(small, written):
    text, images = written
    for name in ("claims-ari-table", "claims-ari-baselines"):
        assert f"images/{name}.png" in text
        assert (images / f"{name}.png").exists()
    with (images / "claims-ari-table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 11
    broken = [r for r in rows if float(r["paper ACC"]) > float(r["paper bound"])]
    assert [(r["stream"], r["method"]) for r in broken] == impossible()
    assert all(float(r["ACC"]) <= float(r["bound"]) + 1e-9 for r in rows)
    with (images / "claims-ari-baselines.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2 * len(ari.NAMES) - 1


@slow
def test_the_chip_bills_every_strategy(small, written):
    text, _ = written
    after = text[text.index("### On the chip") :]
    for label in small["claims-ari-chip"].runs:
        assert f"| {label} | " in after
    assert "no chip" not in after

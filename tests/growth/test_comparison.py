"""The table: one chip, one stream, one bill; the same after a kill; every cell from the records."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from growth import comparison, figures
from growth.comparison import COLUMNS, compare, load_comparison, rows_of, tables
from growth.comparison_drawing import apart, draw_rows, front_of, pareto, write_rows
from growth.statistics import sign_flip_test
from mosaic_sim import ConfigError

TEXT = """
name = "small"
hidden = [6]
seeds = [0, 1]
[stream]
steps = 4
classes = [[0, 1], [2, 3]]
test_share = 0.8
[train]
epochs = 1
[chip]
rows = 2
columns = 2
[[compare]]
strategy = "naive"
[[compare]]
label = "slow"
strategy = "naive"
train = { learning_rate = 0.001 }
[[compare]]
strategy = "joint"
"""


def written(tmp_path, text=TEXT):
    path = tmp_path / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    root = tmp_path_factory.mktemp("comparison")
    small = load_comparison(written(root))
    runs, folder = compare(small, root, jobs=1)
    return small, runs, folder


def test_entries_are_the_experiment_with_what_differs(tmp_path):
    small = load_comparison(written(tmp_path), ["train.batch=7"], seeds=3)
    assert list(small.experiments) == ["naive", "slow", "joint"]
    assert small.reference == "naive"
    assert not small.fitted
    for label, one in small.experiments.items():
        assert one.name == f"small-{label}"
        assert one.seeds == (0, 1, 2)
        assert (one.train.batch, one.train.epochs, one.chip.rows) == (7, 1, 2)
    rates = [one.train.learning_rate for one in small.experiments.values()]
    assert rates[1] == 0.001
    assert rates[0] == rates[2] != 0.001


def test_the_fingerprint_changes_with_any_entry(tmp_path):
    plain = load_comparison(written(tmp_path)).fingerprint
    assert load_comparison(written(tmp_path)).fingerprint == plain
    other = TEXT.replace("0.001", "0.002")
    assert load_comparison(written(tmp_path, other)).fingerprint != plain


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('label = "slow"\n', "", "two entries of .* are called 'naive'"),
        ('strategy = "joint"', 'strategy = "jiont"', "unknown strategy 'jiont'.*'joint'"),
        ("seeds = [0, 1]", 'reference = "absent"', "reference is 'absent'"),
        ("learning_rate", "learning_rat", "unknown key 'train.learning_rat'"),
        ("[[compare]]", "[[others]]", r"has no \[\[compare\]\] entries"),
    ],
)
def test_a_comparison_that_cannot_be_is_refused_by_name(tmp_path, old, new, match):
    with pytest.raises(ConfigError, match=match):
        load_comparison(written(tmp_path, TEXT.replace(old, new)))


def test_rows_are_those_of_the_records(done):
    _, runs, _ = done
    rows = {row.label: row for row in rows_of(runs)}
    assert list(rows) == ["naive", "slow", "joint"]
    for label, run in runs.items():
        values = rows[label].values
        assert set(values) == {column.key for column in COLUMNS}
        for k, seed in enumerate(run.seeds):
            metrics, cost = seed.lines("metrics"), seed.lines("cost")
            last, bill = metrics[-1], cost[-1]
            assert values["accuracy"][k] == np.mean(last["accuracy"])
            assert values["accuracy_within_task"][k] == np.mean(
                last["accuracy_within_task"]
            )
            both = values["compute_energy"][k] + values["routing_energy"][k]
            assert both == pytest.approx(bill["energy_per_inference"])
            assert values["routing_energy"][k] == bill["by_component"]["routing"]
            assert values["devices"][k] == sum(bill["devices"].values())
            assert values["writes"][k] == np.mean([row["writes"] for row in cost])
            assert values["resident_bits"][k] == 4 * 6 * (64 + 10)
            assert values["rewritten"][k] == np.mean(
                [m["work"]["rewritten"] for m in metrics]
            )
            endurance = 1 / np.mean([row["wear"] for row in cost])
            assert values["life"][k] == pytest.approx(endurance)
        if label != "joint":
            first, second = (m["accuracy"] for m in run.seeds[0].lines("metrics"))
            assert values["forgetting"][0] == pytest.approx(first[0] - second[0])
    assert rows["joint"].values["forgetting"] is None


def test_all_strategies_run_on_the_same_chip_and_test_samples(done):
    _, runs, _ = done
    assert len({run.experiment.chip for run in runs.values()}) == 1
    assert {row["predictions"] for run in runs.values() for row in run.seeds[0].lines("metrics")
            } == {576}  # fmt: skip


def test_differences_are_tested_seed_by_seed(done):
    rows = rows_of(done[1])
    found = comparison.against(rows, "naive")
    assert set(found) == {"slow", "joint"}
    apart = np.subtract(rows[2].values["accuracy"], rows[0].values["accuracy"])
    assert found["joint"].p_value == sign_flip_test(apart)
    assert found["joint"].difference.mean == pytest.approx(apart.mean())
    assert comparison.against(rows, "absent") == {}


def test_a_comparison_that_was_killed_gives_the_same_table(done, tmp_path, monkeypatch):
    small, runs, _ = done
    replace, left = Path.replace, [30]

    class Killed(BaseException):
        pass

    def kill(draft, goal):
        left[0] -= 1
        if not left[0]:
            raise Killed
        return replace(draft, goal)

    monkeypatch.setattr(Path, "replace", kill)
    with pytest.raises(Killed):
        compare(small, tmp_path, jobs=1)
    monkeypatch.undo()
    again, _ = compare(small, tmp_path, jobs=1)
    for label, run in runs.items():
        for one, other in zip(run.seeds, again[label].seeds, strict=True):
            for name in ("metrics", "cost"):
                assert one.lines(name) == other.lines(name)
    for one, other in zip(
        write_rows(rows_of(runs), "naive", tmp_path),
        write_rows(rows_of(again), "naive", done[2]),
        strict=True,
    ):
        assert one.read_bytes() == other.read_bytes()


def test_without_a_chip_the_smallest_for_all_is_found_once_and_kept(tmp_path, monkeypatch):
    text = TEXT.replace("[chip]\nrows = 2\ncolumns = 2\n", "")
    small = load_comparison(written(tmp_path, text), ["train.epochs=1"], seeds=1)
    assert small.fitted
    folder = tmp_path / "kept"
    folder.mkdir()
    chip = comparison.common_chip(small, folder / "chip.toml")
    assert chip.rows * chip.columns * chip.neurons_per_tile >= 16
    monkeypatch.setattr(comparison, "smallest_chip", None)
    assert comparison.common_chip(small, folder / "chip.toml") == chip


def test_the_tables_fit_a_terminal_and_hold_every_column(done, capsys):
    from rich.console import Console

    console = Console(width=100)
    for found in tables(rows_of(done[1]), "naive"):
        console.print(found)
    text = capsys.readouterr().out
    assert "…" not in text
    for title in (
        "ACC, all",
        "forgetting",
        "compute",
        "routing",
        "off chip",
        "switch",
        "life",
    ):
        assert title in text
    assert "reference" in text


def test_files_hold_every_seed_and_the_figures_their_numbers(done):
    _, runs, folder = done
    rows = rows_of(runs)
    flat, brief, page = write_rows(rows, "naive", folder)
    lines = flat.read_text().splitlines()
    assert lines[0] == "strategy,identity,column,seed,value"
    seed1 = rows[1].values["devices"][1]
    assert f"slow,False,devices,1,{seed1!r}" in lines
    with brief.open(newline="") as file:
        known = {(r["strategy"], r["column"]): r for r in csv.DictReader(file)}
    devices = rows[1].values["devices"]
    found = known["slow", "devices"]
    assert (found["identity"], found["seeds"]) == ("False", "2")
    assert float(found["mean"]) == pytest.approx(np.mean(devices))
    assert float(found["deviation"]) == pytest.approx(np.std(devices, ddof=1))
    assert float(found["low"]) <= float(found["mean"]) <= float(found["high"])
    assert page.read_text().count("\n| ") + 1 >= 1 + len(rows)
    drawn = draw_rows(rows, folder, title="small")
    assert [path.name for path in drawn] == [
        f"accuracy-against-{price}.svg" for price in ("energy", "devices", "writes")
    ]
    numbers = (folder / "accuracy-against-devices.csv").read_text().splitlines()
    assert numbers[1].startswith("naive,False,")


def test_the_front_is_of_those_that_nobody_beats_in_both():
    rng = np.random.default_rng(0)
    price, accuracy = rng.random(30), rng.random(30)
    front = set(front_of(price, accuracy).tolist())
    for k in range(30):
        beaten = ((price <= price[k]) & (accuracy >= accuracy[k])).sum() > 1
        assert (k in front) == (not beaten)


def test_every_point_is_named_beside_the_panel():
    ax = pareto(
        np.array([1.0, 2, 30]), np.array([0.5, 0.9, 0.9]), "abc", ax=Figure().subplots()
    )
    assert [text.get_text() for text in ax.texts] == ["a", "b", "c"]
    assert ax.get_xscale() == "log"


@given(heights=st.lists(st.floats(0, 1), min_size=1, max_size=8), gap=st.floats(0.01, 0.5))
def test_names_keep_their_distance_and_their_order_and_move_little(heights, gap):
    wanted = np.array(heights)
    places = apart(wanted, gap)
    room = min(gap, 1 / max(len(wanted) - 1, 1))
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(places[order]) >= room - 1e-9).all()
    assert places.min() >= -1e-9
    assert places.max() <= 1 + 1e-9
    there = np.sort(wanted)
    if len(wanted) == 1 or (np.diff(there) >= gap).all():
        assert places == pytest.approx(wanted)
    elif len(wanted) == 2 and 0.25 < there.mean() < 0.75 and gap < 0.5:
        assert places.mean() == pytest.approx(wanted.mean())


def test_those_that_were_told_the_task_have_a_panel_of_their_own(
    done, tmp_path, monkeypatch
):
    rows = rows_of(done[1])
    panels = []
    monkeypatch.setattr(figures, "save", lambda figure, path, table: panels.append(figure))
    draw_rows([rows[0], replace(rows[1], identity=True)], tmp_path, title="small")
    titles = [[ax.get_title() for ax in figure.axes] for figure in panels]
    assert titles == [["not told the task", "told the task"]] * 3
    names = [[text.get_text() for text in ax.texts] for ax in panels[0].axes]
    assert names == [["naive"], ["slow"]]

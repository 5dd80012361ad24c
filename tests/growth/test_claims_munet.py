"""The section on muNet: sharing worked by hand, the text by small runs."""

import csv
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from hypothesis import given
from hypothesis import strategies as st

from growth.claims import find, munet
from growth.claims.evolved import Evolved, evolved_of, read_evolved
from growth.comparison import compare, load_comparison
from growth.report import summarise
from mosaic_sim.errors import MosaicError

slow = pytest.mark.slow  # training; no other section rests on it

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The section's experiment on a few digits, four tasks."""
    folder = tmp_path_factory.mktemp("munet")
    tables = tomllib.loads((EXPERIMENTS / "claims-munet.toml").read_text("utf-8"))
    tables["stream"] |= {
        "dataset": "digits",
        "train_samples": 30,
        "test_samples": 6,
        "steps": 4,
        "classes": tables["stream"]["classes"][:4],
    }
    tables |= {"seeds": [0, 1], "hidden": [6, 6], "chip": {"preset": "demo"}}
    for entry in tables["compare"]:
        entry.setdefault("train", {})["epochs"] = 1
    tables["train"]["epochs"] = 1
    file = folder / "claims-munet.toml"
    file.write_text(tomli_w.dumps(tables), "utf-8")
    compare(load_comparison(file), folder / "runs", jobs=1)
    return find(file, folder / "runs")


@pytest.fixture(scope="module")
def written(small, tmp_path_factory):
    images = tmp_path_factory.mktemp("images")
    return munet.section({"claims-munet": small}, images), images


# --- sharing ----------------------------------------------------


def test_networks_of_paths_worked_by_hand():
    layers = {
        c: {"w": torch.zeros(size)}
        for c, size in ((3, 30), (4, 10), (5, 10), (9, 30), (7, 10))
    }
    paths = {4: [[3, 4], 0, 0.9, 0.9], 1: [[3, 5], 0, 0.9, 0.9], 0: [[9, 7], 0, 0.9, 0.9]}
    found = evolved_of({"paths": paths, "components": layers})
    assert found.maker.tolist() == [[0, 0], [0, 1], [2, 2]]
    # 40 of 40 for one task, 50 of 80 for two, 90 of 120 for three
    assert [found.networks(k) for k in (1, 2, 3)] == [1, 50 / 80, 90 / 120]


@given(st.data())
def test_networks_are_what_components_shared_out_among_their_users_add_up_to(data):
    """Oracle: every task pays for each of its layers, divided by those who use it."""
    tasks, layers = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    number = st.integers(0, 3)
    paths = [[10 * k + data.draw(number) for k in range(layers)] for _ in range(tasks)]
    sizes = [data.draw(st.integers(1, 50)) for _ in range(layers)]
    components = {c: {"w": torch.zeros(sizes[c // 10])} for path in paths for c in path}
    found = evolved_of(
        {
            "paths": {i: [p, 0, 0.0, 0.0] for i, p in enumerate(paths)},
            "components": components,
        }
    )
    paid = sum(
        sizes[k] / sum(c in other for other in paths)
        for path in paths
        for k, c in enumerate(path)
    )
    assert found.networks(tasks) == pytest.approx(paid / sum(sizes) / tasks)


def test_what_has_no_paths_is_refused():
    with pytest.raises(MosaicError, match="needs to be one of strategy 'munet'"):
        evolved_of({"net": {}})
    with pytest.raises(MosaicError, match="it needs 1 to 2"):
        Evolved(np.zeros((2, 1), np.int64), np.array([1])).networks(3)


# --- nothing is forgotten ---------------------------------------


@slow
def test_a_run_of_munet_forgets_nothing_to_the_last_sample(small):
    summary = summarise(small.runs["munet"])
    for seed in range(2):
        matrix = summary.matrix(seed)
        assert matrix.shape == (4, 4)
        munet.check_nothing_forgotten(matrix)
        for task in range(4):
            assert len(set(matrix[task:, task])) == 1


def test_a_single_sample_that_is_lost_is_found():
    matrix = np.eye(3) + 0.25 * np.tri(3, k=-1)
    with pytest.raises(MosaicError, match=r"task 0 was 1.0000 .* 0.2500 after task 1"):
        munet.check_nothing_forgotten(matrix)


@slow
def test_a_page_is_refused_if_anything_is_forgotten(small, monkeypatch, tmp_path):
    wrong = small.summaries["munet"].matrix(0).copy()
    wrong[3, 2] = 1 - wrong[3, 2]
    monkeypatch.setattr(small.summaries["munet"].__class__, "matrix", lambda self, k: wrong)
    with pytest.raises(MosaicError, match="forgets nothing"):
        munet.section({"claims-munet": small}, tmp_path)


# --- the section ------------------------------------------------


@slow
def test_the_section_says_what_the_runs_say(small, written):
    text, _ = written
    shares = [read_evolved(seed).networks(4) for seed in small.runs["munet"].seeds]
    assert all(0 < share <= 1 for share in shares)
    (line,) = [x for x in text.splitlines() if x.startswith("| parameters a task")]
    assert f"| {np.mean(shares):.2f} ± " in line
    accuracy = {k: np.array(summarise(run).accuracies) for k, run in small.runs.items()}
    (line,) = [x for x in text.splitlines() if x.startswith(f"| {munet.EQUAL} | ")][:1]
    gap = 100 * (accuracy["munet"] - accuracy[munet.EQUAL]).mean()
    assert f"| {100 * accuracy[munet.EQUAL].mean():.1f} ± " in line
    assert f"| {gap:+.2f} ± ".replace("-", "−") in line


@slow
def test_work_for_a_task_does_not_grow(small):
    work = munet.work_of(small, "munet")
    options = munet.ran_options(small)
    children, held = options["children"], round(30 * options["validation"])
    train = 30 - held
    assert set(work["shown"].ravel()) == {children * train}
    # two looks while a child is trained, and one at the energy of its path
    assert set(work["looked"].ravel()) == {children * held * 3}


@slow
def test_figures_hold_what_they_show(small, written):
    text, images = written
    for name in ("quality", "sharing", "work"):
        assert f"images/claims-munet-{name}.png" in text
        assert (images / f"claims-munet-{name}.png").exists()
    with (images / "claims-munet-sharing.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 4
    shares = [read_evolved(seed).networks(4) for seed in small.runs["munet"].seeds]
    last = [float(r["networks"]) for r in rows if r["task"] == "3"]
    assert last == pytest.approx(shares)

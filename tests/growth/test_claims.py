"""The page of claims: overlaps and tests against direct ones, sections from small runs."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from growth.claims import DOCUMENTS, find, growth_paths, masks, page, write_page
from growth.claims.base import Ran, chip_table, points, table
from growth.claims.masks import PRINTED
from growth.claims.overlaps import count_t_test, overlaps_of
from growth.cli import app
from growth.comparison import compare, load_comparison
from growth.paths import load_paths, run_paths
from growth.report import summarise
from mosaic_sim.errors import MosaicError

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

SMALL = {"dataset": "digits", "train_samples": 150, "test_samples": 20, "steps": 4}


def shrunk(name, folder):
    """A configuration of the page, on few digits."""
    tables = tomllib.loads((EXPERIMENTS / f"{name}.toml").read_text("utf-8"))
    stream = tables["stream"] | SMALL
    if "classes" in stream:
        stream["classes"] = stream["classes"][:3]
    if "tasks" in stream:
        stream["tasks"] = 3
    tables |= {"stream": stream, "seeds": [0, 1], "hidden": [8, 8]}
    tables["train"] |= {"batch": 20, "learning_rate": 0.01}
    if "options" in tables:
        tables["options"] = tables["options"] | {"extra": 2}
    path = folder / f"{name}.toml"
    path.write_text(tomli_w.dumps(tables), "utf-8")
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Folder of small configurations of the section on masks, and of their runs."""
    folder = tmp_path_factory.mktemp("claims")
    for name in masks.EXPERIMENTS:
        compare(load_comparison(shrunk(name, folder)), folder / "runs", jobs=1)
    return folder


@pytest.fixture(scope="module")
def only_masks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "DOCUMENTS", {"masks": masks})
        yield


@pytest.fixture(scope="module")
def written(small, only_masks):
    return write_page(small, small / "runs", small / "docs")


# --- overlaps ------------------------------------------------------------------------------


def test_overlaps_are_those_of_the_masks_that_were_kept(small):
    ran = find(small / "claims-masks-permuted.toml", small / "runs")
    for label, run in ran.runs.items():
        for seed, decisions in zip(run.seeds, ran.summaries[label].growth, strict=True):
            found = overlaps_of(decisions)
            state = torch.load(seed.path / "checkpoint.pt", weights_only=True)
            kept = list(state["strategy"]["masks"].values())
            for i in range(3):
                for j in range(i):
                    for k in range(3):
                        one, other = kept[i][f"w{k}"], kept[j][f"w{k}"]
                        both, either = (one & other).sum(), (one | other).sum()
                        assert found.jaccard[i, j, k] == pytest.approx(float(both / either))
                    flips = sum(int((kept[i][n] != kept[j][n]).sum()) for n in kept[i])
                    assert found.flips[i, j] == found.flips[j, i] == flips
                assert found.ones[i].tolist() == [int(m.sum()) for m in kept[i].values()]
            np.testing.assert_array_equal(found.jaccard, found.jaccard.swapaxes(0, 1))


def test_an_overlap_needs_two_masks():
    with pytest.raises(MosaicError, match="has 0 masks"):
        overlaps_of([{"action": "grow"}])


@given(st.integers(2, 60), st.data())
def test_the_t_test_is_that_of_the_masks_as_samples(weights, data):
    one, other = (data.draw(st.integers(1, weights - 1)) for _ in range(2))
    samples = [(np.arange(weights) < n).astype(float) for n in (one, other)]
    wanted = stats.ttest_ind(*samples)
    t, p = count_t_test(one, other, weights)
    assert t == pytest.approx(wanted.statistic, rel=1e-9, abs=1e-12)
    assert p == pytest.approx(wanted.pvalue, rel=1e-9)


def test_t_of_half_full_masks_is_a_multiple_of_the_documents_unit():
    """Every printed t is a whole number times 1 / sqrt(45000)."""
    for ones in (45000, 45017, 45133):
        t, _ = count_t_test(ones, 45000, 90000)
        assert t * 45000**0.5 == pytest.approx(ones - 45000, rel=1e-4, abs=1e-9)


# --- what the document prints ------------------------------------------------------------------


def test_printed_overlaps_are_chance_within_a_few_of_its_deviations():
    """Independent masks of one half share a third; 49.7 % of the weights share 33.0 %."""
    chance = 0.497 / (2 - 0.497)
    for doc in PRINTED.values():
        assert doc.overlap[0] / 100 == pytest.approx(chance, abs=0.002)


# --- the page -----------------------------------------------------------------------------------


def test_every_configuration_of_the_page_is_there_and_says_how_to_run_it():
    for document in DOCUMENTS.values():
        for name in document.EXPERIMENTS:
            text = (EXPERIMENTS / f"{name}.toml").read_text("utf-8")
            assert f"experiments/{name}.toml" in text
            assert "minute" in text, f"{name} does not say how long it takes"


def test_a_page_is_written_from_runs_alone(written):
    assert written.missing == []
    text = written.path.read_text("utf-8")
    for wanted in (
        "94.04",
        "95.73",
        "33.09 (0.19; 32.77 to 33.59)",
        "seeds 0 and 1",
        " min of ",
    ):
        assert wanted in text
    pictures = {p.stem for p in (written.path.parent / "images").glob("*.png")}
    for name in pictures:
        assert f"images/{name}.png" in text
    assert len(pictures) == 7


def test_accuracies_of_the_page_are_those_of_the_runs(small, written):
    text = written.path.read_text("utf-8")
    ran = find(small / "claims-masks-rotated.toml", small / "runs")
    accuracy = 100 * summarise(ran.runs["fresh"]).accuracy.mean
    (line,) = [x for x in text.splitlines() if x.startswith("| rotated | classic, one")]
    assert f"| {accuracy:.2f} ± " in line
    assert line.endswith("| no |")
    assert points(accuracy - 94.04, 2) in line


def test_flips_are_what_a_switch_rewrites(small):
    ran = find(small / "claims-masks-chip.toml", small / "runs")
    for label in ("fresh", "same", "similar"):
        summary = ran.summaries[label]
        for cost, decisions in zip(summary.cost, summary.growth, strict=True):
            flips = overlaps_of(decisions).flips
            assert cost[-1]["switches"] == [flips[2, 0], flips[0, 1], flips[1, 2]]


def test_what_was_not_run_is_named_with_its_command(tmp_path, only_masks):
    for name in masks.EXPERIMENTS:
        shrunk(name, tmp_path)
    written = write_page(tmp_path, tmp_path / "runs", tmp_path)
    assert written.path is None
    assert not (tmp_path / "claims.md").exists()
    written = write_page(tmp_path, tmp_path / "runs", tmp_path, partial=True)
    assert len(written.missing) == len(masks.EXPERIMENTS)
    text = written.path.read_text("utf-8")
    assert all(command in text for command in written.missing)
    assert not list((tmp_path / "images").iterdir())


def test_a_seed_that_was_not_finished_is_missing(small, tmp_path):
    file = small / "claims-masks-rotated.toml"
    assert isinstance(find(file, small / "runs"), Ran)
    more = tmp_path / file.name
    more.write_text(
        file.read_text("utf-8").replace("seeds = [\n    0,\n    1,", "seeds = [0, 7,")
    )
    assert "7" in more.read_text("utf-8")
    assert find(more, small / "runs") is None


def test_networks_that_do_not_spike_have_no_chip_s_columns(small):
    ran = find(small / "claims-masks-permuted.toml", small / "runs")
    assert "| fresh | no chip |" in chip_table(ran, ["fresh"])


def test_growth_paths_answer_the_report_s_questions(tmp_path, monkeypatch):
    monkeypatch.setattr(growth_paths, "DATA", {"digits": "digits"})
    text = (EXPERIMENTS / "growth-paths-digits.toml").read_text("utf-8")
    tables = tomllib.loads(text) | {
        "seeds": [0, 1], "train_samples": 64, "times": 2, "looks": 2, "random_paths": 0,
        "ann": {"optimisers": ["sgd"], "starts": ["gaussian", "gradmax"]},
    }  # fmt: skip
    del tables["snn"]
    file = tmp_path / "growth-paths-digits.toml"
    file.write_text(tomli_w.dumps(tables), "utf-8")
    assert find(file, tmp_path) is None
    run_paths(load_paths(file), tmp_path, jobs=1)
    found = {"growth-paths-digits": find(file, tmp_path)}
    (tmp_path / "images").mkdir()
    section = growth_paths.section(found, tmp_path / "images")
    assert "mosaic paths" in section
    assert "Does the path matter?" in section
    assert (tmp_path / "images" / "claims-paths-digits.png").exists()
    with pytest.raises(MosaicError, match="no experiment on growth paths"):
        growth_paths.section({"growth-paths-digits": Ran(file, {})}, tmp_path)


def test_tables_have_one_cell_for_each_head():
    assert table(["a"], [["1"]]).splitlines() == ["| a |", "|---|", "| 1 |"]


def test_the_command_names_what_is_missing_and_writes_nothing(tmp_path, only_masks):
    for name in masks.EXPERIMENTS:
        shrunk(name, tmp_path)
    folders = ["--runs", "--out", "--experiments"]
    given = [x for name in folders for x in (name, str(tmp_path))]
    found = CliRunner().invoke(app, ["claims", *given])
    assert found.exit_code == 1
    assert "missing mosaic compare" in found.output
    assert not (tmp_path / "claims.md").exists()
    assert CliRunner().invoke(app, ["claims", *given, "--partial"]).exit_code == 0
    assert "Not run to the end yet" in (tmp_path / "claims.md").read_text("utf-8")

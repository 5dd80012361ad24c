"""Every measure of a run: from its records, by hand, and with a reason where there is none."""

import io
import json

import numpy as np
import pytest
import torch
from rich.console import Console
from tiny import records, run, tiny

from growth.config import load_experiment
from growth.curve import LOOKED_AT
from growth.experiment import run_experiments
from growth.layered import Layered
from growth.learner import check_experiment, make_stream
from growth.measures import all_measures, class_table, measure_table
from growth.metrics import activation_sparsity, confusion_of, synaptic_operations
from growth.neurobench import Work
from growth.runs import open_run
from mosaic_sim import ConfigError, MosaicError


def named(found):
    return {one.name: one for one in found}


def text(table):
    console = Console(width=120, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    """A run that was looked at before every update."""
    experiment = tiny("naive", "train.look=1", "train.epochs=1")
    return run(experiment, tmp_path_factory.mktemp("looked"))


def test_looking_changes_nothing_else(looked, tmp_path):
    plain = run(tiny("naive", "train.epochs=1"), tmp_path)
    rows = [json.loads(line) for line in records(looked)["metrics"].splitlines()]
    assert all(row.pop("curve") for row in rows)
    assert rows == [json.loads(line) for line in records(plain)["metrics"].splitlines()]
    assert records(looked)["cost"] == records(plain)["cost"]


def test_a_curve_ends_where_the_evaluation_finds_the_network(looked):
    for row in looked.seed(0).lines("metrics"):
        curve = np.array(row["curve"]["accuracy"])
        samples = looked.experiment.stream
        assert curve.shape[1] == len(row["accuracy"])
        assert len(curve) >= 3
        if samples.test_samples is not None and samples.test_samples <= LOOKED_AT:
            assert curve[-1].tolist() == row["accuracy_snntorch"]
        assert curve[-1] == pytest.approx(row["accuracy_snntorch"], abs=0.1)


def test_measures_while_learning_are_those_of_the_curve(looked):
    found = named(all_measures(looked))
    rows = looked.seed(0).lines("metrics")
    first, second = (np.array(row["curve"]["accuracy"]) for row in rows)
    assert found["stability gap"].values == [
        pytest.approx(first[-1, 0] - second[:, 0].min())
    ]
    assert found["minimum accuracy"].values == [pytest.approx(second[:, 0].min())]
    least = min(len(first), len(second), 11)
    area = np.mean([first[:least, 0], second[:least, 1]])
    assert found["LCA"].values == [pytest.approx(area)]


def test_without_a_look_the_reason_is_given(runs):
    found = named(all_measures(runs["naive"]))
    assert found["stability gap"].values == []
    assert "train.look" in found["stability gap"].text()
    assert "nothing can teach its labels" in found["FWT"].text()


def test_a_strategy_that_shows_nothing_while_it_learns_is_not_looked_at():
    with pytest.raises(ConfigError, match=r"train.look is 1.*set train.look = 0"):
        check_experiment(tiny("grow", "train.look=1"))


def test_intransigence_is_what_joint_training_has_more(runs):
    found = named(all_measures(runs["naive"], runs["joint"]))
    mine = [row["accuracy"] for row in runs["naive"].seed(0).lines("metrics")]
    bound = runs["joint"].seed(0).lines("metrics")[-1]["accuracy"]
    expected = np.mean([bound[k] - mine[k][k] for k in range(len(mine))])
    assert found["intransigence"].values == [pytest.approx(expected)]


def test_joint_training_of_other_seeds_is_refused(runs, tmp_path):
    other = run(tiny("joint", "seeds=[1]"), tmp_path)
    with pytest.raises(MosaicError, match="seed-1; it needs seed-0"):
        all_measures(runs["naive"], other)


def test_forward_transfer_is_against_the_network_before_training(tmp_path):
    settings = (
        "seeds=[0]", 'stream.kind="permuted"', "stream.tasks=2", "train.epochs=1",
        "stream.steps=4", "hidden=12", "stream.test_share=0.8",
    )  # fmt: skip
    done = run(load_experiment("split-digits-naive", settings), tmp_path)
    rows = done.seed(0).lines("metrics")
    found = named(all_measures(done))
    expected = rows[0]["accuracy"][1] - rows[0]["untrained"][1]
    assert found["FWT"].values == [pytest.approx(expected)]


def test_masks_are_compared_with_chance(tmp_path):
    settings = ('strategy="supsup"', "train.epochs=1", "stream.identity=true")
    found = named(all_measures(run(tiny("naive", *settings), tmp_path)))
    assert found["J"].values[0] == pytest.approx(found["J0, of chance"].values[0], abs=0.1)
    assert found["flips of a switch"].values[0] > 0


@pytest.mark.parametrize("real", [False, True])
def test_operations_are_those_of_the_rasters(real):
    torch.manual_seed(0)
    net = Layered([6, 8, 3], leak=0.9, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for weight in net.weights.values():
            weight[weight.abs() < 0.2] = 0
    given = torch.rand(7, 5, 6) < 0.4  # steps, samples, inputs
    shown = given * torch.rand(7, 5, 6) if real else given.float()
    with torch.no_grad():
        hidden, out = net.activity(shown)
    counts = {name: x.sum(0).numpy() for name, x in (("layer 1", hidden), ("out", out))}
    work = Work()
    array = shown.transpose(0, 1).numpy()
    work.ran(net.blueprint(), array if real else array > 0, counts)
    found = work.to_dict(samples=5)
    layers = [
        (x.detach().reshape(35, -1).numpy(), w.detach().numpy())
        for x, w in zip((shown, hidden), net.weights.values(), strict=True)
    ]
    expected = synaptic_operations(layers)
    operations = found["synaptic_operations"]
    assert operations["Dense"] == pytest.approx(7 * expected.dense)
    assert operations["Effective_ACs"] == pytest.approx(7 * expected.eff_acs)
    assert operations["Effective_MACs"] == pytest.approx(7 * expected.eff_macs)
    rasters = [hidden.detach().numpy(), out.detach().numpy()]
    assert found["activation_sparsity"] == pytest.approx(activation_sparsity(rasters))
    zeros = sum(int((w == 0).sum()) for w in net.weights.values())
    assert found["connection_sparsity"] == pytest.approx(zeros / (6 * 8 + 8 * 3))


def test_the_confusion_is_what_accuracy_is_made_of(runs):
    for folder in runs.values():
        row = folder.seed(0).lines("metrics")[-1]
        stream = make_stream(folder.experiment, 0)
        for task, entries, accuracy in zip(
            stream.tasks, row["confusions"], row["accuracy"], strict=True
        ):
            confusion = confusion_of(entries, stream.labels)
            assert confusion.trace() / confusion.sum() == pytest.approx(accuracy)
            wanted = np.bincount(task.test_labels, minlength=stream.labels)
            np.testing.assert_array_equal(confusion.sum(1), wanted)
    shown = text(class_table(runs["joint"]))
    assert "precision" in shown
    assert text(measure_table(runs["joint"], all_measures(runs["joint"])))


def test_nothing_measured_is_refused(tmp_path):
    dear = tiny("grow", "grow.loss_per_nanojoule=1e6")
    (folder,) = run_experiments([dear], tmp_path, jobs=1)
    with pytest.raises(MosaicError, match="without a result"):
        all_measures(open_run(folder.path))

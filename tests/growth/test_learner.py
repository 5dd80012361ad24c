import os
import signal
import subprocess
import sys
import textwrap
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from tiny import quiet, records, run, tiny, torch_raster

from growth.bridge import load_program, load_routing, make_technology, price
from growth.encode import regular_rate
from growth.experiment import run_experiments
from growth.host import Unlimited
from growth.learner import check_experiment, make_stream, run_seed, whole
from growth.measure import in_torch
from growth.runs import RunFolder, open_run
from growth.strategies import STRATEGIES
from mosaic_sim import MosaicError, simulate
from mosaic_sim.image import devices

every_strategy = pytest.mark.parametrize("name", ["naive", "grow", "joint"])
MICRO = ("train.epochs=1", "stream.steps=4", "hidden=4", "stream.test_share=0.9")


class Killed(BaseException):
    """Nobody catches this: the process could as well be gone."""


def experts_of(folder):
    """Classes and births as they stand in the last checkpoint."""
    state = torch.load(folder.seed(0).path / "checkpoint.pt", weights_only=True)
    return [(e["classes"], e["births"]) for e in state["strategy"]["experts"]]


def test_samples(stream):
    inputs = np.concatenate([task.test_inputs for task in stream.tasks])
    labels = np.concatenate([task.test_labels for task in stream.tasks])
    return regular_rate(inputs, 8), labels


test_samples.__test__ = False


# --- the same bytes ----------------------------------------------------------------------


@every_strategy
def test_the_same_configuration_and_seed_give_the_same_bytes(name, runs, tmp_path):
    again = run(tiny(name), tmp_path)
    assert records(again) == records(runs[name])
    assert all(records(again)[kind] for kind in ("metrics", "cost"))
    if name == "grow":
        assert records(again)["growth"]


def test_another_seed_gives_other_bytes(runs, tmp_path):
    other = run(tiny("naive", "seeds=[1]"), tmp_path)
    assert records(other, seed=1)["metrics"] != records(runs["naive"])["metrics"]


@pytest.mark.slow
def test_seeds_side_by_side_give_the_same_bytes_as_one_after_the_other(tmp_path):
    experiment = tiny("naive", "seeds=[0,1]", *MICRO)
    (apart,) = run_experiments([experiment], tmp_path / "apart", jobs=2)
    (alone,) = run_experiments([experiment], tmp_path / "alone", jobs=1)
    assert apart.done
    assert alone.done
    for seed in (0, 1):
        assert records(apart, seed) == records(alone, seed)


# --- killed and resumed ------------------------------------------------------------------


@pytest.fixture(scope="module")
def micro(tmp_path_factory):
    """An uninterrupted run of the fastest kind."""
    return run(tiny("naive", *MICRO), tmp_path_factory.mktemp("micro"))


@pytest.mark.parametrize("write", range(18))
def test_a_run_killed_at_any_write_resumes_to_the_same_bytes(
    micro, tmp_path, monkeypatch, write
):
    """Two tasks of eight files each, then provenance and DONE."""
    folder = RunFolder.create(tmp_path, micro.experiment)
    replace, written = Path.replace, []

    def kill(draft, goal):
        if len(written) == write:
            raise Killed
        written.append(goal.name)
        return replace(draft, goal)

    monkeypatch.setattr(Path, "replace", kill)
    with pytest.raises(Killed):
        run_seed(micro.experiment, 0, folder.seed(0), quiet)
    monkeypatch.undo()
    assert not folder.done
    with pytest.raises(MosaicError, match="not finished"):
        open_run(folder.path)
    run_seed(micro.experiment, 0, folder.seed(0), quiet)
    assert folder.done
    assert records(folder) == records(micro)
    for image in micro.seed(0).path.glob("*.npz"):
        assert (folder.seed(0).path / image.name).read_bytes() == image.read_bytes()


@pytest.mark.slow
@every_strategy
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_run_killed_while_it_learns_resumes_to_the_same_bytes(
    name, share, runs, tmp_path
):
    def kill(done):
        if done > share:
            raise Killed

    with pytest.raises(Killed):
        run(tiny(name), tmp_path, kill)
    started = RunFolder.create(tmp_path, tiny(name)).seed(0).lines("metrics")
    assert len(started) == (share > 0.5 and name != "joint")
    shares = []
    assert records(run(tiny(name), tmp_path, shares.append)) == records(runs[name])
    assert shares[0] > (0.5 if started else 0)  # what was done is not done again
    assert shares[-1] == 1


@pytest.mark.slow
def test_a_process_killed_by_the_system_resumes_to_the_same_bytes(runs, tmp_path):
    script = f"""
        import os, signal, sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from pathlib import Path
        from tiny import run, tiny
        def kill(share):
            if share > 0.7:
                os.kill(os.getpid(), signal.SIGKILL)
        run(tiny("grow"), Path({str(tmp_path)!r}), kill)
    """  # noqa: PTH120
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert killed.returncode == -signal.SIGKILL
    folder = RunFolder.create(tmp_path, tiny("grow"))
    assert len(folder.seed(0).lines("metrics")) == 1
    assert records(run(tiny("grow"), tmp_path)) == records(runs["grow"])
    assert not list(tmp_path.rglob("*.part"))


def test_a_finished_run_is_not_run_again(runs):
    for folder in runs.values():
        files = {path: path.stat().st_mtime_ns for path in folder.seed(0).path.rglob("*")}
        shares = []
        run_seed(folder.experiment, 0, folder.seed(0), shares.append)
        assert shares == [1.0]
        (again,) = run_experiments([folder.experiment], folder.path.parent, jobs=1)
        assert again.path == folder.path
        after = {path: path.stat().st_mtime_ns for path in folder.seed(0).path.rglob("*")}
        assert after == files


def test_a_damaged_checkpoint_is_refused_with_what_to_do(micro, tmp_path):
    folder = RunFolder.create(tmp_path, micro.experiment)
    (folder.seed(0).path / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(
        MosaicError, match=r"damaged; delete .*seed-0' to start this"
    ) as refused:
        run_seed(micro.experiment, 0, folder.seed(0), quiet)
    assert "\n" not in str(refused.value)


# --- what is recorded --------------------------------------------------------------------


@every_strategy
def test_recorded_accuracies_are_those_of_the_stored_program(name, runs):
    folder = runs[name]
    spikes, labels = test_samples(make_stream(folder.experiment, 0))
    experts = experts_of(folder) if name == "grow" else []
    for row in folder.seed(0).lines("metrics"):
        program = load_program(folder.seed(0).path / f"program-{row['task']}.npz")
        counts = simulate(program, spikes, threads=1).counts[:, program.first_neuron :]
        known = [(c, b) for c, b in experts if max(b["out"]) < row["neurons"]]
        scores = np.zeros((len(labels), 10))
        if name == "grow":
            near = [logsumexp(0.5 * counts[:, b["gate"]], axis=1) for _, b in known]
            weights = softmax(4 * np.column_stack(near), axis=1)
            for e, (classes, births) in enumerate(known):
                opinion = softmax(0.5 * counts[:, births["out"]], axis=1)
                scores[:, classes] += weights[:, [e]] * opinion
        else:
            scores = counts[:, 12:]
        hit = scores.argmax(1) == labels
        tasks = [np.isin(labels, c) for c in ([0, 1], [2, 3])]
        assert row["accuracy"] == [hit[own].mean() for own in tasks]
        within = [
            (scores[own][:, c].argmax(1) + c[0] == labels[own]).mean()
            for own, c in zip(tasks, ([0, 1], [2, 3]), strict=True)
        ]
        assert row["accuracy_within_task"] == within
        assert row["neurons"] == program.leak.size
        assert row["synapses"] == len(program.weight)
        assert row["tiles"] == len(set(program.tile.tolist()))
        assert row["free_tiles"] == 16 - row["tiles"]
        if name == "grow":
            owner = [next(e for e, (_, b) in enumerate(known) if n in chain(*b.values()))
                     for n in range(row["neurons"])]  # fmt: skip
            assert row["owner"] == owner
            assert row["owners"] == [f"expert {e}" for e in range(len(known))]
            own = np.array([0, 0, 1, 1])[labels]
            seen = own < len(known)
            assert (
                row["gate_hits"]
                == (np.column_stack(near)[seen].argmax(1) == own[seen]).mean()
            )
        else:
            assert row["owners"] == ["layer 1", "out"]
            assert row["owner"] == [0] * 12 + [1] * 10


def test_the_accuracy_in_snntorch_is_that_of_the_stored_model(runs):
    folder = runs["grow"]
    stream = make_stream(folder.experiment, 0)
    spikes, labels = test_samples(stream)
    learner = STRATEGIES["grow"](folder.experiment, stream, Unlimited(), 0)
    state = torch.load(folder.seed(0).path / "checkpoint.pt", weights_only=True)
    learner.load_state(state["strategy"])
    hit = learner.scores(in_torch(spikes)).argmax(1) == labels
    row = folder.seed(0).lines("metrics")[-1]
    assert row["accuracy_snntorch"] == [
        hit[np.isin(labels, c)].mean() for c in ([0, 1], [2, 3])
    ]
    assert row["spikes_snntorch"] == torch_raster(learner.blueprint(), spikes).sum()
    assert row["predictions"] == len(labels)


@every_strategy
def test_bills_are_those_of_the_stored_programs_and_writes_their_differences(name, runs):
    folder = runs[name]
    spikes, _ = test_samples(make_stream(folder.experiment, 0))
    before = {}
    rows = folder.seed(0).lines("cost")
    assert [row["task"] for row in rows] == ([0] if name == "joint" else [0, 1])
    for row in rows:
        program = load_program(folder.seed(0).path / f"program-{row['task']}.npz")
        load_routing(folder.seed(0).path / f"routing-{row['task']}.npz")
        report = price(
            program, simulate(program, spikes, threads=1), make_technology("rram-130nm")
        )
        assert row["energy_per_inference"] == report.energy_per_inference
        now = dict(zip(*(a.tolist() for a in devices(program)), strict=True))
        changed = sum(before.get(d, 0) != now.get(d, 0) for d in before.keys() | now.keys())
        assert row["writes"] == changed > 0
        before = now


def test_the_growing_learner_keeps_what_the_naive_one_forgets(runs):
    after = {
        name: folder.seed(0).lines("metrics")[-1]["accuracy"]
        for name, folder in runs.items()
    }
    assert min(after["grow"]) > 0.9
    assert after["naive"][0] < 0.5 < after["naive"][1]


def test_all_at_once_is_the_whole_stream(stream):
    task = whole(stream)
    assert task.classes == tuple(range(10))
    assert len(task.train_labels) == sum(len(t.train_labels) for t in stream.tasks) == 1198
    assert len(task.test_inputs) == len(task.test_labels) == 599


# --- too small a chip --------------------------------------------------------------------


def test_a_chip_without_a_free_tile_ends_the_growing_run_with_that_as_its_result(squeezed):
    folder = squeezed["grow"]
    assert folder.done
    assert [row["action"] for row in folder.seed(0).lines("growth")][
        -1
    ] == "no tile with room"
    rows = folder.seed(0).lines("metrics")
    assert rows[-1] == {"task": 1, "ended": "no tile with room for task 1"}
    assert rows[-2]["accuracy"][0] > 0.9  # what it had learnt still runs
    assert rows[-2]["accuracy"][1] == 0
    writes = [row["writes"] for row in folder.seed(0).lines("cost")]
    assert writes[0] > 0
    assert not any(writes[1:])


def test_a_network_that_does_not_fit_ends_the_naive_run_with_that_as_its_result(squeezed):
    folder = squeezed["naive"]
    assert folder.done
    (row,) = folder.seed(0).lines("metrics")
    assert row["ended"].startswith(
        "task 0 does not fit the chip: 40 neurons do not fit on 1 x 1"
    )
    assert folder.seed(0).lines("cost") == []


def test_a_run_that_ended_early_is_not_taken_up_again(squeezed, tmp_path):
    for folder in squeezed.values():
        again = RunFolder.create(tmp_path, folder.experiment)
        for file in folder.seed(0).path.iterdir():
            if file.name != "DONE":
                (again.seed(0).path / file.name).write_bytes(file.read_bytes())
        run_seed(folder.experiment, 0, again.seed(0), quiet)
        assert again.done
        assert records(again) == records(folder)


def test_one_tile_more_and_the_second_task_is_learnt(tmp_path):
    folder = run(tiny("grow", "chip.rows=1", "chip.columns=2"), tmp_path)
    last = folder.seed(0).lines("metrics")[-1]
    assert (last["tiles"], last["free_tiles"]) == (2, 0)
    assert min(last["accuracy"]) > 0.9


def test_an_experiment_that_names_what_is_not_there_writes_nothing(tmp_path):
    experiment = tiny("grow", "technology=absent")
    with pytest.raises(MosaicError, match="Unknown technology 'absent'"):
        check_experiment(experiment)
    with pytest.raises(MosaicError, match="Unknown technology 'absent'"):
        run_experiments([experiment], tmp_path / "runs", jobs=1)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("strategy", "setting", "why"),
    [
        ("naive", "front.kind=gabor", "'naive' has no layer in front"),
        ("grow", "grow.when=schedule", "set stream.boundaries = false"),
    ],
)
def test_a_setting_that_nobody_would_read_is_refused(strategy, setting, why):
    with pytest.raises(MosaicError, match=why):
        check_experiment(tiny(strategy, setting))

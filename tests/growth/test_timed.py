"""Times of new experts that do not depend on what is seen: rivals of the trigger."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_grow_freely import SMALL, learner, meets, part
from tiny import quiet, records, run, tiny

from growth.learner import run_seed
from growth.runs import RunFolder
from growth.streams import hidden, split, uneven
from growth.when import Schedule, Settings, Timed, observe, random_times, timed
from mosaic_sim import MosaicError


def batch(value=1.0):
    return observe(
        [[value]], [0], [0.1], activity=[[1.0]], errors=[[1.0]], training=[[1.0]]
    )


def opened(clock, batches):
    return [k for k in range(batches) if clock(batch()).name == "new expert"]


# --- times -------------------------------------------------------------------------------


@given(st.integers(0, 6), st.integers(1, 9), st.integers(0, 40), st.integers(0, 99))
def test_random_times_keep_their_number_and_their_distance(events, apart, more, seed):
    batches = (events + 1) * apart + 1 + more
    times = sorted(random_times(events, batches, seed, apart=apart).batches)
    assert len(times) == events
    if apart > 1:
        assert (np.diff([0, *times, batches]) >= apart).all()


def test_random_times_that_do_not_fit_are_refused():
    with pytest.raises(MosaicError, match="4 events do not fit 20 batches"):
        random_times(4, 20, 0, apart=5)


def test_random_times_are_found_everywhere_that_they_may_be():
    found = {t for seed in range(300) for t in random_times(2, 12, seed, apart=3).batches}
    assert found == set(range(3, 10))


@pytest.mark.parametrize("name", ["oracle", "schedule", "random"])
def test_rivals_open_as_many_experts_as_tasks_begin(name):
    lengths = [200, 130, 170, 240]
    clock = timed(name, lengths, 10, 0, Settings(learning=60))
    times = opened(clock, sum(lengths) // 10)
    assert len(times) == 3
    assert times == sorted(set(times))
    wanted = {"oracle": [20, 33, 50], "schedule": [18, 37, 56]}
    assert times == wanted.get(name, times)


def test_the_oracle_waits_for_the_first_whole_batch_of_a_task():
    assert opened(timed("oracle", [25, 30, 40], 10, 0, Settings()), 10) == [3, 6]


def test_times_do_not_depend_on_what_is_seen():
    one, other = (timed("random", [50, 50], 5, 3, Settings(learning=5)) for _ in range(2))
    rng = np.random.default_rng(0)
    first = [one(batch()).name for _ in range(20)]
    assert first == [other(batch(rng.normal())).name for _ in range(20)]


def test_a_clock_goes_on_from_its_state():
    plain, resumed = Timed(Schedule(4)), Timed(Schedule(4))
    whole = [plain(batch()).name for _ in range(10)]
    half = Timed(Schedule(4))
    first = [half(batch()).name for _ in range(5)]
    resumed.load_state(half.state())
    assert first + [resumed(batch()).name for _ in range(5)] == whole
    assert resumed.active == plain.active == whole.count("new expert")
    assert resumed.route(np.ones((1, 1))) == plain.active


# --- streams -----------------------------------------------------------------------------


def test_uneven_tasks_lose_their_last_samples_and_no_test_sample(stream):
    found = uneven(stream, 0.5, 0)
    shares = [
        len(a.train) / len(b.train) for a, b in zip(found.tasks, stream.tasks, strict=True)
    ]
    assert min(shares) >= 0.49
    assert len({round(share, 2) for share in shares}) > 3
    for task, whole in zip(found.tasks, stream.tasks, strict=True):
        kept = len(task.train)
        assert np.array_equal(task.train_inputs, whole.train_inputs[:kept])
        assert len(task.test) == len(whole.test)
    same = uneven(stream, 0.0, 0)
    assert [len(t.train) for t in same.tasks] == [len(t.train) for t in stream.tasks]


@pytest.mark.parametrize("most", [-0.1, 1.0])
def test_an_uneven_stream_keeps_something_of_each_task(stream, most):
    with pytest.raises(MosaicError, match="most is"):
        uneven(stream, most, 0)


# --- the learner ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["oracle", "random"])
def test_a_learner_opens_experts_when_it_is_told_to(stream, name):
    three = part(stream, 0, 1, 2)
    made = meets(learner(three, None, f"grow.when={name}"), three)
    times = [d.evidence["batch"] for d in made.decisions if d.action == "new expert"]
    assert times[1:] == sorted(made.freely.trigger.signal.batches)
    assert len(made.experts) == 3
    by = [d.evidence.get("decided_by") for d in made.decisions if d.action == "new expert"]
    assert by[1:] == [name] * 2
    if name == "oracle":
        assert [e.classes for e in made.experts] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.slow
def test_a_run_by_the_clock_resumes_to_the_same_bytes(data, tmp_path):
    experiment = tiny("grow", *SMALL, "grow.when=random")
    whole = run(experiment, tmp_path / "whole")
    again = RunFolder.create(tmp_path / "killed", experiment)

    def dies(share):
        if share > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_seed(experiment, 0, again.seed(0), dies)
    run_seed(experiment, 0, again.seed(0), quiet)
    assert records(again) == records(whole)


def test_the_trigger_is_not_told_how_long_tasks_are(data):
    """With other lengths after the first task it decides alike as long as it saw the same."""
    both = hidden(split(data, [[0, 1], [2, 3]]))
    first = both.tasks[0]
    cut = replace(both, tasks=(first, replace(both.tasks[1],
                  train=both.tasks[1].train.take(range(40)))))  # fmt: skip
    one, other = learner(both), learner(cut)
    for made, stream in ((one, both), (other, cut)):
        batches = [b for b, _ in zip(stream.batches(10), range(20), strict=False)]
        made.meet(iter(batches), quiet)
    assert [d.to_dict() for d in one.decisions] == [d.to_dict() for d in other.decisions]

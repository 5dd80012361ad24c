from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from tiny import run, tiny

from growth.changes import rotate
from growth.config import StreamConfig, TrainConfig, load_experiment
from growth.datasets import DATASETS, from_arrays
from growth.encode import regular_rate
from growth.learner import check_experiment, whole
from growth.samples import Samples
from growth.streams import (
    PAIRS,
    PROTOCOLS,
    Dataset,
    Stream,
    Task,
    blurred,
    check_protocol,
    configured,
    digits,
    hidden,
    limited,
    load_dataset,
    mixed,
    noisy,
    partitioned,
    permuted,
    recurring,
    rotated,
    sequence,
    split,
    split_evenly,
)
from mosaic_sim import ConfigError, MosaicError


def rows(inputs, labels):
    """Samples as a multiset."""
    return Counter(
        (label, *row) for row, label in zip(inputs.tolist(), labels.tolist(), strict=True)
    )


@pytest.mark.parametrize("seed", [0, 7])
def test_train_and_test_share_no_sample_and_miss_none(seed):
    data, bunch = digits(seed), load_digits()
    train = rows(data.train_inputs, data.train_labels)
    test = rows(data.test_inputs, data.test_labels)
    assert train + test == rows(bunch.data / 16, bunch.target)
    assert not train & test  # no image stands twice in the data set


def test_every_digit_keeps_its_share(data):
    train = np.bincount(data.train_labels) / len(data.train_labels)
    test = np.bincount(data.test_labels) / len(data.test_labels)
    assert len(data.test_labels) == 599
    assert np.abs(train - test).max() < 0.005


def test_the_seed_alone_sets_the_split(data):
    again, other = digits(0), digits(1)
    for part in ("train_inputs", "train_labels", "test_inputs", "test_labels"):
        assert np.array_equal(getattr(data, part), getattr(again, part))
    assert not np.array_equal(data.test_labels, other.test_labels)


@st.composite
def labelled(draw):
    """Samples whose only channel is their number, and a partition of the labels."""
    labels = draw(st.integers(4, 8))
    drawn = [
        np.array([*range(labels), *draw(st.lists(st.integers(0, labels - 1), max_size=20))])
        for _ in range(2)
    ]
    order = draw(st.permutations(range(labels)))
    cut = draw(st.integers(2, labels - 2))
    number = np.arange(sum(len(part) for part in drawn))[:, None]
    first = len(drawn[0])
    data = Dataset("numbered", number[:first], drawn[0], number[first:], drawn[1], labels)
    return data, [order[:cut], order[cut:]]


@given(labelled())
def test_tasks_are_disjoint_complete_and_hold_their_own_classes(case):
    data, classes = case
    stream = split(data, classes)
    for part in ("train", "test"):
        inputs, labels = getattr(data, f"{part}_inputs"), getattr(data, f"{part}_labels")
        label_of = dict(zip(inputs[:, 0].tolist(), labels.tolist(), strict=True))
        seen = []
        for task, members in zip(stream.tasks, classes, strict=True):
            found = getattr(task, f"{part}_inputs")[:, 0].tolist()
            seen += found
            assert [label_of[n] for n in found] == getattr(task, f"{part}_labels").tolist()
            assert {label_of[n] for n in found} == set(members) == set(task.classes)
        assert sorted(seen) == inputs[:, 0].tolist()
    assert [task.number for task in stream.tasks] == [0, 1]
    assert (stream.inputs, stream.labels) == (1, data.labels)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([[0, 1], [1, 2]], "each label from 0 to 9 may stand in one task"),
        ([[0, 0]], "each label from 0 to 9 may stand in one task"),
        ([[0, 10]], "each label from 0 to 9"),
        ([[0, -1]], "each label from 0 to 9"),
        ([[0, 1], [2]], r"Task 1 has classes \[2\]; it needs at least 2"),
        ([], "classes is empty; a stream needs at least one task"),
    ],
)
def test_impossible_tasks_are_refused(data, classes, message):
    with pytest.raises(MosaicError, match=message):
        split(data, classes)


def test_a_task_without_samples_is_refused():
    few = Dataset(
        "few", np.zeros((2, 1)), np.array([0, 1]), np.zeros((2, 1)), np.array([0, 1]), 4
    )
    with pytest.raises(MosaicError, match=r"Task 1 has no samples of \[2, 3\]"):
        split(few, [[0, 1], [2, 3]])


def test_an_unknown_data_set_is_named_with_the_nearest():
    with pytest.raises(
        ConfigError, match=r"Unknown data set 'digit'\. Did you mean 'digits'"
    ):
        load_dataset("digit", 0, 0.3)


@pytest.mark.parametrize("share", [0.001, 0.9999])
def test_a_split_without_all_classes_on_both_sides_is_refused(share):
    with pytest.raises(
        ConfigError, match="training and test samples both need one of each"
    ):
        load_dataset("digits", 0, share)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_inputs": np.zeros(3)}, r"train_inputs has shape \(3,\)"),
        ({"train_labels": np.zeros(2, int)}, "for 2 labels; it needs"),
        (
            {"test_inputs": np.zeros((0, 2)), "test_labels": np.zeros(0, int)},
            "at least one",
        ),
        (
            {"test_inputs": np.full((3, 2), np.nan)},
            "test_inputs holds values that are not finite",
        ),
        ({"test_labels": np.array([0, 1, 2])}, "test_labels must lie between 0 and 1"),
        ({"train_labels": np.array([0, -1, 1])}, "train_labels must lie between 0 and 1"),
    ],
)
def test_damaged_data_sets_are_refused(change, message):
    good = {
        "train_inputs": np.zeros((3, 2)), "train_labels": np.zeros(3, int),
        "test_inputs": np.zeros((3, 2)), "test_labels": np.zeros(3, int),
    }  # fmt: skip
    Dataset("good", **good, labels=2)
    with pytest.raises(MosaicError, match=message):
        Dataset("bad", **(good | change), labels=2)


# --- streams of every kind -----------------------------------------------------------------


def numbered(tasks=3, size=20):
    """A stream whose only channel is the number of the sample; task k has labels 2k, 2k + 1."""
    made, start = [], 0
    for k in range(tasks):
        parts = []
        for count in (size, 4):
            number = np.arange(start, start + count, dtype=float)[:, None]
            parts.append(Samples.of(number, 2 * k + np.arange(count) % 2, task=k))
            start += count
        made.append(Task(k, (2 * k, 2 * k + 1), *parts, k))
    return Stream("numbered", tuple(made), 1, 2 * tasks)


def seen(stream):
    """Numbers of the training samples, task by task."""
    return [task.train_inputs[:, 0].astype(int).tolist() for task in stream.tasks]


def bytes_of(stream):
    """Everything that a learner could see of a stream."""
    return [
        part.inputs.tobytes() + part.labels.tobytes() + part.tasks.tobytes()
        for task in stream.tasks
        for part in (task.train, task.test)
    ]


SEEDED = {
    "permuted": lambda data, seed: permuted(data, 3, seed),
    "rotated": lambda data, seed: rotated(data, 3, seed=seed),
    "split": lambda data, seed: split_evenly(data, 2, seed=seed),
    "limited": lambda data, seed: limited(split_evenly(data, 2), seed, 50, 20),
    "blurred": lambda data, seed: blurred(split_evenly(data, 2), 0.5, seed),
    "mixed": lambda data, seed: mixed(split_evenly(data, 2), seed),
    "noisy": lambda data, seed: noisy(split_evenly(data, 2), 0.5, seed),
    "recurring": lambda data, seed: recurring(split_evenly(data, 2), [0, 1, 0], seed),
}


@pytest.mark.parametrize("name", SEEDED)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(data, name):
    make = SEEDED[name]
    one, again, other = (bytes_of(make(data, seed)) for seed in (3, 3, 4))
    assert one == again
    assert one != other


def test_a_permuted_task_is_one_reordering_of_all_samples(data):
    stream = permuted(data, 3, 0)
    first, second, third = (task.test_inputs for task in stream.tasks)
    assert np.array_equal(first, data.test_inputs)
    assert not np.array_equal(second, third)
    # Each column of a task is some column of the data, the same for training and test.
    lookup = {column.tobytes(): k for k, column in enumerate(data.test_inputs.T.copy())}
    order = [lookup[column.tobytes()] for column in third.T.copy()]
    assert np.array_equal(third, data.test_inputs[:, order])
    used = [k for k in order if data.train_inputs[:, k].any()]
    where = [order.index(k) for k in used]
    assert np.array_equal(
        stream.tasks[2].train_inputs[:, where], data.train_inputs[:, used]
    )
    assert stream.scenario == "domain-incremental"
    assert not np.array_equal(
        permuted(data, 2, 0, keep_first=False).tasks[0].test_inputs, data.test_inputs
    )


def test_a_task_is_permuted_alike_however_many_there_are(data):
    assert bytes_of(permuted(data, 4, 7))[:6] == bytes_of(permuted(data, 3, 7))


def test_rotated_tasks_turn_by_equal_parts_of_a_circle_or_as_told(data):
    even = rotated(data, 4)
    upright = data.test_inputs[:9].reshape(9, 8, 8)
    for quarter, task in enumerate(even.tasks):
        turned = np.rot90(upright, quarter, axes=(1, 2)).reshape(9, 64)
        assert np.array_equal(task.test_inputs[:9], turned)
    told = rotated(data, 2, degrees=[0, 33]).tasks[1].test_inputs
    assert np.array_equal(told, rotate((8, 8), 33)(data.test_inputs))
    with pytest.raises(MosaicError, match="2 tasks need one angle each"):
        rotated(data, 2, degrees=[1])
    with pytest.raises(MosaicError, match="not both"):
        rotated(data, 1, degrees=[1], seed=0)
    assert even.tasks[1].test.take(np.zeros(0, np.int64)).inputs.shape == (0, 64)


def test_partitioned_pairs_bring_every_class_twice(data):
    stream = partitioned(data)
    assert [task.classes for task in stream.tasks] == list(PAIRS)
    found = Counter(label for t in stream.tasks for label in t.train_labels.tolist())
    counts = np.bincount(data.train_labels)
    assert all(found[k] == 2 * counts[k] for k in range(10))
    with pytest.raises(MosaicError, match="may stand once in a task"):
        partitioned(data, [[1, 1]])


def test_relabelled_tasks_ask_the_same_question(data):
    stream = split(data, [[4, 7], [9, 0]], relabel=True)
    assert (stream.labels, stream.scenario) == (2, "domain-incremental")
    for task, members in zip(stream.tasks, ([4, 7], [9, 0]), strict=True):
        original = data.test_labels[np.isin(data.test_labels, members)]
        assert [members[label] for label in task.test_labels] == original.tolist()


def test_classes_are_cut_evenly_in_order_or_drawn(data):
    assert [t.classes for t in split_evenly(data, 5).tasks] == [
        (0, 1, 2, 3, 4), (5, 6, 7, 8, 9),
    ]  # fmt: skip
    drawn = [c for t in split_evenly(data, 5, seed=1).tasks for c in t.classes]
    assert sorted(drawn) == list(range(10)) != drawn
    with pytest.raises(MosaicError, match=r"per_task is 3; .* tasks of \[2, 5, 10\]"):
        split_evenly(data, 3)


def test_a_sequence_has_outputs_for_every_data_set_and_silent_channels_for_small_ones(data):
    wide = np.random.default_rng(0).random((6, 10, 10)).astype(np.float32)
    other = from_arrays("wide", wide, [0, 1, 2] * 2, wide, [0, 1, 2] * 2)
    stream = sequence([data, other])
    assert (stream.inputs, stream.labels) == (100, 13)
    assert [task.classes for task in stream.tasks] == [tuple(range(10)), (10, 11, 12)]
    small = stream.tasks[0].test_inputs
    assert np.array_equal(small[:, :64], data.test_inputs.astype(np.float32))
    assert not small[:, 64:].any()
    same = sequence([data, other], side=10, share_labels=True)
    assert (same.inputs, same.labels) == (100, 10)
    assert same.tasks[0].test_inputs[:, 64:].any()
    assert same.tasks[1].classes == (0, 1, 2)


def test_spikes_and_colours_that_a_stream_cannot_show_are_refused(data):
    fired = np.zeros((2, 3, 4), bool)
    moving = from_arrays("moving", fired, [0, 1], fired, [0, 1], moving=True)
    colours = np.zeros((2, 3, 2, 2), np.uint8)
    colourful = from_arrays("colours", colours, [0, 1], colours, [0, 1])
    with pytest.raises(MosaicError, match="cannot stand between pixels"):
        rotated(moving, 2)
    with pytest.raises(MosaicError, match="needs still data"):
        sequence([data, moving])
    with pytest.raises(MosaicError, match="needs it in grey"):
        sequence([data, colourful], side=8)
    assert permuted(moving, 2, 0).steps == 3


# --- alterations -----------------------------------------------------------------------------


def test_a_thousand_of_each_task_are_drawn_without_repeats():
    stream = limited(numbered(), 0, train=15, test=3)
    for task, numbers, all_of_them in zip(
        stream.tasks, seen(stream), seen(numbered()), strict=True
    ):
        assert len(set(numbers)) == 15 == len(task.train)
        assert set(numbers) < set(all_of_them)
        assert numbers != sorted(numbers)
        assert len(task.test) == 3


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (21, "train is 21; task 0 has 20 such samples"),
        (0, "train is 0"),
        (1, "no sample of class"),
    ],
)
def test_more_samples_than_there_are_or_too_few_are_refused(train, message):
    with pytest.raises(MosaicError, match=message):
        limited(numbered(), 0, train=train)


@given(st.floats(0, 1), st.integers(0, 9), st.integers(1, 4))
def test_blurring_loses_no_sample_doubles_none_and_stays_in_its_zone(share, seed, tasks):
    sharp = numbered(tasks)
    stream = blurred(sharp, share, seed)
    flat = [n for numbers in seen(stream) for n in numbers]
    assert sorted(flat) == sorted(n for numbers in seen(sharp) for n in numbers)
    half = int(share / 2 * 20)
    for numbers, before in zip(seen(stream), seen(sharp), strict=True):
        assert len(numbers) == 20
        assert numbers[half : 20 - half] == before[half : 20 - half]
    for task in stream.tasks:
        assert set(task.train_labels) <= set(task.classes)
        assert (task.train_labels // 2 == task.train.tasks).all()
    assert (stream.scenario, stream.boundaries) == ("task-free", False)


def test_in_a_blurred_zone_the_new_task_comes_in_linearly():
    stream = blurred(numbered(2, 4000), 1.0, 0)
    order = np.concatenate([task.train.tasks for task in stream.tasks])
    zone = order[2000:6000].reshape(10, -1).mean(1)
    assert zone == pytest.approx(np.arange(0.05, 1, 0.1), abs=0.08)
    assert not order[:2000].any()
    assert order[6000:].all()


def test_a_pool_deals_every_sample_to_some_portion_and_mixes_all_tasks():
    stream = mixed(numbered(3, 300), 0)
    flat = [n for numbers in seen(stream) for n in numbers]
    assert sorted(flat) == sorted(n for numbers in seen(numbered(3, 300)) for n in numbers)
    for task in stream.tasks:
        assert np.bincount(task.train.tasks, minlength=3).min() > 60
        assert (task.train_labels // 2 == task.train.tasks).all()
        assert set(task.test_labels) == {2 * task.number, 2 * task.number + 1}
        assert task.classes == tuple(range(6))


def test_returning_tasks_bring_new_samples_and_keep_their_identity():
    stream = recurring(numbered(), [0, 1, 0, 2, 0], 0)
    visits = seen(stream)
    assert [task.identity for task in stream.tasks] == [0, 1, 0, 2, 0]
    assert [task.number for task in stream.tasks] == list(range(5))
    assert [len(v) for v in visits] == [7, 20, 7, 20, 6]
    first = visits[0] + visits[2] + visits[4]
    assert sorted(first) == seen(numbered())[0]
    again = recurring(numbered(), [0, 1, 0], 0, fresh=False)
    assert seen(again)[0] == seen(again)[2] == seen(numbered())[0]
    with pytest.raises(MosaicError, match="from 0 to 2"):
        recurring(numbered(), [3], 0)
    with pytest.raises(MosaicError, match="2 training samples for 3 visits"):
        recurring(numbered(1, 2), [0, 0, 0], 0)


def test_noise_comes_in_bursts_is_never_the_right_label_and_touches_nothing_else():
    clean = numbered(3, 400)
    stream = noisy(clean, 1.0, 0, start=0.25, stop=0.5, tasks=[1])
    for before, after in zip(clean.tasks, stream.tasks, strict=True):
        wrong = np.nonzero(before.train_labels != after.train_labels)[0]
        assert wrong.tolist() == (list(range(100, 200)) if before.number == 1 else [])
        assert np.array_equal(before.train_inputs, after.train_inputs)
        assert np.array_equal(before.test_labels, after.test_labels)
        assert set(after.train_labels) <= set(after.classes)


def test_noise_has_its_rate_and_reaches_every_other_class_equally():
    labels = np.arange(6000) % 3
    part = Samples.of(np.zeros((6000, 1)), labels)
    clean = Stream("three", (Task(0, (0, 1, 2), part, part),), 1, 3)
    after = noisy(clean, 0.3, 0).tasks[0].train_labels
    assert (after != labels).mean() == pytest.approx(0.3, abs=0.02)
    steps = np.bincount((after - labels)[after != labels] % 3)
    assert steps[0] == 0
    assert steps[1] / steps[2] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: noisy(s, 1.5, 0), "rate is 1.5"),
        (lambda s: noisy(s, 0.5, 0, start=0.5, stop=0.5), "start before stop"),
        (lambda s: noisy(s, 0.5, 0, tasks=[7]), r"tasks names \[7\]"),
        (lambda s: blurred(s, 1.1, 0), "share is 1.1"),
        (lambda s: mixed(s, -1), "seed is -1"),
        (lambda s: list(s.batches(0)), "size is 0"),
        (lambda s: replace(hidden(s), identity=True), "gives the other away"),
        (lambda s: replace(s, tasks=()), "has no tasks"),
        (lambda s: replace(s, inputs=2), r"shape \(1,\), the stream \(2,\)"),
        (lambda s: replace(s, labels=5), "must lie between 0 and 4"),
        (
            lambda s: replace(s, tasks=(replace(s.tasks[0], classes=(0,)),)),
            r"classes \[0\]; it needs at least 2",
        ),
        (
            lambda s: replace(s, tasks=(replace(s.tasks[0], test=s.tasks[0].test.take([])),)),
            "has no test samples",
        ),
    ],
)  # fmt: skip
def test_impossible_streams_are_refused(call, message):
    with pytest.raises(MosaicError, match=message):
        call(numbered())


# --- what a learner is told ----------------------------------------------------------------------


def test_batches_pass_once_and_tell_of_tasks_only_what_is_shown():
    stream = numbered(2, 5)
    told = list(replace(stream, identity=True).batches(3))
    assert [len(b.labels) for b in told] == [3, 2, 3, 2]
    assert [b.tasks.tolist() for b in told] == [[0] * 3, [0] * 2, [1] * 3, [1] * 2]
    assert all(b.tasks is None for b in stream.batches(3))
    untold = list(hidden(stream).batches(3))
    assert [len(b.labels) for b in untold] == [3, 3, 3, 1]  # a short batch would tell
    assert all(b.tasks is None for b in untold)
    for batches in (told, untold):
        passed = np.concatenate([b.inputs for b in batches])[:, 0]
        assert passed.tolist() == [n for numbers in seen(stream) for n in numbers]


def test_scenarios_have_their_names():
    stream = numbered()
    assert stream.scenario == "class-incremental"
    assert replace(stream, identity=True).scenario == "task-incremental"
    assert hidden(stream).scenario == "task-free"


# --- from a configuration ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "names", "tasks"),
    [
        ({}, "split-digits", 5),
        ({"per_task": 2, "shuffle_classes": True}, "split-digits", 5),
        ({"kind": "permuted", "tasks": 4}, "permuted-digits", 4),
        ({"kind": "rotated", "tasks": 2, "angles": (0.0, 90.0)}, "rotated-digits", 2),
        ({"kind": "rotated", "tasks": 3, "random_angles": True}, "rotated-digits", 3),
        ({"kind": "partitioned", "classes": ((0, 1), (0, 2))}, "partitioned-digits", 2),
        ({"kind": "sequence", "datasets": ("digits", "digits")}, "digits-digits", 2),
        ({"order": (0, 1, 0), "noise_rate": 0.2}, "noisy-recurring-split-digits", 3),
        ({"mixed": True, "identity": True}, "mixed-split-digits", 5),
        ({"blur": 0.5}, "blurred-split-digits", 5),
    ],
)
def test_a_configuration_gives_the_stream_that_it_names(settings, names, tasks):
    stream = configured(StreamConfig(**settings), 0)
    assert (stream.name, len(stream.tasks)) == (names, tasks)
    assert bytes_of(stream) == bytes_of(configured(StreamConfig(**settings), 0))


def test_the_plain_configuration_gives_the_stream_it_always_gave(data, stream):
    assert bytes_of(configured(StreamConfig(test_share=1 / 3), 0)) == bytes_of(stream)
    assert stream.tasks[3].train_inputs.dtype == np.float64
    rows = np.isin(data.train_labels, (6, 7))
    assert stream.tasks[3].train_inputs.tobytes() == data.train_inputs[rows].tobytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"kind": "permuted", "per_task": 2},
            "stream.per_task is 2, but stream.kind is 'per",
        ),
        ({"kind": "permuted", "relabel": True}, "it is for split and partitioned and seq"),
        ({"tasks": 3}, "stream.tasks is 3, but stream.kind is 'split'"),
        ({"kind": "sequence", "classes": ((0, 1),)}, "stream.classes"),
        ({"kind": "sequence"}, "datasets is empty"),
        ({"mixed": True, "blur": 0.5}, "choose one"),
        ({"identity": True, "blur": 0.5}, "gives away the boundaries"),
        ({"identity": True, "boundaries": False}, "gives away the boundaries"),
        ({"by_group": True}, "digits has no groups"),
        ({"shuffle_classes": True}, "needs stream.per_task"),
        ({"train_samples": 1000}, "train is 1000; task 0 has"),
        ({"rates": True}, "digits is still already"),
        ({"order": (5,)}, "numbers of tasks, from 0 to 4"),
    ],
)
def test_options_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(MosaicError, match=message):
        configured(StreamConfig(**settings), 0)


THOUSAND = (
    "stream.protocol=thousand", "stream.kind=permuted", "stream.train_samples=1000",
    "train.epochs=1", "train.batch=10",
)  # fmt: skip


def test_a_protocol_is_a_claim_that_is_checked():
    def tried(*settings):
        return check_protocol(load_experiment("split-digits-naive", settings))

    tried(*THOUSAND)
    tried()
    tried("stream.protocol=full")
    tried("stream.protocol=online", "stream.boundaries=false", *THOUSAND[3:])
    for change, message in (
        (
            "train.epochs=5",
            "train.epochs is 5, but stream.protocol is 'thousand', which has 1",
        ),
        ("train.batch=32", "train.batch is 32"),
        ("stream.train_samples=999", "stream.train_samples is 999"),
        ("stream.boundaries=false", "stream.boundaries is False"),
    ):
        with pytest.raises(ConfigError, match=message):
            tried(*THOUSAND, change)
    with pytest.raises(ConfigError, match="has no such limit"):
        tried("stream.protocol=full", "stream.train_samples=10")
    with pytest.raises(ConfigError, match=r"stream\.boundaries is True"):
        tried("stream.protocol=online", *THOUSAND[3:])
    literal = StreamConfig.model_fields["protocol"].annotation.__args__
    assert set(literal) == {"own", *PROTOCOLS}
    assert TrainConfig().epochs == 5


def test_learners_refuse_streams_that_they_would_be_told_too_much_about():
    for settings in (("stream.blur=0.5",), ("stream.boundaries=false",)):
        with pytest.raises(
            MosaicError, match="hides where tasks begin, but strategy 'ewc'"
        ):
            check_experiment(
                load_experiment("split-digits-naive", ("strategy=ewc", *settings))
            )
        check_experiment(load_experiment("split-digits-naive", settings))
        check_experiment(load_experiment("split-digits-joint", settings))


@pytest.fixture
def blink(monkeypatch):
    """Four classes that differ only in when their channels fire, in 8 steps."""
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 4
    early = np.arange(8) < 4
    pattern = np.array([[early, ~early], [~early, early], [early, early], [~early, ~early]])
    spikes = pattern[labels].transpose(0, 2, 1) & (rng.random((80, 8, 2)) < 0.9)
    data = from_arrays(
        "blink", spikes[:60], labels[:60], spikes[60:], labels[60:], moving=True
    )
    monkeypatch.setitem(DATASETS, "blink", lambda: data)
    return data


def test_spikes_reach_the_chip_as_they_are(blink, tmp_path):
    experiment = tiny("naive", "stream.dataset=blink")
    folder = run(experiment, tmp_path)
    assert [len(row["accuracy"]) for row in folder.seed(0).lines("metrics")] == [2, 2]
    # The bill counts every spike that came from outside: none is lost or made up.
    bill = folder.seed(0).lines("cost")[-1]["rows"]
    (paid,) = (row["count"] for row in bill if row["event"] == "input spike")
    assert paid == blink.test_inputs.sum()
    stream = configured(experiment.stream, 0)
    assert np.array_equal(
        regular_rate(stream.tasks[1].test_inputs, 8),
        blink.test_inputs[blink.test_labels > 1],
    )


def test_moving_inputs_need_their_own_number_of_steps_and_no_gate(blink):
    with pytest.raises(MosaicError, match=r"strategy 'grow' .* stream\.rates = true"):
        check_experiment(tiny("grow", "stream.dataset=blink"))
    check_experiment(tiny("grow", "stream.dataset=blink", "stream.rates=true"))
    with pytest.raises(ConfigError, match=r"blink has 8 steps, and stream\.steps is 9"):
        check_experiment(tiny("naive", "stream.dataset=blink", "stream.steps=9"))


def test_all_tasks_as_one_hold_every_sample_and_each_class_once(data):
    stream = permuted(data, 2, 0)
    joined = whole(stream)
    assert joined.classes == tuple(range(10))
    assert np.array_equal(
        joined.train_inputs, np.concatenate([t.train_inputs for t in stream.tasks])
    )

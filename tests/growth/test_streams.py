from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from growth.streams import Dataset, digits, load_dataset, split
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

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from growth.metrics import average_accuracy, check_bound, estimate, forgetting
from mosaic_sim import MosaicError

# Row i: after task i. Task 0 falls from 0.9 (its best) to 0.3, task 1 from 0.8 to 0.7.
THREE = [[0.9, 0.0, 0.0], [0.6, 0.8, 0.0], [0.3, 0.7, 1.0]]


square = st.integers(2, 5).flatmap(
    lambda n: arrays(np.float64, (n, n), elements=st.floats(0, 1))
)


def test_measures_of_a_matrix_worked_by_hand():
    assert average_accuracy(THREE) == pytest.approx(2.0 / 3)
    assert forgetting(THREE) == pytest.approx((0.6 + 0.1) / 2)


@given(square)
def test_forgetting_is_the_mean_drop_from_the_best_accuracy_before_the_end(matrix):
    tasks = len(matrix)
    drops = []
    for task in range(tasks - 1):
        best = max(matrix[learnt][task] for learnt in range(tasks - 1))
        drops.append(best - matrix[tasks - 1][task])
    assert forgetting(matrix) == pytest.approx(sum(drops) / len(drops), abs=1e-12)


def test_getting_better_is_negative_forgetting():
    assert forgetting([[0.5, 0.0], [0.7, 1.0]]) == pytest.approx(-0.2)


@pytest.mark.parametrize(
    "matrix", [[[0.9, 0.8]], [[0.9]], [[0.9, 0.1, 0.0], [0.8, 0.9, 0.0]]]
)
def test_forgetting_is_undefined_without_one_row_for_each_of_several_tasks(matrix):
    assert forgetting(matrix) is None
    check_bound(matrix)


@given(square)
def test_every_matrix_of_accuracies_keeps_the_bound(matrix):
    check_bound(matrix)


def test_a_damaged_forgetting_is_refused(monkeypatch):
    monkeypatch.setattr("growth.metrics.forgetting", lambda matrix: 0.5)
    with pytest.raises(MosaicError, match=r"above its bound 0.6667: the matrix is damaged"):
        check_bound([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    check_bound(THREE)


@pytest.mark.parametrize(
    "matrix", [[[float("nan")]], [[1.1]], [[-0.1]], [], [0.5, 0.5], [[0.5, float("inf")]]]
)
@pytest.mark.parametrize("measure", [average_accuracy, forgetting, check_bound])
def test_what_is_no_matrix_of_accuracies_is_refused(matrix, measure):
    with pytest.raises(MosaicError, match="entries from 0 to 1"):
        measure(matrix)


# Student's t, 97.5 %, for 1, 2 and 4 degrees of freedom (any table).
@pytest.mark.parametrize(
    ("values", "t"),
    [([1.0, 3.0], 12.706), ([1.0, 2.0, 6.0], 4.303), ([5, 1, 4, 2, 3], 2.776)],
)
def test_intervals_are_those_of_students_table(values, t):
    found = estimate(values)
    n, mean = len(values), sum(values) / len(values)
    deviation = (sum((v - mean) ** 2 for v in values) / (n - 1)) ** 0.5
    half = t * deviation / n**0.5
    assert (found.mean, found.seeds) == (pytest.approx(mean), n)
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half), rel=1e-3)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9))
def test_intervals_equal_scipys(values):
    found = estimate(values)
    spread = stats.sem(values)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), spread or 1e-300)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-6)


def test_one_seed_has_a_mean_and_no_interval():
    found = estimate([0.5])
    assert (found.mean, found.low, found.high, found.seeds) == (0.5, None, None, 1)
    assert found.text(100) == "50.0"


def test_the_interval_is_written_beside_the_mean_in_the_same_scale():
    assert estimate([0.955, 0.965, 0.975]).text(100) == "96.5 ± 2.5"
    assert estimate([10.0, 12.0]).text(digits=0) == "11 ± 13"


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_what_cannot_be_estimated_is_refused(values):
    with pytest.raises(MosaicError, match="at least one finite value"):
        estimate(values)

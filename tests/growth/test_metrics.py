from itertools import combinations, product
from math import comb, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from growth.metrics import (
    FORGETTING,
    accuracies,
    accuracy_bound,
    activation_sparsity,
    adaptation_rate,
    adjusted_rand,
    average_accuracy,
    average_incremental_accuracy,
    backward_transfer,
    check_bound,
    connection_sparsity,
    footprint,
    forgetting,
    forward_transfer,
    identity_hits,
    intransigence,
    learning_accuracy,
    learning_curve_area,
    measures,
    membrane_updates,
    minimum_accuracy,
    overlap,
    report,
    stability_gap,
    synaptic_operations,
    worst_case_accuracy,
)
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


@pytest.mark.parametrize(("definition", "tasks"), list(product(FORGETTING, (2, 3))))
def test_the_bound_is_the_best_that_any_matrix_reaches(definition, tasks):
    best = {}
    for entries in product((0.0, 1.0), repeat=tasks * tasks):
        matrix = np.reshape(entries, (tasks, tasks))
        lost = forgetting(matrix, definition)
        best[lost] = max(best.get(lost, 0.0), matrix[-1].mean())
    assert 0.0 in best
    assert 1.0 in best
    for lost, accuracy in best.items():
        if lost >= 0:  # a gain would need a task to end above 1 to reach its bound
            assert accuracy_bound(lost, tasks) == pytest.approx(accuracy)


@pytest.mark.parametrize(("lost", "tasks"), [(0.5, 1), (96.1, 5), (float("nan"), 5)])
def test_a_bound_of_what_is_no_forgetting_is_refused(lost, tasks):
    with pytest.raises(MosaicError, match=r"tasks is 1|from -1 to 1"):
        accuracy_bound(lost, tasks)


def test_a_damaged_forgetting_is_refused(monkeypatch):
    monkeypatch.setattr("growth.metrics.matrix.forgetting", lambda matrix: 0.5)
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


# --- the matrix -----------------------------------------------------------------------------


def test_every_measure_of_a_matrix_worked_by_hand():
    # THREE: 0.9 0.6 0.3 down the first column, 0.8 0.7 the second, 1.0 the third.
    assert learning_accuracy(THREE) == pytest.approx((0.9 + 0.8 + 1.0) / 3)
    assert average_incremental_accuracy(THREE) == pytest.approx((0.9 + 0.7 + 2 / 3) / 3)
    assert backward_transfer(THREE) == pytest.approx((-0.6 - 0.1) / 2)
    ahead = [[0.9, 0.4, 0.1], [0.6, 0.8, 0.3], [0.3, 0.7, 1.0]]
    assert forward_transfer(ahead, [0.5, 0.1, 0.2]) == pytest.approx((0.3 + 0.1) / 2)
    assert intransigence(THREE, [0.95, 0.9, 0.9]) == pytest.approx((0.05 + 0.1 - 0.1) / 3)


# Task 0: best 0.7 before the end, 0.5 right after learning, 0.9 at the end.
LATE = [[0.5, 0.0, 0.0], [0.7, 0.6, 0.0], [0.9, 0.2, 1.0]]


@pytest.mark.parametrize(
    ("definition", "drops"),
    [("max", (-0.2, 0.4)), ("first", (-0.4, 0.4)), ("clipped", (0.0, 0.4))],
)
def test_the_three_forgettings_differ_as_their_libraries_do(definition, drops):
    assert forgetting(LATE, definition) == pytest.approx(sum(drops) / 2)


@given(square)
def test_measures_of_a_matrix_keep_their_bounds_and_their_sum(matrix):
    tasks = len(matrix)
    la, acc, bwt = (
        f(matrix) for f in (learning_accuracy, average_accuracy, backward_transfer)
    )
    assert la - acc == pytest.approx(-bwt * (tasks - 1) / tasks, abs=1e-12)
    assert forgetting(matrix, "first") == pytest.approx(-bwt, abs=1e-12)
    assert forgetting(matrix, "clipped") >= max(forgetting(matrix), 0) - 1e-12
    assert forgetting(matrix) >= forgetting(matrix, "first") - 1e-12 or tasks == 2
    assert 0 <= average_incremental_accuracy(matrix) <= 1
    assert -1 <= bwt <= 1
    assert -1 <= intransigence(matrix, np.ones(tasks)) - (1 - la) <= 1e-12
    assert -1 <= forward_transfer(matrix, np.zeros(tasks)) <= 1


def test_what_is_undefined_says_why():
    joint = measures([[0.9, 0.8]])
    assert joint["ACC"].value == pytest.approx(0.85)
    for name in ("LA", "AIA", "BWT", "forgetting (max)"):
        assert joint[name].value is None
        assert joint[name].reason.startswith("1 rows for 2 tasks")
    alone = measures([[0.9]])
    assert alone["LA"].value == 0.9
    assert alone["BWT"].reason == "a single task has no earlier and no later one"
    found = measures(THREE, untrained=[0.1, 0.1, 0.1], joint=[1, 1, 1])
    assert found["FWT"].value is None
    assert (
        found["FWT"].reason
        == "class-incremental: before a task nothing can teach its labels"
    )
    assert found["intransigence"].value == pytest.approx(0.1)
    there = measures(THREE, untrained=[0.1] * 3, scenario="domain-incremental")
    assert there["FWT"].value == pytest.approx(-0.1)
    assert there["intransigence"].reason == "no accuracies of joint training were given"
    without = measures(THREE, scenario="domain-incremental")
    assert without["FWT"].reason == "no accuracies of the untrained network were given"
    assert measures(THREE, definition="first")["forgetting (first)"].value == pytest.approx(
        0.35
    )


@given(square)
def test_every_measure_has_a_value_or_a_reason_and_never_both(matrix):
    for given_ in ({}, {"scenario": "domain-incremental", "untrained": matrix[0]}):
        for found in measures(matrix, **given_).values():
            assert (found.value is None) == bool(found.reason)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: forgetting(THREE, "mx"), "definition is 'mx'. Did you mean 'max'"),
        (lambda: forward_transfer(THREE, [0.1]), r"untrained has shape \(1,\)"),
        (lambda: intransigence(THREE, [0.1, 0.2, 1.3]), "joint has shape"),
    ],
)
def test_what_does_not_fit_the_matrix_is_refused(call, message):
    with pytest.raises(MosaicError, match=message):
        call()


# --- along training ------------------------------------------------------------------------

# Six evaluations, tasks 0, 0, 1, 1, 2, 2. Task 0 falls to 0.2 and recovers to 0.7; in the
# third task it falls to 0.5, task 1 to 0.6.
CURVE = [
    [0.5, 0.0, 0.0],
    [0.9, 0.0, 0.0],
    [0.2, 0.4, 0.0],
    [0.7, 0.8, 0.0],
    [0.5, 0.6, 0.3],
    [0.6, 0.9, 1.0],
]
TRAINING = [0, 0, 1, 1, 2, 2]


def test_measures_along_training_worked_by_hand():
    assert minimum_accuracy(CURVE, TRAINING) == pytest.approx((0.2 + 0.6) / 2)
    assert worst_case_accuracy(CURVE, TRAINING) == pytest.approx(1 / 3 + 2 / 3 * 0.4)
    assert stability_gap(CURVE, TRAINING) == pytest.approx((0.7 + 0.2 + 0.2) / 3)


def test_without_an_earlier_task_there_is_no_gap():
    assert minimum_accuracy(CURVE[:2], TRAINING[:2]) is None
    assert stability_gap(CURVE[:2], TRAINING[:2]) is None
    assert worst_case_accuracy(CURVE[:2], TRAINING[:2]) == 0.9


@given(
    st.integers(2, 4).flatmap(
        lambda t: st.tuples(
            arrays(np.float64, (3 * t, t), elements=st.floats(0, 1)),
            st.just(np.repeat(np.arange(t), 3)),
        )
    )
)
def test_measures_along_training_keep_their_bounds(case):
    curve, training = case
    worst = minimum_accuracy(curve, training)
    assert 0 <= worst <= curve[-1, :-1].mean() + 1e-12
    assert 0 <= worst_case_accuracy(curve, training) <= curve[-1].mean() + 1e-12
    # The end of a task is one of the moments at which it could be worst.
    ends = curve[2::3]
    steps = [ends[k][: k + 1] - ends[k + 1][: k + 1] for k in range(len(ends) - 1)]
    assert stability_gap(curve, training) >= np.concatenate(steps).mean() - 1e-12


def test_area_under_the_learning_curve_worked_by_hand():
    # Chaudhry's own reading: LCA_0 is the mean accuracy before any batch.
    curves = [[0.1, 0.5, 0.9], [0.3, 0.7, 0.7]]
    assert learning_curve_area(curves, 0) == pytest.approx(0.2)
    assert learning_curve_area(curves, 2) == pytest.approx((0.2 + 0.6 + 0.8) / 3)
    assert adaptation_rate([0.9, 0.5, 0.1]) == pytest.approx(0.5)
    assert adaptation_rate([0.9, 0.5, 0.1]) == pytest.approx(
        learning_curve_area([[0.1, 0.5, 0.9]], 2)
    )
    assert adaptation_rate([1.0] * 7) == 0  # and not below, as with T + 1 terms over T


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stability_gap(CURVE, [0, 0, 1, 1, 2]), "at each of 6 evaluations"),
        (lambda: stability_gap(CURVE, [0, 1, 0, 1, 2, 2]), "in the order of their numbers"),
        (lambda: stability_gap(CURVE, [0, 0, 1, 1, 2, 3]), "0 to 2"),
        (lambda: stability_gap(CURVE, [0.0] * 6), "float64"),
        (lambda: minimum_accuracy([[1.5]], [0]), "entries from 0 to 1"),
        (lambda: learning_curve_area([[0.1, 0.5]], 2), "reach from 0 to 1 batches"),
        (lambda: learning_curve_area([0.1, 0.5], 0), r"\(tasks, evaluations\)"),
        (lambda: adaptation_rate([]), "entries from 0 to 1"),
    ],
)
def test_curves_that_are_none_are_refused(call, message):
    with pytest.raises(MosaicError, match=message):
        call()


# --- predictions -------------------------------------------------------------------------------


@st.composite
def scored(draw):
    """Scores of two tasks of some labels each."""
    classes = [(0, 2), (1, 3, 4)]
    samples = draw(st.integers(1, 6))
    tasks = np.array([0, 1, *(draw(st.integers(0, 1)) for _ in range(samples))])
    labels = np.array([draw(st.sampled_from(classes[t])) for t in tasks])
    scores = draw(arrays(np.int64, (len(tasks), 5), elements=st.integers(0, 4)))
    return scores, labels, tasks, classes


@given(scored())
def test_both_scenarios_follow_from_the_same_scores(case):
    scores, labels, tasks, classes = case
    found = accuracies(scores, labels, tasks, classes)
    for k, members in enumerate(classes):
        own = [i for i in range(len(tasks)) if tasks[i] == k]
        anywhere = sum(
            max(range(5), key=lambda c: (scores[i][c], -c)) == labels[i] for i in own
        )
        inside = sum(
            max(members, key=lambda c: (scores[i][c], -c)) == labels[i] for i in own
        )
        assert found.class_incremental[k] == pytest.approx(anywhere / len(own))
        assert found.task_incremental[k] == pytest.approx(inside / len(own))
        assert found.task_incremental[k] >= found.class_incremental[k]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0]}, r"labels \(1,\)"),
        ({"scores": [[np.nan, 0], [0, 1]]}, "not numbers"),
        ({"tasks": [0, 0]}, "Task 1 has no samples"),
        ({"tasks": [0, 1], "classes": [[0, 1]]}, "classes has 1 tasks"),
        ({"classes": [[0], [0]]}, r"samples of label \[1\], but classes \[0\]"),
        ({"classes": [[0, 1], [1, 2]]}, "scores has 2 labels"),
    ],
)
def test_scores_that_do_not_fit_are_refused(change, message):
    good = {
        "scores": [[1, 0], [0, 1]], "labels": [0, 1], "tasks": [0, 1],
        "classes": [[0, 1], [0, 1]],
    }  # fmt: skip
    accuracies(**good)
    with pytest.raises(MosaicError, match=message):
        accuracies(**(good | change))


groupings = st.integers(2, 9).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n)] * 2)
)


@given(groupings)
def test_the_adjusted_rand_index_counts_pairs(case):
    found, tasks = case
    # Hubert and Arabie: pairs together in both, against what the group sizes alone give.
    pairs = list(combinations(range(len(tasks)), 2))
    both = sum(found[i] == found[j] and tasks[i] == tasks[j] for i, j in pairs)
    a, b = (sum(comb(g.count(k), 2) for k in set(g)) for g in (found, tasks))
    expected, most = a * b / len(pairs), (a + b) / 2
    oracle = 1.0 if most == expected else (both - expected) / (most - expected)
    assert adjusted_rand(found, tasks) == pytest.approx(oracle)


@given(groupings)
def test_the_names_of_groups_do_not_matter(case):
    found, tasks = case
    renamed = [9 - g for g in found]
    assert adjusted_rand(renamed, tasks) == pytest.approx(adjusted_rand(found, tasks))
    assert adjusted_rand(tasks, tasks) == 1
    assert adjusted_rand(found, tasks) <= 1


def test_hits_stand_beside_their_chance_and_interval():
    hits = identity_hits([0] * 80 + [1] * 20, [0] * 90 + [1] * 10)
    assert (hits.rate, hits.chance, hits.queries) == (0.9, 0.9, 100)  # worth nothing
    assert hits.low < 0.9 < hits.high


@given(groupings)
def test_a_report_counts_what_it_names(case):
    predicted, labels = case
    found = report(predicted, labels, 4)
    pairs = list(zip(labels, predicted, strict=True))
    for k in range(4):
        right = pairs.count((k, k))
        said, there = predicted.count(k), labels.count(k)
        for value, top, under in (
            (found.precision[k], right, said),
            (found.recall[k], right, there),
            (found.f1[k], 2 * right, said + there),
        ):
            assert value == pytest.approx(top / under if under else np.nan, nan_ok=True)
        assert found.support[k] == there
        assert found.confusion[k].tolist() == [pairs.count((k, c)) for c in range(4)]
    assert found.accuracy == pytest.approx(np.trace(found.confusion) / len(labels))
    assert found.macro_f1 == pytest.approx(np.nanmean(found.f1))
    assert found.macro_recall == pytest.approx(np.nanmean(found.recall))
    assert found.macro_precision == pytest.approx(np.nanmean(found.precision))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: report([0, 4], [0, 1], 4), "predicted lies between 0 and 4"),
        (lambda: report([0], [0, 1], 4), r"predicted has shape \(1,\), labels \(2,\)"),
        (lambda: report([0.5], [0], 4), "predicted holds float64"),
        (lambda: identity_hits([], []), "at least one sample"),
        (lambda: adjusted_rand([0], [-1.0]), "tasks holds float64"),
    ],
)
def test_predictions_that_are_none_are_refused(call, message):
    with pytest.raises(MosaicError, match=message):
        call()


# --- masks -----------------------------------------------------------------------------------

bits = st.integers(2, 7).flatmap(
    lambda n: st.tuples(*[st.lists(st.booleans(), min_size=n, max_size=n)] * 2)
)


@given(bits)
def test_chance_is_the_mean_and_z_the_deviation_over_all_masks_of_that_size(case):
    one, other = (np.array(mask) for mask in case)
    found = overlap(one, other)
    n, ones = len(one), int(one.sum())
    shared = [int(other[list(chosen)].sum()) for chosen in combinations(range(n), ones)]
    mean, spread = np.mean(shared), np.std(shared)
    if found.z is None:
        assert spread == pytest.approx(0, abs=1e-9)
    else:
        assert found.z == pytest.approx(((one & other).sum() - mean) / spread)
    union = int((one | other).sum())
    assert found.flips == int((one != other).sum())
    if union:
        assert found.jaccard == pytest.approx((one & other).sum() / union)
        p, q = one.mean(), other.mean()
        assert found.chance == pytest.approx(p * q / (p + q - p * q))
    else:
        assert (found.jaccard, found.chance, found.excess) == (None, None, None)


@given(bits)
def test_overlap_is_symmetric_and_bounded(case):
    one, other = case
    found, turned = overlap(one, other), overlap(other, one)
    assert (found.jaccard, found.z, found.flips) == (
        turned.jaccard, pytest.approx(turned.z), turned.flips,
    )  # fmt: skip
    if found.jaccard is not None:
        assert 0 <= found.jaccard <= 1
        assert found.excess is None or found.excess <= 1
    same = overlap(one, one)
    assert same.flips == 0
    assert same.excess in (None, pytest.approx(1))


def test_independent_masks_of_half_density_overlap_by_a_third_and_that_is_nothing():
    rng = np.random.default_rng(0)
    found = [overlap(*(rng.random((2, 300, 300)) < 0.497)) for _ in range(200)]
    assert np.mean([f.jaccard for f in found]) == pytest.approx(0.497 / 1.503, abs=5e-4)
    z = np.array([f.z for f in found])
    assert abs(z.mean()) < 3 / sqrt(200)
    assert z.std() == pytest.approx(1, abs=0.2)
    assert np.mean([f.flips for f in found]) == pytest.approx(90_000 / 2, rel=2e-3)


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ([1, 0], [1], r"shapes \(2,\) and \(1,\)"),
        ([], [], "at least one weight"),
        ([0.5], [1], "one holds values other than 0 and 1"),
    ],
)
def test_what_is_no_mask_is_refused(one, other, message):
    with pytest.raises(MosaicError, match=message):
        overlap(one, other)


# --- work ------------------------------------------------------------------------------------


@given(st.data())
def test_synaptic_operations_are_counted_one_by_one(data):
    values = st.sampled_from([0, 0, 1, -1] + ([2] if data.draw(st.booleans()) else []))
    inputs = np.array(data.draw(arrays(np.int64, (2, 3, 4), elements=values)))
    weights = np.array(data.draw(arrays(np.int64, (5, 4), elements=st.integers(-1, 1))))
    found = synaptic_operations([(inputs, weights)])
    effective = sum(
        bool(inputs[s, t, k]) and bool(weights[n, k])
        for s in range(2) for t in range(3) for k in range(4) for n in range(5)
    )  # fmt: skip
    graded = (np.abs(inputs) > 1).any()
    assert found.dense == 3 * 20
    assert found.eff_macs == (effective / 2 if graded else 0)
    assert found.eff_acs == (0 if graded else effective / 2)
    assert found.eff_macs + found.eff_acs <= found.dense


def test_two_inputs_at_four_weights_make_four_effective_of_nine_operations():
    weights = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0]])
    found = synaptic_operations([(np.array([[1, 0, 1]]), weights)])
    assert (found.dense, found.eff_acs, found.eff_macs) == (9, 4, 0)
    two = synaptic_operations([(np.array([[1, 0, 1]]), weights)] * 2)
    assert (two.dense, two.eff_acs) == (18, 8)


def test_sparsities_and_footprint_worked_by_hand():
    layers = [np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[2.0, 0.0]])]
    assert connection_sparsity(layers) == pytest.approx(4 / 6)
    assert activation_sparsity([np.eye(4, dtype=bool), np.ones(4)]) == pytest.approx(
        12 / 20
    )
    assert footprint(layers) == 6 * 8
    assert footprint([torch.zeros(3, 3), torch.zeros(2, dtype=torch.int8)]) == 36 + 2
    assert footprint([]) == 0
    assert membrane_updates(30, 25) == 750


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: connection_sparsity([]), "at least one weight"),
        (lambda: activation_sparsity([np.zeros(0)]), "at least one"),
        (lambda: synaptic_operations([]), "layers is empty"),
        (lambda: synaptic_operations([(np.ones((1, 2)), np.ones((3, 3)))]), "Layer 0 has"),
        (
            lambda: synaptic_operations(
                [(np.ones((1, 2)), np.ones((3, 2))), (np.ones((2, 2)), np.ones((3, 2)))]
            ),
            r"\[1, 2\] samples",
        ),
        (lambda: membrane_updates(-1, 2), "neither is below 0"),
    ],
)
def test_work_that_cannot_be_counted_is_refused(call, message):
    with pytest.raises(MosaicError, match=message):
        call()

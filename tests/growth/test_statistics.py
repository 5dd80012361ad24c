from itertools import combinations, product
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from growth.statistics import (
    compare_paired,
    estimate,
    friedman,
    holm,
    proportion,
    sign_flip_test,
    smallest_p,
)
from mosaic_sim import MosaicError


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
    assert found.deviation == pytest.approx(deviation)
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
    assert found.deviation is None
    assert found.text(100) == "50.0"


def test_the_interval_is_written_beside_the_mean_in_the_same_scale():
    assert estimate([0.955, 0.965, 0.975]).text(100) == "96.5 ± 2.5"
    assert estimate([10.0, 12.0]).text(digits=0) == "11 ± 13"


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_what_cannot_be_estimated_is_refused(values):
    with pytest.raises(MosaicError, match="at least one finite value"):
        estimate(values)


# --- tests of differences --------------------------------------------------------------------

# Whole numbers: sums are exact, so ties are ties in the oracle and in floating point.
whole = st.lists(st.integers(-9, 9), min_size=2, max_size=8)


@given(whole)
@settings(max_examples=25)
def test_the_sign_flip_test_is_the_share_of_all_flips_at_least_as_far_out(differences):
    found = abs(sum(differences))
    flips = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= found
        for signs in product((1, -1), repeat=len(differences))
    ]
    assert sign_flip_test(differences) == pytest.approx(sum(flips) / len(flips))


@pytest.mark.parametrize(("pairs", "p"), [(5, 0.0625), (6, 0.03125), (10, 2 / 1024)])
def test_differences_of_one_sign_give_the_smallest_possible_p(pairs, p):
    assert sign_flip_test(np.arange(1, pairs + 1) / 10) == p == smallest_p(pairs)


def test_no_difference_and_a_single_one_prove_nothing():
    assert sign_flip_test([0.0, 0.0, 0.0]) == 1.0
    assert sign_flip_test([5.0]) == 1.0 == smallest_p(1)


def test_fishers_example_of_darwins_plants():
    # Design of experiments, section 21: 863 of 32,768 sums are at least 314 on one side.
    eighths = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert sum(eighths) == 314
    assert sign_flip_test(eighths) == pytest.approx(2 * 863 / 32768)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_holm_is_the_closed_test_of_bonferronis(p_values):
    # Oracle: a hypothesis falls when every set that holds it falls, each by Bonferroni.
    tests = range(len(p_values))
    for i, corrected in enumerate(holm(p_values)):
        sets = [
            chosen
            for size in range(1, len(p_values) + 1)
            for chosen in combinations(tests, size)
            if i in chosen
        ]
        worst = max(min(1, len(s) * min(p_values[k] for k in s)) for s in sets)
        assert corrected == pytest.approx(worst)


def test_comparisons_are_paired_and_corrected_together():
    rng = np.random.default_rng(0)
    hard = rng.normal(size=10)  # seeds differ far more than strategies do
    values = {"base": hard, "better": hard + 0.1, "same": hard + rng.normal(size=10) / 1e3}
    better, same = compare_paired(values, "base")
    assert (better.name, same.name) == ("better", "same")
    assert better.p_value == 2 / 1024
    assert better.corrected == 4 / 1024
    assert better.difference.mean == pytest.approx(0.1)
    assert same.p_value == sign_flip_test(values["same"] - hard)
    assert stats.ttest_ind(values["better"], hard).pvalue > 0.5  # what pairing is good for


# --- ranks -----------------------------------------------------------------------------------

# Demšar 2006, table 2 and section 3.2.2: AUC of four trees on 14 data sets, their mean ranks,
# Friedman's chi-square without ties 9.28, and the critical difference at 5 %, 1.25.
# The paper prints .975 where .9751 stands, and ranks it before the .975 beside it.
DEMSAR = {
    "C4.5": [.763, .599, .954, .628, .882, .936, .661, .583, .775, 1.0, .940, .619, .972, .957],
    "C4.5+m": [
        .768, .591, .971, .661, .888, .931, .668, .583, .838, 1.0, .962, .666, .981, .978,
    ],
    "C4.5+cf": [
        .771, .590, .968, .654, .886, .916, .609, .563, .866, 1.0, .965, .614, .9751, .946,
    ],
    "C4.5+m+cf": [
        .798, .569, .967, .657, .898, .931, .685, .625, .875, 1.0, .962, .669, .975, .970,
    ],
}  # fmt: skip


def test_ranks_and_critical_difference_are_those_of_demsar():
    found = friedman(DEMSAR)
    assert list(found.ranks.values()) == pytest.approx([3.143, 2.0, 2.893, 1.964], abs=5e-4)
    by_hand = 12 * 14 / 20 * (sum(r**2 for r in found.ranks.values()) - 4 * 25 / 4)
    assert by_hand == pytest.approx(9.28, abs=0.01)
    assert found.statistic >= by_hand  # ties make it larger
    assert found.critical == pytest.approx(1.25, abs=0.005)
    assert found.streams == 14


@pytest.mark.parametrize(("k", "q"), [(3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_differences_follow_demsars_table_of_q(k, q):
    table = {str(i): [float(i), float(i) + 1, 3.0 * i] for i in range(k)}
    expected = q * sqrt(k * (k + 1) / 18)
    assert friedman(table).critical == pytest.approx(expected, rel=1e-3)


@given(st.permutations(range(4)), st.permutations(range(4)))
def test_ranks_turn_around_when_small_is_good(one, two):
    table = {str(i): [one[i], two[i]] for i in range(4)}
    up, down = friedman(table), friedman(table, larger_is_better=False)
    for name in table:
        assert 1 <= up.ranks[name] == 5 - down.ranks[name] <= 4
    assert sum(up.ranks.values()) == 10


def test_a_share_has_wilsons_interval():
    hits, n, z = 8, 10, 1.959964
    centre = (hits / n + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(0.8 * 0.2 / n + z**2 / (4 * n**2))
    assert proportion(hits, n) == pytest.approx((centre - half, centre + half), rel=1e-6)
    assert proportion(0, 5)[0] == 0
    assert proportion(5, 5)[1] == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sign_flip_test([]), "has 0 values"),
        (lambda: sign_flip_test([1.0] * 21), "has 21 values; an exact test needs 1 to 20"),
        (lambda: sign_flip_test([float("nan"), 1.0]), "all finite"),
        (lambda: smallest_p(0), "pairs is 0"),
        (lambda: holm([0.5, 1.5]), "each lies between 0 and 1"),
        (lambda: holm([float("nan")]), "each lies between 0 and 1"),
        (lambda: compare_paired({"a": [1.0]}, "b"), "reference is 'b'; there are a"),
        (lambda: compare_paired({"a": [1.0], "b": [1.0, 2.0]}, "a"), "pairs need the same"),
        (lambda: friedman({"a": [1, 2], "b": [2, 1]}), "at least 3 strategies"),
        (lambda: friedman({key: [1.0] for key in "abc"}), "same 2 or more streams"),
        (lambda: friedman({key: [1.0, 2.0] for key in "abc"}), "alike on every stream"),
        (lambda: friedman({"a": [1, float("nan")], "b": [1, 2], "c": [1, 2]}), "no rank"),
        (lambda: proportion(3, 2), "hits is 3 of 2"),
        (lambda: proportion(0, 0), "of 0 trials"),
    ],
)
def test_what_cannot_be_tested_is_refused(call, message):
    with pytest.raises(MosaicError, match=message):
        call()

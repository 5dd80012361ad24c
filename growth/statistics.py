"""Is a difference more than chance? Intervals, exact paired tests, ranks over streams.

Seeds are paired: seed k draws the same data, order and initial weights for every strategy, so
strategies are compared by their differences, seed by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Estimate",
    "Paired",
    "Ranks",
    "compare_paired",
    "estimate",
    "friedman",
    "holm",
    "proportion",
    "sign_flip_test",
    "smallest_p",
]  # fmt: skip

MOST_PAIRS = 20
"""Pairs of which all sign flips, a million, are tried."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval (Student's t); no interval for one seed.

    Parameters
    ----------
    mean : float
    low, high : float, optional
    seeds : int
    deviation : float, optional
        Standard deviation over the seeds (n - 1 in the denominator).
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int
    deviation: float | None = None

    def text(self, scale: float = 1.0, digits: int = 1) -> str:
        """Write ``96.1 ± 0.8``, both times `scale`."""
        if self.high is None:
            return f"{self.mean * scale:.{digits}f}"
        half = (self.high - self.mean) * scale
        return f"{self.mean * scale:.{digits}f} ± {half:.{digits}f}"


def estimate(values: ArrayLike) -> Estimate:
    """Estimate a mean from one value for each seed: ``mean ± t(0.975, n - 1) sd / sqrt(n)``.

    Source: Student, The probable error of a mean, Biometrika 6, 1908.

    Parameters
    ----------
    values : array, (seeds,)

    Raises
    ------
    MosaicError
        If there is no value, or one is not finite.

    Examples
    --------
    >>> estimate([1.0, 2.0, 3.0]).text()
    '2.0 ± 2.5'
    """
    sample = np.asarray(values, np.float64).ravel()
    if not sample.size or not np.isfinite(sample).all():
        raise MosaicError("estimate needs at least one finite value.")
    mean = float(sample.mean())
    if sample.size == 1:
        return Estimate(mean, None, None, 1)
    half = float(stats.t.ppf(0.975, sample.size - 1) * stats.sem(sample))
    return Estimate(mean, mean - half, mean + half, sample.size, float(sample.std(ddof=1)))


def proportion(hits: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share, such as an accuracy on so many test samples.

    Wilson's score interval, by scipy. Source: Wilson, Journal of the American Statistical
    Association 22, 1927.

    Raises
    ------
    MosaicError
        If there is no trial, or more hits than trials.

    Examples
    --------
    >>> low, high = proportion(9800, 10_000)
    >>> f"{low:.4f} {high:.4f}"
    '0.9771 0.9826'
    """
    if not 0 <= hits <= trials or trials < 1:
        raise MosaicError(
            f"hits is {hits} of {trials} trials; it needs 0 to all of at least one."
        )
    interval = stats.binomtest(hits, trials).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def smallest_p(pairs: int) -> float:
    """Smallest p-value that a sign-flip test of so many pairs can give: ``2 / 2^n``.

    Examples
    --------
    >>> smallest_p(5), smallest_p(10)
    (0.0625, 0.001953125)
    """
    if pairs < 1:
        raise MosaicError(f"pairs is {pairs}; a test needs at least 1.")
    return min(2.0 ** (1 - pairs), 1.0)


def sign_flip_test(differences: ArrayLike) -> float:
    """Exact two-sided p-value of paired differences, if neither side is better.

    Then every difference might as well have the other sign: p is the share of all 2^n choices
    of signs whose sum is at least as far from zero as the one found. scipy's
    `permutation_test` goes through all of them.

    Parameters
    ----------
    differences : array, (pairs,)
        One for each seed; 1 to 20 of them.

    Raises
    ------
    MosaicError
        If there are none or more, or one is not finite.

    References
    ----------
    Fisher, The design of experiments, 1935, section 21.

    Examples
    --------
    >>> sign_flip_test([0.1, 0.2, 0.3, 0.1, 0.4])
    0.0625
    """
    sample = np.asarray(differences, np.float64).ravel()
    if not 1 <= sample.size <= MOST_PAIRS or not np.isfinite(sample).all():
        raise MosaicError(
            f"differences has {sample.size} values; an exact test needs 1 to {MOST_PAIRS}, all "
            "finite."
        )
    if sample.size == 1 or not sample.any():
        return 1.0
    found = stats.permutation_test(
        (sample,),
        lambda x, axis: np.abs(x.sum(axis)),
        permutation_type="samples",
        n_resamples=np.inf,
        batch=2**14,
        alternative="greater",
        vectorized=True,
    )
    return float(found.pvalue)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Correct p-values of several tests so that all hold at once.

    The k-th smallest of m is multiplied by ``m - k + 1``; none gets smaller than the one
    before, nor larger than 1.

    Parameters
    ----------
    p_values : array, (tests,)

    Returns
    -------
    float64 array, (tests,), in the order given

    References
    ----------
    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6, 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, np.float64).ravel()
    if not ((p >= 0) & (p <= 1)).all():
        raise MosaicError(f"p_values is {p.tolist()}; each lies between 0 and 1.")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


@dataclass(frozen=True)
class Paired:
    """One strategy against another on the same seeds.

    Parameters
    ----------
    name : str
        The other one.
    difference : Estimate
        The other minus the reference.
    p_value : float
        Of `sign_flip_test`.
    corrected : float
        The same after Holm's correction for all comparisons made together.
    """

    name: str
    difference: Estimate
    p_value: float
    corrected: float


def compare_paired(values: Mapping[str, Sequence[float]], reference: str) -> list[Paired]:
    """Compare every strategy with one of them, seed by seed.

    Parameters
    ----------
    values : mapping of name to one value for each seed
        The same seeds in the same order for all.
    reference : str

    Returns
    -------
    list of Paired, in the order of `values`, without the reference

    Raises
    ------
    MosaicError
        If the reference is missing, or numbers of seeds differ.

    Examples
    --------
    >>> found = compare_paired({"a": [0.5, 0.6, 0.7], "b": [0.6, 0.7, 0.9]}, "a")
    >>> found[0].name, f"{found[0].difference.mean:.3f}", found[0].corrected
    ('b', '0.133', 0.25)
    """
    if reference not in values:
        raise MosaicError(f"reference is {reference!r}; there are {', '.join(values)}.")
    sizes = {name: len(seeds) for name, seeds in values.items()}
    if len(set(sizes.values())) != 1:
        raise MosaicError(f"Numbers of seeds are {sizes}; pairs need the same for all.")
    base = np.asarray(values[reference], np.float64)
    apart = {
        name: np.asarray(seeds, np.float64) - base
        for name, seeds in values.items()
        if name != reference
    }
    p_values = [sign_flip_test(difference) for difference in apart.values()]
    return [
        Paired(name, estimate(difference), p, float(corrected))
        for (name, difference), p, corrected in zip(
            apart.items(), p_values, holm(p_values), strict=True
        )
    ]


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of strategies over several streams; 1 is the best.

    Parameters
    ----------
    ranks : dict of name to mean rank
    statistic, p_value : float
        Friedman's chi-square, corrected for ties, and its p-value if all were alike.
    critical : float
        Nemenyi's critical difference: mean ranks further apart differ at the 5 % level.
    streams : int
    """

    ranks: dict[str, float]
    statistic: float
    p_value: float
    critical: float
    streams: int


def friedman(
    values: Mapping[str, Sequence[float]], *, larger_is_better: bool = True
) -> Ranks:
    """Rank strategies on every stream, and test whether their mean ranks differ.

    With k strategies on n streams the critical difference is ``q sqrt(k (k + 1) / (6 n))``,
    where q is the 95 % point of the studentised range of k means over sqrt(2).

    Parameters
    ----------
    values : mapping of name to one value for each stream
        At least three names and two streams; equal values share their ranks.
    larger_is_better : bool

    Raises
    ------
    MosaicError
        If there are fewer, numbers of streams differ, or all strategies are alike on all.

    References
    ----------
    Friedman, Journal of the American Statistical Association 32, 1937; Demšar, Statistical
    comparisons of classifiers over multiple data sets, JMLR 7, 2006.

    Examples
    --------
    >>> found = friedman({"a": [0.9, 0.8], "b": [0.7, 0.7], "c": [0.5, 0.6]})
    >>> found.ranks, f"{found.statistic:.2f}", f"{found.critical:.2f}"
    ({'a': 1.0, 'b': 2.0, 'c': 3.0}, '4.00', '2.34')
    """
    sizes = {name: len(each) for name, each in values.items()}
    if len(sizes) < 3 or len(set(sizes.values())) != 1 or min(sizes.values()) < 2:
        raise MosaicError(
            f"Numbers of streams are {sizes}; ranks need at least 3 strategies on the same 2 or "
            "more streams."
        )
    table = np.array(list(values.values()), np.float64).T
    if not np.isfinite(table).all():
        raise MosaicError("values holds numbers that are not finite; they have no rank.")
    if (table == table[:, :1]).all():
        raise MosaicError("All strategies are alike on every stream; there is no rank.")
    ranks = stats.rankdata(-table if larger_is_better else table, axis=1).mean(0)
    found = stats.friedmanchisquare(*table.T)
    streams, k = table.shape
    q = stats.studentized_range.ppf(0.95, k, np.inf) / np.sqrt(2)
    return Ranks(
        dict(zip(values, ranks.tolist(), strict=True)),
        float(found.statistic),
        float(found.pvalue),
        float(q * np.sqrt(k * (k + 1) / (6 * streams))),
        streams,
    )

"""The three orderings of the thesis on three tiers, held against runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from growth.claims.base import points, table
from growth.claims.tier_printed import PRINTED, SCHEDULES
from growth.statistics import estimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from growth.claims.learnt import Learnt

__all__ = ["difference", "orderings"]


def orderings(panels: Mapping[str, Mapping[str, Mapping[str, Learnt]]], shown: str) -> str:
    """Table of the three orderings, and in words what became of them.

    Parameters
    ----------
    panels : mapping
        By title, schedule and split.
    shown : str
        Rate of the common tier of the runs that words are about.
    """
    lines = []
    for panel, schedules in panels.items():
        for schedule, splits in schedules.items():
            where = f"{panel}; {SCHEDULES[schedule]}"
            f, la = (
                [getattr(o, key) for o in splits.values()] for key in ("forgetting", "la")
            )
            big, middle, small = f[0], (f[1] + f[2]) / 2, (f[3] + f[4]) / 2
            lines.append(
                [
                    where, difference(big - middle), difference(middle - small),
                    difference(la[0] - (la[3] + la[4]) / 2),
                    "" if schedule == "256" else difference(_more(schedules, schedule)),
                    *(points(rank(f, tier)) for tier in (2, 1)),
                ]
            )  # fmt: skip
    head = [
        "", "(a) F: 7.2 M − 4.8 M", "(a) F: 4.8 M − 2.4 M", "(b) LA: 7.2 M − 2.4 M",
        "(c) F: this − batch 256", "rank: task tier", "rank: common tier",
    ]  # fmt: skip
    return f"""\
The document's orderings are (a) F ranks by the size of the task tier, (b) LA falls with it, (c)
batch 64 forgets more than batch 256. As differences in points, paired by seed (two splits of one
size are averaged, and (c) over all five); each is positive if the ordering holds, and marked \\* if
its interval leaves out 0. *Rank* is Spearman's correlation of mean F, over the five splits, with
the size of the task tier and of the common one.

{table(head, lines)}

{_verdicts(panels, shown)}
"""


def difference(values: NDArray[np.float64]) -> str:
    """Mean of a signed difference of shares in points, marked if its interval leaves out 0."""
    if len(values) == 1:
        return points(100 * float(values[0]))
    found = estimate(values)
    sure = found.low is not None and found.high is not None and found.low * found.high > 0
    return found.text(100).replace("-", "−") + (" \\*" if sure else "")


def rank(forgetting: Sequence[NDArray[np.float64]], tier: int) -> float:
    """Spearman's correlation of mean forgetting with the size of a tier, over the splits."""
    sizes = [one.sizes[tier] for one in PRINTED.values()]
    means = [float(one.mean()) for one in forgetting]
    return float(stats.spearmanr(sizes, means).statistic)


def _more(
    schedules: Mapping[str, Mapping[str, Learnt]], schedule: str
) -> NDArray[np.float64]:
    """How much more a schedule forgets than batch 256, mean over splits, (seeds,)."""
    found: NDArray[np.float64] = np.mean(
        [
            schedules[schedule][s].forgetting - schedules["256"][s].forgetting
            for s in PRINTED
        ],
        axis=0,
    )
    return found


def _verdicts(panels: Mapping[str, Mapping[str, Mapping[str, Learnt]]], shown: str) -> str:
    ours = panels[f"ours, {shown}"]
    f, la = ([getattr(o, k) for o in ours["256"].values()] for k in ("forgetting", "la"))
    a, b = (x[0] - (x[3] + x[4]) / 2 for x in (f, la))
    epochs, updates = (_more(ours, schedule) for schedule in ("64", "64-updates"))
    means = dict(zip(PRINTED, (100 * float(one.mean()) for one in f), strict=True))
    ranks = ", ".join(
        f"{split} ({means[split]:.1f})"
        for split in sorted(means, key=lambda split: -means[split])
    )
    larger = ((f[1] - f[2]) + (f[4] - f[3])) / 2
    return f"""\
At {shown}, where ours forgets, and batch 256:

- (a) {_word(a)}: 7.2 M forgets {difference(a)} points more than 2.4 M. By F the splits rank
  {ranks}.
- (b) {_word(b)}: LA is {difference(b)} points higher with 7.2 M than with 2.4 M.
- (c) {_word(epochs)} at equal epochs: batch 64 forgets {difference(epochs)} points more, with four
  times as many updates. At equal updates it {_word(updates)}: {difference(updates)} points.

A private copy cannot forget; what is lost is what later tasks moved under it. So here F follows
the common tier and not the task's: at equal task tiers the split with the larger common one
forgets {difference(larger)} points more. The document has it the other way round, its 1 M common
tier forgets most, so that something must have moved in its task tiers that was not private; the
next part has a candidate. As to (c), four times as many updates at the same batch of 64 add
{difference(epochs - updates)} points: it is the number of updates that the document compares, not
the batch. (b) is what one expects: with a smaller task tier fewer layers learn at its rate.
"""


def _word(values: NDArray[np.float64]) -> str:
    """Whether an ordering holds, by the interval of its difference."""
    found = estimate(values)
    if found.low is None or found.high is None or found.low <= 0 <= found.high:
        return "cannot be told from chance"
    return "holds" if found.low > 0 else "is reversed"

"""Streams from streams: fewer samples, blurred or hidden boundaries, returns, noise, a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from growth.samples import Samples, join
from growth.streams.base import Stream, generator
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "PROTOCOLS", "Protocol", "blurred", "hidden", "limited", "mixed", "noisy", "recurring",
    "uneven",
]  # fmt: skip


@dataclass(frozen=True)
class Protocol:
    """How much of a stream is seen, and how often.

    Parameters
    ----------
    train : int, optional
        Training samples of each task; all of them where it is None.
    epochs : int, optional
        Passes over each task; the experiment's own where it is None.
    batch : int, optional
        Samples of an update; the experiment's own where it is None.
    boundaries : bool
        Whether a learner is told where tasks begin.
    source : str
    """

    train: int | None
    epochs: int | None
    batch: int | None
    boundaries: bool
    source: str


PROTOCOLS = {
    "thousand": Protocol(
        1000,
        1,
        10,
        True,
        "Lopez-Paz and Ranzato, NeurIPS 2017: 1,000 a task, once, by tens",
    ),
    "full": Protocol(
        None, None, None, True, "van de Ven and Tolias, arXiv:1904.07734: all samples"
    ),
    "online": Protocol(
        None,
        1,
        10,
        False,
        "Aljundi et al., CVPR 2019: one pass, nobody says where tasks begin",
    ),
}
"""Protocols of the literature, by name."""


def limited(
    stream: Stream, seed: int, train: int | None = None, test: int | None = None
) -> Stream:
    """Keep so many random samples of each task, in random order.

    Parameters
    ----------
    seed : int
        Task k keeps the same samples whatever the other tasks are.
    train, test : int, optional
        Samples of each task; all of them, in their own order, where it is None.

    Raises
    ------
    MosaicError
        If a task has fewer samples, or labels would be left out of it entirely.

    Examples
    --------
    >>> from growth.datasets import digits
    >>> from growth.streams import split_evenly
    >>> [len(t.train) for t in limited(split_evenly(digits(0), 5), seed=0, train=200).tasks]
    [200, 200]
    """
    tasks = []
    for task in stream.tasks:
        parts = {"train": task.train, "test": task.test}
        for part, wanted in (("train", train), ("test", test)):
            if wanted is None:
                continue
            samples = parts[part]
            if not 1 <= wanted <= len(samples):
                raise MosaicError(
                    f"{part} is {wanted}; task {task.number} has {len(samples)} such samples."
                )
            rng = generator(seed, f"{part} {task.number}")
            parts[part] = samples.take(rng.permutation(len(samples))[:wanted])
        lost = set(task.classes) - set(parts["train"].labels.tolist())
        if lost and train is not None:
            raise MosaicError(
                f"train is {train}; no sample of class {sorted(lost)} of task {task.number} was "
                "drawn. It needs more."
            )
        tasks.append(replace(task, train=parts["train"], test=parts["test"]))
    return replace(stream, tasks=tuple(tasks))


def uneven(stream: Stream, most: float, seed: int) -> Stream:
    """Take up to a share `most` of the training samples of each task away, so that lengths differ.

    What is left of a task is drawn evenly from ``1 - most`` to 1; the last samples go. In a
    stream of equal tasks regular times would find every boundary.

    Raises
    ------
    MosaicError
        If `most` is not from 0 up to, but not including, 1.

    Examples
    --------
    >>> from growth.streams import digits, split
    >>> stream = uneven(split(digits(0), [[0, 1], [2, 3]]), 0.5, 0)
    >>> [len(task.train) for task in stream.tasks]
    [201, 155]
    """
    if not 0 <= most < 1:
        raise MosaicError(f"most is {most}; it lies from 0 up to, but not including, 1.")
    shares = 1 - most * generator(seed, "uneven").random(len(stream.tasks))
    tasks = []
    for task, share in zip(stream.tasks, shares.tolist(), strict=True):
        kept = max(1, round(share * len(task.train)))
        tasks.append(replace(task, train=task.train.take(np.arange(kept))))
    return replace(stream, tasks=tuple(tasks))


def hidden(stream: Stream) -> Stream:
    """Tell the learner neither where a task begins nor which one it is."""
    return replace(stream, boundaries=False, identity=False)


def blurred(stream: Stream, share: float, seed: int) -> Stream:
    """Let each task fade into the next; nobody is told where.

    Around each boundary the last ``share / 2`` of the old task's samples and the first
    ``share / 2`` of the new one's come in a random order, in which the probability of the new
    task rises linearly from 0 to 1. Every sample comes exactly once. Task k of the result holds
    the samples that come in the place of task k; tests stay as they were, one for each
    task that fades.

    Parameters
    ----------
    share : float
        0 (sharp) to 1 (each task fades into the next from its middle on).
    seed : int

    Notes
    -----
    Old samples get the position ``1 - sqrt(u)`` of the zone, new ones ``sqrt(u)``, with u
    even between 0 and 1, so that their densities fall and rise linearly.

    References
    ----------
    Zeno, Golan, Hoffer and Soudry, Task agnostic continual learning using online variational
    Bayes, arXiv:1803.10123.

    Examples
    --------
    >>> from growth.datasets import digits
    >>> from growth.streams import split_evenly
    >>> stream = blurred(split_evenly(digits(0), 5), 0.2, seed=0)
    >>> stream.scenario, sorted(set(stream.tasks[0].train.tasks.tolist()))
    ('task-free', [0, 1])
    """
    if not 0 <= share <= 1:
        raise MosaicError(f"share is {share}; it needs to lie between 0 and 1.")
    parts = [task.train for task in stream.tasks]
    sizes = [len(part) for part in parts]
    for k in range(len(parts) - 1):
        old, new = parts[k], parts[k + 1]
        # Half of the original sizes, so that a zone never reaches into the one before it.
        tail, head = (int(share / 2 * sizes[k + i]) for i in (0, 1))
        kept = len(old) - tail
        zone = join([old.take(np.arange(kept, len(old))), new.take(np.arange(head))])
        rng = generator(seed, f"boundary {k}")
        place = np.sqrt(rng.random(tail + head))
        place[:tail] = 1 - place[:tail]
        zone = zone.take(np.argsort(place, kind="stable"))
        parts[k] = join([old.take(np.arange(kept)), zone.take(np.arange(tail))])
        parts[k + 1] = join(
            [zone.take(np.arange(tail, tail + head)), new.take(np.arange(head, len(new)))]
        )
    tasks = [
        replace(task, train=part, classes=_classes(part, task.test))
        for task, part in zip(stream.tasks, parts, strict=True)
    ]
    return replace(
        stream, name=f"blurred-{stream.name}", tasks=tuple(tasks), boundaries=False,
        identity=False,
    )  # fmt: skip


def mixed(stream: Stream, seed: int) -> Stream:
    """Pool the training samples of all tasks, and deal them out again in random portions.

    There is no order of tasks any more: every portion has samples of all of them. With
    `Stream.identity`, each sample still says which task it is from. Tests stay as they were.

    Examples
    --------
    >>> from growth.datasets import digits
    >>> from growth.streams import split_evenly
    >>> stream = mixed(split_evenly(digits(0), 5), seed=0)
    >>> sorted(set(stream.tasks[1].train.tasks.tolist()))
    [0, 1]
    """
    pool = join([task.train for task in stream.tasks])
    order = generator(seed, "pool").permutation(len(pool))
    ends = np.cumsum([len(task.train) for task in stream.tasks])[:-1]
    tasks = []
    for task, index in zip(stream.tasks, np.split(order, ends), strict=True):
        part = pool.take(index)
        tasks.append(replace(task, train=part, classes=_classes(part, task.test)))
    return replace(stream, name=f"mixed-{stream.name}", tasks=tuple(tasks))


def recurring(
    stream: Stream, order: Sequence[int], seed: int, *, fresh: bool = True
) -> Stream:
    """Let tasks come back.

    Parameters
    ----------
    order : sequence of int
        Numbers of tasks as they are seen, such as ``[0, 1, 0, 2]``.
    seed : int
        Of the dealing.
    fresh : bool
        Deal the training samples of a task out to its visits at random, so that none is seen
        twice; otherwise every visit brings all of them.

    Examples
    --------
    >>> from growth.datasets import digits
    >>> from growth.streams import split_evenly
    >>> stream = recurring(split_evenly(digits(0), 5), [0, 1, 0], seed=0)
    >>> [task.identity for task in stream.tasks]
    [0, 1, 0]
    """
    known = len(stream.tasks)
    if not order or any(not 0 <= k < known for k in order):
        raise MosaicError(
            f"order is {list(order)}; it needs numbers of tasks, from 0 to {known - 1}."
        )
    dealt = {}
    for k in set(order):
        size, visits = len(stream.tasks[k].train), list(order).count(k)
        if fresh and size < visits:
            raise MosaicError(f"Task {k} has {size} training samples for {visits} visits.")
        deck = generator(seed, f"visits {k}").permutation(size)
        dealt[k] = [np.sort(hand) for hand in np.array_split(deck, visits)]
    tasks = []
    for number, k in enumerate(order):
        task = stream.tasks[k]
        train = task.train.take(dealt[k].pop(0)) if fresh else task.train
        tasks.append(replace(task, number=number, train=train))
    return replace(stream, name=f"recurring-{stream.name}", tasks=tuple(tasks))


def noisy(
    stream: Stream,
    rate: float,
    seed: int,
    *,
    start: float = 0.0,
    stop: float = 1.0,
    tasks: Sequence[int] | None = None,
) -> Stream:
    """Give training samples wrong labels, in bursts.

    From share `start` to share `stop` of a task's training samples, in their order, each label
    is replaced with probability `rate` by another one of the same task, all equally likely.
    Inputs, order and tests stay as they were, so the samples whose label differs from the
    original stream's are the noise.

    Parameters
    ----------
    rate : float, 0 to 1
    seed : int
    start, stop : float, 0 to 1
    tasks : sequence of int, optional
        Tasks with a burst; all by default.

    Examples
    --------
    >>> from growth.datasets import digits
    >>> from growth.streams import split_evenly
    >>> clean = split_evenly(digits(0), 5)
    >>> burst = noisy(clean, 1.0, seed=0, stop=0.5, tasks=[1])
    >>> [(a.train_labels != b.train_labels).mean().round(1).item()
    ...  for a, b in zip(clean.tasks, burst.tasks)]
    [0.0, 0.5]
    """
    if not 0 <= rate <= 1:
        raise MosaicError(f"rate is {rate}; a probability lies between 0 and 1.")
    if not 0 <= start < stop <= 1:
        raise MosaicError(
            f"start is {start} and stop {stop}; both lie between 0 and 1, start before stop."
        )
    numbers = range(len(stream.tasks)) if tasks is None else tasks
    strange = [k for k in numbers if not 0 <= k < len(stream.tasks)]
    if strange:
        raise MosaicError(
            f"tasks names {strange}; the stream has 0 to {len(stream.tasks) - 1}."
        )
    changed = list(stream.tasks)
    for k in numbers:
        task = changed[k]
        burst = slice(round(start * len(task.train)), round(stop * len(task.train)))
        rng = generator(seed, f"noise {k}")
        labels = task.train.labels.copy()
        labels[burst] = _wrong(labels[burst], task.classes, rate, rng)
        changed[k] = replace(task, train=task.train.relabelled(labels))
    return replace(stream, name=f"noisy-{stream.name}", tasks=tuple(changed))


def _wrong(
    labels: NDArray[np.int64],
    classes: tuple[int, ...],
    rate: float,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    known = np.array(sorted(classes))
    # A step of 1 to n - 1 around the circle of classes reaches every other one, never itself.
    steps = rng.integers(1, len(known), len(labels))
    steps[rng.random(len(labels)) >= rate] = 0
    wrong: NDArray[np.int64] = known[(np.searchsorted(known, labels) + steps) % len(known)]
    return wrong


def _classes(train: Samples, test: Samples) -> tuple[int, ...]:
    """Every label of training and test samples."""
    found = np.unique(np.concatenate([train.labels, test.labels]))
    return tuple(int(label) for label in found)

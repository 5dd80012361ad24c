"""Find out which signal grows a network when the task changes, and only then.

``python benchmarks/when_to_grow.py [--seeds 10] [--out DIR]``; one thread, some minutes; MNIST
is read from the folder ``MOSAIC_DATA``. Batches of digits (10 samples) and MNIST (20) come once,
in five tasks of two classes and of unequal lengths, all drawn by the seed, without boundaries:
clean, with bursts of random labels, with blurred boundaries, with both, with tasks that return,
and without any tasks.

Networks of one hidden layer train along by plain gradient descent. Each signal watches one
network, which it widens by 8 neurons at each event; the trigger, the oracle and random times
have a network for each expert. An event in the first half of a new task, or while it fades in,
is a hit, once; every other event is a false growth. A returning task is recognised if nothing
grows and the expert that served it before serves it again.

Thresholds of the signals are those that do best on clean digits, seeds 100 to 104 (``--tune``).
The trigger makes no mistake there for a wide range; its own were chosen on all streams of
digits, seeds 100 to 119. Reported are seeds from 200 on.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from growth.datasets import Dataset, digits
from growth.datasets import mnist as load_mnist
from growth.statistics import estimate
from growth.streams import (
    blurred,
    hidden,
    limited,
    noisy,
    recurring,
    split_evenly,
)
from growth.when import (
    Action,
    At,
    CoherentNeed,
    Cumulative,
    Expansion,
    Novelty,
    Observation,
    Plasticity,
    Plateau,
    Representation,
    Rise,
    Schedule,
    Signal,
    Trigger,
    Watch,
    mean_loss,
    observe,
    products,
    random_times,
)

HIDDEN, MORE = 32, 8
BATCH = {"digits": 10, "mnist": 20}
RATE = {"digits": 0.2, "mnist": 0.1}
VISIT = {
    "digits": (16, 24),
    "mnist": (36, 65),
}  # batches, drawn evenly; the second is too many
STATIONARY, TESTED = 1000, 2000
RETURNS = [0, 1, 0, 2, 1, 3, 0, 4, 2]
BLUR = 0.2
KINDS = ("clean", "noise", "blurred", "blurred+noise", "recurring", "stationary")
TUNED_ON = range(100, 105)
FIRST_SEED = 200
GRID = (
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    1.0,
    1.5,
    2.0,
    2.5,
    3.0,
    4.0,
    5.0,
    6.0,
    8.0,
    12.0,
)
QUANTILES = (0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995)


mnist = cache(load_mnist)


class Net:
    """Channels, hidden neurons with ReLU, softmax; trained by plain gradient descent."""

    def __init__(self, channels: int, outputs: int, rate: float, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.rate = rate
        self.into, self.bias = np.zeros((0, channels)), np.zeros(0)
        self.out = np.zeros((outputs, 0))
        self.widen(HIDDEN)

    def widen(self, neurons: int) -> None:
        """Add neurons that read at random and are not heard yet."""
        channels, outputs = self.into.shape[1], self.out.shape[0]
        more = self.rng.standard_normal((neurons, channels)) * (2 / channels) ** 0.5
        self.into = np.vstack([self.into, more])
        self.bias = np.append(self.bias, np.zeros(neurons))
        self.out = np.hstack([self.out, np.zeros((outputs, neurons))])

    def observe(
        self, inputs: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> Observation:
        """What signals see of a batch; keeps the gradient for `train`."""
        n = len(labels)
        hidden = np.maximum(inputs @ self.into.T + self.bias, 0)
        logits = hidden @ self.out.T
        logits -= logits.max(1, keepdims=True)
        share = np.exp(logits)
        share /= share.sum(1, keepdims=True)
        losses = -np.log(share[np.arange(n), labels] + 1e-12)
        errors = share.copy()
        errors[np.arange(n), labels] -= 1
        back = (errors @ self.out) * (hidden > 0)
        self.gradient = (back.T @ inputs / n, back.mean(0), errors.T @ hidden / n)
        training = products(errors, hidden) + products(back, inputs) + products(back)
        return observe(
            inputs, labels, losses, activity=hidden, errors=errors, training=training
        )

    def guess(self, inputs: NDArray[np.float64]) -> NDArray[np.int64]:
        """The likeliest label of each input."""
        hidden = np.maximum(inputs @ self.into.T + self.bias, 0)
        likeliest: NDArray[np.int64] = (hidden @ self.out.T).argmax(1)
        return likeliest

    def train(self) -> None:
        """Descend the gradient of the batch observed last."""
        into, bias, out = self.gradient
        self.into -= self.rate * into
        self.bias -= self.rate * bias
        self.out -= self.rate * out


@dataclass(frozen=True)
class Course:
    """A stream in batches, and where its tasks begin."""

    batches: list[tuple[NDArray[np.float64], NDArray[np.int64]]]
    starts: list[int]  # batch at which each visit begins
    tasks: list[int]  # and which task it is
    channels: int
    outputs: int
    rate: float
    test: tuple[NDArray[np.float64], NDArray[np.int64]]
    early: list[int]  # batches before each start in which it already fades in

    def ends(self) -> list[int]:
        """One past the last batch of each visit."""
        return [*self.starts[1:], len(self.batches)]


def course(name: str, kind: str, seed: int) -> Course:
    """Draw a stream and cut it into batches."""
    data: Dataset = digits(seed) if name == "digits" else mnist()
    size = BATCH[name]
    some = data.test.take(np.arange(min(TESTED, len(data.test_labels))))
    test = (np.asarray(some.inputs, np.float64), some.labels)
    if kind == "stationary":
        rng = np.random.default_rng(seed)
        rows = np.concatenate([
            rng.permutation(len(data.train_labels))
            for _ in range(-(-STATIONARY * size // len(data.train_labels)))
        ])[: STATIONARY * size].reshape(STATIONARY, size)  # fmt: skip
        drawn = [data.train.take(row) for row in rows]
        batches = [(np.asarray(b.inputs, np.float64), b.labels) for b in drawn]
        return Course(batches, [0], [0], data.channels, data.labels, RATE[name], test, [0])
    stream = split_evenly(data, 2, seed=seed)
    shortest, too_long = VISIT[name]
    if kind == "recurring":
        # Visits have samples of their own; digits have too few for that and are seen again.
        fresh = name != "digits"
        visits = max(Counter(RETURNS).values()) if fresh else 1
        stream = limited(stream, seed, train=visits * size * (too_long - 1))
        stream = recurring(stream, RETURNS, seed, fresh=fresh)
    rng = np.random.default_rng(seed)
    lengths = rng.integers(shortest, too_long, len(stream.tasks)).tolist()
    order = [rng.permutation(len(task.train)) for task in stream.tasks]
    stream = replace(stream, tasks=tuple(
        replace(task, train=task.train.take(rows[: size * length]))
        for task, rows, length in zip(stream.tasks, order, lengths, strict=True)
    ))  # fmt: skip
    if "noise" in kind:
        # Three batches of each task have labels drawn evenly from its two classes.
        for k, length in enumerate(lengths):
            stream = noisy(stream, 0.5, seed, start=0.6, stop=0.6 + 3 / length, tasks=[k])
    starts = [int(start) for start in np.cumsum([0, *lengths[:-1]])]
    early = [0] * len(starts)
    if "blurred" in kind:
        stream = blurred(stream, BLUR, seed)
        early = [0, *(-(-int(BLUR / 2 * size * n) // size) for n in lengths[:-1])]
    stream = hidden(stream)
    batches = [(np.asarray(b.inputs, np.float64), b.labels) for b in stream.batches(size)]
    identities = [task.identity for task in stream.tasks]
    return Course(
        batches, starts, identities, data.channels, data.labels, RATE[name], test, early
    )


@dataclass
class Result:
    """What one run showed."""

    new: int  # switches to a task not seen before
    hits: int
    false: int
    batches: int
    returns: int = 0
    recognised: int = 0
    delay: float = float("nan")

    @property
    def recall(self) -> float:
        """Share of new tasks that were noticed."""
        return self.hits / self.new if self.new else float("nan")


def judge(course: Course, events: list[int], serving: list[int]) -> Result:
    """Count hits, false growths and recognised returns.

    `serving` is the expert of each batch; empty where there is only one network, which has
    nobody to recognise a task with.
    """
    hits = new = returns = recognised = 0
    delays, used = [], set()
    knows: dict[int, int] = {}  # who served each task at the end of its last visit
    visits = zip(course.starts, course.ends(), course.tasks, course.early, strict=True)
    for start, end, task, early in visits:
        half = start + (end - start) // 2
        inside = [event for event in events if start - early <= event < half]
        late = Counter(serving[half:end]).most_common(1)
        if task in knows:
            returns += bool(serving)
            grown = any(start <= event < end for event in events)
            recognised += bool(late) and late[0][0] == knows[task] and not grown
        elif start:
            new += 1
            if inside:
                hits += 1
                used.add(inside[0])
                delays.append(inside[0] - start)
        knows[task] = late[0][0] if late else -1
    return Result(
        new, hits, len(set(events) - used), len(course.batches), returns, recognised,
        float(np.mean(delays)) if delays else float("nan"),
    )  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """A signal and its threshold, as fixed on clean digits."""

    make: Callable[[Course, int], Signal]
    above: float
    patience: int = 1
    rest: int = 8


def _news(course: Course) -> list[int]:
    """Batches at which a task begins that was not seen before, without the first."""
    first = {
        task: start
        for start, task in reversed(list(zip(course.starts, course.tasks, strict=True)))
    }
    return sorted(first.values())[1:]


def _oracle(course: Course, seed: int) -> Signal:
    return At(_news(course))


def _random(course: Course, seed: int) -> Signal:
    return random_times(len(_news(course)) or 4, len(course.batches), seed)


RULES = {
    "need": Rule(lambda c, s: CoherentNeed(), 3.32, patience=2),
    "need rise": Rule(lambda c, s: Rise(), 2.5),
    "need rise, added up": Rule(lambda c, s: Cumulative(Rise()), 3.0, patience=3),
    "novelty": Rule(lambda c, s: Novelty(), 3.0, patience=3),
    "novelty, added up": Rule(lambda c, s: Cumulative(Novelty()), 6.0),
    "loss rise": Rule(lambda c, s: Rise(mean_loss), 2.0),
    "loss rise, added up": Rule(lambda c, s: Cumulative(Rise(mean_loss)), 2.5, patience=3),
    "expansion": Rule(lambda c, s: Expansion(), 1.2),
    "representation": Rule(lambda c, s: Representation(), 0.233, patience=2),
    "plasticity": Rule(lambda c, s: Plasticity(), -0.155, patience=3),
    "plateau": Rule(lambda c, s: Plateau(), 0.3),
    "schedule": Rule(lambda c, s: Schedule(20), 0.5, rest=0),
}
TIMES = {"random": _random, "oracle": _oracle}


def watch(
    course: Course, rule: Rule, seed: int
) -> tuple[list[int], list[int], list[float]]:
    """Batches at which a signal grows the network it watches; experts, if any; its values."""
    net = Net(course.channels, course.outputs, course.rate, seed)
    signal = rule.make(course, seed)
    gate = signal.signal if isinstance(signal, Cumulative) else signal
    alarm = Watch(signal, above=rule.above, patience=rule.patience, rest=rule.rest)
    events, serving, values = [], [], []
    for number, (inputs, labels) in enumerate(course.batches):
        event = alarm(net.observe(inputs, labels))
        net.train()
        values.append(alarm.value)
        if isinstance(gate, Novelty):
            serving.append(int(gate.active))
        if event:
            net.widen(MORE)
            events.append(number)
    return events, serving, values


class Timed:
    """Experts of the same gate as the trigger's, but opened when a signal says so."""

    def __init__(self, signal: Signal) -> None:
        self.signal, self.gate = signal, Novelty()

    def route(self, inputs: NDArray[np.float64]) -> int:
        """Return the expert that knows these inputs best."""
        gate = self.gate
        return int(gate.active if gate.busy else gate.each(inputs).argmin())

    def __call__(self, seen: Observation) -> Action:
        """Take in a batch, after opening an expert for what comes if it is time."""
        novelty = self.gate(seen)
        event = self.signal(seen) > 0
        if event:
            self.gate.grown()
        return Action(
            "new expert" if event else "none", int(self.gate.active), 0, novelty, True
        )


def lead(
    course: Course, leader: Trigger | Timed, seed: int
) -> tuple[list[int], list[int], list[Net]]:
    """Let a leader open, widen and choose networks; events, experts and the networks."""

    def fresh(number: int) -> Net:
        return Net(course.channels, course.outputs, course.rate, 1000 * seed + number)

    nets, events, serving = [fresh(0)], [], []
    for number, (inputs, labels) in enumerate(course.batches):
        expert = leader.route(inputs)
        action = leader(nets[expert].observe(inputs, labels))
        if action.known:
            nets[expert].train()
        if action.name == "new expert":
            nets.append(fresh(len(nets)))
        elif action.name == "widen":
            nets[action.expert].widen(MORE)
        if action.name in ("new expert", "widen"):
            events.append(number)
        serving.append(action.expert)
    return events, serving, nets


def accuracy(course: Course, gate: Novelty, nets: list[Net]) -> float:
    """Share of test samples of all tasks right, each by the expert that knows it best."""
    expert = gate.scores(course.test[0]).argmin(1)
    guess = np.array([
        net.guess(course.test[0]) for net in nets
    ])[expert, np.arange(len(expert))]  # fmt: skip
    return float((guess == course.test[1]).mean())


def tune() -> None:
    """Print threshold and patience of each signal that do best on clean digits.

    Thresholds to try are a grid, and quantiles of the values that the signal takes there as
    long as nothing grows. Of several that do equally well it is the one in the middle.
    """
    courses = [(course("digits", "clean", seed), seed) for seed in TUNED_ON]
    for name, rule in RULES.items():
        if name == "schedule":
            continue  # its period is the mean length of a task of digits
        silent = replace(rule, above=float("inf"))
        seen = np.concatenate([watch(c, silent, seed)[2] for c, seed in courses])
        found = []
        for above in np.unique([*GRID, *np.quantile(seen, QUANTILES)]).tolist():
            for patience in (1, 2, 3):
                tried = replace(rule, above=above, patience=patience)
                runs = [judge(c, *watch(c, tried, seed)[:2]) for c, seed in courses]
                recall = float(np.mean([run.recall for run in runs]))
                false = float(np.mean([run.false for run in runs]))
                found.append((recall - false / 4, above, patience, recall, false))
        best = sorted(one for one in found if one[0] == max(found)[0])
        _, above, patience, recall, false = best[len(best) // 2]
        print(f"{name}: above {above:.3g}, patience {patience}: {recall:.2f}, {false:.2f}")


def rows(names: Sequence[str], kinds: Sequence[str], seeds: int) -> list[dict[str, object]]:
    """One row for each run."""
    out = []
    for name, kind, seed in itertools.product(
        names, kinds, range(FIRST_SEED, FIRST_SEED + seeds)
    ):
        drawn = course(name, kind, seed)
        for signal in ("trigger", *RULES, *TIMES):
            right = None
            if signal in RULES:
                events, serving, _ = watch(drawn, RULES[signal], seed)
            else:
                leader = Timed(TIMES[signal](drawn, seed)) if signal in TIMES else Trigger()
                events, serving, nets = lead(drawn, leader, seed)
                right = accuracy(drawn, leader.gate, nets)
            found = judge(drawn, events, serving)
            out.append({"data": name, "stream": kind, "signal": signal, "seed": seed}
                       | asdict(found) | {"recall": found.recall, "accuracy": right})  # fmt: skip
    return out


def summary(found: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Mean and 95 % interval over seeds, for each data set, stream and signal."""
    groups: dict[tuple[object, ...], list[Mapping[str, object]]] = {}
    for row in found:
        groups.setdefault((row["data"], row["stream"], row["signal"]), []).append(row)
    out = []
    for (data, stream, signal), runs in groups.items():
        line: dict[str, object] = {
            "data": data, "stream": stream, "signal": signal, "seeds": len(runs),
        }  # fmt: skip
        for name in ("recall", "false", "growths_per_1000", "returns_recognised", "delay",
                     "accuracy"):  # fmt: skip
            values = [value for run in runs if np.isfinite(value := _value(run, name))]
            if values:
                mean = estimate(values)
                line |= {
                    name: mean.mean,
                    f"{name}_low": mean.low,
                    f"{name}_high": mean.high,
                }
        out.append(line)
    return out


def _value(run: Mapping[str, Any], name: str) -> float:
    if name == "growths_per_1000":
        return float(1000 * (run["false"] + run["hits"]) / run["batches"])
    if name == "returns_recognised":
        return float(run["recognised"] / run["returns"]) if run["returns"] else float("nan")
    return float("nan") if run[name] is None else float(run[name])


def show(lines: Sequence[Mapping[str, Any]]) -> None:
    """Print a table for each data set and stream."""
    columns = {"recall": 2, "false": 2, "growths_per_1000": 1, "returns_recognised": 2,
               "delay": 1, "accuracy": 3}  # fmt: skip
    keys = list(dict.fromkeys((line["data"], line["stream"]) for line in lines))
    for data, stream in keys:
        table = Table("signal", *(name.replace("_", " ") for name in columns),
                      title=f"{data}, {stream}", width=110)  # fmt: skip
        for line in lines:
            if (line["data"], line["stream"]) != (data, stream):
                continue
            cells = []
            for name, places in columns.items():
                cells.append(_with_interval(line, name, places) if name in line else "")
            table.add_row(str(line["signal"]), *cells)
        Console(width=110).print(table)


def save(
    folder: Path, found: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]
) -> None:
    """Write every run, means and intervals, and the table of each data set, all as CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("runs", found), ("summary", lines)):
        heads = list(dict.fromkeys(key for line in table for key in line))
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, heads)
            writer.writeheader()
            writer.writerows(table)
    for data in dict.fromkeys(line["data"] for line in lines):
        with (folder / f"when-{data}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(
                compact([line for line in lines if line["data"] == data])
            )


def compact(lines: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """One row for each signal: recall and false growths on each stream."""
    streams = list(dict.fromkeys(line["stream"] for line in lines))
    found = {(line["signal"], line["stream"]): line for line in lines}
    table = [["signal", *streams]]
    for signal in dict.fromkeys(line["signal"] for line in lines):
        row = [str(signal)]
        for stream in streams:
            line = found[signal, stream]
            names = [name for name in ("recall", "false") if name in line]
            row.append("; ".join(_with_interval(line, name, 2) for name in names))
        table.append(row)
    return table


def _with_interval(line: Mapping[str, Any], name: str, places: int) -> str:
    if line[f"{name}_high"] is None:
        return f"{line[name]:.{places}f}"
    half = line[f"{name}_high"] - line[name]
    return f"{line[name]:.{places}f} ± {half:.{places}f}"


def main() -> None:
    """Print the tables, or what is best on clean digits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--data", nargs="+", choices=sorted(BATCH), default=["digits", "mnist"]
    )
    parser.add_argument("--streams", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--out", type=Path, help="folder for CSV files")
    parser.add_argument("--tune", action="store_true")
    options = parser.parse_args()
    if options.tune:
        tune()
        return
    found = rows(options.data, options.streams, options.seeds)
    lines = summary(found)
    show(lines)
    if options.out:
        save(options.out, found, lines)


if __name__ == "__main__":
    main()

"""Evolution of networks that share layers: quality, devices and energy decide what stays.

A component is one layer of weights. A task is served by a path: one component a layer. For a
task, `children` paths are tried, one after the other::

    parent   of the task's own paths the best, taken with probability 1/2^(children it had);
             else the paths that serve other tasks, in random order, likewise; else any of them
    child    its learning rate moves one step in `RATES` with probability `mutation`; each layer
             becomes a copy that may be trained with probability `mutation`, else it is shared
             and frozen; the last layer is always a copy of the child's own
    score    quality * base^(accounted devices) * energy_base^(energy share)

Quality is the accuracy on samples held back from training, at the best of `validations` looks; of
equal looks, and of equal paths, the later one counts, which has been trained for longer.
A component's devices are shared out among the tasks whose paths use it, this one included;
accounted devices are the sum over the path, and 1 is one network. The energy share is the
number of synaptic events on the samples held back, and 1 is every neuron firing in every step.
A child is kept if it scores no worse than its parent, or comes from another task. At the end the
best path serves the task, what it uses is never trained again, and what no path uses is dropped:
nothing is forgotten, to the bit.

The first path has random layers, which are worth no more to keep than others: its children copy
all of them. A last layer is copied from a parent of the same task only, else it starts from the
first path's, since that of another task has learnt to keep this task's outputs silent.

Stored beside the network: components that do not serve the last task, one level a weight. On the
chip: every child is programmed and trained there; a switch to another task rewrites the layers
that are not shared. The task of a sample must be known.

Source: Gesmundo and Dean, "muNet" and "An evolutionary approach to dynamic introduction of tasks
in large-scale multitask learning systems", arXiv 2205.10937 and 2205.12755, 2022, and their
notebook. Accounting devices instead of parameters, and energy, are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from growth.strategies.base import Progress, Stored, Strategy, silent
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from growth.blueprint import Blueprint
    from growth.config import Experiment
    from growth.host import Host
    from growth.samples import Samples
    from growth.streams import Stream, Task

__all__ = ["MuNet", "Path"]

RATES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Learning rates, in units of the configured one."""

Component = dict[str, Tensor]
"""Weights of one layer, and biases if it has any, by their names in the network."""


@dataclass(frozen=True)
class Path:
    """What serves a task.

    Parameters
    ----------
    components : tuple of int
        One a layer.
    rate : int
        Place of its learning rate in `RATES`.
    quality, score : float
        When it was tried.
    """

    components: tuple[int, ...]
    rate: int
    quality: float = 0.0
    score: float = 0.0


class MuNet(Strategy):
    """Let paths through shared layers evolve, and lock those that serve a task."""

    needs_identity = True

    class Options(Strategy.Options):
        """Options of the evolution. Not tuned: those of the prototype, or of the source.

        Attributes
        ----------
        children : int
            Paths tried for a task.
        mutation : float
            Probability of every change.
        base, energy_base : float
            What a network's worth of devices, and every neuron firing in every step, leave of
            a path's quality; 1 for no price.
        validation : float
            Share of a task's samples that is held back.
        validations : int
            Looks at them while a child is trained.
        """

        children: int = Field(default=6, ge=1)
        mutation: float = Field(default=0.2, ge=0, le=1)
        base: float = Field(default=0.98, gt=0, le=1)
        energy_base: float = Field(default=0.98, gt=0, le=1)
        validation: float = Field(default=0.2, gt=0, lt=1)
        validations: int = Field(default=2, ge=1)

    options: Options

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        super().__init__(experiment, stream, host, seed)
        depth = self.net.depth
        self.components: dict[int, Component] = dict(enumerate(self.layers()))
        self.root = Path(tuple(range(depth)), RATES.index(1.0))
        self.next = depth  # number of the next component
        self.paths: dict[int, Path] = {}
        self.rate = 1.0  # of the child being trained
        self.held: tuple[Tensor, Tensor] | None = None  # samples held back, encoded
        self.looks: list[int] = []  # updates left until each look at them
        self.found: list[tuple[float, list[Component]]] = []  # quality and layers at each

    # one task -----------------------------------------------------------------------------

    def learn(self, task: Task, progress: Progress = silent) -> None:
        self.task = task
        self.meter.start(self.programmed())
        train, held = self.hold_back(task)
        inputs = torch.from_numpy(np.ascontiguousarray(held.inputs))
        self.held = self.encode(inputs), torch.from_numpy(held.labels)
        t = task.identity
        others = [path for i, path in self.paths.items() if i != t]
        others = [others[k] for k in self.rng.permutation(len(others))]
        own = [self.paths[t]] if t in self.paths else []
        families: dict[tuple[int, ...], int] = {}
        for done in range(self.options.children):
            parent = self.choose(own, others, families)
            families[parent.components] = families.get(parent.components, 0) + 1

            def within(share: float, done: int = done) -> None:
                progress((done + share) / self.options.children)

            child = self.raise_child(parent, parent in own, train, t, within)
            if parent not in own or child.score >= parent.score:
                own.append(child)
        self.paths[t] = max(reversed(own), key=lambda path: path.score)
        self.collect()
        self.held = None
        progress(1.0)

    def hold_back(self, task: Task) -> tuple[Samples, Samples]:
        """Split the samples of a task into those to train on and those to judge by."""
        size = len(task.train)
        judges = max(1, round(self.options.validation * size))
        if judges >= size:
            raise MosaicError(
                f"Task {task.number} has {size} training samples, and options.validation holds "
                f"back {judges}; at least one must be left to train on."
            )
        order = self.rng.permutation(size)
        return task.train.take(order[judges:]), task.train.take(order[:judges])

    def choose(
        self,
        own: Sequence[Path],
        others: Sequence[Path],
        families: dict[tuple[int, ...], int],
    ) -> Path:
        """Choose a parent."""
        newest = list(reversed(own))
        ranked = [*sorted(newest, key=lambda path: -path.score), *others]
        if not ranked:
            return self.root
        for path in ranked:
            if self.rng.random() < 0.5 ** families.get(path.components, 0):
                return path
        return ranked[int(self.rng.integers(len(ranked)))]

    def raise_child(
        self, parent: Path, same_task: bool, train: Samples, t: int, progress: Progress
    ) -> Path:
        """Change a parent, train what is new, and score it."""
        rate = parent.rate
        if self.rng.random() < self.options.mutation:
            rate += int(self.rng.choice([-1, 1]))
            rate = min(max(rate, 0), len(RATES) - 1)  # the list ends here
        depth = self.net.depth
        new = [self.rng.random() < self.options.mutation for _ in range(depth - 1)]
        new = [fresh or parent is self.root for fresh in new] + [True]
        sources = list(parent.components)
        if not same_task:
            sources[-1] = self.root.components[-1]
        self.write([self.components[c] for c in sources], new)
        self.rate = RATES[rate]
        batches = -(-len(train) // self.experiment.train.batch)
        updates = self.experiment.train.epochs * batches
        looks = self.options.validations
        self.looks = sorted({-(-updates * (k + 1) // looks) for k in range(looks)})
        self.found = []
        self.fit(train, self.experiment.train.epochs, progress)
        quality, layers = max(reversed(self.found), key=lambda look: look[0])
        for k in range(depth):
            if new[k]:
                sources[k], self.next = self.next, self.next + 1
                self.components[sources[k]] = layers[k]
        path = Path(tuple(sources), rate, quality)
        score = quality * self.options.base ** self.accounted(path, t)
        score *= self.options.energy_base ** self.energy(path)
        return Path(path.components, rate, quality, score)

    def collect(self) -> None:
        """Drop components that no path uses."""
        used = {c for path in (self.root, *self.paths.values()) for c in path.components}
        self.components = {c: layer for c, layer in self.components.items() if c in used}

    # what a path costs ------------------------------------------------------------------------

    def accounted(self, path: Path, t: int) -> float:
        """Devices of a path, each shared out among the tasks that use it; 1 is a network's."""
        total = 0.0
        for c in path.components:
            users = {i for i, other in self.paths.items() if c in other.components} | {t}
            total += sum(w.numel() for w in self.components[c].values()) / len(users)
        return total / sum(w.numel() for w in self.net.parameters())

    @torch.no_grad()
    def energy(self, path: Path) -> float:
        """Synaptic events on the samples held back; 1 is all neurons firing in all steps."""
        assert self.held is not None
        given, labels = self.held
        self.meter.looked_at(len(labels))
        active = [given, *self.net.activity(given, self.weights(path))[:-1]]
        fan_out = self.net.sizes[1:]
        events = sum(
            float((x != 0).sum()) * n for x, n in zip(active, fan_out, strict=True)
        )
        return events / sum(x.numel() * n for x, n in zip(active, fan_out, strict=True))

    # training a child ---------------------------------------------------------------------------

    def optimiser(self) -> torch.optim.Optimizer:
        optimiser = super().optimiser()
        for group in optimiser.param_groups:
            group["lr"] *= self.rate
        return optimiser

    @torch.no_grad()
    def stepped(self) -> None:
        self.looks = [left - 1 for left in self.looks]
        if self.looks and not self.looks[0]:
            self.looks.pop(0)
            assert self.held is not None
            given, labels = self.held
            said = self.net(given).sum(0).argmax(1)
            self.meter.looked_at(len(labels))
            quality = float((said == labels).float().mean())
            self.found.append((quality, self.layers()))

    def layers(self) -> list[Component]:
        """Copies of the network's layers as they are."""
        copies = {n: w.detach().clone() for n, w in self.net.named_parameters()}
        return [
            {n: w for n, w in copies.items() if n[1:] == str(k)}
            for k in range(self.net.depth)
        ]

    def write(self, layers: Sequence[Component], trained: Sequence[bool]) -> None:
        """Let the network have copies of these layers, some of which are to be trained."""
        mine = self.net.weights
        for layer, learns in zip(layers, trained, strict=True):
            for name, values in layer.items():
                mine[name].data = values.clone()
                mine[name].requires_grad_(learns)

    # serving ------------------------------------------------------------------------------------

    def weights(self, path: Path) -> dict[str, Tensor]:
        """Weights of a path by their names in the network."""
        return {n: w for c in path.components for n, w in self.components[c].items()}

    def blueprint(self, identity: int | None = None) -> Blueprint:
        return self.net.blueprint(self.weights(self.serving(identity)))

    def serving(self, identity: int | None = None) -> Path:
        """Path of a task; without one, or if it has not been learnt, of the one learnt last."""
        last = self.root if not self.paths else next(reversed(self.paths.values()))
        return last if identity is None else self.paths.get(identity, last)

    def ledger(self) -> list[Stored]:
        resident = {*self.root.components, *self.serving().components}
        away = [layer for c, layer in self.components.items() if c not in resident]
        return [
            Stored(
                "components", 4 * sum(w.numel() for x in away for w in x.values()), "host"
            ),
            Stored("paths", 16 * self.net.depth * len(self.paths), "host"),
            Stored("seed of the first path", 64, "host"),
        ]

    def state(self) -> dict[str, Any]:
        paths = {
            i: [list(p.components), p.rate, p.quality, p.score]
            for i, p in self.paths.items()
        }
        return super().state() | {
            "components": self.components, "paths": paths, "next": self.next,
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.components, self.next = state["components"], state["next"]
        self.paths = {
            i: Path(tuple(components), *rest)
            for i, (components, *rest) in state["paths"].items()
        }

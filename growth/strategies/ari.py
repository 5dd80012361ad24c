"""A zoo of networks in a hypernetwork, chosen for each task by how fast they would adapt to it.

For every task:

1. of the zoo and a few random starts, the `trained` with the largest estimated adaptation rate
   integral (`estimator`) are trained on the task, and their true integrals recorded;
2. exemplars of the task are kept, and the estimator is fitted to all integrals, and to the
   accuracy of every network at hand on the exemplars of every task;
3. the zoo becomes those networks that serve all tasks best together, one good one for each;
4. a chunked hypernetwork (`chunked`) is fitted to them: it generates a network's difference to
   the start it came from, and is held to what the network answers to the exemplars of the tasks
   it serves and to mixtures of them, beside its weights;
5. for each task the best of the zoo is chosen and tuned on the task's exemplars.

The printed algorithm does not work, in four places. It takes the smallest estimate, twice, where
the largest is meant (1, 5). Its estimator is fitted only to networks on the task they were
trained on, so it cannot rank the zoo: pairs across tasks are added (2). It consolidates by a
plain sum over members, which keeps generalists and can drop the only specialist of a task:
coverage instead (3). And it stops fitting the hypernetwork at a mean square error of weights
that an output of zeros has already: here the fit ends when the generated networks give the
answers of those they stand for, or after `fit_steps` (4). Its integral runs "until
convergence"; here over the same number of updates for all.

Stored beside the network: hypernetwork, estimator and recorded integrals, 16 bit, exemplars, 8
bit a channel; random starts come back from a seed. On the chip: every candidate is trained there
one after the other, and a switch to another task rewrites most of the network. The task of a
sample must be known.

Always to be shown beside it: ``choose = "exemplars"``, the zoo without an estimator, and
``exemplars_only``, a network for each task trained on its few exemplars.

Source: an anonymous paper on relations between tasks and parameters, 2024, corrected as above.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from growth.samples import Samples
from growth.strategies.base import Progress, Stored, Strategy, silent
from growth.strategies.chunked import flat, shaped
from growth.strategies.estimator import Estimator, coverage, rate_integral
from growth.strategies.hypernet import hypernetwork_of
from growth.strategies.precision import (
    STATISTIC_BITS,
    label_bits,
    sample_bits,
    weight_bits,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from growth.blueprint import Blueprint
    from growth.config import Experiment
    from growth.host import Host
    from growth.streams import Stream, Task

__all__ = ["Ari"]

CHECK_EVERY = 50
"""Steps of fitting the hypernetwork between two looks at what it generates."""


FIT_RATE = 1e-3
"""Learning rate of fitting the hypernetwork."""

ASKED = 40
"""Questions that a generated network is asked in one step of the fit."""

AGREEMENT = 0.98
"""Share of equal answers at which a generated network stands for another."""


class Ari(Strategy):
    """Train what is estimated to adapt fastest, and keep what covers all tasks."""

    needs_identity = True

    class Options(Strategy.Options):
        """Options of the zoo.

        Attributes
        ----------
        choose : "estimator", "exemplars" or "random"
            By what networks are chosen to be trained, kept and served: estimated integrals,
            measured accuracy on exemplars, or chance.
        knowledge : "hypernetwork" or "weights"
            What holds the zoo.
        exemplars_only : bool
            The baseline: no zoo; a random start trained on a task's own exemplars.
        exemplars : int
            Of each task.
        starts, trained, members : int
            Random starts, networks trained for each task, largest zoo.
        horizon : int
            Updates that an integral runs over.
        epochs : int
            Of fitting the estimator.
        fit_steps : int
            Of fitting the hypernetwork, at most, after each task.
        tune : int
            Epochs on a task's exemplars before it is served; for `exemplars_only` take 30.
        """

        choose: Literal["estimator", "exemplars", "random"] = "estimator"
        knowledge: Literal["hypernetwork", "weights"] = "hypernetwork"
        exemplars_only: bool = False
        exemplars: int = Field(default=40, ge=1)
        starts: int = Field(default=3, ge=1)
        trained: int = Field(default=3, ge=1)
        members: int = Field(default=20, ge=1)
        horizon: int = Field(default=10, ge=1)
        epochs: int = Field(default=300, ge=1)
        fit_steps: int = Field(default=300, ge=1)
        tune: int = Field(default=15, ge=0)

    options: Options

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        super().__init__(experiment, stream, host, seed)
        nets = [self.net, *(self.make_net() for _ in range(1, self.options.starts))]
        self.starts = torch.stack([flat(net.weights).detach().clone() for net in nets])
        self.estimator = Estimator(self.inputs, self.labels, self.torch_rng)
        self.hyper = hypernetwork_of(
            self.net.weights, chunk=200, hidden=(100, 100), embedding=8, start=0.1,
            generator=self.torch_rng,
        )  # fmt: skip
        self.codes = torch.zeros(0, 8)  # embeddings of the zoo
        self.zoo = torch.zeros(0, self.starts.shape[1])
        self.roots = torch.zeros(0, dtype=torch.int64)  # the start that each came from
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}  # exemplars of each task
        self.recorded = torch.zeros(0, self.estimator.net.sizes[0])  # recorded integrals
        self.values = torch.zeros(0)
        self.served: dict[int, Tensor] = {}
        self.hits: list[float] = []

    # one task -----------------------------------------------------------------------------

    def learn(self, task: Task, progress: Progress = silent) -> None:
        self.task = task
        self.meter.start(self.programmed())
        self.kept[task.identity] = self.pick(task)
        if not self.options.exemplars_only:
            self.learn_zoo(task, progress)
        self.serve_all()
        progress(1.0)

    def pick(self, task: Task) -> tuple[Tensor, Tensor]:
        """Draw the exemplars of a task."""
        size = min(self.options.exemplars, len(task.train))
        some = task.train.take(self.rng.permutation(len(task.train))[:size])
        inputs = torch.from_numpy(np.ascontiguousarray(some.inputs))
        return inputs, torch.from_numpy(some.labels)

    def learn_zoo(self, task: Task, progress: Progress) -> None:
        """Steps 1 to 4 of the module."""
        pool = torch.cat([self.zoo, self.starts])
        roots = torch.cat([self.roots, torch.arange(len(self.starts))])
        here = list(self.kept).index(task.identity)
        order = self.worth(pool, trained=True)[:, here].argsort(
            descending=True, stable=True
        )
        chosen = order[: self.options.trained].tolist()
        found, signatures = [], self.signatures(pool[chosen])
        for done, number in enumerate(chosen):
            self.write(pool[number])
            self.hits = []

            def within(share: float, done: int = done) -> None:
                progress(0.8 * (done + share) / len(chosen))

            self.fit(task.train, self.experiment.train.epochs, within)
            found.append(flat(self.net.weights).detach().clone())
            integral = rate_integral(self.hits, self.options.horizon)
            row = self.estimator.rows(
                signatures[done : done + 1], self.about()[[here]], True
            )
            self.recorded = torch.cat([self.recorded, row])
            self.values = torch.cat([self.values, torch.tensor([integral])])
        pool = torch.cat([self.zoo, torch.stack(found), self.starts])
        roots = torch.cat([self.roots, roots[chosen], torch.arange(len(self.starts))])
        if self.options.choose == "estimator":
            self.fit_estimator(pool)
        candidates = len(pool) - len(self.starts)
        worth = self.worth(pool[:candidates])
        chosen = coverage(worth, self.options.members, least_gain=0.005)
        self.zoo, self.roots = pool[chosen], roots[chosen]
        if self.options.knowledge == "hypernetwork":
            known = len(self.codes)  # those before have embeddings; a new one is drawn
            codes = [self.codes[m] if m < known else self.draw() for m in chosen]
            self.codes = torch.stack(codes)
            self.consolidate(worth[chosen].argmax(0))

    def loss(self, given: Tensor, labels: Tensor) -> Tensor:
        fired = self.forward(given)
        self.hits.append(float((fired.sum(0).argmax(1) == labels).float().mean()))
        return self.criterion(fired, self.targets(labels))

    def write(self, weights: Tensor) -> None:
        """Let the network have these weights."""
        with torch.no_grad():
            for name, values in shaped(weights, self.net.weights).items():
                self.net.weights[name].copy_(values)

    # choosing -----------------------------------------------------------------------------

    def worth(self, pool: Tensor, trained: bool = False) -> Tensor:
        """Return what networks are worth to each task with exemplars, (networks, tasks)."""
        if self.options.choose == "random":
            return torch.rand(len(pool), len(self.kept), generator=self.torch_rng)
        if self.options.choose == "estimator" and self.estimator.fitted:
            return self.estimator.estimate(self.signatures(pool), self.about(), trained)
        return self.accuracies(pool)

    @torch.no_grad()
    def outputs(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Spike counts or values of the output neurons, (samples, labels)."""
        self.meter.looked_at(len(inputs))
        return self.net(self.encode(inputs), shaped(weights, self.net.weights)).sum(0)

    def accuracies(self, pool: Tensor) -> Tensor:
        """Accuracy of networks on the exemplars of each task, (networks, tasks)."""
        return torch.tensor(
            [
                [
                    float((self.outputs(x, weights).argmax(1) == y).float().mean())
                    for x, y in self.kept.values()
                ]
                for weights in pool
            ]
        )

    def signatures(self, pool: Tensor) -> Tensor:
        """Signature of each network."""
        probes = self.estimator.probes
        return torch.stack(
            [self.estimator.of_outputs(self.outputs(probes, weights)) for weights in pool]
        )

    def about(self) -> Tensor:
        """Signature of each task with exemplars."""
        return torch.stack([self.estimator.of_task(x, y) for x, y in self.kept.values()])

    def fit_estimator(self, pool: Tensor) -> None:
        """Step 2 of the module: recorded integrals, and every network on every task as it is."""
        across = self.estimator.rows(self.signatures(pool), self.about(), trained=False)
        self.estimator.fit(
            torch.cat([self.recorded, across]),
            torch.cat([self.values, self.accuracies(pool).flatten()]),
            self.options.epochs,
            self.torch_rng,
        )

    # the hypernetwork -----------------------------------------------------------------------

    def generated(self, number: int) -> Tensor:
        """Weights of one of the zoo, as the hypernetwork gives them."""
        difference = self.hyper.differences(self.codes[number][None])[0]
        return self.starts[self.roots[number]] + self.hyper.spread * difference

    def draw(self) -> Tensor:
        """Return a new embedding."""
        return torch.randn(self.codes.shape[1], generator=self.torch_rng)

    def consolidate(self, server: Tensor) -> None:
        """Step 4: fit the hypernetwork to the zoo; `server` is who serves each task."""
        wanted, tasks = self.zoo, [inputs for inputs, _ in self.kept.values()]
        serves = [
            [x for x, m in zip(tasks, server, strict=True) if m == k]
            for k in range(len(wanted))
        ]
        duties = [torch.cat(mine or tasks[:1]) for mine in serves]
        self.codes.requires_grad_()
        optimiser = torch.optim.Adam([*self.hyper.parameters(), self.codes], FIT_RATE)
        for step in range(self.options.fit_steps):
            if step % CHECK_EVERY == 0 and self.agree(duties):
                break
            number = step % len(wanted)
            asked = self.more(duties[number])
            asked = asked[torch.randperm(len(asked), generator=self.torch_rng)[:ASKED]]
            generated = self.generated(number)
            apart = (generated - wanted[number]) / self.hyper.spread
            fired = self.net(self.encode(asked), shaped(generated, self.net.weights)).sum(0)
            answers = self.outputs(asked, wanted[number])
            loss = apart.square().mean() + (fired - answers).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            self.meter.passed(len(asked))
        self.codes = self.codes.detach()
        with torch.no_grad():
            self.zoo = torch.stack([self.generated(m) for m in range(len(wanted))])

    def more(self, inputs: Tensor) -> Tensor:
        """Still exemplars, and as many mixtures of two: questions that need no labels."""
        if inputs.ndim != 2:
            return inputs
        one, two = (
            inputs[torch.randperm(len(inputs), generator=self.torch_rng)] for _ in range(2)
        )
        share = torch.rand(len(inputs), 1, generator=self.torch_rng)
        return torch.cat([inputs, torch.lerp(two.float(), one.float(), share)])

    @torch.no_grad()
    def agree(self, duties: Sequence[Tensor]) -> bool:
        """Whether generated networks answer as those they stand for, on their duties."""
        for number, inputs in enumerate(duties):
            asked = self.more(inputs)
            now, then = (
                self.outputs(asked, w).argmax(1)
                for w in (self.generated(number), self.zoo[number])
            )
            if (now == then).float().mean() < AGREEMENT:
                return False
        return True

    # serving ------------------------------------------------------------------------------

    def serve_all(self) -> None:
        """Step 5: choose and tune a network for each task met so far."""
        if self.options.exemplars_only:
            chosen, source = [0] * len(self.kept), self.starts
        else:
            chosen, source = self.worth(self.zoo).argmax(0).tolist(), self.zoo
        for number, (identity, exemplars) in zip(chosen, self.kept.items(), strict=True):
            self.served[identity] = self.tuned(source[number], *exemplars)

    def tuned(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """Weights trained on a few exemplars, unless that makes them worse at these."""
        if not self.options.tune:
            return weights.clone()
        self.write(weights)
        self.fit(Samples.of(inputs.numpy(), labels.numpy()), self.options.tune)
        trained = flat(self.net.weights).detach().clone()
        before, after = (
            float((self.outputs(inputs, w).argmax(1) == labels).float().mean())
            for w in (weights, trained)
        )
        return trained if after >= before else weights.clone()

    def blueprint(self, identity: int | None = None) -> Blueprint:
        last = -1 if self.task is None else self.task.identity
        weights = self.served.get(last if identity is None else identity)
        if weights is None:
            weights = self.served.get(last, self.starts[0])
        return self.net.blueprint(shaped(weights, self.net.weights))

    def ledger(self) -> list[Stored]:
        exemplars = sum(
            sample_bits(x) + len(y) * label_bits(self.labels) for x, y in self.kept.values()
        )
        kept = [
            Stored("exemplars", exemplars, "host"),
            Stored("seed of starts", 64, "host"),
        ]
        if self.options.exemplars_only:
            return kept
        if self.options.knowledge == "weights":
            bits = weight_bits(self.net, self.experiment.device.levels)
            kept.append(Stored("zoo", bits * len(self.zoo), "host"))
        else:
            size = sum(p.numel() for p in self.hyper.parameters()) + self.codes.numel()
            kept.append(Stored("hypernetwork", STATISTIC_BITS * size, "host"))
        if self.options.choose == "estimator":
            size = sum(p.numel() for p in self.estimator.net.parameters())
            size += self.recorded.numel() + self.values.numel()
            kept.append(Stored("estimator", STATISTIC_BITS * size, "host"))
        return kept

    def state(self) -> dict[str, Any]:
        names = ("starts", "codes", "zoo", "roots", "recorded", "values", "kept", "served")
        return super().state() | {
            "ari": {name: getattr(self, name) for name in names},
            "hyper": self.hyper.state_dict(),
            "estimator": self.estimator.net.state_dict(),
            "fitted": self.estimator.fitted,
            "look": [self.estimator.probes, self.estimator.project, self.hyper.spread],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        for name, value in state["ari"].items():
            setattr(self, name, value)
        self.hyper.load_state_dict(state["hyper"])
        self.estimator.net.load_state_dict(state["estimator"])
        self.estimator.fitted = state["fitted"]
        self.estimator.probes, self.estimator.project, self.hyper.spread = state["look"]

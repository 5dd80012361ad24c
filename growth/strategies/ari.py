"""A zoo of networks in a hypernetwork, chosen for each task by how fast they would adapt to it.

For every task:

1. of the zoo and a few random starts, the `trained` with the largest estimated adaptation rate
   integral (`estimator`) are trained on the task, and their true integrals recorded;
2. exemplars of the task are kept, and the estimator is fitted to all integrals, and to the
   accuracy of every network at hand on the exemplars of every task;
3. the zoo becomes those networks that serve all tasks best together, one good one for each;
4. a chunked hypernetwork (`chunked`) is fitted to them: it generates a network's difference to
   the start it came from, and is held to what the network answers to the exemplars of the tasks
   it serves, beside its weights;
5. for each task the best of the zoo is chosen and tuned on the task's exemplars.

The printed algorithm does not work, in four places. It takes the smallest estimate, twice, where
the largest is meant (1, 5). Its estimator is fitted only to networks on the task they were
trained on, so it cannot rank the zoo: pairs across tasks are added (2). It consolidates by a
plain sum over members, which keeps generalists and can drop the only specialist of a task:
coverage instead (3). And it stops fitting the hypernetwork at a mean square error of weights
that an output of zeros has already: here the fit ends when the generated networks answer the
exemplars as well as those they stand for, or after `fit_steps` (4). Its integral runs "until
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

if TYPE_CHECKING:
    from growth.blueprint import Blueprint
    from growth.config import Experiment
    from growth.host import Host
    from growth.streams import Stream, Task

__all__ = ["Ari"]

CHECK_EVERY = 50
"""Steps of fitting the hypernetwork between two looks at what it generates."""


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
            Epochs on a task's exemplars before it is served; for `exemplars_only` 30 were used.
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
        tune: int = Field(default=5, ge=0)

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
        self.rows = torch.zeros(0, self.estimator.net.sizes[0])  # recorded integrals
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
            self.rows = torch.cat([self.rows, row])
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
            torch.cat([self.rows, across]),
            torch.cat([self.values, self.accuracies(pool).flatten()]),
            self.options.epochs,
            self.torch_rng,
        )

    # the hypernetwork -----------------------------------------------------------------------

    def generated(self, number: int) -> Tensor:
        """Weights of one of the zoo, as the hypernetwork gives them."""
        difference = self.hyper.differences(self.codes[number][None])[0]
        return self.starts[self.roots[number]] + self.hyper.spread * difference

    def consolidate(self, server: Tensor) -> None:
        """Step 4: fit the hypernetwork to the zoo; `server` is who serves each task."""
        wanted, tasks = self.zoo, list(self.kept.values())
        duties = [
            torch.cat(
                [tasks[i][0] for i in range(len(tasks)) if server[i] == m] or [tasks[0][0]]
            )
            for m in range(len(wanted))
        ]
        answers = [self.outputs(x, w) for x, w in zip(duties, wanted, strict=True)]
        self.codes = torch.randn(len(wanted), 8, generator=self.torch_rng).requires_grad_()
        optimiser = torch.optim.Adam([*self.hyper.parameters(), self.codes], 1e-3)
        for step in range(self.options.fit_steps):
            if step % CHECK_EVERY == 0 and self.as_good(server):
                break
            number = step % len(wanted)
            generated = self.generated(number)
            apart = (generated - wanted[number]) / self.hyper.spread
            fired = self.net(
                self.encode(duties[number]), shaped(generated, self.net.weights)
            )
            loss = apart.square().mean() + (fired.sum(0) - answers[number]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            self.meter.passed(len(duties[number]))
        self.codes = self.codes.detach()
        with torch.no_grad():
            self.zoo = torch.stack([self.generated(m) for m in range(len(wanted))])

    @torch.no_grad()
    def as_good(self, server: Tensor) -> bool:
        """Whether generated networks answer exemplars as well as those they stand for."""
        for (inputs, labels), m in zip(self.kept.values(), server.tolist(), strict=True):
            now, then = (
                (self.outputs(inputs, w).argmax(1) == labels).float().mean()
                for w in (self.generated(m), self.zoo[m])
            )
            if now < then:
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
            self.write(source[number])
            if self.options.tune:
                samples = Samples.of(exemplars[0].numpy(), exemplars[1].numpy())
                self.fit(samples, self.options.tune)
            self.served[identity] = flat(self.net.weights).detach().clone()

    def blueprint(self, identity: int | None = None) -> Blueprint:
        last = -1 if self.task is None else self.task.identity
        weights = self.served.get(last if identity is None else identity)
        if weights is None:
            weights = self.served.get(last, self.starts[0])
        return self.net.blueprint(shaped(weights, self.net.weights))

    def ledger(self) -> list[Stored]:
        exemplars = sum(8 * x.numel() + 8 * y.numel() for x, y in self.kept.values())
        kept = [
            Stored("exemplars", exemplars, "host"),
            Stored("seed of starts", 64, "host"),
        ]
        if self.options.exemplars_only:
            return kept
        if self.options.knowledge == "weights":
            kept.append(Stored("zoo", 4 * self.zoo.numel(), "host"))
        else:
            size = sum(p.numel() for p in self.hyper.parameters()) + self.codes.numel()
            kept.append(Stored("hypernetwork", 16 * size, "host"))
        if self.options.choose == "estimator":
            size = sum(p.numel() for p in self.estimator.net.parameters())
            size += self.rows.numel() + self.values.numel()
            kept.append(Stored("estimator", 16 * size, "host"))
        return kept

    def state(self) -> dict[str, Any]:
        names = ("starts", "codes", "zoo", "roots", "rows", "values", "kept", "served")
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

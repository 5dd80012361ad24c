"""Supermasks in superposition: one random network, one binary mask for each task.

Weights never learn: ``w = sign(w0) sqrt(2 / n)`` for n sources, and a task is a mask of 0 and 1
over them, ``y = (w * M_t) x``. Its scores S_t learn with the straight-through gradient
``dL/dS = dL/dM``; ``M = 1[S >= 0]`` (``masks = "threshold"``), or 1 for the largest ``|S|`` of a
layer (``"density"``; the weights are then ``sqrt(2 / (density n))``, so that currents keep their
size). What masks have in common comes from where their scores start (option ``start``).

Sources: Wortsman et al., "Supermasks in superposition", NeurIPS 2020 (weights, scores, task
identity given); Ramanujan et al., CVPR 2020 (scores, scaled constant weights).

With ``normalise`` the currents of hidden neurons are normalised, by batches in training and by
running means and variances of each task in use, as published for rectified neurons.

Stored beside the network: one bit a weight and task and the 64-bit seed of the weights, in the
host; starts that copy earlier scores keep those too, 32 bit each; means and variances 16 bit. On
the chip: a switch rewrites
the weights that are in one of two masks only. Each of the two has half, so independent masks
differ in half of all weights; that is the price of fresh starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from growth.gate import Decision
from growth.strategies.base import Stored, Strategy
from growth.strategies.masks import (
    compare,
    fresh_scores,
    mask_of,
    scores_of,
    straight_through,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.blueprint import Blueprint, Serve
    from growth.config import Experiment
    from growth.host import Host
    from growth.layered import Layered
    from growth.samples import Samples
    from growth.streams import Stream, Task

__all__ = ["SupSup"]

SEED_BITS = 64
SCORE_BITS = 32
RATE_BITS = 16

MOMENTUM = 0.1
"""Share of a batch in the running means and variances: PyTorch's."""

COPYING = ("similar", "random", "oracle")
"""Starts that copy the scores of an earlier task."""

AT_ONCE = 500
"""Samples that are looked at together."""


class SupSup(Strategy):
    """Find for each task the part of one random network that solves it."""

    needs_identity = True

    class Options(Strategy.Options):
        """Options of supermasks.

        Parameters
        ----------
        masks : "threshold" or "density"
        density : float
            Share of a layer that a mask of fixed density keeps.
        start : str
            Where the scores of a new task start. ``fresh``: drawn anew. ``same``: one draw for
            all. ``similar``: those of the earlier task whose inputs make the hidden neurons fire
            most alike, if the cosine is above `similar_above`. ``random``: those of any earlier
            task. ``oracle``: those of the earlier task whose mask has the lowest loss on the new
            task's training samples, which needs their labels and a pass for each earlier task: an
            ablation.
        similar_above : float
            -1 copies always. Mean rates are never negative, so cosines are high: 0.68 to 0.72
            between permutations of the digits, 0.66 to 0.99 between rotations, 0.91 to 0.97
            between pairs of classes.
        looks : int
            New inputs that `similar` looks at, at most.
        score_rate : float, optional
            Learning rate of scores; that of the experiment by default.
        extra : int
            Output neurons beside those of the labels. No task wants them, so every mask learns
            to keep them low on its own samples.
        normalise : bool
            Batch normalisation of hidden layers, without scale and shift.
        """

        masks: Literal["threshold", "density"] = "threshold"
        density: float = Field(default=0.5, gt=0, le=1)
        start: Literal["fresh", "same", "similar", "random", "oracle"] = "fresh"
        similar_above: float = Field(default=0.5, ge=-1, le=1)
        looks: int = Field(default=2048, ge=1)
        score_rate: float | None = Field(default=None, gt=0)
        extra: int = Field(default=0, ge=0)
        normalise: bool = False

    options: Options

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        super().__init__(experiment, stream, host, seed)
        self.common = (
            self.draw()
        )  # the same start for all tasks, and the mask to look through
        self.learning: dict[str, nn.Parameter] = {}
        self.masks: dict[int, dict[str, Tensor]] = {}
        self.earlier: dict[int, dict[str, Tensor]] = {}  # scores, if they may be copied
        self.rates: dict[int, Tensor] = {}
        self.running = self.untouched()  # means and variances of the task being learnt
        self.statistics: dict[int, dict[str, Tensor]] = {}
        self.latest: int | None = None
        self.evidence: dict[str, Any] = {}

    def make_net(self, outputs: int | None = None) -> Layered:
        """Return the random network that all tasks share; biases, if any, are not used."""
        wanted = outputs or self.labels + self.options.extra
        net = super().make_net(wanted).requires_grad_(False)
        net.normalise = self.options.normalise
        for weight in net.weights.values():
            if weight.ndim == 2:
                size = (2 / (weight.shape[1] * (self.density or 1.0))) ** 0.5
                weight.copy_(torch.where(weight >= 0, size, -size))
            else:
                weight.zero_()
        return net

    @property
    def density(self) -> float | None:
        """Share of a layer that a mask keeps; None if a threshold decides."""
        return self.options.density if self.options.masks == "density" else None

    @property
    def ready(self) -> bool:
        return bool(self.masks)

    # what has a score -------------------------------------------------------------------

    @property
    def connections(self) -> dict[str, Tensor]:
        """Weights that masks are laid over."""
        return {name: w for name, w in self.net.weights.items() if w.ndim == 2}

    def score_shape(self, name: str) -> tuple[int, int]:
        """Shape of the scores of a layer: one for each weight."""
        targets, sources = self.connections[name].shape
        return targets, sources

    def spread(self, name: str, mask: Tensor) -> Tensor:
        """Mask of every weight of a layer, from one of the shape of its scores."""
        return mask

    def draw(self) -> dict[str, Tensor]:
        """Fresh scores of all layers."""
        return {
            name: fresh_scores(self.score_shape(name), self.torch_rng)
            for name in self.connections
        }

    def masked(self, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of the network under masks."""
        return {
            name: weight * self.spread(name, masks[name])
            for name, weight in self.connections.items()
        }

    def masks_of(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Masks of scores."""
        return {name: mask_of(s, self.density) for name, s in scores.items()}

    def known(self, key: int) -> dict[str, Tensor]:
        """Weights of the network under the mask of a task, with its means and variances."""
        return self.masked(self.masks[key]) | self.statistics[key]

    def untouched(self) -> dict[str, Tensor]:
        """Means of 0 and variances of 1: those of no task."""
        found: dict[str, Tensor] = {}
        if self.net.normalise:
            for k, size in enumerate(self.net.sizes[1:-1]):
                found |= {f"m{k}": torch.zeros(size), f"v{k}": torch.ones(size)}
        return found

    # learning -----------------------------------------------------------------------------

    def key(self, task: Task) -> int:
        """Under which a task's mask is kept: it is told who the task is."""
        return task.identity

    def begin(self, task: Task) -> None:
        start = self.start(task, self.key(task))
        self.learning = {name: nn.Parameter(s.clone()) for name, s in start.items()}
        self.running = self.untouched()
        if self.latest is None:
            # As for any first network, what training starts from is on the chip already.
            self.meter.start(self.programmed())

    def start(self, task: Task, key: int) -> dict[str, Tensor]:
        """Scores that a task starts from; notes why in `evidence`."""
        fresh, kind = self.draw(), self.options.start
        self.evidence = {"start": "fresh"}
        alike = self.similarities(task, key) if kind == "similar" else {}
        if key in self.masks:
            self.evidence = {"start": "own mask"}
            return self.earlier.get(key) or {
                name: scores_of(mask, fresh[name], self.density)
                for name, mask in self.masks[key].items()
            }
        if kind == "same":
            self.evidence = {"start": "same"}
            return self.common
        copied = None
        if self.masks and kind == "random":
            known = list(self.masks)
            copied = known[int(self.rng.integers(len(known)))]
        elif self.masks and kind == "oracle":
            losses = {k: self.loss_of(self.known(k), task.train) for k in self.masks}
            copied = min(losses, key=lambda k: losses[k])
            self.evidence["losses"] = {str(k): loss for k, loss in losses.items()}
        elif alike:
            best = max(alike, key=lambda k: alike[k])
            copied = best if alike[best] > self.options.similar_above else None
            self.evidence["cosines"] = {str(k): cosine for k, cosine in alike.items()}
        if copied is None:
            return fresh
        self.evidence |= {"start": "copied", "copied": copied}
        return self.earlier[copied]

    def end(self, task: Task) -> None:
        key, masks = self.key(task), self.masks_of(self.learning)
        flips = {str(k): compare(mask, masks) for k, mask in self.masks.items() if k != key}
        self.evidence |= {"overlap": flips}
        self.masks[key], self.latest = masks, key
        self.statistics[key] = self.running
        if self.options.start in COPYING:
            self.earlier[key] = {name: s.detach() for name, s in self.learning.items()}
        self.decisions.append(Decision("mask", task.number, key, 0, None, self.evidence))

    def groups(self) -> Iterable[Any]:
        rate = self.options.score_rate or self.experiment.train.learning_rate
        return [{"params": list(self.learning.values()), "lr": rate}]

    def forward(self, given: Tensor) -> Tensor:
        masks = {
            name: straight_through(s, self.density) for name, s in self.learning.items()
        }
        return self.net(given, self.masked(masks))

    def stepped(self) -> None:
        """Follow the means and variances of batches, as PyTorch's `BatchNorm1d` does."""
        size = self.normalised_over
        for name, running in self.running.items():
            seen = self.net.seen[name]
            unbiased = seen * (size / max(size - 1, 1)) if name[0] == "v" else seen
            self.running[name] = running.lerp(unbiased, MOMENTUM)

    @property
    def normalised_over(self) -> int:
        """Currents of a neuron in the last batch."""
        steps = 1 if self.experiment.cell == "relu" else self.experiment.stream.steps
        return steps * len(self.rows)

    def programmed(self) -> Mapping[str, Tensor]:
        """Masked weights: learning in place would write a device when its score changes sign."""
        if self.learning:
            return self.masked(self.masks_of(self.learning))
        return {} if self.latest is None else self.masked(self.masks[self.latest])

    # where to start -----------------------------------------------------------------------

    @torch.no_grad()
    def similarities(self, task: Task, key: int) -> dict[int, float]:
        """Cosine of the mean hidden rates of a task with those of each earlier one.

        All tasks are looked at through one mask that was never trained, so that neither
        labels nor a network that knows the new task are needed.
        """
        order = self.rng.permutation(len(task.train))[: self.options.looks]
        masks = self.masked(self.masks_of(self.common))
        total = torch.zeros(0)
        for given, _ in self.looked_at(task.train.take(order)):
            layers = self.net.activity(given, masks)
            if self.net.normalise and self.net.seen:  # rates are alike then; means are not
                means = [m for name, m in self.net.seen.items() if name[0] == "m"]
                seen = torch.cat(means) * given.shape[1]
            else:
                seen = torch.cat([x.sum((0, 1)) for x in layers[:-1] or layers])
            total = seen if not len(total) else total + seen
        rates = total / len(order)
        alike = {
            k: float(torch.cosine_similarity(rates, other, dim=0))
            for k, other in self.rates.items()
            if k != key
        }
        self.rates[key] = rates
        return alike

    @torch.no_grad()
    def loss_of(self, weights: Mapping[str, Tensor], samples: Samples) -> float:
        """Mean loss of the network with these weights on some samples."""
        total = 0.0
        for given, labels in self.looked_at(samples):
            loss = self.criterion(self.net(given, weights), self.targets(labels))
            total += float(loss) * len(labels)
        return total / len(samples)

    def looked_at(self, samples: Samples) -> Iterable[tuple[Tensor, Tensor]]:
        """Encoded inputs and labels of some samples, a part at a time; counted."""
        for first in range(0, len(samples), AT_ONCE):
            last = min(first + AT_ONCE, len(samples))
            part = samples.take(range(first, last))
            self.meter.passed(len(part))
            yield self.encode(torch.from_numpy(part.inputs)), torch.from_numpy(part.labels)

    # on the chip --------------------------------------------------------------------------

    def blueprint(self, identity: int | None = None) -> Blueprint:
        return self.under(identity if identity in self.masks else self.latest)

    def under(self, key: int | None) -> Blueprint:
        """The network under a mask that was learnt; before there is one, under a random one."""
        if key is None:
            return self.net.blueprint(
                self.masked(self.masks_of(self.common)) | self.untouched()
            )
        return self.net.blueprint(self.known(key))

    def scores(self, serve: Serve, identity: int | None = None) -> NDArray[Any]:
        return super().scores(serve, identity)[:, : self.labels]

    def ledger(self) -> list[Stored]:
        def entries(kept: Iterable[Mapping[str, Tensor]]) -> int:
            return sum(tensor.numel() for layers in kept for tensor in layers.values())

        found = [
            Stored("masks", entries(self.masks.values()), "host"),
            Stored("seed of the weights", SEED_BITS, "host"),
        ]
        if self.earlier:
            bits = SCORE_BITS * entries(self.earlier.values())
            found.append(Stored("scores", bits, "host"))
        if self.rates:
            bits = RATE_BITS * sum(rates.numel() for rates in self.rates.values())
            found.append(Stored("mean rates", bits, "host"))
        if self.net.normalise:
            bits = RATE_BITS * entries(self.statistics.values())
            found.append(Stored("means and variances", bits, "host"))
        return found

    # checkpoints --------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        return super().state() | {
            "common": self.common, "masks": self.masks, "earlier": self.earlier,
            "rates": self.rates, "latest": self.latest, "statistics": self.statistics,
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        for name in ("common", "masks", "earlier", "rates", "latest", "statistics"):
            setattr(self, name, state[name])

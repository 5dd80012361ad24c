"""The default: need and novelty together, with patience, and three actions.

============================  =====================  =====================================
need                          novelty                action
============================  =====================  =====================================
yes                           adds up                ``new expert``
for `stuck` batches on end    no                     ``widen``
no                            adds up                ``reuse``: the nearest expert serves it
no, or not for long           another expert knows   ``reuse``: a task that returns
============================  =====================  =====================================

Novelty adds up, so that a task which fades in is noticed although no batch of it stands out.
Labels without relation to their inputs are no need, and what a new task looks like under them
is not taken in: nothing happens until the labels mean something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from growth.gate import decide
from growth.when.base import Remembers, Running, at_least, part
from growth.when.novelty import Novelty
from growth.when.observe import label_dependence
from growth.when.signals import mean_loss, need_norm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from growth.when.base import State
    from growth.when.observe import Observation

__all__ = ["Action", "Settings", "Trigger"]


PAST = 0.05
"""Weight of the latest known batch in mean and spread of the need."""

SPREAD = 0.02
"""Spread of the need, at least, as a share of the largest that there was. A spiking network
that makes no mistake has no need at all on batch after batch: nothing would stand out."""

FIRST = 3
"""Known batches before the need of another one is compared with them."""


@dataclass(frozen=True)
class Action:
    """What to do after a batch.

    Parameters
    ----------
    name : str
        ``new expert``, ``widen``, ``reuse`` or ``none``.
    expert : int
        Who serves the stream from now on; after ``new expert`` the number of the new one.
    need, novelty : float
        The evidence: a z-score, and standard errors.
    known : bool
        Whether the expert that served the batch should also learn from it. What nobody knows
        would make an old expert forget, and the need for a new one fade.
    doubt : float
        Whether the inputs are known: what their novelty had added up to when this was decided.
    """

    name: str
    expert: int
    need: float
    novelty: float
    known: bool
    doubt: float = 0.0


@dataclass(frozen=True)
class Settings:
    """Thresholds of the trigger; chosen on split digits, see `docs/growth.md`.

    Parameters
    ----------
    need_above : float
        Of the need, in standard deviations of its own past on known batches.
    handled_below : float
        A need below it is none: the expert handles what looks new.
    labels_above : float
        Of the dependence of labels on inputs, over all batches that count (Stouffer).
    allowance : float
        Novelty of a batch, in standard errors of its mean, that adds nothing to the doubt
        whether its inputs are known.
    novelty_above : float
        Of the doubt. From half of it on, nothing is learnt from what is doubted.
    nobody : float
        Novelty, in standard deviations of a sample, at which nobody stands.
    patience : int
        Batches, at least, for a new expert or a reuse.
    stuck : int
        Batches on end of need without novelty to widen.
    rest : int
        Batches without action after a new expert or a reuse, and at the beginning.
    prototypes, learning : int
        As in `Novelty`.
    """

    need_above: float = 3.0
    handled_below: float = 1.0
    labels_above: float = 2.0
    allowance: float = 0.5
    novelty_above: float = 8.0
    nobody: float = 1.0
    patience: int = 2
    stuck: int = 6
    rest: int = 8
    prototypes: int = 10
    learning: int = 80


class Trigger(Remembers):
    """Decide after every batch: a new expert, widen, reuse, or nothing.

    For each batch ask `route` which expert serves it, observe the batch through that
    expert's network, and call the trigger. The first expert is there from the beginning.

    With the novelty n of each batch, the doubt is ``max(0, doubt + n - allowance)``. The need
    is `need_norm` of the samples, weighed by nobody's share while there is doubt, in standard
    deviations of what it was on known batches, at least `SPREAD` of the largest need so far; or
    while there is doubt what their loss, so weighed, is above that of known batches, if that is
    more. Needs of several batches, as many as there has been doubt, are put together as
    ``sum of z / sqrt(batches)``.

    Parameters
    ----------
    settings : Settings, optional

    Examples
    --------
    >>> from growth.when.observe import observe
    >>> rng = np.random.default_rng(0)
    >>> def batch(centre, error):
    ...     x = np.array(centre) + 0.1 * rng.standard_normal((10, 3))
    ...     errors = error * rng.random((10, 1))
    ...     return observe(x, x[:, 2] > 0, errors[:, 0], activity=x, errors=errors,
    ...                    training=np.eye(10))
    >>> trigger = Trigger(Settings(prototypes=3))
    >>> {trigger(batch([1, 0, 0], 0.1)).name for _ in range(40)}
    {'none'}
    >>> [trigger(batch([0, 1, 0], 2.0)).name for _ in range(4)]
    ['none', 'new expert', 'none', 'none']

    References
    ----------
    Gate with a virtual expert: CN-DPM (Lee et al., ICLR 2020). Need: GradMax (Evci et al.,
    ICLR 2022). Doubt: Page, Continuous inspection schemes, Biometrika 41, 1954. Adding up z:
    Stouffer et al., The American soldier, 1949. The combination is ours.
    """

    kept = (
        "since", "doubt", "strange", "stuck", "elsewhere", "candidate", "needs", "meanings",
        "largest",
    )  # fmt: skip

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = chosen = settings or Settings()
        at_least("patience", chosen.patience, 1)
        at_least("stuck", chosen.stuck, 1)
        at_least("rest", chosen.rest, 0)
        self.gate = Novelty(chosen.prototypes, learning=chosen.learning)
        self.pasts = [Running(PAST)]  # of the need, one for each expert
        self.losses = [Running(PAST)]  # the same of the mean loss
        self.since = self.largest = 0.0
        self.calm()

    def calm(self) -> None:
        """Forget what was counted on end."""
        self.doubt = self.strange = self.stuck = self.elsewhere = 0.0
        self.needs = self.meanings = 0.0
        self.candidate = -1.0

    @property
    def active(self) -> int:
        """The expert that serves the stream."""
        return int(self.gate.active)

    def route(self, inputs: NDArray[np.float64], barred: Sequence[int] = ()) -> int:
        """Return the expert that knows these inputs best; the active one while it learns.

        Parameters
        ----------
        inputs : array, (samples, channels)
        barred : sequence of int
            Experts that cannot serve the batch, however well they know its inputs, such as
            those without an output for its labels. To them it is new.
        """
        if self.gate.busy:
            return self.active
        return int(self.each(np.asarray(inputs, np.float64), barred).argmin())

    def each(
        self, inputs: NDArray[np.float64], barred: Sequence[int] = ()
    ) -> NDArray[np.float64]:
        """How new a batch is to each expert, in standard errors, (experts,)."""
        found = self.gate.each(inputs)
        bar = self.settings.novelty_above + self.settings.allowance
        found[list(barred)] = np.maximum(found[list(barred)], 0.0) + bar
        return found

    def __call__(self, seen: Observation, barred: Sequence[int] = ()) -> Action:
        """Take in the next batch, observed through the network of ``route(inputs, barred)``."""
        self.since += 1
        if self.gate.busy:
            self.largest = max(self.largest, need_norm(seen))
            self.gate.meet(seen.inputs)
            return Action("none", self.active, 0.0, 0.0, True)
        each = self.each(seen.inputs, barred)
        nearest, novelty = int(each.argmin()), float(each.min())
        self.doubt = max(0.0, self.doubt + novelty - self.settings.allowance)
        new = self.doubt > self.settings.novelty_above / 2
        # What the experts explain is no reason for another one.
        share = self.gate.nobody(seen.inputs, self.settings.nobody) if new else None
        norm = need_norm(seen, share)
        past = self.pasts[nearest]
        self.largest = max(self.largest, norm)
        least = SPREAD * self.largest
        # Without a past, what is doubted counts from what there is of one, and nothing else.
        need = past.score(norm, least) if new or past.count >= FIRST else 0.0
        if share is not None:
            need = max(need, self.missed(seen, share, nearest))
        self.count(need, label_dependence(seen.inputs, seen.labels), nearest, new)
        if not new:
            most = past.mean + self.settings.need_above * max(past.variance**0.5, least)
            past.add(norm if need <= self.settings.need_above else most)
            self.losses[nearest].add(mean_loss(seen))
            if nearest == self.active:
                self.gate.meet(seen.inputs)
        doubt = self.doubt
        action = self.act(seen, nearest) if self.since > self.settings.rest else "none"
        if action != "none":
            # Who widens an expert goes on with it: a task that comes then need not wait.
            self.since = self.since if action == "widen" else 0.0
            self.calm()
        return Action(action, self.active, need, novelty, not new, doubt)

    def missed(self, seen: Observation, share: NDArray[np.float64], nearest: int) -> float:
        """How far the loss on what nobody knows is above that on known batches, a z-score.

        Need is agreement between samples: where a batch has hardly two of a class, it is weak
        although nothing is right.
        """
        past, strange = self.losses[nearest], float(share.sum())
        if past.count < FIRST or strange <= 0:
            return 0.0
        return past.score(float(share @ seen.losses) / strange, SPREAD * past.mean)

    def count(self, need: float, meaning: float, nearest: int, new: bool) -> None:
        """Count batches on end that are doubted, or stuck, or another expert's."""
        wanting = need > self.settings.need_above
        if new != (self.strange > 0) or (not new and not wanting):
            self.needs = self.meanings = 0.0
        self.needs += need
        self.meanings += meaning
        self.strange = self.strange + 1 if new else 0.0
        self.stuck = self.stuck + 1 if wanting and not new else 0.0
        other = not new and nearest != self.active
        again = other and nearest == int(self.candidate)
        self.elsewhere = (self.elsewhere + 1 if again else 1.0) if other else 0.0
        self.candidate = float(nearest) if other else -1.0

    def act(self, seen: Observation, nearest: int) -> str:
        """Decide on what was counted, and carry it out in the gate."""
        chosen = self.settings
        if self.elsewhere >= chosen.patience:
            self.gate.active = float(nearest)
            return "reuse"
        counted = max(self.strange, self.stuck)
        if counted < (chosen.patience if self.strange else chosen.stuck):
            return "none"
        if self.strange and self.doubt <= chosen.novelty_above:
            return "none"
        need, meaning = self.needs / counted**0.5, self.meanings / counted**0.5
        if need > chosen.need_above and meaning <= chosen.labels_above:
            return "none"  # labels that mean nothing, yet
        if chosen.handled_below < need <= chosen.need_above:
            return "none"  # neither handled well nor clearly not: wait for more
        action = decide(need, self.strange, need_above=chosen.need_above, novelty_above=0.0)
        if action == "new expert":
            self.gate.grown()
            self.pasts.append(Running(PAST))
            self.losses.append(Running(PAST))
            self.gate.meet(seen.inputs)
        elif action == "reuse":
            self.gate.active = float(nearest)
            self.gate.meet(seen.inputs)
        return action

    def state(self) -> State:
        found = super().state()
        inner = {"gate": self.gate} | {
            f"{name}{k}": past
            for name, pasts in (("past", self.pasts), ("loss", self.losses))
            for k, past in enumerate(pasts)
        }
        for name, each in inner.items():
            found |= {f"{name}.{key}": value for key, value in each.state().items()}
        return found

    def load_state(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        super().load_state(state)
        self.gate.load_state(part(state, "gate"))
        self.pasts = [Running(PAST) for _ in self.gate.experts]
        self.losses = [Running(PAST) for _ in self.gate.experts]
        for number, (past, loss) in enumerate(zip(self.pasts, self.losses, strict=True)):
            past.load_state(part(state, f"past{number}"))
            loss.load_state(part(state, f"loss{number}"))

"""Synaptic intelligence: a weight matters as much as the loss fell along its own path.

::

    path_i  += -g_i (w_i after the step - w_i before)         g: gradient of the task's loss alone
    Omega_i  = max(0, Omega_i + path_i / ((w_i - a_i)^2 + damping))       when a task ends
    loss     = criterion + strength * sum_i Omega_i (w_i - a_i)^2

with a_i the weights at the end of the task before. The gradient of the penalty is added by hand,
so that g is there without a second backward pass.

Stored beside the network: Omega, a and the path, 16 bits each. On the chip: one program, no
passes besides.

Sources: Zenke, Poole and Ganguli, ICML 2017 (that Omega is not below 0 is from their code).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from growth.config import Section
from growth.strategies.base import Stored, Strategy
from growth.strategies.precision import STATISTIC_BITS, parameters_of

if TYPE_CHECKING:
    from torch import Tensor

    from growth.streams import Task

__all__ = ["SI"]


class SI(Strategy):
    """Hold weights by how much their own way has lowered the loss."""

    live = True
    takes_kernels = True
    lasts = True

    class Options(Section):
        """How firmly, and what keeps weights that hardly moved from weighing too much.

        The default strength is the best of 0.1, 1, 10, 100, 300, 1,000 and 3,000 on a held out
        fifth of the training digits of two seeds (spiking, mean squares).
        """

        strength: float = Field(default=1000.0, ge=0)
        damping: float = Field(default=0.1, gt=0)

    options: Any

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.importance = self.zeros()
        self.path = self.zeros()
        self.anchor = self.copies()
        self.gradient: dict[str, Tensor] = {}
        self.before: dict[str, Tensor] = {}

    def zeros(self) -> dict[str, Tensor]:
        """Return a zero for each weight."""
        return {name: torch.zeros_like(w) for name, w in self.net.weights.items()}

    def copies(self) -> dict[str, Tensor]:
        """Return the weights as they are now."""
        return {name: w.detach().clone() for name, w in self.net.weights.items()}

    def begin(self, task: Task) -> None:
        self.anchor, self.path = self.copies(), self.zeros()

    def grads(self, given: Tensor, labels: Tensor) -> None:
        self.before = self.copies()
        for name, weight in self.net.weights.items():
            assert weight.grad is not None
            self.gradient[name] = weight.grad.clone()
            pull = self.importance[name] * (self.before[name] - self.anchor[name])
            weight.grad += 2 * self.options.strength * pull

    def stepped(self) -> None:
        for name, weight in self.net.weights.items():
            moved = weight.detach() - self.before[name]
            self.path[name] -= self.gradient[name] * moved

    def end(self, task: Task) -> None:
        for name, weight in self.net.weights.items():
            moved = (weight.detach() - self.anchor[name]).square()
            gained = self.path[name] / (moved + self.options.damping)
            self.importance[name] = (self.importance[name] + gained).clamp(min=0)

    def ledger(self) -> list[Stored]:
        bits = STATISTIC_BITS * parameters_of(self.net)
        return [Stored(name, bits, "host") for name in ("importance", "anchor", "path")]

    def state(self) -> dict[str, Any]:
        return super().state() | {"importance": self.importance}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.importance = dict(state["importance"])

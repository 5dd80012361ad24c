"""When to grow: signals for streams without boundaries, and the trigger that combines two.

A signal is called with every batch (`Observation`) and gives a number; `Watch` makes events of
it. `Trigger` decides between a new expert, widening, reuse and nothing. All state is plain
arrays.
"""

from growth.when.base import Running, Signal, State, Watch
from growth.when.novelty import Acquaintance, Novelty, standard_errors
from growth.when.observe import (
    Observation,
    coherence,
    label_dependence,
    observe,
    products,
)
from growth.when.signals import (
    At,
    Expansion,
    Need,
    Plasticity,
    Plateau,
    RandomTimes,
    Representation,
    Rise,
    Schedule,
    mean_loss,
    need_norm,
)
from growth.when.trigger import Action, Settings, Trigger

__all__ = [
    "Acquaintance", "Action", "At", "Expansion", "Need", "Novelty", "Observation", "Plasticity",
    "Plateau", "RandomTimes", "Representation", "Rise", "Running", "Schedule", "Settings",
    "Signal", "State", "Trigger", "Watch", "coherence", "label_dependence", "mean_loss",
    "need_norm", "observe", "products", "standard_errors",
]  # fmt: skip

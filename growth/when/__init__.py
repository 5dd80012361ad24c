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
from growth.when.saturation import Plasticity, Representation
from growth.when.signals import (
    CoherentNeed,
    Cumulative,
    Expansion,
    Plateau,
    Rise,
    mean_loss,
    need_norm,
)
from growth.when.timed import Timed, timed
from growth.when.times import At, Schedule, random_times
from growth.when.trigger import Action, Settings, Trigger

__all__ = [
    "Acquaintance", "Action", "At", "CoherentNeed", "Cumulative", "Expansion", "Novelty",
    "Observation", "Plasticity", "Plateau", "Representation", "Rise", "Running", "Schedule",
    "Settings", "Signal", "State", "Timed", "Trigger", "Watch", "coherence", "label_dependence",
    "mean_loss", "need_norm", "observe", "products", "random_times", "standard_errors",
    "timed",
]  # fmt: skip

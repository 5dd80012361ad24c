"""Showcases: a task learnt for the chip and run on it, with its noise and at its price.

A tiled recurrent network is trained as usual and for the chip, from the same start and on the
same samples. Both are evaluated in torch, on the ideal chip, on one with levels and on dies as
they come out, and priced.
"""

from growth.showcase.plan import (
    DataPlan,
    Lines,
    NetPlan,
    ShowcasePlan,
    Trained,
    TrainPlan,
    Variant,
    load_showcase,
)
from growth.showcase.run import read_results, run_cell, run_showcase
from growth.showcase.tables import by_variant, grids, write_tables
from growth.showcase.task import SignalTask, even_rows, load_task
from growth.showcase.train import answers, build, train, trim

__all__ = [
    "DataPlan",
    "Lines",
    "NetPlan",
    "ShowcasePlan",
    "SignalTask",
    "TrainPlan",
    "Trained",
    "Variant",
    "answers",
    "build",
    "by_variant",
    "even_rows",
    "grids",
    "load_showcase",
    "load_task",
    "read_results",
    "run_cell",
    "run_showcase",
    "train",
    "trim",
    "write_tables",
]  # fmt: skip

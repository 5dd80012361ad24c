"""What the growth-path experiment runs: orders of growth, and the cells that they make up."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from growth.config import ChipConfig, Section, read_tables
from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["STARTS", "Cell", "NetPlan", "PathPlan", "load_paths", "orders"]

Start = Literal["uniform", "gaussian", "gradmax", "seeds"]
Optimiser = Literal["adam", "sgd"]

STARTS: tuple[Start, ...] = ("uniform", "gaussian", "gradmax", "seeds")
"""Names in `growth.initialise.INITIALISATIONS` that keep the function: the ones compared."""


class NetPlan(Section):
    """How networks of one kind are trained, and which starts stand on which paths.

    Parameters
    ----------
    updates, batch : int
        Steps of the optimiser from the root to the end, and samples of each.
    steps : int
        Time steps a sample is shown for; networks without spikes see it once.
    leak : float
        Membrane factor of spiking neurons.
    optimisers : tuple of str
    starts : tuple of str
        On the three named paths.
    random_starts : tuple of str
        On the paths that are drawn.
    """

    updates: int = Field(default=900, ge=1)
    batch: int = Field(default=128, ge=1)
    steps: int = Field(default=8, ge=1)
    leak: float = Field(default=0.9, ge=0, le=1)
    optimisers: tuple[Optimiser, ...] = ("adam", "sgd")
    starts: tuple[Start, ...] = STARTS
    random_starts: tuple[Start, ...] = STARTS


class PathPlan(Section):
    """One experiment on growth paths, as its TOML file says.

    Parameters
    ----------
    name, dataset : str
    seeds : tuple of int
        One trial each: division of the data where there is no official one, first weights,
        order of the samples, and random starts. A trial has the same on all paths.
    root : int
        Neurons of each of the two hidden layers at first.
    neurons, times : int
        How many a step of growth adds, and how often each layer grows.
    random_paths, path_seed : int
        Orders drawn beside the three named ones.
    adam_rate, sgd_rate, momentum : float
    looks : int
        Times that the test accuracy is taken, evenly spread.
    train_samples, test_samples, priced : int
        First ones that are trained on, tested, and run on the chip; all, if absent.
    levels : int
        Of a device, for writes and the chip.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    dataset: str = "digits"
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = tuple(range(10))
    root: int = Field(default=10, ge=1)
    neurons: int = Field(default=9, ge=1)
    times: int = Field(default=10, ge=1)
    random_paths: int = Field(default=7, ge=0)
    path_seed: int = Field(default=0, ge=0)
    adam_rate: float = Field(default=5e-3, gt=0)
    sgd_rate: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    looks: int = Field(default=20, ge=1)
    train_samples: int | None = Field(default=None, ge=1)
    test_samples: int | None = Field(default=None, ge=1)
    priced: int = Field(default=50, ge=1)
    levels: int = Field(default=16, ge=2, le=256)
    technology: str = "rram-130nm"
    chip: ChipConfig | None = None
    ann: NetPlan | None = None
    snn: NetPlan | None = None

    @property
    def target(self) -> int:
        """Neurons of each hidden layer at the end."""
        return self.root + self.neurons * self.times

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that change with any setting."""
        settings = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(settings.encode()).hexdigest()[:8]

    def net(self, kind: str) -> NetPlan:
        """How networks of a kind, ``ann`` or ``snn``, are trained."""
        found = self.ann if kind == "ann" else self.snn
        if found is None:
            raise ConfigError(f"{self.name} has no section [{kind}].")
        return found

    def cells(self) -> list[Cell]:
        """Everything that is trained: all trials of a cell run side by side."""
        paths = orders(self.times, self.random_paths, self.path_seed)
        found = []
        for kind in ("ann", "snn"):
            net = self.ann if kind == "ann" else self.snn
            for optimiser in net.optimisers if net is not None else ():
                assert net is not None
                found += [
                    Cell(kind, optimiser, name, "", ()) for name in ("root", "target")
                ]
                for name, order in paths.items():
                    drawn = name.startswith("random")
                    for start in net.random_starts if drawn else net.starts:
                        found.append(Cell(kind, optimiser, name, start, order))
        return found


@dataclass(frozen=True)
class Cell:
    """One kind of network on one path: all trials together.

    Parameters
    ----------
    net : str
        ``ann`` or ``snn``.
    optimiser : str
    path : str
        ``root`` and ``target`` do not grow; the one stays small, the other is large at once.
    start : str
        How new neurons start.
    order : tuple of int
        The hidden layer, 1 or 2, that each step of growth widens.
    """

    net: str
    optimiser: str
    path: str
    start: str
    order: tuple[int, ...]

    @property
    def name(self) -> str:
        """Its file name."""
        return "-".join(filter(None, (self.net, self.optimiser, self.path, self.start)))

    @property
    def path_kind(self) -> str:
        """``random`` for all paths that were drawn."""
        return "random" if self.path.startswith("random") else self.path


def orders(times: int, drawn: int, seed: int) -> dict[str, tuple[int, ...]]:
    """Orders in which two hidden layers grow, each so many times, by name.

    Layer 1 first, layer 2 first, in turns, and random ones, no order twice.

    Parameters
    ----------
    times : int
        How often each layer grows.
    drawn : int
        Number of random orders.
    seed : int

    Raises
    ------
    ConfigError
        If there are not so many orders.

    Examples
    --------
    >>> orders(2, 1, seed=0)["alternate"]
    (1, 2, 1, 2)
    """
    found = {
        "layer-1-first": (1,) * times + (2,) * times,
        "layer-2-first": (2,) * times + (1,) * times,
        "alternate": (1, 2) * times,
    }
    rng = np.random.default_rng(seed)
    for number in range(drawn):
        for _ in range(1000):
            order = tuple(rng.permutation(found["layer-1-first"]).tolist())
            if order not in found.values():
                break
        else:
            raise ConfigError(
                f"random_paths is {drawn}; with {times} steps for each layer, {number} orders "
                "were found beside the named ones."
            )
        found[f"random-{number}"] = order
    return found


def load_paths(
    source: str | Path, settings: Mapping[str, object] | None = None
) -> PathPlan:
    """Read an experiment on growth paths from a TOML file.

    Parameters
    ----------
    source : path
    settings : mapping, optional
        Top-level keys to change.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, a key is unknown (with the nearest known one), or a
        value has the wrong type or range.
    """
    return PathPlan.read(read_tables(source) | dict(settings or {}), Path(source).name)

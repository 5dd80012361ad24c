"""What a showcase runs: one task, one tiled network, and variants of how it is trained."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from growth.config import Section, apply_setting, read_tables
from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DataPlan",
    "Lines",
    "NetPlan",
    "ShowcasePlan",
    "TrainPlan",
    "Trained",
    "Variant",
    "load_showcase",
]  # fmt: skip

Share = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[int, Field(ge=1, le=256)]


class DataPlan(Section):
    """What is shown.

    Parameters
    ----------
    dataset : str
    steps : int
        Time steps of a sample.
    step_time : float, optional [s]
        Length of a step, for the bill; that of the technology by default.
    size : int, optional
        As for `growth.datasets.load_dataset`.
    pool : int
        Still images are averaged over squares of so many pixels a side.
    encoding : str
        ``regular`` or ``latency`` spikes of still data (`growth.encode`); moving data have spikes.
    train_samples, test_samples : int, optional
        So many random ones; all by default.
    balanced : bool
        Draw labels equally often in training, or by `shares`; kinds of a label, where the data
        have kinds, by the root of their number; within them samples of an origin by the root of
        theirs. Otherwise all samples once an epoch.
    shares : tuple of float, optional
        With `balanced`: how often each label is drawn, in proportion. More of a label makes the
        network answer it more readily.
    folds : int
        0 trains on all training samples and evaluates on the test samples. Otherwise training
        samples are dealt into so many folds, and seed k holds fold ``k % folds`` out to be
        evaluated on: to choose settings without a look at the test samples.
    """

    dataset: str
    steps: int = Field(ge=1, le=1000)
    step_time: float | None = Field(default=None, gt=0)
    size: int | None = Field(default=None, ge=1)
    pool: int = Field(default=1, ge=1)
    encoding: Literal["regular", "latency"] = "regular"
    train_samples: int | None = Field(default=None, ge=1)
    test_samples: int | None = Field(default=None, ge=1)
    balanced: bool = False
    shares: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    folds: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _shares_are_used(self) -> Self:
        if self.shares is not None and not self.balanced:
            raise ValueError(
                "data.shares is given, but data.balanced is false; set it to true"
            )
        return self


class NetPlan(Section):
    """The network: arguments of `growth.hardware.TiledNetwork`.

    `input_gain` multiplies its first input weights.
    """

    rows: Size = 2
    columns: Size = 2
    neurons_per_tile: Size = 32
    input_tiles: int | None = Field(default=None, ge=1)
    profile: dict[int, Share] | None = None
    beta: Share = 0.9
    gain: float = Field(default=1.0, gt=0)
    input_gain: float = Field(default=1.0, gt=0)
    slope: float = Field(default=10.0, gt=0)


class TrainPlan(Section):
    """Training: cross entropy of spike counts times `sharpness`, AdamW, rate falling as a cosine.

    An epoch draws `epoch_samples`, all training samples by default. Gradients are scaled down to
    a norm of `clip`. After each update weights are clipped to `largest` standard deviations of
    their layer, as in the published training code, since noise is a share of the largest.
    """

    epochs: int = Field(default=10, ge=1)
    epoch_samples: int | None = Field(default=None, ge=1)
    batch: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=5e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    sharpness: float = Field(default=0.3, gt=0)
    clip: float = Field(default=1.0, gt=0)
    largest: float | None = Field(default=2.5, gt=0)


class Lines(Section):
    """Lines on each side of a neuron tile, an R0 and an R1."""

    tile_lines: Annotated[int, Field(ge=1)]
    r0_lines: Annotated[int, Field(ge=1)]
    r1_lines: Annotated[int, Field(ge=1)]


class Variant(Section):
    """One way to train the same task; all start alike and see the same samples in the same order.

    Parameters
    ----------
    label : str
    noise : float
        Hardware-aware training: weights on the levels of a device, with noise of this standard
        deviation, drawn for each batch. 0: neither.
    noise_of : str
        What noise is a share of: the ``layer``'s largest weight, as published, or the range of
        each ``device`` of a pair, as on a die.
    clipped : bool
        Weights are clipped to `TrainPlan.largest` after each update; false: not in this variant.
    regulariser : str
        ``energy``: the routing energy that the simulator bills (`growth.hardware.RoutingEnergy`);
        ``mask``: the published penalty of hops; or ``none``.
    strength : float
        What multiplies it: of the energy of an inference in nJ; of the published mean.
    scale : float
        Norm of a connection's weights from which on it counts as there, for ``energy``.
    beta : float
        Of the published penalty.
    trim : bool
        After training, remove connections of which no level of a device is left, so that they
        need no line. What the chip with levels does is the same.
    prune : bool
        Once an epoch, remove weak connections and those that the chip cannot route
        (`growth.hardware.rewire`); `profile` and `keep` and `threshold` are its settings.
    rows, columns, neurons_per_tile : int, optional
        Another network than the plan's.
    lines : Lines, optional
        Another chip than the plan's.
    """

    label: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    noise: float = Field(default=0.0, ge=0)
    noise_of: Literal["layer", "device"] = "device"
    clipped: bool = True
    regulariser: Literal["none", "energy", "mask"] = "none"
    strength: float = Field(default=0.0, ge=0)
    scale: float = Field(default=0.1, gt=0)
    beta: float = Field(default=0.4, gt=0)
    trim: bool = False
    prune: bool = False
    profile: dict[int, Share] | None = None
    keep: int = Field(default=1, ge=1)
    threshold: float = Field(default=0.05, gt=0)
    rows: Size | None = None
    columns: Size | None = None
    neurons_per_tile: Size | None = None
    lines: Lines | None = None


class Trained(NamedTuple):
    """One network: a variant with a seed."""

    variant: Variant
    seed: int

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.variant.label}-seed-{self.seed}"


PLAIN_AND_AWARE = (Variant(label="plain"), Variant(label="aware", noise=0.05))


class ShowcasePlan(Section):
    """One showcase, as its TOML file says.

    Parameters
    ----------
    name : str
    seeds : tuple of int
        Of first weights, order and choice of samples.
    data, net, train
    variants : tuple of Variant
        ``[[variants]]`` of the file; plain and aware training by default.
    levels : int
        Of a device.
    technology : str
    lines : Lines, optional
        Of the chip; without it the fewest are looked for with which all connections of the
        network can be routed.
    dies : dict of str to list of str
        Sets of `mosaic_sim.EFFECTS` by name; `die_count` dies are drawn of each.
    die_count, chip_samples : int
        Samples that are run on the chip: equally many of each label where there are enough.
    noise_curve : tuple of float
        Shares of the layer's largest weight at which the model in torch is evaluated, each with
        `draws` draws.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(
        default=(0, 1, 2, 3, 4), min_length=1
    )
    data: DataPlan
    net: NetPlan = NetPlan()
    train: TrainPlan = TrainPlan()
    variants: tuple[Variant, ...] = PLAIN_AND_AWARE
    levels: int = Field(default=16, ge=2, le=256)
    technology: str = "rram-130nm"
    lines: Lines | None = None
    dies: dict[str, tuple[str, ...]] = Field(default={"5 % noise": ("programming",)})
    die_count: int = Field(default=20, ge=1)
    chip_samples: int = Field(default=500, ge=1)
    noise_curve: tuple[Annotated[float, Field(ge=0)], ...] = (0, 0.01, 0.05, 0.1, 0.15, 0.2)
    draws: int = Field(default=10, ge=1)

    @field_validator("variants")
    @classmethod
    def _different(cls, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        labels = [variant.label for variant in variants]
        if len(set(labels)) < len(labels) or not labels:
            raise ValueError("variants need one label each, and at least one")
        return variants

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that change with any setting but the seeds."""
        settings = self.model_dump(mode="json", exclude={"seeds"})
        text = json.dumps(settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def cells(self) -> list[Trained]:
        """All networks to train, seed by seed."""
        return [Trained(variant, seed) for seed in self.seeds for variant in self.variants]

    def net_of(self, variant: Variant) -> NetPlan:
        """Return the network of a variant."""
        own = variant.model_dump(
            include={"rows", "columns", "neurons_per_tile"}, exclude_none=True
        )
        return self.net.model_copy(update=own)


def load_showcase(
    source: str | Path, settings: Sequence[str] = (), *, seeds: int | None = None
) -> ShowcasePlan:
    """Read a showcase from a TOML file.

    Parameters
    ----------
    source : path
    settings : sequence of str
        Changes like ``"train.epochs=2"``, applied on top; values as in TOML.
    seeds : int, optional
        Seeds 0 to seeds - 1 instead of those of the file.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, a key is unknown (with the nearest known one), or a
        value has the wrong type or range.
    """
    tables, file = copy.deepcopy(read_tables(source)), Path(source).name
    for setting in settings:
        apply_setting(tables, setting)
    if seeds is not None:
        tables["seeds"] = list(range(seeds))
    # By themselves first, so that a finding names the variant.
    variants = tables.get("variants", [])
    if not isinstance(variants, list) or not all(isinstance(v, dict) for v in variants):
        raise ConfigError(f"{file}: variants needs to be written as [[variants]] tables.")
    for one in variants:
        Variant.read(one, f"{file}: variants.{one.get('label', '?')}")
    return ShowcasePlan.read(tables, file)

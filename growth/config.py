"""One TOML file is one experiment; every default is spelled out, every unknown key refused."""

from __future__ import annotations

import copy
import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mosaic_sim.errors import ConfigError, suggest

__all__ = [
    "ChipConfig", "ConvConfig", "DeviceConfig", "Experiment", "FrontConfig", "GateConfig",
    "GrowConfig", "Section", "StreamConfig", "TrainConfig", "apply_setting", "experiment_of",
    "load_experiment", "packaged_experiments", "read_tables",
]  # fmt: skip

_FOLDER = Path(__file__).parent / "configs"


class Section(BaseModel):
    """Settings that are frozen, typed strictly, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def read(cls, values: Mapping[str, Any], name: str) -> Self:
        """Read settings as a TOML file gives them; `name` is where they stand.

        Raises
        ------
        ConfigError
            If a key is unknown (with the nearest known one) or a value is out of its range.
        """
        try:
            return cls.model_validate_json(json.dumps(values, default=str))
        except ValidationError as error:
            raise ConfigError(_explain(error, cls, f"{name}.")) from None


class ChipConfig(Section):
    """A chip preset, and what differs from it."""

    preset: str = "demo"
    rows: int | None = None
    columns: int | None = None
    neurons_per_tile: int | None = None
    tile_lines: int | None = None
    r0_lines: int | None = None
    r1_lines: int | None = None
    broken_tiles: tuple[int, ...] | None = None
    broken_routers: tuple[int, ...] | None = None
    broken_lines: tuple[tuple[int, int, int], ...] | None = None


class DeviceConfig(Section):
    """RRAM devices."""

    levels: int = Field(default=16, ge=2, le=256)


class StreamConfig(Section):
    """What is learnt, in which order, and what a learner is told about it.

    `kind` is a function of `growth.streams`; options that are not for that kind are refused.
    A split takes `per_task` classes at a time, or the groups of the data set (`by_group`), or
    else `classes`. The later options alter the stream, in the order in which they stand here.
    """

    kind: Literal["split", "partitioned", "permuted", "rotated", "sequence"] = "split"
    dataset: str = "digits"
    datasets: tuple[str, ...] = ()
    test_share: float = Field(default=1 / 3, gt=0, lt=1)
    steps: int = Field(default=16, ge=1, le=4096)
    size: int | None = Field(default=None, ge=1)
    rates: bool = False
    classes: tuple[tuple[int, ...], ...] = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))
    per_task: int | None = Field(default=None, ge=2)
    by_group: bool = False
    shuffle_classes: bool = False
    relabel: bool = False
    tasks: int = Field(default=10, ge=1)
    keep_first: bool = True
    angles: tuple[float, ...] = ()
    random_angles: bool = False
    protocol: Literal["own", "thousand", "full", "online"] = "own"
    train_samples: int | None = Field(default=None, ge=1)
    test_samples: int | None = Field(default=None, ge=1)
    uneven: float = Field(default=0.0, ge=0, lt=1)
    order: tuple[int, ...] = ()
    noise_rate: float = Field(default=0.0, ge=0, le=1)
    noise_start: float = Field(default=0.0, ge=0, lt=1)
    noise_stop: float = Field(default=1.0, gt=0, le=1)
    noise_tasks: tuple[int, ...] = ()
    mixed: bool = False
    blur: float = Field(default=0.0, ge=0, le=1)
    identity: bool = False
    boundaries: bool = True


class TrainConfig(Section):
    """Training through snnTorch.

    `loss` is one of snnTorch's on spike counts: cross entropy, or mean square with rates for
    the right and the wrong outputs, which keeps all outputs alive. Every `look` updates the
    accuracy on all tasks is taken while a task is learnt, for strategies that answer from the
    network in training; 0 for never. `renew` starts the optimiser anew for every task; without,
    its moments last through the stream, for strategies that train one network throughout.
    """

    loss: Literal["ce_count", "mse_count"] = "ce_count"
    epochs: int = Field(default=5, ge=1)
    batch: int = Field(default=48, ge=1)
    learning_rate: float = Field(default=1e-2, gt=0)
    correct_rate: float = Field(default=0.8, gt=0, le=1)
    incorrect_rate: float = Field(default=0.1, ge=0, lt=1)
    optimiser: Literal["adam", "rmsprop", "sgd"] = "adam"
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    look: int = Field(default=0, ge=0)
    renew: bool = True


class GateConfig(Section):
    """The mixture-of-experts gate.

    `kind` says what gate neurons are: prototypes of an expert's inputs, or scores of its classes
    by ridge regression over all that was met; prototypes then stay in the host.
    "Nobody" stands at novelty `nobody`, in standard deviations of an expert's own inputs;
    inputs are new when its mean share in explaining them exceeds `novelty_above`. Gate neurons
    read at most a share `lines` of the lines of a tile; the rest is for hidden neurons.
    """

    kind: Literal["prototypes", "scores"] = "prototypes"
    prototypes: int = Field(default=10, ge=1)
    lines: float = Field(default=0.75, gt=0, le=1)
    gain: float = Field(default=0.5, gt=0)
    nobody: float = Field(default=1.0, gt=0)
    novelty_above: float = Field(default=0.5, ge=0, lt=1)


class FrontConfig(Section):
    """A frozen layer of local filters in front of all experts; see `growth.front`.

    Filters are `size` pixels wide, odd, and stand every `stride` pixels; `gain` is their length,
    in thresholds a spike. `planes` are the colours or polarities of an image.
    """

    kind: Literal["none", "gabor"] = "none"
    planes: int = Field(default=1, ge=1)
    size: int = Field(default=9, ge=3)
    stride: int = Field(default=4, ge=1)
    orientations: int = Field(default=8, ge=1)
    wave: float = Field(default=8.0, gt=0)
    gain: float = Field(default=0.35, gt=0)


class ConvConfig(Section):
    """Convolutional layers of a network of fixed size; see `growth.convolutional`.

    `filters` of each layer; none by default, and then `hidden` reads the inputs. All kernels are
    `kernel` pixels wide, odd, with zeros around the image, and stand every pixel or every
    `strides` pixels, one number for each layer. An image has `planes` colours and is square.
    """

    filters: tuple[Annotated[int, Field(ge=1)], ...] = ()
    kernel: int = Field(default=3, ge=1)
    strides: tuple[Annotated[int, Field(ge=1)], ...] = ()
    planes: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.kernel % 2:
            raise ValueError(f"kernel is {self.kernel}, and needs to be odd")
        if self.strides and len(self.strides) != len(self.filters):
            raise ValueError(f"{len(self.filters)} layers need as many strides, or none")
        return self


class GrowConfig(Section):
    """When, where, how, how many and at which exchange rate of loss for energy.

    Budgets are for the whole life: `energy_budget` [nJ per inference], `device_budget` and
    `write_budget`; none by default. They are meant to last for `horizon` tasks: each task that
    spends twice its share raises the price of a share by `dual_rate` in units of the loss.

    `when` is for streams without boundaries: the trigger, or times that do not depend on what is
    seen (`growth.when.Timed`). `full` says what happens to a task for which there is no room:
    the run ends with the task before it; the task is refused and the next one is looked at; or
    the nearest expert takes it, with the slots that are left.

    `plasticity` is for an expert that is taken up again: the share of each update that reaches
    what it has learnt before; 0 freezes it.
    """

    window: int = Field(default=128, ge=8)
    rounds: int = Field(default=6, ge=1)
    need_above: float = Field(default=3.0, ge=0)
    scale: float = Field(default=0.5, gt=0)
    loss_per_nanojoule: float = Field(default=1e-3, ge=0)
    inferences: float = Field(default=1e6, gt=0)
    how: Literal["gradmax", "gaussian", "uniform", "seeded"] = "gradmax"
    where: Literal["price", "cost-blind", "benefit-blind", "nearest", "random"] = "price"
    energy_budget: float | None = Field(default=None, ge=0)
    device_budget: float | None = Field(default=None, ge=0)
    write_budget: float | None = Field(default=None, ge=0)
    horizon: int = Field(default=10, ge=1)
    dual_rate: float = Field(default=0.1, ge=0)
    when: Literal["trigger", "schedule", "random", "oracle"] = "trigger"
    full: Literal["end", "refuse", "reuse"] = "end"
    plasticity: float = Field(default=0.0, ge=0, le=1)


LATER = (
    ("chip", "broken_tiles", None),
    ("chip", "broken_routers", None),
    ("chip", "broken_lines", None),
    ("train", "look", 0),
    ("train", "renew", True),
    ("grow", "how", "gradmax"),
    ("grow", "when", "trigger"),
    ("grow", "full", "end"),
    ("grow", "plasticity", 0.0),
    ("stream", "uneven", 0.0),
    ("gate", "kind", "prototypes"),
    *(("front", name, field.default) for name, field in FrontConfig.model_fields.items()),
    *(("conv", name, field.default) for name, field in ConvConfig.model_fields.items()),
)
"""Settings that came later, with what was so before: runs from then keep their name."""


class Experiment(Section):
    """One experiment: a learner on a stream on a chip, over some seeds.

    `options` are those of the strategy. `hidden` lists the hidden layers of strategies with a
    network of fixed size, after those of `conv`, if there are any; `cell` "relu" makes it a
    rectified linear one with biases, which no chip takes, for comparison with the literature.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    strategy: str
    options: dict[str, Any] = Field(default_factory=dict)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(
        default=(0, 1, 2), min_length=1
    )
    technology: str = "rram-130nm"
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (64,)
    cell: Literal["lif", "relu"] = "lif"
    leak: float = Field(default=0.9, ge=0, le=1)
    chip: ChipConfig = ChipConfig()
    device: DeviceConfig = DeviceConfig()
    stream: StreamConfig = StreamConfig()
    train: TrainConfig = TrainConfig()
    front: FrontConfig = FrontConfig()
    conv: ConvConfig = ConvConfig()
    gate: GateConfig = GateConfig()
    grow: GrowConfig = GrowConfig()

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("each seed may stand once")
        return seeds

    @field_validator("hidden", mode="before")
    @classmethod
    def _one_layer(cls, hidden: Any) -> Any:
        if isinstance(hidden, int) and not isinstance(hidden, bool):
            return (hidden,)
        return tuple(hidden) if isinstance(hidden, list) else hidden

    def fingerprint(self) -> str:
        """Eight hex digits that change with any setting but the seeds."""
        settings = self.model_dump(mode="json", exclude={"seeds"})
        for section, name, default in LATER:
            if settings[section][name] in (default, []):
                del settings[section][name]
        for section in ("front", "conv"):
            if not settings[section]:
                del settings[section]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]

    def to_toml(self) -> str:
        """Write everything, defaults included; what is None has no line."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def packaged_experiments() -> list[str]:
    """Names of the experiments that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_experiment(source: str | Path, settings: Sequence[str] = ()) -> Experiment:
    """Read an experiment from a TOML file, or one that comes with the package by name.

    Parameters
    ----------
    source : path or name
    settings : sequence of str
        Changes like ``"chip.rows=8"``, applied on top; values as in TOML.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, a key is unknown (with the nearest known one), or
        a value has the wrong type or range.

    Examples
    --------
    >>> load_experiment("split-digits-grow", ["chip.rows=2"]).chip.rows
    2
    """
    return experiment_of(read_tables(source), settings, Path(source).name)


def read_tables(source: str | Path) -> dict[str, Any]:
    """Read a TOML file, or one that comes with the package by name.

    Raises
    ------
    ConfigError
        If it is missing or not TOML.
    """
    path = Path(source)
    if str(source) in packaged_experiments():
        path = _FOLDER / f"{source}.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise ConfigError(
            f"There is no configuration {str(source)!r}; give a TOML file or one of "
            f"{', '.join(packaged_experiments())}."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not TOML: {error}.") from None


def experiment_of(tables: dict[str, Any], settings: Sequence[str], file: str) -> Experiment:
    """Check the tables of a file, with changes applied on top.

    Raises
    ------
    ConfigError
        As `load_experiment`; `file` is named.
    """
    tables = copy.deepcopy(tables)
    for setting in settings:
        apply_setting(tables, setting)
    try:
        return Experiment.model_validate_json(json.dumps(tables, default=str))
    except ValidationError as error:
        raise ConfigError(f"{file}: {_explain(error, Experiment)}") from None


def apply_setting(tables: dict[str, Any], setting: str) -> None:
    """Put a change like ``section.key=value`` into the tables of a file.

    Raises
    ------
    ConfigError
        If it is not of this form, or a section is a value.
    """
    key, equals, value = setting.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {setting!r} is not of the form section.key=value.")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    *sections, last = key.strip().split(".")
    place = tables
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {setting!r}: {section!r} is a value, not a section.")
    place[last] = parsed


def _explain(error: ValidationError, root: type[BaseModel], before: str = "") -> str:
    """Put pydantic's first finding into this package's words."""
    found = error.errors()[0]
    path = before + ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        section: Any = root
        for part in found["loc"][:-1]:
            section = section.model_fields[str(part)].annotation
        known = list(section.model_fields)
        hint = suggest(str(found["loc"][-1]), known)
        takes = f"It takes: {', '.join(known)}." if known else "It takes nothing."
        return f"unknown key {path!r}.{hint} {takes}"
    if found["type"] == "missing":
        return f"{path!r} is missing."
    return f"{path} is {found['input']!r}: {found['msg']}."

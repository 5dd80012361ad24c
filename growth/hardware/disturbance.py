"""How strong each deviation of a chip is: in the units of `mosaic_sim.sample_die`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from mosaic_sim.errors import MosaicError, suggest

if TYPE_CHECKING:
    from collections.abc import Collection

    from growth.simulation import Technology

__all__ = ["LEARNT", "TAU_SPREADS", "Disturbance", "TauSpread"]

LEARNT = ("programming", "variation", "stuck", "mismatch", "reading")
"""Effects of `mosaic_sim.sample_die` on weights and neurons: what can be trained against."""


class TauSpread(NamedTuple):
    """How far time constants of circuits scatter: ``sd(ln tau) = base + slope * tau``.

    Attributes
    ----------
    base : float
    slope : float [1/s]
    status, source : str
    """

    base: float
    slope: float
    status: str
    source: str


_MORO = (
    "other project: not labelled Mosaic",
    "'Neurons MonteCarlo Simulation fit' in models_utils.py of Memristor-Aware-Training "
    "(F. Moro), same group and technology",
)
TAU_SPREADS = {
    "monte-carlo neuron": TauSpread(0.4342, 11.853, *_MORO),
    "monte-carlo synapse": TauSpread(0.3219, 0.0, *_MORO),
}
"""Published spreads of time constants, by name."""


@dataclass(frozen=True)
class Disturbance:
    """How strong each deviation is; 0 (or None) leaves it out.

    Parameters
    ----------
    weight_noise : float
        Standard deviation of programming, as a share of the largest weight; on weights that are
        not 0 (after rounding, since a device at its lowest level is not written).
    levels : int, optional
        Levels of one device of a differential pair, 2 to 256, as `mosaic_sim.Device` has them:
        weights become what the chip gets, to the last bit.
    read_noise : float
        Relative standard deviation of a device from read to read: drawn for each call, sample
        and step.
    stuck : float
        Share of devices that stay at one end of their range.
    threshold_mismatch : float
        Standard deviation of ln threshold. (`mosaic_sim.sample_die` has none.)
    tau_mismatch : float, str or TauSpread
        Standard deviation of ln tau of membranes, or a name in `TAU_SPREADS`.
    synapse_mismatch : float, str or TauSpread
        The same of synaptic currents (``alpha`` of ``snntorch.Synaptic``).
    variation : float
        Relative standard deviation of what the same pulse leaves, from device to device.
    relative_noise : float
        Programming noise that grows with the conductance, as a share of it.
    stuck_high : float
        Share of the stuck devices that stay at high conductance.
    scale : "layer" or "column"
        Whose largest weight `weight_noise` is a share of: the layer's, as in the published
        training code, or the neuron's, as on a chip, where each column has its own gain.
    lowest : float
        What a device conducts at its lowest level, as a share of its range.
    step_time : float [s]
        Length of a step: turns the decay of a step into a time constant.
    die : int, optional
        Seed of one die. With it what belongs to a device or a neuron (stuck, variation,
        mismatch) is the same in each block, and only programming and reading are drawn anew.
        None: each block is another die.

    Raises
    ------
    MosaicError
        If a number is out of range, or a name unknown.

    Examples
    --------
    >>> Disturbance(weight_noise=0.05, levels=16).stuck
    0.0
    >>> Disturbance(levels=1)
    Traceback (most recent call last):
    mosaic_sim.errors.MosaicError: levels is 1; it needs an integer from 2 to 256, or None.
    """

    weight_noise: float = 0.0
    levels: int | None = None
    read_noise: float = 0.0
    stuck: float = 0.0
    threshold_mismatch: float = 0.0
    tau_mismatch: float | str | TauSpread = 0.0
    synapse_mismatch: float | str | TauSpread = field(default=0.0, kw_only=True)
    variation: float = field(default=0.0, kw_only=True)
    relative_noise: float = field(default=0.0, kw_only=True)
    stuck_high: float = field(default=0.5, kw_only=True)
    scale: Literal["layer", "column"] = field(default="layer", kw_only=True)
    lowest: float = field(default=0.0, kw_only=True)
    step_time: float = field(default=1e-3, kw_only=True)
    die: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("weight_noise", "read_noise", "stuck", "threshold_mismatch", "variation",
                     "relative_noise", "stuck_high", "lowest", "step_time"):  # fmt: skip
            most = 1.0 if name in ("stuck", "stuck_high") else math.inf
            _number(name, getattr(self, name), most)
        if self.step_time == 0:
            raise MosaicError("step_time is 0; it needs seconds above 0.")
        for name in ("tau_mismatch", "synapse_mismatch"):
            value = getattr(self, name)
            if isinstance(value, str) and value not in TAU_SPREADS:
                raise MosaicError(
                    f"{name} is {value!r}.{suggest(value, TAU_SPREADS)} It needs a number, or one "
                    f"of: {', '.join(TAU_SPREADS)}."
                )
            if isinstance(value, TauSpread):
                _number(f"{name}.base", value.base, math.inf)
                _number(f"{name}.slope", value.slope, math.inf)
            elif not isinstance(value, str):
                _number(name, value, math.inf)
        if self.levels is not None and not (
            _whole(self.levels) and 2 <= self.levels <= 256
        ):
            raise MosaicError(
                f"levels is {self.levels!r}; it needs an integer from 2 to 256, or None."
            )
        if self.die is not None and not (_whole(self.die) and 0 <= self.die < 2**63):
            raise MosaicError(f"die is {self.die!r}; it needs an integer of at least 0.")
        if self.scale not in ("layer", "column"):
            raise MosaicError(f"scale is {self.scale!r}; it needs 'layer' or 'column'.")

    @classmethod
    def of_technology(
        cls,
        technology: Technology,
        *,
        levels: int | None = 16,
        effects: Collection[str] = LEARNT,
        die: int | None = None,
    ) -> Disturbance:
        """Take the strengths from a technology: train against what `run_dies` samples.

        Parameters
        ----------
        technology : mosaic_sim.Technology
        levels : int or None
            Of a device.
        effects : collection of str
            Of `LEARNT`, which are those of `mosaic_sim.EFFECTS` that act on weights and neurons.
        die : int, optional

        Raises
        ------
        MosaicError
            If an effect is none of `LEARNT`, or programming is not to start from the levels.

        Examples
        --------
        >>> from mosaic_sim import technology_preset
        >>> d = Disturbance.of_technology(technology_preset("rram-130nm"))
        >>> round(d.weight_noise, 3), d.scale, d.read_noise
        (0.05, 'column', 0.02)
        """
        for name in effects:
            if name not in LEARNT:
                raise MosaicError(
                    f"effects has {name!r}.{suggest(name, LEARNT)} Of the effects of a die those "
                    f"on weights and neurons can be trained against: {', '.join(LEARNT)}."
                )

        def on(effect: str, quantity: str) -> float:
            return float(technology[quantity].value) if effect in effects else 0.0

        span = technology["synapse_highest"].value - technology["synapse_lowest"].value
        high, low = on("stuck", "stuck_hcs"), on("stuck", "stuck_lcs")
        tau, synapse = (
            technology["time_constant_spread"],
            technology["synapse_constant_spread"],
        )
        return cls(
            weight_noise=on("programming", "programming_floor") / span,
            levels=levels,
            read_noise=on("reading", "read_noise"),
            stuck=high + low,
            tau_mismatch=TauSpread(
                on("mismatch", "time_constant_spread"),
                on("mismatch", "time_constant_slope"), tau.status, tau.source,
            ),
            synapse_mismatch=TauSpread(
                on("mismatch", "synapse_constant_spread"), 0.0, synapse.status, synapse.source
            ),
            variation=on("variation", "device_variation"),
            relative_noise=on("programming", "programming_noise"),
            stuck_high=high / (high + low) if high + low else 0.5,
            scale="column",
            lowest=technology["synapse_lowest"].value / span,
            step_time=technology["step_time"].value,
            die=die,
        )  # fmt: skip

    @property
    def on_weights(self) -> bool:
        """Whether weights are changed, or their reads."""
        shares = self.weight_noise, self.read_noise, self.stuck, self.variation
        return self.levels is not None or any(shares) or self.relative_noise > 0

    @property
    def on_neurons(self) -> bool:
        """Whether thresholds or membranes are changed."""
        tau = self.spread("tau_mismatch")
        return self.threshold_mismatch > 0 or tau.base > 0 or tau.slope > 0

    def spread(self, name: Literal["tau_mismatch", "synapse_mismatch"]) -> TauSpread:
        """How far time constants scatter, with the name or number resolved."""
        value = getattr(self, name)
        if isinstance(value, str):
            return TAU_SPREADS[value]
        if isinstance(value, TauSpread):
            return value
        return TauSpread(float(value), 0.0, "given", "given as a number")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(name: str, value: object, most: float) -> None:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain or not (math.isfinite(value) and 0 <= value <= most):  # type: ignore[arg-type, operator]
        raise MosaicError(
            f"{name} is {value!r}; it needs a number of at least 0"
            + (f" and at most {most:g}." if math.isfinite(most) else ".")
        )

"""Nodes of NIR that become neurons: from time constants to factors a step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mosaic_sim.errors import MosaicError
from mosaic_sim.network import RESETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mosaic_sim.interop.nir.graph import Node

    Shape = tuple[int, ...]

__all__ = ["FIELDS", "RULE", "SILENT", "Cell", "Options", "cell", "shape_of"]

FIELDS = {
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "CubaLIF": ("tau_mem", "tau_syn", "r", "w_in", "v_leak", "v_threshold", "v_reset"),
    "IF": ("r", "v_threshold", "v_reset"),
    "Threshold": ("threshold",),
    "LI": ("tau", "r", "v_leak"),
    "CubaLI": ("tau_mem", "tau_syn", "r", "w_in", "v_leak"),
    "I": ("r",),
}
"""Nodes that become neurons, and the fields that have one number for each."""

SILENT = ("LI", "CubaLI", "I")
"""Neurons that never fire: an Output reads their membrane."""

RULE = {"reset": "mosaic_reset", "prompt": "mosaic_prompt"}
"""Options of `from_nir` that NIR has no field for, and where `to_nir` keeps them."""

DEFAULTS = {"v_reset": 0.0, "w_in": 1.0}

NEARLY = 1e-6
"""A gain so close to 1 is 1, and a leak so little below 0 is 0: files may hold float32."""


class Options(NamedTuple):
    """Arguments of `from_nir`."""

    dt: float
    method: str
    reset: str | Mapping[str, str] | None
    prompt: bool | Mapping[str, bool] | None
    exporter: str
    integrators: str


class Cell(NamedTuple):
    """What a node of neurons comes to.

    Parameters
    ----------
    parameters : dict
        For `mosaic_sim.interop.builder.Builder.neurons`.
    gain : float array, (n,)
        By which to multiply what arrives at each neuron.
    constant : float array, (n,)
        What to add to that.
    """

    parameters: dict[str, Any]
    gain: NDArray[Any]
    constant: NDArray[Any]


def shape_of(node: Node, arriving: Shape | None) -> Shape:
    """Return the shape of a layer, of which the parameters or what arrives may not know it."""
    shapes = [node.numbers(name, DEFAULTS.get(name)).shape for name in FIELDS[node.kind]]
    try:
        own = np.broadcast_shapes(*shapes)
    except ValueError:
        raise node.error(f"its parameters have different shapes: {shapes}.") from None
    if arriving is None:
        return own or (1,)
    try:
        fits = np.broadcast_shapes(own, arriving) == arriving
    except ValueError:
        fits = False
    if not fits:
        raise node.error(
            f"it has parameters of shape {own}, but values of shape {arriving} arrive."
        )
    return arriving


def cell(node: Node, shape: Shape, options: Options, note: Callable[..., None]) -> Cell:
    """Convert the parameters of a node of neurons.

    Parameters
    ----------
    node : Node
        Of a kind in `FIELDS`.
    shape : tuple of int
        Of the layer.
    options : Options
    note : callable
        Takes a text and the names of the nodes it holds for.
    """
    values = {
        name: node.each(name, shape, DEFAULTS.get(name)) for name in FIELDS[node.kind]
    }
    if node.kind == "Threshold":
        return _threshold(values["threshold"])
    fires = node.kind not in SILENT
    reset, prompt = _rule(node, options, note) if fires else ("none", False)
    zeros = np.zeros(math.prod(shape))
    if "v_leak" in values:
        pull = values["v_leak"]
        kept, share, gain = _membrane(node, values, options, note)
    else:
        pull = zeros
        kept, share = zeros + 1, zeros
        gain = values["r"] * (1.0 if options.integrators == "step" else options.dt)
        note(f"r is a gain a {options.integrators} (integrators={options.integrators!r}).",
             node.name)  # fmt: skip
    base = zeros
    if fires:
        # Nothing takes a membrane to v_reset that no spike resets.
        base = pull if reset == "none" and "v_leak" in values else values["v_reset"]
        if base.any():
            what = "v_leak" if base is pull else "v_reset"
            note(f"membranes are counted from {what}, and start there.", node.name)
    if np.any(pull != base):
        note("membranes start at v_reset (0 if there is none); norse starts them at v_leak.",
             node.name)  # fmt: skip
    constant = (pull - base) * share
    current = zeros
    if "tau_syn" in values:
        current, jump = _decay(node, "tau_syn", values, options)
        gain = gain * values["w_in"] * (1.0 if options.exporter == "norse" else jump)
        if np.any(constant[current > 0]):
            rest = "v_reset" if fires else "0"
            raise node.error(
                f"v_leak is not {rest}: the constant current for it would have to pass through "
                f"the filter of the synapses. Use v_leak = {rest}, or a LIF or LI."
            )
    gain = np.where(np.abs(gain - 1) < NEARLY, 1.0, gain)
    if not np.isfinite(gain).all():
        raise node.error("r is infinite, but tau is not.")
    threshold = values["v_threshold"] - base if fires else zeros + math.inf
    if np.any(threshold <= 0):
        at = int(np.argmax(threshold <= 0))
        raise node.error(
            f"v_threshold {values['v_threshold'][at]:g} is not above {base[at]:g}, where the "
            "membrane starts. Raise it."
        )
    parameters = {
        "leak": kept, "current_leak": current, "threshold": threshold, "reset": reset,
        "prompt": prompt,
    }  # fmt: skip
    return Cell(parameters, gain, constant)


def _threshold(threshold: NDArray[Any]) -> Cell:
    """Fire in every step whose input is above the threshold, and forget."""
    # A threshold of a chip is above 0: a constant current lifts the others there.
    lift = np.where(threshold > 0, 0.0, 1 - threshold)
    parameters = {"leak": 0.0, "threshold": threshold + lift, "reset": "none"}
    return Cell(parameters, np.ones(threshold.size), lift)


def _membrane(
    node: Node,
    values: Mapping[str, NDArray[Any]],
    options: Options,
    note: Callable[..., None],
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the part kept in a step, the part taken from v_leak, and that from the input."""
    name = "tau_mem" if "tau_mem" in values else "tau"
    r, tau = values["r"], values[name]
    kept, share = _decay(node, name, values, options)
    with np.errstate(invalid="ignore"):
        # snnTorch writes a leak of 1 as r = tau = infinity.
        gain = np.where(np.isinf(r) & (share == 0), 1.0, r * share)
    if np.any(np.isinf(r) & (share == 0)):
        note("an infinite r with an infinite tau is taken as a gain of 1.", node.name)
    told = np.isfinite(r) & np.isfinite(tau) & (r != 0) & (r != 1)
    if (
        told.any()
        and abs(options.dt / 1e-4 - 1) > NEARLY
        and np.allclose(tau[told] / r[told], 1e-4, rtol=1e-5, atol=0)
    ):
        note(
            "r is tau / 0.0001 s, as snnTorch writes it, which has steps of 1e-4 s; with another "
            "dt, leaks and weights differ from its model.",
            node.name,
        )
    return kept, share, gain


def _decay(
    node: Node, name: str, values: Mapping[str, NDArray[Any]], options: Options
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the part kept in a step, and the part taken from what drives it."""
    tau = values[name]
    if options.exporter == "norse":
        tau = tau / options.dt
    if np.any(tau <= 0):
        raise node.error(f"{name} is {tau[tau <= 0][0]:g} s; it must be above 0.")
    # In the precision of the file, as its writer reckoned: a leak that was 0.5 is 0.5 again.
    share = options.dt / tau
    if options.method == "exponential":
        return np.exp(-share), -np.expm1(-share)
    if np.any(share > 1 + NEARLY):
        raise node.error(
            f"{name} is {tau.min():g} s, shorter than a step of {options.dt:g} s, which the euler "
            f"method cannot follow. Use dt of at most {tau.min():g}, or method='exponential'."
        )
    return np.clip(1 - share, 0, 1), share


def _rule(node: Node, options: Options, note: Callable[..., None]) -> tuple[str, bool]:
    """Return what a spike does, and whether at once: what was said, else kept, else NIR's."""
    metadata = getattr(node.data, "metadata", None) or {}
    chosen: dict[str, Any] = {}
    for option, said in (("reset", "'zero': v = v_reset"), ("prompt", "True: in its step")):
        given = getattr(options, option)
        if isinstance(given, Mapping):
            given = given.get(node.name)
        if given is None:
            given = metadata.get(RULE[option])
            given = given.decode() if isinstance(given, bytes) else given
        if given is None:
            given = {"reset": "zero", "prompt": True}[option]
            what = "what a spike resets" if option == "reset" else "when a spike resets"
            note(f"NIR does not say {what}; {option} is taken as {said}.", node.name)
        chosen[option] = given
    reset, prompt = chosen["reset"], chosen["prompt"]
    if reset not in RESETS:
        raise MosaicError(
            f"reset is {reset!r} for {node.name!r}; it must be one of {RESETS}."
        )
    if not isinstance(prompt, bool | np.bool_):
        raise MosaicError(
            f"prompt is {prompt!r} for {node.name!r}; it must be True or False."
        )
    return reset, bool(prompt)

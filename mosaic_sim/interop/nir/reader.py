"""Networks from NIR graphs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from mosaic_sim.errors import MosaicError, suggest
from mosaic_sim.interop.builder import INPUT, Builder, Signal
from mosaic_sim.interop.nir.cells import FIELDS, RULE, SILENT, Options, cell, shape_of
from mosaic_sim.interop.nir.files import read_nir, step
from mosaic_sim.interop.nir.graph import closing, flatten, natural, roots, walk
from mosaic_sim.interop.nir.linear import MAPS
from mosaic_sim.network import RESETS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.interop.nir.cells import Cell
    from mosaic_sim.interop.nir.graph import Node
    from mosaic_sim.interop.nir.linear import Map
    from mosaic_sim.network import Network

    Shape = tuple[int, ...]

__all__ = ["Imported", "from_nir"]


@dataclass(frozen=True, eq=False)
class Imported:
    """A network read from a NIR graph.

    Parameters
    ----------
    network : Network
        Each node of neurons is a group of its name.
    notes : tuple of str
        What NIR does not say and had to be assumed, and what was changed on the way.
    inputs : dict of int array
        Input channels of each Input node, in the order of its values.
    outputs : dict of int array
        Neurons that each Output node reads, in the order of its values.
    """

    network: Network
    notes: tuple[str, ...]
    inputs: Mapping[str, NDArray[np.int64]]
    outputs: Mapping[str, NDArray[np.int64]]


def from_nir(
    graph: Any,
    *,
    dt: float,
    method: str = "euler",
    reset: str | Mapping[str, str] | None = None,
    prompt: bool | Mapping[str, bool] | None = None,
    exporter: str = "nir",
    integrators: str = "step",
) -> Imported:
    """Read a NIR graph or file as a network that takes steps of `dt`.

    With the forward Euler method, as snnTorch and norse read NIR, a ``LIF`` becomes::

        leak = 1 - dt / tau,  weights * r * dt / tau,  constant current v_leak * dt / tau

    and a ``CubaLIF`` has a ``current_leak = 1 - dt / tau_syn`` and weights times
    ``w_in * dt / tau_syn``, too. The method ``exponential`` has ``exp(-dt / tau)`` for the leak
    and 1 less that for ``dt / tau``: exact for currents that are constant during a step. A gain
    within 1e-6 of 1 is 1: with ``r = tau / dt`` weights stay as they are.

    Affine, Linear, Scale, Conv1d, Conv2d, SumPool2d, AvgPool2d, Flatten and Delay between neurons
    fold into synapses; edges into the same node add up; graphs within the graph are flattened.
    Neurons are LIF, CubaLIF, IF and Threshold; and LI, CubaLI and I, which never fire and may only
    lead to an Output. Membranes are counted from ``v_reset``. An Output that reads no neurons
    directly gets neurons of its own, whose membranes are its values.

    A cycle without a Delay cannot be computed in one step. What goes along the edge that closes
    it, seen from the inputs, arrives a step later, as in the recurrent cells of snnTorch and
    norse; a Delay elsewhere in the cycle chooses another edge.

    Parameters
    ----------
    graph : nir.NIRGraph, str or Path
        A file is read, never written.
    dt : float [s]
        Length of a step. snnTorch always exports for ``1e-4``.
    method : {'euler', 'exponential'}
    reset : {'zero', 'subtract', 'none', 'clear'}, or dict of node name to these, optional
        What a spike does to the membrane, see `mosaic_sim.network.Network`. By default what
        `to_nir` kept in the metadata, else ``zero``, which is NIR's equation ``v = v_reset``.
        ``subtract`` takes ``v_threshold - v_reset`` off.
    prompt : bool, or dict of node name to bool, optional
        Whether the reset acts in the step of the spike. By default as above, else True.
    exporter : {'nir', 'norse'}
        ``norse`` undoes what ``norse.torch.to_nir`` (1.1) does to a model if it is called with
        the same `dt`: it writes time constants times `dt`, and ``LIFCell``, whose current takes
        the whole weight of a spike at once, with ``w_in = 1``.
    integrators : {'step', 'second'}
        Whether ``r`` of IF and I is a gain a step, as norse, snnTorch and sinabs have it
        (``v += r * current``), or a second, as NIR's equation has it (``v += r * current * dt``).

    Returns
    -------
    Imported
        The network, the notes, and which neurons and channels Outputs and Inputs stand for.

    Raises
    ------
    MosaicError
        If a file is missing or damaged, or a node cannot be expressed; the message names the node
        and what to use instead.

    Notes
    -----
    For norse: ``exporter="norse"``; its reset is the default. A membrane starts at v_reset here,
    at v_leak there; and with its ``reset_subtract`` (``reset="subtract"``) spikes agree as long as
    no membrane exceeds twice the threshold.

    For snnTorch: ``dt=1e-4`` and ``reset="subtract", prompt=False``, which are the defaults of its
    cells. ``reset_delay=False`` is ``prompt=True``; ``reset_mechanism="zero"`` is
    ``reset="zero"`` for ``Leaky`` and ``"clear"`` for ``RLeaky``, ``Synaptic`` and ``RSynaptic``.

    Examples
    --------
    >>> import nir
    >>> import numpy as np
    >>> one = np.ones(2)
    >>> graph = nir.NIRGraph.from_list(
    ...     nir.Linear(np.array([[1.0, 0, 2], [0, 1, 0]])),
    ...     nir.LIF(tau=0.01 * one, r=10 * one, v_leak=0 * one, v_threshold=one),
    ... )
    >>> read = from_nir(graph, dt=1e-3, reset="zero", prompt=True)
    >>> read.network.leak.tolist(), read.network.weight.tolist(), list(read.network.groups)
    ([0.9, 0.9], [1.0, 1.0, 2.0], ['lif'])
    """
    for name, value, known in (
        ("method", method, ("euler", "exponential")),
        ("exporter", exporter, ("nir", "norse")),
        ("integrators", integrators, ("step", "second")),
        ("reset", reset, (*RESETS, None)),
        ("prompt", prompt, (True, False, None)),
    ):
        if not isinstance(value, Mapping) and value not in known:
            raise MosaicError(f"{name} is {value!r}; it must be one of {known}.")
    if isinstance(graph, str | Path):
        graph = read_nir(graph)
    if type(graph).__name__ != "NIRGraph":
        raise MosaicError(
            f"graph is a {type(graph).__name__}; it needs a nir.NIRGraph, or the path of a file."
        )
    return _Reader(
        graph, Options(step(dt), method, reset, prompt, exporter, integrators)
    ).read()


class _Reader:
    """Follow the nodes of a graph; keep what each puts out."""

    def __init__(self, graph: Any, options: Options) -> None:
        self.options = options
        self.notes: dict[str, list[str]] = {}
        self.nodes, listed = flatten(graph)
        edges = sorted(set(listed), key=lambda edge: (natural(edge[0]), natural(edge[1])))
        if len(edges) < len(listed):
            self._note("Edges that the graph lists twice count once.")
        for start, end in edges:
            self.nodes[end].before.append(start)
        self.inputs = roots((), self._named("Input"))
        self.steps = {name: self._steps(self.nodes[name]) for name in self._named("Delay")}
        waiting = {name for name, steps in self.steps.items() if np.all(steps > 0)}
        self.closing = closing(self.inputs, self.nodes, edges, waiting)
        self.order = self._order(edges)
        self.neurons = [name for name in self.order if self.nodes[name].kind in FIELDS]
        self.shapes: dict[str, Shape] = {}
        self.maps: dict[str, tuple[Shape, Map]] = {}
        self.signals: dict[str, Signal | None] = {}
        self.layers: list[str] = []

    def read(self) -> Imported:
        if not self.inputs:
            raise MosaicError("The graph has no Input node; put one before its first node.")
        self._check_names()
        for name in self.order:
            self.shapes[name] = self._shape(self.nodes[name])
        channels = self._channels()
        cells = {name: self._declare(name) for name in self.neurons}
        for name, what in cells.items():
            self._connect(self.nodes[name], what)
        members = {
            name: self._output(self.nodes[name])
            for name in roots((), self._named("Output"))
        }
        kinds = {self.nodes[name].kind for name in self.neurons}
        if kinds - set(SILENT):
            self._note(
                "A neuron fires if v > v_threshold, as NIR's equations say; sinabs, for one, has "
                "v >= v_threshold."
            )
        if any("v_leak" in FIELDS[kind] for kind in kinds):
            self._note(
                f"NIR is in continuous time; this is the {self.options.method} method with steps "
                f"of {self.options.dt:g} s."
            )
        network = self.builder.network()
        return Imported(
            network,
            tuple(
                f"{', '.join(dict.fromkeys(names))}: {text}" if names else text
                for text, names in self.notes.items()
            ),
            channels,
            {name: network.groups[layer] for name, layer in members.items()},
        )

    def _note(self, text: str, *names: str) -> None:
        self.notes.setdefault(text, []).extend(names)

    def _named(self, kind: str) -> list[str]:
        return [node.name for node in self.nodes.values() if node.kind == kind]

    def _order(self, edges: list[tuple[str, str]]) -> list[str]:
        """Put nodes after those that lead to them, but for edges that close a cycle."""
        after: dict[str, list[str]] = {name: [] for name in self.nodes}
        # Backwards: what the search leaves last comes first.
        for start, end in edges[::-1]:
            after[start].append(end)
        # Cycles that no input reaches begin at neurons, which may know their shape.
        rest = sorted(
            self.nodes.keys() - set(self.inputs),
            key=lambda name: (self.nodes[name].kind in FIELDS, natural(name)),
        )
        return walk([*self.inputs[::-1], *rest[::-1]], after)[0]

    def _check_names(self) -> None:
        for option in RULE:
            given = getattr(self.options, option)
            for name in given if isinstance(given, Mapping) else ():
                if name not in self.neurons:
                    raise MosaicError(
                        f"{option} names {name!r}, but the nodes of neurons are "
                        f"{', '.join(roots((), self.neurons))}."
                        + suggest(name, self.neurons)
                    )

    # --- shapes, from the inputs on ---

    def _shape(self, node: Node) -> Shape:
        """Return the shape that a node puts out."""
        metadata = getattr(node.data, "metadata", None) or {}
        if metadata.keys() - RULE.values():
            self._note("metadata is not kept.", node.name)
        arriving = next((self.shapes[n] for n in node.before if n in self.shapes), None)
        if node.kind == "Input":
            if node.before:
                raise node.error(f"an edge leads to it from {node.before[0]!r}; none may.")
            return _input_shape(node)
        if node.kind in FIELDS:
            return shape_of(node, arriving)
        if node.kind not in MAPS and node.kind != "Delay":
            known = [*(kind for kind in MAPS if kind != "Port"), "Delay", *FIELDS]
            raise node.error(f"a tile has no circuit for it. There are {', '.join(known)}.")
        if arriving is None:
            raise node.error("no edge leads to it from an Input.")
        if node.kind == "Delay":
            node.each("delay", arriving)
            return arriving
        try:
            does = MAPS[node.kind](node, arriving)
        except MosaicError as error:
            if str(error).startswith("Node "):
                raise
            raise node.error(str(error)) from None
        self.maps[node.name] = arriving, does
        return does.shape

    def _steps(self, node: Node) -> NDArray[np.int64]:
        """Return the delays of a Delay in steps."""
        exact = node.numbers("delay").astype(np.float64) / self.options.dt
        if np.any(exact < 0) or np.any(exact >= 2**31 - 1):
            bad = exact[(exact < 0) | (exact >= 2**31 - 1)][0]
            raise node.error(
                f"delay holds {bad * self.options.dt:g} s; it needs 0 to 2^31 steps of "
                f"{self.options.dt:g} s."
            )
        steps = np.rint(exact).astype(np.int64)
        if np.any(np.abs(steps - exact) > 1e-4):
            self._note("delays are rounded to whole steps.", node.name)
        return steps

    # --- signals, from neurons to neurons ---

    def _channels(self) -> dict[str, NDArray[np.int64]]:
        """Number the input channels, Input after Input."""
        shapes = [self.shapes[name] for name in self.inputs]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        one = len(shapes) == 1
        self.builder = Builder(shapes[0] if one else (int(ends[-1]),))
        if not one:
            self._note("their channels are numbered one after the other.", *self.inputs)
        every = sp.eye_array(int(ends[-1]), format="csr", dtype=np.float32)
        channels = {}
        for name, shape, end in zip(self.inputs, shapes, ends, strict=True):
            channels[name] = np.arange(end - math.prod(shape), end)
            self.signals[name] = (
                self.builder.input
                if one
                else self.builder.input.map(every[channels[name]], shape)
            )
        return channels

    def _declare(self, name: str) -> Cell:
        """Make a layer of neurons, which others may read before it reads anything."""
        shape = self.shapes[name]
        what = cell(self.nodes[name], shape, self.options, self._note)
        self.layers.append(name)
        self.signals[name] = self.builder.neurons(
            name, None, shape=shape, **what.parameters
        )
        return what

    def _connect(self, node: Node, what: Cell) -> None:
        reads = self._reads(node)
        if not np.all(what.gain == 1):
            reads = reads.scale(what.gain)
        reads = replace(reads, constant=reads.constant + what.constant)
        self._check_reads(node, reads)
        spikes = self.signals[node.name]
        assert spikes is not None
        self.builder.connect(spikes, reads)

    def _output(self, node: Node) -> str:
        """Return the layer whose spikes or membranes an Output stands for."""
        reads = self._reads(node)
        ((layer, _), *_) = *reads.terms, (INPUT, 0)
        if reads.spikes and layer != INPUT:
            return self.layers[layer]
        self._check_reads(node, reads)
        self._note(
            "reads no neurons directly, so it has neurons of its own, which never fire: their "
            "membranes are its values.",
            node.name,
        )
        self.builder.neurons(node.name, reads, leak=0.0, threshold=math.inf, reset="none")
        return node.name

    def _reads(self, node: Node) -> Signal:
        """Return the sum of what arrives at a node."""
        expected = (
            self.maps[node.name][0] if node.name in self.maps else self.shapes[node.name]
        )
        total: Signal | None = None
        for name in node.before:
            signal = self._signal(name)
            if signal.shape != expected:
                raise node.error(
                    f"values of shape {signal.shape} arrive from {name!r}; it needs {expected}."
                )
            if (name, node.name) in self.closing:
                signal = _later(signal, 1)
                self._note(
                    "the edge closes a cycle: what goes along it arrives a step later.",
                    f"{name} -> {node.name}",
                )
            total = signal if total is None else total + signal
        if total is None:  # neurons that nothing drives
            total = Signal(expected, {}, np.zeros(math.prod(expected), np.float32))
        return total

    def _signal(self, name: str) -> Signal:
        """Return what a node puts out."""
        if name in self.signals:
            signal = self.signals[name]
            if signal is None:
                raise self.nodes[name].error(
                    "it is in a cycle without neurons, whose values have no end. Put a LIF into it."
                )
            return signal
        self.signals[name] = None  # until it is known
        node = self.nodes[name]
        signal = self._reads(node)
        if node.kind == "Delay":
            signal = self._delay(node, signal)
        else:
            does = self.maps[name][1]
            if does.matrix is None:
                signal = signal.reshape(does.shape)
            else:
                signal = signal.map(does.matrix, does.shape, does.constant)
        self.signals[name] = signal
        return signal

    def _delay(self, node: Node, signal: Signal) -> Signal:
        steps = np.broadcast_to(self.steps[node.name], signal.shape).ravel()
        if np.any(signal.constant[steps > 0]):
            self._note(
                "the constant part of its input is felt from the first step.", node.name
            )
        parts = []
        for wait in np.unique(steps):
            part = signal
            if not np.all(steps == wait):
                mask = sp.diags_array((steps == wait).astype(np.float32))
                part = signal.map(mask.tocsr(), signal.shape)
            parts.append(_later(part, int(wait)))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def _check_reads(self, node: Node, reads: Signal) -> None:
        """Refuse what no synapse can carry."""
        seen: dict[int, list[tuple[int, Any]]] = {}
        for (layer, steps), term in reads.terms.items():
            origin = "the input" if layer == INPUT else repr(self.layers[layer])
            if layer != INPUT and (kind := self.nodes[self.layers[layer]].kind) in SILENT:
                raise node.error(
                    f"it reads the membrane of {origin} ({kind}), but only spikes travel between "
                    "neurons. Lead that node to an Output and nowhere else, or use a LIF for it."
                )
            there = abs(term) > 0
            for other, also in seen.setdefault(layer, []):
                if there.multiply(also).nnz:
                    raise node.error(
                        f"spikes of {origin} reach the same neuron after {other} and after {steps} "
                        "steps; a crossbar has one pair of devices for the two. Send one of them "
                        "through neurons of its own (a LIF that repeats its input)."
                    )
            seen[layer].append((steps, there))


def _later(signal: Signal, steps: int) -> Signal:
    """Delay the spikes of a signal, but not its constant part."""
    if not steps:
        return signal
    spikes = replace(signal, constant=np.zeros_like(signal.constant)).delayed(steps)
    return replace(spikes, constant=signal.constant)


def _input_shape(node: Node) -> Shape:
    types = getattr(node.data, "input_type", None) or {}
    shape = next(iter(types.values()), None)
    if shape is None:
        raise node.error("it has no shape; give it input_type=np.array([channels]).")
    return tuple(int(n) for n in np.ravel(np.asarray(shape)))

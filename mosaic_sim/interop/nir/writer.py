"""NIR graphs of networks."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from mosaic_sim.errors import MosaicError
from mosaic_sim.interop.nir.cells import RULE
from mosaic_sim.interop.nir.files import package, step
from mosaic_sim.interop.nir.graph import closing
from mosaic_sim.network import RESETS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from mosaic_sim.network import Network

__all__ = ["Exported", "to_nir"]

ENDLESS = 2.0**-40
"""dt / tau of a membrane that keeps everything: 1 less this is 1 in float32."""


@dataclass(frozen=True, eq=False)
class Exported:
    """A NIR graph of a network.

    Parameters
    ----------
    graph : nir.NIRGraph
    notes : tuple of str
        What NIR cannot carry, and what readers of the graph have to know.
    neurons : dict of int array
        Neurons of the network that each node of neurons holds, in its order.
    """

    graph: Any
    notes: tuple[str, ...]
    neurons: Mapping[str, NDArray[np.int64]]


def to_nir(
    network: Network, *, dt: float, shape: Sequence[int] | None = None, unit_r: bool = False
) -> Exported:
    """Write a network as a NIR graph with time constants for steps of `dt`.

    Each group of neurons becomes a LIF; a CubaLIF if it has a `current_leak`; a LI or CubaLI if
    its threshold is infinite. If the groups do not share out the neurons, all neurons are one
    group. A group is split where one node cannot hold it: by kind and reset, and by depth if
    neurons feed others of it within a step. Synapses become dense Linear nodes, those of the bias
    line the bias of an Affine, and delays Delay nodes; only a delay of one step that closes a
    cycle is left out, because every reader adds it. With ``tau = dt / (1 - leak)`` and
    ``r = tau / dt`` weights stay as they are, and `from_nir` gives the same network again.

    Parameters
    ----------
    network : Network
        Without alpha neurons.
    dt : float [s]
        Length of a step. snnTorch reads every graph with ``1e-4``.
    shape : sequence of int, optional
        Of the Input, ``(1, 28, 28)`` for example; a Flatten follows it then.
    unit_r : bool
        Write ``r = 1`` and scale the weights into LIF and LI instead, and neurons that do not
        leak as IF and I: for readers that take no notice of ``r``, such as norse and sinabs.

    Returns
    -------
    Exported
        The graph, what it cannot say, and which neurons each node holds. Resets are kept in the
        metadata of the nodes, where `from_nir` finds them but other tools do not.

    Raises
    ------
    MosaicError
        If the network has alpha neurons or no neurons, or `shape` does not fit its inputs.

    Examples
    --------
    >>> from mosaic_sim import Network
    >>> network = Network.from_synapses(
    ...     inputs=1, neurons=2, source=[0, 1], target=[0, 1], weight=[1.5, 2.0], leak=0.75,
    ...     groups={"first": [0], "last": [1]},
    ... )
    >>> exported = to_nir(network, dt=1e-3)
    >>> list(exported.graph.nodes)
    ['input', 'input_to_first', 'first', 'first_to_last', 'last', 'output']
    >>> exported.graph.nodes["first"].tau
    array([0.004])
    """
    size = (network.inputs,) if shape is None else tuple(int(n) for n in shape)
    if math.prod(size) != network.inputs:
        raise MosaicError(
            f"shape is {size}, which is {math.prod(size)} values; the network has "
            f"{network.inputs} inputs."
        )
    if network.gain.any():
        raise MosaicError(
            f"gain is above 0 for {np.count_nonzero(network.gain)} neurons, but NIR has no alpha "
            "neurons. Use neurons with a current_leak instead."
        )
    if not network.neurons:
        raise MosaicError("network has no neurons.")
    return _Writer(network, step(dt), size, unit_r).write()


class _Line(NamedTuple):
    """Synapses from one population to another with one delay; from -1: the input."""

    start: int
    end: int
    steps: int


class _Writer:
    """Share neurons out to populations, each a node, and synapses to the lines between them."""

    def __init__(
        self, network: Network, dt: float, shape: tuple[int, ...], unit_r: bool
    ) -> None:
        self.net, self.dt, self.shape, self.unit_r = network, dt, shape, unit_r
        self.notes: list[str] = []
        self.silent = np.isinf(network.threshold)
        self.groups = self._groups()
        self.kept, self.biases = self._synapses()

    def write(self) -> Exported:
        self._populate(np.zeros(self.net.neurons, np.int64))
        if self._cycle():
            self.notes.append(
                "Groups of neurons that feed each other within a step are split."
            )
            self._populate(self.net.depth.astype(np.int64))
        if len(self.names) > len(self.groups):
            self.notes.append(f"The nodes of neurons are {', '.join(self.names)}.")
        # Readers let every cycle take a step; which edge takes it is theirs to choose. If
        # from_nir would choose another, the step is written out.
        loops = self._loops()
        nodes, edges = self._nodes(loops)
        waiting = [name for name, node in nodes.items() if type(node).__name__ == "Delay"]
        if closing(["input"], nodes, edges, waiting) != {
            (self.lines[line], self.names[line.end]) for line in loops
        }:
            loops = set()
            nodes, edges = self._nodes(loops)
        self._tell(loops)
        graph = package().NIRGraph(nodes=nodes, edges=edges)
        return Exported(
            graph, tuple(self.notes), dict(zip(self.names, self.members, strict=True))
        )

    # --- what goes where ---

    def _groups(self) -> Mapping[str, NDArray[np.int64]]:
        every = np.arange(self.net.neurons)
        listed = np.concatenate([np.empty(0, np.int64), *self.net.groups.values()])
        if np.array_equal(np.sort(listed), every):
            return self.net.groups
        if self.net.groups:
            self.notes.append(
                "The groups do not share out the neurons, so all neurons are one group."
            )
        return {"neurons": every}

    def _synapses(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the synapses to write, without and with those of the bias line."""
        net = self.net
        neuron = net.source - net.first_neuron
        mute = (neuron >= 0) & self.silent[np.maximum(neuron, 0)]
        if mute.any():
            self.notes.append(
                f"{np.count_nonzero(mute)} synapses of neurons that never fire are left out."
            )
        empty = (net.weight == 0) & ~mute
        if empty.any():
            self.notes.append(
                f"{np.count_nonzero(empty)} synapses of weight 0 are left out: a matrix cannot "
                "tell them from none."
            )
        bias = (net.source == net.inputs) & net.bias
        kept = ~(mute | empty)
        return np.flatnonzero(kept & ~bias), np.flatnonzero(kept & bias)

    def _populate(self, depth: NDArray[np.int64]) -> None:
        """Make populations of neurons that one node can hold, and the lines between them."""
        net = self.net
        endless = (net.leak == 1) & (net.current_leak == 0) & self.unit_r
        # What a neuron that never fires would reset does not matter.
        rule = np.where(self.silent, -1, 2 * net.reset.astype(np.int64) + net.prompt)
        self.names: list[str] = []
        self.members: list[NDArray[np.int64]] = []
        self.taken = {"input", "output", "flatten"}
        for group, members in self.groups.items():
            kinds, kind = np.unique(
                np.stack([depth, self.silent, endless, rule])[:, members],
                axis=1,
                return_inverse=True,
            )
            plain = re.sub(r"\W+", "_", group).strip("_") or "neurons"
            for k in range(kinds.shape[1]):
                name = plain if kinds.shape[1] == 1 else f"{plain}_{k}"
                self.names.append(_unique(name, self.taken))
                self.members.append(members[kind.ravel() == k])
        home = np.empty(net.neurons, np.int64)
        self.place = np.empty(net.neurons, np.int64)
        for k, members in enumerate(self.members):
            home[members] = k
            self.place[members] = np.arange(members.size)
        neuron = net.source[self.kept] - net.first_neuron
        start = np.where(neuron < 0, -1, home[np.maximum(neuron, 0)])
        sizes = (len(self.names) + 1, len(self.names), int(net.delay.max(initial=0)) + 1)
        keys = np.ravel_multi_index(
            (start + 1, home[net.target[self.kept]], net.delay[self.kept]), sizes
        )
        order = np.argsort(keys, kind="stable")
        found, first = np.unique(keys[order], return_index=True)
        self.lines: dict[_Line, str] = {}
        self.parts: dict[_Line, NDArray[np.int64]] = {}
        for key, part in zip(found, np.split(self.kept[order], first[1:]), strict=False):
            begin, end, steps = (int(n) for n in np.unravel_index(key, sizes))
            line = _Line(begin - 1, end, steps)
            name = f"{self._start(line)}_to_{self.names[line.end]}"
            name += f"_after_{line.steps}" if line.steps else ""
            self.lines[line] = _unique(name, self.taken)
            self.parts[line] = part
        # A node that no way leads to from the input would become an input.
        reached: set[int] = set()
        for k in range(-1, len(self.names)):
            if k in reached:
                continue
            if k >= 0:
                line = _Line(-1, k, 0)
                self.lines[line] = _unique(f"input_to_{self.names[k]}", self.taken)
                self.parts[line] = np.empty(0, np.int64)
            front = {k}
            while front:
                reached |= front
                front = {line.end for line in self.lines if line.start in front} - reached

    def _start(self, line: _Line) -> str:
        return self.names[line.start] if line.start >= 0 else "input"

    def _cycle(self) -> bool:
        """Return whether populations feed each other within a step."""
        prompt = [line for line in self.lines if line.start >= 0 and not line.steps]
        edges = [(self.names[line.start], self.names[line.end]) for line in prompt]
        return bool(closing((), self.names, edges))

    def _loops(self) -> set[_Line]:
        """Return the lines of one step that close a cycle."""
        quick = [line for line in self.lines if line.start >= 0 and line.steps <= 1]
        ends = [line.start for line in quick], [line.end for line in quick]
        size = len(self.names)
        links = sp.coo_array((np.ones(len(quick)), ends), shape=(size, size))
        _, part = connected_components(links, connection="strong")
        return {
            line
            for line in quick
            if line.steps == 1
            and part[line.start] == part[line.end]
            and line._replace(steps=0) not in self.lines
        }

    # --- nodes ---

    def _nodes(
        self, loops: Collection[_Line]
    ) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        nir = package()
        nodes: dict[str, Any] = {"input": nir.Input(np.array(self.shape))}
        edges: list[tuple[str, str]] = []
        waits: dict[tuple[str, int], str] = {}
        taken = {*self.taken}
        entry = "input"
        if len(self.shape) > 1:
            entry = "flatten"
            nodes[entry] = nir.Flatten(np.array(self.shape), 0, len(self.shape) - 1)
            edges.append(("input", entry))
        for k, (population, members) in enumerate(
            zip(self.names, self.members, strict=True)
        ):
            share, neurons = self._neurons(members)
            bias = self._bias(members)
            for line in [line for line in self.lines if line.end == k]:
                start = self.names[line.start] if line.start >= 0 else entry
                weight = self._matrix(line)
                if line.steps and line not in loops:
                    wait = waits.get((start, line.steps))
                    if wait is None:
                        wait = _unique(f"{start}_wait_{line.steps}", taken)
                        waits[start, line.steps] = wait
                        delay = np.full(weight.shape[1], line.steps * self.dt)
                        nodes[wait] = nir.Delay(delay)
                        edges.append((start, wait))
                    start = wait
                weight = weight / share[:, None]
                if bias.any():
                    made = nir.Affine(weight, (bias / share).astype(weight.dtype))
                    bias = np.zeros(0)  # once is enough
                else:
                    made = nir.Linear(weight)
                nodes[self.lines[line]] = made
                edges += [(start, self.lines[line]), (self.lines[line], population)]
            nodes[population] = neurons
        feeding = {line.start for line in self.lines if line.start != line.end}
        last = [k for k in range(len(self.names)) if k not in feeding] or [
            len(self.names) - 1
        ]
        for k in last:
            name = "output" if len(last) == 1 else f"output_{self.names[k]}"
            name = _unique(name, taken) if len(last) > 1 else name
            nodes[name] = nir.Output(np.array([self.members[k].size]))
            edges.append((self.names[k], name))
        return nodes, edges

    def _neurons(self, at: NDArray[np.int64]) -> tuple[NDArray[Any], Any]:
        """Return by what to divide the weights into a population, and its node."""
        nir, net = package(), self.net
        silent, cuba = bool(self.silent[at[0]]), bool(net.current_leak[at].any())
        one, zero = np.ones(at.size), np.zeros(at.size)
        given: dict[str, Any] = {}
        if not silent:
            given["v_threshold"] = net.threshold[at].astype(np.float64)
            given["v_reset"] = zero
            given["metadata"] = {
                RULE["reset"]: RESETS[net.reset[at[0]]], RULE["prompt"]: bool(net.prompt[at[0]])
            }  # fmt: skip
        if self.unit_r and not cuba and np.all(net.leak[at] == 1):
            return np.ones(at.size, np.float32), (nir.I if silent else nir.IF)(
                r=one, **given
            )
        share = np.maximum(1 - net.leak[at].astype(np.float64), ENDLESS)
        given["v_leak"] = zero
        if cuba:
            jump = np.maximum(1 - net.current_leak[at].astype(np.float64), ENDLESS)
            kind = nir.CubaLI if silent else nir.CubaLIF
            node = kind(
                tau_mem=self.dt / share,
                tau_syn=self.dt / jump,
                r=1 / share,
                w_in=1 / jump,
                **given,
            )
            return np.ones(at.size, np.float32), node
        kind = nir.LI if silent else nir.LIF
        if self.unit_r:
            return share, kind(tau=self.dt / share, r=one, **given)
        return np.ones(at.size, np.float32), kind(tau=self.dt / share, r=1 / share, **given)

    def _bias(self, members: NDArray[np.int64]) -> NDArray[Any]:
        bias = np.zeros(members.size)
        mine = self.biases[np.isin(self.net.target[self.biases], members)]
        bias[self.place[self.net.target[mine]]] = self.net.weight[mine]
        return bias

    def _matrix(self, line: _Line) -> NDArray[np.float32]:
        net, part = self.net, self.parts[line]
        width = net.inputs if line.start < 0 else self.members[line.start].size
        weight = np.zeros((self.members[line.end].size, width), np.float32)
        source = net.source[part]
        column = source if line.start < 0 else self.place[source - net.first_neuron]
        weight[self.place[net.target[part]], column] = net.weight[part]
        return weight

    def _tell(self, loops: Collection[_Line]) -> None:
        """Note what readers other than `from_nir` do not learn."""
        net = self.net
        rules: dict[str, list[str]] = {}
        for name, at in zip(self.names, self.members, strict=True):
            if not self.silent[at[0]]:
                when = "in the step of the spike" if net.prompt[at[0]] else "a step later"
                rules.setdefault(f"{RESETS[net.reset[at[0]]]}, {when}", []).append(name)
        self.notes += [
            f"{', '.join(names)}: the reset ({rule}) is in the metadata only, which other tools "
            "do not read."
            for rule, names in rules.items()
        ]
        if loops:
            self.notes.append(
                f"{', '.join(sorted(self.lines[line] for line in loops))}: the step that a cycle "
                "takes is not in the graph; readers add it."
            )
        if any(line.steps and line not in loops for line in self.lines):
            self.notes.append(
                "Delays are Delay nodes, which norse and snnTorch do not read."
            )
        if np.any(net.delay[self.biases] > 0):
            self.notes.append(
                "The delay of synapses from the bias line is not kept: they act from step 0 on."
            )
        if not self.unit_r:
            self.notes.append(
                f"r is tau / {self.dt:g} s; for readers that take no notice of r, such as norse "
                "and sinabs, there is unit_r=True."
            )


def _unique(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name

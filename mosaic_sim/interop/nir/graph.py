"""NIR graphs as flat lists of nodes, and the order in which to go through them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim.errors import MosaicError, suggest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from numpy.typing import NDArray

    Edge = tuple[str, str]

__all__ = ["Node", "closing", "flatten", "natural", "roots", "walk"]


@dataclass
class Node:
    """A node of a flattened graph.

    Parameters
    ----------
    name : str
        With the names of the graphs it is in before it: ``"rnn.lif"``.
    kind : str
        Its class in nir; ``Port`` for an Input or Output of a graph within the graph.
    data : nir.NIRNode
    before : list of str
        Nodes with an edge to this one.
    """

    name: str
    kind: str
    data: Any
    before: list[str] = field(default_factory=list)

    def error(self, what: str) -> MosaicError:
        """Return an error that names the node."""
        return MosaicError(f"Node {self.name!r} ({self.kind}): {what}")

    def numbers(self, name: str, default: float | None = None) -> NDArray[Any]:
        """Return a field as floats, in the precision it is kept in."""
        value = getattr(self.data, name, None)
        if value is None:
            if default is None:
                raise self.error(f"it has no {name}.")
            value = default
        if hasattr(value, "detach"):  # a graph that was never in a file may hold tensors
            value = value.detach().cpu().numpy()
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise self.error(f"{name} holds {array.dtype}; it needs numbers.")
        if array.dtype.kind != "f":
            array = array.astype(np.float64)
        endless = name in ("r", "tau", "tau_mem", "tau_syn", "v_threshold")
        bad = np.isnan(array) if endless else ~np.isfinite(array)
        if bad.any():
            raise self.error(f"{name} holds {array[bad].flat[0]}; it needs finite numbers.")
        return array

    def whole(self, name: str, axes: int, default: int | None = None) -> tuple[int, ...]:
        """Return a field with one whole number for each axis."""
        array = self.numbers(name, default).ravel()
        if array.size not in (1, axes) or np.any(array % 1) or np.any(array < 0):
            raise self.error(
                f"{name} is {array.tolist()}; it needs {axes} whole numbers, or one for all."
            )
        return tuple(int(n) for n in np.broadcast_to(array, (axes,)))

    def each(self, name: str, shape: tuple[int, ...], default: float | None = None) -> Any:
        """Return a field with one number for each value of `shape`."""
        array = self.numbers(name, default)
        try:
            return np.broadcast_to(array, shape).ravel()
        except ValueError:
            raise self.error(
                f"{name} has shape {array.shape}, but values of shape {shape} arrive."
            ) from None


def flatten(graph: Any, prefix: str = "") -> tuple[dict[str, Node], list[Edge]]:
    """Return the nodes of a graph and of the graphs in it by name, and their edges."""
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    doors: dict[str, dict[str, list[str]]] = {}
    for key, data in graph.nodes.items():
        name, kind = f"{prefix}{key}", type(data).__name__
        if kind == "NIRGraph":
            found, within = flatten(data, f"{name}.")
            edges += within
            doors[name] = {
                side: [
                    f"{name}.{k}" for k, n in data.nodes.items() if type(n).__name__ == side
                ]
                for side in ("Input", "Output")
            }
            for port in (*doors[name]["Input"], *doors[name]["Output"]):
                found[port].kind = "Port"  # what comes in goes on
        else:
            found = {name: Node(name, kind, data)}
        if twice := nodes.keys() & found.keys():
            raise MosaicError(f"Two nodes of the graph are called {min(twice)!r}.")
        nodes |= found
    for start, end in graph.edges:
        ends = []
        for side, key in (("Output", start), ("Input", end)):
            name = f"{prefix}{key}"
            if name in doors:
                ports = doors[name][side]
                if len(ports) != 1:
                    raise MosaicError(
                        f"Node {name!r} (NIRGraph): an edge from {start!r} to {end!r} needs one "
                        f"{side} in it, but it has {len(ports)}."
                    )
                name = ports[0]
            if name not in nodes:
                raise MosaicError(
                    f"An edge leads from {start!r} to {end!r}, but no node is called {key!r}."
                    + suggest(name, nodes)
                )
            ends.append(name)
        edges.append((ends[0], ends[1]))
    return nodes, edges


def natural(name: str) -> list[Any]:
    """Sort ``layer 10`` after ``layer 9``: files keep no other order of nodes.

    Examples
    --------
    >>> sorted(["10", "9", "input"], key=natural)
    ['9', '10', 'input']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]


def walk(
    first: Iterable[str], after: Mapping[str, Iterable[str]]
) -> tuple[list[str], set[Edge]]:
    """Search a graph depth first.

    Parameters
    ----------
    first : names to start from; those after all before have been followed
    after : nodes that each leads to

    Returns
    -------
    order : list of str
        Every node before those it leads to, but for edges that close a cycle.
    closing : set of edges
        Those that lead back to where the search came from.

    Examples
    --------
    >>> walk("a", {"a": "b", "b": "ca", "c": ""})
    (['a', 'b', 'c'], {('b', 'a')})
    """
    order: list[str] = []
    back: set[Edge] = set()
    seen: set[str] = set()
    for root in first:
        if root in seen:
            continue
        seen.add(root)
        trail = {root: iter(after[root])}
        while trail:
            node = next(reversed(trail))
            for there in trail[node]:
                if there in trail:
                    back.add((node, there))
                elif there not in seen:
                    seen.add(there)
                    trail[there] = iter(after[there])
                    break
            else:
                trail.popitem()
                order.append(node)
    return order[::-1], back


def roots(inputs: Collection[str], names: Iterable[str]) -> list[str]:
    """Sort names: inputs first."""
    return sorted(names, key=lambda name: (name not in inputs, natural(name)))


def closing(
    inputs: Collection[str],
    names: Collection[str],
    edges: Iterable[Edge],
    waiting: Collection[str] = (),
) -> set[Edge]:
    """Return the edges that close a cycle, seen from the inputs.

    Edges into a node that is `waiting` a step close none. The result does not depend on the
    order of the names and edges.
    """
    after: dict[str, list[str]] = {name: [] for name in names}
    for start, end in edges:
        if end not in waiting:
            after[start].append(end)
    for ends in after.values():
        ends.sort(key=natural)
    return walk(roots(inputs, names), after)[1]

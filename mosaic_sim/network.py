"""A spiking network as the chip sees it: sources, synapses, neurons and their names.

Sources are numbered: input channels first, then (if the network has one) the bias line,
which spikes at every step, then the neurons. Synapses are stored by source. Neurons keep the
number they were born with: a network that grows appends, so that what is already on a chip
can stay where it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["RESETS", "Network", "join"]

RESETS = ("subtract", "zero", "none")
"""What happens to a membrane one step after its spike; the codes of `Network.reset`."""


@dataclass(frozen=True, eq=False)
class Network:
    """A spiking network with n neurons, s synapses.

    At every step, for each neuron j (the convention of ``snntorch.Leaky``: fires strictly
    above threshold, and the reset acts one step late)::

        v[t] = leak * v[t-1] + sum_i weight[i, j] * fired_i[t - delay] - threshold * fired[t-1]
        fired[t] = v[t] > threshold

    With reset ``zero`` the old membrane is zeroed instead (``leak * (1 - fired[t-1]) *
    v[t-1]``), with ``none`` it is kept.

    Build one with `Network.from_synapses` or `mosaic_sim.interop.from_snntorch`.

    Parameters
    ----------
    inputs : int
        Input channels.
    bias : bool
        Whether there is a bias line, a source that spikes at every step.
    offsets : int64 array, (sources + 1,)
        Synapses of source i are ``offsets[i]`` to ``offsets[i + 1]``.
    target : int32 array, (s,)
        Neuron that each synapse ends at.
    weight : float32 array, (s,), in units of the threshold's scale
    delay : int32 array, (s,) [steps]
        0: felt within the same step; synapses of delay 0 form no cycle.
    leak, threshold : float32 array, (n,)
        Factor that the membrane keeps per step, in [0, 1]; and the firing threshold, > 0.
    reset : int8 array, (n,)
        Index into `RESETS`.
    groups : dict of int array
        Named sets of neurons (layers, experts, outputs), for reading out and for reports.

    Raises
    ------
    MosaicError
        If an array has the wrong shape, is not finite or out of range, or a cycle of
        synapses without delay exists.
    """

    inputs: int
    bias: bool
    offsets: NDArray[np.int64]
    target: NDArray[np.int32]
    weight: NDArray[np.float32]
    delay: NDArray[np.int32]
    leak: NDArray[np.float32]
    threshold: NDArray[np.float32]
    reset: NDArray[np.int8]
    groups: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def neurons(self) -> int:
        """Number of neurons, n."""
        return int(self.leak.size)

    @property
    def synapses(self) -> int:
        """Number of synapses, s."""
        return int(self.target.size)

    @property
    def first_neuron(self) -> int:
        """Source number of neuron 0."""
        return self.inputs + int(self.bias)

    @property
    def sources(self) -> int:
        """Input channels, bias line and neurons."""
        return self.first_neuron + self.neurons

    @cached_property
    def source(self) -> NDArray[np.int64]:
        """Source of each synapse, (s,)."""
        return np.repeat(np.arange(self.sources), np.diff(self.offsets))

    @cached_property
    def order(self) -> NDArray[np.int32]:
        """Neurons in an order in which synapses without delay only point forward, (n,)."""
        order: NDArray[np.int32] = _kernels.topological_order(
            self.first_neuron, self.offsets, self.target, self.delay, self.neurons
        )
        return order

    @classmethod
    def from_synapses(
        cls,
        *,
        inputs: int,
        neurons: int,
        source: ArrayLike,
        target: ArrayLike,
        weight: ArrayLike,
        delay: ArrayLike = 0,
        leak: ArrayLike = 1.0,
        threshold: ArrayLike = 1.0,
        reset: str | ArrayLike = "subtract",
        bias: bool = False,
        groups: Mapping[str, ArrayLike] | None = None,
    ) -> Network:
        """Build a network from a list of synapses in any order.

        Scalars for `delay`, `leak`, `threshold` and `reset` hold for all.

        Examples
        --------
        >>> net = Network.from_synapses(
        ...     inputs=1, neurons=2, source=[0, 1], target=[0, 1], weight=[1.5, 2.0], leak=0.5
        ... )
        >>> net.synapses, net.sources
        (2, 3)
        """
        for name, value in (("inputs", inputs), ("neurons", neurons)):
            if not isinstance(value, int | np.integer) or value < 0:
                raise MosaicError(
                    f"{name} is {value!r}; it needs an integer of at least 0."
                )
        start = _spread("source", np.ravel(source), np.size(source), np.int64)
        if isinstance(reset, str):
            if reset not in RESETS:
                raise MosaicError(f"reset is {reset!r}; it must be one of {RESETS}.")
            reset = RESETS.index(reset)
        sources = inputs + int(bias) + neurons
        if start.size and (start.min() < 0 or start.max() >= sources):
            bad = start[(start < 0) | (start >= sources)][0]
            raise MosaicError(
                f"source has {bad}, but the network has {sources} sources (0 to {sources - 1}): "
                f"{inputs} inputs, {int(bias)} bias line, {neurons} neurons."
            )
        by_source = np.argsort(start, kind="stable")

        def per_synapse(name: str, values: ArrayLike, kind: type[np.generic]) -> Any:
            return _spread(name, values, start.size, kind)[by_source]

        counts = np.bincount(start, minlength=sources)
        return cls(
            inputs=inputs,
            bias=bias,
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            target=per_synapse("target", target, np.int32),
            weight=per_synapse("weight", weight, np.float32),
            delay=per_synapse("delay", delay, np.int32),
            leak=_spread("leak", leak, neurons, np.float32),
            threshold=_spread("threshold", threshold, neurons, np.float32),
            reset=_spread("reset", reset, neurons, np.int8),
            groups={
                name: _spread(f"groups[{name!r}]", np.ravel(who), np.size(who), np.int64)
                for name, who in (groups or {}).items()
            },
        )

    def with_weights(self, weight: NDArray[np.float32]) -> Network:
        """Return the same network with other weights (the device's, for example)."""
        return replace(self, weight=weight)

    def reordered(self, birth: Sequence[int]) -> Network:
        """Renumber the neurons: neuron ``birth[k]`` of this network becomes neuron k.

        Examples
        --------
        >>> net = Network.from_synapses(
        ...     inputs=1, neurons=2, source=[0], target=[0], weight=[1.0], threshold=[1, 2]
        ... )
        >>> net.reordered([1, 0]).threshold.tolist()
        [2.0, 1.0]
        """
        old = np.asarray(birth, np.int64)
        if sorted(old.tolist()) != list(range(self.neurons)):
            raise MosaicError(
                f"birth must name each of the {self.neurons} neurons exactly once."
            )
        new = np.empty_like(old)
        new[old] = np.arange(old.size)
        source = self.source.copy()
        is_neuron = source >= self.first_neuron
        source[is_neuron] = self.first_neuron + new[source[is_neuron] - self.first_neuron]
        return Network.from_synapses(
            inputs=self.inputs, neurons=self.neurons, bias=self.bias,
            source=source, target=new[self.target], weight=self.weight, delay=self.delay,
            leak=self.leak[old], threshold=self.threshold[old], reset=self.reset[old],
            groups={name: new[members] for name, members in self.groups.items()},
        )  # fmt: skip


def join(networks: Mapping[str, Network]) -> Network:
    """Put networks that read the same input channels side by side in one network.

    Neurons are numbered network after network; groups are prefixed with the name of their
    network: ``"expert 0"`` and ``"layer 1"`` become ``"expert 0/layer 1"``.

    Examples
    --------
    >>> one = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[2.0])
    >>> join({"a": one, "b": one}).neurons
    2
    """
    if not networks:
        raise MosaicError("join needs at least one network.")
    members = list(networks.values())
    inputs = members[0].inputs
    if any(net.inputs != inputs for net in members):
        raise MosaicError(
            "join needs networks with the same input channels; "
            f"got {[net.inputs for net in members]}."
        )
    bias = any(net.bias for net in members)
    source: list[NDArray[np.int64]] = []
    groups: dict[str, NDArray[np.int64]] = {}
    born = 0
    for name, net in networks.items():
        start = net.source.copy()
        is_neuron = start >= net.first_neuron
        start[is_neuron] += inputs + int(bias) - net.first_neuron + born
        source.append(start)
        groups |= {f"{name}/{group}": who + born for group, who in net.groups.items()}
        born += net.neurons
    births = np.cumsum([0, *(net.neurons for net in members[:-1])])
    return Network.from_synapses(
        inputs=inputs, neurons=born, bias=bias, groups=groups,
        source=np.concatenate(source),
        target=np.concatenate([n.target + b for n, b in zip(members, births, strict=True)]),
        weight=np.concatenate([net.weight for net in members]),
        delay=np.concatenate([net.delay for net in members]),
        leak=np.concatenate([net.leak for net in members]),
        threshold=np.concatenate([net.threshold for net in members]),
        reset=np.concatenate([net.reset for net in members]),
    )  # fmt: skip


def _spread(name: str, values: ArrayLike, size: int, kind: type[np.generic]) -> Any:
    """Return `values` as `size` entries of `kind`; refuse what `kind` would cut short."""
    array = np.asarray(values)
    if array.ndim and array.shape != (size,):
        raise MosaicError(
            f"{name} has shape {array.shape}; it needs ({size},), or one number for all."
        )
    with np.errstate(invalid="ignore", over="ignore"):
        if issubclass(kind, np.integer):
            limits = np.iinfo(kind)
            whole = (array % 1 == 0) & (array >= limits.min) & (array <= limits.max)
            if not whole.all():
                raise MosaicError(
                    f"{name} has {array[~whole].flat[0]}; it needs whole numbers from "
                    f"{limits.min} to {limits.max}."
                )
        return np.broadcast_to(array, (size,)).astype(kind)


def _check(net: Network) -> None:
    if net.inputs < 0:
        raise MosaicError(f"inputs is {net.inputs}; it needs at least 0.")
    if net.threshold.shape != (net.neurons,) or net.reset.shape != (net.neurons,):
        raise MosaicError(
            f"leak, threshold and reset need one entry for each neuron; they have "
            f"{net.leak.size}, {net.threshold.size} and {net.reset.size}."
        )
    if net.offsets.shape != (net.sources + 1,):
        raise MosaicError(
            f"offsets has {net.offsets.size} entries; it needs {net.sources + 1}, one for each "
            "source and one more."
        )
    if (
        net.offsets[0] != 0
        or net.offsets[-1] != net.synapses
        or np.any(np.diff(net.offsets) < 0)
    ):
        raise MosaicError("offsets must rise from 0 to the number of synapses.")
    for name in ("weight", "delay"):
        if getattr(net, name).shape != net.target.shape:
            raise MosaicError(f"{name} needs {net.synapses} entries, one for each synapse.")
    for name in ("weight", "leak", "threshold"):
        values = getattr(net, name)
        if not np.isfinite(values).all():
            at = int(np.flatnonzero(~np.isfinite(values))[0])
            raise MosaicError(f"{name}[{at}] is {values[at]}; it must be finite.")
    outside = (net.target < 0) | (net.target >= net.neurons)
    if outside.any():
        at = int(np.flatnonzero(outside)[0])
        raise MosaicError(
            f"Synapse {at} targets neuron {net.target[at]}, but the network has {net.neurons} "
            f"neurons (0 to {net.neurons - 1})."
        )
    if np.any(net.delay < 0):
        raise MosaicError("delay must not be negative.")
    if np.any((net.leak < 0) | (net.leak > 1)):
        raise MosaicError("leak must lie between 0 and 1.")
    if np.any(net.threshold <= 0):
        raise MosaicError("threshold must be above 0.")
    if np.any((net.reset < 0) | (net.reset >= len(RESETS))):
        raise MosaicError(f"reset must hold indices into {RESETS}.")
    for name, members in net.groups.items():
        if members.size and (members.min() < 0 or members.max() >= net.neurons):
            raise MosaicError(f"groups[{name!r}] names a neuron that does not exist.")
    pairs = net.source * net.neurons + net.target
    if np.unique(pairs).size != pairs.size:
        raise MosaicError(
            "Two synapses join the same source and target; a crossbar has one pair of devices "
            "for them. Add their weights up."
        )
    if net.order.size < net.neurons:
        raise MosaicError(
            f"Synapses of delay 0 form a cycle through neurons {_cycle(net)}; recurrent "
            "synapses need a delay of at least 1 step."
        )


def _cycle(net: Network) -> str:
    """Name one cycle of synapses without delay: ``3 -> 5 -> 3``."""
    import networkx  # late: it is slow to load, and needed for this message only

    at_once = (net.delay == 0) & (net.source >= net.first_neuron)
    pre = (net.source[at_once] - net.first_neuron).tolist()
    graph = networkx.DiGraph(zip(pre, net.target[at_once].tolist(), strict=True))
    links = networkx.find_cycle(graph)
    return " -> ".join(str(start) for start, _ in links) + f" -> {links[0][0]}"

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

RESETS = ("subtract", "zero", "none", "clear")
"""What a spike does to the membrane; the codes of `Network.reset`."""

MOST_DELAY = 32_767
"""Steps that a synapse may wait: a delay has 16 bits."""

NEURON_PARAMETERS = ("leak", "threshold", "reset", "current_leak", "gain", "prompt")
"""Fields of `Network` with one entry a neuron."""


@dataclass(frozen=True, eq=False)
class Network:
    """A spiking network with n neurons, s synapses.

    At every step, for each neuron j, with its input current ``x``::

        x[t] = sum_i weight[i, j] * fired_i[t - delay]
        u[t] = current_leak * u[t-1] + x[t]                          # u = x if current_leak = 0
        v[t] = leak * v[t-1] + u[t] - threshold * fired[t-1]         # reset "subtract"
        fired[t] = v[t] > threshold

    This is the convention of snnTorch: a neuron fires strictly above its threshold, and the
    reset acts one step late. With reset ``zero`` the old membrane is zeroed instead
    (``leak * 0 + u[t]``); with ``clear`` the new one is (``v[t] = 0``: the input of that step is
    lost, as in ``snntorch.RLeaky`` and ``Synaptic``); with ``none`` it is kept. With `prompt`
    the reset acts at once, in the step of the spike (``reset_delay=False``).

    A neuron with a `gain` above 0 is an alpha neuron: `current_leak` and `leak` are the decays
    of an excitatory and an inhibitory trace of the same input, and
    ``v = gain * (excitatory + inhibitory)`` (``snntorch.Alpha``).

    Build one with `Network.from_synapses`, `Network.from_sparse` or `mosaic_sim.interop`.

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
    delay : int16 array, (s,) [steps]
        0: felt within the same step; synapses of delay 0 form no cycle. At most `MOST_DELAY`.
    leak, threshold : float32 array, (n,)
        Factor that the membrane keeps per step, in [0, 1]; and the firing threshold, > 0. A
        neuron with an infinite threshold never fires: a leaky integrator, to be read out.
    reset : int8 array, (n,)
        Index into `RESETS`.
    current_leak, gain : float32 array, (n,), 0 by default
        Factor that the synaptic current keeps per step; gain of an alpha neuron.
    prompt : bool array, (n,), False by default
        Whether the reset acts in the step of the spike.
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
    delay: NDArray[np.int16]
    leak: NDArray[np.float32]
    threshold: NDArray[np.float32]
    reset: NDArray[np.int8]
    current_leak: NDArray[np.float32] = None  # type: ignore[assignment]
    gain: NDArray[np.float32] = None  # type: ignore[assignment]
    prompt: NDArray[np.bool_] = None  # type: ignore[assignment]
    groups: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in (("current_leak", "f4"), ("gain", "f4"), ("prompt", "?")):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.zeros(self.leak.size, kind))
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
    def depth(self) -> NDArray[np.int32]:
        """Synapses without delay on the longest way to each neuron from another, (n,).

        Neurons of the same depth do not feel each other within a step. -1 on a cycle.
        """
        depth: NDArray[np.int32] = _kernels.depths(
            self.first_neuron, self.offsets, self.target, self.delay, self.neurons
        )
        return depth

    @cached_property
    def order(self) -> NDArray[np.int32]:
        """Neurons by depth: synapses without delay only point forward, (n,)."""
        return np.argsort(self.depth, kind="stable").astype(np.int32)

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
        current_leak: ArrayLike = 0.0,
        gain: ArrayLike = 0.0,
        prompt: ArrayLike = False,
        bias: bool = False,
        groups: Mapping[str, ArrayLike] | None = None,
    ) -> Network:
        """Build a network from a list of synapses in any order.

        Scalars for `delay` and for the parameters of neurons hold for all.

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
        size = np.size(source)
        start = _spread("source", np.ravel(source), size, np.int32)
        sources = inputs + int(bias) + neurons
        if size and (start.min() < 0 or start.max() >= sources):
            bad = start[(start < 0) | (start >= sources)][0]
            raise MosaicError(
                f"source has {bad}, but the network has {sources} sources (0 to {sources - 1}): "
                f"{inputs} inputs, {int(bias)} bias line, {neurons} neurons."
            )
        columns = [
            _spread(name, values, size, kind)
            for name, values, kind in (
                ("target", target, np.int32),
                ("weight", weight, np.float32),
                ("delay", delay, np.int16),
            )
        ]
        offsets, rising = _kernels.count_sources(start, sources)
        if not rising:
            ordered = [np.empty_like(values) for values in columns]
            _kernels.sort_by_source(start, offsets, *columns, *ordered)
            columns = ordered
        return cls(
            inputs=inputs, bias=bias, offsets=offsets,
            target=columns[0], weight=columns[1], delay=columns[2],
            **_neuron_parameters(
                neurons, leak=leak, threshold=threshold, reset=reset,
                current_leak=current_leak, gain=gain, prompt=prompt,
            ),
            groups={
                name: _spread(f"groups[{name!r}]", np.ravel(who), np.size(who), np.int64)
                for name, who in (groups or {}).items()
            },
        )  # fmt: skip

    @classmethod
    def from_sparse(
        cls,
        weights: Any,
        *,
        inputs: int = 0,
        bias: bool = False,
        delay: ArrayLike | None = None,
        **parameters: Any,
    ) -> Network:
        """Build a network from a sparse matrix of weights.

        Parameters
        ----------
        weights : scipy.sparse matrix or array, (sources, neurons)
            Entry (i, j) is the synapse from source i to neuron j: rows are the inputs, the bias
            line if there is one, then the neurons. Stored zeros are synapses too.
        inputs : int
            Rows that are input channels.
        bias : bool
            Whether the row after them is a bias line.
        delay : int, or array with one entry for each stored weight in CSR order, optional
            By default 0 for inputs and bias, 1 for neurons: any recurrent matrix is legal.
        **parameters
            `leak`, `threshold`, `reset`, ... and `groups`, as in `from_synapses`.

        Examples
        --------
        >>> import scipy.sparse
        >>> ring = scipy.sparse.csr_array([[2.0, 0, 0], [0, 2, 0], [0, 0, 2], [2, 0, 0]])
        >>> Network.from_sparse(ring, inputs=1).delay.tolist()
        [0, 1, 1, 1]
        """
        if not hasattr(weights, "tocsr"):
            raise MosaicError(
                f"weights is a {type(weights).__name__}; it needs a scipy.sparse matrix or array."
            )
        matrix = weights.tocsr()
        rows, neurons = (int(n) for n in matrix.shape)
        if rows != inputs + int(bias) + neurons:
            raise MosaicError(
                f"weights has shape {matrix.shape}; with {inputs} inputs and {int(bias)} bias "
                f"line it needs ({inputs + int(bias) + neurons}, {neurons}): a row a source."
            )
        matrix.sum_duplicates()
        source = np.repeat(np.arange(rows, dtype=np.int32), np.diff(matrix.indptr))
        if delay is None:
            delay = (source >= inputs + int(bias)).astype(np.int16)
        return cls.from_synapses(
            inputs=inputs, neurons=neurons, bias=bias, source=source, target=matrix.indices,
            weight=matrix.data, delay=delay, **parameters,
        )  # fmt: skip

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
            **{name: getattr(self, name)[old] for name in NEURON_PARAMETERS},
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
        **{
            name: np.concatenate([getattr(net, name) for net in members])
            for name in NEURON_PARAMETERS
        },
    )  # fmt: skip


def _spread(name: str, values: ArrayLike, size: int, kind: type[np.generic]) -> Any:
    """Return `values` as `size` entries of `kind`; refuse what `kind` would cut short."""
    array = np.asarray(values)
    if array.ndim and array.shape != (size,):
        raise MosaicError(
            f"{name} has shape {array.shape}; it needs ({size},), or one number for all."
        )
    if array.dtype == kind and array.ndim:
        return np.ascontiguousarray(array)
    with np.errstate(invalid="ignore", over="ignore"):
        if issubclass(kind, np.integer) and array.size:
            limits = np.iinfo(kind)
            least = 0 if name == "delay" else limits.min
            whole = (array >= least) & (array <= limits.max)
            if array.dtype.kind not in "iub":
                whole &= array % 1 == 0
            if not whole.all():
                raise MosaicError(
                    f"{name} has {array[~whole].flat[0]}; it needs whole numbers from "
                    f"{least} to {limits.max}."
                )
        return np.broadcast_to(array, (size,)).astype(kind)


def _neuron_parameters(neurons: int, **given: Any) -> dict[str, Any]:
    """One entry for each neuron; the name of a reset becomes its code."""
    if isinstance(given["reset"], str):
        if given["reset"] not in RESETS:
            raise MosaicError(f"reset is {given['reset']!r}; it must be one of {RESETS}.")
        given["reset"] = RESETS.index(given["reset"])
    kinds: dict[str, type[np.generic]] = {"reset": np.int8, "prompt": np.bool_}
    return {
        name: _spread(name, values, neurons, kinds.get(name, np.float32))
        for name, values in given.items()
    }


def _check(net: Network) -> None:
    if net.inputs < 0:
        raise MosaicError(f"inputs is {net.inputs}; it needs at least 0.")
    if any(getattr(net, name).shape != (net.neurons,) for name in NEURON_PARAMETERS):
        sizes = ", ".join(f"{name} {getattr(net, name).size}" for name in NEURON_PARAMETERS)
        raise MosaicError(
            f"The parameters of neurons need one entry for each neuron; they have {sizes}."
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
    if net.delay.dtype != np.int16:
        raise MosaicError(
            f"delay holds {net.delay.dtype}; it needs int16 (Network.from_synapses converts)."
        )
    _check_neurons(net)
    fault, at = _kernels.synapse_fault(
        net.offsets, net.target, net.weight, net.delay, net.neurons
    )
    if fault == 1:
        raise MosaicError(
            f"Synapse {at} targets neuron {net.target[at]}, but the network has {net.neurons} "
            f"neurons (0 to {net.neurons - 1})."
        )
    if fault == 2:
        raise MosaicError(f"weight[{at}] is {net.weight[at]}; it must be finite.")
    if fault == 3:
        raise MosaicError("delay must not be negative.")
    if fault == 4:
        raise MosaicError(
            "Two synapses join the same source and target; a crossbar has one pair of devices "
            "for them. Add their weights up."
        )
    if np.any(net.depth < 0):
        raise MosaicError(
            f"Synapses of delay 0 form a cycle through neurons {_cycle(net)}; recurrent "
            "synapses need a delay of at least 1 step."
        )


def _check_neurons(net: Network) -> None:
    for name in ("leak", "current_leak", "gain"):
        values = getattr(net, name)
        if not np.isfinite(values).all():
            at = int(np.flatnonzero(~np.isfinite(values))[0])
            raise MosaicError(f"{name}[{at}] is {values[at]}; it must be finite.")
    for name in ("leak", "current_leak"):
        values = getattr(net, name)
        if np.any((values < 0) | (values > 1)):
            raise MosaicError(f"{name} must lie between 0 and 1.")
    if not np.all(net.threshold > 0):
        raise MosaicError(
            "threshold must be above 0 (infinite for a neuron that never fires)."
        )
    if np.any(net.gain < 0):
        raise MosaicError("gain must not be negative.")
    if np.any((net.gain > 0) & net.prompt):
        raise MosaicError(
            "An alpha neuron (gain above 0) has no prompt reset; set prompt to False for it."
        )
    if np.any((net.reset < 0) | (net.reset >= len(RESETS))):
        raise MosaicError(f"reset must hold indices into {RESETS}.")
    for name, members in net.groups.items():
        if members.size and (members.min() < 0 or members.max() >= net.neurons):
            raise MosaicError(f"groups[{name!r}] names a neuron that does not exist.")


def _cycle(net: Network) -> str:
    """Name one cycle of synapses without delay: ``3 -> 5 -> 3``."""
    import networkx  # late: it is slow to load, and needed for this message only

    at_once = (net.delay == 0) & (net.source >= net.first_neuron)
    pre = (net.source[at_once] - net.first_neuron).tolist()
    graph = networkx.DiGraph(zip(pre, net.target[at_once].tolist(), strict=True))
    links = networkx.find_cycle(graph)
    return " -> ".join(str(start) for start, _ in links) + f" -> {links[0][0]}"

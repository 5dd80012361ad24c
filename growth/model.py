"""The growing spiking network: experts of snnTorch cells, side by side on the same inputs.

Each expert has hidden neurons, one output neuron for each of its classes, and gate neurons
that spike the more the better an input resembles what the expert was trained on. Prediction
is the mixture of the experts' opinions, weighted by the spikes of their gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import snntorch
import torch
from snntorch import surrogate
from torch import Tensor, nn

from growth.blueprint import BIAS, INPUTS, Blueprint, Connection, Population
from growth.sequence import leaky, rule_of
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Expert", "SpikingNet", "cell_spikes", "mixture", "responsibilities"]


def cell_spikes(cell: nn.Module, current: Tensor) -> Tensor:
    """Run a neuron layer over time from rest.

    A plain ``snntorch.Leaky`` runs as `growth.sequence.leaky`, which gives the same spikes
    and gradients faster and leaves the cell's own state alone; others are stepped.

    Parameters
    ----------
    cell : snntorch.Leaky
    current : (steps, samples, neurons)

    Returns
    -------
    Tensor, (steps, samples, neurons), 0 and 1
    """
    rule = rule_of(cell)
    if rule is not None and isinstance(cell, snntorch.Leaky):
        return leaky(current, cell.beta.clamp(0, 1), cell.threshold, **rule._asdict())
    membrane = torch.zeros_like(current[0])
    fired = []
    for now in current:
        spike, membrane = cell(now, membrane)
        fired.append(spike)
    return torch.stack(fired)


class Expert(nn.Module):
    """A spiking network with one hidden layer, and a gate that knows its inputs.

    Parameters
    ----------
    inputs : int
    classes : sequence of int
        Labels that this expert tells apart, one output neuron each.
    leak : float
        Membrane factor of all its neurons.
    births : sequence of int
        Numbers of the output neurons among all neurons of the network, in order of birth.
    gate_leak : float, optional
        Membrane factor of gate neurons, if it is another one.

    Notes
    -----
    A new expert has no hidden neurons; it gets them by `widen`. The linear layers have no
    bias, since a bias is a line on the chip; the gate needs one.

    A hidden neuron reads the inputs of its row in the buffer `reads`, (hidden, inputs), and no
    other: whatever an optimiser does to the rest of `into_hidden`, it is not there (`incoming`).
    `gate_reads`, (gates, inputs + 1), says the same of gate neurons and their bias.
    """

    def __init__(
        self, inputs: int, classes: Sequence[int], leak: float, births: Sequence[int],
        gate_leak: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.gate_leak = leak if gate_leak is None else gate_leak
        self.inputs = inputs
        self.classes = list(classes)
        self.into_hidden = nn.Parameter(torch.zeros(0, inputs))
        self.reads: Tensor
        self.register_buffer("reads", torch.zeros(0, inputs, dtype=torch.bool))
        self.into_out = nn.Parameter(torch.zeros(len(self.classes), 0))
        self.gate_weight: Tensor
        self.gate_bias: Tensor
        self.register_buffer("gate_weight", torch.zeros(0, inputs))
        self.register_buffer("gate_bias", torch.zeros(0))
        self.gate_reads: Tensor
        self.register_buffer("gate_reads", torch.zeros(0, inputs + 1, dtype=torch.bool))
        self.cell = snntorch.Leaky(beta=leak, spike_grad=surrogate.atan())
        self.births: dict[str, list[int]] = {"hidden": [], "out": list(births), "gate": []}

    @property
    def neurons(self) -> int:
        """Hidden, output and gate neurons."""
        return sum(len(born) for born in self.births.values())

    def forward(self, spikes: Tensor) -> Tensor:
        """Spike counts of the output neurons, (samples, classes), from (steps, samples, inputs)."""
        return self.out_spikes(self.hidden_spikes(spikes)).sum(0)

    @property
    def incoming(self) -> Tensor:
        """Weights of the synapses that exist, (hidden, inputs), 0 elsewhere."""
        return torch.where(self.mask, self.into_hidden, 0.0)

    @property
    def mask(self) -> Tensor:
        """Which synapses exist, bool, (hidden, inputs); rows that `reads` lacks read all."""
        more = self.into_hidden.shape[0] - self.reads.shape[0]
        return torch.cat([self.reads, self.reads.new_ones(more, self.inputs)])

    def hidden_spikes(self, spikes: Tensor) -> Tensor:
        """Spikes of the hidden neurons, (steps, samples, hidden)."""
        return cell_spikes(self.cell, spikes @ self.incoming.T)

    def out_spikes(self, hidden: Tensor, extra: Tensor | None = None) -> Tensor:
        """Spikes of the output neurons; `extra` is added to their input current."""
        current = hidden @ self.into_out.T
        return cell_spikes(self.cell, current if extra is None else current + extra)

    def gate_counts(self, spikes: Tensor) -> Tensor:
        """Spike counts of the gate neurons, (samples, gates)."""
        drive = spikes @ self.gate_weight.T + self.gate_bias
        return leaky(drive, self.gate_leak).sum(0)

    def widen(
        self,
        incoming: Tensor,
        outgoing: Tensor,
        births: Sequence[int],
        reads: Tensor | None = None,
    ) -> None:
        """Add hidden neurons.

        Parameters
        ----------
        incoming : (k, inputs)
        outgoing : (classes, k)
        births : sequence of int, k of them
        reads : bool, (inputs,) or (k, inputs), optional
            Inputs that they read; all by default.

        Raises
        ------
        MosaicError
            If a shape does not fit, or an input that is not read has a weight.
        """
        mask = torch.ones(self.inputs, dtype=torch.bool) if reads is None else reads
        if mask.dtype != torch.bool or mask.shape not in (
            (self.inputs,), (len(births), self.inputs),
        ):  # fmt: skip
            raise MosaicError(
                f"reads is {mask.dtype} of shape {tuple(mask.shape)}; it needs a bool for each of "
                f"{self.inputs} inputs, or a row of them for each of {len(births)} neurons."
            )
        if incoming.shape != (len(births), self.inputs) or outgoing.shape != (
            len(self.classes),
            len(births),
        ):
            raise MosaicError(
                f"widen got incoming {tuple(incoming.shape)} and outgoing "
                f"{tuple(outgoing.shape)} for {len(births)} neurons; it needs "
                f"({len(births)}, {self.inputs}) and ({len(self.classes)}, {len(births)})."
            )
        mask = mask.expand(len(births), self.inputs)
        if bool(incoming[~mask].any()):
            raise MosaicError("widen got weights for inputs that are not read.")
        self.reads = torch.cat([self.mask, mask])
        self.into_hidden = nn.Parameter(torch.cat([self.into_hidden.data, incoming]))
        self.into_out = nn.Parameter(torch.cat([self.into_out.data, outgoing], dim=1))
        self.births["hidden"] += list(births)

    def add_outputs(self, classes: Sequence[int], births: Sequence[int]) -> None:
        """Add output neurons for more labels, silent until they are trained."""
        again = sorted(set(classes) & set(self.classes))
        if again:
            raise MosaicError(f"The expert has an output for label {again[0]} already.")
        more = torch.zeros(len(classes), self.into_out.shape[1])
        trained = self.into_out.requires_grad
        self.into_out = nn.Parameter(torch.cat([self.into_out.data, more]), trained)
        self.classes += classes
        self.births["out"] += list(births)

    def add_gates(
        self, weight: Tensor, bias: Tensor, births: Sequence[int],
        reads: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Add gate neurons: weight (gates, inputs), bias (gates,).

        `reads`, (gates, inputs + 1), says which lines they read, the bias line last; without
        it those whose weight is not 0.
        """
        there = torch.column_stack([weight, bias]) != 0
        self.gate_reads = torch.cat([self.gate_reads, there if reads is None else reads])
        self.gate_weight = torch.cat([self.gate_weight, weight])
        self.gate_bias = torch.cat([self.gate_bias, bias])
        self.births["gate"] += list(births)

    def set_gates(self, weight: Tensor, bias: Tensor) -> None:
        """Give the gate neurons that there are other weights on the lines that they read."""
        held = torch.column_stack([weight, bias])
        if held.shape != self.gate_reads.shape or bool(held[~self.gate_reads].any()):
            raise MosaicError(
                f"set_gates got weights for {len(weight)} gate neurons; there are "
                f"{len(self.gate_reads)}, and each keeps the lines that it reads."
            )
        self.gate_weight, self.gate_bias = weight, bias

    def freeze(self) -> None:
        """Let nothing train this expert any more."""
        for weight in self.parameters():
            weight.requires_grad_(False)


class SpikingNet(nn.Module):
    """Experts on the same inputs; starts empty and grows.

    Parameters
    ----------
    inputs : int
    leak : float
        Membrane factor per step of every neuron.
    gate_leak : float, optional
        That of gate neurons, if it is another one.

    Examples
    --------
    >>> net = SpikingNet(4, leak=0.9)
    >>> expert = net.add_expert([0, 1])
    >>> net.widen(expert, torch.zeros(3, 4), torch.ones(2, 3))
    >>> net.neurons, expert.births["hidden"]
    (5, [2, 3, 4])
    """

    def __init__(self, inputs: int, leak: float, gate_leak: float | None = None) -> None:
        super().__init__()
        self.inputs, self.leak, self.gate_leak = inputs, leak, gate_leak
        self.modules_of_experts = nn.ModuleList()
        self.neurons = 0

    @property
    def experts(self) -> list[Expert]:
        """All experts, in order of birth."""
        return [expert for expert in self.modules_of_experts if isinstance(expert, Expert)]

    def _bear(self, count: int) -> range:
        born = range(self.neurons, self.neurons + count)
        self.neurons += count
        return born

    def add_expert(self, classes: Sequence[int]) -> Expert:
        """Add an expert without hidden neurons for these labels."""
        born = self._bear(len(classes))
        expert = Expert(self.inputs, classes, self.leak, born, self.gate_leak)
        self.modules_of_experts.append(expert)
        return expert

    def widen(
        self, expert: Expert, incoming: Tensor, outgoing: Tensor,
        reads: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Add hidden neurons to `expert`: incoming (k, inputs), outgoing (classes, k).

        `reads`, (inputs,) or (k, inputs), says which inputs they read; all by default.
        """
        expert.widen(incoming, outgoing, self._bear(incoming.shape[0]), reads)

    def add_outputs(self, expert: Expert, classes: Sequence[int]) -> None:
        """Add output neurons to `expert` for labels that it did not have."""
        expert.add_outputs(classes, self._bear(len(classes)))

    def add_gates(
        self, expert: Expert, weight: Tensor, bias: Tensor, reads: Tensor | None = None
    ) -> None:
        """Add gate neurons to `expert`: weight (gates, inputs), bias (gates,).

        `reads`, (gates, inputs + 1), says which lines they read, the bias line last.
        """
        expert.add_gates(weight, bias, self._bear(weight.shape[0]), reads)

    @torch.no_grad()
    def blueprint(self) -> Blueprint:
        """What must sit on the chip: of each expert hidden, output and gate neurons."""
        populations, connections = [], []
        for number, expert in enumerate(self.experts):
            gate, bias = expert.gate_weight, expert.gate_bias[:, None]
            out = expert.into_out
            weights = {
                "hidden": ((INPUTS, expert.incoming, expert.mask),),
                "out": ((f"expert {number}/hidden", out, torch.ones_like(out) > 0),),
                "gate": (
                    (INPUTS, gate, expert.gate_reads[:, :-1]),
                    (BIAS, bias, expert.gate_reads[:, -1:]),
                ),
            }
            for kind, incoming in weights.items():
                born = np.array(expert.births[kind], np.int64)
                if not born.size:
                    continue
                name = f"expert {number}/{kind}"
                leak = expert.gate_leak if kind == "gate" else self.leak
                populations.append(Population(name, born, leak))
                connections += [
                    Connection(source, name, weight.numpy().copy(), there.numpy().copy())
                    for source, weight, there in incoming
                    if weight.shape[1]
                ]
        return Blueprint(self.inputs, tuple(populations), tuple(connections))

    @torch.no_grad()
    def forward(self, spikes: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Output and gate counts of every expert, from (steps, samples, inputs)."""
        return [e(spikes) for e in self.experts], [
            e.gate_counts(spikes) for e in self.experts
        ]


SHARPNESS = 4.0
"""Power that the weights of experts are taken to: nearly one expert for each sample."""


def mixture(
    out: Sequence[NDArray[np.int64]],
    gate: Sequence[NDArray[np.int64]],
    classes: Sequence[Sequence[int]],
    labels: int,
    *,
    gain: float,
    scored: bool = False,
) -> NDArray[np.float64]:
    """Mix the experts' opinions by their gates.

    ``p(y) = sum_e g_e p_e(y)`` with the `responsibilities` g of the experts and
    ``p_e = softmax(gain * spikes)`` over the classes of expert e. Gate neurons that are `scored`
    stand for the same classes; their spikes are added to those of the outputs then.

    Parameters
    ----------
    out, gate : sequence of (samples, classes of e), (samples, gates of e)
        Spike counts of each expert.
    classes : sequence of sequence of int
    labels : int
        Number of labels; those that no expert knows get 0.
    gain : float
        Log-odds per spike.
    scored : bool
        Whether gate neuron c of an expert stands for its class c.

    Returns
    -------
    float64 array, (samples, labels)

    Examples
    --------
    >>> mixture([np.array([[9, 0]])], [np.zeros((1, 0), int)], [[2, 0]], 3, gain=1.0).argmax(1)
    array([2])
    """
    if not out:
        raise MosaicError("mixture needs at least one expert.")
    weights = responsibilities(gate, gain=gain)
    scores = np.zeros((len(out[0]), labels))
    for e, counts in enumerate(out):
        if scored:
            counts = counts + gate[e]
        scores[:, list(classes[e])] += weights[:, e, None] * _softmax(gain * counts)
    return scores


def responsibilities(
    gate: Sequence[NDArray[np.int64]], *, gain: float
) -> NDArray[np.float64]:
    """Share of each expert in explaining samples, (samples, experts).

    ``g_e`` grows with the sum of ``exp(gain * spikes)`` over the gate neurons of e, so that
    several prototypes that are about as near count for more than one. Spikes fall with the
    squared distance to a prototype: the sum is that of a mixture of Gaussians. It is taken to a
    power, `SHARPNESS`: an expert that is sure of its class must not win against one that
    knows the inputs better but has doubts. An expert without gate neurons counts as one whose
    only gate neuron was silent.

    Parameters
    ----------
    gate : sequence of (samples, gates of e)
        Spike counts of each expert.
    gain : float
        Log-odds per spike.

    Examples
    --------
    >>> responsibilities([np.array([[8, 8]]), np.array([[9, 0]])], gain=0.5).round(2)
    array([[0.67, 0.33]])
    """
    sums = []
    for counts in gate:
        spikes = counts if counts.shape[1] else np.zeros((len(counts), 1))
        highest = spikes.max(1)
        powers = np.exp(gain * (spikes - highest[:, None])).sum(1)
        sums.append(gain * highest + np.log(powers))
    return _softmax(SHARPNESS * np.stack(sums, axis=1))


def _softmax(values: NDArray[np.floating]) -> NDArray[np.float64]:
    powers = np.exp(values - values.max(1, keepdims=True))
    total: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return total

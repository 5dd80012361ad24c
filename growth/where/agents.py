"""Neurons as agents that grow their own synapses by local rules: a policy to compare with.

Every neuron knows how far it reaches, what its inputs and itself did lately, and no gradient.
Each period it

- grows a synapse from a source within reach that fired when the neuron should have, more often
  than chance, if the coincidence is worth the hops;
- retracts those whose coincidence is gone;
- reaches one hop further if it fires less than it should, up to a limit;
- moves its threshold against the error of its rate (homeostasis).

Source: after the idea of Lopez-Randulfe and Larsen, "A multi-agent model for growing spiking
neural networks", arXiv:2010.15045, whose rules and parameters are not published in a form that
could be repeated; these are ours. As there, simple logic functions grow from nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Agents", "Rules", "grown", "newborn"]


@dataclass(frozen=True)
class Rules:
    """The rules that all agents keep to.

    Parameters
    ----------
    form, retract : float
        Coincidence, as a covariance of spikes, above which a synapse grows and below which it
        goes.
    price : float
        Coincidence that each hop has to bring besides.
    synapses : int
        Budget of each neuron.
    reach : float
        Hops that a neuron reaches at most.
    step : float
        How far a threshold moves for an error of the rate of 1.
    """

    form: float = 0.05
    retract: float = 0.01
    price: float = 0.0
    synapses: int = 128
    reach: float = 32.0
    step: float = 1.0


@dataclass(frozen=True, eq=False)
class Agents:
    """Neurons with their synapses, all of weight 1.

    Parameters
    ----------
    synapses : bool array, (neurons, sources)
    reach : float64 array, (neurons,)
        In hops.
    threshold : float64 array, (neurons,)
    """

    synapses: NDArray[np.bool_]
    reach: NDArray[np.float64]
    threshold: NDArray[np.float64]

    def fire(self, spikes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether each neuron fires, (samples, neurons), on spikes (samples, sources)."""
        fired: NDArray[np.bool_] = (
            spikes.astype(np.float64) @ self.synapses.T > self.threshold
        )
        return fired


def newborn(neurons: int, sources: int) -> Agents:
    """Return agents without a synapse that reach nobody."""
    return Agents(
        np.zeros((neurons, sources), np.bool_), np.zeros(neurons), np.full(neurons, 0.5)
    )


def grown(
    agents: Agents, spikes: NDArray[np.bool_], wanted: NDArray[np.bool_],
    hops: NDArray[np.floating], rules: Rules = Rules(),
) -> Agents:  # fmt: skip
    """Return the agents one period later.

    Parameters
    ----------
    agents : Agents
    spikes : bool array, (samples, sources)
    wanted : bool array, (samples, neurons)
        When each neuron should fire: a teacher, or the spikes of those it wants to join.
    hops : array, (neurons, sources)
    rules : Rules

    Raises
    ------
    MosaicError
        If shapes do not fit.

    Examples
    --------
    >>> spikes = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], bool)
    >>> agents = newborn(1, 2)
    >>> for _ in range(8):
    ...     agents = grown(agents, spikes, spikes.all(1, keepdims=True), np.ones((1, 2)))
    >>> agents.fire(spikes).ravel().tolist()  # AND
    [False, False, False, True]
    """
    size = agents.synapses.shape
    if hops.shape != size or wanted.shape != (len(spikes), size[0]):
        raise MosaicError(
            f"hops has shape {hops.shape} and wanted {wanted.shape}; agents with synapses "
            f"{size} on {len(spikes)} samples need {size} and ({len(spikes)}, {size[0]})."
        )
    x, y = spikes.astype(np.float64), wanted.astype(np.float64)
    together = (y - y.mean(0)).T @ (x - x.mean(0)) / len(x)
    worth = together - rules.price * hops
    near = hops <= agents.reach[:, None]
    keep = agents.synapses & (worth >= rules.retract)
    want = np.where(keep | (near & (worth > rules.form)), worth, -np.inf)
    best = np.argsort(-want, axis=1, kind="stable")[:, : rules.synapses]
    synapses = np.zeros(size, np.bool_)
    np.put_along_axis(synapses, best, np.take_along_axis(want, best, 1) > -np.inf, axis=1)
    after = Agents(synapses, agents.reach, agents.threshold)
    error = after.fire(spikes).mean(0) - y.mean(0)
    reach = np.where(error < 0, np.minimum(agents.reach + 1, rules.reach), agents.reach)
    threshold = np.maximum(agents.threshold + rules.step * error, 0.0)
    return Agents(synapses, reach, threshold)

"""What a trigger sees of a batch through the spiking network of one expert."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from growth.initialise import slope_at_rest, traces
from growth.model import cell_spikes
from growth.when import Observation, products

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from growth.model import Expert

__all__ = ["observed"]


def observed(
    expert: Expert,
    spikes: Tensor,
    inputs: NDArray[np.floating],
    labels: NDArray[np.int64],
    criterion: Callable[[Tensor, Tensor], Tensor],
) -> Observation:
    """Run a batch through an expert, back to the currents, and note what each sample pulls.

    A weight acts on every sample alike, so a sample's gradient is a sum over steps of products
    of what a layer was given and of the derivative by its current. The matrix of GradMax is
    that of a layer of neurons at rest, whose source is the trace of the inputs::

        M_b = g0 sum over t of d_b[t] trace_b[t]'

    A label that the expert has no output for counts as one whose output is silent.

    Parameters
    ----------
    expert : Expert
        It may have no hidden neurons yet.
    spikes : (steps, samples, inputs)
    inputs : array, (samples, inputs)
        The intensities that the spikes stand for.
    labels : int64 array, (samples,)
    criterion : callable
        Mean loss from output spikes, (steps, samples, classes), and targets.

    Returns
    -------
    Observation

    References
    ----------
    Evci et al., "GradMax", ICLR 2022 (arXiv:2201.05125), for M.

    Examples
    --------
    >>> from growth.model import SpikingNet
    >>> expert = SpikingNet(2, leak=0.9).add_expert([3, 5])
    >>> right = lambda out, targets: out.sum(0).square().mean()
    >>> spikes = torch.ones(4, 2, 2)
    >>> seen = observed(expert, spikes, np.ones((2, 2)), np.array([3, 7]), right)
    >>> seen.losses.tolist(), seen.activity.shape
    ([0.0, 0.0], (2, 0))
    """
    classes = list(expert.classes)
    classes += sorted(set(labels.tolist()) - set(classes))
    targets = torch.tensor([classes.index(label) for label in labels.tolist()])
    with torch.no_grad():
        into_hidden = spikes @ expert.incoming.T
    into_hidden.requires_grad_()
    hidden = cell_spikes(expert.cell, into_hidden)
    outgoing = expert.into_out.detach()
    outgoing = functional.pad(outgoing, (0, 0, 0, len(classes) - len(outgoing)))
    probe = torch.zeros(*spikes.shape[:2], len(classes), requires_grad=True)
    fired = cell_spikes(expert.cell, hidden @ outgoing.T + probe)
    each = [criterion(fired[:, b : b + 1], targets[b : b + 1]) for b in range(len(targets))]
    losses = torch.stack(each)
    at_out, at_hidden = torch.autograd.grad(losses.sum(), [probe, into_hidden])
    trace = slope_at_rest(expert.cell) * traces(spikes, float(expert.cell.beta))
    training = _table(at_out, hidden.detach()) + _table(at_hidden, spikes, expert.mask)
    return Observation(
        np.asarray(inputs, np.float64),
        labels,
        losses.detach().double().numpy(),
        hidden.detach().mean(0).double().numpy(),
        _table(at_out, trace),
        training,
    )


def _table(
    errors: Tensor, given: Tensor, there: Tensor | None = None
) -> NDArray[np.float64]:
    """Inner products of the samples' gradients on a layer, (samples, samples)."""
    gradient = torch.einsum("tbo,tbi->boi", errors, given)
    if there is not None:
        gradient = gradient * there
    return products(gradient.flatten(1).double().numpy())

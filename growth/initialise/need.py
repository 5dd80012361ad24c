"""How new neurons start: GradMax for leaky integrate-and-fire neurons.

A neuron with incoming weights 0 stays at rest, so growing it changes nothing; what it could
learn first is the gradient on those weights. With delta[t] the derivative of the loss by the
input current of the next layer, and trace[t] = leak trace[t-1] + x[t] the filtered input::

    dL/dW_new = Omega^T M,      M = g0 sum over samples and t of delta[t] trace[t]^T

where Omega are the outgoing weights and g0 the slope of the surrogate gradient at rest. Under
the constraint Omega^T Omega = c^2 I (orthogonal columns of equal norm) the gradient norm is
largest for Omega = c [u_1 ... u_k], the left singular vectors of M, and is then
c sqrt(sigma_1^2 + ... + sigma_k^2).

Source: Evci et al., "GradMax", ICLR 2022 (arXiv:2201.05125), carried over to snnTorch's
``Leaky`` with delayed reset. The constraint is stated because the paper's own (a bound on the
Frobenius norm) would be met best by k copies of u_1.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from growth.initialise.rest import slope_at_rest, traces
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Callable

    from growth.model import Expert

__all__ = ["Need", "gradmax", "measure_need"]

SAME = 1e-4
"""Share of a course of errors, in 32 bits, below which two courses differ by rounding alone."""


@dataclass(frozen=True)
class Need:
    """What new neurons in front of an expert's outputs could contribute.

    Parameters
    ----------
    matrix : (classes, inputs)
        M, the gradient of the mean loss through a neuron at rest with outgoing weight 1.
    z : float
        How coherent the gradient is over samples, in standard deviations: the lower of two
        scores, against random signs of the samples' contributions (what cancels between
        samples scores near 0) and against random labels (label noise scores near 0, also where an
        expert that is sure of the right labels could learn to be less sure).
    loss : float
        Mean loss on the samples.
    toward : (inputs,)
        Mean trace of the inputs: along it a neuron has to be driven to fire at all.
    """

    matrix: Tensor
    z: float
    loss: float
    toward: Tensor

    @property
    def rank(self) -> int:
        """Numerical rank of the matrix: more new neurons at once share directions."""
        return int(torch.linalg.matrix_rank(self.matrix.double()))


def measure_need(
    expert: Expert,
    spikes: Tensor,
    targets: Tensor,
    criterion: Callable[[Tensor, Tensor], Tensor],
) -> Need:
    """Measure M and its coherence on some samples.

    Parameters
    ----------
    expert : Expert
    spikes : (steps, samples, inputs)
    targets : (samples,), indices into ``expert.classes``
    criterion : callable
        Mean loss from output spikes, (steps, samples, classes), and targets, as in training.

    Returns
    -------
    Need

    Raises
    ------
    MosaicError
        If the surrogate gradient vanishes at rest.

    Notes
    -----
    With M_b the contribution of sample b, ``S = |sum_b M_b|^2``. Under random signs S has
    mean ``sum_b |M_b|^2`` and variance ``2 sum over b != b' of <M_b, M_b'>^2``; z compares.
    Under random labels (as frequent as in `targets`) the same holds for the M_b less their
    mean over labels, with means over labels on the right.
    """
    g0, leak = slope_at_rest(expert.cell), float(expert.cell.beta)
    classes = len(expert.classes)
    with torch.no_grad():
        hidden = expert.hidden_spikes(spikes)

    def errors(labels: Tensor) -> tuple[Tensor, Tensor]:
        probe = torch.zeros(*spikes.shape[:2], classes, requires_grad=True)
        loss = criterion(expert.out_spikes(hidden, probe), labels)
        (delta,) = torch.autograd.grad(loss, probe)
        # sum of delta[t] trace[t] = sum of what filtering delta backwards gives, times spikes[t].
        return g0 * traces(delta.double().flip(0), leak).flip(0), loss.detach()

    delta, loss = errors(targets)
    if not bool(torch.isfinite(delta).all()):
        raise MosaicError(
            "The gradient is not finite; the loss has diverged. Use a smaller learning rate."
        )
    share = torch.bincount(targets, minlength=classes).double() / len(targets)
    every = torch.stack([errors(torch.full_like(targets, y))[0] for y in range(classes)])
    middle = torch.einsum("y,ytbo->tbo", share, every)
    together, mean = _product(delta, spikes).sum(0), _product(middle, spikes).sum(0)
    signs, labels = _scores(
        spikes, (together, delta[None], torch.ones(1).double()),
        (together - mean, every - middle, share),
    )  # fmt: skip
    after = traces(torch.ones_like(spikes[:, :1, :1]), leak).flip(0) / len(spikes)
    toward = (after * spikes.mean(1, keepdim=True)).sum((0, 1))
    return Need(together.to(spikes.dtype), min(signs, labels), float(loss), toward)


def _product(errors: Tensor, spikes: Tensor) -> Tensor:
    """What each sample contributes to M, (samples, outputs, inputs)."""
    given = errors.permute(1, 2, 0).to(spikes.dtype)
    return (given @ spikes.transpose(0, 1)).double()


def _scores(spikes: Tensor, *cases: tuple[Tensor, Tensor, Tensor]) -> list[float]:
    """Standard deviations of ``|together|^2`` above its mean if samples were independent.

    In a case ``together, parts, share`` sample b contributes the product of ``parts[y]``, (kinds,
    steps, samples, outputs), and its spikes with probability ``share[y]``; its mean over kinds
    is 0.
    """
    shared = _course(torch.cat([parts for _, parts, _ in cases]))
    if shared is not None:
        rows = _product(shared, spikes).transpose(0, 1)
        inner = rows @ rows.mT  # outputs, samples, samples
    found = []
    for together, parts, share in cases:
        alone, every, own = (
            _of_any(parts, spikes, share) if shared is None
            else _of_counts(_factors(parts, shared), inner, share)
        )  # fmt: skip
        spread = max(2 * (every - own), 0.0) ** 0.5
        # Of a single sample, say, there is nothing that could agree.
        still = spread <= 1e-9 * alone
        found.append(0.0 if still else (float(together.square().sum()) - alone) / spread)
    return found


def _course(parts: Tensor) -> Tensor | None:
    """Find what the errors of all kinds are multiples of, for each sample and output.

    Outputs do not hear each other. So for a loss of spike counts, what a count is to the loss is a
    factor of one course of errors, (steps, samples, outputs). None if the loss is another one.
    """
    largest = parts.square().sum(1).argmax(0)
    course = parts.gather(0, largest[None, None].expand(1, *parts.shape[1:]))[0]
    rest = parts - _factors(parts, course)[:, None] * course
    if bool((rest.square().sum(1) > SAME**2 * course.square().sum(0)).any()):
        return None
    return course


def _factors(parts: Tensor, course: Tensor) -> Tensor:
    """How much of a course the errors of each kind are, (kinds, samples, outputs)."""
    length = course.square().sum(0).clamp_min(1e-300)
    return torch.einsum("ytbo,tbo->ybo", parts, course) / length


def _of_counts(factor: Tensor, inner: Tensor, share: Tensor) -> tuple[float, float, float]:
    """Work out sums of squares for a loss of spike counts.

    With the factors c of a course e, ``G_o[b, b'] = <r_bo, r_b'o>`` of ``r_bo = sum over t of
    e x``, x spikes, and ``C_b = sum over y of share c c'``, the squared inner products of two
    samples add up over kinds to

        sum over o and o' of  C_b[o, o'] C_b'[o, o'] G_o[b, b'] G_o'[b, b']

    which takes as many times fewer products as there are pairs of kinds.

    Returns
    -------
    alone, every, own : float
        As `_of_any`.
    """
    alike = torch.einsum("y,ybo,ybp->bop", share, factor, factor)
    pairs = torch.zeros_like(inner[0])
    for o, p in itertools.combinations_with_replacement(range(len(inner)), 2):
        both = torch.outer(alike[:, o, p], alike[:, o, p]) * inner[o] * inner[p]
        pairs += both if o == p else 2 * both
    alone = torch.einsum("boo,obb->", alike, inner)
    return float(alone), float(pairs.sum()), float(pairs.diagonal().sum())


def _of_any(parts: Tensor, spikes: Tensor, share: Tensor) -> tuple[float, float, float]:
    """Work out sums of squares for any loss.

    Returns
    -------
    alone : float
        Mean of the squared length of what samples contribute, added up.
    every, own : float
        Squared inner products of all pairs of samples, and of samples with themselves, added up
        over kinds by their shares.
    """
    each = torch.stack([_product(part, spikes).flatten(1) for part in parts], 1)
    weighed = (each * share.sqrt()[:, None]).flatten(0, 1)
    shape = (*each.shape[:2], *each.shape[:2])
    pairs = (weighed @ weighed.T).square().reshape(shape).sum((1, 3))
    return float(weighed.square().sum()), float(pairs.sum()), float(pairs.diagonal().sum())


def gradmax(
    matrix: Tensor, neurons: int, norm: float, toward: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights of new neurons that maximise the gradient on their incoming side.

    Parameters
    ----------
    matrix : (post, pre)
        M, for example `Need.matrix`.
    neurons : int
        At most the rank of `matrix`.
    norm : float
        Norm c of each outgoing column.
    toward : (pre,), optional
        Mean input. The sign of a singular vector is free, and the gradient norm does not
        depend on it; but with the wrong sign descent pushes a neuron at rest away from its
        threshold, where it stays silent. With `toward`, signs are such that the first step
        of descent drives each neuron towards firing on the mean input.

    Returns
    -------
    incoming : (neurons, pre)
        All 0.
    outgoing : (post, neurons)
        c times the first left singular vectors.
    singular : (neurons,)
        The singular values; the gradient norm is ``c * sqrt(sum of their squares)``.

    Raises
    ------
    MosaicError
        If more neurons are asked for than the matrix has directions.

    Examples
    --------
    >>> _, outgoing, singular = gradmax(torch.diag(torch.tensor([3.0, 2.0])), 1, 0.5)
    >>> outgoing.abs().flatten().tolist(), singular.tolist()
    ([0.5, 0.0], [3.0])
    """
    if not bool(torch.isfinite(matrix).all()):
        raise MosaicError("The GradMax matrix is not finite; the loss has diverged.")
    rank = int(torch.linalg.matrix_rank(matrix.double()))
    if not 1 <= neurons <= rank:
        raise MosaicError(
            f"neurons is {neurons}; the GradMax matrix has rank {rank}, so it needs 1 to {rank}. "
            "Grow in several steps and measure again in between."
        )
    left, singular, right = torch.linalg.svd(matrix, full_matrices=False)
    outgoing = norm * left[:, :neurons]
    if toward is not None:
        # Descent moves incoming weights by -(Omega^T M), along minus the right vectors.
        outgoing = torch.where(right[:neurons] @ toward > 0, -outgoing, outgoing)
    incoming = torch.zeros(neurons, matrix.shape[1], dtype=matrix.dtype)
    return incoming, outgoing, singular[:neurons]

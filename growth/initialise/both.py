"""How new neurons start with both sides above 0: twins that cancel, or a loss that falls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from growth.initialise.layout import as_columns, as_rows, from_columns, rows_of
from growth.initialise.response import outgoing_gradient, respond
from growth.initialise.seeds import by_seeds
from growth.initialise.site import parts_of
from growth.initialise.starts import (
    check,
    column_norm,
    columns,
    need_generator,
    row_norm,
    unit_rows,
)
from growth.initialise.statistics import Statistics
from growth.initialise.widen import NewNeurons, widen
from mosaic_sim.errors import MosaicError

__all__ = ["by_firefly", "by_improving", "by_pairs", "by_variance_transfer"]


def by_pairs(
    found: Statistics, neurons: int, generator: torch.Generator | None = None,
    *, scale: float = 0.5, seeded: bool = True, rate: float = 0.1,
) -> NewNeurons:  # fmt: skip
    """Twins with the same incoming and opposite outgoing weights: (V, V) and (Z, -Z).

    Together they give 0, so nothing changes, but both sides have a gradient from the first step.
    A direction costs two neurons.

    Parameters
    ----------
    found : Statistics
    neurons : int
        An even number.
    generator : torch.Generator
    scale : float
        Length of Z (and of V, if it is drawn), in mean lengths of what is there.
    seeded : bool
        Take V from `by_seeds` instead of drawing it.
    rate : float
        Firing rate of seeded V.

    Returns
    -------
    NewNeurons

    Raises
    ------
    MosaicError
        If `neurons` is odd, or without a generator.

    Notes
    -----
    Source: Yuan, Savarese and Maire, "Accelerated training via incrementally growing neural
    networks using variance transfer and learning rate adaptation", NeurIPS 2023; seeds are ours.

    Examples
    --------
    >>> from growth.initialise import measure, sites_of
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> found = measure(net, sites_of(net)[0], lambda net: net(torch.eye(3)).square().mean())
    >>> new = by_pairs(found, 2, torch.Generator().manual_seed(0))
    >>> bool((new.outgoing[0].sum(1) == 0).all())
    True
    """
    half, rng = _half(neurons, scale, generator, "by_pairs")
    if seeded:
        rows = as_columns(by_seeds(found, half, rng, scale=scale, rate=rate).incoming)
    else:
        rows = unit_rows(_draw(found, half, rng, "rows")) * row_norm(found, scale)
    out = unit_rows(_draw(found, half, rng, "columns")).T * column_norm(found, scale)
    return _twins(found, rows, out, 1.0)


def by_variance_transfer(
    found: Statistics, neurons: int, generator: torch.Generator | None = None,
    *, scale: float = 1.0, rescale: str = "none",
) -> NewNeurons:  # fmt: skip
    """Random twins whose variances are those of a network of the new width.

    V has variance 1 / fan-in, Z 1 / fan-in of the grown target (its square in front of an
    output). With `rescale`, old weights of the targets shrink too, by ``sqrt(C / C')`` or, in
    front of an output, by ``C / C'``, where C is their fan-in before and C' after.

    Parameters
    ----------
    found : Statistics
    neurons : int
        An even number.
    generator : torch.Generator
    scale : float
        Factor of the standard deviations.
    rescale : str
        ``none``, ``hidden`` or ``output``. Rescaling multiplies the targets' output; for spiking
        targets that changes who fires, so it is off by default.

    Returns
    -------
    NewNeurons
        Function preserving without rescaling. A norm behind the targets keeps its running
        statistics: scale these yourself, or let them adapt.

    Raises
    ------
    MosaicError
        If `neurons` is odd, `rescale` is unknown, or without a generator.

    Notes
    -----
    Source: Yuan, Savarese and Maire, NeurIPS 2023. Their learning rates for each stage are
    `growth.initialise.adapt_rates`.

    Examples
    --------
    >>> from growth.initialise import measure, sites_of
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> found = measure(net, sites_of(net)[0], lambda net: net(torch.eye(3)).square().mean())
    >>> rng = torch.Generator().manual_seed(0)
    >>> by_variance_transfer(found, 12, rng, rescale="hidden").rescale
    0.5
    """
    half, rng = _half(neurons, scale, generator, "by_variance_transfer")
    powers = {"none": 0.0, "hidden": 0.5, "output": 1.0}
    if rescale not in powers:
        raise MosaicError(
            f"rescale is {rescale!r}; it has to be one of {', '.join(powers)}."
        )
    width = found.parts.width
    grown = (width + neurons) / max(width, 1)
    fan_in = max(m.weight[0].numel() for m in found.parts.targets.values()) * grown
    rows = _draw(found, half, rng, "rows")
    rows = rows * scale / rows.shape[1] ** 0.5
    out = _draw(found, half, rng, "columns").T * scale
    out = out / (fan_in if rescale == "output" else fan_in**0.5)
    return _twins(found, rows, out, grown ** -powers[rescale])


def by_improving(
    found: Statistics, neurons: int, generator: torch.Generator | None = None,
    *, scale: float = 0.5, rate: float = 0.1, halvings: int = 8, doublings: int = 4,
) -> NewNeurons:  # fmt: skip
    """Seeded incoming weights, and outgoing ones down the gradient as far as the loss falls.

    ``Omega = -s c G / |G|_F`` with the exact gradient G on outgoing weights 0. The loss itself is
    measured for every s of a ladder of factors 2, and the best is taken, 0 if none improves.

    Parameters
    ----------
    found : Statistics
    neurons : int
    generator : torch.Generator, optional
        Not used.
    scale : float
        s c at the middle of the ladder, in mean lengths of old outgoing weights.
    rate : float
        Firing rate, as for `by_seeds`.
    halvings, doublings : int
        Steps of the ladder down and up.

    Returns
    -------
    NewNeurons
        Not function preserving: in continual learning, use it only where a gate keeps old data
        away. ``evidence`` holds the loss before and after.

    Raises
    ------
    MosaicError
        As `by_seeds`.

    Notes
    -----
    In the manner of Verbockhaven et al., "Growing tiny networks" (TINY), arXiv:2405.19816, with
    right singular vectors of M for the incoming side.

    Examples
    --------
    >>> from growth.initialise import measure, sites_of
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> found = measure(net, sites_of(net)[0], lambda net: net(torch.eye(3)).square().mean())
    >>> new = by_improving(found, 2)
    >>> new.evidence["loss_after"] < new.evidence["loss_before"]
    True
    """
    incoming = by_seeds(found, neurons, generator, scale=scale, rate=rate).incoming
    with torch.no_grad():
        response = respond(found, incoming)
    gradient = outgoing_gradient(found, response, neurons)
    size = float(gradient.norm())
    if not size:
        raise MosaicError(
            "The gradient on outgoing weights is 0; there is nothing to improve."
        )
    step = -gradient / size * column_norm(found, scale) * neurons**0.5
    trial = _Trial(found, incoming, columns(found, step))
    before = trial.loss(0.0)
    losses = {0.0: before} | {
        2.0**power: trial.loss(2.0**power) for power in range(-halvings, doublings + 1)
    }
    best = min(losses, key=lambda factor: losses[factor])
    evidence = {
        "gradient": size, "factor": best, "loss_before": before, "loss_after": losses[best],
    }  # fmt: skip
    return NewNeurons(incoming, columns(found, best * step), False, evidence)


def by_firefly(
    found: Statistics, neurons: int, generator: torch.Generator | None = None,
    *, scale: float = 0.5, epsilon: float = 0.1, steps: int = 100, step: float = 0.1,
) -> NewNeurons:  # fmt: skip
    """Both sides small, random and then trained by themselves on the loss, lengths held.

    Adam on the new weights only; after each step every neuron's incoming and outgoing weights
    are brought back to their length. The best step is taken.

    Parameters
    ----------
    found : Statistics
    neurons : int
    generator : torch.Generator
    scale : float
        Mean lengths of what is there...
    epsilon : float
        ...times this is the length of both sides. It has to be above 0: with 0, as in the
        configurations released with GradMax, both gradients stay 0 and nothing happens.
    steps : int
        Each runs all losses once, forth and back.
    step : float
        Adam's learning rate, in lengths.

    Returns
    -------
    NewNeurons
        Not function preserving. ``evidence`` holds the loss before growth, with the random
        start, and after.

    Raises
    ------
    MosaicError
        If `epsilon` is not above 0, or without a generator.

    Notes
    -----
    Source: Wu et al., "Firefly neural architecture descent", NeurIPS 2020, arXiv:2102.08574, as
    cut down in GradMax's code (no splitting, no choice among candidates).

    Examples
    --------
    >>> from growth.initialise import measure, sites_of
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> found = measure(net, sites_of(net)[0], lambda net: net(torch.eye(3)).square().mean())
    >>> new = by_firefly(found, 2, torch.Generator().manual_seed(0), steps=20)
    >>> new.evidence["loss_after"] < new.evidence["loss_at_start"]
    True
    """
    check(neurons, scale)
    rng = need_generator(generator, "by_firefly")
    if not 0 < epsilon < float("inf"):
        raise MosaicError(
            f"epsilon is {epsilon}; it has to be above 0, or neither side gets a gradient."
        )
    into, out = epsilon * row_norm(found, scale), epsilon * column_norm(found, scale)
    rows = unit_rows(_draw(found, neurons, rng, "rows")) * into
    cols = unit_rows(_draw(found, neurons, rng, "columns")) * out
    sources = tuple(found.parts.sources.values())
    trial = _Trial(found, from_columns(rows, sources), columns(found, cols.T.contiguous()))
    # One optimiser for each side, since their lengths differ.
    adams = [torch.optim.Adam([rows], step * into), torch.optim.Adam([cols], step * out)]
    before, first, lowest, best = (
        trial.loss(0.0),
        0.0,
        float("inf"),
        (rows.clone(), cols.clone()),
    )
    for done in range(steps + 1):
        trial.put(from_columns(rows, sources), columns(found, cols.T.contiguous()))
        loss, rows.grad, columns_grad = trial.gradients()
        cols.grad = columns_grad.T.contiguous()
        first = loss if done == 0 else first
        if loss < lowest:
            lowest, best = loss, (rows.clone(), cols.clone())
        if done < steps:
            for adam in adams:
                adam.step()
            rows.copy_(unit_rows(rows) * into)
            cols.copy_(unit_rows(cols) * out)
    evidence = {"loss_before": before, "loss_at_start": first, "loss_after": lowest}
    return NewNeurons(
        from_columns(best[0], sources),
        columns(found, best[1].T.contiguous()),
        False,
        evidence,
    )


class _Trial:
    """A grown copy whose new weights can be set, to see what the losses say."""

    def __init__(
        self, found: Statistics, incoming: tuple[Tensor, ...], outgoing: tuple[Tensor, ...]
    ) -> None:
        self.found, self.outgoing, self.count = found, outgoing, len(incoming[0])
        new = NewNeurons(incoming, outgoing, False, {})
        self.model, _ = widen(found.model, found.site, new, keep_function=False)
        self.parts = parts_of(self.model, found.site)

    def _new(self, weights: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Views on the new part of (gradients of) the weights of sources, then of targets."""
        old = self.found.parts
        sources, targets = list(old.sources.values()), list(old.targets.values())
        rows = [
            w[m.weight.shape[0] :, : m.weight.shape[1]]
            for w, m in zip(weights[: len(sources)], sources, strict=True)
        ]
        cols = [
            w[: m.weight.shape[0], m.weight.shape[1] :]
            for w, m in zip(weights[len(sources) :], targets, strict=True)
        ]
        return rows, cols

    def _weights(self) -> list[Tensor]:
        modules: Iterator[Any] = iter(
            (*self.parts.sources.values(), *self.parts.targets.values())
        )
        return [module.weight for module in modules]

    def put(self, incoming: tuple[Tensor, ...], outgoing: tuple[Tensor, ...]) -> None:
        """Set the new weights."""
        rows, cols = self._new([weight.detach() for weight in self._weights()])
        for there, new in zip((*rows, *cols), (*incoming, *outgoing), strict=True):
            there.copy_(new)

    def loss(self, factor: float) -> float:
        """Mean loss with the outgoing weights times a factor."""
        _, cols = self._new([weight.detach() for weight in self._weights()])
        for there, new in zip(cols, self.outgoing, strict=True):
            there.copy_(factor * new)
        with torch.no_grad():
            return self._mean()[1]

    def _mean(self) -> tuple[Tensor, float]:
        total = torch.stack([loss(self.model) for loss in self.found.losses]).mean()
        return total, float(total.detach())

    def gradients(self) -> tuple[float, Tensor, Tensor]:
        """Loss, and its gradient by new rows (k, columns of M) and columns (rows of M, k)."""
        weights = self._weights()
        for weight in weights:
            weight.requires_grad_(True)
        total, loss = self._mean()
        rows, cols = self._new(list(torch.autograd.grad(total, weights)))
        return loss, as_columns(rows), as_rows(cols, self.count)


def _half(
    neurons: int, scale: float, generator: torch.Generator | None, name: str
) -> tuple[int, torch.Generator]:
    check(neurons, scale)
    if neurons % 2:
        raise MosaicError(f"neurons is {neurons}; {name} adds twins, so it has to be even.")
    return neurons // 2, need_generator(generator, name)


def _draw(found: Statistics, count: int, rng: torch.Generator, side: str) -> Tensor:
    """Draw normal numbers, (count, columns or rows of M)."""
    like = next(iter(found.parts.sources.values())).weight
    if side == "rows":
        size = as_columns(m.weight for m in found.parts.sources.values()).shape[1]
    else:
        size = sum(rows_of(m, found.parts.width) for m in found.parts.targets.values())
    return torch.randn(count, size, generator=rng, dtype=torch.float64).to(like).detach()


def _twins(found: Statistics, rows: Tensor, out: Tensor, rescale: float) -> NewNeurons:
    """(V, V) and (Z, -Z), and the gradients on both sides."""
    sources: tuple[nn.Module, ...] = tuple(found.parts.sources.values())
    return NewNeurons(
        from_columns(torch.cat([rows, rows]), sources),
        columns(found, torch.cat([out, -out], dim=1)),
        rescale == 1, {"pairs": float(len(rows))}, rescale,
    )  # fmt: skip

"""How new neurons start with outgoing weights 0, and incoming ones that are worth something.

They fire from the first step of training, and the gradient on their outgoing weights is exact,
whatever the slopes: of directions (`by_seeds`) or of an ascent (`by_inverse`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from growth.initialise.layout import as_columns, from_columns
from growth.initialise.response import outgoing_gradient, respond
from growth.initialise.starts import (
    check,
    check_rate,
    need_generator,
    no_columns,
    row_norm,
    silent,
    unit_rows,
)
from growth.initialise.statistics import Statistics, rank_of
from growth.initialise.widen import NewNeurons
from mosaic_sim.errors import MosaicError

__all__ = ["by_inverse", "by_seeds"]


def by_seeds(
    found: Statistics, neurons: int, generator: torch.Generator | None = None,
    *, scale: float = 0.5, rate: float = 0.1, pool: int = 32,
) -> NewNeurons:  # fmt: skip
    """Outgoing 0; incoming weights along right singular vectors, at a firing rate.

    Candidates are the first right singular vectors of M, with both signs. The gain of each is
    found by bisection, so that it spikes in a share `rate` of all steps and samples (in front of
    activations, its length is `scale` mean lengths). Those with the largest gradient on their
    outgoing weights are taken. They spike from the first step of training, and the gradient is
    exact, whatever the surrogate.

    Parameters
    ----------
    found : Statistics
    neurons : int
    generator : torch.Generator, optional
        Not used.
    scale : float
        Length of the incoming weights in front of activations. Not used for spiking neurons.
    rate : float
        Share of (step, sample) in which a neuron spikes.
    pool : int
        Singular vectors to try.

    Returns
    -------
    NewNeurons
        ``evidence`` holds the norm of the gradient on the outgoing weights, and the rates.

    Raises
    ------
    MosaicError
        If too few directions can be made to fire, or behind a GroupNorm.

    Examples
    --------
    >>> from growth.initialise import measure, sites_of
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> found = measure(net, sites_of(net)[0], lambda net: net(torch.eye(3)).square().mean())
    >>> by_seeds(found, 2).incoming[0].shape
    torch.Size([2, 3])
    """
    check(neurons, scale)
    check_rate(rate)
    rows, response, rates = seeds(found, scale, rate, pool)
    if len(rows) < neurons:
        raise MosaicError(
            f"neurons is {neurons}; only {len(rows)} directions can be made to fire here. Ask for "
            "at most as many, or for a larger pool."
        )
    gradient = outgoing_gradient(found, response, len(rows))
    best = gradient.norm(dim=0).argsort(descending=True)[:neurons]
    evidence = {
        "gradient": float(gradient[:, best].norm()),
        "lowest_rate": float(rates[best].min()), "highest_rate": float(rates[best].max()),
    }  # fmt: skip
    incoming = from_columns(rows[best], tuple(found.parts.sources.values()))
    return NewNeurons(incoming, no_columns(found, neurons), True, evidence)


def by_inverse(
    found: Statistics, neurons: int, generator: torch.Generator | None = None,
    *, scale: float = 0.5, rate: float = 0.1, steps: int = 100, step: float = 0.5,
) -> NewNeurons:  # fmt: skip
    """Outgoing 0; incoming weights with the largest gradient on the outgoing ones, by ascent.

    ``max |dL/dOmega|_F`` over rows of one length, by steps along the gradient with a projection
    back to that length after each. There is no closed form. It runs the new neurons alone, not
    the network. No slope at rest is needed, and no norm divides a silent channel. Each neuron
    climbs by itself, so two may end at the same place.

    Parameters
    ----------
    found : Statistics
    neurons : int
    generator : torch.Generator
        For the start.
    scale : float
        Length of the incoming weights in front of activations, in mean lengths of old ones.
    rate : float
        Rate at which spiking neurons fire when the ascent begins; it sets their lengths. The
        ascent does not hold it.
    steps : int
        Of ascent.
    step : float
        First step, in lengths; the last is 0, and those between lie on a line.

    Returns
    -------
    NewNeurons
        ``evidence`` holds the norm of the gradient at the start and at the best step.

    Raises
    ------
    MosaicError
        Without a generator; or if neurons never fire.

    Notes
    -----
    Source: GradMaxOpt of Evci et al., arXiv:2201.05125, for outgoing weights 0. It uses Adam; but
    Adam with a projection comes to rest where a row is along the *signs* of its gradient, which
    is not the maximum.

    Examples
    --------
    >>> from growth.initialise import measure, sites_of
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> found = measure(net, sites_of(net)[0], lambda net: net(torch.eye(3)).square().mean())
    >>> new = by_inverse(found, 2, torch.Generator().manual_seed(0), steps=5)
    >>> new.evidence["gradient"] >= new.evidence["gradient_at_start"]
    True
    """
    check(neurons, scale)
    check_rate(rate)
    rng = need_generator(generator, "by_inverse")
    sources = tuple(found.parts.sources.values())
    size = as_columns(m.weight for m in sources).shape[1]
    start = torch.randn(4 * neurons, size, generator=rng, dtype=torch.float64)
    rows = fire_at(found, start.to(sources[0].weight).detach(), scale, rate)[0][:neurons]
    if len(rows) < neurons:
        raise silent(neurons - len(rows), neurons)
    norm = rows.norm(dim=1, keepdim=True)
    best, value, first = rows, -1.0, 0.0
    for done in range(steps + 1):
        rows.requires_grad_(True)
        response = respond(found, from_columns(rows, sources))
        gradient = outgoing_gradient(found, response, neurons, graph=True)
        if float(gradient.detach().norm()) > value:
            best, value = rows.detach(), float(gradient.detach().norm())
        first = value if done == 0 else first
        if done == steps:
            break
        (up,) = torch.autograd.grad(gradient.square().sum(), rows)
        far = step * (1 - done / steps)
        rows = norm * unit_rows(unit_rows(rows.detach()) + far * unit_rows(up))
    evidence = {"gradient": value, "gradient_at_start": first}
    return NewNeurons(
        from_columns(best, sources), no_columns(found, neurons), True, evidence
    )


def seeds(
    found: Statistics, scale: float, rate: float, pool: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Seed directions: rows (m, columns), their response, and their rates."""
    if any(isinstance(module, nn.GroupNorm) for module in found.parts.between.values()):
        raise MosaicError(
            "Neurons of one GroupNorm depend on each other, so no seed can be judged alone. Use "
            "by_inverse."
        )
    matrix = found.directions
    _, _, right = torch.linalg.svd(matrix, full_matrices=False)
    right = right[: min(rank_of(matrix), pool)]
    return fire_at(found, torch.cat([right, -right]), scale, rate)


def fire_at(
    found: Statistics, rows: Tensor, scale: float, rate: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Bring directions to a length at which they fire at a rate; leave out those that never do.

    In front of activations the length is `scale` mean lengths of old rows instead.
    """
    sources = tuple(found.parts.sources.values())

    def run(rows: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            response = respond(found, from_columns(rows, sources))
        each = (
            response
            if response.shape[2] == len(rows)
            else response.unflatten(2, (len(rows), -1))
        )
        return response, (each != 0).double().movedim(2, 0).flatten(1).mean(1)

    if not found.parts.cells:
        rows = unit_rows(rows) * row_norm(found, scale)
        return _kept(rows, *run(rows))
    low, high = torch.zeros(len(rows)).to(rows), torch.ones(len(rows)).to(rows)
    for _ in range(24):  # a gain that fires too much, if there is one
        few = run(rows * high[:, None])[1] < rate
        if not bool(few.any()):
            break
        low, high = torch.where(few, high, low), torch.where(few, 2 * high, high)
    for _ in range(16):
        middle = (low + high) / 2
        few = run(rows * middle[:, None])[1] < rate
        low, high = torch.where(few, middle, low), torch.where(few, high, middle)
    rows = rows * high[:, None]
    return _kept(rows, *run(rows))


def _kept(rows: Tensor, response: Tensor, rates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Leave out what never fires."""
    live = rates > 0
    places = response.shape[2] // len(rows)
    return rows[live], response[:, :, live.repeat_interleave(places)], rates[live]

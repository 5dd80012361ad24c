"""How new neurons start, with one side at 0: they change nothing, and learn on that side first.

Each function takes what `growth.initialise.measure` found, a number of neurons and a generator,
and returns `NewNeurons`. `scale` is the length of what is not 0, in mean lengths of what is
there: of all outgoing weights of a neuron together, or of all its incoming ones.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from growth.initialise.layout import as_columns, as_rows, from_columns, from_rows
from growth.initialise.need import gradmax
from growth.initialise.response import outgoing_gradient, respond
from growth.initialise.statistics import Statistics, rank_of
from growth.initialise.widen import NewNeurons
from mosaic_sim.errors import MosaicError

__all__ = ["by_gaussian", "by_gradmax", "by_inverse", "by_seeds", "by_uniform"]


def by_gradmax(
    found: Statistics, neurons: int, generator: torch.Generator | None = None,
    *, scale: float = 0.5,
) -> NewNeurons:  # fmt: skip
    """Incoming 0; outgoing weights with the largest gradient on the incoming ones.

    ``max |Omega^T M|_F`` subject to ``Omega^T Omega = c^2 I``: orthogonal columns of one length
    c. The solution is c times the first left singular vectors of M. Signs are such that descent
    drives each neuron towards firing on the mean input.

    Parameters
    ----------
    found : Statistics
    neurons : int
        At most the rank of M.
    generator : torch.Generator, optional
        Not used.
    scale : float
        Length c in mean lengths of the outgoing weights of old neurons.

    Returns
    -------
    NewNeurons
        ``evidence["gradient"]`` is the norm of the gradient on the incoming weights.

    Raises
    ------
    MosaicError
        If more neurons are asked for than M has directions, or if neurons at rest would not
        learn: a dead ReLU, a vanishing surrogate, a norm of a silent channel.

    Notes
    -----
    Source: Evci et al., "GradMax", ICLR 2022, arXiv:2201.05125. Its stated constraint, on
    ``|Omega|_F`` alone, would be met best by k copies of the first vector; its code does this.

    Examples
    --------
    >>> from growth.initialise import measure, sites_of
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> found = measure(net, sites_of(net)[0], lambda net: net(torch.eye(3)).square().mean())
    >>> by_gradmax(found, 2).outgoing[0].shape
    torch.Size([2, 2])
    """
    check(neurons, scale)
    matrix = found.matrix
    rank = rank_of(matrix)
    if neurons > rank:
        raise MosaicError(
            f"neurons is {neurons}; M has rank {rank} here, so by_gradmax gives 1 to {rank} "
            "that differ. Grow in several steps and measure again in between."
        )
    norm = column_norm(found, scale)
    _, outgoing, singular = gradmax(matrix, neurons, norm, found.mean_input)
    evidence = {"gradient": norm * float(singular.square().sum().sqrt())}
    return NewNeurons(no_rows(found, neurons), columns(found, outgoing), True, evidence)


def by_gaussian(
    found: Statistics, neurons: int, generator: torch.Generator | None = None,
    *, scale: float = 0.5, zero: str = "incoming",
) -> NewNeurons:  # fmt: skip
    """One side 0, the other Gaussian with columns (or rows) of one length: the fair baseline.

    Parameters
    ----------
    found : Statistics
    neurons : int
    generator : torch.Generator
    scale : float
        Length in mean lengths of what is there.
    zero : str
        ``incoming`` or ``outgoing``: the side that starts at 0 and learns first.

    Returns
    -------
    NewNeurons

    Raises
    ------
    MosaicError
        Without a generator; or if neurons with incoming weights 0 would not learn here.

    Examples
    --------
    >>> from growth.initialise import measure, sites_of
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> found = measure(net, sites_of(net)[0], lambda net: net(torch.eye(3)).square().mean())
    >>> by_gaussian(found, 2, torch.Generator().manual_seed(0), zero="outgoing").outgoing[0]
    tensor([[0., 0.],
            [0., 0.]])
    """

    def draw(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    return _one_side(found, neurons, generator, scale, zero, draw)


def by_uniform(
    found: Statistics, neurons: int, generator: torch.Generator | None = None,
    *, scale: float = 0.5, zero: str = "incoming",
) -> NewNeurons:  # fmt: skip
    """As `by_gaussian`, with values drawn from [0, 1) before they are normalised.

    This is the "Random" of GradMax's released code (growneuron, ``layers.py``). All weights are
    positive, so its columns are nearly one another: a weak baseline.

    Examples
    --------
    >>> from growth.initialise import measure, sites_of
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> found = measure(net, sites_of(net)[0], lambda net: net(torch.eye(3)).square().mean())
    >>> new = by_uniform(found, 2, torch.Generator().manual_seed(0))
    >>> bool((new.outgoing[0] >= 0).all())
    True
    """

    def draw(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
        return torch.rand(shape, generator=rng, dtype=torch.float64)

    return _one_side(found, neurons, generator, scale, zero, draw)


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
        If too few directions can be made to fire.

    Examples
    --------
    >>> from growth.initialise import measure, sites_of
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> found = measure(net, sites_of(net)[0], lambda net: net(torch.eye(3)).square().mean())
    >>> by_seeds(found, 2).incoming[0].shape
    torch.Size([2, 3])
    """
    check(neurons, scale)
    if not 0 < rate < 1:
        raise MosaicError(f"rate is {rate}; it has to lie between 0 and 1.")
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
    *, scale: float = 0.5, steps: int = 100, rate: float = 0.5,
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
        Length of the incoming weights, in mean lengths of those of old neurons.
    steps : int
        Of ascent.
    rate : float
        First step, in lengths; the last is 0, and those between lie on a line.

    Returns
    -------
    NewNeurons
        ``evidence`` holds the norm of the gradient at the start and at the best step.

    Raises
    ------
    MosaicError
        Without a generator.

    Notes
    -----
    Source: GradMaxOpt of Evci et al., arXiv:2201.05125, for outgoing weights 0. It uses Adam; but
    Adam with a projection comes to rest where a row is along the *signs* of its gradient, which
    is not the maximum.

    Examples
    --------
    >>> from growth.initialise import measure, sites_of
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> found = measure(net, sites_of(net)[0], lambda net: net(torch.eye(3)).square().mean())
    >>> new = by_inverse(found, 2, torch.Generator().manual_seed(0), steps=5)
    >>> new.evidence["gradient"] >= new.evidence["gradient_at_start"]
    True
    """
    check(neurons, scale)
    rng = need_generator(generator, "by_inverse")
    sources = tuple(found.parts.sources.values())
    norm = row_norm(found, scale)
    size = as_columns(m.weight for m in sources).shape[1]
    start = torch.randn(neurons, size, generator=rng, dtype=torch.float64)
    rows = norm * unit_rows(start.to(sources[0].weight)).detach()
    best, value, first = rows, -1.0, 0.0
    for step in range(steps + 1):
        rows.requires_grad_(True)
        response = respond(found, from_columns(rows, sources))
        gradient = outgoing_gradient(found, response, neurons, graph=True)
        if float(gradient.detach().norm()) > value:
            best, value = rows.detach(), float(gradient.detach().norm())
        first = value if step == 0 else first
        if step == steps or not gradient.requires_grad:
            break
        (up,) = torch.autograd.grad(gradient.square().sum(), rows)
        far = rate * (1 - step / steps)
        rows = norm * unit_rows(unit_rows(rows.detach()) + far * unit_rows(up))
    evidence = {"gradient": value, "gradient_at_start": first}
    return NewNeurons(
        from_columns(best, sources), no_columns(found, neurons), True, evidence
    )


def seeds(
    found: Statistics, scale: float, rate: float, pool: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Directions that fire: rows (m, columns), their response, and their rates."""
    matrix = found.directions
    _, _, right = torch.linalg.svd(matrix, full_matrices=False)
    right = right[: min(rank_of(matrix), pool)]
    rows = torch.cat([right, -right])
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
        rows = rows * row_norm(found, scale)
        response, rates = run(rows)
        return _kept(rows, response, rates)
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
    response, rates = run(rows)
    return _kept(rows, response, rates)


def _kept(rows: Tensor, response: Tensor, rates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Leave out what never fires."""
    live = rates > 0
    places = response.shape[2] // len(rows)
    return rows[live], response[:, :, live.repeat_interleave(places)], rates[live]


Draw = Callable[[tuple[int, int], torch.Generator], Tensor]


def _one_side(
    found: Statistics, neurons: int, generator: torch.Generator | None, scale: float, zero: str,
    draw: Draw,
) -> NewNeurons:  # fmt: skip
    """Draw one side, normalise, and measure the gradient on the other."""
    check(neurons, scale)
    rng = need_generator(generator, "A random start")
    sources, targets = found.parts.sources.values(), found.parts.targets.values()
    if zero == "incoming":
        matrix = found.matrix
        outgoing = unit_rows(draw((neurons, len(matrix)), rng)).T.to(matrix)
        outgoing = outgoing * column_norm(found, scale)
        evidence = {"gradient": float((outgoing.T @ matrix).norm())}
        return NewNeurons(no_rows(found, neurons), columns(found, outgoing), True, evidence)
    if zero != "outgoing":
        raise MosaicError(f"zero is {zero!r}; it has to be 'incoming' or 'outgoing'.")
    like = next(iter(targets)).weight
    size = as_columns(module.weight for module in sources).shape[1]
    rows = (unit_rows(draw((neurons, size), rng)) * row_norm(found, scale)).to(like)
    incoming = from_columns(rows, tuple(sources))
    evidence = {}
    if not any(isinstance(module, nn.LayerNorm) for module in found.parts.between.values()):
        with torch.no_grad():
            response = respond(found, incoming)
        evidence["gradient"] = float(outgoing_gradient(found, response, neurons).norm())
    return NewNeurons(incoming, no_columns(found, neurons), True, evidence)


def check(neurons: int, scale: float) -> None:
    """Refuse a number of neurons or a scale that makes no sense."""
    if not isinstance(neurons, int) or neurons < 1:
        raise MosaicError(f"neurons is {neurons!r}; it has to be a whole number from 1.")
    if not 0 < scale < float("inf"):
        raise MosaicError(f"scale is {scale}; it has to be above 0 and finite.")


def need_generator(generator: torch.Generator | None, name: str) -> torch.Generator:
    """Refuse to draw without a generator."""
    if generator is None:
        raise MosaicError(
            f"{name} needs a generator, such as torch.Generator().manual_seed(0)."
        )
    return generator


def unit_rows(rows: Tensor) -> Tensor:
    """Rows of length 1."""
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)


def column_norm(found: Statistics, scale: float) -> float:
    """`scale` times the mean length of old neurons' outgoing weights; `scale` if there are none."""
    there = as_rows(
        [m.weight.detach() for m in found.parts.targets.values()], found.parts.width
    )
    mean = float(there.norm(dim=0).mean()) if there.numel() else 0.0
    return scale * (mean or 1.0)


def row_norm(found: Statistics, scale: float) -> float:
    """`scale` times the mean length of old neurons' incoming weights; `scale` if there are none."""
    there = as_columns(m.weight.detach() for m in found.parts.sources.values())
    mean = float(there.norm(dim=1).mean()) if there.numel() else 0.0
    return scale * (mean or 1.0)


def columns(found: Statistics, matrix: Tensor) -> tuple[Tensor, ...]:
    """Outgoing weights for each target, from (rows of M, k)."""
    return from_rows(matrix, tuple(found.parts.targets.values()), found.parts.width)


def no_rows(found: Statistics, neurons: int) -> tuple[Tensor, ...]:
    """Incoming weights 0."""
    return tuple(
        module.weight.new_zeros(neurons, *module.weight.shape[1:])
        for module in found.parts.sources.values()
    )


def no_columns(found: Statistics, neurons: int) -> tuple[Tensor, ...]:
    """Outgoing weights 0."""
    rows = sum(
        module.weight.numel() // max(found.parts.width, 1)
        for module in found.parts.targets.values()
    )
    like = next(iter(found.parts.targets.values())).weight
    return columns(found, like.new_zeros(rows, neurons))

"""How new neurons start, with one side at 0: they change nothing, and learn on that side first.

Each function takes what `growth.initialise.measure` found, a number of neurons and a generator,
and returns `NewNeurons`. `scale` is the length of what is not 0, in mean lengths of what is
there: of all outgoing weights of a neuron together, or of all its incoming ones.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from growth.initialise.layout import as_columns, as_rows, from_columns, from_rows, rows_of
from growth.initialise.need import gradmax
from growth.initialise.response import outgoing_gradient, respond
from growth.initialise.statistics import Statistics, rank_of
from growth.initialise.widen import NewNeurons
from mosaic_sim.errors import MosaicError

__all__ = ["by_gaussian", "by_gradmax", "by_uniform"]


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
    >>> _ = torch.manual_seed(0)
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
        Without a generator; or if the new neurons would not learn: with incoming weights 0 for
        want of a slope at rest, with outgoing weights 0 because they never fire.

    Examples
    --------
    >>> from growth.initialise import measure, sites_of
    >>> _ = torch.manual_seed(0)
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
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> found = measure(net, sites_of(net)[0], lambda net: net(torch.eye(3)).square().mean())
    >>> new = by_uniform(found, 2, torch.Generator().manual_seed(0))
    >>> bool((new.outgoing[0] >= 0).all())
    True
    """

    def draw(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
        return torch.rand(shape, generator=rng, dtype=torch.float64)

    return _one_side(found, neurons, generator, scale, zero, draw)


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
        gradient = outgoing_gradient(found, response, neurons)
        dead = int((gradient.norm(dim=0) == 0).sum())
        if dead:
            raise silent(dead, neurons)
        evidence["gradient"] = float(gradient.norm())
    return NewNeurons(incoming, no_columns(found, neurons), True, evidence)


def check(neurons: int, scale: float) -> None:
    """Refuse a number of neurons or a scale that makes no sense."""
    if not isinstance(neurons, int) or neurons < 1:
        raise MosaicError(f"neurons is {neurons!r}; it has to be a whole number from 1.")
    if not 0 < scale < float("inf"):
        raise MosaicError(f"scale is {scale}; it has to be above 0 and finite.")


def check_rate(rate: float) -> None:
    """Refuse a firing rate that is none."""
    if not 0 < rate < 1:
        raise MosaicError(f"rate is {rate}; it has to lie between 0 and 1.")


def silent(dead: int, neurons: int) -> MosaicError:
    """Explain that neurons would get a gradient on neither side."""
    return MosaicError(
        f"{dead} of {neurons} new neurons never fire on these samples; with outgoing weights 0, "
        "they would have no gradient on either side. Use by_seeds, or a larger scale."
    )


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
    rows = sum(rows_of(m, found.parts.width) for m in found.parts.targets.values())
    like = next(iter(found.parts.targets.values())).weight
    return columns(found, like.new_zeros(rows, neurons))

"""ResNet-18's parameters in closed form, and where a thesis must have cut it.

The thesis names its splits by millions of parameters, "3-3.5-4.8", and not by layers. Parameters
stand in whole layers, so few pairs of cuts come near each name.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

__all__ = ["Split", "head", "nearest", "parts", "splits"]

STAGES = (64, 128, 256, 512)
"""Filters of the four stages of two blocks each; every stage but the first starts with stride 2."""


class Split(NamedTuple):
    """The layers cut at two places.

    Parameters
    ----------
    frozen_to, common_to : str
        Last part of the first and of the second tier; the rest is the tasks' own.
    sizes : tuple of int
        Parameters of the three tiers, without the outputs.
    """

    frozen_to: str
    common_to: str
    sizes: tuple[int, int, int]


def parts() -> dict[str, int]:
    """Parameters of each convolution with its batch norm, in forward order, without the outputs.

    The convolution that widens a shortcut belongs to the second one of its block. A convolution of
    `f` filters of `k` x `k` pixels over `p` planes has `f p k^2` weights and no bias, its batch
    norm 2 `f` parameters.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016, table 1.

    Examples
    --------
    >>> sum(parts().values())
    11176512
    """
    found = {"conv1": convolution(3, STAGES[0], 7)}
    planes = STAGES[0]
    for stage, filters in enumerate(STAGES, 1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            found[f"{name}.conv1"] = convolution(planes, filters, 3)
            found[f"{name}.conv2"] = convolution(filters, filters, 3)
            if planes != filters:
                found[f"{name}.conv2"] += convolution(planes, filters, 1)
            planes = filters
    return found


def convolution(planes: int, filters: int, kernel: int) -> int:
    """Parameters of a convolution without biases, and of its batch norm."""
    return filters * (planes * kernel**2 + 2)


def head(classes: int) -> int:
    """Parameters of the outputs.

    Examples
    --------
    >>> sum(parts().values()) + head(1000)
    11689512
    """
    return (STAGES[-1] + 1) * classes


def splits() -> list[Split]:
    """Every way to cut the layers at two places."""
    names, sizes = list(parts()), list(parts().values())
    return [
        Split(names[i - 1], names[j - 1], (sum(sizes[:i]), sum(sizes[i:j]), sum(sizes[j:])))
        for i, j in combinations(range(1, len(names)), 2)
    ]


def nearest(printed: tuple[float, float, float]) -> tuple[Split, float, float]:
    """The split whose tiers come nearest to three printed figures.

    Parameters
    ----------
    printed : tuple of float
        Millions of parameters.

    Returns
    -------
    split : Split
    off, next_off : float
        The largest of the three distances in millions, of this split and of the second nearest.

    Examples
    --------
    >>> split, off, _ = nearest((3, 1, 7.2))
    >>> split.frozen_to, split.common_to, round(off, 2)
    ('layer3.1.conv2', 'layer4.0.conv1', 0.22)
    """

    def off(split: Split) -> float:
        return max(
            abs(size / 1e6 - figure)
            for size, figure in zip(split.sizes, printed, strict=True)
        )

    first, second, *_ = sorted(splits(), key=off)
    return first, off(first), off(second)

"""Lists and masks of what is broken on a chip, checked and brought into one form.

`mosaic_sim.chip.Chip` keeps sorted tuples, so that chips with the same faults are equal. What
follows from a fault, such as lines that are lost, is worked out there.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["LostLines", "listed", "masked", "packed", "unpacked"]

NO_LINE = 1 << 16
"""Above the number of any line."""


def listed(name: str, values: Any, sizes: Sequence[tuple[str, int]]) -> tuple[Any, ...]:
    """Check a list of numbers, or of rows of numbers; return it sorted, as plain integers.

    Parameters
    ----------
    name : str
        For messages.
    values : sequence of int, or of sequences of int
    sizes : sequence of (str, int)
        What each number of a row says, and how many there are: it goes from 0 to one less.
        With one entry, `values` is a list of numbers.

    Raises
    ------
    ConfigError
        If an entry is no row of whole numbers, a number is out of range, or an entry is twice.

    Examples
    --------
    >>> listed("broken_tiles", [7, 3], [("tile", 8)])
    (3, 7)
    """
    words = ", ".join(word for word, _ in sizes)
    wanted = words if len(sizes) == 1 else f"({words})"
    if not isinstance(values, list | tuple | np.ndarray):
        raise ConfigError(f"{name} is {values!r}; it needs a list of entries {wanted}.")
    seen = []
    for entry in values:
        row = (entry,) if len(sizes) == 1 else entry
        if (
            not isinstance(row, list | tuple | np.ndarray)
            or len(row) != len(sizes)
            or any(isinstance(x, bool) or not isinstance(x, int | np.integer) for x in row)
        ):
            raise ConfigError(
                f"{name} has the entry {entry!r}; each needs whole numbers: {wanted}."
            )
        for (word, size), x in zip(sizes, row, strict=True):
            if not 0 <= x < size:
                raise ConfigError(
                    f"{name} has the {word} {x}; this chip has {word} 0 to {size - 1}."
                )
        seen.append(tuple(int(x) for x in row))
    seen.sort()
    for one, two in pairwise(seen):
        if one == two:
            raise ConfigError(f"{name} has {one if len(one) > 1 else one[0]} twice.")
    return tuple(seen) if len(sizes) > 1 else tuple(row[0] for row in seen)


def masked(
    name: str, mask: ArrayLike, *shapes: tuple[int, ...], said: str = ""
) -> NDArray[np.bool_]:
    """Return a mask as a bool array of the first of `shapes`; it may have any of them.

    Raises
    ------
    ConfigError
        If `mask` holds other things than truth values, or has another shape.

    Examples
    --------
    >>> masked("tiles", [False, True], (2,), (1, 2)).tolist()
    [False, True]
    """
    array = np.asarray(mask)
    if array.dtype != np.bool_ or array.shape not in shapes:
        either = " or ".join(str(shape) for shape in shapes)
        raise ConfigError(
            f"{name} has shape {array.shape} and holds {array.dtype}; it needs truth values "
            f"(bool), True where something is broken, of shape {either}{said}."
        )
    return array.reshape(shapes[0])


def packed(
    tiles: Sequence[int], routers: Sequence[int], lines: Sequence[tuple[int, int, int]]
) -> list[int]:
    """Put what is broken into one list: the three numbers of entries, then these.

    Nothing broken is the empty list.

    Examples
    --------
    >>> packed((7,), (), ((3, 0, 1),))
    [1, 0, 1, 7, 3, 0, 1]
    """
    if not (tiles or routers or lines):
        return []
    counts = len(tiles), len(routers), len(lines)
    return [*counts, *tiles, *routers, *(x for line in lines for x in line)]


def unpacked(
    numbers: Sequence[int],
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, int, int], ...]]:
    """Return what `packed` was given.

    Raises
    ------
    ConfigError
        If the list has not the length that it says.
    """
    if not len(numbers):
        return (), (), ()
    counts, rest = [*numbers[:3], -1, -1, -1][:3], numbers[3:]
    tiles, routers, lines = counts
    if min(counts) < 0 or len(rest) != tiles + routers + 3 * lines:
        raise ConfigError(
            f"What is broken on a chip is listed as three counts, then the entries; here "
            f"{len(rest)} numbers follow the counts {', '.join(map(str, numbers[:3]))}."
        )
    flat = rest[tiles + routers :]
    triples = tuple(zip(flat[::3], flat[1::3], flat[2::3], strict=True))
    return tuple(rest[:tiles]), tuple(rest[tiles : tiles + routers]), triples


class LostLines(NamedTuple):
    """Broken lines, side by side.

    Attributes
    ----------
    link : int64 array, (sides,)
        ``4 cell + side``, rising.
    line : int64 array, (sides, most lines broken on one side)
        Rising, filled up with `NO_LINE`.
    """

    link: NDArray[np.int64]
    line: NDArray[np.int64]

    @classmethod
    def of(cls, lines: Sequence[tuple[int, int, int]]) -> LostLines:
        """Sort (cell, side, line) by side; they are sorted already."""
        cell, side, line = np.array(lines, np.int64).reshape(-1, 3).T
        link, row, count = np.unique(
            4 * cell + side, return_inverse=True, return_counts=True
        )
        lost = np.full((link.size, int(count.max(initial=0))), NO_LINE)
        first = np.cumsum(count) - count
        lost[row, np.arange(line.size) - first[row]] = line
        return cls(link, lost)

    def _row(self, cell: ArrayLike, side: ArrayLike) -> NDArray[np.int64]:
        """Row of each side in `line`, or -1."""
        link = 4 * np.asarray(cell, np.int64) + np.asarray(side)
        row = np.searchsorted(self.link, link)
        known = np.append(self.link, -1)
        return np.where(known[row] == link, row, -1)

    def numbers(
        self, cell: ArrayLike, side: ArrayLike, rank: ArrayLike
    ) -> NDArray[np.int64]:
        """Return the number of the line that is `rank`-th, from 0, without the broken ones."""
        number = np.array(rank, np.int64)
        if self.link.size:
            row = self._row(cell, side)
            hit = np.flatnonzero(row >= 0)
            for k in range(self.line.shape[1]):
                number[hit] += number[hit] >= self.line[row[hit], k]
        return number

    def among(self, cell: ArrayLike, side: ArrayLike, line: ArrayLike) -> NDArray[np.bool_]:
        """Whether each line is one of the broken ones."""
        lost = np.zeros(np.shape(line), np.bool_)
        if not self.link.size:
            return lost
        row = self._row(cell, side)
        hit = row >= 0
        lost[hit] = (self.line[row[hit]] == np.asarray(line)[hit][:, None]).any(1)
        return lost

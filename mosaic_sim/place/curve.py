"""A curve through all tiles that keeps what is near on it near on the chip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["hilbert_tiles"]


def hilbert_tiles(rows: int, columns: int) -> NDArray[np.int64]:
    """Return all tiles in the order of a Hilbert curve for any rectangle, (tiles,).

    Consecutive tiles share a side, except for one diagonal step where the longer side is odd
    and the shorter even.

    Source: D. Hilbert, "Ueber die stetige Abbildung einer Linie auf ein Flaechenstueck"
    (1891); any rectangle by halving its sides, as in J. Cerveny's *gilbert* (2018).

    Examples
    --------
    >>> hilbert_tiles(2, 3).tolist()
    [0, 3, 4, 5, 2, 1]
    """
    rows, columns = int(rows), int(columns)
    rows, columns = int(rows), int(columns)  # numbers of NumPy do not take signs apart
    tiles: list[int] = []
    # Rectangles to fill: corner, the way along it (rows, columns), the way across.
    if columns >= rows:
        todo = [((0, 0), (0, columns), (rows, 0))]
    else:
        todo = [((0, 0), (rows, 0), (0, columns))]
    while todo:
        (y, x), (ay, ax), (by, bx) = todo.pop()
        length, breadth = abs(ay + ax), abs(by + bx)
        along = (_sign(ay), _sign(ax))
        across = (_sign(by), _sign(bx))
        if length == 1 or breadth == 1:
            dy, dx = along if breadth == 1 else across
            tiles += [
                (y + dy * k) * columns + x + dx * k for k in range(max(length, breadth))
            ]
            continue
        hay, hax = _half(ay), _half(ax)
        hby, hbx = _half(by), _half(bx)
        if 2 * length > 3 * breadth:
            if abs(hay + hax) % 2 and length > 2:  # an even half joins up better
                hay, hax = hay + along[0], hax + along[1]
            parts = [
                ((y, x), (hay, hax), (by, bx)),
                ((y + hay, x + hax), (ay - hay, ax - hax), (by, bx)),
            ]
        else:
            if abs(hby + hbx) % 2 and breadth > 2:
                hby, hbx = hby + across[0], hbx + across[1]
            corner = (
                y + (ay - along[0]) + (hby - across[0]),
                x + (ax - along[1]) + (hbx - across[1]),
            )
            parts = [
                ((y, x), (hby, hbx), (hay, hax)),
                ((y + hby, x + hbx), (ay, ax), (by - hby, bx - hbx)),
                (corner, (-hby, -hbx), (hay - ay, hax - ax)),
            ]
        todo += reversed(parts)
    return np.array(tiles, np.int64)


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def _half(value: int) -> int:
    return int(value / 2)

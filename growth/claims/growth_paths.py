"""Growth paths: the questions of the report on GradMax and Mosaic, and what answers them (GROW)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from growth.claims.base import PathsRan, Ran, figure, table
from growth.paths import grids
from growth.paths.drawing import draw_paths
from mosaic_sim.errors import MosaicError
from mosaic_sim.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from growth.comparison import Grid

__all__ = ["EXPERIMENTS", "TITLE", "section"]

TITLE = "Growth paths (GROW)"

DATA = {
    "mnist": "MNIST",
    "fashion": "Fashion-MNIST",
    "cifar": "CIFAR-10 in grey",
    "digits": "digits",
}

EXPERIMENTS = tuple(f"growth-paths-{name}" for name in DATA)


def section(found: Mapping[str, Ran | PathsRan], images: Path) -> str:
    """Write the section; see `growth.claims.page.Document`."""
    parts = [TEXT]
    for name, title in DATA.items():
        ran = found[f"growth-paths-{name}"]
        if not isinstance(ran, PathsRan):
            raise MosaicError(f"{ran.file} is no experiment on growth paths.")
        accuracy, *tests = [grid for grid in grids(ran.results) if grid.rows]
        parts += [f"### {title}\n", ran.note()]
        parts += [_table(grid) for grid in tests if "GradMax by" not in grid.title]
        parts.append(_picture(ran, name, title, images))
        parts += [_table(grid) for grid in (accuracy, *tests) if "energy" in grid.head]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


TEXT = """\
The report grows 784-10-10-10 to 784-100-100-10 in twenty steps of nine neurons, along orders of its two
hidden layers (*paths*), from random weights or GradMax, on MNIST, Fashion-MNIST and CIFAR-10. **None of its
numbers survives**: the figures are lost, the interval of growth is cut off ("once every ..."), and it says both
9 and 10 neurons a step. So there is nothing to reproduce but its questions:

| question of the report | answer |
|---|---|
| Does the path matter? | Yes, by a point at the end and several on the way, and hardly beyond: what hurts is to leave a layer small for long. Tested below by sign flips over paired trials, not by eye |
| Does GradMax beat a random start? | By half a point to one on MNIST with the same random length; by several against the U[0, 1) of its released code, which is a weak baseline |
| When to grow? | [A gate decides](growth.md), by how new the inputs are and whether the loss is above what noise explains |
| Where on the chip? | [The chip's price decides](growth.md): energy of routing falls, accuracy stays |
| What does it cost? | Operations here, energy, devices and writes for spiking networks on digits |

All tables: `mosaic paths`; all of them with their discussion: [growth](growth.md#does-the-path-matter).
"""  # noqa: E501


def _table(grid: Grid) -> str:
    return f"{grid.title}.\n\n{table(grid.head, grid.rows)}"


def _picture(ran: PathsRan, name: str, title: str, images: Path) -> str:
    """Draw learning curves of the experiment, and keep the first network's."""
    with tempfile.TemporaryDirectory() as scratch:
        drawn = draw_paths(ran.results, Path(scratch), title=title)
        curves = next(path for path in drawn if "learning" in path.name)
        for ending in ("png", "csv"):
            kept = images / f"claims-paths-{name}.{ending}"
            write_whole(kept, curves.with_suffix(f".{ending}").read_bytes())
    return figure(f"claims-paths-{name}", f"{title}: accuracy while each path is walked")

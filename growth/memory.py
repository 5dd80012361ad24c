"""What ``mosaic memory`` prints and draws: devices and bits by network and tile size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from growth.tables import table_of
from mosaic_sim.errors import MosaicError
from mosaic_sim.memory import compare_memory
from mosaic_sim.plots import memory_by_tile_size, tables_by_tile_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.table import Table

    from mosaic_sim.memory import MemoryComparison

__all__ = ["compare", "draw_memory", "memory_tables"]


def compare(
    neurons: Sequence[int],
    neurons_per_tile: Sequence[int],
    shares: Mapping[int, float],
    *,
    synapse_bits: int,
    tags_per_neuron: float,
    seed: int = 0,
) -> list[MemoryComparison]:
    """Compare all network sizes with all tile sizes; tiles larger than a network are left out.

    Parameters
    ----------
    neurons, neurons_per_tile : sequence of int
    shares, synapse_bits, tags_per_neuron, seed
        As in `mosaic_sim.memory.compare_memory`.

    Raises
    ------
    MosaicError
        If nothing is left to compare, or an argument is out of its range.

    Examples
    --------
    >>> points = compare([128, 256], [2, 4], {1: 1.0}, synapse_bits=4, tags_per_neuron=1)
    >>> [(point.neurons, point.neurons_per_tile) for point in points]
    [(128, 2), (128, 4), (256, 2), (256, 4)]
    """
    points = [
        compare_memory(
            size, k, shares,
            synapse_bits=synapse_bits, tags_per_neuron=tags_per_neuron, seed=seed,
        )
        for size in dict.fromkeys(neurons)
        for k in dict.fromkeys(neurons_per_tile)
        if k <= size
    ]  # fmt: skip
    if not points:
        raise MosaicError(
            "All tiles are larger than the networks; give at least as many neurons as a tile has."
        )
    return points


def memory_tables(points: Sequence[MemoryComparison]) -> tuple[Table, Table]:
    """Devices of Mosaic and of one crossbar; and bits of tables for the same networks.

    Examples
    --------
    >>> points = compare([128], [2, 4], {1: 1.0}, synapse_bits=4, tags_per_neuron=1)
    >>> [table.row_count for table in memory_tables(points)]
    [2, 2]
    """
    devices = table_of("RRAM devices: Mosaic by kind of tile, and one crossbar")
    bits = table_of("Bits of tables for the same networks")
    for table, names in (
        (devices, ("NT", "R0", "R1", "Mosaic", "crossbar", "saving")),
        (bits, ("fan-out", "tags: CAM", "tags: SRAM", "lists: SRAM")),
    ):
        for name in ("neurons", "per tile", *names):
            table.add_column(name, justify="right")
    last = points[0].neurons
    for point in points:
        if point.neurons != last:
            devices.add_section()
            bits.add_section()
        last = point.neurons
        size = f"{point.neurons:,}", str(point.neurons_per_tile)
        devices.add_row(
            *size,
            *(f"{count:,}" for count in point.mosaic.devices.values()),
            f"{point.mosaic.total:,}",
            f"{point.crossbar:,}",
            f"{point.crossbar / point.mosaic.total:.2f}x",
        )
        bits.add_row(
            *size,
            f"{point.fan_out:.1f}",
            f"{point.tags.cam:,}",
            f"{point.tags.sram:,}",
            f"{point.sram:,}",
        )
    return devices, bits


def draw_memory(points: Sequence[MemoryComparison], out: Path) -> list[Path]:
    """Draw the comparison: devices on the left, bits on the right, on the same scale.

    Parameters
    ----------
    points : sequence of MemoryComparison
    out : Path
        The figure, ``.svg`` or ``.png``; the other and a ``.csv`` with the numbers are written
        beside it.

    Returns
    -------
    list of Path
        The three files.

    Raises
    ------
    MosaicError
        If `out` has another ending, or its folder cannot be written to.
    """
    from matplotlib.figure import Figure

    from growth.figures import save

    if out.suffix not in (".svg", ".png"):
        raise MosaicError(
            f"--out is {str(out)!r}; it needs a name that ends in .svg or .png (both are "
            "written, and a .csv)."
        )
    figure = Figure(figsize=(10.5, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    shown = [
        value
        for point in points
        for value in (point.mosaic.total, point.crossbar, point.tags.bits, point.sram)
    ]
    for ax in (left, right):  # before the names of lines are moved apart
        ax.set(yscale="log", ylim=(min(shown) / 1.5, max(shown) * 1.5))
    memory_by_tile_size(points, ax=left)
    tables_by_tile_size(points, ax=right)
    table: dict[str, Sequence[object]] = {
        "neurons": [point.neurons for point in points],
        "neurons per tile": [point.neurons_per_tile for point in points],
        "fan-out": [point.fan_out for point in points],
        **{
            f"{kind} [RRAM devices]": [point.mosaic.devices[kind] for point in points]
            for kind in ("NT", "R0", "R1")
        },
        "Mosaic [RRAM devices]": [point.mosaic.total for point in points],
        "crossbar [RRAM devices]": [point.crossbar for point in points],
        "tags [bits of CAM]": [point.tags.cam for point in points],
        "tags [bits of SRAM]": [point.tags.sram for point in points],
        "lists [bits of SRAM]": [point.sram for point in points],
    }
    try:
        save(figure, out.with_suffix(""), table)
    except OSError as error:
        raise MosaicError(
            f"Cannot write {str(out)!r} ({error.strerror}); give a path in a folder that "
            "exists and can be written to."
        ) from None
    return [out.with_suffix(ending) for ending in (".svg", ".png", ".csv")]

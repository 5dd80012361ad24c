"""Draw a program on its chip, what a run of it cost and why, and what it fired.

Every function draws on the Axes given and returns them (those of `activity` make a figure if they
are given none); nothing is shown or saved. What was
drawn can be read back from the artists, which is how the tests check it; collections that
have no place in a legend carry a label with a leading underscore (``_tiles``, ``_links``).

On a drawn chip the cell in row r and column c of the grid has its centre at x = c, y = r,
with row 0 at the top.
"""

from mosaic_sim.plots.activity import latency, raster, rate_map, voltage
from mosaic_sim.plots.charts import energy_by_component, energy_by_tile
from mosaic_sim.plots.chip_map import placement_map
from mosaic_sim.plots.front import pareto_front
from mosaic_sim.plots.layout import before_after, hop_histogram, layout_map, tile_costs
from mosaic_sim.plots.loads import load_curves, load_map, tree_map
from mosaic_sim.plots.memory import memory_by_tile_size, tables_by_tile_size
from mosaic_sim.plots.sensitivity import sensitivity

__all__ = [
    "before_after",
    "energy_by_component",
    "energy_by_tile",
    "hop_histogram",
    "latency",
    "layout_map",
    "load_curves",
    "load_map",
    "memory_by_tile_size",
    "pareto_front",
    "placement_map",
    "raster",
    "rate_map",
    "sensitivity",
    "tables_by_tile_size",
    "tile_costs",
    "tree_map",
    "voltage",
]

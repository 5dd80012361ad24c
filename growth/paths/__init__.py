"""Whether the order in which layers grow matters, whether the start does, and what it costs.

The growth-path experiment: a network with two small hidden layers becomes one with two large
ones, a few neurons at a time; the *path* is the order in which the layers take turns. Accuracy
stands beside the arithmetic of training, and for spiking networks beside energy and writes.
"""

from growth.paths.cell import growth_updates, run_cell
from growth.paths.plan import Cell, NetPlan, PathPlan, load_paths, orders
from growth.paths.run import read_cells, run_paths
from growth.paths.tables import grids, rows_of, write_tables
from growth.paths.work import growth_flops, inference_flops, training_flops

__all__ = [
    "Cell", "NetPlan", "PathPlan", "grids", "growth_flops", "growth_updates",
    "inference_flops", "load_paths", "orders", "read_cells", "rows_of", "run_cell", "run_paths",
    "training_flops", "write_tables",
]  # fmt: skip

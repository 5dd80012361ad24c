"""Every compiled loop of the package. Typed arrays in, typed arrays out; never raises.

A kernel calls only kernels of its own file, because a cached kernel does not notice a change
in another file. What each array means is said in the face that calls the kernel.

A file is imported when one of its kernels is first asked for: Numba takes longer to load than
all the rest of the package.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_FILE = {
    kernel: file
    for file, kernels in {
        "accounts": (
            "cell_energy", "count_events", "count_places", "enter_energy", "link_loads",
            "row_prices", "spike_events", "step_energy",
        ),
        "dies": (
            "choices", "noise", "normals", "numbers", "reach", "rewire", "router_tables",
            "row_excess", "synapse_devices",
        ),
        "growing": (
            "arrival_order", "arrive", "insertion_costs", "links", "seat", "settle",
        ),
        "placing": (
            "anneal_sites", "eigen", "gram", "layout_cost", "orthonormalise", "split_sites",
            "swap_search",
        ),
        "refining": ("count_reach", "even_out", "refine", "relabel"),
        "negotiating": ("gather", "lay_trees", "number_lines", "take_up"),
        "one_turn": ("one_turn_links", "one_turn_trees"),
        "routes": ("comb_trees", "longest_path", "routing_fault", "shared_line"),
        "steps": ("run", "run_physical"),
        "synapses": (
            "count_sources", "depths", "quantise", "sort_by_source", "synapse_fault",
            "tiles_reached",
        ),
        "wiring": ("LANES", "count_drive", "pack", "wire"),
    }.items()
    for kernel in kernels
}  # fmt: skip

__all__ = list(_FILE)


def __getattr__(name: str) -> Any:
    if name not in _FILE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    kernel = getattr(import_module(f"{__name__}.{_FILE[name]}"), name)
    globals()[name] = kernel
    return kernel

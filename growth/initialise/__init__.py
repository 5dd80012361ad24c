"""How new neurons start, and how they get into a network.

`sites_of` finds where a network can grow, `measure` what new neurons could learn there, one of
`INITIALISATIONS` gives them weights, `widen` puts them in, and `carry` keeps the optimiser.
"""

from growth.initialise.both import by_firefly, by_improving, by_pairs, by_variance_transfer
from growth.initialise.need import Need, gradmax, measure_need
from growth.initialise.optimiser import adapt_rates, carry
from growth.initialise.rest import LiveReLU, slope_at_rest, traces
from growth.initialise.seeds import by_inverse, by_seeds
from growth.initialise.site import Site, sites_of
from growth.initialise.starts import by_gaussian, by_gradmax, by_uniform
from growth.initialise.statistics import Statistics, expected_gain, measure, spiking_matrix
from growth.initialise.widen import NewNeurons, Stage, rebuild, widen

__all__ = [
    "INITIALISATIONS", "LiveReLU", "Need", "NewNeurons", "Site", "Stage", "Statistics",
    "adapt_rates", "by_firefly", "by_gaussian", "by_gradmax", "by_improving", "by_inverse",
    "by_pairs", "by_seeds", "by_uniform", "by_variance_transfer", "carry", "expected_gain",
    "gradmax", "measure", "measure_need", "rebuild", "sites_of", "slope_at_rest",
    "spiking_matrix", "traces", "widen",
]  # fmt: skip

INITIALISATIONS = {
    "gradmax": by_gradmax, "gaussian": by_gaussian, "uniform": by_uniform, "seeds": by_seeds,
    "inverse": by_inverse, "pairs": by_pairs, "variance_transfer": by_variance_transfer,
    "improving": by_improving, "firefly": by_firefly,
}  # fmt: skip
"""Every way to start new neurons, by name; all are called with statistics, number, generator."""

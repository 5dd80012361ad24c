"""What the placers that search reach, and what all of them keep to while they do."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from families import cliques, communities, lattice, layers, roomy_chip
from hypothesis import given
from hypothesis import strategies as st

from mosaic_sim import CapacityError, Chip, MosaicError, Network, Placement, _kernels, place
from mosaic_sim._kernels.placing import sort_pairs
from mosaic_sim.place import PLACERS, balanced_partition, crossing_synapses, hop_cost
from mosaic_sim.place import hypergraph as hypergraph_module
from mosaic_sim.place.curve import hilbert_tiles
from mosaic_sim.place.pack import fill_bins
from mosaic_sim.place.refine import Seating
from mosaic_sim.place.task import make_task

PLACER = pytest.mark.parametrize("placer", PLACERS)
DATA = Path(__file__).parents[1] / "data"


def random_network(seed, neurons, inputs=0, density=0.3):
    rng = np.random.default_rng(seed)
    source, target = np.nonzero(rng.random((inputs + neurons, neurons)) < density)
    return Network.from_synapses(
        inputs=inputs, neurons=neurons, source=source, target=target, weight=1.0, delay=1
    )


def plain_cost(network, chip, placement, rates):
    """Oracle: H from its definition, one source at a time, with `Chip.hops`."""
    sites = [tuple(site) for site in chip.port_sites.tolist()]
    total = 0.0
    for source in range(network.sources):
        span = slice(network.offsets[source], network.offsets[source + 1])
        tiles = {int(placement.tile[t]) for t in network.target[span]}
        if source < network.first_neuron:
            home = sites[placement.port[source]]
        else:
            home = chip.tile_position(int(placement.tile[source - network.first_neuron]))
        total += rates[source] * sum(chip.hops(home, chip.tile_position(t)) for t in tiles)
    return total


@PLACER
@pytest.mark.parametrize("effort", [0, 1])
def test_the_same_seed_gives_the_same_bytes(placer, effort):
    instance = communities(3, 3, fill=0.9)
    one, two = (
        place(instance.network, instance.chip, placer=placer, effort=effort, seed=5)
        for _ in range(2)
    )
    assert one.tile.tobytes() == two.tile.tobytes()
    assert one.slot.tobytes() == two.slot.tobytes()
    assert one.port.tobytes() == two.port.tobytes()


@pytest.mark.parametrize("placer", ["random", "multilevel"])
def test_another_seed_gives_another_layout(placer):
    instance = lattice(3, 3)
    layouts = [
        place(instance.network, instance.chip, placer=placer, seed=s).tile for s in (1, 2)
    ]
    assert not np.array_equal(*layouts)


@PLACER
def test_half_of_the_neurons_stay_where_they_were_kept(placer):
    network, chip = random_network(1, 24, inputs=3), Chip(2, 3, 6, 30, 30, 30)
    rng = np.random.default_rng(2)
    seats = rng.permutation(chip.neurons)[:12]
    keep = Placement(
        (seats // 6).astype(np.int32),
        (seats % 6).astype(np.int32),
        np.array([7, 2], np.int32),
    )
    placement = place(network, chip, keep=keep, placer=placer, within=[0, 1, 4, 5])
    assert np.array_equal(placement.tile[:12], keep.tile)
    assert np.array_equal(placement.slot[:12], keep.slot)
    assert np.array_equal(placement.port[:2], keep.port)
    assert set(placement.tile[12:].tolist()) <= {0, 1, 4, 5}


@PLACER
def test_tiles_that_nobody_may_use_stay_empty(placer):
    network, chip = random_network(3, 20), Chip(3, 3, 4, 30, 30, 30)
    within = [0, 2, 3, 5, 6, 7]
    placement = place(network, chip, within=within, placer=placer)
    assert set(placement.tile.tolist()) <= set(within)


@pytest.mark.parametrize("placer", [p for p in PLACERS if p not in ("greedy", "in order")])
def test_masks_that_leave_one_way_are_satisfied(placer):
    # Neuron 0 may go anywhere, and has to leave the only tile of neuron 1 to it.
    network, chip = random_network(4, 3), Chip(1, 3, 1, 9, 9, 9)
    placement = place(network, chip, within={1: [0], 2: [0, 1]}, placer=placer)
    assert placement.tile.tolist() == [2, 0, 1]


@pytest.mark.parametrize("placer", ["multilevel", "hypergraph"])
def test_lines_are_a_hard_limit(placer):
    # As 16 groups of 4 that share their sources: 8 lines a tile are enough, if groups meet.
    rng = np.random.default_rng(0)
    label = rng.permutation(64)
    source, target = [], []
    for group in range(16):
        for member, k in itertools.product(range(4), range(8)):
            source.append(label[(4 * group + 4 + k) % 64])
            target.append(label[4 * group + member])
    network = Network.from_synapses(
        inputs=0, neurons=64, source=source, target=target, weight=1.0, delay=1
    )
    placement = place(network, Chip(4, 4, 4, 2, 99, 99), placer=placer)
    assert (placement.free_slots(Chip(4, 4, 4, 2, 99, 99)) == 0).all()
    with pytest.raises(CapacityError, match=r"needs|listens"):
        place(network, Chip(4, 4, 4, 1, 99, 99), placer=placer)


def test_the_refusal_of_lines_gives_the_numbers():
    # A ring to both sides of neurons on their own tiles needs 4 lines; with 5 inputs each too.
    network = random_network(0, 12, density=0.5)
    chip = Chip(3, 4, 2, 1, 9, 9)
    with pytest.raises(CapacityError, match=r"4 lines \(4 sides of 1\)|listens to"):
        place(network, chip, placer="multilevel")


def tables(seating):
    """How many synapses of each source end on each tile, as the tables say it."""
    tile, count = seating.table
    found = []
    for s, begin in enumerate(seating.offsets[:-1]):
        there = tile[begin : begin + seating.length[s]]
        many = count[begin : begin + there.size] if count.ndim == 1 else count[s, there]
        found.append(sorted(zip(there.tolist(), many.tolist(), strict=True)))
        assert count.ndim == 1 or count[s].sum() == many.sum()
    return found


LOOKED_UP = pytest.mark.parametrize("most", [0, 1 << 24], ids=["searched", "looked up"])
"""Whether the synapses of a source that end on a tile are in a short list, or in a table."""


@LOOKED_UP
def test_the_change_that_refinement_reports_is_the_change_of_the_true_cost(
    most, monkeypatch
):
    monkeypatch.setattr(sys.modules[Seating.__module__], "MOST_COUNTS", most)
    network, chip = random_network(5, 40, inputs=6, density=0.15), Chip(3, 4, 4, 40, 40, 40)
    rates = np.random.default_rng(6).random(network.sources)
    start = place(network, chip, placer="random", rates=rates)
    task = make_task(network, chip, None, rates, None, _search())
    for heats in ([2.0] * 5, [0.0] * 5):
        seating = Seating.of(task, start.tile, start.port)
        change = seating.anneal(heats, 3)
        end = Placement(seating.tile, start.slot, start.port)
        before = plain_cost(network, chip, start, rates)
        assert before + change == pytest.approx(plain_cost(network, chip, end, rates))
        lines = _kernels.tiles_reached(network.offsets, network.target, end.tile, 12)[2]
        assert seating.arriving.tolist() == lines.tolist()
        assert np.bincount(end.tile, minlength=12).tolist() == seating.fill.tolist()
        assert max(seating.fill) <= 4
        kept = tables(seating)
        seating.count()
        assert kept == tables(seating)
    assert change < 0


def test_a_layout_does_not_depend_on_how_counts_are_kept(monkeypatch):
    instance = communities(3, 4)
    found = []
    for most in (0, 1 << 24):
        monkeypatch.setattr(sys.modules[Seating.__module__], "MOST_COUNTS", most)
        found.append(place(instance.network, instance.chip, effort=0.1).tile.tolist())
    assert found[0] == found[1]


# Long enough to be cut in parts, which fewer than 16 are not; and with many ties.
@given(
    st.integers(0, 200).flatmap(
        lambda n: st.lists(st.integers(0, 2 * n), min_size=n, max_size=n)
    ),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_pairs_are_sorted_between_two_bounds(keys, before, after):
    first, last = min(before, len(keys)), max(len(keys) - after, min(before, len(keys)))
    key, item = np.array(keys, float), np.arange(len(keys))
    sort = getattr(sort_pairs, "py_func", sort_pairs)  # it is plain without a compiler
    sort(key, item, first, last, np.empty(128, np.int64))
    assert key.tolist() == keys[:first] + sorted(keys[first:last]) + keys[last:]
    assert [keys[k] for k in item] == key.tolist()
    assert sorted(item.tolist()) == list(range(len(keys)))


def _search(**options):
    from mosaic_sim.place import Search

    return Search(**options)


@pytest.mark.parametrize("placer", ["multilevel", "hypergraph"])
def test_the_optimum_of_small_instances_is_met_nearly_always_and_never_beaten(placer):
    met = 0
    chip = Chip(2, 2, 2, 9, 9, 9)
    for seed in range(12):
        network = random_network(seed, 7, density=0.35)
        rates = np.random.default_rng(seed).integers(1, 4, network.sources).astype(float)
        placement = place(network, chip, rates=rates, placer=placer)
        cost = plain_cost(network, chip, placement, rates)
        assert cost == pytest.approx(hop_cost(network, chip, placement, rates))
        table = np.array(
            [[chip.hops(divmod(a, 2), divmod(b, 2)) for b in range(4)] for a in range(4)]
        )
        best = np.inf
        for tile in itertools.product(range(4), repeat=7):
            if max(map(tile.count, range(4))) <= 2:
                total = 0.0
                for s in range(7):
                    span = slice(network.offsets[s], network.offsets[s + 1])
                    reached = {tile[t] for t in network.target[span]}
                    total += rates[s] * sum(table[tile[s], t] for t in reached)
                best = min(best, total)
        assert cost >= best - 1e-9
        met += cost <= best + 1e-9
    assert met >= 11


@pytest.mark.parametrize("seed", range(3))
def test_cliques_are_placed_at_the_certified_optimum(seed):
    instance = cliques(6, 6, seed)
    best = hop_cost(instance.network, instance.chip, instance.reference)
    found = place(instance.network, instance.chip, placer="multilevel", effort=0)
    assert hop_cost(instance.network, instance.chip, found) == best


def test_communities_and_lattices_come_out_better_than_they_were_made():
    for family in (communities, lattice):
        instance = family(5, 5)
        found = place(instance.network, instance.chip, placer="multilevel")
        reference = hop_cost(instance.network, instance.chip, instance.reference)
        assert hop_cost(instance.network, instance.chip, found) <= reference


def test_more_effort_is_never_much_worse_and_none_is_quick():
    instance = lattice(4, 4)
    cost = [
        hop_cost(
            instance.network, instance.chip,
            place(instance.network, instance.chip, placer="multilevel", effort=effort),
        )
        for effort in (0, 0.3, 3)
    ]  # fmt: skip
    assert cost[2] < cost[0]
    assert cost[1] < cost[0]
    assert cost[2] < 1.01 * cost[1]


def test_the_labels_of_neurons_do_not_matter_to_the_quality():
    instance = communities(4, 4)
    network, chip = instance.network, instance.chip
    cost = []
    for seed in range(3):
        birth = np.random.default_rng(seed).permutation(network.neurons)
        shuffled = network.reordered(birth.tolist())
        cost.append(hop_cost(shuffled, chip, place(shuffled, chip, placer="multilevel")))
    assert max(cost) < 1.02 * min(cost)


def test_layers_are_laid_out_better_than_along_any_curve():
    instance = layers(8, 8, (784, 512, 512, 10), reach=32)
    cost = {
        name: hop_cost(
            instance.network, instance.chip,
            place(instance.network, instance.chip, placer=name, effort=0.2),
        )
        for name in ("in order", "hilbert", "spectral", "multilevel")
    }  # fmt: skip
    assert cost["multilevel"] < 0.75 * min(
        cost["in order"], cost["hilbert"], cost["spectral"]
    )


def test_free_slots_are_spread_where_growth_is_expected():
    instance = communities(4, 4, fill=0.85)
    for placer in ("multilevel", "random", "hilbert", "layered"):
        packed = place(
            instance.network, instance.chip, placer=placer, spread=False, effort=0
        )
        spread = place(
            instance.network, instance.chip, placer=placer, spread=True, effort=1
        )
        assert spread.free_slots(instance.chip).min() >= 2, placer
        assert (
            packed.free_slots(instance.chip).sum() == spread.free_slots(instance.chip).sum()
        )
    full = communities(3, 3)
    place(full.network, full.chip, placer="multilevel", spread=True, effort=0)


@pytest.mark.parametrize("placer", ["greedy", "in order", None])
def test_free_slots_are_not_promised_by_those_who_leave_none(placer):
    network, chip = random_network(5, 6), Chip(2, 2, 4, 30, 30, 30)
    keep = place(network, chip) if placer is None else None
    with pytest.raises(MosaicError, match="spread leaves free slots"):
        place(network, chip, placer=placer, keep=keep, spread=True)


def test_a_small_network_on_a_large_chip_stays_together():
    instance = communities(2, 2)
    chip = roomy_chip(12, 12)
    found = place(instance.network, chip, placer="multilevel", effort=0.2)
    reference = hop_cost(instance.network, instance.chip, instance.reference)
    assert hop_cost(instance.network, chip, found) <= 1.1 * reference


def test_inputs_enter_where_their_readers_are_and_loud_ones_first():
    network = Network.from_synapses(
        inputs=2, neurons=2, source=[0, 1], target=[0, 1], weight=1.0
    )
    chip = Chip(4, 4, 1, 9, 9, 9)
    placement = place(network, chip, placer="multilevel", within={0: [0], 1: [15]})
    assert plain_cost(network, chip, placement, np.ones(4)) == 2
    # One line a port: the loudest gets the nearest port, the others what is near.
    crowd = Network.from_synapses(
        inputs=4, neurons=1, source=range(4), target=[0] * 4, weight=1.0
    )
    chip = Chip(3, 3, 1, 9, 1, 1)
    rates = [1.0, 1.0, 50.0, 1.0, 0.0]
    placement = place(crowd, chip, placer="multilevel", within=[0], rates=rates)
    assert len(set(placement.port.tolist())) == 4
    least = np.sort(chip.port_hops[:, 0])[:4]
    assert plain_cost(crowd, chip, placement, rates) == 49 * least[0] + least.sum()


def test_ctrl_c_returns_the_best_so_far(monkeypatch):
    instance = lattice(4, 4)
    real, calls = _kernels.refine, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(_kernels, "refine", interrupted)
    found = place(instance.network, instance.chip, placer="multilevel")
    assert len(calls) == 5
    start = place(instance.network, instance.chip, placer="in order")
    assert hop_cost(instance.network, instance.chip, found) < hop_cost(
        instance.network, instance.chip, start
    )


def test_hypergraph_is_refused_with_advice_where_it_is_not_installed(monkeypatch):
    import importlib

    module = importlib.import_module("mosaic_sim.place.hypergraph")
    assert module.hypergraph is hypergraph_module
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    with pytest.raises(MosaicError, match=r"mosaic-growth\[hypergraph\]"):
        place(random_network(0, 4), roomy_chip(1, 1), placer="hypergraph")


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("columns", [1, 2, 4, 7, 9])
def test_the_curve_meets_every_tile_once_in_steps_to_neighbours(rows, columns):
    tiles = hilbert_tiles(rows, columns)
    assert sorted(tiles.tolist()) == list(range(rows * columns))
    row, column = np.divmod(tiles, columns)
    step = np.maximum(abs(np.diff(row)), abs(np.diff(column)))
    diagonal = (abs(np.diff(row)) + abs(np.diff(column))) > 1
    assert (step <= 1).all()
    assert diagonal.sum() <= 1


def test_bins_are_filled_without_a_gap_where_that_is_possible():
    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes = []
        for _ in range(30):  # cut each bin of 32 at random places
            cuts = np.sort(rng.choice(np.arange(1, 32), rng.integers(1, 6), replace=False))
            sizes += np.diff(np.concatenate([[0], cuts, [32]])).tolist()
        bins = fill_bins(np.array(sizes), 32, 30, rng)
        assert bins is not None
        assert sorted(itertools.chain.from_iterable(bins)) == list(range(len(sizes)))
        assert all(sum(sizes[k] for k in some) == 32 for some in bins)
    assert fill_bins(np.array([3, 3]), 4, 1, rng) is None


def test_the_published_16_node_instances_are_solved_and_never_beaten():
    published = {2: [1, 8, 17, 22, 27, 36], 3: [4, 13, 13, 28, 41, 43]}
    with np.load(DATA / "gmap16.npz") as matrices:
        for sigma, mu in itertools.product((2, 3), range(1, 7)):
            matrix = matrices[f"Noisy_diagonal_16_sigma_{sigma}_mu_{mu}"]
            source, target = np.nonzero(matrix)
            network = Network.from_synapses(
                inputs=0, neurons=16, source=source, target=target, weight=1.0, delay=1
            )
            part = balanced_partition(network, 4, 4)
            assert np.bincount(part).tolist() == [4] * 4
            crossing = int((matrix * (part[:, None] != part)).sum())
            assert crossing == crossing_synapses(network, part)
            assert crossing == published[sigma][mu - 1], (sigma, mu)


def test_a_partition_that_does_not_fit_is_refused():
    with pytest.raises(
        CapacityError, match="9 neurons do not fit 2 parts of 4: 1 too many"
    ):
        balanced_partition(random_network(0, 9), 2, 4)

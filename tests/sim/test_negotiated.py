"""Routers that search: against brute force, exact trees, and what growth may touch."""

import sys
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from strategies import FEW, around, networks, placed, prefix, roomy, scattered
from test_route import assert_legal, links_of, shortest, start_of, targets_of

from mosaic_sim import Chip, MosaicError, Network, RoutingError, route
from mosaic_sim.place import Search
from mosaic_sim.route import cut_bound, minimum_lines, negotiated


def joined(chip, pairs, home, readers):
    """Neuron k sits on tile home[k]; pairs of (neuron, tile): read by a neuron there."""
    neurons = len(home)
    tiles = sorted(set(readers))
    at = {tile: neurons + k for k, tile in enumerate(tiles)}
    network = Network.from_synapses(
        inputs=0, neurons=neurons + len(tiles), source=[n for n, _ in pairs],
        target=[at[t] for _, t in pairs], weight=1.0, delay=1,
    )  # fmt: skip
    tile = [*home, *tiles]
    slot = [tile[:k].count(t) for k, t in enumerate(tile)]
    return network, placed(tile, slot, [])


# --- existence ------------------------------------------------------------------------


def trees_of(chip, start, targets):
    """All trees from `start` to `targets` whose leaves are targets, as frozensets of links."""
    found = set()

    def cells(r, c):
        return [
            (a, b)
            for a, b in around(r, c)
            if 0 <= a <= 2 * chip.rows and 0 <= b <= 2 * chip.columns
        ]

    def grow(tree, inside, missing):
        if not missing:
            found.add(frozenset(tree))
            return
        goal = min(missing)
        # All simple ways from the tree to the next goal.
        stack = [((here,), ()) for here in inside if here == start or sum(here) % 2 or not
                 (here[0] % 2 and here[1] % 2)]  # fmt: skip
        while stack:
            way, links = stack.pop()
            for there in cells(*way[-1]):
                if there in inside or there in way:
                    continue
                step = (*links, (way[-1], there))
                if there == goal:
                    grow(tree | set(step), inside | set(way) | {there}, missing - {goal})
                elif not (there[0] % 2 and there[1] % 2):
                    stack.append(((*way, there), step))

    grow(frozenset(), {start}, frozenset(targets))
    return found


def exists(chip, network, placement):
    """Whether any choice of one tree a source is legal, by trying all."""
    options = []
    for source in range(network.sources):
        targets = targets_of(network, chip, placement, source)
        if targets:
            options.append(
                trees_of(chip, start_of(network, chip, placement, source), targets)
            )
    out = {"NT": chip.neurons_per_tile, "R0": chip.r0_lines, "R1": chip.r1_lines}
    into = out | {"NT": chip.tile_lines}

    def kind(cell):
        return ("R0", "R1", "NT")[cell[0] % 2 + cell[1] % 2]

    room = {}
    options = [sorted(trees, key=len) for trees in options]

    def choose(k):
        if k == len(options):
            return True
        for tree in options[k]:
            for link in tree:
                room.setdefault(link, min(out[kind(link[0])], into[kind(link[1])]))
            if all(room[link] for link in tree):
                for link in tree:
                    room[link] -= 1
                if choose(k + 1):
                    return True
                for link in tree:
                    room[link] += 1
        return False

    return choose(0)


def test_a_routing_is_found_wherever_brute_force_says_that_there_is_one():
    found = refused = 0
    chip = Chip(1, 2, 5, 1, 1, 5)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        inputs, neurons = int(rng.integers(0, 3)), int(rng.integers(1, 4))
        network = Network.from_synapses(
            inputs=inputs, neurons=neurons + 1, source=range(inputs + neurons),
            target=[neurons] * (inputs + neurons), weight=1.0, delay=1,
        )  # fmt: skip
        ports = rng.integers(0, 6, inputs)
        placement = placed([0] * neurons + [1], [*range(neurons), 0], ports)
        possible = exists(chip, network, placement)
        try:
            routing = route(network, chip, placement)
        except MosaicError:
            assert not possible, seed
            refused += 1
        else:
            assert possible
            assert_legal(network, chip, placement, routing)
            found += 1
    assert min(found, refused) >= 5


# --- short trees ----------------------------------------------------------------------


def test_trees_to_seven_goals_or_fewer_are_within_three_percent_of_the_shortest():
    chip = Chip(4, 4, 20, 60, 60, 60)
    rng = np.random.default_rng(0)
    home = rng.integers(0, 16, 60).tolist()
    pairs = [(k, t) for k, h in enumerate(home)
             for t in rng.permutation(16)[: 2 + k % 5].tolist() if t != h]  # fmt: skip
    network, placement = joined(chip, pairs, home, range(16))
    for router in ("steiner", "negotiated"):
        routing = route(network, chip, placement, router=router)
        laid = best = 0
        for source in range(60):
            targets = targets_of(network, chip, placement, source)
            laid += len(links_of(chip, routing, source))
            best += shortest(chip, start_of(network, chip, placement, source), targets)
        assert best <= laid <= 1.03 * best


def crowded(seed=0, neurons=300, tiles=5):
    """Return sources that reach five tiles each of a 6 x 6 chip."""
    chip = Chip(6, 6, 20, 300, 300, 300)
    rng = np.random.default_rng(seed)
    home = np.sort(rng.integers(0, 36, neurons)).tolist()
    pairs = [(k, t) for k, h in enumerate(home)
             for t in rng.permutation(36)[:tiles].tolist() if t != h]  # fmt: skip
    return chip, *joined(chip, pairs, home, range(36))


def test_negotiation_needs_far_fewer_lines_than_the_published_ways():
    chip, network, placement = crowded()
    least = minimum_lines(network, chip, placement)
    assert least.bound == cut_bound(network, chip, placement)
    assert least.bound <= least.r0_lines <= 1.1 * least.bound
    assert least.r0_lines <= 0.6 * least.one_turn
    tight = replace(chip, r0_lines=least.r0_lines)
    assert_legal(network, tight, placement, route(network, tight, placement))
    with pytest.raises(RoutingError):
        route(network, replace(chip, r0_lines=least.r0_lines - 1), placement)
    published = route(network, chip, placement, router="one_turn")
    routers = [f"{k[:2]}" for k in chip.kinds]
    load = published.load(chip)
    between = [
        load[cell, side]
        for cell, side in product(range(chip.cells), range(4))
        if (there := chip.neighbours[cell, side]) >= 0
        and "NT" not in (routers[cell], routers[there])
    ]
    assert max(between) == least.one_turn


def test_on_the_fewest_lines_trees_are_little_longer():
    chip, network, placement = crowded()
    least = minimum_lines(network, chip, placement).r0_lines
    free = route(network, chip, placement).cell.size
    tight = route(network, replace(chip, r0_lines=least), placement).cell.size
    assert free <= tight <= 1.2 * free


def test_more_effort_does_not_make_trees_longer():
    chip, network, placement = crowded()
    chip = replace(chip, r0_lines=minimum_lines(network, chip, placement).r0_lines + 4)
    sizes = [route(network, chip, placement, effort=e).cell.size for e in (0.1, 1, 4)]
    assert sizes[0] > sizes[1] >= sizes[2]


@FEW
@given(networks(), st.data())
def test_no_routing_has_fewer_lines_than_the_cut_bound(network, data):
    chip = roomy(network, data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    placement = data.draw(scattered(network, chip))
    bound = cut_bound(network, chip, placement)
    for router in ("steiner", "one_turn", "trunk"):
        load = route(network, chip, placement, router=router).load(chip)
        beyond = chip.neighbours
        between = (beyond >= 0) & chip.is_router[:, None] & chip.is_router[beyond]
        assert load[between].max(initial=0) >= bound
    event(f"bound {bound}")


# --- refusals -------------------------------------------------------------------------


def test_a_refusal_says_what_would_help():
    chip, network, placement = crowded()
    bound = cut_bound(network, chip, placement)
    with pytest.raises(RoutingError) as refused:
        route(network, replace(chip, r0_lines=bound // 2), placement)
    message = str(refused.value)
    assert f"at least {bound} lines a side of R0; the chip has {bound // 2}" in message
    assert "minimum_lines" in message
    assert "in all" in message or "sources too many" in message


def test_minimum_lines_refuses_where_r0_is_not_what_is_scarce():
    chip = Chip(1, 2, 8, 2, 1, 8)
    network, placement = joined(chip, [(k, 1) for k in range(7)], [0] * 7, [1])
    assert minimum_lines(network, chip, placement).r0_lines == 3  # 2 straight, 3 north
    narrow = _passing(Chip(1, 3, 2, 2, 1, 2))  # six sources in two rows of two lines
    with pytest.raises(RoutingError, match="more R0 lines are of no use"):
        minimum_lines(*narrow)
    with pytest.raises(MosaicError, match="effort is -1"):
        minimum_lines(network, chip, placement, effort=-1)


def _passing(chip):
    """Six inputs from the west side of a 1 x 3 chip to its last tile."""
    network = Network.from_synapses(
        inputs=6, neurons=1, source=range(6), target=[0] * 6, weight=1.0
    )
    ports = [0, 0, 3 + 1 + 3, 3 + 1 + 3, 6, 6]
    return network, chip, placed([2], [0], ports)


def test_effort_and_unknown_routers_are_refused():
    chip, network, placement = crowded(neurons=5)
    for effort in (-1, np.nan, np.inf):
        with pytest.raises(MosaicError, match="effort is"):
            route(network, chip, placement, effort=effort)


# --- interruption ---------------------------------------------------------------------


def interrupting(monkeypatch, at):
    """Let the kernel's call number `at` be interrupted."""
    kernels = sys.modules["mosaic_sim.route.board"]._kernels
    real, calls = kernels.lay_trees, []

    def lay_trees(*args):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(kernels, "lay_trees", lay_trees, raising=False)


def test_an_interruption_before_a_legal_routing_says_how_far_it_was(monkeypatch):
    chip, network, placement = crowded()
    tight = replace(chip, r0_lines=cut_bound(network, chip, placement))
    interrupting(monkeypatch, 3)
    with pytest.raises(
        RoutingError, match=r"interrupted while \d+ sides had \d+ sources too"
    ):
        route(network, tight, placement)


def test_an_interruption_after_it_returns_the_best_so_far(monkeypatch):
    chip, network, placement = crowded()
    whole = route(network, chip, placement, effort=0)
    interrupting(monkeypatch, 2)
    routing = route(network, chip, placement)
    assert_legal(network, chip, placement, routing)
    assert np.array_equal(routing.cell, whole.cell)


# --- growth ---------------------------------------------------------------------------


def same(old, i, new, j):
    """Whether source i of one routing has the links and lines of source j of the other."""
    one, two = slice(*old.offsets[i : i + 2]), slice(*new.offsets[j : j + 2])
    return all(
        np.array_equal(getattr(old, name)[one], getattr(new, name)[two])
        for name in ("cell", "side", "line")
    )


@given(networks(), st.data())
def test_trees_that_may_be_ripped_stay_where_there_is_room(network, data):
    chip = roomy(network)
    placement = data.draw(scattered(network, chip))
    bias = data.draw(st.booleans())
    old = prefix(network, data.draw(st.integers(0, network.neurons)), bias=bias)
    before = placed(
        placement.tile[: old.neurons], placement.slot[: old.neurons],
        placement.port[: old.first_neuron],
    )  # fmt: skip
    keep = route(old, chip, before)
    routing = route(network, chip, placement, keep=keep, rip=True)
    assert_legal(network, chip, placement, routing)
    shift = network.first_neuron - old.first_neuron
    for source in range(old.sources):
        now = source + shift * (source >= old.first_neuron)
        if targets_of(old, chip, before, source) == targets_of(
            network, chip, placement, now
        ):
            assert same(keep, source, routing, now)


@given(networks(), st.data())
def test_after_any_move_of_neurons_kept_trees_are_pruned_and_mended(network, data):
    chip = roomy(network)
    before = data.draw(scattered(network, chip))
    after = data.draw(scattered(network, chip))
    keep = route(network, chip, before)
    routing = route(network, chip, after, keep=keep, rip=True)
    assert_legal(network, chip, after, routing)
    for source in range(network.sources):
        if start_of(network, chip, before, source) == start_of(
            network, chip, after, source
        ):
            was = targets_of(network, chip, before, source)
            now = targets_of(network, chip, after, source)
            old, new = (set(links_of(chip, r, source)) for r in (keep, routing))
            if was <= now:
                assert old <= new
            if now <= was:
                assert new <= old


def test_a_tree_whose_source_has_moved_cannot_stay_as_it_is():
    chip = Chip(2, 2, 2, 2, 2, 2)
    network, before = joined(chip, [(0, 3)], [0], [3])
    keep = route(network, chip, before)
    after = replace(before, tile=np.array([1, 3], np.int32))
    with pytest.raises(MosaicError, match=r"source 0 starts in another place.* rip=True"):
        route(network, chip, after, keep=keep)
    assert_legal(network, chip, after, route(network, chip, after, keep=keep, rip=True))


def test_where_kept_trees_are_in_the_way_some_may_be_ripped():
    chip, network, placement = crowded(neurons=200)
    least = minimum_lines(network, chip, placement).r0_lines + 1
    tight = replace(chip, r0_lines=least)
    network, placement = _readers_first(network, placement)
    # The first hundred laid by rule, without a thought for the others.
    half = prefix(network, 136)
    early = placed(placement.tile[:136], placement.slot[:136], [])
    keep = route(half, tight, early, router="one_turn")
    routing = route(network, tight, placement, keep=keep, rip=True)
    assert_legal(network, tight, placement, routing)
    kept = [i for i in range(136) if same(keep, i, routing, i)]
    assert 36 <= len(kept) < 136


def _readers_first(network, placement):
    """Renumber: the 36 readers are born first, so that the first sources reach them."""
    order = np.r_[network.neurons - 36 : network.neurons, 0 : network.neurons - 36]
    return network.reordered(order), placed(
        placement.tile[order], placement.slot[order], []
    )


@FEW
@given(networks(), st.data())
def test_a_second_routing_of_the_same_network_changes_nothing(network, data):
    chip = roomy(network)
    placement = data.draw(scattered(network, chip))
    keep = route(network, chip, placement, router="one_turn")
    for rip in (False, True):
        again = route(network, chip, placement, keep=keep, rip=rip)
        assert all(same(keep, i, again, i) for i in range(network.sources))


def test_every_round_reports_how_far_it_is_and_how_many_sources_are_too_many():
    chip, network, placement = crowded()
    tight = replace(chip, r0_lines=cut_bound(network, chip, placement) // 2)
    seen = []
    with pytest.raises(RoutingError) as refused:
        negotiated(
            network, tight, placement, keep=None, rip=False,
            search=Search(0.2, 0, lambda *report: seen.append(report)),
        )  # fmt: skip
    fractions, costs = zip(*seen, strict=True)
    assert list(fractions) == sorted(fractions)
    assert 0 < fractions[0] < fractions[-1] < 1
    assert f"in {len(seen)} rounds" in str(refused.value)
    assert f"have {costs[-1]} sources too many" in str(refused.value)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth.where.agents import Agents, Rules, grown, newborn
from growth.where.swaps import connection_cost, swapped
from mosaic_sim.errors import MosaicError


def plane(side):
    """Distances between the tiles of a square array."""
    y, x = np.divmod(np.arange(side * side), side)
    return abs(y[:, None] - y) + abs(x[:, None] - x)


def problem(seed, neurons=12, side=3):
    rng = np.random.default_rng(seed)
    flow = rng.random((neurons, neurons)) * (rng.random((neurons, neurons)) < 0.4)
    tile = rng.integers(0, side * side, neurons)
    anchor = rng.random((neurons, side * side)) * (seed % 2)
    return tile, flow, plane(side), anchor, rng.random(neurons)


# --- swaps -------------------------------------------------------------------------------


@given(st.integers(0, 9999), st.floats(0, 10))
def test_swaps_keep_their_books_and_never_lose(seed, inferences):
    tile, flow, hops, anchor, rewrite = problem(seed)
    found = swapped(tile, flow, hops, rewrite=rewrite, inferences=inferences, anchor=anchor)
    assert sorted(found.tile.tolist()) == sorted(tile.tolist())  # slots stay as full
    replay, paid, cost = tile.copy(), 0.0, connection_cost(tile, flow, hops, anchor)
    for a, b in found.pairs:
        assert replay[a] != replay[b]
        replay[[a, b]] = replay[[b, a]]
        paid += rewrite[a] + rewrite[b]
        less = connection_cost(replay, flow, hops, anchor)
        assert (cost - less) * inferences > rewrite[a] + rewrite[b] - 1e-9
        cost = less
    assert np.array_equal(replay, found.tile)
    assert found.paid == pytest.approx(paid)
    whole = connection_cost(tile, flow, hops, anchor) - cost
    assert found.saved == pytest.approx(whole, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_no_single_swap_pays_in_the_end(seed):
    tile, flow, hops, anchor, rewrite = problem(seed, neurons=9)
    found = swapped(
        tile, flow, hops, rewrite=rewrite, inferences=3.0, anchor=anchor, passes=99
    )
    cost = connection_cost(found.tile, flow, hops, anchor)
    for a in range(9):
        for b in range(a):
            other = found.tile.copy()
            other[[a, b]] = other[[b, a]]
            saved = cost - connection_cost(other, flow, hops, anchor)
            assert saved * 3.0 <= rewrite[a] + rewrite[b] + 1e-9


def test_two_mixed_modules_come_apart():
    module = np.arange(16) % 2
    flow = 1.0 * (module[:, None] == module)
    found = swapped(
        np.arange(16) // 8, flow, np.array([[0, 5], [5, 0]]), rewrite=np.ones(16),
        inferences=1.0,
    )  # fmt: skip
    assert {frozenset(found.tile[module == m].tolist()) for m in (0, 1)} == {
        frozenset({0}), frozenset({1}),
    }  # fmt: skip
    assert found.saved == connection_cost(
        np.arange(16) // 8, flow, np.array([[0, 5], [5, 0]])
    )


def test_only_the_busiest_try():
    flow = np.zeros((4, 4))
    flow[0, 3], flow[1, 2] = 9.0, 1.0
    line = abs(np.subtract.outer(range(4), range(4)))
    one = swapped(
        np.arange(4), flow, line, rewrite=np.zeros(4), inferences=1.0, busiest=1, passes=1
    )
    assert len(one.pairs) == 1
    assert one.pairs[0][0] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flow": np.zeros((2, 3))}, r"flow has shape \(2, 3\)"),
        ({"rewrite": np.zeros(2)}, r"rewrite \(2,\)"),
        ({"hops": np.array([[0, 1], [2, 0]])}, "both directions"),
    ],
)
def test_swaps_refuse_what_does_not_fit(change, message):
    given_ = {"flow": np.zeros((3, 3)), "hops": np.zeros((2, 2)), "rewrite": np.zeros(3)}
    parts = given_ | change
    with pytest.raises(MosaicError, match=message):
        swapped(
            np.zeros(3, int), parts["flow"], parts["hops"], rewrite=parts["rewrite"],
            inferences=1.0,
        )  # fmt: skip


# --- agents ------------------------------------------------------------------------------

INPUTS = np.array([[a, b] for a in (0, 1) for b in (0, 1)], bool)
LOGIC = {"and": INPUTS.all(1), "or": INPUTS.any(1), "first": INPUTS[:, 0]}


def periods(wanted, hops, rules=Rules(), count=20, spikes=INPUTS):  # noqa: B008
    agents = newborn(wanted.shape[1], spikes.shape[1])
    for _ in range(count):
        agents = grown(agents, spikes, wanted, hops, rules)
        assert agents.synapses.sum(1).max() <= rules.synapses
        assert agents.reach.max() <= rules.reach
        assert not agents.synapses[hops > agents.reach[:, None]].any()
    return agents


@pytest.mark.parametrize("name", LOGIC)
def test_logic_functions_grow_from_nothing(name):
    wanted = LOGIC[name][:, None]
    agents = periods(wanted, np.array([[3.0, 5.0]]))
    assert np.array_equal(agents.fire(INPUTS), wanted)
    again = grown(agents, INPUTS, wanted, np.array([[3.0, 5.0]]))
    assert np.array_equal(again.synapses, agents.synapses)  # and stay


def test_exclusive_or_grows_on_hidden_agents():
    either, both = LOGIC["or"], LOGIC["and"]
    hidden = periods(np.column_stack([either, ~both & either]), np.ones((2, 2)))
    assert np.array_equal(hidden.fire(INPUTS)[:, 0], either)
    xor = either & ~both
    # No single neuron with weights of 1 computes it.
    assert not np.array_equal(hidden.fire(INPUTS)[:, 1], xor)
    # With OR and NOT AND as sources, it is an AND.
    sources = np.column_stack([either, ~both])
    agents = periods(xor[:, None], np.ones((1, 2)), spikes=sources)
    assert np.array_equal(agents.fire(sources)[:, 0], xor)


def test_reach_synapses_and_price_bound_what_grows():
    wanted = LOGIC["or"][:, None]
    hops = np.array([[1.0, 9.0]])
    assert periods(wanted, hops, Rules(reach=4.0)).synapses.tolist() == [[True, False]]
    assert periods(wanted, hops, Rules(synapses=1)).synapses.sum() == 1
    assert periods(wanted, hops, Rules(price=0.01)).synapses.tolist() == [[True, False]]
    assert not periods(wanted, hops, Rules(price=0.2)).synapses.any()


def test_synapses_go_when_the_coincidence_is_gone():
    agents = periods(LOGIC["first"][:, None], np.ones((1, 2)))
    assert agents.synapses.tolist() == [[True, False]]
    after = grown(agents, INPUTS, INPUTS[:, 1:], np.ones((1, 2)))
    assert after.synapses.tolist() == [[False, True]]


def test_agents_refuse_what_does_not_fit():
    agents = Agents(np.zeros((1, 2), bool), np.zeros(1), np.ones(1))
    with pytest.raises(MosaicError, match=r"hops has shape \(2, 1\)"):
        grown(agents, INPUTS, INPUTS[:, :1], np.ones((2, 1)))

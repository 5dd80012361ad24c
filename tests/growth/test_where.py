import itertools
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth.host import Cost, Offer, Unlimited
from growth.where import (
    NO_LIMIT,
    POLICIES,
    Choice,
    Prices,
    Refusal,
    Request,
    choose,
    choose_sources,
    energy_of,
    fair_share,
    predicted,
    seat,
    telling_inputs,
    weigh,
)
from mosaic_sim.errors import MosaicError

# Quarters: sums and products of a few are exact, so that ties are ties.
quarters = st.integers(0, 16).map(lambda k: k / 4)


def table(draw, lines):
    return np.array([[draw(quarters) for _ in range(3)] for _ in range(lines)])


@st.composite
def offers(draw, lines, most=4):
    tiles = draw(st.permutations(range(6)))[: draw(st.integers(0, most))]
    return [
        Offer(
            tile, draw(st.integers(1, 6)), draw(st.integers(0, lines)),
            np.array(draw(st.lists(st.booleans(), min_size=lines, max_size=lines))),
            table(draw, lines), table(draw, lines), *(table(draw, 1)[0] for _ in range(3)),
            draw(st.integers(0, 4)), draw(quarters),
        )
        for tile in tiles
    ]  # fmt: skip


@st.composite
def problems(draw, rows=3, kinds=("widen", "open"), most=4):
    lines = draw(st.integers(1, 5))
    matrix = np.array(
        [
            [draw(quarters) - 2 for _ in range(lines)]
            for _ in range(draw(st.integers(1, rows)))
        ]
    )
    request = Request(
        matrix, draw(quarters), draw(st.just(inf) | quarters),
        *(
            (1, draw(st.integers(0, 2)), np.array(draw(st.lists(st.booleans(), min_size=lines,
                                                               max_size=lines))))
            if draw(st.sampled_from(kinds)) == "open" else ()
        ),
    )  # fmt: skip
    prices = Prices(*(draw(quarters) / 4 for _ in range(3)))
    return request, draw(offers(lines, most)), prices


budgets = st.builds(Cost, *[st.just(inf) | st.integers(0, 40).map(float)] * 3)


def account(request, offer, neurons, reads):
    """Oracle: cost of one way to grow, line by line and synapse by synapse."""
    total = np.zeros(3)
    arrive = offer.there.copy()
    gate_reads = request.gate_reads if request.gates or request.outputs else None
    for line in range(len(arrive)):
        wanted = [] if gate_reads is None or not gate_reads[line] else [request.gates]
        wanted += [neurons] if reads[line] and neurons else []
        if wanted and not arrive[line]:
            total += offer.bring[line]
            arrive[line] = True
        total += sum(wanted) * offer.synapse[line]
    total += neurons * (offer.send + len(request.matrix) * offer.feed)
    total += (neurons + request.outputs + request.gates) * offer.neuron
    return Cost(*total), int((arrive & ~offer.there).sum())


def ways(request, offer):
    """Oracle: every number of neurons on every set of lines that the tile has room for."""
    room = min(offer.slots - request.outputs - request.gates, offer.sends)
    lines = request.matrix.shape[1]
    for neurons in range(room + 1):
        for bits in itertools.product([False, True], repeat=lines if neurons else 0):
            reads = np.array(bits) if neurons else np.zeros(lines, bool)
            singular = np.linalg.svd(request.matrix[:, reads], compute_uv=False)
            if neurons > int((singular > 1e-9).sum()):
                continue
            cost, new = account(request, offer, neurons, reads)
            if new <= offer.lines:
                gain = request.leverage * (singular[:neurons] ** 2).sum()
                yield neurons, reads, predicted(request, gain), cost


# --- which lines -------------------------------------------------------------------------


def share(matrix, reads, k):
    return (np.linalg.svd(matrix[:, reads], compute_uv=False)[:k] ** 2).sum()


def best_share(matrix, there, lines, k, price):
    """Oracle: every set of lines."""
    found = []
    for bits in itertools.product([False, True], repeat=matrix.shape[1]):
        reads = np.array(bits)
        if (reads & ~there).sum() <= lines:
            found.append(share(matrix, reads, k) - price[reads].sum())
    return max(found)


@pytest.mark.parametrize("seed", range(30))
def test_lines_are_the_best_of_all_sets_if_there_are_as_many_neurons_as_rows(seed):
    rng = np.random.default_rng(seed)
    rows, lines = rng.integers(1, 4), 8
    matrix, there = rng.normal(size=(rows, lines)), rng.random(lines) < 0.3
    price, more = rng.random(lines) * rng.integers(0, 3), int(rng.integers(0, 6))
    reads = choose_sources(matrix, there=there, lines=more, neurons=int(rows), price=price)
    assert (reads & ~there).sum() <= more
    best = best_share(matrix, there, more, rows, price)
    assert share(matrix, reads, rows) - price[reads].sum() == pytest.approx(best)


def test_with_fewer_neurons_than_rows_lines_are_within_some_percent_of_the_best():
    ratios = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        matrix, there = rng.normal(size=(4, 9)), rng.random(9) < 0.3
        k, more = int(rng.integers(1, 4)), int(rng.integers(1, 5))
        reads = choose_sources(matrix, there=there, lines=more, neurons=k)
        best = best_share(matrix, there, more, k, np.zeros(9))
        ratios.append(share(matrix, reads, k) / best)
    assert max(ratios) <= 1 + 1e-9
    assert min(ratios) > 0.85
    assert np.mean(np.array(ratios) > 1 - 1e-9) > 0.75


def test_lines_that_are_there_are_shared_before_others_are_brought():
    matrix = np.array([[1.0, 2.0, 2.0, 0.0]])
    there = np.array([True, False, False, True])
    none = choose_sources(matrix, there=there, lines=0, neurons=1)
    assert none.tolist() == [
        True,
        False,
        False,
        True,
    ]  # a free line without a share is free
    one = choose_sources(matrix, there=there, lines=1, neurons=1)
    assert one.tolist() == [True, True, False, True]  # ties go to the first


def test_a_line_that_costs_more_than_its_share_is_not_read_even_if_it_is_there():
    matrix, there = np.array([[2.0, 1.0, 3.0]]), np.array([True, True, False])
    price = np.array([3.5, 1.5, 9.5])
    reads = choose_sources(matrix, there=there, lines=3, neurons=1, price=price)
    assert reads.tolist() == [True, False, False]


@pytest.mark.parametrize(
    "wrong", [{"lines": -1}, {"neurons": 0}, {"there": np.ones(4, bool)}]
)
def test_lines_cannot_be_chosen_by_nonsense(wrong):
    settings = {"there": np.ones(3, bool), "lines": 1, "neurons": 1} | wrong
    with pytest.raises(MosaicError, match="need"):
        choose_sources(np.ones((1, 3)), **settings)


def test_energy_of_is_the_singular_values_without_zeros():
    matrix = np.random.default_rng(0).normal(size=(3, 2)) @ np.ones((2, 5))
    reads = np.array([True, True, False, True, False])
    singular = np.linalg.svd(matrix[:, reads], compute_uv=False)
    assert energy_of(matrix, reads) == pytest.approx(singular[:1] ** 2)
    assert energy_of(matrix, ~reads & reads).size == 0
    assert energy_of(0 * matrix, reads).size == 0


def left_over(inputs, chosen, ridge):
    """Oracle: what regression on the chosen inputs leaves of all, with that much noise on each."""
    cov = np.cov(inputs.T, bias=True) + ridge * np.eye(inputs.shape[1])
    c = cov[:, chosen]
    return np.trace(cov - c @ np.linalg.solve(cov[np.ix_(chosen, chosen)], c.T))


def test_the_gate_looks_at_inputs_that_leave_least_unexplained_one_by_one():
    rng = np.random.default_rng(0)
    inputs = rng.random((40, 3)) @ rng.random((3, 7)) + 0.2 * rng.random((40, 7))
    expected = []
    for _ in range(4):
        rest = [j for j in range(7) if j not in expected]
        expected.append(min(rest, key=lambda j: left_over(inputs, [*expected, j], 0.01)))
    chosen = telling_inputs(inputs, 4, ridge=0.01)
    assert sorted(expected) == np.flatnonzero(chosen).tolist()
    assert telling_inputs(inputs, 7).all()
    assert telling_inputs(inputs, 99).all()
    with pytest.raises(MosaicError, match="count is 0"):
        telling_inputs(inputs, 0)


# --- the decision ------------------------------------------------------------------------


@given(problems(rows=1), st.data())
def test_with_one_direction_the_choice_is_the_best_of_all_ways(problem, data):
    """One row, and a benefit in proportion: lines are independent, and the answer is exact."""
    request, tiles, prices = problem
    request = replace(request, loss=inf)
    choice = choose(request, tiles, prices)
    found = [
        (benefit - prices.of(cost), -offer.tile, -neurons)
        for offer in tiles
        for neurons, _, benefit, cost in ways(request, offer)
        if offer.slots - request.outputs - request.gates >= 1
    ]
    if isinstance(choice, Refusal):
        assert all(neurons == 0 for _, _, neurons in found)
        return
    # A tile on which no neuron could read anything is no place, however cheap.
    places = {tile for _, tile, neurons in found if neurons}
    best = max(one for one in found if one[1] in places)[0]
    assert choice.benefit - choice.price == pytest.approx(best, abs=1e-9)


@given(problems(), budgets)
def test_no_budget_room_or_line_is_ever_exceeded(problem, left):
    request, tiles, prices = problem
    for policy in POLICIES.values():
        choice = choose(
            request, tiles, prices, left=left, policy=policy, rng=np.random.default_rng(0)
        )
        if isinstance(choice, Refusal):
            continue
        (offer,) = (offer for offer in tiles if offer.tile == choice.tile)
        cost, new = account(request, offer, choice.neurons, choice.reads)
        assert choice.cost.within(left)
        assert choice.cost == pytest.approx(cost, abs=1e-9)
        assert choice.entry == pytest.approx(
            account(request, offer, 0, choice.reads)[0], abs=1e-9
        )
        assert new <= offer.lines
        assert choice.neurons <= offer.sends
        assert choice.neurons + request.outputs + request.gates <= offer.slots
        assert choice.benefit <= request.loss
        assert choice.reads.any() == bool(choice.neurons)


@given(problems())
def test_at_price_0_the_choice_is_the_cost_blind_one(problem):
    request, tiles, prices = problem
    free = choose(request, tiles, Prices())
    blind = choose(request, tiles, prices, policy=POLICIES["cost-blind"])
    if isinstance(free, Refusal):
        assert blind == free
        return
    assert (free.tile, free.neurons, free.price) == (blind.tile, blind.neurons, 0)
    assert np.array_equal(free.reads, blind.reads)
    each = [weigh(request, offer, Prices()) for offer in tiles]
    assert free.benefit == max(c.benefit for c in each if isinstance(c, Choice))


@given(problems(), st.floats(1e9, 1e15))
def test_at_a_huge_price_nothing_grows_that_costs_anything(problem, price):
    request, tiles, _ = problem
    dear = [
        replace(o, bring=o.bring + 1, synapse=o.synapse + 1, feed=o.feed + 1) for o in tiles
    ]
    choice = choose(request, dear, Prices(joules=price))
    assert isinstance(choice, Refusal) or (choice.neurons == 0 and not choice.pays)


@given(problems(rows=1), st.floats(1.0, 10.0))
def test_dearer_never_means_more(problem, factor):
    request, tiles, prices = problem
    request = replace(request, loss=inf)
    before = choose(request, tiles, prices)
    after = choose(request, tiles, Prices(*(prices.vector * factor)))
    if isinstance(before, Choice) and isinstance(after, Choice):
        # Both at the first prices: the cost of an optimum falls as its price rises.
        assert prices.of(after.cost) <= prices.of(before.cost) + 1e-9
        assert after.benefit - after.price <= before.benefit - before.price + 1e-9


@given(problems())
def test_of_equal_tiles_the_lowest_wins_in_whatever_order_they_are_offered(problem):
    request, tiles, prices = problem
    twins = [replace(tiles[0], tile=tile) for tile in (3, 1, 2)] if tiles else []
    for policy in POLICIES.values():
        if policy.rank is not None and twins:
            for order in (twins, twins[::-1]):
                choice = choose(request, order, prices, policy=policy)
                assert isinstance(choice, Refusal) or choice.tile == 1


def test_the_benefit_is_first_order_at_first_and_never_the_whole_loss():
    request = Request(np.zeros((1, 1)), 1.0, loss=0.5)
    assert predicted(request, 1e-9) == pytest.approx(1e-9)
    assert predicted(request, 0.5) == pytest.approx(0.5 * (1 - np.exp(-1)))
    assert predicted(request, 1e9) <= 0.5
    assert predicted(replace(request, loss=0.0), 1.0) == 0


def offer(tile=0, *, slots=4, lines=2, there=(0, 0), bring=1.0, sends=9, distance=0.0):
    """A tile whose costs are `bring` for a line and 1 device for a synapse."""
    there = np.array(there, bool)
    size = there.size
    return Offer(
        tile, slots, lines, there, np.full((size, 3), bring), np.tile([0.0, 1, 1], (size, 1)),
        np.zeros(3), np.zeros(3), np.zeros(3), sends, distance,
    )  # fmt: skip


TWO = Request(np.array([[2.0, 1.0]]), leverage=1.0, loss=10.0)


def test_scarce_lines_go_to_the_largest_share_and_are_shared():
    assert choose(TWO, [offer(lines=1)], Prices()).reads.tolist() == [True, False]
    shared = choose(TWO, [offer(lines=1, there=(1, 0))], Prices())
    assert shared.reads.tolist() == [True, True]
    assert shared.cost == Cost(1, 3, 3)  # one line brought, two synapses


@given(problems(), budgets)
def test_a_line_that_may_not_be_read_is_not(problem, left):
    request, tiles, _ = problem
    readable = np.arange(request.matrix.shape[1]) % 2 == 0
    choice = choose(replace(request, readable=readable), tiles, Prices(), left=left)
    assert isinstance(choice, Refusal) or not choice.reads[~readable].any()
    shut = replace(TWO, readable=np.zeros(2, bool))
    assert choose(shut, [offer(there=(1, 1))], Prices()).neurons == 0


@pytest.mark.parametrize(
    ("tile", "request_", "left", "reason"),
    [
        (offer(slots=0), TWO, NO_LIMIT, "no free slot"),
        (offer(slots=3), replace(TWO, outputs=2, gates=1), NO_LIMIT, "no tile with room"),
        (offer(lines=0), TWO, NO_LIMIT, "no free line"),
        (offer(sends=0), TWO, NO_LIMIT, "no free line"),
        (
            offer(lines=1),
            replace(TWO, outputs=1, gates=1, gate_reads=np.ones(2, bool)), NO_LIMIT,
            "no free line",
        ),
        (offer(), TWO, Cost(0.5, inf, inf), "energy budget"),
        (offer(), TWO, Cost(inf, 1.5, inf), "device budget"),
        (offer(), TWO, Cost(inf, inf, 1.5), "write budget"),
        (
            offer(), replace(TWO, outputs=1, gates=1, gate_reads=np.ones(2, bool)),
            Cost(inf, 3.5, inf), "device budget",
        ),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_missing(tile, request_, left, reason):
    assert choose(request_, [tile], Prices(), left=left) == Refusal(reason)
    # The reason of the tile that came furthest.
    assert choose(request_, [offer(slots=0), tile], Prices(), left=left) == Refusal(reason)


def test_without_tiles_there_is_no_free_one():
    assert choose(TWO, [], Prices()) == Refusal("no free slot")
    assert choose(replace(TWO, outputs=1), [], Prices()) == Refusal("no tile with room")


def test_a_choice_is_cut_to_what_is_left():
    choice = choose(TWO, [offer()], Prices(), left=Cost(inf, 2.5, inf))
    assert (choice.neurons, choice.reads.tolist()) == (1, [True, False])
    assert choose(TWO, [offer()], Prices(), left=Cost(inf, 4, inf)).reads.all()


def test_not_even_rounding_exceeds_a_budget():
    for seed in range(300):
        rng = np.random.default_rng(seed)
        tile = replace(
            offer(there=(0,) * 5, lines=5), bring=rng.random((5, 3)),
            synapse=rng.random((5, 3)), send=rng.random(3), feed=rng.random(3),
        )  # fmt: skip
        request = replace(TWO, matrix=rng.random((2, 5)))
        whole = choose(request, [tile], Prices()).cost
        left = Cost(np.nextafter(whole.joules, 0), inf, inf)
        found = choose(request, [tile], Prices(), left=left)
        assert isinstance(found, Refusal) or found.cost.within(left)


def test_policies_rank_tiles_by_what_their_name_says():
    tiles = [
        offer(0, lines=2, bring=8.0, distance=2.0), offer(1, lines=1, bring=1.0, distance=3.0),
        offer(2, lines=2, bring=2.0, distance=4.0), offer(3, lines=1, bring=3.0, distance=1.0),
    ]  # fmt: skip
    prices = Prices(joules=0.1)
    taken = {
        name: choose(
            TWO, tiles, prices, policy=policy, rng=np.random.default_rng(1)
        ).tile
        for name, policy in POLICIES.items() if name != "random"
    }  # fmt: skip
    assert taken == {"price": 2, "cost-blind": 0, "benefit-blind": 1, "nearest": 3}
    drawn = {
        choose(
            TWO, tiles, prices, policy=POLICIES["random"], rng=np.random.default_rng(seed)
        ).tile
        for seed in range(40)
    }
    assert drawn == {0, 1, 2, 3}
    with pytest.raises(MosaicError, match="needs rng"):
        choose(TWO, tiles, prices, policy=POLICIES["random"])


def test_blind_policies_prefer_a_tile_where_something_grows():
    dear, fine = offer(0, bring=900.0), offer(1, bring=1.0, distance=9.0)
    for name in ("benefit-blind", "nearest", "random"):
        choice = choose(
            TWO, [dear, fine], Prices(joules=1.0), policy=POLICIES[name],
            rng=np.random.default_rng(0),
        )  # fmt: skip
        assert (choice.tile, choice.neurons) == (1, 1)


def test_gate_neurons_are_seated_where_they_cost_least_each():
    reads, prices = np.ones(2, bool), Prices(joules=1.0)
    tiles = [offer(4, slots=9, bring=3.0), offer(2, slots=1), offer(3, slots=9)]
    found = seat(tiles, reads, 2, prices)
    assert (found.tile, found.neurons, found.cost) == (3, 2, Cost(2, 6, 6))
    assert seat(tiles[1:2], reads, 2, prices).neurons == 1
    firing = replace(tiles[2], neuron=np.array([0.5, 0, 0]))
    assert seat([firing], reads, 2, prices).cost == Cost(3, 6, 6)
    assert seat(tiles, reads, 2, prices, left=Cost(inf, 4, inf)).neurons == 1
    assert seat(tiles, reads, 2, prices, left=Cost(inf, 3, inf)) == Refusal("device budget")
    assert seat([offer(lines=1)], reads, 1, prices) == Refusal("no free line")
    assert seat([offer(slots=0)], reads, 1, prices) == Refusal("no free slot")


# --- multipliers -------------------------------------------------------------------------

amounts = st.floats(0, 1e6)


@given(
    st.builds(Prices, amounts, amounts, amounts), st.builds(Cost, amounts, amounts, amounts),
    st.builds(Cost, *[st.floats(1e-3, 1e6) | st.just(inf)] * 3), st.floats(0, 10),
)  # fmt: skip
def test_prices_rise_when_too_much_is_spent_and_never_below_0(prices, spent, fair, rate):
    after = prices.updated(spent, fair, rate=rate)
    for old, new, used, share_ in zip(
        prices.vector, after.vector, spent, fair, strict=True
    ):
        if share_ == inf:
            assert new == old
            continue
        expected = max(0.0, old + rate * (used / share_ - 1) / share_)
        assert new == pytest.approx(expected, rel=1e-9, abs=1e-12 * (1 + old))
        assert new >= 0


def test_in_the_long_run_prices_hold_spending_at_its_share():
    """Requests without end, each worth more or less at random: dual descent paces them."""
    rng, prices, budget = np.random.default_rng(0), Prices(), Cost(inf, 300.0, inf)
    spent, when = Cost(), []
    for number in range(100):
        benefit, devices = rng.random(), 10 * rng.random()
        cost = Cost(0.0, devices, devices)
        bought = benefit > prices.of(cost) and spent.plus(cost).within(budget)
        now = cost if bought else Cost()
        spent = spent.plus(now)
        when += [number] * bought
        prices = prices.updated(now, fair_share(budget, 100), rate=0.05)
    assert 0.75 * 300 < spent.devices <= 300
    assert max(when) > 85  # without prices all is gone after some 60 requests


@pytest.mark.parametrize("wrong", [-1.0, inf, float("nan")])
def test_prices_are_finite_and_not_negative(wrong):
    with pytest.raises(MosaicError, match=r"Prices\.writes"):
        Prices(writes=wrong)


def test_a_budget_lasts_for_at_least_one_task():
    with pytest.raises(MosaicError, match="tasks is 0"):
        fair_share(NO_LIMIT, 0)


@pytest.mark.parametrize("expert", [None, 0])
def test_an_unlimited_host_has_one_free_place_for_everything(expert):
    host = Unlimited()
    host.claim(0, 0, "hidden", 1000, np.ones(2, bool))
    (only,) = host.offers(np.ones(2), expert, 1.0)
    assert min(only.slots, only.lines, only.sends) > 10**6
    assert only.there.all()
    for cost in (only.bring, only.synapse, only.send, only.feed, only.neuron):
        assert not cost.any()

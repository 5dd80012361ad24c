import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth.host import Offer, Unlimited
from growth.where import choose

# Eighths: every sum and product below is exact, so that ties are ties.
eighths = st.integers(0, 32).map(lambda k: k / 8)


@st.composite
def problems(draw):
    tiles = draw(st.permutations(range(5)))[: draw(st.integers(0, 5))]
    offers = [
        Offer(tile, draw(st.integers(0, 7)), draw(eighths), draw(eighths)) for tile in tiles
    ]
    singular = sorted(draw(st.lists(eighths, max_size=6)), reverse=True)
    settings = {
        "leverage": draw(eighths), "exchange": draw(eighths),
        "ceiling": draw(st.just(float("inf")) | eighths), "reserve": draw(st.integers(0, 3)),
    }  # fmt: skip
    return singular, offers, settings


def best_of_all(singular, offers, *, leverage, exchange, ceiling, reserve):
    """Oracle: try every number of neurons on every tile; first by account, then few, then low."""
    found = []
    for offer in offers:
        for k in range(min(offer.room - reserve, len(singular)) + 1):
            if offer.room - reserve < 1:
                continue
            benefit = min(sum(leverage * s**2 for s in singular[:k]), ceiling)
            joules = offer.bring + (reserve + k) * offer.neuron
            found.append((-(benefit - exchange * joules), offer.tile, k, benefit, joules))
    return min(found) if found else None


@given(problems())
def test_choose_is_the_best_of_all_tiles_and_numbers_of_neurons(problem):
    singular, offers, settings = problem
    choice = choose(singular, offers, **settings)
    best = best_of_all(singular, offers, **settings)
    if best is None:
        assert choice is None
        return
    loss, tile, k, benefit, joules = best
    assert (choice.tile, choice.neurons) == (tile, k)
    assert (choice.benefit, choice.joules) == (benefit, joules)
    assert choice.benefit - choice.price == -loss


@given(problems())
def test_room_reserve_and_ceiling_are_never_exceeded(problem):
    singular, offers, settings = problem
    choice = choose(singular, offers, **settings)
    if choice is not None:
        (offer,) = (offer for offer in offers if offer.tile == choice.tile)
        assert choice.neurons + settings["reserve"] <= offer.room
        assert choice.benefit <= settings["ceiling"]


@given(problems())
def test_at_exchange_0_the_choice_is_blind_to_cost(problem):
    singular, offers, settings = problem
    blind = [Offer(o.tile, o.room, 0.0, 0.0) for o in offers]
    choice = choose(singular, offers, **(settings | {"exchange": 0.0}))
    other = choose(singular, blind, **(settings | {"exchange": 1.0}))
    if choice is None:
        assert other is None
    else:
        assert (choice.tile, choice.neurons) == (other.tile, other.neurons)
        assert choice.price == 0


@given(problems(), st.floats(1e6, 1e12))
def test_at_a_huge_exchange_nothing_grows(problem, exchange):
    singular, offers, settings = problem
    dear = [Offer(o.tile, o.room, o.bring, o.neuron + 0.125) for o in offers]
    choice = choose(singular, dear, **(settings | {"exchange": exchange}))
    assert choice is None or (choice.neurons == 0 and choice.benefit <= choice.price)


def test_of_equal_tiles_the_first_wins_in_whatever_order_they_are_offered():
    offers = [Offer(tile, 4, 1e-9, 1e-10) for tile in (3, 1, 2)]
    for order in (offers, offers[::-1]):
        assert choose([1.0], order, leverage=1.0, exchange=1.0).tile == 1


def test_without_room_there_is_no_choice():
    assert choose([1.0], [], leverage=1.0, exchange=0.0) is None
    assert (
        choose([1.0], [Offer(0, 3, 0.0, 0.0)], leverage=1.0, exchange=0.0, reserve=3)
        is None
    )


@pytest.mark.parametrize("expert", [None, 0])
def test_an_unlimited_host_has_one_free_place_for_everything(expert):
    host = Unlimited()
    host.claim(0, 0, 1000)
    (offer,) = host.offers([1.0], expert)
    assert offer.room > 10**6
    assert (offer.bring, offer.neuron) == (0, 0)

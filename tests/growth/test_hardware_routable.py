import numpy as np
import pytest
import torch
from hypothesis import given, target
from hypothesis import strategies as st

from growth.hardware import TiledNetwork, rewire
from growth.hardware.routable import skeleton, strong_weights
from mosaic_sim import Chip, MosaicError, compile_program, route
from mosaic_sim.route import check_routing

K, WEAK = 4, 0.3


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small(seed=0, profile=None, **changes):
    return TiledNetwork(
        2,
        3,
        K,
        inputs=3,
        outputs=2,
        profile=profile or {1: 0.6, 3: 0.3},
        seed=seed,
        **changes,
    )


def with_lines(tile, r0, r1=K):
    return Chip(2, 3, K, tile, r0, max(r1, K))


def counted(net, threshold):
    """Oracle: strong weights of each connection, one at a time."""
    count = np.zeros((net.neurons, net.grid.tiles), int)
    mask, weight = net.mask.numpy(), net.recurrent.detach().numpy()
    for i in range(net.neurons):
        for j in range(net.neurons):
            if mask[i, j] and abs(weight[i, j]) >= threshold:
                count[j, i // K] += 1
    return count


def between(net):
    return (net.reach & ~net.own).numpy()


@given(
    st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 6), st.integers(1, K),
    st.fixed_dictionaries({1: st.floats(0, 1), 3: st.floats(0, 1), 5: st.floats(0, 0.5)}),
)  # fmt: skip
def test_after_every_call_the_network_routes_and_obeys_the_rules(
    seed, tile, r0, keep, profile
):
    net, chip = small(seed), with_lines(tile, r0)
    source, routing, refused = seeded(seed), None, 0
    for _ in range(3):
        before, weights = net.reach.clone(), net.recurrent.detach().clone()
        count = counted(net, WEAK)
        done = rewire(
            net, chip, profile=profile, threshold=WEAK, keep=keep, generator=source,
            routing=routing,
        )  # fmt: skip
        placement = net.placement(chip)
        check_routing(skeleton(net), chip, placement, done.routing)
        network = net.to_network()
        final = route(network, chip, placement, keep=done.routing, rip=True)
        compile_program(network, chip, placement, final)
        # Barred and protected connections are what they were; weights live on connections only.
        assert torch.equal(net.reach & net.own, before & net.own)
        assert not (net.reach & net.barred).any()
        assert not net.recurrent[~net.mask].any()
        made = np.zeros_like(before.numpy())
        made[tuple(done.created.T)] = True
        old = torch.from_numpy(~made) & net.reach & before
        same = old.t().repeat_interleave(K, 0)
        assert torch.equal(net.recurrent[same], weights[same])
        # What is left was there or is new; what was weak is gone, or was drawn again.
        safe = net.output_tiles[None].numpy() | net.own.numpy()
        weak = before.numpy() & ~safe & (count < keep)
        lost = np.zeros_like(made)
        lost[tuple(done.refused.T)] = True
        assert np.array_equal(
            between(net), ((between_of(before, net) & ~weak) | made) & ~lost
        )
        assert {tuple(p) for p in done.pruned} == set(
            zip(*np.nonzero(weak & ~made), strict=True)
        )
        assert not between(net)[lost].any()
        assert bool(done.over) == bool(done.refused.size)
        assert done.connections == between(net).sum()
        if routing is not None:  # what was routed before stays
            assert not (lost & before.numpy() & ~weak).any()
        refused += len(done.refused)
        routing = done.routing
    target(float(refused))


def between_of(reach, net):
    return (reach & ~net.own).numpy()


def test_on_a_wide_chip_each_tile_gets_the_share_of_each_distance():
    net, wide = small(), with_lines(64, 64, 64)
    profile = {1: 0.75, 3: 0.5, 5: 0.25}
    done = rewire(net, wide, profile=profile, threshold=1e6, keep=1, generator=seeded())
    assert not done.refused.size
    assert not done.over
    hops = net.grid.tile_hops
    for tile in range(5):  # all but the one whose neurons do not all send
        for distance, share in profile.items():
            there = hops[tile] == distance
            rows = between(net)[tile * K : tile * K + K][:, there]
            assert rows.sum() == max(
                round(share * rows.size), rows[:, net.output_tiles[there]].sum()
            )
    senders = K - 2
    last = between(net)[5 * K :]
    assert last.sum() == sum(
        round(share * senders * (hops[5] == d).sum()) for d, share in profile.items()
    )


def test_new_weights_are_beyond_the_threshold_and_of_both_signs():
    net = small(profile={1: 0.0})
    done = rewire(
        net,
        with_lines(64, 64, 64),
        profile={1: 1.0},
        threshold=0.5,
        generator=seeded(),
        keep=2,
    )
    new = net.recurrent.detach()[
        done.created[:, 1, None] * K + np.arange(K), done.created[:, :1]
    ]
    assert new.abs().min() > 0.5
    z = (new.abs() / 0.5 - 1).numpy()
    assert z.mean() == pytest.approx(np.sqrt(2 / np.pi), abs=0.1)  # of |n|
    assert 0.4 < (new > 0).float().mean() < 0.6


def test_strong_weights_are_counted_by_connection():
    net = small(3)
    assert np.array_equal(strong_weights(net, WEAK).numpy(), counted(net, WEAK))


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_optimisers_forget_weights_that_are_gone_or_new(kind):
    net = small(1, gain=5.0)
    more = {"amsgrad": True} if kind is torch.optim.Adam else {"momentum": 0.9}
    optimiser = kind(net.parameters(), 0.01, **more)
    for _ in range(2):
        net.run(torch.ones(5, 2, 3)).membranes.square().mean().backward()
        optimiser.step()
    state = optimiser.state[net.recurrent]
    moments = {
        k: v.fill_(3.0).clone() for k, v in state.items() if torch.is_tensor(v) and v.ndim
    }
    before = net.reach.clone()
    done = rewire(
        net, with_lines(2, 2), profile={1: 0.5}, threshold=WEAK, keep=2, generator=seeded(),
        optimiser=optimiser,
    )  # fmt: skip
    assert done.pruned.size or done.refused.size
    fresh = before != net.reach
    fresh[tuple(done.created.T)] = True
    changed = fresh.t().repeat_interleave(K, 0)
    assert moments
    for name, was in moments.items():
        assert changed.any()
        assert not state[name][changed].any()
        assert torch.equal(state[name][~changed], was[~changed])


@pytest.mark.parametrize(("change", "words"), [
    ({"profile": {2: 0.5}}, "profile has the distance 2"), ({"profile": {1: 1.5}}, "is 1.5"),
    ({"keep": 5}, "integer from 1 to 4"), ({"threshold": 0.0}, "threshold is 0.0"),
    ({"spread": -1.0}, "spread is -1.0"),
])  # fmt: skip
def test_settings_out_of_range_are_refused(change, words):
    good = {"profile": {1: 0.5}, "threshold": WEAK, "keep": 2, "generator": seeded()}
    with pytest.raises(MosaicError, match=words):
        rewire(small(), with_lines(8, 8), **{**good, **change})


def test_another_grid_is_refused():
    with pytest.raises(MosaicError, match="made for 2 x 3"):
        rewire(
            small(), Chip(3, 3, K, 4, 4, 4), profile={}, threshold=1.0, keep=1,
            generator=seeded(),
        )  # fmt: skip

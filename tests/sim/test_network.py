import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from strategies import FEW, chain, networks

from mosaic_sim import MosaicError, Network, join


def synapses(network, shift=0, birth=None):
    """Oracle's view: {(source, target, weight, delay)} with sources by name."""

    def name(source):
        if source < network.inputs:
            return f"input {source}"
        if source < network.first_neuron:
            return "bias"
        return born(source - network.first_neuron)

    def born(neuron):
        return shift + (neuron if birth is None else birth.index(neuron))

    return {
        (name(s), born(t), w, d)
        for s, t, w, d in zip(
            network.source.tolist(),
            network.target.tolist(),
            network.weight.tolist(),
            network.delay.tolist(),
            strict=True,
        )
    }


@given(networks(), st.randoms())
def test_the_order_of_a_list_of_synapses_does_not_matter(network, random):
    listed = list(
        zip(network.source, network.target, network.weight, network.delay, strict=True)
    )
    random.shuffle(listed)
    source, target, weight, delay = zip(*listed, strict=True) if listed else ((),) * 4
    again = Network.from_synapses(
        inputs=network.inputs,
        neurons=network.neurons,
        bias=network.bias,
        source=source,
        target=target,
        weight=weight,
        delay=delay,
        leak=network.leak,
        threshold=network.threshold,
        reset=network.reset,
    )
    assert synapses(again) == synapses(network)
    assert again.sources == network.inputs + network.bias + network.neurons
    for i in range(network.sources):  # CSR: the synapses of source i lie together
        part = slice(again.offsets[i], again.offsets[i + 1])
        assert (again.source[part] == i).all()


@given(networks())
def test_synapses_without_delay_only_point_forward_in_the_order(network):
    assert sorted(network.order.tolist()) == list(range(network.neurons))
    position = network.order.tolist().index
    for s, t, d in zip(network.source, network.target, network.delay, strict=True):
        if d == 0 and s >= network.first_neuron:
            assert position(s - network.first_neuron) < position(t)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_cycle_is_refused_without_delay_and_welcome_with_one(size):
    ring = {
        "inputs": 1,
        "neurons": size,
        "source": range(1, size + 1),
        "target": [*range(1, size), 0],
        "weight": [1.0] * size,
    }
    with pytest.raises(MosaicError, match="cycle through neurons") as refused:
        Network.from_synapses(**ring)
    named = [int(x) for x in re.findall(r"(?<=[ >])\d+(?= ->|;)", str(refused.value))]
    assert sorted(named[:-1]) == list(range(size))
    assert all((a + 1) % size == b for a, b in pairwise(named))
    delays = [0] * (size - 1) + [1]  # one step anywhere in the ring is enough
    assert Network.from_synapses(**ring, delay=delays).synapses == size


def test_only_neurons_of_the_cycle_are_named():
    with pytest.raises(MosaicError, match=r"through neurons (1 -> 2 -> 1|2 -> 1 -> 2);"):
        Network.from_synapses(  # 0 -> 1 <-> 2 -> 3
            inputs=0, neurons=4, source=[0, 1, 2, 2], target=[1, 2, 1, 3], weight=1.0
        )


def test_scalars_hold_for_all():
    network = chain(neurons=3, delay=2, leak=0.5, threshold=0.25, reset="none")
    assert network.delay.tolist() == [2, 2, 2]
    assert network.leak.tolist() == [0.5, 0.5, 0.5]
    assert network.threshold.tolist() == [0.25, 0.25, 0.25]
    assert network.reset.tolist() == [2, 2, 2]


@FEW
@given(networks(), st.data())
def test_reordered_renames_neurons_and_nothing_else(network, data):
    birth = data.draw(st.permutations(range(network.neurons)))
    group = data.draw(st.lists(st.sampled_from(birth), unique=True))
    named = Network.from_synapses(
        inputs=network.inputs, neurons=network.neurons, bias=network.bias,
        source=network.source, target=network.target, weight=network.weight,
        delay=network.delay, leak=network.leak, threshold=network.threshold,
        reset=network.reset, groups={"some": group},
    )  # fmt: skip
    new = named.reordered(birth)
    assert synapses(new) == synapses(network, birth=birth)
    for name in ("leak", "threshold", "reset"):
        assert getattr(new, name).tolist() == [getattr(network, name)[j] for j in birth]
    assert [birth[k] for k in new.groups["some"]] == group


@pytest.mark.parametrize("birth", [[0, 0, 1], [0, 1], [1, 2, 3]])
def test_reordered_needs_every_neuron_once(birth):
    with pytest.raises(MosaicError, match="each of the 3 neurons exactly once"):
        chain(neurons=3).reordered(birth)


@FEW
@given(networks(inputs=2), networks(inputs=2), networks(inputs=2))
def test_join_puts_networks_side_by_side(a, b, c):
    parts = [net for net in (a, b, c) if net.inputs == a.inputs]
    whole = join({str(k): net for k, net in enumerate(parts)})
    births = np.cumsum([0, *(net.neurons for net in parts)]).tolist()
    expected = set()
    for net, birth in zip(parts, births, strict=False):
        expected |= synapses(net, shift=birth)
    assert synapses(whole) == expected
    assert whole.bias == any(net.bias for net in parts)
    for name in ("leak", "threshold", "reset"):
        joined = [x for net in parts for x in getattr(net, name).tolist()]
        assert getattr(whole, name).tolist() == joined


def test_join_prefixes_groups_and_shifts_their_neurons():
    one = chain(neurons=2, groups={"layer 0": [0], "layer 1": [1]})
    whole = join({"expert 0": one, "expert 1": one})
    assert {name: who.tolist() for name, who in whole.groups.items()} == {
        "expert 0/layer 0": [0],
        "expert 0/layer 1": [1],
        "expert 1/layer 0": [2],
        "expert 1/layer 1": [3],
    }


def test_join_refuses_networks_of_different_inputs_and_an_empty_list():
    with pytest.raises(MosaicError, match=r"same input channels; got \[1, 2\]"):
        join({"a": chain(), "b": chain(inputs=2)})
    with pytest.raises(MosaicError, match="at least one network"):
        join({})


def test_with_weights_changes_weights_only():
    network = chain(neurons=2, leak=0.5)
    other = network.with_weights(np.array([3, -1], np.float32))
    assert other.weight.tolist() == [3, -1]
    assert other.offsets is network.offsets
    assert other.leak is network.leak


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"inputs": -1}, r"inputs is -1; .*at least 0"),
        ({"inputs": 1.5}, r"inputs is 1\.5; .*integer"),
        ({"neurons": -2}, r"neurons is -2; .*at least 0"),
        ({"source": [0, 4]}, r"source has 4, .* 4 sources \(0 to 3\)"),
        ({"source": [0, -1]}, r"source has -1"),
        ({"source": [0, 0.5]}, r"source has 0\.5; .*whole"),
        ({"target": [0, 2]}, r"Synapse 1 targets neuron 2.* 2 neurons \(0 to 1\)"),
        ({"target": [0, -1]}, r"Synapse 1 targets neuron -1"),
        ({"target": [0, 0.5]}, r"target has 0\.5; .*whole"),
        ({"target": [0, 2**32]}, r"target has 4294967296; .*whole"),
        ({"target": [0, 1, 1]}, r"target has shape \(3,\); it needs \(2,\)"),
        ({"weight": [1, 2, 3]}, r"weight has shape \(3,\); it needs \(2,\)"),
        ({"weight": [1, np.nan]}, r"weight\[1\] is nan"),
        ({"weight": [1, -np.inf]}, r"weight\[1\] is -inf"),
        ({"weight": [1, 1e300]}, r"weight\[1\] is inf"),
        ({"delay": [0]}, r"delay has shape \(1,\)"),
        ({"delay": [0, -1]}, r"delay has -1; .*whole numbers from 0 to 32767"),
        ({"delay": [0, 32768]}, r"delay has 32768; .*whole numbers from 0 to 32767"),
        ({"delay": 1.5}, r"delay has 1\.5; .*whole"),
        ({"delay": [0, np.nan]}, r"delay has nan; .*whole"),
        ({"leak": [1.0]}, r"leak has shape \(1,\)"),
        ({"leak": -0.1}, r"leak must lie between 0 and 1"),
        ({"leak": [0, 1.5]}, r"leak must lie between 0 and 1"),
        ({"leak": np.nan}, r"leak\[0\] is nan"),
        ({"threshold": [1, 2, 3]}, r"threshold has shape \(3,\)"),
        ({"threshold": 0}, r"threshold must be above 0"),
        ({"threshold": [1, np.nan]}, r"threshold must be above 0"),
        ({"reset": "subtrakt"}, r"reset is 'subtrakt'.*'subtract', 'zero', 'none'"),
        ({"reset": [0]}, r"reset has shape \(1,\)"),
        (
            {"reset": 4},
            r"reset must hold indices into \('subtract', 'zero', 'none', 'clear'\)",
        ),
        ({"reset": 256}, r"reset has 256"),
        ({"groups": {"out": [2]}}, r"groups\['out'\] names a neuron that does not exist"),
        ({"groups": {"out": [-1]}}, r"groups\['out'\] names a neuron that does not exist"),
        ({"groups": {"out": [0.5]}}, r"groups\['out'\] has 0\.5"),
        (
            {"source": [1, 1], "target": [0, 0]},
            r"same source and target.*Add their weights",
        ),
    ],
)
def test_a_wrong_argument_is_refused_by_name(wrong, message):
    right = {
        "inputs": 2,
        "neurons": 2,
        "source": [0, 2],
        "target": [0, 1],
        "weight": [1.0, 2.0],
    }
    Network.from_synapses(**right)
    with pytest.raises(MosaicError, match=message):
        Network.from_synapses(**right | wrong)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("offsets", [0, 1], r"offsets has 2 entries; it needs 3"),
        ("offsets", [1, 1, 1], r"offsets must rise from 0"),
        ("offsets", [0, 2, 1], r"offsets must rise from 0"),
        ("offsets", [0, 1, 2], r"offsets must rise from 0"),
        ("weight", [1.0, 2.0], r"weight needs 1 entries"),
        ("delay", [], r"delay needs 1 entries"),
        ("threshold", [], r"one entry for each neuron; .*threshold 0"),
        ("reset", [0, 0], r"one entry for each neuron; .*reset 2"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(field, value, message):
    good = chain()
    names = ("offsets", "target", "weight", "delay", "leak", "threshold", "reset")
    arrays = {name: getattr(good, name) for name in names}
    arrays[field] = np.array(value, arrays[field].dtype)
    with pytest.raises(MosaicError, match=message):
        Network(inputs=1, bias=False, **arrays)


@pytest.mark.parametrize(
    ("delay", "message"),
    [
        (np.array([1], np.int32), r"delay holds int32; it needs int16"),
        (np.array([-1], np.int16), r"delay must not be negative"),
    ],
)
def test_delays_that_were_not_converted_are_refused(delay, message):
    with pytest.raises(MosaicError, match=message):
        replace(chain(), delay=delay)


def test_the_longest_delay_is_kept():
    assert chain(neurons=2, delay=32_767).delay.tolist() == [32_767, 32_767]


def test_a_network_may_be_empty():
    network = Network.from_synapses(inputs=0, neurons=0, source=[], target=[], weight=[])
    assert (network.sources, network.synapses, network.order.size) == (0, 0, 0)


# --- from a sparse matrix -------------------------------------------------------------


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_array, sp.coo_array, sp.lil_array])
def test_a_sparse_matrix_has_a_row_for_each_source(kind):
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((3 + 1 + 5, 5)) < 0.5, rng.normal(size=(9, 5)), 0)
    network = Network.from_sparse(kind(dense), inputs=3, bias=True, leak=0.5)
    again = np.zeros((9, 5))
    again[network.source, network.target] = network.weight
    assert np.array_equal(again, dense.astype(np.float32))
    assert np.array_equal(network.delay, network.source >= 4)  # neurons: a step later
    assert (network.leak == 0.5).all()


def test_duplicate_entries_of_a_sparse_matrix_are_added_up():
    matrix = sp.coo_array(([1.0, 2.0], ([0, 0], [0, 0])), shape=(2, 1))
    assert Network.from_sparse(matrix, inputs=1).weight.tolist() == [3.0]


def test_a_delay_may_be_given_for_each_entry():
    matrix = sp.csr_array([[1.0], [2.0]])
    assert Network.from_sparse(matrix, inputs=1, delay=[2, 3]).delay.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 1)), "weights is a ndarray; it needs a scipy.sparse"),
        (sp.csr_array(np.ones((3, 1))), r"weights has shape \(3, 1\);.* needs \(2, 1\)"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(matrix, message):
    with pytest.raises(MosaicError, match=message):
        Network.from_sparse(matrix, inputs=1)

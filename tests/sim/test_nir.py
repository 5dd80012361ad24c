import warnings
from dataclasses import replace
from graphlib import TopologicalSorter
from itertools import pairwise

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import given, target
from hypothesis import strategies as st
from strategies import FEW, build, chain, drives, networks
from torch import nn
from torch.nn import functional

from mosaic_sim import MosaicError, Network, simulate
from mosaic_sim.interop.nir import from_nir, read_nir, to_nir, write_nir

nir = pytest.importorskip("nir", reason="needs the package nir (pip install nir)")

# norse and snnTorch still call what nirtorch is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:nirtorch")

ALONE = {"reset": "zero", "prompt": True}
"""NIR's own reset, said aloud."""


# --- oracles --------------------------------------------------------------------------------


def by_hand(graph, spikes, *, dt, late=()):
    """Oracle: a flat graph step by step as the equations in nir's docstrings, forward Euler.

    What goes along edges in `late` arrives a step later. Returns what each node puts out,
    (samples, steps, values).
    """
    before = {name: [a for a, b in graph.edges if b == name] for name in graph.nodes}
    needs = {n: {a for a in before[n] if (a, n) not in late} for n in graph.nodes}
    order = list(TopologicalSorter(needs).static_order())
    samples, steps, _ = spikes.shape
    out, arrived, state = [], {}, {}
    for t in range(steps):
        now = {}
        for name in order:
            node = graph.nodes[name]
            if isinstance(node, nir.Input):
                shape = tuple(node.input_type["input"])
                now[name] = spikes[:, t].reshape(samples, *shape).astype(float)
                continue
            x = 0.0
            for a in before[name]:
                if (a, name) not in late:
                    x = x + now[a]
                elif t:
                    x = x + out[-1][a]
            arrived.setdefault(name, []).append(x)
            now[name] = one_step(node, x, state.setdefault(name, {}), dt, arrived[name])
        out.append(now)
    return {
        name: np.stack([now[name].reshape(samples, -1) for now in out], 1) for name in order
    }


def one_step(node, x, state, dt, arrived):
    kind = type(node).__name__
    if kind in ("Linear", "Affine"):
        return x @ node.weight.T + getattr(node, "bias", 0.0)
    if kind == "Scale":
        return x * node.scale
    if kind == "Output":
        return x
    if kind in ("Conv1d", "Conv2d"):
        run = functional.conv1d if kind == "Conv1d" else functional.conv2d
        weight, bias = torch.tensor(node.weight), torch.tensor(node.bias)
        how = (node.stride, node.padding, node.dilation, node.groups)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a copy that 'same' takes with even kernels
            return run(torch.tensor(x), weight, bias, *how).numpy()
    if kind in ("SumPool2d", "AvgPool2d"):
        how = [tuple(v.tolist()) for v in (node.kernel_size, node.stride, node.padding)]
        mean = functional.avg_pool2d(torch.tensor(x), *how).numpy()
        return mean * (np.prod(node.kernel_size) if kind == "SumPool2d" else 1)
    if kind == "Flatten":
        start = node.start_dim + 1 if node.start_dim >= 0 else node.start_dim
        end = node.end_dim + 1 if node.end_dim >= 0 else node.end_dim
        return torch.tensor(x).flatten(start, end).numpy()
    if kind == "Delay":
        late = np.zeros_like(x)
        for j, wait in enumerate(np.rint(node.delay / dt).astype(int)):
            if wait < len(arrived):
                late[:, j] = arrived[-1 - wait][:, j]
        return late
    if kind == "Threshold":
        return (x > node.threshold).astype(float)
    v = state.get("v", getattr(node, "v_reset", 0.0))
    if kind in ("CubaLIF", "CubaLI"):
        i = state.get("i", 0.0)
        state["i"] = x = i + dt / node.tau_syn * (node.w_in * x - i)
    tau = getattr(node, "tau_mem", getattr(node, "tau", None))
    v = v + (node.r * x if tau is None else dt / tau * (node.v_leak - v + node.r * x))
    fires = v > getattr(node, "v_threshold", np.inf)
    state["v"] = np.where(fires, getattr(node, "v_reset", 0.0), v)
    return v if kind in ("LI", "CubaLI", "I") else fires.astype(float)


def fired(network, spikes):
    return simulate(build(network).program, spikes, raster=True).raster


def membranes(network, spikes, neurons):
    return simulate(build(network).program, spikes, voltages=neurons).voltages


def assert_as_by_hand(graph, spikes, *, dt=0.125, late=(), flat=None, busy=0.02, **options):
    """Every neuron of the network fires as in the graph, and each layer is busy."""
    read = from_nir(graph, dt=dt, **(ALONE | options))
    expected = by_hand(flat or graph, spikes, dt=dt, late=late)
    raster = fired(read.network, spikes)
    layers = [name for name in read.network.groups if name not in read.outputs]
    assert layers
    for name in layers:
        members = read.network.groups[name]
        if np.isinf(read.network.threshold[members]).all():
            continue
        assert np.array_equal(raster[..., members], expected[name] > 0), name
        assert busy < expected[name].mean() < 1 - busy, name
    for name, members in read.outputs.items():
        if np.isinf(read.network.threshold[members]).all():
            assert np.array_equal(membranes(read.network, spikes, members), expected[name])
        else:
            assert np.array_equal(raster[..., members], expected[name] > 0)
    return read


# --- graphs: all numbers are multiples of 1/16, so that sums are exact ----------------------


def sixteenths(rng, *shape, mean=0.25, spread=0.5):
    return np.round(16 * rng.normal(mean, spread, shape)) / 16


def affine(rng, inputs, outputs, **how):
    return nir.Affine(
        sixteenths(rng, outputs, inputs, **how), sixteenths(rng, outputs, **how) / 2
    )


def linear(rng, inputs, outputs, **how):
    return nir.Linear(sixteenths(rng, outputs, inputs, **how))


def lif(*shape, tau=0.25, r=2.0, threshold=1.0, leak=0.0, reset=0.0):
    one = np.ones(shape)
    return nir.LIF(
        tau=tau * one, r=r * one, v_leak=leak * one, v_threshold=threshold * one,
        v_reset=reset * one,
    )  # fmt: skip


def cuba(*shape, leak=0.0):
    one = np.ones(shape)
    return nir.CubaLIF(
        tau_mem=0.25 * one, tau_syn=0.5 * one, r=2 * one, w_in=4 * one, v_leak=leak * one,
        v_threshold=one,
    )  # fmt: skip


def inlet(*shape):
    return nir.Input(np.array(shape))


def outlet(*shape):
    return nir.Output(np.array(shape))


def graph_of(nodes, edges):
    """Make a graph of nodes by name and edges "a b c" (a to b, b to c); checked by us only."""
    pairs = []
    for way in edges:
        names = way.split()
        pairs += pairwise(names)
    return nir.NIRGraph(nodes, pairs, type_check=False)


def noise(inputs, *, steps=10, samples=6, rate=0.5, seed=0):
    return np.random.default_rng(seed).random((samples, steps, inputs)) < rate


# --- neurons --------------------------------------------------------------------------------


def one_neuron(node):
    return nir.NIRGraph.from_list(nir.Linear(np.ones((1, 1))), node)


@pytest.mark.parametrize("r", [1.0, 40.0])
def test_a_lif_leaks_and_gains_as_forward_euler_has_it(r):
    node = lif(1, tau=0.02, r=r, leak=0.25, threshold=0.5)
    net = from_nir(one_neuron(node), dt=0.001, **ALONE).network
    assert net.leak == np.float32(1 - 0.05)
    assert net.weight.tolist() == [
        pytest.approx(0.05 * r),
        pytest.approx(0.0125),
    ]  # and the bias line's
    assert net.threshold == 0.5


def test_the_exponential_method_is_exact_for_a_constant_current():
    # tau dv/dt = r i - v has the solution v = r i (1 - exp(-t / tau)), whatever the steps.
    node = nir.LI(tau=np.array([0.02]), r=np.array([3.0]), v_leak=np.zeros(1))
    current = np.full((1, 50, 1), 0.5)
    t = np.arange(1, 51) * 0.003
    read = from_nir(one_neuron(node), dt=0.003, method="exponential")
    assert membranes(read.network, current, [0])[0, :, 0] == pytest.approx(
        1.5 * (1 - np.exp(-t / 0.02)), rel=1e-5
    )
    euler = from_nir(one_neuron(node), dt=0.003)
    assert membranes(euler.network, current, [0])[0, 0, 0] == pytest.approx(1.5 * 0.15)


@pytest.mark.parametrize(
    ("node", "options"),
    [
        (lif(6), {}),
        (lif(6, r=1.0, threshold=0.5), {}),
        (lif(6, leak=0.25), {}),
        (lif(6, leak=0.25, reset=0.25), {}),
        (lif(6, reset=-0.5), {}),
        (cuba(6), {}),
        (nir.IF(r=np.ones(6), v_threshold=2 * np.ones(6)), {}),
        (nir.IF(r=np.ones(6) / 2, v_threshold=np.ones(6), v_reset=np.ones(6) / 2), {}),
        (nir.Threshold(np.linspace(-0.5, 0.75, 6)), {}),
    ],
    ids=["lif", "r", "v_leak", "v_leak=v_reset", "v_reset", "cuba", "if", "if reset", "threshold"],
)  # fmt: skip
def test_every_kind_of_neuron_fires_as_its_equation_says(node, options):
    rng = np.random.default_rng(1)
    graph = nir.NIRGraph.from_list(affine(rng, 5, 6), node, linear(rng, 6, 4), lif(4))
    assert_as_by_hand(graph, noise(5, rate=0.6), **options)


def test_without_reset_v_leak_only_shifts_the_membrane():
    net = from_nir(
        one_neuron(cuba(1, leak=0.25)), dt=0.125, reset="none", prompt=True
    ).network
    assert (net.bias, net.threshold, net.leak, net.current_leak) == (False, 0.75, 0.5, 0.75)


def test_neurons_of_one_node_may_differ():
    rng = np.random.default_rng(2)
    node = nir.LIF(
        tau=np.array([0.125, 0.25, 0.5, 0.25]), r=np.array([1.0, 2, 4, 1]),
        v_leak=np.array([0, 0.5, 0, 0.25]), v_threshold=np.array([0.5, 0.75, 1, 0.5]),
        v_reset=np.array([0, 0.25, -0.25, 0]),
    )  # fmt: skip
    graph = nir.NIRGraph.from_list(affine(rng, 5, 4), node)
    read = assert_as_by_hand(graph, noise(5))
    assert read.network.leak.tolist() == [0.0, 0.5, 0.75, 0.5]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_weights_stay_as_they_are_where_r_undoes_the_time_constant(kind):
    rng = np.random.default_rng(21)
    leak = rng.random(50).astype(kind)
    tau = kind(1e-4) / (1 - leak)
    node = nir.LIF(tau=tau, r=tau / kind(1e-4), v_leak=0 * tau, v_threshold=0 * tau + 1)
    weight = rng.normal(size=(50, 9)).astype(np.float32)
    net = from_nir(
        nir.NIRGraph.from_list(nir.Linear(weight), node), dt=1e-4, **ALONE
    ).network
    assert np.array_equal(net.weight.reshape(9, 50).T, weight)
    assert net.leak == pytest.approx(leak, abs=1e-6 if kind is np.float32 else 1e-7)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("dt", [1e-4, 1e-3])
def test_leaks_that_were_multiples_of_an_eighth_still_are(kind, dt):
    leak = np.array([0, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875], kind)
    tau = kind(dt) / (1 - leak)
    node = nir.LIF(tau=tau, r=tau / kind(dt), v_leak=0 * tau, v_threshold=0 * tau + 1)
    graph = nir.NIRGraph.from_list(nir.Linear(np.ones((7, 1))), node)
    assert from_nir(graph, dt=dt, **ALONE).network.leak.tolist() == leak.tolist()


@pytest.mark.parametrize("kind", ["LI", "CubaLI", "I"])
def test_neurons_without_spikes_are_read_at_their_membrane(kind):
    one = np.ones(3)
    node = {
        "LI": nir.LI(tau=one / 4, r=one, v_leak=one / 2),
        "CubaLI": nir.CubaLI(tau_mem=one / 4, tau_syn=one / 2, r=one, v_leak=0 * one),
        "I": nir.I(r=one),
    }[kind]
    rng = np.random.default_rng(3)
    graph = nir.NIRGraph.from_list(affine(rng, 5, 4), lif(4), linear(rng, 4, 3), node)
    read = assert_as_by_hand(graph, noise(5, steps=5))
    assert read.outputs["output"].tolist() == [4, 5, 6]


def test_r_of_integrators_may_be_meant_a_second():
    node = nir.IF(r=np.array([8.0]), v_threshold=np.array([2.0]))
    step = from_nir(one_neuron(node), dt=0.125, **ALONE)
    second = from_nir(one_neuron(node), dt=0.125, integrators="second", **ALONE)
    assert step.network.weight == 8
    assert second.network.weight == 1
    assert any("integrators='step'" in note for note in step.notes)


def test_an_infinite_time_constant_keeps_everything():
    inf = np.array([np.inf])
    # As snnTorch exports beta = 1.
    node = nir.LIF(tau=inf, r=inf, v_leak=np.zeros(1), v_threshold=np.ones(1))
    read = from_nir(one_neuron(node), dt=1e-4, **ALONE)
    assert (read.network.leak, read.network.weight) == (1, 1)
    assert any("infinite" in note for note in read.notes)


def test_a_neuron_that_v_leak_drives_needs_no_input():
    # The two neurons of NIR's test-suite: the first fires by itself.
    nodes = {
        "in": inlet(1), "fc1": nir.Linear(np.ones((1, 1))), "lif1": lif(1, tau=0.25, r=1, leak=1.5),
        "fc2": nir.Linear(np.ones((1, 1))), "lif2": lif(1, r=1), "out": outlet(1),
    }  # fmt: skip
    graph = graph_of(nodes, ["in fc1 lif1 fc2 lif2 out"])
    raster = fired(from_nir(graph, dt=0.125, **ALONE).network, np.zeros((1, 9, 1), bool))
    assert np.flatnonzero(raster[0, :, 0]).tolist() == [1, 3, 5, 7]
    # Nor an edge; and it may feed itself.
    nodes = {"in": inlet(1), "a": lif(1), "b": lif(2, leak=1.5, r=1)}
    nodes["loop"] = nir.Linear(np.zeros((2, 2)))
    alone = from_nir(graph_of(nodes, ["in a", "b loop b"]), dt=0.125, **ALONE)
    raster = fired(alone.network, np.zeros((1, 9, 1), bool))
    assert np.flatnonzero(raster[0, :, alone.network.groups["b"][1]]).tolist() == [
        1,
        3,
        5,
        7,
    ]


# --- graphs ---------------------------------------------------------------------------------


def test_edges_into_the_same_node_add_up():
    rng = np.random.default_rng(4)
    nodes = {
        "input": inlet(5), "a": affine(rng, 5, 6), "b": lif(6), "c": affine(rng, 6, 6),
        "d": lif(6), "e": affine(rng, 6, 4), "f": lif(4), "output": outlet(4),
    }  # fmt: skip
    # A residual connection of currents and one of spikes, and two branches that merge.
    assert_as_by_hand(graph_of(nodes, ["input a b c d e f output", "a d", "b e"]), noise(5))


def test_graphs_within_graphs_are_flattened():
    rng = np.random.default_rng(5)
    a, b, c = affine(rng, 5, 6), affine(rng, 6, 6, mean=0.5), affine(rng, 6, 3, mean=0.8)
    neurons = lif(6), lif(6), lif(3)
    inner = nir.NIRGraph.from_list(b, neurons[1])
    middle = graph_of(
        {"i": inlet(6), "inner": inner, "o": outlet(6), "lif": neurons[0]},
        ["i lif inner o"],
    )
    graph = graph_of(
        {
            "in": inlet(5),
            "a": a,
            "middle": middle,
            "c": c,
            "lif": neurons[2],
            "out": outlet(3),
        },
        ["in a middle c lif out"],
    )
    flat = graph_of(
        {
            "in": inlet(5), "a": a, "middle.lif": neurons[0], "b": b,
            "middle.inner.lif": neurons[1], "c": c, "lif": neurons[2], "out": outlet(3),
        },
        ["in a middle.lif b middle.inner.lif c lif out"],
    )  # fmt: skip
    read = assert_as_by_hand(graph, noise(5), flat=flat)
    assert list(read.network.groups) == ["middle.lif", "middle.inner.lif", "lif"]


def test_several_inputs_have_channels_one_after_the_other():
    rng = np.random.default_rng(6)
    nodes = {
        "in10": inlet(3), "in9": inlet(2, 2), "flat": nir.Flatten(np.array([2, 2]), 0, 1),
        "a": affine(rng, 3, 5), "b": affine(rng, 4, 5), "lif": lif(5), "out": outlet(5),
    }  # fmt: skip
    graph = graph_of(nodes, ["in10 a lif out", "in9 flat b lif"])
    read = from_nir(graph, dt=0.125, **ALONE)
    assert read.inputs["in9"].tolist() == [0, 1, 2, 3]
    assert read.inputs["in10"].tolist() == [4, 5, 6]
    x = noise(7)
    both = graph_of(
        {
            "in": inlet(7),
            "w": nir.Affine(
                np.hstack([nodes["b"].weight, nodes["a"].weight]),
                nodes["a"].bias + nodes["b"].bias,
            ),
            "lif": nodes["lif"],
            "out": outlet(5),
        },
        ["in w lif out"],
    )
    assert np.array_equal(fired(read.network, x), by_hand(both, x, dt=0.125)["lif"] > 0)
    assert any(note.startswith("in9, in10: their channels") for note in read.notes)


def test_an_output_behind_a_linear_node_gets_neurons_of_its_own():
    rng = np.random.default_rng(7)
    graph = nir.NIRGraph.from_list(affine(rng, 5, 4), lif(4), affine(rng, 4, 3))
    read = assert_as_by_hand(graph, noise(5))
    assert read.outputs["output"].tolist() == [4, 5, 6]
    assert any(note.startswith("output: reads no neurons") for note in read.notes)


@pytest.mark.parametrize("padding", [(1, 0), "same", "valid", 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_and_pools_fire_as_in_torch(padding, groups):
    rng = np.random.default_rng(8)
    plain = isinstance(padding, str)
    nodes = [
        nir.Conv2d(
            input_shape=None, weight=sixteenths(rng, 4, 2 // groups, 3, 2), padding=padding,
            stride=1 if plain else (1, 2), dilation=(1, 2) if padding == "same" else 1,
            groups=groups, bias=sixteenths(rng, 4),
        ),
        lif(4, 1, 1),
        nir.SumPool2d(*(np.array(v) for v in ([2, 2], [2, 1], [1, 0]))),
        nir.Scale(np.array(0.5)),
        nir.Conv2d(
            input_shape=None, weight=sixteenths(rng, 3, 4, 2, 2, mean=0), padding=0, stride=1,
            dilation=1, groups=1, bias=np.zeros(3),
        ),
        lif(3, 1, 1),
        nir.AvgPool2d(*(np.array(v) for v in ([2, 2], [2, 1], [0, 1]))),
        nir.Flatten(None, 0, -1),
    ]  # fmt: skip
    names = ["c1", "n1", "sum", "scale", "c2", "n2", "avg", "flat"]
    shape = (2, 6, 7)
    graph = graph_of(
        {
            "in": inlet(*shape),
            **dict(zip(names, nodes, strict=True)),
            "out": outlet(1),
        },
        ["in " + " ".join(names) + " out"],
    )
    assert_as_by_hand(graph, noise(int(np.prod(shape)), samples=2, rate=0.3))


@pytest.mark.parametrize("padding", [1, "same"])
@pytest.mark.parametrize("kernel", [3, 4])
def test_convolutions_over_one_axis_fire_as_in_torch(padding, kernel):
    rng = np.random.default_rng(9)
    conv = nir.Conv1d(
        input_shape=9, weight=sixteenths(rng, 3, 2, kernel), padding=padding,
        stride=2 if padding == 1 else 1, dilation=1, groups=1, bias=sixteenths(rng, 3),
    )  # fmt: skip
    nodes = {"in": inlet(2, 9), "conv": conv, "lif": lif(3, 1), "out": outlet(1)}
    assert_as_by_hand(graph_of(nodes, ["in conv lif out"]), noise(18, samples=2))


@pytest.mark.parametrize(
    ("start", "end", "shape"),
    [
        (0, -1, (24,)),
        (0, 1, (6, 4)),
        (1, 2, (2, 12)),
        (1, 1, (2, 3, 4)),
        (-2, -1, (2, 12)),
    ],
)
def test_flatten_joins_the_axes_it_names(start, end, shape):
    nodes = {
        "in": inlet(2, 3, 4),
        "flat": nir.Flatten(None, start, end),
        "lif": lif(*shape),
    }
    graph = graph_of({**nodes, "out": outlet(*shape)}, ["in flat lif out"])
    assert_as_by_hand(graph, noise(24))


# --- delays and cycles ----------------------------------------------------------------------


def test_delays_are_whole_steps_for_each_line():
    rng = np.random.default_rng(10)
    nodes = {
        "in": inlet(4), "wait": nir.Delay(np.array([0, 0.125, 0.375, 0.125])),
        "a": linear(rng, 4, 6), "lif": lif(6), "later": nir.Delay(np.full(6, 0.25)),
        "b": affine(rng, 6, 5, mean=0.6), "lif2": lif(5), "out": outlet(5),
    }  # fmt: skip
    read = assert_as_by_hand(graph_of(nodes, ["in wait a lif later b lif2 out"]), noise(4))
    assert set(read.network.delay.tolist()) == {0, 1, 2, 3}
    assert not any("rounded" in note for note in read.notes)


def test_delays_between_steps_are_rounded_and_told():
    nodes = {"in": inlet(2), "wait": nir.Delay(np.array([0.3, 0.1])), "lif": lif(2)}
    read = from_nir(
        graph_of({**nodes, "out": outlet(2)}, ["in wait lif out"]), dt=0.125, **ALONE
    )
    assert read.network.delay.tolist() == [2, 1]
    assert "wait: delays are rounded to whole steps." in read.notes


def test_the_constant_part_of_a_delayed_signal_is_felt_at_once_and_told():
    rng = np.random.default_rng(11)
    graph = nir.NIRGraph.from_list(
        nir.Affine(sixteenths(rng, 3, 2), np.ones(3)), nir.Delay(np.full(3, 0.25)), lif(3)
    )
    read = from_nir(graph, dt=0.125, **ALONE)
    assert any(note.startswith("delay: the constant part") for note in read.notes)
    assert read.network.bias
    bias = read.network.source == read.network.inputs
    assert not read.network.delay[bias].any()
    assert (read.network.delay[~bias] == 2).all()


def recurrent(rng, **how):
    return {
        "in": inlet(5), "fc": affine(rng, 5, 6), "lif": lif(6), "back": linear(rng, 6, 6, **how),
        "out": outlet(6),
    }  # fmt: skip


def test_a_cycle_takes_one_step():
    rng = np.random.default_rng(12)
    graph = graph_of(recurrent(rng, mean=-0.1), ["in fc lif back lif out"])
    read = assert_as_by_hand(graph, noise(5), late=[("back", "lif")])
    assert any(
        note.startswith("back -> lif: the edge closes a cycle") for note in read.notes
    )


def test_in_a_cycle_through_two_layers_the_edge_seen_last_from_the_inputs_waits():
    rng = np.random.default_rng(13)
    nodes = recurrent(rng) | {
        "fc2": linear(rng, 6, 4),
        "a": lif(4),
        "back": linear(rng, 4, 6),
    }
    # The names say nothing about the order.
    ways = ["back lif", "a back", "a out", "fc2 a", "lif fc2", "fc lif", "in fc"]
    graph = graph_of(nodes, ways)
    graph.nodes["out"] = outlet(4)
    assert_as_by_hand(graph, noise(5), late=[("back", "lif")])


def test_of_two_layers_that_an_input_reaches_as_soon_the_first_by_name_is_first():
    rng = np.random.default_rng(22)
    nodes = {
        "in": inlet(5), "to 9": affine(rng, 5, 4), "to 10": affine(rng, 5, 4), "9": lif(4),
        "10": lif(4), "from 9": linear(rng, 4, 4, mean=0), "from 10": linear(rng, 4, 4, mean=0),
        "out": outlet(4),
    }  # fmt: skip
    ways = ["in", "to 9", "9", "from 9", "10", "out"], ["in", "to 10", "10", "from 10", "9"]
    edges = [pair for way in ways for pair in pairwise(way)]
    for order in (edges, edges[::-1]):
        graph = nir.NIRGraph(nodes, order, type_check=False)
        assert_as_by_hand(graph, noise(5), late=[("from 10", "9")])


def test_a_node_in_a_cycle_gives_all_it_feeds_the_same():
    rng = np.random.default_rng(14)
    nodes = recurrent(rng, mean=0.0) | {"fc2": linear(rng, 6, 4, mean=0.7), "side": lif(4)}
    graph = graph_of(nodes, ["in fc lif out", "lif back fc2 side out2", "back lif"])
    graph.nodes["out2"] = outlet(4)
    assert_as_by_hand(graph, noise(5), late=[("back", "lif")])
    # Recurrent on its first node: what comes back passes through the weights again.
    nodes = {"in": inlet(5), "fc": linear(rng, 5, 5), "lif": lif(5), "out": outlet(5)}
    assert_as_by_hand(
        graph_of(nodes, ["in fc lif fc", "lif out"]), noise(5), late=[("lif", "fc")]
    )


@pytest.mark.parametrize("steps", [1, 2])
def test_a_delay_in_a_cycle_is_all_it_takes(steps):
    rng = np.random.default_rng(15)
    nodes = recurrent(rng, mean=-0.1) | {"wait": nir.Delay(np.full(6, steps / 8))}
    graph = graph_of(nodes, ["in fc lif out", "lif wait back lif"])
    read = from_nir(graph, dt=0.125, **ALONE)
    x = noise(5)
    once = graph_of(
        nodes | {"wait": nir.Delay(np.full(6, (steps - 1) / 8))},
        ["in fc lif out", "lif wait back lif"],
    )
    expected = by_hand(once, x, dt=0.125, late=[("back", "lif")])["lif"]
    assert np.array_equal(fired(read.network, x), expected > 0)
    assert set(read.network.delay.tolist()) == {0, steps}
    assert not any("cycle" in note for note in read.notes)


# --- snnTorch -------------------------------------------------------------------------------


def snn_model(reset, delay, *, seed=0, synaptic=True):
    """Return layers of snnTorch; cells whose parameters have the shape of their layer, or
    snnTorch cannot export them.
    """

    def how(n):
        return {
            "beta": torch.full((n,), 0.5), "threshold": torch.ones(n), "reset_mechanism": reset,
            "reset_delay": delay,
        }  # fmt: skip

    layers = [nn.Linear(7, 12), snn.Leaky(**how(12)), nn.Linear(12, 9, bias=False)]
    shared = {"beta": 0.75, "reset_mechanism": reset, "reset_delay": delay}
    layers += [snn.RLeaky(linear_features=9, **shared), nn.Linear(9, 8)]
    layers += [snn.RLeaky(all_to_all=False, V=torch.ones(8), **shared)]
    if synaptic:
        layers += [
            nn.Linear(8, 6),
            snn.Synaptic(alpha=torch.full((6,), 0.5), **how(6)),
            nn.Linear(6, 5),
            # With reset_delay=False snnTorch's RSynaptic mixes up two steps.
            snn.RSynaptic(
                alpha=0.5,
                linear_features=5,
                beta=0.5,
                reset_mechanism=reset,
                reset_delay=True,
            ),
        ]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in layers:
            for parameter in layer.parameters():
                mean = 0.0 if isinstance(layer, snn.SpikingNeuron) else 0.12
                value = mean + 0.4 * torch.randn(parameter.shape, generator=generator)
                parameter.copy_((16 * value).round() / 16)
    return nn.Sequential(*layers)


class FirstOf(nn.Module):
    """What snnTorch's export traces: one step, states left out."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
            x = x[0] if isinstance(x, tuple) else x
        return x


def on_snntorch(layers, spikes):
    """Oracle: spikes of all cells, by running the model with its states passed by hand."""
    states = {snn.Leaky: 1, snn.RLeaky: 2, snn.Synaptic: 2, snn.RSynaptic: 3}
    raster, kept = [], {}
    with torch.no_grad():
        for x in torch.tensor(spikes, dtype=torch.float32).unbind(1):
            seen = []
            for k, layer in enumerate(layers):
                if type(layer) not in states:
                    x = layer(x)
                    continue
                state = kept.get(k, [torch.zeros_like(x)] * states[type(layer)])
                back = layer(x, *state)
                kept[k] = back[1:] if len(back) > states[type(layer)] else back
                x = back[0]
                seen.append(x)
            raster.append(torch.cat(seen, 1))
    return torch.stack(raster, 1).numpy() > 0


def snn_export(layers):
    pytest.importorskip("nirtorch", reason="snnTorch exports with nirtorch")
    from snntorch.export_nir import export_to_nir

    return export_to_nir(FirstOf(layers), torch.ones(1, 7), ignore_dims=[0])


@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_graphs_of_snntorch_fire_as_the_model_they_come_from(reset, delay, tmp_path):
    layers = snn_model(reset, delay, synaptic=delay or reset == "none")
    graph = snn_export(layers)
    write_nir(tmp_path / "model.nir", graph)
    names = {"layers.1": reset}  # Leaky keeps this step's input at a reset, others do not
    other = "clear" if reset == "zero" else reset
    for source in (graph, tmp_path / "model.nir"):
        read = from_nir(
            source,
            dt=1e-4,
            prompt=not delay,
            reset={
                **dict.fromkeys(from_nir(source, dt=1e-4).network.groups, other),
                **names,
            },
        )
        x = noise(7, steps=16, rate=0.4)
        expected = on_snntorch(layers, x)
        assert np.array_equal(fired(read.network, x), expected)
        for members in read.network.groups.values():
            assert 0.02 < expected[..., members].mean() < 0.98
        assert not any("NIR does not say" in note for note in read.notes)


def test_graphs_of_snntorch_in_floating_point_agree_but_for_rounding():
    wrong = total = 0
    for seed in range(3):
        torch.manual_seed(seed)
        layers = nn.Sequential(
            nn.Linear(7, 50), snn.Leaky(beta=torch.rand(50), threshold=torch.ones(50)),
            nn.Linear(50, 50), snn.RLeaky(beta=0.87, linear_features=50),
        )  # fmt: skip
        with torch.no_grad():
            layers[0].weight.mul_(3)
            layers[2].weight.mul_(3)
        read = from_nir(snn_export(layers), dt=1e-4, reset="subtract", prompt=False)
        x = noise(7, steps=60, rate=0.6, seed=seed)
        expected = on_snntorch(layers, x)
        assert 0.05 < expected.mean() < 0.95
        wrong += np.count_nonzero(fired(read.network, x) != expected)
        total += expected.sum()
    assert wrong <= total / 1000


def test_another_dt_than_snntorchs_is_told():
    graph = snn_export(nn.Sequential(nn.Linear(7, 3), snn.Leaky(
        beta=torch.full((3,), 0.5), threshold=torch.ones(3))))  # fmt: skip
    assert not any("snnTorch" in note for note in from_nir(graph, dt=1e-4).notes)
    assert any("as snnTorch writes it" in note for note in from_nir(graph, dt=1e-5).notes)


# --- norse ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def norse():
    pytest.importorskip("nirtorch", reason="norse exports with nirtorch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # norse 1.1 uses parts of torch that will go
        return pytest.importorskip(
            "norse.torch", reason="needs the package norse", exc_type=ImportError
        )


def norse_model(norse, *, reset=None, dt=0.002):
    how = {} if reset is None else {"reset_method": reset}
    box = norse.LIFBoxParameters(
        tau_mem_inv=torch.tensor(125.0), v_th=torch.tensor(0.5), **how
    )
    cell = norse.LIFParameters(
        tau_mem_inv=torch.tensor(100.0),
        tau_syn_inv=torch.tensor(50.0),
        v_th=torch.tensor(0.5),
    )
    torch.manual_seed(1)
    layers = [
        nn.Linear(30, 40), norse.LIFBoxCell(box, dt=dt), nn.Linear(40, 25),
        norse.LIFCell(cell, dt=dt), nn.Linear(25, 20, bias=False), norse.IAFCell(dt=dt),
        nn.Linear(20, 6), norse.LIBoxCell(dt=dt),
    ]  # fmt: skip
    with torch.no_grad():
        layers[0].weight.mul_(3).add_(0.05)
        layers[2].weight.mul_(2)
        layers[4].weight.mul_(3).add_(0.1)
    return norse.SequentialState(*layers)


def on_norse(layers, spikes):
    """Oracle: what every neuron of a norse model puts out."""
    out, states = [], {}
    with torch.no_grad():
        for x in torch.tensor(spikes, dtype=torch.float32).unbind(1):
            seen = []
            for k, layer in enumerate(layers):
                if isinstance(layer, nn.Linear):
                    x = layer(x)
                else:
                    x, states[k] = layer(x, states.get(k))
                    seen.append(x)
            out.append(torch.cat(seen, 1))
    return torch.stack(out, 1).numpy()


def test_graphs_of_norse_fire_as_the_model_they_come_from(norse):
    model = norse_model(norse)
    graph = norse.to_nir(model, torch.ones(30), dt=0.002)
    read = from_nir(graph, dt=0.002, exporter="norse", **ALONE)
    x = noise(30, steps=100, rate=0.3)
    expected = on_norse(model, x)
    raster = fired(read.network, x)
    wrong = total = 0
    assert [who.size for who in read.network.groups.values()] == [40, 25, 20, 6]
    for members in list(read.network.groups.values())[:3]:
        assert 0.02 < expected[..., members].mean() < 0.98
        wrong += np.count_nonzero(raster[..., members] != (expected[..., members] > 0))
        total += np.count_nonzero(expected[..., members])
    assert wrong <= total / 1000
    last = read.outputs["output"]
    assert membranes(read.network, x, last) == pytest.approx(expected[..., last], abs=1e-3)


def test_norses_reset_by_subtraction_agrees_below_twice_the_threshold(norse):
    from norse.torch.functional.reset import reset_subtract

    model = norse.SequentialState(*list(norse_model(norse, reset=reset_subtract))[:2])
    with torch.no_grad():
        model[0].weight.div_(3)
    read = from_nir(
        norse.to_nir(model, torch.ones(30), dt=0.002), dt=0.002, exporter="norse",
        reset="subtract", prompt=True,
    )  # fmt: skip
    x = noise(30, steps=100, rate=0.5)
    expected = on_norse(model, x)
    assert 0.02 < expected.mean() < 0.5
    assert (fired(read.network, x) != expected).sum() <= expected.sum() / 1000


# --- writing --------------------------------------------------------------------------------


def layered(*, current_leak=0.0, leaks=(0.5, 0.75, 0.875), seed=3):
    """Return a network of three layers with a bias line, and NIR's own reset."""
    rng = np.random.default_rng(seed)
    sizes = [20, 30, 20, 10]
    source, target, weight, groups = [], [], [], {}
    start = np.arange(sizes[0])
    born = 0
    for k, n in enumerate(sizes[1:]):
        w = sixteenths(rng, start.size, n, mean=0.05, spread=0.3 if current_leak else 0.35)
        a, b = np.nonzero(w)
        source += [*start[a], *[sizes[0]] * n]
        target += [*(born + b), *range(born, born + n)]
        weight += [*w[a, b], *[1 / 16] * n]
        groups[f"layer {k}"] = np.arange(born, born + n)
        start = sizes[0] + 1 + groups[f"layer {k}"]
        born += n
    return Network.from_synapses(
        inputs=sizes[0], neurons=born, bias=True, source=source, target=target, weight=weight,
        leak=np.repeat(leaks, sizes[1:]), reset="zero", prompt=True, groups=groups,
        current_leak=current_leak,
    )  # fmt: skip


@given(networks(), st.sampled_from([1e-4, 1e-3, 1.0]), st.booleans(), st.data())
@FEW
def test_a_network_survives_the_way_to_nir_and_back(network, dt, unit_r, data):
    every = np.arange(network.neurons)
    groups = st.sampled_from([{}, {"all": every}, {"a / b": every[:1], "input": every[1:]}])
    bias = network.bias & (network.source == network.inputs)
    network = replace(
        network, gain=np.zeros_like(network.gain), groups=data.draw(groups),
        delay=np.where(bias, 0, network.delay).astype(np.int16),
    )  # fmt: skip
    exported = to_nir(network, dt=dt, unit_r=unit_r)
    assert np.array_equal(np.sort(np.concatenate(list(exported.neurons.values()))), every)
    read = from_nir(exported.graph, dt=dt)
    spikes = data.draw(drives(network))
    ours, theirs = fired(network, spikes), fired(read.network, spikes)
    target(float(ours.sum()))
    for name, members in exported.neurons.items():
        back = read.network.groups[name]
        assert np.array_equal(theirs[..., back], ours[..., members])


@pytest.mark.parametrize("current_leak", [0.0, 0.5])
def test_norse_and_snntorch_fire_as_the_network_they_read(norse, current_leak):
    from snntorch.import_nir import import_from_nir

    network = layered(current_leak=current_leak)
    x = noise(20, steps=40, rate=0.3)
    ours = fired(network, x)[..., network.groups["layer 2"]]
    assert 0.1 < ours.mean() < 0.9
    readers = [
        (import_from_nir, False),  # with its steps of 1e-4 s
        (lambda graph: norse.from_nir(graph, dt=1e-4), True),
    ]
    for reader, unit_r in readers:
        model = reader(to_nir(network, dt=1e-4, unit_r=unit_r).graph)
        state, theirs = (), []
        with torch.no_grad():
            for step in torch.tensor(x, dtype=torch.float32).unbind(1):
                spikes, last = model(step, *state)
                state = (last,)
                theirs.append(spikes)
        assert np.array_equal(torch.stack(theirs, 1).numpy() > 0, ours)


def test_nodes_are_of_the_plainest_kind_that_holds_a_group():
    network = layered(leaks=(0.5, 1.0, 1.0))
    infinite = np.where(np.arange(60) < 50, network.threshold, np.inf).astype(np.float32)
    network = replace(network, threshold=infinite)
    names = ["layer_0", "layer_1", "layer_2"]

    def kinds(network, **how):
        nodes = to_nir(network, dt=1e-3, **how).graph.nodes
        return [type(nodes[name]).__name__ for name in names]

    assert kinds(network) == ["LIF", "LIF", "LI"]
    assert kinds(network, unit_r=True) == ["LIF", "IF", "I"]
    slow = replace(network, current_leak=np.full(60, 0.5, np.float32))
    assert kinds(slow) == kinds(slow, unit_r=True) == ["CubaLIF", "CubaLIF", "CubaLI"]
    for how in (network, slow):
        for unit_r in (False, True):
            x = noise(20)
            read = from_nir(to_nir(how, dt=1e-3, unit_r=unit_r).graph, dt=1e-3)
            assert np.array_equal(fired(read.network, x), fired(how, x))
            last = read.network.groups["layer_2"]
            assert np.array_equal(
                membranes(read.network, x, last), membranes(how, x, np.arange(50, 60))
            )


def test_with_unit_r_the_weights_carry_the_gain():
    network = chain(weight=0.5, leak=0.75)
    plain, unit = (to_nir(network, dt=1e-3, unit_r=u).graph.nodes for u in (False, True))
    assert (plain["neurons"].r, plain["input_to_neurons"].weight) == (4, 0.5)
    assert (unit["neurons"].r, unit["input_to_neurons"].weight) == (1, 2)
    assert plain["neurons"].tau == unit["neurons"].tau == pytest.approx(0.004)
    both = Network.from_synapses(
        inputs=1,
        neurons=2,
        source=[0, 0],
        target=[0, 1],
        weight=[1.0, 1.0],
        leak=[0.5, 1.0],
    )
    assert list(to_nir(both, dt=1e-3).neurons) == ["neurons"]
    exported = to_nir(both, dt=1e-3, unit_r=True)
    kinds = [type(exported.graph.nodes[name]).__name__ for name in exported.neurons]
    assert kinds == ["LIF", "IF"]


@pytest.mark.parametrize(
    ("delays", "waits"),
    [
        ([0, 0, 0, 1, 1], []),  # c -> b and c -> c, which close cycles seen from the input
        ([0, 0, 0, 2, 1], ["c_wait_2"]),
        ([0, 0, 1, 0, 1], ["b_wait_1", "c_wait_1"]),  # b -> c, which does not
        ([1, 3, 0, 1, 2], ["input_wait_1", "input_wait_3", "c_wait_2"]),
    ],
)  # fmt: skip
def test_a_step_of_a_cycle_is_written_out_only_if_readers_would_not_find_it(delays, waits):
    network = Network.from_synapses(
        inputs=1, neurons=3, source=[0, 0, 2, 3, 3], target=[0, 1, 2, 1, 2], weight=[2.0] * 5,
        delay=delays, groups={"a": [0], "b": [1], "c": [2]}, leak=0.5,
    )  # fmt: skip
    exported = to_nir(network, dt=1e-3)
    nodes = exported.graph.nodes
    assert {n for n, node in nodes.items() if isinstance(node, nir.Delay)} == set(waits)
    read = from_nir(exported.graph, dt=1e-3)
    assert np.array_equal(fired(read.network, noise(1)), fired(network, noise(1)))
    assert sorted(read.network.delay.tolist()) == sorted(delays)
    assert any("the step that a cycle takes" in n for n in exported.notes) == (
        delays in ([0, 0, 0, 1, 1], [0, 0, 0, 2, 1], [1, 3, 0, 1, 2])
    )


def test_delays_beside_cycles_are_written_out_alone():
    # a (neurons 0 and 1) feeds b (2) at once and a step later, b feeds a and itself, b feeds c.
    network = Network.from_synapses(
        inputs=1, neurons=4, source=[0, 0, 1, 2, 3, 3, 3], target=[0, 1, 2, 2, 0, 2, 3],
        weight=[1.5] * 7, delay=[0, 0, 0, 1, 1, 1, 1], leak=0.5, threshold=[1, 2, 2, 1],
        groups={"a": [0, 1], "b": [2], "c": [3]},
    )  # fmt: skip
    exported = to_nir(network, dt=1e-3)
    nodes = exported.graph.nodes
    waits = [name for name, node in nodes.items() if isinstance(node, nir.Delay)]
    assert waits == ["a_wait_1", "b_wait_1"]  # to b, and from b to c
    assert ("b", "b_to_a_after_1") in exported.graph.edges
    assert ("b", "b_to_b_after_1") in exported.graph.edges
    read = from_nir(exported.graph, dt=1e-3)
    assert np.array_equal(fired(read.network, noise(1)), fired(network, noise(1)))


def test_groups_that_feed_themselves_within_a_step_are_split_by_depth():
    network = chain(neurons=3, weight=1.5, groups={"all": [0, 1, 2]})
    exported = to_nir(network, dt=1e-3)
    assert {name: who.tolist() for name, who in exported.neurons.items()} == {
        "all_0": [0], "all_1": [1], "all_2": [2],
    }  # fmt: skip
    assert any("within a step are split" in note for note in exported.notes)
    read = from_nir(exported.graph, dt=1e-3)
    assert np.array_equal(fired(read.network, noise(1)), fired(network, noise(1)))


def test_what_nir_cannot_carry_is_told():
    base = {"inputs": 1, "neurons": 3, "bias": True, "source": [0, 1, 2, 3, 4], "leak": 0.5}
    network = Network.from_synapses(
        **base, target=[0, 0, 1, 2, 1], weight=[1.0, 1, 1, 0, 1], delay=[2, 1, 0, 0, 1],
        threshold=[1, 1, np.inf], reset=[0, 1, 0], prompt=[False, True, False],
        groups={"some": [0, 1]},
    )  # fmt: skip
    exported = to_nir(network, dt=1e-3)
    told = "\n".join(exported.notes)
    for part in (
        "do not share out the neurons", "1 synapses of weight 0",
        "1 synapses of neurons that never",
        "neurons_0, neurons_1, neurons_2", "(subtract, a step later)", "delay of synapses from the "
        "bias line", "Delays are Delay nodes", "unit_r=True", "(zero, in the step of the spike)",
    ):  # fmt: skip
        assert part in told, part
    assert "unit_r" not in "".join(to_nir(network, dt=1e-3, unit_r=True).notes)
    assert from_nir(exported.graph, dt=1e-3).network.synapses == 3


def test_the_metadata_keeps_the_reset_and_options_have_the_last_word():
    network = chain(weight=0.75, reset="subtract", prompt=True, leak=0.5)
    graph = to_nir(network, dt=1e-3).graph
    assert not any("NIR does not say" in note for note in from_nir(graph, dt=1e-3).notes)
    read = from_nir(graph, dt=1e-3, reset={"neurons": "none"}, prompt=False).network
    assert (read.reset, read.prompt) == (2, False)
    kept = from_nir(graph, dt=1e-3).network
    assert (kept.reset, kept.prompt) == (0, True)


def test_an_input_may_have_a_shape():
    network = layered()
    exported = to_nir(network, dt=1e-3, shape=(2, 5, 2))
    read = from_nir(exported.graph, dt=1e-3)
    assert np.array_equal(fired(read.network, noise(20)), fired(network, noise(20)))
    assert exported.graph.input_type["input"].tolist() == [2, 5, 2]


def test_names_of_groups_become_names_of_nodes():
    network = chain(
        neurons=4, groups={"a/b": [0], "a b": [1], "input": [2], "input_to_a_b": [3]}
    )
    exported = to_nir(network, dt=1e-3)
    assert list(exported.neurons) == ["a_b", "a_b_", "input_", "input_to_a_b"]
    assert len(exported.graph.nodes) == 4 + 4 + 2
    read = from_nir(exported.graph, dt=1e-3)
    assert fired(read.network, np.ones((1, 1, 1), bool)).all()


# --- files ----------------------------------------------------------------------------------


def test_a_graph_survives_its_file(tmp_path):
    rng = np.random.default_rng(16)
    graph = graph_of(recurrent(rng), ["in fc lif back lif out"])
    path = tmp_path / "graph.nir"
    for write in (nir.write, write_nir):
        write(path, graph)
        path.chmod(0o444)
        before = path.read_bytes()
        read = assert_as_by_hand(graph, noise(5), late=[("back", "lif")])
        again = from_nir(path, dt=0.125, **ALONE)
        assert np.array_equal(fired(again.network, noise(5)), fired(read.network, noise(5)))
        assert again.notes == read.notes
        assert path.read_bytes() == before
        path.chmod(0o644)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["graph.nir"]


def test_files_that_hold_no_graph_are_refused(tmp_path):
    import h5py

    good, bad = tmp_path / "good.nir", tmp_path / "bad.nir"
    write_nir(good, to_nir(layered(), dt=1e-3).graph)
    with pytest.raises(MosaicError, match="There is no NIR file"):
        from_nir(tmp_path / "none.nir", dt=1e-3)
    content = good.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"not HDF5 at all", content[512:]):
        bad.write_bytes(damaged)
        with pytest.raises(MosaicError, match=r"bad.nir' is not a readable NIR graph"):
            from_nir(str(bad), dt=1e-3)
    with h5py.File(bad, "w") as file:
        file["something"] = 1.0
    with pytest.raises(MosaicError, match="is not a readable NIR graph"):
        read_nir(bad)
    nir.write(bad, lif(3))
    with pytest.raises(MosaicError, match=r"bad.nir' (holds a LIF|is not a readable)"):
        read_nir(bad)


def test_graphs_that_nir_cannot_write_leave_no_file(tmp_path):
    nodes = {"in": inlet(1, 5, 5), "conv": conv(bias=None), "lif": lif(), "out": outlet(1)}
    graph = graph_of(nodes, ["in conv lif out"])
    with pytest.raises(MosaicError, match=r"nir cannot write the graph.*must be an array"):
        write_nir(tmp_path / "graph.nir", graph)
    with pytest.raises(MosaicError, match="graph is a Exported"):
        write_nir(tmp_path / "graph.nir", to_nir(chain(), dt=1e-3))
    assert not list(tmp_path.iterdir())
    # In memory a convolution needs no bias, and neurons may share parameters.
    assert from_nir(graph, dt=0.125, **ALONE).network.neurons == 32


def test_without_the_package_an_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "nir", None)
    with pytest.raises(MosaicError, match="pip install nir"):
        to_nir(chain(), dt=1e-3)
    with pytest.raises(MosaicError, match="pip install nir"):
        read_nir(tmp_path / "graph.nir")


def test_the_experiment_of_the_nir_paper_comes_out_as_published():
    # Pedersen et al. (2024), one LIF; spikes and membranes as recorded from norse.
    gaps = [6, 15, 4, 3, 0, 2, 1, 2, 0, 1, *[0] * 10, 13, *[0] * 11, 5, 0]
    sent = np.concatenate([[*[False] * gap, True] for gap in gaps])
    spikes = np.zeros((1, 1000, 1), bool)
    spikes[0, : 10 * sent.size : 10, 0] = sent

    def single(value):
        return np.array([value], np.float32)

    graph = nir.NIRGraph.from_list(
        nir.Affine(np.array([[1.0]], np.float32), single(0)),
        nir.LIF(tau=single(0.0025), r=single(1), v_leak=single(0), v_threshold=single(0.1)),
    )
    net = from_nir(graph, dt=1e-4, **ALONE).network
    assert np.flatnonzero(fired(net, spikes)).tolist() == [460, 510, 710, 760]
    seen = membranes(net, spikes, [0])[0, spikes[0, :, 0], 0]
    assert seen[:14] == pytest.approx(
        [0.04, 0.04005827, 0.045202997, 0.048831135, 0.072464526, 0.061294258, 0.06709221,
         0.059715554, 0.07970084, 0.07522796, 0.090013996, 0.09984423, 0, 0.04], rel=1e-6,
    )  # fmt: skip


# --- what is refused ------------------------------------------------------------------------


def test_the_notes_say_what_was_assumed():
    graph = nir.NIRGraph.from_list(
        nir.Linear(np.ones((2, 2))), nir.IF(r=np.ones(2), v_threshold=np.ones(2)),
        nir.Linear(np.ones((2, 2))), lif(2, leak=0.5), nir.Linear(np.ones((2, 2))),
        lif(2, reset=0.5),
    )  # fmt: skip
    graph.nodes["linear"].metadata = {"made": "by hand"}
    assert from_nir(graph, dt=0.125).notes == (
        "linear: metadata is not kept.",
        "if, lif, lif_1: NIR does not say what a spike resets; reset is taken as 'zero': "
        "v = v_reset.",
        "if, lif, lif_1: NIR does not say when a spike resets; prompt is taken as True: in its "
        "step.",
        "if: r is a gain a step (integrators='step').",
        "lif, lif_1: membranes start at v_reset (0 if there is none); norse starts them at v_leak.",
        "lif_1: membranes are counted from v_reset, and start there.",
        "A neuron fires if v > v_threshold, as NIR's equations say; sinabs, for one, has "
        "v >= v_threshold.",
        "NIR is in continuous time; this is the euler method with steps of 0.125 s.",
    )
    said = from_nir(graph, dt=0.125, reset="subtract", prompt={"if": True, "lif": False})
    assert "lif_1: NIR does not say when" in "\n".join(said.notes)
    assert said.network.prompt.tolist() == [True, True, False, False, True, True]


def line(*nodes):
    """Make a graph of nodes in a row, with an Input of 2 values, checked by us only."""
    names = [f"n{k}" for k in range(len(nodes))]
    return graph_of(
        {"in": inlet(2), **dict(zip(names, nodes, strict=True)), "out": outlet(2)},
        ["in " + " ".join(names) + " out"],
    )


def conv(**how):
    given = {
        "input_shape": None, "weight": np.ones((2, 1, 2, 2)), "stride": 1, "padding": 0,
        "dilation": 1, "groups": 1, "bias": np.zeros(2),
    }  # fmt: skip
    return nir.Conv2d(**(given | how))


class Oscillator(nir.NIRNode):
    def __init__(self):
        self.input_type = self.output_type = {"x": np.array([2])}


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (line(Oscillator()), r"Node 'n0' \(Oscillator\): a tile has no circuit for it"),
        (line(lif(2, tau=0.05)), r"'n0' \(LIF\): tau is 0.05 s, shorter than a step of 0.125 s"),
        (line(lif(2, tau=0)), "tau is 0 s; it must be above 0"),
        (line(lif(2, tau=np.nan)), "tau holds nan"),
        (line(lif(2, r=np.inf)), "r is infinite, but tau is not"),
        (line(lif(2, reset=1.5)), "v_threshold 1 is not above 1.5"),
        (line(lif(2, threshold=0)), "v_threshold 0 is not above 0"),
        (line(lif(3)), r"parameters of shape \(3,\), but values of shape \(2,\) arrive"),
        (line(cuba(2, leak=0.5)), "v_leak is not v_reset.*Use v_leak = v_reset, or a LIF"),
        (line(nir.LI(np.ones(2), np.ones(2), np.zeros(2)), lif(2)), r"'n1' \(LIF\): it reads the "
         r"membrane of 'n0' \(LI\).*or use a LIF"),
        (line(nir.I(np.ones(2)), nir.Linear(np.ones((2, 2)))), "'out' .*membrane of 'n0'"),
        (line(nir.Linear(np.ones((2, 3)))), r"'n0' \(Linear\): it reads 3 values.*Flatten"),
        (line(nir.Linear(np.ones((1, 2, 2)))), r"weight has shape \(1, 2, 2\)"),
        (line(nir.Affine(np.ones((2, 2)), np.ones(3))), "bias has 3 numbers; it needs 2"),
        (line(nir.Linear(np.array([["a", "b"]]))), "weight holds <U1"),
        (line(nir.Linear(np.array([[np.nan, 1]]))), "weight holds nan"),
        (line(nir.Scale(np.ones(3))), r"scale has shape \(3,\)"),
        (line(nir.Delay(np.ones(3))), r"delay has shape \(3,\)"),
        (line(nir.Delay(np.array([1.0, -1]))), "delay holds -1 s"),
        (line(nir.Delay(np.array([1.0, 1e12]))), r"delay holds 1e\+12 s"),
        (line(nir.Flatten(None, 1, 2)), "start_dim 1 to end_dim 2 are not axes"),
        (line(conv()), r"values of shape \(2,\) arrive; it needs channels and 2 more"),
        (line(nir.SumPool2d(*np.ones((3, 2), int))), "needs \\(channels, height, width"),
    ],
)  # fmt: skip
def test_nodes_that_cannot_be_expressed_are_refused_by_name(graph, message):
    with pytest.raises(MosaicError, match=message):
        from_nir(graph, dt=0.125)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (conv(weight=np.ones((2, 1, 2))), "weight has shape .* it needs 4 axes"),
        (
            conv(weight=np.ones((2, 2, 2, 2))),
            r"'conv' \(Conv2d\): A convolution with weights",
        ),
        (conv(weight=np.ones((2, 1, 9, 9))), r"'conv' \(Conv2d\): A window of"),
        (conv(stride=0), "must be at least 1"),
        (conv(stride=(1, 1, 1)), "stride is .* it needs 2 whole numbers"),
        (conv(groups=2, weight=np.ones((3, 1, 2, 2))), "groups must divide the 3 channels"),
        (conv(padding="same", stride=2), "'same' with a stride of 1"),
        (conv(padding=0.5), "padding is .* it needs 2 whole numbers"),
        (conv(bias=np.ones(9)), "bias has 9 numbers"),
        (nir.AvgPool2d(np.array([0, 2]), np.ones(2, int), np.zeros(2, int)), "at least 1"),
    ],
)
def test_windows_that_do_not_fit_are_refused_by_name(node, message):
    graph = graph_of(
        {"in": inlet(1, 5, 5), "conv": node, "out": outlet(1)}, ["in conv out"]
    )
    with pytest.raises(MosaicError, match=message):
        from_nir(graph, dt=0.125)


def test_graphs_that_do_not_hold_together_are_refused():
    two = nir.Linear(np.ones((2, 2)))
    cases = [
        (graph_of({"in": inlet(2), "a": two}, ["in b"]), "no node is called 'b'"),
        (graph_of({"a": two, "lif": lif(2)}, ["a lif"]), "has no Input node"),
        (graph_of({"in": nir.Input(None), "lif": lif(2)}, ["in lif"]), "it has no shape"),
        (graph_of({"in": inlet(2), "a": two, "lif": lif(2)}, ["in lif", "a lif"]),
         "'a' .*no edge leads to it"),
        (graph_of({"in": inlet(2), "a": two, "lif": lif(2)}, ["in a a", "a lif"]),
         "'a' .*cycle without neurons"),
        (graph_of({"in": inlet(2), "a": two, "lif": lif(2)}, ["in a lif in"]),
         "'in' .*an edge leads to it from 'lif'"),
        (graph_of({"in": inlet(2), "a": lif(2), "b": lif(2), "c": inlet(3)}, ["in a b", "c b"]),
         r"'b' .*shape \(3,\) arrive from 'c'; it needs \(2,\)|parameters of shape"),
        (graph_of({"in": inlet(2), "g": nir.NIRGraph({}, [], type_check=False), "b": lif(2)},
                  ["in g b"]), r"'g' \(NIRGraph\).*it has 0"),
        (graph_of({"in": inlet(2), "a.b": lif(2), "a": graph_of({"b": lif(2)}, [])}, []),
         "Two nodes of the graph are called 'a.b'"),
        (graph_of({"in": inlet(2), "w": nir.Delay(np.full(2, 0.5)), "lif": lif(2)},
                  ["in lif", "in w lif"]), "spikes of the input reach the same neuron after"),
    ]  # fmt: skip
    for graph, message in cases:
        with pytest.raises(MosaicError, match=message):
            from_nir(graph, dt=0.125)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dt": 0}, "dt is 0; it needs a number of seconds above 0"),
        ({"dt": "fast"}, "dt is 'fast'"),
        ({"dt": np.inf}, "dt is inf"),
        ({"method": "heun"}, "method is 'heun'"),
        ({"exporter": "sinabs"}, "exporter is 'sinabs'"),
        ({"integrators": "hour"}, "integrators is 'hour'"),
        ({"reset": "hard"}, "reset is 'hard'; it must be one of"),
        ({"prompt": "yes"}, "prompt is 'yes'"),
        ({"reset": {"n0": "hard"}}, "reset is 'hard' for 'n0'"),
        ({"prompt": {"n0": 2}}, "prompt is 2 for 'n0'"),
        ({"reset": {"n9": "zero"}}, "reset names 'n9', but the nodes of neurons are n0"),
        ({"graph": lif(2)}, "graph is a LIF; it needs a nir.NIRGraph"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    given = {"graph": line(lif(2)), "dt": 0.125} | options
    with pytest.raises(MosaicError, match=message):
        from_nir(given.pop("graph"), **given)


def test_networks_that_nir_cannot_hold_are_refused():
    alpha = chain(gain=2.0, leak=0.5, current_leak=0.25)
    with pytest.raises(MosaicError, match="gain is above 0 for 1 neurons"):
        to_nir(alpha, dt=1e-3)
    with pytest.raises(MosaicError, match=r"shape is \(2, 2\), which is 4 values"):
        to_nir(chain(), dt=1e-3, shape=(2, 2))
    with pytest.raises(MosaicError, match="dt is -1"):
        to_nir(chain(), dt=-1)
    empty = Network.from_synapses(inputs=1, neurons=0, source=[], target=[], weight=[])
    with pytest.raises(MosaicError, match="no neurons"):
        to_nir(empty, dt=1e-3)

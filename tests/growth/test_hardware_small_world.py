import math

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from growth.hardware import TiledNetwork, hop_histogram, local_share, small_world
from growth.hardware.drawing import connectivity_matrix
from mosaic_sim import (
    Chip,
    MosaicError,
    Network,
    Placement,
    compile_program,
    route,
    simulate,
)


def of_graph(graph):
    """A network whose neurons and synapses are the nodes and edges of a graph."""
    pre, post = np.array(graph.edges).T if graph.edges else np.zeros((2, 0), int)
    return Network.from_synapses(
        inputs=1, neurons=len(graph), source=1 + pre, target=post, weight=1.0, delay=1
    )


@given(st.integers(0, 10**6), st.integers(2, 25), st.floats(0, 1))
def test_measures_are_those_of_networkx(seed, nodes, p):
    graph = nx.gnp_random_graph(nodes, p, seed=seed, directed=True)
    graph.add_edges_from((k, k) for k in range(0, nodes, 3))  # loops are no edges
    found = small_world(of_graph(graph), references=1)
    plain = nx.Graph(graph)
    plain.remove_edges_from(list(nx.selfloop_edges(plain)))
    assert found.edges == plain.number_of_edges()
    assert found.clustering == pytest.approx(nx.average_clustering(plain))
    lengths = [
        far
        for start, reached in nx.all_pairs_shortest_path_length(plain)
        for end, far in reached.items() if start != end
    ]  # fmt: skip
    assert found.connected == pytest.approx(len(lengths) / (nodes * (nodes - 1)))
    if nx.is_connected(plain):
        assert found.path_length == pytest.approx(nx.average_shortest_path_length(plain))
    elif lengths:
        assert found.path_length == pytest.approx(np.mean(lengths))
    else:
        assert math.isnan(found.path_length)
        assert math.isnan(found.coefficient)


def test_references_are_random_graphs_of_the_same_size():
    graph = nx.watts_strogatz_graph(60, 8, 0.05, seed=1)
    found = small_world(of_graph(graph), references=3, seed=7)
    drawn = [nx.gnm_random_graph(60, graph.number_of_edges(), seed=7 + k) for k in range(3)]
    clustering = np.mean([nx.average_clustering(g) for g in drawn])
    length = np.mean([nx.average_shortest_path_length(g) for g in drawn])
    assert found.random_clustering == pytest.approx(clustering)
    assert found.random_path_length == pytest.approx(length)
    wanted = (nx.average_clustering(graph) / clustering) / (
        nx.average_shortest_path_length(graph) / length
    )
    assert found.coefficient == pytest.approx(wanted)
    assert found.coefficient > 2
    alike = small_world(of_graph(drawn[0]), references=3, seed=8)
    assert alike.coefficient == pytest.approx(1, abs=0.25)


# --- hops ------------------------------------------------------------------------------------


def tiled(seed=0):
    net = TiledNetwork(
        2, 3, 4, inputs=3, outputs=2, profile={1: 0.5, 3: 0.3}, gain=4.0, seed=seed
    )
    chip = Chip(2, 3, 4, 24, 24, 24)
    return net, chip, net.to_network(), net.placement(chip)


@given(st.integers(0, 10**6))
def test_spikes_arrive_as_far_away_as_a_count_one_by_one_says(seed):
    _, chip, network, placement = tiled(seed)
    spikes = np.random.default_rng(seed).integers(0, 5, network.sources)
    assume(spikes[3:].any())
    arrived = {int(d): 0 for d in np.unique(chip.tile_hops)}
    joined = {
        (s, int(placement.tile[t]))
        for s, t in zip(network.source.tolist(), network.target.tolist(), strict=True)
        if s >= 3
    }
    for source, tile in joined:
        arrived[int(chip.tile_hops[placement.tile[source - 3], tile])] += int(
            spikes[source]
        )
    total = sum(arrived.values())
    found = hop_histogram(network, chip, placement, spikes)
    assert found == pytest.approx({d: n / total for d, n in arrived.items()})
    assert local_share(network, chip, placement, spikes) == found[0]
    each = hop_histogram(network, chip, placement)
    count = np.bincount(
        [int(chip.tile_hops[placement.tile[s - 3], t]) for s, t in joined], minlength=6
    )
    assert each == pytest.approx({d: count[d] / len(joined) for d in each})


def test_counts_of_a_recording_can_be_given():
    _, chip, network, placement = tiled()
    program = compile_program(network, chip, placement, route(network, chip, placement))
    recording = simulate(program, np.ones((1, 20, 3), bool))
    share = local_share(network, chip, placement, recording.counts.sum(0))
    assert 0 < share < 1


def test_without_spikes_no_share_arrives():
    _, chip, network, placement = tiled()
    assert set(hop_histogram(network, chip, placement, np.zeros(27)).values()) == {0.0}


def test_what_makes_no_sense_is_refused():
    _, chip, network, placement = tiled()
    for spikes in (np.ones(3), -np.ones(27)):
        with pytest.raises(MosaicError, match=r"needs \(27,\) numbers"):
            hop_histogram(network, chip, placement, spikes)
    one = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=1.0)
    with pytest.raises(MosaicError, match="at least two"):
        small_world(one)
    with pytest.raises(MosaicError, match="references is 0"):
        small_world(network, references=0)
    with pytest.raises(MosaicError, match=r"placement\.tile"):
        hop_histogram(network, chip, Placement(*(np.zeros(1, np.int32),) * 3))


# --- the matrix ------------------------------------------------------------------------------


def test_the_matrix_shows_the_weights_that_are_there_and_the_borders_of_tiles():
    net = tiled()[0]
    figure = Figure()
    ax = connectivity_matrix(net, ax=figure.subplots(), title="small")
    (image,) = ax.images
    shown = image.get_array()
    assert np.array_equal(~np.ma.getmaskarray(shown), net.mask.numpy())
    assert np.array_equal(shown.filled(0), (net.recurrent * net.mask).detach().numpy())
    assert (image.norm.vmin, image.norm.vmax) == (-abs(shown).max(), abs(shown).max())
    across = sorted(line.get_ydata()[0] for line in ax.lines if line.get_xdata()[1] == 1)
    assert across == [4, 8, 12, 16, 20]
    assert ax.get_title() == "small"
    figure.draw_without_rendering()
    with torch.no_grad():
        net.recurrent.zero_()
    connectivity_matrix(net, ax=figure.subplots())

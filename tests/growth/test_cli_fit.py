"""``mosaic fit``, against the same search by hand."""

import numpy as np
import pytest

from growth.simulation import DT, read_network
from mosaic_sim import fit, load_chip, place, route

nir = pytest.importorskip("nir")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    rng = np.random.default_rng(3)
    one = np.ones(6)
    nodes = {
        "input": nir.Input(np.array([4])),
        "into": nir.Linear(rng.normal(0.5, 0.3, (6, 4))),
        "out": nir.LIF(
            tau=1e-3 * one, r=10 * one, v_leak=0 * one, v_threshold=one, v_reset=0 * one
        ),
        "output": nir.Output(np.array([6])),
    }
    edges = [("input", "into"), ("into", "out"), ("out", "output")]
    path = tmp_path_factory.mktemp("fit") / "net.nir"
    nir.write(str(path), nir.NIRGraph(nodes=nodes, edges=edges))
    return path


def test_it_prints_all_chips_and_writes_the_smallest(mosaic, file, tmp_path):
    out = tmp_path / "small.toml"
    code, printed, _ = mosaic(
        "fit", file, "--per-tile", 2, "--per-tile", 3, "--per-tile", 6, "--out", out
    )
    assert code == 0
    network, _ = read_network(file, {"dt": DT})
    found = fit(network, tile_sizes=[2, 3, 6])
    assert load_chip(out) == found.chip
    route(network, load_chip(out), place(network, load_chip(out)))
    for one in found.candidates:
        assert f"{one.devices:,}" in printed
    assert printed.count("*") - 1 == len(found.front)  # and one in the title


def test_input_sets_the_energy(mosaic, file, tmp_path):
    energies = []
    for share in (0.1, 0.9):
        spikes = np.random.default_rng(0).random((2, 9, 4)) < share
        np.savez(tmp_path / "in.npz", spikes=spikes)
        code, printed, _ = mosaic(
            "fit", file, "--input", tmp_path / "in.npz", "--per-tile", 6
        )
        assert code == 0
        energies.append(printed)
    assert energies[0] != energies[1]


def test_what_cannot_be_is_refused_in_one_line(mosaic, file):
    for arguments, message in (
        (("--per-tile", 0), "tile_sizes is [0]"),
        (("--placer", "hilbrt"), "Unknown placer 'hilbrt'"),
        (("--aspect", -1), "aspect is -1"),
        (("--technology", "rram-130"), "rram-130"),
    ):
        code, _, complaint = mosaic("fit", file, *arguments)
        assert code
        assert message in " ".join(complaint.split())

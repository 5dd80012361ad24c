"""``mosaic memory``, against the numbers of the simulator."""

import csv
import re

import pytest
from typer.testing import CliRunner

from growth import cli
from growth.memory import compare, draw_memory
from mosaic_sim import MosaicError
from mosaic_sim.memory import compare_memory

SMALL = ("--neurons", "64", "--neurons", "128", "--per-tile", "2", "--per-tile", "128")


def mosaic(*args):
    return CliRunner().invoke(cli.app, ["memory", *map(str, args)])


def numbers(line):
    return [float(x.replace(",", "")) for x in re.findall(r"[\d,.]+", line)]


def test_the_tables_hold_the_comparisons():
    done = mosaic(
        *SMALL, "--p1", "0.5", "--p3", "0.2", "--seed", "3", "--synapse-bits", "5"
    )
    assert done.exit_code == 0
    rows = [numbers(line) for line in done.output.splitlines() if re.match(r" +\d+ ", line)]
    assert len(rows) == 2 * 3  # 128 neurons a tile are too many for 64 neurons
    of = [
        compare_memory(n, k, {1: 0.5, 3: 0.2}, seed=3, synapse_bits=5, tags_per_neuron=1)
        for n, k in ((64, 2), (128, 2), (128, 128))
    ]
    for row, point in zip(rows[:3], of, strict=True):
        devices = point.mosaic.devices.values()
        saving = round(point.crossbar / point.mosaic.total, 2)
        assert row[:2] == [point.neurons, point.neurons_per_tile]
        assert row[2:] == [*devices, point.mosaic.total, point.crossbar, saving]
    for row, point in zip(rows[3:], of, strict=True):
        tags = point.tags
        assert row[3:] == [tags.cam, tags.sram, point.sram]
        assert row[2] == pytest.approx(point.fan_out, abs=0.05)
    assert "Assumed in tables: 5 bits a weight" in done.output
    assert "three different units" in done.output


def test_the_figure_has_its_numbers_beside_it(tmp_path):
    done = mosaic(*SMALL, "--out", tmp_path / "memory.svg")
    assert done.exit_code == 0
    names = ["memory.csv", "memory.png", "memory.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert all(name in done.output.replace("\n", "") for name in names)
    with (tmp_path / "memory.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    points = compare([64, 128], [2, 128], {1: 1, 3: 0.1}, synapse_bits=4, tags_per_neuron=1)
    columns = {
        "neurons": [p.neurons for p in points],
        "neurons per tile": [p.neurons_per_tile for p in points],
        "NT [RRAM devices]": [p.mosaic.devices["NT"] for p in points],
        "R0 [RRAM devices]": [p.mosaic.devices["R0"] for p in points],
        "R1 [RRAM devices]": [p.mosaic.devices["R1"] for p in points],
        "Mosaic [RRAM devices]": [p.mosaic.total for p in points],
        "crossbar [RRAM devices]": [p.crossbar for p in points],
        "tags [bits of CAM]": [p.tags.cam for p in points],
        "tags [bits of SRAM]": [p.tags.sram for p in points],
        "lists [bits of SRAM]": [p.sram for p in points],
    }
    for name, values in columns.items():
        assert [int(row[name]) for row in rows] == values
    assert [float(row["fan-out"]) for row in rows] == [p.fan_out for p in points]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--neurons", "100", "--per-tile", "32"), "multiple of neurons_per_tile, 32"),
        (("--p1", "1.5"), r"shares\[1\] is 1.5"),
        (("--neurons", "2", "--per-tile", "4"), "All tiles are larger than the networks"),
        ((*SMALL, "--out", "memory.pdf"), "ends in .svg or .png"),
        ((*SMALL, "--out", "/no/such/folder/memory.svg"), "No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_printed(args, message):
    done = mosaic(*args)
    assert isinstance(done.exception, MosaicError)
    assert re.search(message, str(done.exception))
    assert done.output == ""


def test_a_png_is_asked_for_as_well_as_an_svg(tmp_path):
    points = compare([64], [2], {}, synapse_bits=4, tags_per_neuron=1)
    written = draw_memory(points, tmp_path / "one.png")
    assert [path.name for path in written] == ["one.svg", "one.png", "one.csv"]
    assert all(path.stat().st_size > 50 for path in written)

"""``mosaic simulate``, against the same steps by hand in Python."""

import csv
import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from growth import simulation
from mosaic_sim import (
    Device,
    Network,
    chip_preset,
    compile_program,
    load_program,
    place,
    price,
    route,
    save_program,
    simulate,
    technology_preset,
    writes,
)
from mosaic_sim.units import engineering

nir = pytest.importorskip("nir")

SNNTORCH = ("--reset", "subtract", "--reset-delay")


@pytest.fixture
def mosaic(mosaic):
    """Call ``mosaic simulate``."""
    return lambda *args: mosaic("simulate", *args)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recurrent graph, and input for it that keeps it busy: dense, and as events."""
    root = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(5)

    def lif(n):
        one = np.ones(n)
        return nir.LIF(
            tau=1e-3 * one, r=10 * one, v_leak=0 * one, v_threshold=one, v_reset=0 * one
        )

    def linear(rows, columns, mean):
        return nir.Linear(rng.normal(mean, 0.3, (rows, columns)))

    nodes = {
        "input": nir.Input(np.array([6])), "into": linear(8, 6, 0.3), "hidden": lif(8),
        "back": linear(8, 8, 0.0), "on": linear(3, 8, 0.3), "out": lif(3),
        "output": nir.Output(np.array([3])),
    }  # fmt: skip
    edges = [
        ("input", "into"), ("into", "hidden"), ("hidden", "back"), ("back", "hidden"),
        ("hidden", "on"), ("on", "out"), ("out", "output"),
    ]  # fmt: skip
    nir.write(str(root / "net.nir"), nir.NIRGraph(nodes=nodes, edges=edges))
    spikes = rng.random((3, 25, 6)) < 0.4
    np.savez(root / "spikes.npz", spikes=spikes, labels=[1, 2, 0])
    sample, time, channel = np.nonzero(spikes)
    np.savez(
        root / "events.npz", sample=sample, time=time, channel=channel, steps=25, samples=3
    )
    return root


@pytest.fixture(scope="module")
def spikes(folder):
    return np.load(folder / "spikes.npz")["spikes"]


def by_hand(folder, spikes, chip="demo", *, exact=False, levels=16, effort=1.0,
            places=("multilevel", "negotiated"), technology="rram-130nm", **reading):  # fmt: skip
    """Oracle: the pipeline, call by call."""
    from mosaic_sim.interop.nir import from_nir

    options = {"dt": 1e-4, "reset": "subtract", "prompt": False} | reading
    network = from_nir(folder / "net.nir", **options).network
    chip = chip_preset(chip)
    placement = place(network, chip, placer=places[0], effort=effort)
    routing = route(network, chip, placement, router=places[1], effort=effort)
    device = Device(levels=levels, exact=exact)
    program = compile_program(network, chip, placement, routing, device=device)
    recording = simulate(program, spikes, raster=True)
    return program, recording, price(program, recording, technology_preset(technology))


def same_program(one, two):
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def words(text):
    return " ".join(text.split())


# --- what it does ------------------------------------------------------------------------


def test_it_prints_what_was_read_who_fired_and_the_bill(mosaic, folder, spikes):
    code, out, err = mosaic(
        folder / "net.nir", "--input", folder / "spikes.npz", "--chip", "demo", *SNNTORCH
    )
    assert (code, err) == (0, "")
    program, recording, report = by_hand(folder, spikes)
    assert recording.counts[:, 6:].sum() > 200
    said = words(out)
    assert f"net.nir: 6 inputs, 11 neurons, {program.target.size} synapses" in said
    assert "note back -> hidden: the edge closes a cycle" in said
    assert f"spikes.npz: 3 samples of 25 steps, {spikes.sum()} spikes" in said
    assert (
        "4 x 4 tiles of 24 neurons, 1 in use; placed multilevel, routed negotiated" in said
    )
    total = recording.total[program.first_neuron :]
    by_group = report.by_group({"hidden": np.arange(8), "out": np.arange(8, 11)})
    lines = [line.split() for line in out.splitlines()]
    for name, members in (("hidden", range(8)), ("out", range(8, 11))):
        row, caused = [line for line in lines if line[:1] == [name]]
        count = int(total[list(members)].sum())
        assert row[1:3] == [str(len(members)), str(count)]
        assert row[3] == f"{count / (75 * len(members)):.2%}"
        assert row[4] == str(int((total[list(members)] == 0).sum()))
        assert caused[1:3] == engineering(by_group[name], "J").split()
    for name in ("(inputs)", "(static)"):
        (row,) = [line for line in lines if line[:1] == [name]]
        assert row[1:3] == engineering(by_group[name], "J").split()
    assert "The bill under rram-130nm: 3 samples of 25 steps" in said
    (row,) = [line for line in lines if line[:1] == ["total"]]
    assert " ".join(row[1:]) == (
        f"{engineering(report.energy, 'J')} {engineering(report.energy / 3, 'J')}"
    )
    for component, joule in report.by_component().items():
        both = f"{engineering(joule, 'J')} {engineering(joule / 3, 'J')}"
        assert [component, *both.split()] in lines
    for event in report.rows:
        if not event.event.startswith("device read"):
            assert f"{event.event} {event.count:,} " in said
    reads = sum(r.count for r in report.rows if r.event.startswith("device read"))
    prices = [r.unit_price for r in report.rows if r.event.startswith("device read")]
    least, most = (engineering(f(prices), "J") for f in (min, max))
    assert f"device read {reads:,} {least} to {most} " in said
    assert f"device writes, on an empty chip {writes(None, program):,} " in said
    assert (
        f"energy per synaptic operation {engineering(report.energy / operations(report), 'J')}"
        in said
    )
    for kind, area in report.area.by_kind().items():
        (row,) = [line for line in lines if line[:1] == [kind]]
        assert row[4:6] == engineering(area, "m2").split()
    timing = report.timing
    path = engineering(timing.critical_path, "s")
    assert f"{timing.reads} reads, {timing.hops} hops {path}" in said
    assert f"{timing.real_time_factor:.3g} x real time" in said
    # It ends with its assumptions, and with what matters.
    ends = said[said.index("Assumed quantities of rram-130nm") :]
    for name in ("read_voltage", "settling_time", "cell_area"):
        assert name in ends
    ends = ends[ends.index("Sensitivity") :]
    for name, quantity, elasticity in report.sensitivity():
        if abs(elasticity) >= 5e-4:
            assert f"{name} {quantity} {quantity.status} {elasticity:+.3f}" in ends
    assert "published prices of other platforms" not in said


def operations(report):
    return sum(report.spikes[i] * n for i, n in enumerate(np.diff(report.program.offsets)))


def test_compare_puts_the_run_beside_other_platforms(mosaic, folder, spikes):
    args = (
        folder / "net.nir",
        "--input",
        folder / "spikes.npz",
        "--chip",
        "demo",
        *SNNTORCH,
    )
    code, out, err = mosaic(*args, "--compare")
    assert (code, err) == (0, "")
    _, _, report = by_hand(folder, spikes)
    said = words(out)
    assert "the other platform would place and route it otherwise" in said
    each = operations(report) / 3
    hops = report.hops / 3
    for line in (
        f"ODIN 12.7 pJ - {engineering(12.7e-12 * each, 'J')} - "
        f"{engineering(12.7e-12 * each, 'J')} derived",
        f"Neurogrid - 14.0 nJ - {engineering(14e-9 * hops, 'J')} "
        f"{engineering(14e-9 * hops, 'J')} assumed",
    ):
        assert line in said
    for one in simulation.compare(report):
        assert one.platform.title in said


def test_a_step_that_is_too_short_is_said_loudly(mosaic, folder, tmp_path):
    preset = simulation.make_technology("rram-130nm")
    slow = tmp_path / "slow.toml"
    slow.write_text(preset.text.replace('value = 1\nunit = "ms"', 'value = 1\nunit = "us"'))
    args = (
        folder / "net.nir",
        "--input",
        folder / "spikes.npz",
        "--chip",
        "demo",
        *SNNTORCH,
    )
    code, out, err = mosaic(*args, "--technology", slow, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert "TOO SLOW: step_time has to be 2.2" in words(out)
    facts = json.loads((tmp_path / "out" / "report.json").read_text())
    assert not facts["bill"]["timing"]["fits"]


def test_out_keeps_program_recording_and_report(mosaic, folder, spikes, tmp_path):
    out = tmp_path / "deep" / "out"
    code, printed, _ = mosaic(
        folder / "net.nir", "--input", folder / "spikes.npz", "--chip", "demo", *SNNTORCH,
        "--out", out,
    )  # fmt: skip
    assert code == 0
    names = ["program.npz", "recording.npz", "report.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    stored = [line.split()[1] for line in printed.splitlines() if line.startswith("stored")]
    assert stored == [str(out / name) for name in names]
    program, recording, report = by_hand(folder, spikes)
    assert same_program(load_program(out / "program.npz"), program)
    with np.load(out / "recording.npz", allow_pickle=False) as file:
        kept = dict(file)
    assert np.array_equal(kept["counts"], recording.counts)
    assert np.array_equal(kept["latency"], recording.latency)
    events = np.stack([kept["sample"], kept["time"], kept["neuron"]], axis=1)
    assert sorted(events.tolist()) == np.argwhere(recording.raster).tolist()
    assert (int(kept["samples"]), int(kept["steps"])) == (3, 25)
    facts = json.loads((out / "report.json").read_text())
    assert facts["bill"]["energy_per_inference"] == report.energy / 3
    assert facts["bill"]["writes"] == writes(None, program)
    assert sum(facts["bill"]["by_kind"].values()) == pytest.approx(report.energy / 3)
    assert facts["bill"]["area"]["total"] == report.area.total
    assert facts["bill"]["timing"]["fits"]
    assert facts["bill"]["timing"]["mean_power"] == report.timing.mean_power
    assert facts["bill"]["sensitivity"] == {
        name: elasticity for name, _, elasticity in report.sensitivity()
    }
    assert [row["count"] for row in facts["bill"]["rows"]] == [r.count for r in report.rows]
    assert facts["spikes"] == {
        "inputs": int(spikes.sum()),
        "hidden": int(recording.counts[:, 6:14].sum()),
        "out": int(recording.counts[:, 14:].sum()),
    }
    assert facts["chip"] == json.loads(json.dumps(asdict(chip_preset("demo"))))
    assert (facts["placer"], facts["router"]) == ("multilevel", "negotiated")
    assert any("closes a cycle" in note for note in facts["notes"])
    assert "/" not in facts["network"] + facts["input"]  # nothing of this machine


def test_a_stored_program_runs_again_and_costs_the_same(mosaic, folder, tmp_path):
    args = ("--input", folder / "spikes.npz")
    _, first, _ = mosaic(
        folder / "net.nir", *args, "--chip", "demo", *SNNTORCH, "--out", tmp_path / "a"
    )
    code, again, err = mosaic(
        tmp_path / "a" / "program.npz", *args, "--out", tmp_path / "b", "--plot"
    )
    assert (code, err) == (0, "")
    bills = [
        text[text.index("The bill") : text.index("\nstored")] for text in (first, again)
    ]
    assert bills[0] == bills[1]
    assert "program.npz: 6 inputs, 11 neurons" in words(again)
    assert "1 in use; as stored; devices of 16 levels" in words(again)
    for name in ("counts", "latency", "time", "neuron", "sample"):
        one, two = (np.load(tmp_path / k / "recording.npz")[name] for k in "ab")
        assert np.array_equal(one, two)


def test_events_are_the_same_input(mosaic, folder):
    outs = [
        mosaic(folder / "net.nir", "--input", folder / name, "--chip", "demo")[1]
        for name in ("spikes.npz", "events.npz")
    ]
    assert outs[0] == outs[1].replace("events.npz", "spikes.npz")


def test_every_option_arrives(mosaic, folder, spikes, tmp_path):
    chip = tmp_path / "wide.toml"
    chip.write_text('preset = "demo"\ncolumns = 5\n')
    cases = [
        ((), {"reset": None, "prompt": None}),
        (("--reset", "none", "--dt", "2e-4"), {"reset": "none", "prompt": None, "dt": 2e-4}),
        (("--reset", "zero", "--no-reset-delay"), {"reset": "zero", "prompt": True}),
        ((*SNNTORCH, "--method", "exponential"), {"method": "exponential"}),
        ((*SNNTORCH, "--exporter", "norse"), {"exporter": "norse"}),
        ((*SNNTORCH, "--exact"), {"exact": True}),
        ((*SNNTORCH, "--levels", "3"), {"levels": 3}),
        ((*SNNTORCH, "--technology", "rram-22nm"), {"technology": "rram-22nm"}),
        ((*SNNTORCH, "--placer", "in-order"), {"places": ("in order", "negotiated")}),
        ((*SNNTORCH, "--router", "trunk"), {"places": ("multilevel", "trunk")}),
        ((*SNNTORCH, "--effort", "0"), {"effort": 0}),
    ]  # fmt: skip
    found = []
    for k, (args, options) in enumerate(cases):
        out = tmp_path / str(k)
        code, _, err = mosaic(
            folder / "net.nir", "--input", folder / "spikes.npz", "--chip", "demo", *args,
            "--out", out,
        )  # fmt: skip
        assert (code, err) == (0, "")
        program, recording, report = by_hand(folder, spikes, **options)
        assert same_program(load_program(out / "program.npz"), program)
        facts = json.loads((out / "report.json").read_text())
        assert facts["bill"]["energy_per_inference"] == report.energy / 3
        assert facts["exact"] == ("--exact" in args)
        counts = np.load(out / "recording.npz")["counts"]
        assert np.array_equal(counts, recording.counts)
        found.append((counts.tobytes(), report.energy))
    # Placed and routed otherwise, it may be as good; all else differs from the defaults.
    assert len(set(found)) >= len(cases) - 3
    code, out, _ = mosaic(
        folder / "net.nir", "--input", folder / "spikes.npz", "--chip", chip
    )
    assert code == 0
    assert "4 x 5 tiles" in out


def test_steps_of_another_length_than_the_technology_has_are_noted(mosaic, folder):
    args = (folder / "net.nir", "--input", folder / "spikes.npz", "--chip", "demo")
    note = "but the bill has steps of 0.001 s (step_time of rram-130nm)"
    assert f"A step of the network is 0.0001 s, {note}" in words(mosaic(*args)[1])
    code, out, _ = mosaic(*args, "--dt", "1e-3")
    assert code == 0
    assert note not in words(out)


def test_figures_are_drawn_beside_their_numbers(mosaic, folder, spikes, tmp_path):
    code, out, err = mosaic(
        folder / "net.nir", "--input", folder / "spikes.npz", "--chip", "demo", *SNNTORCH,
        "--out", tmp_path, "--plot",
    )  # fmt: skip
    assert (code, err) == (0, "")
    names = [
        "raster",
        "latency",
        "rate-map",
        "placement-map",
        "energy-by-tile",
        "sensitivity",
    ]
    drawn = [line.split()[1] for line in out.splitlines() if line.startswith("figure")]
    assert drawn == [str(tmp_path / f"{name}.svg") for name in names]
    for name in names:
        for kind in ("svg", "png", "csv"):
            assert (tmp_path / f"{name}.{kind}").stat().st_size > 0

    def table(name):
        with (tmp_path / f"{name}.csv").open() as file:
            return list(csv.DictReader(file))

    program, recording, report = by_hand(folder, spikes)
    events = sorted([int(row["step"]), int(row["neuron"])] for row in table("raster"))
    assert events == np.argwhere(recording.raster[0]).tolist()
    first = {(int(r["sample"]), int(r["neuron"])): int(r["step"]) for r in table("latency")}
    assert all(first[k] == v for k, v in np.ndenumerate(recording.latency))
    rates = [float(row["steps with a spike"]) for row in table("rate-map")]
    assert rates == pytest.approx(recording.counts[:, 6:].sum(0) / 75)
    seats = [(int(r["tile"]), int(r["slot"]), r["group"]) for r in table("placement-map")]
    groups = ["hidden"] * 8 + ["out"] * 3
    assert seats == list(zip(program.tile, program.slot, groups, strict=True))
    energy = sum(float(r["energy per inference [J]"]) for r in table("energy-by-tile"))
    assert energy == pytest.approx(report.energy / 3)
    hangs_on = {row["quantity"]: float(row["elasticity"]) for row in table("sensitivity")}
    assert hangs_on == {name: value for name, _, value in report.sensitivity()}


def test_a_network_that_stays_silent_has_a_bill_and_figures(mosaic, folder, tmp_path):
    file = tmp_path / "silent.npz"
    np.savez(file, time=[], channel=[], steps=7)
    code, out, err = mosaic(
        folder / "net.nir", "--input", file, "--chip", "demo", "--out", tmp_path, "--plot"
    )
    assert (code, err) == (0, "")
    assert "1 sample of 7 steps, 0 spikes" in words(out)
    assert "hidden 8 0 0.00% 8 never" in words(out)
    with np.load(tmp_path / "recording.npz") as kept:
        assert kept["time"].size == kept["neuron"].size == 0


def test_images_are_flattened_to_channels(mosaic, folder, spikes, tmp_path):
    file = tmp_path / "images.npz"
    np.savez(file, spikes=spikes.reshape(3, 25, 1, 2, 3))
    args = ("--chip", "demo")
    flat = mosaic(folder / "net.nir", "--input", folder / "spikes.npz", *args)[1]
    assert (
        mosaic(folder / "net.nir", "--input", file, *args)[1].replace("images", "spikes")
        == flat
    )


# --- what it does not need -----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nir", "npz"])
def test_neither_torch_nor_matplotlib_is_loaded(folder, tmp_path, kind):
    network = folder / "net.nir"
    args = [str(network), "--input", str(folder / "spikes.npz"), "--chip", "demo"]
    if kind == "npz":
        program, *_ = by_hand(folder, np.zeros((1, 1, 6), bool))
        save_program(program, tmp_path / "p.npz")
        args = [str(tmp_path / "p.npz"), *args[1:3]]
    script = (
        "import sys; from growth import cli; sys.argv = ['mosaic', 'simulate', *sys.argv[1:]]\n"
        "try:\n    cli.main()\nexcept SystemExit as done:\n    assert not done.code\n"
        "late = {'torch', 'snntorch', 'matplotlib', 'sklearn'} & {*sys.modules}\n"
        f"late |= {{'h5py'}} & {{*sys.modules}} if {kind == 'npz'} else set()\n"
        "assert not late, late"
    )
    subprocess.run([sys.executable, "-c", script, *args], check=True, capture_output=True)


def test_help_loads_no_simulator():
    script = (
        "import sys; from growth import cli; sys.argv = ['mosaic', 'simulate', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit as done:\n    assert not done.code\n"
        "assert not {'numba', 'numpy', 'torch'} & {*sys.modules}"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    for word in ("--input", "--chip", "--dt", "--technology", "--reset", "--out", "--plot"):
        assert word in ended.stdout


# --- what it refuses -----------------------------------------------------------------------


def test_input_files_that_hold_no_input_are_refused(mosaic, folder, tmp_path):
    file = tmp_path / "in.npz"
    one = {"time": [0], "channel": [0]}
    for arrays, message in (
        ({"spike": [[[1]]]}, "in.npz holds 'spike'. Did you mean 'spikes'?"),
        ({"labels": [1]}, "in.npz holds labels; it needs spikes (samples, steps, channels), or"),
        ({}, "in.npz holds nothing; it needs spikes"),
        (one, "in.npz holds time, channel; it needs spikes"),
        (one | {"steps": 3, "spikes": [[[1]]]}, "it needs spikes (samples, steps, channels)"),
        (one | {"steps": 3, "sampel": [0]}, "in.npz holds 'sampel'. Did you mean 'sample'?"),
        (one | {"steps": [3, 4]}, "steps holds int64 of shape (2,); it needs one whole"),
        (one | {"steps": 3.5}, "steps holds float64"),
        ({"time": [5], "channel": [0], "steps": 3}, "in.npz: time has 5, but a sample has 3 steps"),
        ({"time": [0.5], "channel": [0], "steps": 3}, "in.npz: time holds float64"),
        ({"time": [0, 1], "channel": [0], "steps": 3}, "in.npz: channel has shape (1,)"),
        ({"time": [0], "channel": [6], "steps": 3}, "channel has 6, but the network has 6 inputs"),
        ({"spikes": np.zeros((4, 6), bool)}, "in.npz: spikes has shape (4, 6)"),
        ({"spikes": np.zeros((1, 4, 5), bool)}, "spikes has shape (1, 4, 5); it needs"),
        ({"spikes": np.full((1, 4, 6), np.nan)}, "is nan; a current is finite"),
        ({"spikes": np.zeros((0, 4, 6))}, "no samples"),
    ):  # fmt: skip
        np.savez(file, **arrays)
        code, out, err = mosaic(folder / "net.nir", "--input", file, "--chip", "demo")
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert message in err


def test_files_that_are_missing_damaged_or_dangerous_are_refused(mosaic, folder, tmp_path):
    whole = (folder / "spikes.npz").read_bytes()
    cut, plain, evil = (tmp_path / name for name in ("cut.npz", "plain.npz", "evil.npz"))
    cut.write_bytes(whole[: len(whole) // 2])
    np.save(tmp_path / "plain.npy", np.zeros((1, 2, 6)))
    (tmp_path / "plain.npy").rename(plain)
    np.savez(evil, spikes=np.array([[["x", None]]], object))
    bad = bytearray(whole)
    bad[60:90] = bytes(30)
    (tmp_path / "bad.npz").write_bytes(bad)
    text, model = tmp_path / "net.nir", tmp_path / "model.pt"
    text.write_text("no graph")
    model.write_text("no graph")
    net, spikes = folder / "net.nir", folder / "spikes.npz"
    for args, message in (
        ((net, "--input", tmp_path / "absent.npz"), "There is no input file"),
        ((net, "--input", tmp_path), "There is no input file"),
        ((net, "--input", cut), "is no .npz file, or is cut short; write it with np.savez(path"),
        ((net, "--input", plain), "is no .npz file"),
        ((net, "--input", evil), "is not readable: Object arrays cannot be loaded"),
        ((net, "--input", tmp_path / "bad.npz"), "is not readable"),
        ((tmp_path / "absent.nir", "--input", spikes), "There is no NIR file"),
        ((text, "--input", spikes), "is not a readable NIR graph"),
        ((model, "--input", spikes), "model.pt is neither a NIR graph (.nir) nor a saved program"),
    ):  # fmt: skip
        code, out, err = mosaic(*args, "--chip", "demo")
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1
    code, _, err = mosaic(spikes, "--input", spikes)
    assert code == 2
    assert "is not a program of mosaic_sim" in err


def test_options_that_make_no_sense_are_refused(mosaic, folder, tmp_path):
    program, *_ = by_hand(folder, np.zeros((1, 1, 6), bool))
    save_program(program, tmp_path / "p.npz")
    (tmp_path / "small.toml").write_text('preset = "demo"\nrows = 1\ncolumns = 1\n'
                                         "neurons_per_tile = 4\n")  # fmt: skip
    (tmp_path / "typo.toml").write_text('preset = "demo"\nrow = 1\n')
    net, on = (folder / "net.nir", "--input", folder / "spikes.npz"), ("--chip", "demo")
    stored = (tmp_path / "p.npz", "--input", folder / "spikes.npz")
    for args, message in (
        (net, "A chip is needed: --chip with a TOML file or the name of a preset"),
        ((*net, "--chip", "dmeo"), "Unknown chip preset 'dmeo'. Did you mean 'demo'?"),
        ((*net, "--chip", tmp_path / "none.toml"), "There is no chip file"),
        ((*net, "--chip", tmp_path / "typo.toml"), "typo.toml: unknown key 'row'. Did you mean"),
        ((*net, "--chip", tmp_path / "small.toml"), "11 neurons do not fit on 1 x 1 tiles of 4"),
        ((*net, *on, "--technology", "rram-2nm"), "Did you mean 'rram-22nm'?"),
        ((*net, *on, "--placer", "greedi"), "Unknown placer 'greedi'. Did you mean 'greedy'?"),
        ((*net, *on, "--router", "trunks"), "Unknown router 'trunks'. Did you mean 'trunk'?"),
        ((*net, *on, "--reset", "add"), "reset is 'add'; it must be one of"),
        ((*net, *on, "--dt", "0"), "dt is 0.0; it needs a number of seconds above 0"),
        ((*net, *on, "--dt", "1"), "Node"),
        ((*net, *on, "--levels", "1"), "Device.levels is 1"),
        ((*net, *on, "--plot"), "--plot needs a folder to draw into: --out FOLDER"),
        ((*net, *on, "--out", folder / "net.nir"), "Cannot write to"),
        ((*stored, *on, "--reset-delay", "--levels", "4"),
         "p.npz is a program, which is on its chip already; leave out --chip, --levels, "
         "--reset-delay."),
        ((*stored, "--exact", "--dt", "1e-3"), "leave out --dt, --exact."),
    ):  # fmt: skip
        code, _, err = mosaic(*args)
        assert code == 2
        assert message in err
        assert err.count("\n") == 1
        assert "Traceback" not in err


def test_an_error_that_is_no_fault_of_the_user_is_not_hidden(mosaic, folder, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(simulation, "simulate", broken)
    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        mosaic(folder / "net.nir", "--input", folder / "spikes.npz", "--chip", "demo")


def test_a_program_without_inputs_runs_on_nothing(mosaic, tmp_path):
    network = Network.from_synapses(
        inputs=0, neurons=2, bias=True, source=[0, 1], target=[0, 1], weight=[0.5, 2.0]
    )
    chip = chip_preset("demo")
    placement = place(network, chip)
    program = compile_program(network, chip, placement, route(network, chip, placement))
    save_program(program, tmp_path / "p.npz")
    np.savez(tmp_path / "in.npz", time=[], channel=[], steps=9)
    code, out, err = mosaic(tmp_path / "p.npz", "--input", tmp_path / "in.npz")
    assert (code, err) == (0, "")
    assert "0 inputs, 2 neurons, 2 synapses, a bias line" in words(out)

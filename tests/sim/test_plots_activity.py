"""What is drawn of a run, read back from the artists, against the recording."""

import subprocess
import sys
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from mosaic_sim import (
    Chip,
    MosaicError,
    Network,
    Placement,
    compile_program,
    place,
    route,
    simulate,
)
from mosaic_sim.plots import latency, raster, rate_map, voltage

CHIP = Chip(2, 3, neurons_per_tile=4, tile_lines=8, r0_lines=12, r1_lines=16)
TILE = np.array([0, 0, 0, 1, 1, 1, 3, 4, 4, 4, 5, 5], np.int32)
SLOT = np.array([0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 0, 3], np.int32)
GROUPS = {"first": np.arange(6), "second": np.arange(6, 12)}


def axes(width=8, height=6, layout=None):
    return Figure(figsize=(width, height), layout=layout).subplots()


def compiled(network, chip=CHIP, placement=None):
    placement = placement or place(network, chip)
    return compile_program(network, chip, placement, route(network, chip, placement))


@pytest.fixture(scope="module")
def program():
    """Twelve neurons on five of six tiles; the one with number 11 cannot fire."""
    rng = np.random.default_rng(7)
    network = Network.from_synapses(
        inputs=4,
        neurons=12,
        source=[*np.repeat(np.arange(4), 6), *range(4, 10)],
        target=[*np.tile(np.arange(6), 4), *range(6, 12)],
        weight=rng.uniform(0.3, 0.9, 30),
        threshold=[1.0] * 11 + [np.inf],
        leak=0.75,
        groups=GROUPS,
    )
    return compiled(network, placement=Placement(TILE, SLOT, np.zeros(4, np.int32)))


@pytest.fixture(scope="module")
def spikes():
    return np.random.default_rng(8).random((3, 20, 4)) < 0.5


@pytest.fixture(scope="module")
def recording(program, spikes):
    """A busy run of three samples, with all spikes and three membranes."""
    found = simulate(program, spikes, raster=True, voltages=[7, 0, 11])
    assert found.counts[:, 4:].sum() > 150
    return found


@pytest.fixture(scope="module")
def silent(program):
    return simulate(program, np.zeros((2, 9, 4), bool), raster=True, voltages=[1, 2])


def collections(ax):
    return {c.get_label(): c for c in ax.collections}


def ticks(ax, label="_spikes"):
    return sorted(map(tuple, collections(ax)[label].get_offsets().tolist()))


def labels(axis):
    axis.figure.draw_without_rendering()
    low, high = sorted(axis.get_view_interval())
    return [
        text.get_text()
        for text, at in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
        if low <= at <= high and text.get_text()
    ]


# --- raster ------------------------------------------------------------------------------


@given(arrays(np.bool_, st.tuples(st.integers(0, 12), st.integers(0, 8))),
       st.sampled_from([None, 1e-3, 0.5, 2.0]))  # fmt: skip
def test_every_spike_is_one_tick_at_its_time_and_neuron(fired, dt):
    ax = raster(fired, ax=axes(), dt=dt)
    expected = [
        (t * (dt or 1), j)
        for t in range(fired.shape[0])
        for j in range(fired.shape[1])
        if fired[t, j]
    ]
    assert ticks(ax) == expected
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert left <= 0 < right
    assert all(left < x < right and bottom < y < top for x, y in expected)


def test_the_raster_of_a_run_shows_the_spikes_of_the_sample_asked_for(recording):
    for sample in range(3):
        found = np.argwhere(recording.raster[sample])
        assert ticks(raster(recording, sample, ax=axes())) == list(map(tuple, found))


def test_a_raster_of_some_neurons_has_a_row_for_each_in_the_order_asked_for(
    program, spikes
):
    some = simulate(program, spikes, raster=[9, 2, 5])
    ax = raster(some, 1, ax=axes(), groups=GROUPS)
    drawn = ticks(ax, "first") + ticks(ax, "second")
    assert sorted(drawn) == list(map(tuple, np.argwhere(some.raster[1])))
    assert {row for _, row in ticks(ax, "first")} == {1, 2}
    assert labels(ax.yaxis) == ["9", "2", "5"]


def test_each_group_has_its_spikes_a_colour_and_a_name(recording):
    ax = raster(recording, ax=axes(), groups=GROUPS)
    fired = recording.raster[0]
    drawn = collections(ax)
    for name, members in GROUPS.items():
        assert ticks(ax, name) == [
            (t, j) for t, j in np.argwhere(fired).tolist() if j in members
        ]
    assert not same_color(drawn["first"].get_edgecolor(), drawn["second"].get_edgecolor())
    names = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert names == {"first": 2.5, "second": 8.5}  # beside the middle of their rows
    bars = drawn["_groups"]
    for (bottom, top), colour, name in zip(
        [(-0.5, 5.5), (5.5, 11.5)], bars.get_facecolors(), GROUPS, strict=True
    ):
        assert same_color(colour, drawn[name].get_edgecolor()[0])
        ys = [p.vertices[:, 1] for p in bars.get_paths()]
        assert any((y.min(), y.max()) == (bottom, top) for y in ys)


def test_a_neuron_belongs_to_the_first_group_that_lists_it_and_may_belong_to_none(
    recording,
):
    groups = {"a": [3, 1], "b": [1, 2, 3, 4]}
    ax = raster(recording, ax=axes(), groups=groups)
    found = np.argwhere(recording.raster[0]).tolist()
    for label, members in (("a", {1, 3}), ("b", {2, 4})):
        assert ticks(ax, label) == [(t, j) for t, j in found if j in members]
    assert {j for _, j in ticks(ax)} == {j for _, j in found} - {1, 2, 3, 4}


def test_groups_that_take_turns_are_named_in_a_legend_from_the_top(recording):
    groups = {"even": np.arange(0, 10, 2), "odd": np.arange(1, 11, 2)}
    ax = raster(recording, ax=axes(), groups=groups)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["odd", "even"]
    assert not ax.texts


def test_many_groups_have_a_legend_because_their_names_would_collide(recording):
    groups = {f"group {k}": [k] for k in range(12)}
    ax = raster(recording, ax=axes(4, 1), groups=groups)
    assert len(ax.get_legend().get_texts()) == 12


def test_a_silent_raster_says_so(silent):
    ax = raster(silent, ax=axes())
    assert ticks(ax) == []
    assert [t.get_text() for t in ax.texts] == ["no spikes"]
    assert ax.get_xlim() == (-0.5, 8.5)


def test_a_large_raster_becomes_a_picture_so_that_files_stay_small():
    busy = raster(np.ones((300, 100), bool), ax=axes()).collections[0]
    calm = raster(np.ones((30, 10), bool), ax=axes()).collections[0]
    assert busy.get_rasterized()
    assert not calm.get_rasterized()


def test_ticks_of_crowded_rows_are_pale_so_that_density_can_be_seen():
    rng = np.random.default_rng(0)
    crowded, sparse = (rng.random((100, 3000)) < share for share in (0.2, 0.0005))
    calm = rng.random((100, 30)) < 0.2
    alphas = [
        raster(fired, ax=axes()).collections[0].get_alpha()
        for fired in (crowded, sparse, calm)
    ]
    assert 0 < alphas[0] < 1
    assert alphas[1] in (1, None)
    assert alphas[2] is None


def test_neurons_and_steps_are_whole_numbers_on_the_axes():
    ax = raster(np.eye(2, 1, dtype=bool), ax=axes())
    assert labels(ax.yaxis) == ["0"]
    assert all(float(text).is_integer() for text in labels(ax.xaxis))


@pytest.mark.parametrize(
    ("dt", "label", "last"),
    [(None, "step", "10"), (1e-3, "time [ms]", "15"), (1e-4, "time [ms]", "1.5")],
)
def test_time_is_in_steps_or_in_the_unit_that_suits_the_step(recording, dt, label, last):
    for draw in (raster, voltage, latency):
        ax = draw(recording, ax=axes(), dt=dt)
        assert ax.get_xlabel() == label
        assert last in labels(ax.xaxis)


def test_a_step_of_some_length_stretches_time_and_nothing_else(recording):
    for draw in (raster, voltage):
        plain, long = draw(recording, ax=axes()), draw(recording, ax=axes(), dt=0.25)
        moved = [(0.25 * t, y) for t, y in ticks(plain)]
        assert ticks(long) == moved
        for one, two in zip(plain.lines, long.lines, strict=True):
            if one.get_label().isdigit():
                assert (0.25 * one.get_xdata() == two.get_xdata()).all()
        assert long.get_xlim() == tuple(0.25 * x for x in plain.get_xlim())
    plain, long = latency(recording, ax=axes()), latency(recording, ax=axes(), dt=0.25)
    for one, two in zip(plain.patches, long.patches, strict=True):
        assert two.get_x() == 0.25 * one.get_x()
        assert two.get_width() == 0.25 * one.get_width()
        assert two.get_height() == one.get_height()


# --- voltage -----------------------------------------------------------------------------


def test_each_watched_membrane_is_a_line_with_its_values_from_the_top(recording):
    ax = voltage(recording, 2, ax=axes())
    lines = [line for line in ax.lines if line.get_label() in ("7", "0", "11")]
    assert [line.get_label() for line in lines] == ["7", "0", "11"]
    zero = dict(zip(labels(ax.yaxis), ax.get_yticks(), strict=True))
    assert zero["7"] == 0 > zero["0"] > zero["11"]
    for k, line in enumerate(lines):
        time, drawn = line.get_data()
        assert time.tolist() == list(range(20))
        values = drawn - zero[line.get_label()]
        np.testing.assert_allclose(values, recording.voltages[2, :, k], atol=1e-12)
    tops = [line.get_ydata().max() for line in lines]
    floors = [line.get_ydata().min() for line in lines]
    assert floors[0] > tops[1]
    assert floors[1] > tops[2]


def test_thresholds_are_drawn_where_they_are_finite(program, recording):
    ax = voltage(recording, ax=axes(), threshold=program.threshold[recording.watched])
    zero = dict(zip(labels(ax.yaxis), ax.get_yticks(), strict=True))
    lines = collections(ax)["_thresholds"].get_segments()
    assert [segment[0, 1] for segment in lines] == [zero["7"] + 1, zero["0"] + 1]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["threshold", "spike"]
    assert not collections(voltage(recording, ax=axes()))["_thresholds"].get_segments()
    shared = voltage(recording, ax=axes(), threshold=0.5)
    assert len(collections(shared)["_thresholds"].get_segments()) == 3


def test_spikes_are_dots_on_the_membranes_that_fired(recording):
    ax = voltage(recording, 1, ax=axes())
    zero = dict(zip(labels(ax.yaxis), ax.get_yticks(), strict=True))
    expected = [
        (t, recording.voltages[1, t, k] + zero[str(j)])
        for k, j in enumerate([7, 0, 11])
        for t in np.flatnonzero(recording.raster[1][:, j])
    ]
    np.testing.assert_allclose(ticks(ax), sorted(expected))
    assert len(expected) > 10


def test_spikes_are_dots_only_as_far_as_they_were_recorded(program, spikes):
    without = simulate(program, spikes, voltages=[0])
    ax = voltage(without, ax=axes())
    assert ticks(ax) == []
    assert ax.get_legend() is None
    assert ax.get_ylabel() == "membrane of neuron 0"
    other = simulate(program, spikes, voltages=[0, 3], raster=[3])
    drawn = voltage(other, ax=axes())
    floor = drawn.get_yticks()[1] - 0.01
    assert {y < floor + 3 for _, y in ticks(drawn)} == {True}
    assert len(ticks(drawn)) == other.counts[0, 4 + 3]


def test_silent_membranes_and_a_single_step_can_be_drawn(silent, program):
    ax = voltage(silent, ax=axes(), threshold=1)
    assert (ax.lines[0].get_ydata() == 0).all()
    short = simulate(program, np.ones((1, 1, 4), bool), voltages=[0])
    line = voltage(short, ax=axes()).lines[0]
    assert line.get_marker() == "."
    voltage(
        simulate(program, np.zeros((1, 0, 4), bool), raster=True, voltages=[0]), ax=axes()
    )


def test_the_bar_beside_several_lanes_has_the_length_it_says(recording):
    ax = voltage(recording, ax=axes())
    (bar,) = collections(ax)["_scale"].get_segments()
    (said,) = ax.texts
    assert bar[1, 1] - bar[0, 1] == pytest.approx(float(said.get_text()))
    low, high = ax.get_ylim()
    assert low <= bar[0, 1] < bar[1, 1] <= high


# --- rate map ----------------------------------------------------------------------------


def shares(recording, neurons):
    """Oracle: the share of steps in which each neuron fired, one by one."""
    fired = recording.raster
    return [
        sum(bool(fired[s, t, j]) for s in range(fired.shape[0]) for t in range(20)) / 60
        for j in neurons
    ]


def centre(path):
    return path.vertices[:4].mean(0)


def test_each_neuron_has_its_rate_in_its_slot_and_silent_ones_are_white(program, recording):
    ax = rate_map(program, recording, ax=axes())
    slots = collections(ax)["_slots"]
    rates = slots.get_array()
    np.testing.assert_allclose(rates.filled(0), shares(recording, range(12)))
    assert rates.mask.tolist() == [False] * 11 + [True]
    tiles = collections(ax)["_tiles"].get_paths()
    for j, slot in enumerate(slots.get_paths()):
        box = tiles[TILE[j]].get_extents()
        assert box.contains(*centre(slot))
    (bar,) = ax.child_axes
    assert bar.get_xlabel() == "steps with a spike"
    assert slots.norm.vmin == 0
    assert slots.norm.vmax == rates.max()


def test_a_tile_says_the_mean_over_its_neurons(program, recording):
    ax = rate_map(program, recording, ax=axes())
    tiles = [(2 * (t % 3) + 1, 2 * (t // 3) + 1) for t in range(6)]
    said = {
        tiles.index(min(tiles, key=lambda xy: np.hypot(*np.subtract(xy, text.get_position())))):
            text.get_text() for text in ax.texts
    }  # fmt: skip
    for tile in range(6):
        members = np.flatnonzero(tile == TILE)
        if members.size:
            mean = 100 * np.mean(shares(recording, members))
            assert float(said[tile].rstrip("%")) == pytest.approx(mean, abs=0.51)
        else:
            assert tile not in said


def test_where_slots_are_too_small_a_tile_has_the_colour_of_its_mean(program, recording):
    ax = rate_map(program, recording, ax=axes(0.3, 0.3))
    assert not ax.texts
    assert "_slots" not in collections(ax)
    drawn = collections(ax)["_tiles"].get_array()
    for tile in range(6):
        members = np.flatnonzero(tile == TILE)
        assert drawn.mask[tile] == (not members.size)
        if members.size:
            assert drawn[tile] == pytest.approx(np.mean(shares(recording, members)))


def test_a_silent_chip_is_white(program, silent):
    for size in (8, 0.3):
        ax = rate_map(program, silent, ax=axes(size, size))
        ax.figure.draw_without_rendering()
        found = collections(ax).get("_slots")
        if found is not None:
            assert all(same_color(c, "white") for c in found.get_facecolors())
            assert {t.get_text() for t in ax.texts} == {"0%"}


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0%"), (1e-4, "<0.1%"), (0.004, "0.4%"), (0.0994, "9.9%"), (0.1, "10%"), (1, "100%")],
)  # fmt: skip
def test_rates_are_written_short(share, said):
    chip = Chip(1, 1, 4, 4, 4, 4)
    steps = 10_000
    spikes = np.zeros((1, steps, 1), bool)
    spikes[0, : round(share * steps)] = True
    program = compiled(
        Network.from_synapses(
            inputs=1, neurons=1, source=[0], target=[0], weight=2.0, leak=0.0, reset="none"
        ),
        chip,
    )
    ax = rate_map(program, simulate(program, spikes), ax=axes())
    assert [t.get_text() for t in ax.texts] == [said]


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (6, 6), (12, 12)])
@pytest.mark.parametrize("size", [(5, 4), (5.4, 5.4), (9, 7)])
def test_nothing_written_on_a_rate_map_covers_a_slot_or_anything_written(shape, size):
    chip = Chip(*shape, neurons_per_tile=32, tile_lines=32, r0_lines=32, r1_lines=32)
    network = Network.from_synapses(
        inputs=1, neurons=chip.neurons, source=[], target=[], weight=[]
    )
    tile, slot = np.divmod(np.arange(chip.neurons, dtype=np.int32), 32)
    program = compiled(network, chip, Placement(tile, slot, np.zeros(1, np.int32)))
    ax = rate_map(
        program,
        simulate(program, np.zeros((1, 5, 1), bool)),
        ax=axes(*size, layout="constrained"),
    )
    ax.figure.draw_without_rendering()
    written = [t.get_window_extent() for t in ax.texts]
    slots = collections(ax).get("_slots")
    if slots is None or not written:
        return
    boxes = [p.get_extents(ax.transData) for p in slots.get_paths()[-32:]]
    assert not any(written[-1].padded(-1).overlaps(box) for box in boxes)
    assert not any(one.overlaps(two) for one, two in pairwise(written))


# --- latency -----------------------------------------------------------------------------


def test_bars_count_first_spikes_of_all_samples_and_the_title_those_without(recording):
    ax = latency(recording, ax=axes())
    first = [
        int(np.flatnonzero(recording.raster[s, :, j])[0])
        for s in range(3) for j in range(12) if recording.raster[s, :, j].any()
    ]  # fmt: skip
    heights = {bar.get_x() + bar.get_width() / 2: bar.get_height() for bar in ax.patches}
    assert heights == {t: first.count(t) for t in range(20)}
    assert ax.get_title("right") == f"{36 - len(first)} of 36 never fired"


def test_bars_of_long_runs_hold_several_whole_steps_each(program):
    rng = np.random.default_rng(1)
    spikes = rng.random((4, 1050, 4)) < 0.002
    run = simulate(program, spikes)
    ax = latency(run, ax=axes())
    assert ax.get_ylabel() == "first spikes in 11 steps"
    assert len(ax.patches) <= 100
    for bar in ax.patches:
        low, high = bar.get_x(), bar.get_x() + bar.get_width()
        inside = (run.latency > low) & (run.latency < high)
        assert bar.get_height() == inside.sum()
    assert high == pytest.approx(1049.5)


def test_the_latency_of_a_silent_or_empty_run_can_be_drawn(program, silent):
    ax = latency(silent, ax=axes())
    assert {bar.get_height() for bar in ax.patches} == {0}
    assert ax.get_title("right") == "24 of 24 never fired"
    latency(simulate(program, np.zeros((1, 0, 4), bool), raster=True), ax=axes())


# --- what is refused ---------------------------------------------------------------------


def test_what_was_not_recorded_is_refused_with_how_to_record_it(program, spikes):
    plain = simulate(program, spikes)
    with pytest.raises(MosaicError, match=r"kept no spikes; simulate with raster=True\."):
        raster(plain, ax=axes())
    with pytest.raises(MosaicError, match=r"kept no membranes; simulate with voltages=\["):
        voltage(plain, ax=axes())


def test_arguments_that_do_not_fit_are_refused(program, recording):
    run = recording
    other = compiled(
        Network.from_synapses(inputs=1, neurons=1, source=[], target=[], weight=[])
    )
    empty = simulate(program, np.zeros((1, 0, 4), bool), raster=True)
    for draw, message in (
        (lambda ax: raster(np.zeros((2, 3, 4), bool), ax=ax), "it needs a Recording, or bools"),
        (lambda ax: raster(np.zeros((3, 4)), ax=ax), r"dtype float64; it needs a Recording"),
        (lambda ax: raster(run, 3, ax=ax), r"sample is 3; .* has 3 samples \(0 to 2\)"),
        (lambda ax: raster(run, -1, ax=ax), "sample is -1"),
        (lambda ax: voltage(run, 5, ax=ax), "sample is 5"),
        (lambda ax: raster(run, ax=ax, groups={"a": [0.5]}), r"groups\['a'\] needs a list"),
        (lambda ax: raster(run, ax=ax, groups={"a": [-1]}), r"groups\['a'\] has -1; neurons count"),
        (lambda ax: voltage(run, ax=ax, threshold=[1, 2]), r"\(2,\); .* the 3 watched neurons"),
        (lambda ax: voltage(run, ax=ax, threshold=np.nan), "threshold has shape"),
        (lambda ax: rate_map(other, run, ax=ax), "recording has 16 sources; the program has 2"),
        (lambda ax: rate_map(program, empty, ax=ax), "no steps; there are no rates"),
    ):  # fmt: skip
        ax = axes()
        with pytest.raises(MosaicError, match=message):
            draw(ax)
        assert not ax.has_data()


@pytest.mark.parametrize("dt", [0, -1e-3, np.inf, np.nan])
def test_a_step_without_a_length_is_refused(recording, dt):
    for draw in (raster, voltage, latency):
        with pytest.raises(MosaicError, match=r"dt is .* above 0"):
            draw(recording, ax=axes(), dt=dt)


# --- all ---------------------------------------------------------------------------------


def test_every_plot_draws_on_the_axes_given_and_adds_none(program, recording):
    for draw in (
        lambda ax: raster(recording, ax=ax, groups=GROUPS),
        lambda ax: voltage(recording, ax=ax, threshold=1),
        lambda ax: rate_map(program, recording, ax=ax),
        lambda ax: latency(recording, ax=ax),
    ):
        figure = Figure()
        both = figure.subplots(1, 2)
        assert draw(both[0]) is both[0]
        assert figure.axes == list(both)
        assert not both[1].has_data()


def test_without_axes_a_plot_makes_a_figure_of_its_own_with_room_for_all(
    program, recording
):
    mpl.use("Agg")
    from matplotlib import pyplot

    for draw in (raster, voltage, latency, lambda run: rate_map(program, run)):
        ax = draw(recording)
        assert ax.figure.get_layout_engine() is not None
        assert ax.figure.number in pyplot.get_fignums()
        pyplot.close(ax.figure)
    assert not pyplot.get_fignums()


def test_axes_that_are_given_need_no_pyplot():
    code = (
        "import sys, numpy as np; from matplotlib.figure import Figure; "
        "from mosaic_sim.plots import raster; raster(np.eye(3, dtype=bool), "
        "ax=Figure().subplots()); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

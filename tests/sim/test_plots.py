"""What is drawn, read back from the artists, against the definition of what it shows."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import LogNorm, same_color, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mosaic_sim import (
    Chip,
    MosaicError,
    Network,
    Placement,
    compile_program,
    price,
    route,
    simulate,
    technology_preset,
)
from mosaic_sim.cost import COMPONENTS
from mosaic_sim.plots import (
    energy_by_component,
    energy_by_tile,
    placement_map,
    sensitivity,
)
from mosaic_sim.units import engineering

CHIP = Chip(2, 3, neurons_per_tile=4, tile_lines=8, r0_lines=12, r1_lines=16)
"""Different numbers everywhere, and lines enough for every network drawn below."""


def axes(width=8, height=6):
    return Figure(figsize=(width, height)).subplots()


def on_chip(network, placement, chip=CHIP):
    routing = route(network, chip, placement)
    return compile_program(network, chip, placement, routing), routing


@st.composite
def programs(draw):
    """A placed, routed and compiled network of 5 external sources, on random slots."""
    neurons = draw(st.integers(1, 12))
    sources = 5 + neurons
    pairs = draw(
        st.sets(
            st.tuples(st.integers(0, sources - 1), st.integers(0, neurons - 1)), max_size=25
        )
    )
    source, target = np.array(sorted(pairs), int).reshape(-1, 2).T
    network = Network.from_synapses(
        inputs=4,
        bias=True,
        neurons=neurons,
        source=source,
        target=target,
        weight=1.0,
        delay=1,
    )
    places = draw(st.permutations(range(CHIP.neurons)))[:neurons]
    tile, slot = np.divmod(np.array(places, np.int32), CHIP.neurons_per_tile)
    ports = st.integers(0, len(CHIP.port_sites) - 1)
    port = np.array(draw(st.lists(ports, min_size=5, max_size=5)), np.int32)
    return on_chip(network, Placement(tile, slot, port))


@pytest.fixture(scope="module")
def demo():
    """A busy program with neurons on five of six tiles, none full; its routing and a run."""
    rng = np.random.default_rng(7)
    network = Network.from_synapses(
        inputs=4,
        neurons=12,
        source=[*np.repeat(np.arange(4), 6), *range(4, 10)],
        target=[*np.tile(np.arange(6), 4), *range(6, 12)],
        weight=rng.uniform(0.3, 0.9, 30),
    )
    tile = np.array([0, 0, 0, 1, 1, 1, 3, 4, 4, 4, 5, 5], np.int32)
    slot = np.array([0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 0, 3], np.int32)
    placement = Placement(tile, slot, np.array([0, 0, 4, 9], np.int32))
    program, routing = on_chip(network, placement)
    recording = simulate(program, rng.random((3, 20, 4)) < 0.5, raster=True)
    return program, routing, recording


def bill(demo, technology="rram-130nm"):
    return price(demo[0], demo[2], technology_preset(technology))


def collection(ax, label):
    (found,) = [c for c in ax.collections if c.get_label() == label]
    return found


def boxes(ax, label):
    """(left, top, right, bottom) of each polygon."""
    corners = [path.vertices for path in collection(ax, label).get_paths()]
    return np.array([[*v.min(0), *v.max(0)] for v in corners]).reshape(-1, 4)


def legend_colours(ax):
    """Colour of each name in the legend, without the count."""
    return {
        handle.get_label().split(":")[0]: handle.get_facecolor()
        for handle in ax.get_legend().legend_handles
        if isinstance(handle, Patch)
    }


def cell_position(cell, chip=CHIP):
    return divmod(int(cell), 2 * chip.columns + 1)


def links_by_hand(routing):
    """Oracle: the (row, column) pairs that each source's links join, one by one."""
    step = {0: (-1, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1)}
    for cell, side in zip(routing.cell.tolist(), routing.side.tolist(), strict=True):
        row, column = cell_position(cell)
        down, right = step[side]
        yield (row, column), (row + down, column + right)


# --- placement_map -----------------------------------------------------------------------


@given(programs())
def test_each_link_in_use_is_drawn_once_and_as_wide_as_it_has_sources(case):
    program, routing = case
    ax = placement_map(program, routing, ax=axes())
    expected = Counter(frozenset(ends) for ends in links_by_hand(routing))
    links = collection(ax, "_links")
    drawn = [
        frozenset((round(y), round(x)) for x, y in segment)
        for segment in links.get_segments()
    ]
    assert sorted(map(sorted, drawn)) == sorted(map(sorted, expected))
    # As many sources as the port has, whose wire is drawn to the same scale.
    entries = collection(ax, "_entries").get_linewidths()
    one = min(entries) / min(Counter(program.port.tolist()).values())
    np.testing.assert_allclose(
        links.get_linewidths(), [one * expected[ends] for ends in drawn], rtol=1e-12
    )


@given(programs())
def test_a_router_is_shaded_by_the_busiest_of_its_sides(case):
    program, routing = case
    ax = placement_map(program, routing, ax=axes())
    leaving = {"R0": CHIP.r0_lines, "R1": CHIP.r1_lines}
    entering = {**leaving, "NT": CHIP.tile_lines}

    def kind(row, column):
        return ("R0", "R1", "NT")[row % 2 + column % 2]

    used = Counter(links_by_hand(routing))
    expected = []
    for row in range(2 * CHIP.rows + 1):
        for column in range(2 * CHIP.columns + 1):
            if kind(row, column) == "NT":
                continue
            shares = [
                count / min(leaving[kind(row, column)], entering[kind(*there)])
                for (here, there), count in used.items()
                if here == (row, column)
            ]
            expected.append(max(shares, default=0))
    routers = collection(ax, "_routers")
    assert routers.get_array().tolist() == expected
    assert routers.norm(0) == 0
    assert routers.norm(1) == 1


@given(programs(), st.data())
def test_a_tile_has_the_colour_of_most_of_its_neurons(case, data):
    program, routing = case
    neurons = program.tile.size
    owner = data.draw(st.lists(st.integers(-1, 3), min_size=neurons, max_size=neurons))
    names = ["a", "b", "c", "d"]
    ax = placement_map(program, routing, ax=axes(), owner=owner, owner_names=names)
    colours = legend_colours(ax)
    edges = collection(ax, "_tiles").get_edgecolors()
    for tile in range(CHIP.tiles):
        here = [owner[k] for k in range(neurons) if program.tile[k] == tile]
        if not here:
            assert same_color(collection(ax, "_tiles").get_facecolors()[tile], "white")
            continue
        most = max(Counter(here).values())
        first = min(
            (k for k in set(here) if here.count(k) == most), key=lambda k: (k < 0, k)
        )
        name = "nobody" if first < 0 else names[first]
        assert same_color(edges[tile], colours[name])


@given(programs(), st.data())
def test_each_neuron_is_a_slot_of_its_own_in_its_tile_and_colour(case, data):
    program, routing = case
    neurons = program.tile.size
    owner = data.draw(st.lists(st.integers(-1, 20), min_size=neurons, max_size=neurons))
    ax = placement_map(program, routing, ax=axes(), owner=owner)
    slots, tiles = boxes(ax, "_slots"), boxes(ax, "_tiles")
    colours = legend_colours(ax)
    faces = collection(ax, "_slots").get_facecolors()
    # Slots are read like text: from the left, and row by row.
    by_slot = sorted(range(neurons), key=lambda k: (program.tile[k], program.slot[k]))
    read = sorted(
        range(neurons), key=lambda k: (program.tile[k], *slots[k, [1, 0]].round(9))
    )
    assert by_slot == read
    for k, (left, top, right, bottom) in enumerate(slots):
        x0, y0, x1, y1 = tiles[program.tile[k]]
        assert x0 < left < right < x1
        assert y0 < top < bottom < y1
        name = "nobody" if owner[k] < 0 else f"owner {owner[k]}"
        assert same_color(faces[k], colours[name])
        for other in slots[:k]:
            assert (
                right <= other[0]
                or other[2] <= left
                or bottom <= other[1]
                or other[3] <= top
            )


def test_tiles_lie_where_the_chip_has_them_and_say_how_full_they_are(demo):
    program, routing, _ = demo
    ax = placement_map(program, routing, ax=axes())
    left, top, right, bottom = boxes(ax, "_tiles").T
    centres = np.column_stack([(top + bottom) / 2, (left + right) / 2])
    np.testing.assert_allclose(
        centres, [cell_position(CHIP.tile_cell(t)) for t in range(6)]
    )
    texts = {t.get_text(): t.get_position() for t in ax.texts if "/" in t.get_text()}
    said = [t.get_text() for t in ax.texts if "/" in t.get_text()]
    assert said == ["3/4", "3/4", "1/4", "3/4", "2/4"]  # tile 2 is free
    x, y = texts["2/4"]
    assert left[5] < x < right[5]
    assert top[5] < y < bottom[5]


def test_cells_have_three_sizes_and_a_gap_between_them(demo):
    program, routing, _ = demo
    ax = placement_map(program, routing, ax=axes())
    drawn = np.concatenate([boxes(ax, "_tiles"), boxes(ax, "_routers")])
    assert len(drawn) == CHIP.cells
    area = np.round((drawn[:, 2] - drawn[:, 0]) * (drawn[:, 3] - drawn[:, 1]), 9)
    assert Counter(area.tolist()).most_common() == [
        (sorted(set(area))[1], 17), (sorted(set(area))[0], 12), (sorted(set(area))[2], 6)
    ]  # fmt: skip
    for k, (left, top, right, bottom) in enumerate(drawn):
        for other in drawn[:k]:
            assert (
                right < other[0] or other[2] < left or bottom < other[1] or other[3] < top
            )


def test_ports_are_triangles_that_point_inward_with_the_inputs_that_enter(demo):
    program, routing, _ = demo
    ax = placement_map(program, routing, ax=axes())
    triangles = [path.vertices[:3] for path in collection(ax, "_ports").get_paths()]
    # Ports 0, 4 and 9: north of column 0, east of row 1, and west of row 0.
    borders = {0: (1, 0), 4: (6, 3), 9: (0, 1)}
    inward = {0: (0, 1), 4: (-1, 0), 9: (1, 0)}
    for triangle, port in zip(triangles, borders, strict=True):
        tip, *base = triangle
        direction = tip - np.mean(base, axis=0)
        np.testing.assert_allclose(direction / np.linalg.norm(direction), inward[port])
        reach = np.array(borders[port]) - tip
        assert reach @ inward[port] > 0  # outside the router that it enters
        assert abs(np.cross([*reach, 0], [*inward[port], 0])[2]) < 1e-12  # in line with it
    numbers = [t.get_text() for t in ax.texts if "/" not in t.get_text()]
    assert numbers == ["2", "1", "1"]
    ends = [segment[1].tolist() for segment in collection(ax, "_entries").get_segments()]
    assert ends == [list(xy) for xy in borders.values()]


def test_the_bias_line_counts_as_an_input_of_its_port():
    network = Network.from_synapses(
        inputs=1, bias=True, neurons=2, source=[0, 1], target=[0, 1], weight=1.0
    )
    at = np.array([3, 3], np.int32)
    program, routing = on_chip(network, Placement(at * 0, at - [3, 2], at))
    ax = placement_map(program, routing, ax=axes())
    assert [t.get_text() for t in ax.texts] == ["2/4", "2"]


def test_what_is_too_small_to_read_is_left_out_and_tiles_are_filled_in_proportion(demo):
    program, routing, _ = demo
    ax = placement_map(program, routing, ax=axes(0.6, 0.6), owner=[0] * 7 + [1] * 5)
    assert not ax.texts
    fill, tiles = boxes(ax, "_fill"), boxes(ax, "_tiles")[[0, 1, 3, 4, 5]]
    share = (fill[:, 3] - fill[:, 1]) / (tiles[:, 3] - tiles[:, 1])
    np.testing.assert_allclose(share, [3 / 4, 3 / 4, 1 / 4, 3 / 4, 1 / 2])
    np.testing.assert_allclose(fill[:, [0, 2, 3]], tiles[:, [0, 2, 3]])  # from below
    colours = legend_colours(ax)
    for face, name in zip(
        collection(ax, "_fill").get_facecolors(),
        ["owner 0"] * 3 + ["owner 1"] * 2,
        strict=True,
    ):
        assert same_color(face, colours[name])


def test_the_legend_counts_the_neurons_of_each_owner_nobody_last(demo):
    program, routing, _ = demo
    owner = [2, 2, -1, 0, 0, 0, -1, -1, 0, 0, 0, 0]
    ax = placement_map(
        program, routing, ax=axes(), owner=owner, owner_names=["a", "b", "c"]
    )
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[:5] == [
        "a: 7 neurons", "c: 2 neurons", "nobody: 3 neurons", "free tile", "input port"
    ]  # fmt: skip
    busiest = max(Counter(frozenset(ends) for ends in links_by_hand(routing)).values())
    assert labels[5:] == [f"link of {busiest} sources"]
    assert ax.get_legend().legend_handles[-1].get_linewidth() == pytest.approx(
        max(collection(ax, "_links").get_linewidths())
    )


def test_a_program_without_links_or_inputs_can_be_drawn():
    network = Network.from_synapses(inputs=0, neurons=1, source=[], target=[], weight=[])
    nought = np.zeros(1, np.int32)
    program, routing = on_chip(network, Placement(nought, nought, nought[:0]))
    ax = placement_map(program, routing, ax=axes())
    assert [t.get_text() for t in ax.texts] == ["1/4"]
    assert not collection(ax, "_links").get_segments()


def test_owners_keep_24_colours_apart(demo):
    program, routing, _ = demo
    colours = set()
    for first in (0, 12):
        ax = placement_map(program, routing, ax=axes(), owner=range(first, first + 12))
        colours |= {c for name, c in legend_colours(ax).items() if name.startswith("owner")}
    assert len(colours) == 24


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"owner": [0, 1]},
            r"owner has shape \(2,\) .* integer for each neuron .* \(12,\)",
        ),
        ({"owner": np.zeros(12)}, "owner has .* dtype float64; it needs one integer"),
        ({"owner": [-2] * 12}, "owner has -2; it needs -1"),
        (
            {"owner": [1] * 12, "owner_names": ["a"]},
            "owner_names has 1 names; it needs at least 2",
        ),
    ],
)
def test_owners_that_do_not_fit_are_refused(demo, wrong, message):
    program, routing, _ = demo
    with pytest.raises(MosaicError, match=message):
        placement_map(program, routing, ax=axes(), **wrong)


def test_the_routing_of_another_program_is_refused(demo):
    network = Network.from_synapses(inputs=0, neurons=1, source=[], target=[], weight=[])
    nought = np.zeros(1, np.int32)
    _, routing = on_chip(network, Placement(nought, nought, nought[:0]))
    with pytest.raises(MosaicError, match=r"routing has 1 trees; .* with 16 sources on 35"):
        placement_map(demo[0], routing, ax=axes())


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (4, 4), (1, 9), (16, 16)])
@pytest.mark.parametrize("size", [(5, 4), (9, 7)])
def test_nothing_written_on_a_map_covers_anything_else_written(shape, size):
    chip = Chip(*shape, neurons_per_tile=24, tile_lines=32, r0_lines=32, r1_lines=32)
    neurons, ports = chip.neurons, len(chip.port_sites)
    network = Network.from_synapses(
        inputs=ports, neurons=neurons, source=[], target=[], weight=[]
    )
    tile, slot = np.divmod(np.arange(neurons, dtype=np.int32), 24)
    program, routing = on_chip(
        network, Placement(tile, slot, np.arange(ports, dtype=np.int32)), chip
    )
    figure = Figure(figsize=size, layout="constrained")
    ax = placement_map(program, routing, ax=figure.subplots(), owner=tile % 8)
    figure.draw_without_rendering()
    (bar,) = ax.child_axes
    texts = [
        *ax.texts, *ax.get_legend().get_texts(), ax.xaxis.label, *ax.get_xticklabels(),
        ax.yaxis.label, *ax.get_yticklabels(), bar.xaxis.label, *bar.get_xticklabels(),
    ]  # fmt: skip
    extents = [t.get_window_extent() for t in texts if t.get_text()]
    extents.append(bar.patch.get_window_extent())
    for k, one in enumerate(extents):
        for other in extents[:k]:
            assert not one.padded(-0.5).overlaps(other.padded(-0.5))


# --- energy ------------------------------------------------------------------------------


def test_bars_are_the_energies_per_inference_of_the_components_end_to_end(demo):
    reports = {"130": bill(demo), "22": bill(demo, "rram-22nm")}
    ax = energy_by_component(reports, ax=axes())
    assert [container.get_label() for container in ax.containers] == list(COMPONENTS)
    for row, report in enumerate(reports.values()):
        end = 0.0
        for container, joule in zip(
            ax.containers, report.by_component().values(), strict=True
        ):
            bar = container[row]
            assert bar.get_width() == pytest.approx(joule / 3, rel=1e-12)
            assert bar.get_x() == pytest.approx(end, rel=1e-12)
            end += joule / 3
        assert ax.get_xlim()[1] > end
    assert [t.get_text() for t in ax.get_yticklabels()] == ["130", "22"]
    assert ax.yaxis_inverted()
    totals = [t.get_text() for t in ax.texts if t.get_text().endswith("J")]
    assert totals == [engineering(r.energy / 3, "J") for r in reports.values()]


def test_the_legend_of_components_lies_above_the_bars(demo):
    ax = energy_by_component({"a": bill(demo)}, ax=axes())
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1
    assert [t.get_text() for t in ax.get_legend().get_texts()] == list(COMPONENTS)


def luminance(colour):
    """Relative luminance as defined in WCAG 2.2."""
    return sum(
        weight * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
        for weight, c in zip((0.2126, 0.7152, 0.0722), to_rgb(colour), strict=True)
    )


def test_shares_are_right_and_can_be_read_on_their_bars(demo):
    report = bill(demo)
    ax = energy_by_component({"a": report}, ax=axes())
    shares = [t for t in ax.texts if t.get_text().endswith("%")]
    assert len(shares) >= 2
    for text in shares:
        (bar,) = [
            c[0] for c in ax.containers
            if c[0].get_x() < text.get_position()[0] < c[0].get_x() + c[0].get_width()
        ]  # fmt: skip
        assert text.get_text() == f"{100 * bar.get_width() / (report.energy / 3):.0f}%"
        light, dark = sorted(
            [luminance(text.get_color()), luminance(bar.get_facecolor())], reverse=True
        )
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_the_axis_of_energy_has_one_unit(demo):
    report = bill(demo)
    ax = energy_by_component({"a": report}, ax=axes())
    ax.figure.draw_without_rendering()
    number, unit = engineering(report.energy / 3, "J").split(" ")
    assert ax.get_xlabel() == f"energy per inference [{unit}]"
    ticks = {
        t.get_text(): x for t, x in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)
    }
    for text, joule in ticks.items():
        assert float(text) * report.energy / 3 == pytest.approx(
            joule * float(number), rel=0.01
        )


def test_no_report_is_refused():
    with pytest.raises(MosaicError, match="reports is empty"):
        energy_by_component({}, ax=axes())


@pytest.mark.parametrize("log", [False, True])
def test_cells_are_coloured_by_their_energy_per_inference(demo, log):
    report = bill(demo)
    ax = energy_by_tile(report, demo[0], ax=axes(), log=log)
    cells = collection(ax, "_cells")
    energy = np.array([sum(row * report.prices) / 3 for row in report.counts])
    drawn = cells.get_array()
    assert (drawn.mask == (energy == 0)).all()
    assert drawn.mask.any()
    np.testing.assert_allclose(drawn.filled(0), energy, rtol=1e-12)
    left, top, right, bottom = boxes(ax, "_cells").T
    np.testing.assert_allclose(
        np.column_stack([(top + bottom) / 2, (left + right) / 2]),
        [cell_position(cell) for cell in range(CHIP.cells)],
    )
    assert isinstance(cells.norm, LogNorm) == log
    assert cells.norm.vmax == pytest.approx(energy.max())
    (bar,) = ax.child_axes
    ax.figure.draw_without_rendering()
    unit = engineering(energy.max(), "J").split(" ")[1]
    said = bar.get_xlabel() + " ".join(t.get_text() for t in bar.get_xticklabels())
    assert unit in said


def test_a_run_that_took_nothing_is_drawn_white():
    network = Network.from_synapses(inputs=0, neurons=1, source=[], target=[], weight=[])
    nought = np.zeros(1, np.int32)
    program, _ = on_chip(network, Placement(nought, nought, nought[:0]))
    report = price(program, np.zeros(1, np.int64), technology_preset("rram-130nm"),
                   samples=1, steps=1)  # fmt: skip
    report.counts[:] = 0
    for log in (False, True):
        ax = energy_by_tile(report, program, ax=axes(), log=log)
        assert collection(ax, "_cells").get_array().mask.all()
        ax.figure.draw_without_rendering()


def test_a_report_of_another_chip_is_refused(demo):
    network = Network.from_synapses(inputs=0, neurons=1, source=[], target=[], weight=[])
    nought = np.zeros(1, np.int32)
    program, _ = on_chip(
        network, Placement(nought, nought, nought[:0]), Chip(1, 1, 4, 4, 4, 4)
    )
    with pytest.raises(MosaicError, match="report has 35 cells; it needs 9"):
        energy_by_tile(bill(demo), program, ax=axes())


# --- sensitivity -------------------------------------------------------------------------


def bars(ax):
    """Of each row from the top: its label, the end of its bar, and its status."""
    labels = [text.get_text() for text in ax.get_yticklabels()]
    found = {}
    for container in ax.containers:
        for bar in container:
            row = round(bar.get_y() + bar.get_height() / 2)
            assert bar.get_x() == 0
            found[row] = (labels[row], bar.get_width(), container.get_label())
    return [found[row] for row in sorted(found)]


@pytest.mark.parametrize("technology", ["rram-130nm", "rram-22nm"])
def test_a_bar_is_the_elasticity_of_its_quantity_the_largest_at_the_top(demo, technology):
    report = bill(demo, technology)
    ax = sensitivity(report, ax=axes(), most=99)
    drawn = bars(ax)
    expected = {
        f"{e.name}, {e.quantity}": (e.elasticity, e.quantity.status)
        for e in report.sensitivity()
        if e.elasticity >= 5e-4
    }
    assert {label: tuple(rest) for label, *rest in drawn} == expected
    widths = [width for _, width, _ in drawn]
    assert widths == sorted(widths, reverse=True)
    assert ax.yaxis_inverted()
    assert [t.get_text() for t in ax.texts] == [f"{width:+.3f}" for width in widths]
    assert ax.get_xlim()[1] > max(widths)


def test_no_more_bars_are_drawn_than_asked_for(demo):
    whole, part = (bars(sensitivity(bill(demo), ax=axes(), most=n)) for n in (99, 3))
    assert part == whole[:3]


def test_the_colour_of_a_bar_tells_how_sure_its_quantity_is(demo):
    ax = sensitivity(bill(demo, "rram-22nm"), ax=axes(), most=99)
    legend = ax.get_legend()
    shown = {
        text.get_text(): patch.get_facecolor()
        for text, patch in zip(legend.get_texts(), legend.get_patches(), strict=True)
    }
    assert set(shown) == {"derived", "assumed"}
    assert len(set(shown.values())) == 2
    for container in ax.containers:
        assert {bar.get_facecolor() for bar in container} == {shown[container.get_label()]}


@pytest.mark.parametrize("size", [(7, 4.4), (5, 4)])
def test_names_numbers_and_legend_of_sensitivities_keep_apart(demo, size):
    figure = Figure(figsize=size, layout="constrained")
    ax = sensitivity(bill(demo, "rram-22nm"), ax=figure.subplots())
    figure.draw_without_rendering()
    left, right = ax.get_xlim()
    ticks = zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
    texts = [
        *ax.texts, *ax.get_yticklabels(), *ax.get_legend().get_texts(), ax.xaxis.label,
        *(text for x, text in ticks if left <= x <= right),
    ]  # fmt: skip
    extents = [t.get_window_extent() for t in texts if t.get_text()]
    for k, one in enumerate(extents):
        assert one.x1 <= figure.bbox.x1 + 0.5
        for other in extents[:k]:
            assert not one.padded(-0.5).overlaps(other.padded(-0.5))


def test_a_run_that_cost_nothing_or_no_bars_are_refused(demo):
    with pytest.raises(MosaicError, match="most is 0"):
        sensitivity(bill(demo), ax=axes(), most=0)
    free = technology_preset("rram-130nm").with_values(
        neuron_tile_leakage=0, routing_tile_leakage=0
    )
    program = demo[0]
    silent = price(program, np.zeros(program.sources, int), free, samples=1, steps=1)
    with pytest.raises(MosaicError, match="cost nothing"):
        sensitivity(silent, ax=axes())


# --- all ---------------------------------------------------------------------------------


def test_every_plot_draws_on_the_axes_given_and_adds_none(demo):
    program, routing, _ = demo
    for draw in (
        lambda ax: placement_map(program, routing, ax=ax),
        lambda ax: energy_by_component({"a": bill(demo)}, ax=ax),
        lambda ax: energy_by_tile(bill(demo), program, ax=ax),
        lambda ax: sensitivity(bill(demo), ax=ax),
    ):
        figure = Figure()
        both = figure.subplots(1, 2)
        assert draw(both[0]) is both[0]
        assert figure.axes == list(both)
        assert not both[1].has_data()


def test_only_plots_needs_matplotlib_and_it_needs_no_global_figures():
    code = (
        "import sys, mosaic_sim; assert 'matplotlib' not in sys.modules; "
        "import mosaic_sim.plots; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

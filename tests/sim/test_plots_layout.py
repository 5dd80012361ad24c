"""Layouts, loads, trees and fronts, read back from what was drawn."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import same_color, to_rgb
from matplotlib.figure import Figure
from strategies import around, build, builds, hops_by_search, kind

from mosaic_sim import (
    Chip,
    MosaicError,
    Network,
    Placement,
    fit,
    place,
    route,
)
from mosaic_sim.place import hop_cost
from mosaic_sim.plots import (
    before_after,
    hop_histogram,
    layout_map,
    load_curves,
    load_map,
    pareto_front,
    placement_map,
    tile_costs,
    tree_map,
)
from mosaic_sim.plots.grid import BROKEN, owner_colour
from mosaic_sim.plots.loads import port_loads

DRAWN = settings(max_examples=settings().max_examples // 5)
"""Drawing takes long."""
CHIP = Chip(2, 3, neurons_per_tile=4, tile_lines=8, r0_lines=12, r1_lines=16)


def axes(width=8, height=6, columns=1):
    return Figure(figsize=(width, height)).subplots(1, columns)


def pixels(ax):
    return np.asarray(ax.images[0].get_array())


def collection(ax, label):
    (found,) = [c for c in ax.collections if c.get_label() == label]
    return found


def sites(tile, slot, port=()):
    return Placement(*(np.array(x, np.int32) for x in (tile, slot, port)))


SOME = sites([0, 0, 1, 1, 1, 5], [0, 1, 0, 1, 3, 0])
"""Two neurons on tile 0, three on tile 1, one on tile 5."""


# --- layouts -----------------------------------------------------------------------------


@DRAWN
@given(st.data())
def test_a_tile_has_the_colour_of_most_of_its_neurons_paler_the_emptier_it_is(data):
    filled = data.draw(st.lists(st.integers(0, 4), min_size=6, max_size=6))
    tile = np.repeat(np.arange(6), filled)
    slot = np.concatenate([np.arange(n) for n in filled]).astype(int)
    owners = st.lists(st.integers(-1, 4), min_size=tile.size, max_size=tile.size)
    owner = np.array(data.draw(owners), int)
    ax = layout_map(CHIP, sites(tile, slot), ax=axes(), owner=owner)
    drawn = pixels(ax)
    for at in range(6):
        here = Counter(owner[tile == at].tolist())
        colour = np.ones(3)
        if here:
            most = max(here.values())
            winner = min((k for k, n in here.items() if n == most and k >= 0), default=-1)
            strength = 0.3 + 0.7 * filled[at] / 4
            colour = 1 - strength * (1 - np.array(to_rgb(owner_colour(winner))))
        assert drawn[at // 3, at % 3] == pytest.approx(colour)
    assert sorted(t.get_text() for t in ax.texts) == sorted(str(n) for n in filled if n)


def test_without_owners_colours_say_how_full_tiles_are():
    ax = layout_map(CHIP, SOME, ax=axes())
    drawn = pixels(ax)
    assert drawn.shape == (2, 3, 3)
    assert drawn[0, 2].tolist() == drawn[1, 0].tolist() == [1, 1, 1]
    darkness = 3 - drawn.sum(2)
    assert darkness[0, 1] > darkness[0, 0] > darkness[1, 2] > 0
    (bar,) = ax.child_axes
    assert bar.get_xlabel() == "slots in use"
    assert ax.get_xlabel() == "column of tiles"
    assert ax.get_ylabel() == "row of tiles"
    assert ax.images[0].get_extent() == [-0.5, 2.5, 1.5, -0.5]


def test_broken_tiles_are_grey_hatched_and_counted():
    chip = replace(CHIP, broken_tiles=(2, 3))
    ax = layout_map(chip, SOME, ax=axes(), owner=np.zeros(6, int))
    drawn = pixels(ax)
    for at in (2, 3):
        assert drawn[at // 3, at % 3] == pytest.approx(to_rgb(BROKEN))
    hatched = collection(ax, "_broken")
    assert [path.vertices.mean(0).round(1).tolist() for path in hatched.get_paths()]
    corners = [path.vertices.min(0).tolist() for path in hatched.get_paths()]
    assert corners == [[1.5, -0.5], [-0.5, 0.5]]
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts == ["group 0: 6 neurons", "2 broken tiles"]


def test_values_have_their_own_scale_and_name():
    values = np.array([0.0, 1, 2, 3, np.nan, 4])
    ax = layout_map(CHIP, SOME, ax=axes(), values=values, label="how odd")
    drawn = pixels(ax).reshape(6, 3)
    assert drawn[4].tolist() == [1, 1, 1]
    assert len({tuple(c) for c in drawn.tolist()}) == 6
    assert ax.child_axes[0].get_xlabel() == "how odd"


def test_many_owners_are_shades_and_few_have_names():
    tile = np.arange(20) % 6
    where = sites(tile, np.arange(20) // 6)
    few = layout_map(CHIP, where, ax=axes(), owner=tile % 2, owner_names=["left", "right"])
    assert [t.get_text() for t in few.get_legend().get_texts()] == [
        "left: 10 neurons",
        "right: 10 neurons",
    ]
    many = layout_map(CHIP, where, ax=axes(), owner=np.arange(20))
    assert many.get_legend() is None
    assert many.child_axes[0].get_xlabel() == "group with most neurons"
    nobody = layout_map(CHIP, where, ax=axes(), owner=np.where(tile == 3, -1, 0))
    assert nobody.get_legend().get_texts()[-1].get_text() == "nobody: 3 neurons"


@pytest.mark.parametrize("shape", [(64, 64), (512, 512)])
def test_a_large_chip_is_one_image_without_text(shape):
    chip = Chip(*shape, 32, 64, 64, 64)
    tile = np.repeat(np.arange(0, chip.tiles, 2), 3)
    slot = np.tile(np.arange(3), tile.size // 3)
    ax = layout_map(chip, sites(tile, slot), ax=axes(), owner=tile % 5)
    assert pixels(ax).shape == (*shape, 3)
    assert not ax.texts
    assert not ax.collections
    ax.figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("chip", "extra", "message"),
    [
        (CHIP, {"owner": [0, 1]}, r"owner has shape \(2,\)"),
        (CHIP, {"owner": [0] * 5 + [-2]}, "owner has -2"),
        (CHIP, {"owner": [0] * 5 + [2], "owner_names": ["a"]}, "owner_names has 1 names"),
        (CHIP, {"values": [0.0]}, r"values has shape \(1,\); .* 6 tiles"),
        (CHIP, {"values": [0.0] * 6, "owner": [0] * 6}, "owner or values, not both"),
        (replace(CHIP, rows=1), {}, "placement.tile goes to 5; the chip has 3 tiles"),
        (replace(CHIP, neurons_per_tile=2), {}, "3 neurons on tile 1, which has 2 slots"),
        (replace(CHIP, broken_tiles=(5,)), {}, "1 neurons on tile 5, which has 0 slots"),
    ],
)
def test_what_does_not_fit_a_layout_is_refused(chip, extra, message):
    with pytest.raises(MosaicError, match=message):
        layout_map(chip, SOME, ax=axes(), **extra)


def hops(chip, placement, network, source):
    """Hops to each foreign tile that a source reaches, by searching the grid."""
    first = network.first_neuron
    if source < first:
        site = tuple(chip.port_sites[placement.port[source]].tolist())
    else:
        site = chip.tile_position(int(placement.tile[source - first]))
    far = hops_by_search(chip.rows, chip.columns, site)
    tiles = {
        int(placement.tile[t])
        for s, t in zip(network.source, network.target, strict=True)
        if s == source
    }
    found = [far[chip.tile_position(tile)] for tile in tiles]
    return [h for h in found if h]


@DRAWN
@given(builds(), st.data())
def test_hops_and_costs_are_those_of_a_search(built, data):
    network, chip, placement = built[:3]
    rates = np.array(
        data.draw(
            st.lists(st.integers(0, 3), min_size=network.sources, max_size=network.sources)
        ),
        float,
    )
    share = Counter()
    cost = np.zeros(chip.tiles)
    for source in range(network.sources):
        for far in hops(chip, placement, network, source):
            share[far] += rates[source]
            if source >= network.first_neuron:
                cost[placement.tile[source - network.first_neuron]] += rates[source] * far
    assert tile_costs(network, chip, placement, rates).tolist() == cost.tolist()
    ax = hop_histogram(network, chip, placement, ax=axes(), rates=rates)
    (steps,) = ax.patches
    values, edges, _ = steps.get_data()
    total = sum(share.values()) or 1
    drawn = {int(left) + 1: v for left, v in zip(edges, values, strict=False) if v}
    assert drawn == pytest.approx({far: n / total for far, n in share.items() if n})
    text = ax.get_legend().get_texts()[0].get_text()
    assert (
        text.endswith(f"H = {hop_cost(network, chip, placement, rates):.4g}") or "," in text
    )


def test_two_histograms_share_their_axes():
    network = ring(12)
    chip = Chip(2, 3, 2, 12, 12, 12)
    near, far = place(network, chip), place(network, chip, placer="in order")
    ax = axes()
    assert hop_histogram(network, chip, near, ax=ax, label="one") is ax
    hop_histogram(network, chip, far, ax=ax, label="two")
    names = [t.get_text().split(":")[0] for t in ax.get_legend().get_texts()]
    assert names == ["one", "two"]
    assert len({p.get_edgecolor() for p in ax.patches}) == 2
    assert all(tick % 2 == 1 for tick in ax.get_xticks())


def ring(neurons):
    source = np.arange(neurons)
    return Network.from_synapses(
        inputs=0, neurons=neurons, source=source, target=(source + 1) % neurons, weight=1.0,
        delay=1,
    )  # fmt: skip


def test_before_and_after_have_one_scale_and_their_costs():
    network = ring(12)
    chip = Chip(2, 3, 2, 12, 12, 12)
    good = place(network, chip, placer="in order")
    order = np.random.default_rng(0).permutation(12)
    bad = Placement(good.tile[order], good.slot[order], good.port)
    two = axes(columns=2)
    assert before_after(network, chip, bad, good, axes=two) is two
    was, now = hop_cost(network, chip, bad), hop_cost(network, chip, good)
    assert two[0].get_title() == f"before: H = {was:.4g}"
    assert two[1].get_title() == f"after: H = {now:.4g} ({now / was - 1:+.1%})"
    scales = [ax.child_axes[0].get_xlim() for ax in two]
    most = max(tile_costs(network, chip, x).max() for x in (bad, good))
    assert scales == [(0, most), (0, most)]
    owned = before_after(network, chip, bad, good, axes=axes(columns=2), owner=good.tile)
    assert owned[0].get_legend() is None
    assert len(owned[1].get_legend().get_texts()) == 6
    with pytest.raises(MosaicError, match="axes has 1 Axes; before and after need two"):
        before_after(network, chip, bad, good, axes=[axes()])


# --- loads -------------------------------------------------------------------------------


def carried(built):
    """Sources on each side of each cell, {(cell, side, in or out): number}, by hand."""
    chip, routing = built.chip, built.routing
    load = Counter()
    for cell, side in zip(routing.cell.tolist(), routing.side.tolist(), strict=True):
        here = divmod(cell, 2 * chip.columns + 1)
        there = around(*here)[side]
        if kind(*here) != "NT":  # outputs of neurons are wired, used or not
            load[here, side, "out"] += 1
            load[there, (side + 2) % 4, "in"] += 1
    return load


@DRAWN
@given(builds())
def test_loads_are_the_sources_on_the_sides_of_cells(built):
    chip = built.chip
    ports = port_loads(chip, built.routing)
    load = carried(built)
    for cell in range(chip.cells):
        here = divmod(cell, 2 * chip.columns + 1)
        wanted = [load[here, side, way] for way in ("in", "out") for side in range(4)]
        assert ports[cell].tolist() == wanted
    ax = load_map(chip, built.routing, ax=axes())
    lines = {"R0": chip.r0_lines, "R1": chip.r1_lines, "NT": chip.tile_lines}
    share = [ports[c].max() / lines[str(k)] for c, k in enumerate(chip.kinds)]
    assert collection(ax, "_cells").get_array().tolist() == pytest.approx(share)


def test_only_the_kinds_asked_for_are_coloured():
    built = busy()
    for name in ("R0", "R1", "NT"):
        ax = load_map(built.chip, built.routing, ax=axes(), kinds=[name])
        shown = ~np.ma.getmaskarray(collection(ax, "_cells").get_array())
        assert shown.tolist() == (built.chip.kinds == name).tolist()
    for draw in (load_map, load_curves):
        with pytest.raises(MosaicError, match=r"kind of tile 'R2'. There are: R0, R1, NT"):
            draw(built.chip, built.routing, ax=axes(), kinds=["R2"])


def busy(rows=2, columns=3, neurons=20, seed=0, **faults):
    rng = np.random.default_rng(seed)
    source, target = np.nonzero(rng.random((4 + neurons, neurons)) < 0.2)
    network = Network.from_synapses(
        inputs=4, neurons=neurons, source=source, target=target, weight=1.0, delay=1
    )
    return build(network, Chip(rows, columns, 4, 24, 24, 24, **faults))


def test_a_large_chip_has_pixels_for_cells_and_the_worst_of_a_kind_for_tiles():
    chip = Chip(40, 40, 1, 4, 4, 4)
    network = ring(1600)
    where = place(network, chip, placer="in order")
    routing = route(network, chip, where)
    share = port_loads(chip, routing).max(1) / 4
    ax = load_map(chip, routing, ax=axes(3, 3))
    assert pixels(ax).ravel().tolist() == share.tolist()
    for name in ("R0", "R1", "NT"):
        ax = load_map(chip, routing, ax=axes(3, 3), kinds=[name])
        image = pixels(ax)
        grid = np.where(chip.kinds == name, share, -1).reshape(chip.shape)
        for row, column in ((0, 0), (3, 7), (20, 39)):
            block = grid[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert image[row, column] == block.max()


def test_curves_fall_to_nothing_where_the_busiest_side_is():
    built = busy()
    chip = built.chip
    ports = port_loads(chip, built.routing)
    ax = load_curves(chip, built.routing, ax=axes())
    curves = [line for line in ax.lines if len(line.get_xdata()) > 2]
    marks = [line for line in ax.lines if len(line.get_xdata()) == 2]
    for name, curve, mark in zip(("R0", "R1", "NT"), curves, marks, strict=True):
        sides = ports[chip.kinds == name][:, : 4 if name == "NT" else 8].ravel()
        for x, y in zip(*curve.get_data(), strict=True):
            assert y == pytest.approx((sides > x).mean())
        assert curve.get_xdata()[-1] == sides.max()
        assert set(mark.get_xdata()) == {24}
        assert same_color(mark.get_color(), curve.get_color())
        assert f"most {sides.max()}, lines 24" in curve.get_label()


# --- trees and faults --------------------------------------------------------------------


@pytest.mark.parametrize("zoom", [True, False])
def test_the_tree_of_a_source_is_its_links_start_and_ends(zoom):
    built = busy()
    network, chip, placement, routing, _ = built
    for source in (0, 5, network.sources - 1):
        ax = tree_map(network, chip, placement, routing, source, ax=axes(), zoom=zoom)
        part = slice(routing.offsets[source], routing.offsets[source + 1])
        wanted = []
        for cell, side in zip(routing.cell[part], routing.side[part], strict=True):
            here = divmod(int(cell), 2 * chip.columns + 1)
            wanted.append([here[::-1], around(*here)[side][::-1]])
        drawn = [path.vertices.tolist() for path in collection(ax, "_links").get_paths()]
        assert drawn == [[list(a), list(b)] for a, b in wanted]
        ends = {b for _, b in wanted if kind(*b[::-1]) == "NT"}
        reached = [p.vertices[:4].mean(0) for p in collection(ax, "_reached").get_paths()]
        assert {tuple(np.round(x).astype(int)) for x in reached} == ends
        (start,) = collection(ax, "_start").get_paths()
        middle = np.round(start.vertices[:4].mean(0)).astype(int)[::-1]
        if source < 4:
            cell = chip.port_cell(int(placement.port[source]))[0]
        else:
            cell = chip.tile_cell(int(placement.tile[source - 4]))
        assert tuple(middle) == divmod(cell, 2 * chip.columns + 1)
        text = [t.get_text() for t in ax.get_legend().get_texts()]
        assert text[0] == (f"input {source}" if source < 4 else f"neuron {source - 4}")
        assert text[1].startswith(f"{len(ends)} tile")
        (left, right), (low, high) = sorted(ax.get_xlim()), sorted(ax.get_ylim())
        for x, y in (point for link in wanted for point in link):
            assert left < x < right
            assert low < y < high


def test_a_tree_is_shown_from_near_on_a_large_chip():
    chip = Chip(40, 40, 1, 4, 4, 4)
    network = ring(1600)
    where = place(network, chip, placer="in order")
    routing = route(network, chip, where)
    ax = tree_map(network, chip, where, routing, 700, ax=axes())
    assert abs(np.subtract(*ax.get_xlim())) < 12
    assert len(collection(ax, "_cells").get_paths()) < 200
    assert len(ax.get_xticks()) >= 2
    small = tree_map(network, chip, where, routing, 700, ax=axes(2, 2), zoom=False)
    assert not [c for c in small.collections if c.get_label() == "_cells"]
    with pytest.raises(
        MosaicError, match="source is 1600; the network has sources 0 to 1599"
    ):
        tree_map(network, chip, where, routing, 1600, ax=axes())


def test_maps_hatch_broken_cells_and_cross_sides_with_broken_lines():
    lost = ((1, 2, 3), (1, 2, 5))
    built = busy(
        3, 3, neurons=12, broken_tiles=(4,), broken_routers=(2,), broken_lines=lost
    )
    chip = built.chip
    drawn = [
        placement_map(built.program, built.routing, ax=axes()),
        load_map(chip, built.routing, ax=axes()),
        tree_map(*built[:4], 5, ax=axes(), zoom=False),
    ]
    for ax in drawn:
        middles = [
            p.vertices[:4].mean(0).round() for p in collection(ax, "_broken").get_paths()
        ]
        cells = [divmod(c, 7)[::-1] for c in np.flatnonzero(chip.is_broken).tolist()]
        assert [tuple(m) for m in middles] == cells
        crosses = [p.vertices for p in collection(ax, "_lost").get_paths()]
        assert len(crosses) == 2  # two strokes, one side
        x, y = np.mean(crosses, (0, 1))
        assert x == pytest.approx(1)
        assert 0.24 < y < 0.32  # between the router and the tile south of it
    names = [t.get_text() for t in drawn[0].get_legend().get_texts()]
    assert "broken" in names
    whole = busy(3, 3, neurons=12)
    ax = placement_map(whole.program, whole.routing, ax=axes())
    assert "broken" not in [t.get_text() for t in ax.get_legend().get_texts()]
    assert not {c.get_label() for c in ax.collections} & {"_broken", "_lost"}


# --- the front ---------------------------------------------------------------------------


def test_the_front_is_a_line_and_all_candidates_are_points():
    built = busy()
    found = fit(built.network, tile_sizes=[2, 4, 8, 20])
    ax = pareto_front(found, ax=axes())
    every, front = ax.lines
    assert every.get_xydata().tolist() == [[c.devices, c.energy] for c in found.candidates]
    assert front.get_xydata().tolist() == [[c.devices, c.energy] for c in found.front]
    assert {t.get_text() for t in ax.texts} == {"2", "4", "8", "20"}
    assert ax.get_xlabel()
    assert ax.get_ylabel()

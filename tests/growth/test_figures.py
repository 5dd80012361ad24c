"""What is drawn, read back from the artists; and what `save` leaves on the disk."""

import csv
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from growth import figures
from growth.figures import accuracy_matrix, accuracy_over_tasks, growth_over_time, save
from mosaic_sim.errors import MosaicError


def axes(width=7, height=5):
    return Figure(figsize=(width, height), layout="constrained").subplots()


accuracies = st.floats(0, 1, width=32)


# --- accuracy_matrix ---------------------------------------------------------------------


@given(
    arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=accuracies)
)
def test_every_cell_has_its_accuracy_and_its_number_in_percent(R):  # noqa: N803
    ax = accuracy_matrix(R, ax=axes())
    (mesh,) = ax.collections
    assert mesh.get_array().tolist() == R.tolist()
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0, 1)
    # Row i is after task i, column j is on task j, and row 0 is at the top.
    corners = mesh.get_coordinates()
    drawn = {text.get_position(): text.get_text() for text in ax.texts}
    for (i, j), value in np.ndenumerate(R):
        assert drawn[j, i] == f"{100 * value:.0f}"
        assert corners[i, j].tolist() == [j - 0.5, i - 0.5]
    assert len(ax.texts) == R.size
    assert ax.yaxis_inverted()
    assert not ax.xaxis_inverted()


def test_tasks_still_to_come_are_muted():
    ax = accuracy_matrix(np.full((3, 3), 0.5), ax=axes())
    alpha = ax.collections[0].get_alpha()
    assert (alpha[np.tril_indices(3)] == 1).all()
    assert (alpha[np.triu_indices(3, 1)] < 0.5).all()
    slanted = {t.get_position() for t in ax.texts if t.get_fontstyle() == "italic"}
    assert slanted == {(1, 0), (2, 0), (2, 1)}


def test_no_task_is_still_to_come_where_all_were_learnt_at_once():
    ax = accuracy_matrix([[0.5, 0.6, 0.7]], ax=axes())
    assert (ax.collections[0].get_alpha() == 1).all()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0"]


def test_what_was_not_measured_is_empty():
    ax = accuracy_matrix([[0.5, np.nan], [0.25, 0.75]], ax=axes())
    assert [t.get_text() for t in ax.texts] == ["50", "25", "75"]
    assert ax.collections[0].get_array().mask.tolist() == [[False, True], [False, False]]


def test_numbers_are_left_out_where_they_could_not_be_read():
    assert not accuracy_matrix(np.eye(60), ax=axes(3, 3)).texts


def luminance(colour):
    """Relative luminance as defined in WCAG 2.2."""
    return sum(
        weight * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
        for weight, c in zip((0.2126, 0.7152, 0.0722), to_rgb(colour), strict=True)
    )


@pytest.mark.parametrize("learnt", [1, 14])
def test_numbers_can_be_read_on_every_colour(learnt):
    R = np.resize(np.linspace(0, 1, 14), (learnt, 14))  # noqa: N806
    ax = accuracy_matrix(R, ax=axes(9, 9))
    (mesh,) = ax.collections
    faces = mesh.to_rgba(R.ravel()).reshape(*R.shape, 4)
    alpha = mesh.get_alpha()
    for text in ax.texts:
        j, i = text.get_position()
        face = 1 - alpha[i, j] * (1 - faces[i, j, :3])  # over white
        light, dark = sorted([luminance(text.get_color()), luminance(face)], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([0.5], r"R has shape \(1,\); it needs \(learnt, tasks\)"),
        (np.zeros((0, 3)), r"R has shape \(0, 3\)"),
        ([[97.0]], "R has 97; it needs accuracies from 0 to 1"),
        ([[-0.1]], "R has -0.1; it needs"),
    ],
)
def test_a_matrix_that_is_none_of_accuracies_is_refused(wrong, message):
    with pytest.raises(MosaicError, match=message):
        accuracy_matrix(wrong, ax=axes())


# --- accuracy_over_tasks -----------------------------------------------------------------


def test_each_learner_is_a_line_in_percent_with_its_band():
    mean, low, high = [1.0, 0.75], [0.875, 0.5], [1.125, 0.875]
    ax = accuracy_over_tasks(
        {"grow": (mean, low, high), "joint": ([0.5], None, None)}, ax=axes()
    )
    grow, joint = ax.lines
    assert grow.get_xydata().tolist() == [[0, 100], [1, 75]]
    assert joint.get_xydata().tolist() == [[0, 50]]
    assert [line.get_label() for line in ax.lines] == ["grow", "joint"]
    (band,) = ax.collections
    edge = {tuple(point) for point in band.get_paths()[0].vertices.tolist()}
    assert edge == {(0, 87.5), (1, 50), (0, 112.5), (1, 87.5)}
    assert ax.get_ylim()[1] <= 101


@given(st.lists(accuracies, min_size=1, max_size=12))
def test_names_stand_apart_in_the_order_of_the_ends(ends):
    ax = accuracy_over_tasks(
        {f"{k}": ([0.5, e], None, None) for k, e in enumerate(ends)}, ax=axes()
    )
    names = sorted(ax.texts, key=lambda t: t.get_position()[1])
    finals = [ends[int(t.get_text())] for t in names]
    assert finals == sorted(finals)
    for name in ax.texts:
        assert name.xy == (1, pytest.approx(100 * ends[int(name.get_text())]))
        assert same_colour_as_line(ax, name)
    extents = [extent_without_arrow(t) for t in names]
    assert all(below.y1 <= above.y0 for below, above in pairwise(extents))


def extent_without_arrow(annotation):
    annotation.update_positions(FigureCanvasAgg(annotation.figure).get_renderer())
    return Text.get_window_extent(annotation)


def same_colour_as_line(ax, name):
    (line,) = [line for line in ax.lines if line.get_label() == name.get_text()]
    return to_rgb(name.arrow_patch.get_edgecolor()) == to_rgb(line.get_color())


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=8).map(sorted),
    st.floats(0.1, 30),
    st.data(),
)
def test_no_other_heights_that_are_apart_are_nearer(heights, gap, data):
    heights = np.array(heights)
    moved = figures._apart(heights, gap)
    assert (np.diff(moved) >= gap - 1e-9).all()
    # Any other choice: a start and gaps of at least `gap`.
    steps = data.draw(
        st.lists(st.floats(0, 20), min_size=len(heights) - 1, max_size=len(heights) - 1)
    )
    start = data.draw(st.floats(-150, 150))
    other = start + np.concatenate([[0], np.cumsum(np.array(steps) + gap)])
    assert np.square(moved - heights).sum() <= np.square(other - heights).sum() + 1e-6


def test_21_learners_differ_in_colour_or_dashes():
    ax = accuracy_over_tasks(
        {f"{k}": ([0.5, 0.5], None, None) for k in range(21)}, ax=axes()
    )
    styles = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in ax.lines}
    assert len(styles) == 21


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "curves is empty"),
        ({"a": ([], None, None)}, r"curves\['a'\] has 0, 0 and 0 entries"),
        (
            {"a": ([0.5, 0.5], [0.4], [0.6])},
            r"curves\['a'\] has 2, 1 and 1 entries; mean, low",
        ),
        (
            {"a": ([95.0], None, None)},
            r"curves\['a'\] has 95; it needs accuracies from 0 to 1",
        ),
    ],
)
def test_curves_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(MosaicError, match=message):
        accuracy_over_tasks(wrong, ax=axes())


# --- growth_over_time --------------------------------------------------------------------


def stairs(ax):
    """(label, values, edges) of each open line of stairs."""
    return [(p.get_label(), *p.get_data()[:2]) for p in ax.patches if not p.get_fill()]


def test_neurons_and_tiles_are_stairs_around_each_task():
    ax = axes()
    growth_over_time([10, 10, 30], [1, 1, 2], ax=ax)
    _, twin = ax.figure.axes
    ((name, neurons, edges),) = stairs(ax)
    assert (name, neurons.tolist()) == ("neurons", [10, 10, 30])
    assert edges.tolist() == [-0.5, 0.5, 1.5, 2.5]
    ((name, tiles, edges),) = stairs(twin)
    assert (name, tiles.tolist()) == ("tiles in use", [1, 1, 2])
    assert edges.tolist() == [-0.5, 0.5, 1.5, 2.5]
    assert ax.get_ylim()[0] == twin.get_ylim()[0] == 0
    assert ax.get_ylim()[1] > 30
    assert twin.get_ylim()[1] > 2


def test_events_are_marked_on_the_line_one_above_the_other():
    ax = axes()
    events = [
        (0, "new expert"),
        (2, "new expert"),
        (2, "widen"),
        (1, "widen"),
        (2, "widen"),
    ]
    growth_over_time([10, 20, 30], [1, 1, 2], ax=ax, events=events)
    marks = sorted(
        (x, y, line.get_marker(), line.get_transform().transform((x, y))[1])
        for line in ax.lines
        for x, y in line.get_xydata()
    )
    expert, widen = ax.lines[0].get_marker(), ax.lines[1].get_marker()
    assert expert != widen
    assert [mark[:3] for mark in marks] == sorted(
        [(0, 10, expert), (1, 20, widen), (2, 30, expert), (2, 30, widen), (2, 30, widen)]
    )
    heights = sorted(height for x, *_, height in marks if x == 2)
    assert heights[0] > ax.transData.transform((2, 30))[1]
    assert min(np.diff(heights)) * 72 / ax.figure.dpi > 8  # no marker hides another
    names = [t.get_text() for t in ax.get_legend().get_texts()]
    assert names == ["neurons", "tiles in use", "new expert", "widen"]


def test_writes_are_bars_in_a_strip_below():
    ax = axes()
    growth_over_time([10, 20], [1, 1], ax=ax, writes=[400, 0])
    (strip,) = ax.child_axes
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in strip.patches]
    assert bars == [(0, 400), (1, 0)]
    ax.figure.draw_without_rendering()
    assert strip.get_tightbbox().y1 < ax.get_window_extent().y0 + 1
    assert strip.get_tightbbox().y0 >= 0  # the constrained layout leaves room for it
    assert strip.get_xlabel() == "after learning task"
    assert ax.get_xlabel() == ""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tiles": [1]}, r"tiles has shape \(1,\); .* as neurons: \(2,\)"),
        ({"writes": [1, 2, 3]}, r"writes has shape \(3,\)"),
        (
            {"events": [(2, "widen")]},
            "events has 'widen' at task 2; it needs a task from 0 to 1",
        ),
        ({"neurons": [], "tiles": []}, r"neurons has shape \(0,\)"),
    ],
)
def test_sizes_and_events_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(MosaicError, match=message):
        growth_over_time(**{"neurons": [1, 2], "tiles": [1, 1], "ax": axes()} | wrong)


# --- save --------------------------------------------------------------------------------


def drawn():
    ax = axes(3, 2)
    accuracy_matrix([[0.5, 0.1], [0.4, 0.6]], ax=ax, title="a")
    return ax.figure


def test_a_figure_is_kept_as_two_pictures_beside_its_numbers(tmp_path):
    table = {"task": range(2), "accuracy": np.array([0.1, 1 / 3]), "name": ["a, b", "c"]}
    save(drawn(), tmp_path / "split-0.5", table)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "split-0.5.csv", "split-0.5.png", "split-0.5.svg"
    ]  # fmt: skip
    with (tmp_path / "split-0.5.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in rows] == [0.1, 1 / 3]  # to the last bit
    assert [(row["task"], row["name"]) for row in rows] == [("0", "a, b"), ("1", "c")]
    assert ET.parse(tmp_path / "split-0.5.svg").getroot().tag.endswith("svg")
    assert (tmp_path / "split-0.5.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        save(drawn(), tmp_path / name, {"task": [0]})
    for ending in ("svg", "png", "csv"):
        one, two = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "two"))
        assert one == two


def test_a_figure_that_cannot_be_drawn_leaves_the_old_files(tmp_path):
    save(drawn(), str(tmp_path / "a"), {"task": [0]})
    old = {p: p.read_bytes() for p in tmp_path.iterdir()}
    broken = drawn()
    broken.axes[0].set_title("$\\nonsense$")
    with pytest.raises(ValueError, match="nonsense"):
        save(broken, tmp_path / "a", {"task": [1]})
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == old


def test_columns_of_different_lengths_are_refused(tmp_path):
    with pytest.raises(MosaicError, match=r"table .* \{'a': 1, 'b': 2\}"):
        save(drawn(), tmp_path / "a", {"a": [1], "b": [1, 2]})
    assert not list(tmp_path.iterdir())


# --- all ---------------------------------------------------------------------------------


def test_the_axes_given_are_returned():
    for draw in (
        lambda ax: accuracy_matrix([[1.0]], ax=ax),
        lambda ax: accuracy_over_tasks({"a": ([1.0], None, None)}, ax=ax),
        lambda ax: growth_over_time([1], [1], ax=ax, writes=[1]),
    ):
        ax = axes()
        assert draw(ax) is ax


def test_figures_needs_no_global_figures_and_no_torch():
    code = (
        "import sys, growth.figures; "
        "assert not {'matplotlib.pyplot', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

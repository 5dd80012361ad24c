import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from growth.changes import Linear, Permute, pad, resize, rotate
from growth.samples import Samples, Source, join
from mosaic_sim import MosaicError

images = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
    lambda shape: arrays(
        np.float64, shape, elements=st.integers(0, 16).map(lambda k: k / 16)
    )
)


def applied(change, image):
    return change(image.reshape(1, -1))[0]


# --- changes -----------------------------------------------------------------------------


@given(images, st.floats(-400, 400))
def test_turning_equals_scipys(image, degrees):
    turned = ndimage.rotate(
        image, degrees, reshape=False, order=1, mode="grid-constant", cval=0.0
    )
    found = applied(rotate(image.shape, degrees), image).reshape(image.shape)
    assert found == pytest.approx(turned, abs=1e-5)


@given(images.filter(lambda x: x.shape[0] == x.shape[1]), st.integers(-4, 4))
def test_quarter_turns_move_pixels_and_blend_none(image, quarters):
    found = applied(rotate(image.shape, 90.0 * quarters), image)
    assert (found == np.rot90(image, quarters).ravel()).all()


@given(st.integers(1, 9), st.floats(0, 360))
def test_white_never_gets_whiter_by_turning_or_resizing(side, degrees):
    white = np.ones((side, side))
    for change in (rotate((side, side), degrees), resize((side, side), 3)):
        assert applied(change, white).max() <= 1


def test_each_colour_is_turned_by_itself():
    colours = np.arange(12.0).reshape(3, 2, 2) / 16
    found = applied(rotate((3, 2, 2), 90), colours).reshape(3, 2, 2)
    assert (found == [np.rot90(plane) for plane in colours]).all()


@given(images, st.integers(1, 8))
def test_resizing_is_the_mean_over_the_area_of_each_pixel(image, side):
    # Oracle: repeat until both grids divide the image, then take plain means of blocks.
    fine = image.repeat(side, 0).repeat(side, 1)
    height, width = image.shape
    blocks = fine.reshape(side, height, side, width).mean((1, 3))
    assert applied(resize(image.shape, side), image) == pytest.approx(
        blocks.ravel(), abs=1e-6
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rotate((16,), 10), r"shape is \(16,\); rotate needs images"),
        (lambda: resize((2, 2, 2, 2), 3), "resize needs images"),
        (lambda: resize((4, 4), 0), "side is 0"),
        (lambda: pad(5, 4), "samples of 5 channels need no fewer"),
    ],
)
def test_changes_without_meaning_are_refused(make, message):
    with pytest.raises(MosaicError, match=message):
        make()


def test_large_inputs_are_changed_in_portions_with_the_same_result(monkeypatch):
    values = np.random.default_rng(0).random((11, 16))
    change = rotate((4, 4), 30)
    whole = change(values)
    monkeypatch.setattr("growth.changes.AT_ONCE", 48)
    assert (change(values) == whole).all()


# --- samples -----------------------------------------------------------------------------


def test_bytes_stay_bytes_and_are_scaled_only_when_read():
    stored = np.array([[0, 51, 255]], np.uint8)
    samples = Samples.of(stored, [0], scale=255)
    assert samples.sources[0].stored is stored
    assert samples.inputs.dtype == np.float32
    assert samples.inputs.tolist() == [[0.0, np.float32(0.2), 1.0]]


def test_double_precision_is_kept_and_spikes_stay_spikes():
    assert Samples.of(np.array([[0.1]]), [0]).inputs.dtype == np.float64
    fired = np.zeros((1, 3, 2), bool)
    read = Samples.of(fired, [0]).changed(Permute(np.array([1, 0]))).inputs
    assert read.dtype == np.bool_
    assert read.shape == (1, 3, 2)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=12))
def test_a_mixture_reads_each_sample_from_its_own_place(places):
    stored = [np.full((4, 2), 10.0 * k) + np.arange(4)[:, None] for k in range(3)]
    order = np.array([1, 0])
    sources = (Source(stored[0]), Source(stored[1], 2.0), Source(stored[2]))
    where, row = np.array(places).T
    zeros = np.zeros(len(places), np.int64)
    samples = Samples(sources, where, row, zeros, zeros).changed(Permute(order))
    expected = [stored[k][r][order] / (2.0 if k == 1 else 1.0) for k, r in places]
    assert samples.inputs.tolist() == np.array(expected).tolist()


@given(st.lists(st.lists(st.integers(0, 4), max_size=5), min_size=1, max_size=4))
def test_joined_parts_come_one_after_the_other_and_share_their_source(parts):
    whole = Samples.of(np.arange(5.0)[:, None], np.arange(5))
    joined = join([whole.take(np.array(part, int)) for part in parts])
    flat = [k for part in parts for k in part]
    assert joined.inputs[:, 0].tolist() == flat == joined.labels.tolist()
    assert len(joined.sources) == 1


def test_joined_tasks_stay_apart():
    part = Samples.of(np.zeros((2, 1)), [0, 1])
    joined = join([part.of_task(3), part.of_task(1).relabelled([5, 6])])
    assert joined.tasks.tolist() == [3, 3, 1, 1]
    assert joined.labels.tolist() == [0, 1, 5, 6]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Samples.of(np.zeros((2, 1)), [0]), r"\(2, 1\) for 1 labels"),
        (lambda: Samples((Source(np.zeros((2, 1))),), *([np.array([0, 2])] * 4)), "rows that"),
        (
            lambda: Samples((Source(np.zeros((1, 1))),), *([np.zeros(1, int)] * 3), np.zeros(2)),
            "arrays of shapes",
        ),
        (lambda: join([]), "at least one part"),
        (
            lambda: join(
                [Samples.of(np.zeros((1, 2)), [0]), Samples.of(np.zeros((1, 3)), [0])]
            ).shape(),
            "a network needs one shape for all",
        ),
    ],
)  # fmt: skip
def test_samples_that_do_not_exist_are_refused(make, message):
    with pytest.raises(MosaicError, match=message):
        make()


def test_a_linear_change_goes_over_the_last_axis_of_moving_inputs():
    moving = np.array([[[0.25, 0.5], [1.0, 0.0]]])
    assert isinstance(pad(2, 3), Linear)
    assert pad(2, 3)(moving).tolist() == [[[0.25, 0.5, 0.0], [1.0, 0.0, 0.0]]]

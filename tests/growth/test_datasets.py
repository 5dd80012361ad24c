import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from growth.datasets import (
    DATASETS,
    FILES,
    Dataset,
    from_arrays,
    from_torch,
    load_dataset,
    rates,
)
from growth.datasets import files as module
from growth.datasets.images import _luma
from growth.datasets.signals import _loudness, _mel
from mosaic_sim import ConfigError, MosaicError


def need(*names):
    """Skip where the data folder lacks what a test reads."""
    folder = os.environ.get("MOSAIC_DATA")
    if not folder:
        pytest.skip("MOSAIC_DATA is not set")
    missing = [FILES[n].path for n in names if not Path(folder, FILES[n].path).is_file()]
    if missing:
        pytest.skip(f"MOSAIC_DATA lacks {', '.join(missing)}")


IDX = [f"{part}-{kind}" for part in ("train", "test") for kind in ("images", "labels")]

# What the publishers say of their data: samples, shape of one, classes.
PUBLISHED = {
    "mnist": ([f"mnist-{k}" for k in IDX], 60_000, 10_000, (784,), 10),
    "fashion-mnist": ([f"fashion-{k}" for k in IDX], 60_000, 10_000, (784,), 10),
    "letters": (["letters"], 16_000, 4_000, (16,), 26),
    "omniglot": (["omniglot"], 3_630, 1_210, (784,), 242),
    "cifar10-4000": (["cifar10-4000"], 3_000, 1_000, (3072,), 10),
    "cifar10-4000-grey": (["cifar10-4000"], 3_000, 1_000, (1024,), 10),
    "nmnist": (["nmnist"], 1_000, 100, (28, 2312), 10),
    "fsdd": (["fsdd"], 2_700, 300, (28, 32), 10),
    "ecg5000": (["ecg5000"], 500, 1_500, (28, 2), 5),
    "ecg5000-anomaly": (["ecg5000"], 500, 4_500, (28, 2), 2),
    "fsdd-spikes": (["fsdd"], 2_700, 300, (28, 32), 10),
    "mitbih": (["mitbih"], 51_000, 49_691, (32, 2), 5),
    "mitbih-anomaly": (["mitbih"], 51_000, 49_691, (32, 8), 2),
    "mitbih-context": (["mitbih"], 51_000, 49_691, (32, 18), 2),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_data_set_has_its_published_size_and_intensities(name):
    files, train, test, shape, labels = PUBLISHED[name]
    need(*files)
    steps = 32 if name.startswith("mitbih") else 28
    data = load_dataset(name, 0, 0.25, steps=steps)
    assert (len(data.train_labels), len(data.test_labels)) == (train, test)
    assert data.train.shape() == data.test.shape() == shape
    assert data.labels == labels
    assert set(np.unique(data.train_labels)) == set(range(labels))
    some = data.train.take(np.arange(0, train, 97)).inputs
    assert some.min() >= 0
    assert 0.5 < some.max() <= 1


def test_mnist_has_its_published_pixels():
    need(*(f"mnist-{k}" for k in IDX))
    data = load_dataset("mnist")
    assert data.train_inputs.dtype == np.uint8
    assert int(data.train_inputs.sum(dtype=np.int64)) == 1567298545
    assert int(data.test_inputs.sum(dtype=np.int64)) == 264923200
    assert np.bincount(data.train_labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip


def test_fashion_has_its_published_mean():
    need(*(f"fashion-{k}" for k in IDX))
    data = load_dataset("fashion-mnist")
    assert data.train_inputs.mean() / 255 == pytest.approx(0.28604, abs=1e-5)
    assert np.bincount(data.test_labels).tolist() == [1000] * 10


def test_letters_has_its_published_counts_and_first_row():
    need("letters")
    data = load_dataset("letters")
    counts = np.bincount(np.concatenate([data.train_labels, data.test_labels]))
    assert (counts[0], counts[25]) == (789, 734)
    assert data.train_inputs[0].tolist() == [
        2,
        8,
        3,
        5,
        1,
        8,
        13,
        0,
        6,
        6,
        10,
        8,
        0,
        8,
        0,
        8,
    ]
    assert data.train_labels[0] == ord("T") - ord("A")


def test_cifar_has_its_published_first_pixel_and_labels():
    need("cifar10-4000")
    colour = load_dataset("cifar10-4000", 3)
    first = np.array([59, 62, 63])  # red, green and blue of the first training image
    whole = np.concatenate([colour.train_inputs, colour.test_inputs])
    labels = np.concatenate([colour.train_labels, colour.test_labels])
    found = (whole.reshape(-1, 3, 1024)[:, :, 0] == first).all(1)
    assert labels[found].tolist().count(6) == 1  # a frog
    assert np.bincount(labels).tolist() == [
        396,
        366,
        420,
        384,
        422,
        393,
        414,
        385,
        407,
        413,
    ]


def test_omniglot_holds_out_drawers_and_groups_alphabets():
    need("omniglot")
    data = load_dataset("omniglot", 1, 0.25, size=21)
    assert data.shape == (21, 21)
    assert np.bincount(data.test_labels).tolist() == [5] * 242
    assert np.bincount(data.train_labels).tolist() == [15] * 242
    assert sorted(label for group in data.groups for label in group) == list(range(242))
    assert len(data.groups) == 8


def test_events_of_a_recording_look_like_its_digit():
    need("nmnist", *(f"mnist-{k}" for k in IDX))
    events, images = load_dataset("nmnist", steps=20), load_dataset("mnist")
    assert (events.train_labels == images.train_labels[:1000]).all()
    # 28 x 28 in the middle of 34 x 34; the camera sees edges, so shapes agree but roughly.
    seen = events.train_inputs.sum(1).reshape(1000, 2, 34, 34).sum(1)[:, 3:31, 3:31]
    drawn = images.train_inputs[:1000].reshape(1000, 28, 28)
    mirrored = (drawn, drawn.transpose(0, 2, 1), drawn[:, ::-1], drawn[:, :, ::-1])
    like = [
        np.mean(
            [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(seen, m, strict=True)]
        )
        for m in mirrored
    ]
    assert like[0] > 0.6
    assert max(like[1:]) < 0.5


def test_joined_pixels_spike_when_one_of_them_does():
    need("nmnist")
    fine, coarse = (load_dataset("nmnist", steps=5, size=size) for size in (34, 17))
    joined = fine.test_inputs.reshape(100, 5, 2, 17, 2, 17, 2).any((4, 6))
    assert (coarse.test_inputs == joined.reshape(100, 5, -1)).all()
    assert coarse.shape == (2, 17, 17)


def test_patients_of_mitbih_are_tested_by_others_and_classes_are_the_published():
    need("mitbih")
    data = load_dataset("mitbih", steps=32)
    assert np.bincount(data.train_labels).tolist() == [45846, 944, 3788, 414, 8]
    assert np.bincount(data.test_labels).tolist() == [44239, 1837, 3220, 388, 7]


@pytest.mark.parametrize("name", ["ecg5000", "fsdd", "omniglot", "cifar10-4000"])
def test_the_same_seed_gives_the_same_bytes_and_another_one_another_order(name):
    need(*PUBLISHED[name][0])
    one, again, other = (load_dataset(name, seed, 0.25, steps=14) for seed in (0, 0, 1))
    assert one.train_inputs.tobytes() == again.train_inputs.tobytes()
    assert one.train_labels.tobytes() == again.train_labels.tobytes()
    assert one.train_labels.tobytes() != other.train_labels.tobytes()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "digits",
            {"size": 28},
            "size is 28, but digits has one size; omniglot, nmnist, shd, ssc have",
        ),
        ("nmnist", {"size": 20}, "34 or 17 pixels a side"),
        ("zebra", {}, "Unknown data set 'zebra'. There are: digits, mnist"),
    ],
)
def test_options_that_a_data_set_does_not_have_are_refused(name, options, message):
    with pytest.raises(ConfigError, match=message):
        load_dataset(name, **options)


def test_steps_that_do_not_divide_a_beat_are_refused_with_those_that_do():
    need("ecg5000")
    with pytest.raises(
        ConfigError, match=r"steps is 16; .* one of \[1, 2, 4, 5, 7, 10, 14"
    ):
        load_dataset("ecg5000", steps=16)


def test_drawers_that_leave_none_to_test_are_refused():
    need("omniglot")
    with pytest.raises(ConfigError, match="0 of 20 drawers"):
        load_dataset("omniglot", 0, 0.01)


# --- files -------------------------------------------------------------------------------


def test_every_data_set_but_the_digits_says_what_it_lacks_and_where_to_get_it(monkeypatch):
    monkeypatch.delenv("MOSAIC_DATA", raising=False)
    for name in set(DATASETS) - {"digits"}:
        with pytest.raises(
            ConfigError,
            match=r"MOSAIC_DATA( is not set; .* MB\) from| to have .*) https://",
        ):
            load_dataset(name, steps=28)
    load_dataset("digits")


def test_an_absent_file_is_named_with_its_size_and_origin(monkeypatch, tmp_path):
    monkeypatch.setenv("MOSAIC_DATA", str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"lacks letter/letter-recognition.data.gz \(0.2 MB\) from https"
    ):
        load_dataset("letters")


def test_a_damaged_file_is_refused_and_hashed_again_when_it_has_changed(
    monkeypatch, tmp_path
):
    right = b"right"
    known = module.DataFile("a/b", 5, hashlib.sha256(right).hexdigest(), "https://here")
    monkeypatch.setitem(FILES, "test", known)
    monkeypatch.setenv("MOSAIC_DATA", str(tmp_path))
    path = tmp_path / "a" / "b"
    path.parent.mkdir()
    path.write_bytes(right)
    assert module.find("test") == [path]
    path.write_bytes(b"wrong!")
    with pytest.raises(ConfigError, match=r"SHA-256 .* damaged or another version.*//here"):
        module.find("test")


def test_a_file_is_hashed_once_in_a_process(monkeypatch, tmp_path):
    known = module.DataFile("x", 1, hashlib.sha256(b"x").hexdigest(), "https://here")
    monkeypatch.setitem(FILES, "test", known)
    monkeypatch.setenv("MOSAIC_DATA", str(tmp_path))
    (tmp_path / "x").write_bytes(b"x")
    module._digest.cache_clear()
    for _ in range(3):
        module.find("test")
    assert module._digest.cache_info()[:2] == (2, 1)


# --- what files become -------------------------------------------------------------------


def test_grey_is_pillows():
    image = pytest.importorskip("PIL.Image")
    colour = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    grey = np.asarray(image.fromarray(colour).convert("L"))
    assert (_luma(colour[None])[0] == grey).all()


def test_a_tone_is_loudest_in_the_band_that_holds_it():
    time = np.arange(4000) / 8000
    filters = _mel(20)
    for hertz in (300, 1000, 3000):
        tone = (10_000 * np.sin(2 * np.pi * hertz * time)).astype(np.int16)
        loud = _loudness(tone, filters, 10)
        band = int(filters[:, round(hertz / (8000 / 256))].argmax())
        assert set(loud.argmax(1)) == {band}
        assert loud.max() == 1.0


def test_loudness_falls_by_sixtieths_of_a_decibel_and_silence_is_zero():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=8000)
    noise[4000:] *= 0.1  # 20 dB less
    loud = _loudness((noise * 8000).astype(np.int16), _mel(8), 4)
    assert (loud[0] - loud[3]).mean() == pytest.approx(20 / 60, abs=0.02)
    quiet = np.zeros(8000, np.int16)
    quiet[:1000] = 10_000 * np.sin(np.arange(1000))
    assert (_loudness(quiet, _mel(8), 8)[4:] == 0).all()


@given(st.integers(1, 60))
def test_every_spectrum_of_a_recording_reaches_some_step(steps):
    # One click in a quiet recording, wherever it is, must show in the loudness of some step.
    for at in (300, 900, 1500, 2100):
        audio = np.zeros(2400, np.int16)
        audio[at] = 20_000
        loud = _loudness(audio, _mel(4), steps)
        assert loud.max() == 1.0
        assert loud.shape == (steps, 4)


def test_too_many_bands_and_silence_are_refused():
    with pytest.raises(ConfigError, match="bands is 100"):
        _mel(100)
    with pytest.raises(ConfigError, match="silent"):
        _loudness(np.zeros(1000, np.int16), _mel(4), 3)


# --- one's own ---------------------------------------------------------------------------

GREY = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
TWO = [0, 1, 1, 0]


def test_arrays_become_a_data_set_with_flat_channels_and_their_shape():
    data = from_arrays("own", GREY, TWO, GREY[:2], TWO[:2])
    assert (data.channels, data.shape, data.scale, data.steps) == (6, (2, 3), 255, None)
    assert data.train.inputs[1].tolist() == (GREY[1].ravel() / np.float32(255)).tolist()


def test_moving_arrays_keep_their_steps():
    data = from_arrays("own", GREY > 9, TWO, GREY > 9, TWO, moving=True)
    assert (data.channels, data.steps) == (3, 2)
    assert np.array_equal(rates(data).train.inputs, (GREY > 9).mean(1, dtype=np.float32))


def test_torch_data_sets_give_the_same_as_their_arrays():
    x = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 2, 0, 1])
    ours = from_torch("t", TensorDataset(x, y), TensorDataset(x[:3], y[:3]))
    theirs = from_arrays("t", x.numpy(), y.numpy(), x[:3].numpy(), y[:3].numpy())
    assert np.array_equal(ours.train.inputs, theirs.train.inputs)
    assert np.array_equal(ours.test_labels, theirs.test_labels)
    assert ours.shape == (1, 4, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"train_labels": [0, 0, 0, 0]},
            r"one label, \[0\]; there is nothing to tell apart",
        ),
        ({"train_labels": [0, 1, -1, 0]}, "whole numbers from 0"),
        ({"train_labels": [0.0, 1.0, 1.0, 0.0]}, "whole numbers from 0"),
        ({"train_labels": [0, 1]}, "for 2 labels"),
        ({"test_labels": [0, 1, 2, 0]}, r"test_labels holds \[2\], which never occur"),
        ({"train_inputs": GREY.astype(np.int64)}, "holds int64; give bytes"),
        (
            {"train_inputs": GREY / 10},
            "lies between 0.0 and 2.3; intensities go from 0 to 1",
        ),
        ({"train_inputs": np.full((4, 2), np.nan)}, "intensities go from 0 to 1"),
        ({"test_inputs": GREY[:, :1]}, "both need the same"),
        ({"test_inputs": GREY / 255}, "both need the same"),
        ({"train_inputs": [[0.1], [0.1, 0.2]]}, "samples of unequal shapes"),
        ({"train_inputs": GREY[:, 0, 0]}, r"needs \(samples, channels\)"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused(change, message):
    good = {
        "train_inputs": GREY, "train_labels": TWO, "test_inputs": GREY, "test_labels": TWO,
    }  # fmt: skip
    from_arrays("good", **good)
    with pytest.raises(MosaicError, match=message):
        from_arrays("bad", **(good | change))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (iter([]), "needs a length"),
        ([(np.zeros(2), 0), (np.zeros(3), 1)], r"train\[1\] has shape \(3,\), train\[0\]"),
        ([np.zeros(2)], "an input and a label"),
        ([], "train is empty"),
    ],
)
def test_what_is_no_torch_data_set_is_refused(train, message):
    with pytest.raises(MosaicError, match=message):
        from_torch("bad", train, [(np.zeros(2), 0), (np.zeros(2), 1)])


def test_unequal_parts_shapes_and_still_rates_are_refused():
    x, y = np.zeros((2, 4)), np.array([0, 1])
    with pytest.raises(MosaicError, match=r"shape \(4,\), test samples \(3,\)"):
        Dataset("bad", x, y, x[:, :3], y, 2)
    with pytest.raises(MosaicError, match=r"shape is \(3, 3\), 9 values"):
        Dataset("bad", x, y, x, y, 2, shape=(3, 3))
    with pytest.raises(MosaicError, match="still already"):
        rates(Dataset("still", x, y, x, y, 2))

"""Heartbeats with their past, spikes of a cochlea, SHD and SSC, and folds for validation."""

import math
import statistics
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth.datasets import Dataset, folds, heartbeats, load_dataset, shd, signals, ssc
from growth.datasets.spoken import read_spikes
from growth.encode import delta, regular_rate
from mosaic_sim import ConfigError, MosaicError

h5py = pytest.importorskip("h5py", reason="SHD and SSC are HDF5 files")

# --- heartbeats ------------------------------------------------------------------------------

DS1 = [101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122, 124, 201, 203, 205, 207, 208,
       209, 215, 220, 223, 230]  # fmt: skip


@pytest.fixture
def patients(tmp_path, monkeypatch):
    """Three invented patients in the layout of the real file: two to train, one to test."""
    rng = np.random.default_rng(0)
    beats = rng.integers(-400, 400, (60, 128)).astype(np.int16)
    record = np.repeat([101, 106, 100], 20)
    interval = rng.integers(200, 400, 60)
    interval[::20] = 0
    sample = np.concatenate([interval[k : k + 20].cumsum() for k in (0, 20, 40)])
    mixed = rng.permutation(60)
    arrays = {
        "beats": beats, "record": record, "rr_prev": interval, "sample": sample,
        "aami": rng.integers(0, 4, 60), "split": np.repeat([1, 1, 2], 20),
    }  # fmt: skip
    path = tmp_path / "beats.npz"
    np.savez(path, **{name: values[mixed] for name, values in arrays.items()})
    for module in (signals, heartbeats):
        monkeypatch.setattr(module, "find", lambda *names: [path])
    return arrays


def expected_beat(arrays, k, steps, threshold):
    """Oracle: the docstring, one beat at a time, in plain loops."""
    first = k - k % 20
    log = [np.log(x) for x in arrays["rr_prev"][first : first + 20].tolist() if x]
    log.insert(0, log[0])
    early = [
        log[i] - (np.mean(log[max(i - 10, 0) : i]) if i else log[0]) for i in range(20)
    ]
    i = k - first
    before = range(max(i - 20, 0), i) if i else [0]
    usual = 0.03 + np.mean([abs(early[j]) for j in before])
    whole = arrays["beats"][first : first + 20].astype(float)
    unit = np.mean([np.ptp(whole[j]) for j in before]) * threshold
    shapes = [np.array([part.mean() for part in np.split(row, steps)]) for row in whole]
    habit = np.mean([shapes[j] for j in before], axis=0)
    parts = [
        shapes[i] / unit, (shapes[i] - habit) / unit,
        np.r_[0, np.full(steps - 1, early[i] / 0.05)],
        np.r_[0, np.full(steps - 1, early[i] / usual / 0.3)],
    ]  # fmt: skip
    return delta(np.array(parts).T[None], 1.0)[0]


def expected_context(arrays, k, number):
    """Oracle: the docstring of mitbih_context, one beat at a time; 20 beats a patient."""
    first = k - k % 20
    i = k - first
    seconds = [x / 360 for x in arrays["rr_prev"][first : first + 20].tolist()]
    log = [math.log(x) for x in [seconds[1], *seconds[1:]]]
    short, long = (
        [
            log[j] - (statistics.fmean(log[max(j - n, 0) : j]) if j else log[0])
            for j in range(20)
        ]
        for n in (10, 200)
    )
    past = range(max(i - number, 0), i) if i else [0]
    irregular = 0.03 + statistics.fmean(abs(short[j]) for j in (range(i) if i else [0]))
    whole = arrays["beats"][first : first + 20].astype(float)
    shapes = [[part.mean() for part in np.split(row, 32)] for row in whole]

    def departure(j):
        before = range(max(j - number, 0), j) if j else [0]
        high = statistics.median(np.ptp(whole[m]) for m in before)
        usual = [statistics.median(shapes[m][t] for m in before) for t in range(32)]
        return [(a - b) / high for a, b in zip(shapes[j], usual, strict=True)], high

    def size(j):
        values, _ = departure(j)
        return [abs(x - statistics.median(values)) for x in values]

    values, high = departure(i)
    typical = [statistics.median(size(m)[t] for m in past) for t in range(32)]
    share = [a / (0.05 + b) for a, b in zip(size(i), typical, strict=True)]
    odd = [
        math.log(max(statistics.fmean(share[a:b]), 0.05)) / 0.15
        for a, b in ((3, 10), (10, 16), (16, 27))
    ]
    rhythm = [
        short[i] / 0.05, long[i] / 0.05, short[i] / irregular / 0.3, math.log(1.25) + log[i],
    ]  # fmt: skip
    rhythm[3] /= 0.1
    moving = [np.array(shapes[i]) / high / 0.15, np.array(values) / 0.15]
    bursts = [np.r_[0, np.full(31, x)] for x in rhythm + odd]
    return delta(np.array(moving + bursts).T[None], 1.0)[0]


@pytest.mark.parametrize("number", [50, 7])
def test_a_beat_has_what_is_usual_and_unusual_for_the_heart_of_its_patient(
    patients, monkeypatch, number
):
    monkeypatch.setattr(heartbeats, "USUAL_BEATS", number)
    data = heartbeats.mitbih_context(0, 32)
    where = {expected_context(patients, k, number).tobytes(): k for k in range(60)}
    assert len(where) == 60
    rows = [where[x.tobytes()] for x in data.train_inputs]
    assert sorted(rows) == list(range(40))
    assert (data.kind == np.minimum(patients["aami"][rows], 3)).all()
    assert (data.train_labels == (data.kind > 0)).all()
    assert (data.origin == patients["record"][rows]).all()
    assert [where[x.tobytes()] for x in data.test_inputs] != []


def test_a_context_needs_steps_that_its_windows_divide(patients):
    with pytest.raises(
        ConfigError, match="steps is 16; mitbih-context needs 32, 64 or 128"
    ):
        heartbeats.mitbih_context(0, 16)


def test_a_beat_is_told_by_what_the_heart_of_the_same_patient_did_before(patients):
    data = signals.mitbih_anomaly(0, steps=32)
    expected = [expected_beat(patients, k, 32, 0.15) for k in range(60)]
    found = [*data.train_inputs, *data.test_inputs]
    keys = sorted(x.tobytes() for x in expected)
    assert sorted(x.tobytes() for x in found) == keys
    assert len(set(keys)) == 60  # so that each was compared with its own


def test_labels_and_patients_go_with_their_beats(patients):
    data = signals.mitbih_anomaly(3, steps=32)
    where = {expected_beat(patients, k, 32, 0.15).tobytes(): k for k in range(60)}
    rows = [where[x.tobytes()] for x in data.train_inputs]
    assert (data.train_labels == (patients["aami"][rows] > 0)).all()
    assert (data.origin == patients["record"][rows]).all()


@pytest.mark.parametrize("load", [signals.mitbih_anomaly, heartbeats.mitbih_context])
def test_what_comes_after_a_beat_does_not_change_it(patients, tmp_path, load):
    early = load(0, steps=32)
    path = tmp_path / "beats.npz"
    with np.load(path) as file:
        arrays = dict(file)
    order = np.lexsort((arrays["sample"], arrays["record"]))
    last = order[19::20]  # of each patient
    arrays["beats"][last] += 99
    arrays["rr_prev"][last] += 99
    np.savez(path, **arrays)
    late = load(0, steps=32)
    # 2 of 40 training beats and 1 of 20 test beats are the last ones.
    assert (early.train_inputs != late.train_inputs).any((1, 2)).sum() <= 2
    assert 0 < (early.test_inputs != late.test_inputs).any((1, 2)).sum() <= 1


def test_no_patient_is_in_training_and_test_and_folds_keep_patients_whole():
    from tests.growth.test_datasets import need

    need("mitbih")
    data = load_dataset("mitbih-anomaly", 0, steps=32)
    assert data.origin is not None
    assert (
        np.unique(data.origin).tolist() == DS1
    )  # de Chazal's, less the four with pacemakers
    assert (int(data.train_labels.sum()), int(data.test_labels.sum())) == (5154, 5452)
    fold = folds(data, 4)
    assert all(len(np.unique(fold[data.origin == one])) == 1 for one in DS1)
    assert all(data.train_labels[fold == k].sum() > 500 for k in range(4))


# --- folds -----------------------------------------------------------------------------------


def still(labels, origin=None):
    y = np.array(labels)
    x = np.zeros((len(y), 1), np.bool_)
    return Dataset(
        "some", x, y, x, y, int(y.max()) + 1,
        origin=None if origin is None else np.array(origin),
    )  # fmt: skip


@given(
    st.lists(st.integers(0, 3), min_size=4, max_size=60),
    st.integers(2, 4),
    st.integers(0, 9),
)
def test_without_origins_each_fold_has_its_share_of_each_label(labels, number, seed):
    fold = folds(still(labels), number, seed)
    for label in set(labels):
        counts = np.bincount(fold[np.array(labels) == label], minlength=number)
        assert np.ptp(counts) <= 1


@given(st.data())
def test_an_origin_is_never_divided_and_folds_have_equal_numbers_of_origins(data):
    origin = data.draw(st.lists(st.integers(0, 9), min_size=5, max_size=60))
    kinds = len(set(origin))
    if kinds < 2:
        return
    number = data.draw(st.integers(2, min(kinds, 4)))
    labels = data.draw(
        st.lists(st.integers(0, 2), min_size=len(origin), max_size=len(origin))
    )
    fold = folds(still(labels, origin), number)
    homes = {one: set(fold[np.array(origin) == one]) for one in set(origin)}
    assert all(len(home) == 1 for home in homes.values())
    sizes = np.bincount([min(home) for home in homes.values()], minlength=number)
    assert np.ptp(sizes) <= 1


def test_impossible_folds_and_origins_are_refused():
    with pytest.raises(
        MosaicError, match=r"number is 3; folds of 2 origins of samples need 2 to 2"
    ):
        folds(still([0, 1, 0], [7, 7, 8]), 3)
    with pytest.raises(MosaicError, match=r"number is 1; folds of 3 samples need 2 to 3"):
        folds(still([0, 1, 0]), 1)
    with pytest.raises(MosaicError, match=r"kind has shape \(3,\); it needs \(2,\)"):
        replace(still([0, 1]), kind=np.zeros(3, np.int64))
    with pytest.raises(MosaicError, match=r"origin has shape \(2,\); it needs \(3,\)"):
        still([0, 1, 0], [7, 7])


# --- cochlea ---------------------------------------------------------------------------------


def test_a_pure_tone_excites_the_filter_at_its_frequency_most():
    # Centres by the inverse of Glasberg and Moore's rate, written out anew.
    def rate(f):
        return 21.4 * np.log10(1 + 0.00437 * f)

    centres = [
        (10 ** (x / 21.4) - 1) / 0.00437 for x in np.linspace(rate(100), rate(3600), 32)
    ]
    filters = signals._gammatone(32)
    time = np.arange(8000) / 8000
    for band in (4, 12, 20, 28):
        tone = (8000 * np.sin(2 * np.pi * centres[band] * time)).astype(np.int16)
        loud = signals._loudness(tone, filters, 5)
        assert abs(int(loud.mean(0).argmax()) - band) <= 1


def test_a_gammatone_passes_half_the_power_at_0_887_of_a_bandwidth_in_all():
    # A filter of fourth order with b = 1.019 ERB is 3 dB down at 0.435 b on either side.
    filters = signals._gammatone(1)  # centred on 100 Hz
    frequency = np.fft.rfftfreq(256, 1 / 8000)
    erb = 24.7 * (1 + 0.00437 * 100)
    half = np.interp(100 + 0.435 * 1.019 * erb, frequency, filters[0])
    exact = (1 + 0.435**2) ** -4
    assert exact == pytest.approx(0.5, abs=2e-3)
    at = (1 + ((frequency - 100) / (1.019 * erb)) ** 2) ** -4
    assert filters[0] == pytest.approx(at)
    assert 0 < half < 1


def test_spoken_digits_as_spikes_are_their_loudness_summed_up():
    from tests.growth.test_datasets import need

    need("fsdd")
    data = load_dataset("fsdd-spikes", 0, steps=20)
    assert data.train_inputs.dtype == np.bool_
    again = signals._fsdd("x", 0, 20, signals._gammatone(32))
    assert (data.test_inputs == regular_rate(again.test_inputs, 20)).all()
    with pytest.raises(ConfigError, match="bands is 0"):
        signals.fsdd_spikes(0, 20, bands=0)


# --- SHD and SSC -----------------------------------------------------------------------------

RECORDINGS = [
    ([0.0, 0.013, 0.0141, 0.5, 1.3999], [0, 0, 0, 699, 6]),
    ([0.7], [1]),
    ([], []),
    ([0.25, 0.25, 0.25], [5, 5, 11]),
]  # fmt: skip


def write(path, recordings=RECORDINGS, labels=(3, 19, 0, 7)):
    """A file in the published format, as its tutorial describes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, kind, k in (("times", np.float16, 0), ("units", np.uint16, 1)):
            made = file.create_dataset(
                f"spikes/{name}", (len(recordings),), h5py.vlen_dtype(kind)
            )
            for row, one in enumerate(recordings):
                made[row] = np.array(one[k], kind)
        file["labels"] = np.array(labels, np.uint8)
        file["extra/speaker"] = np.zeros(len(recordings), np.uint8)
        file["extra/keys"] = np.array([b"zero", b"one"])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MOSAIC_DATA", str(tmp_path))
    return tmp_path


def test_spikes_fall_into_the_step_of_their_time_and_more_than_one_is_one(tmp_path):
    write(tmp_path / "a.h5")
    spikes, labels = read_spikes(tmp_path / "a.h5", 100)
    expected = np.zeros((4, 100, 700), bool)
    for k, (times, units) in enumerate(RECORDINGS):
        edges = np.linspace(0, 1.4, 101)
        for time, unit in zip(np.array(times, np.float16), units, strict=True):
            at = next(i for i, (a, b) in enumerate(pairwise(edges)) if a <= float(time) < b)
            expected[k, at, unit] = True
    assert (spikes == expected).all()
    assert labels.tolist() == [3, 19, 0, 7]
    assert spikes[3].sum() == 2


def test_the_published_preprocessing_makes_six_interleaved_samples_of_each(folder):
    write(folder / "shd" / "shd_train.h5")
    write(folder / "shd" / "shd_test.h5")
    whole, copies = shd(size=700), shd()
    assert (whole.train_inputs.shape, copies.train_inputs.shape) == (
        (4, 100, 700),
        (24, 100, 128),
    )
    for sample in range(4):
        for channel in range(700):
            copy = copies.train_inputs[6 * sample + channel % 6]
            assert (copy[:, channel // 6] == whole.train_inputs[sample, :, channel]).all()
    assert copies.train_labels.tolist() == np.repeat([3, 19, 0, 7], 6).tolist()
    assert not copies.test_inputs[:, :, 117:].any()
    assert copies.train_inputs.sum() == whole.train_inputs.sum()
    assert copies.labels == 20


def test_data_sets_by_name_can_have_all_channels_and_a_limit(folder):
    write(folder / "shd" / "shd_train.h5")
    write(folder / "shd" / "shd_test.h5")
    assert load_dataset("shd", steps=50, size=700).train.shape() == (50, 700)
    assert len(shd(most=2, size=700).train_labels) == 2


def test_speech_commands_have_35_labels_and_a_part_to_choose_by(folder):
    write(folder / "ssc" / "ssc_train.h5")
    write(folder / "ssc" / "ssc_valid.h5", labels=(34, 34, 34, 34))
    data = ssc(part="valid", size=700)
    assert (data.labels, data.test_labels.tolist()) == (35, [34] * 4)
    with pytest.raises(ConfigError, match=r"lacks ssc/ssc_test\.h5, unpacked from https"):
        ssc()
    with pytest.raises(ConfigError, match="part is 'train'; it needs 'test' or 'valid'"):
        ssc(part="train")


@pytest.mark.parametrize(
    ("recordings", "labels", "message"),
    [
        ([([1.5], [0])], (0,), r"recording 0 has a spike at 1\.5 s .*below seconds = 1\.4"),
        ([([-0.5], [0])], (0,), r"first -0\.5 s"),
        ([([0.5], [700])], (0,), r"unit 700 .*0 to 699"),
        ([([0.5, 0.6], [1])], (0,), "recording 0 has 2 times and 1 units"),
        ([([0.5], [1])], (0, 1), "1 times, 1 units and 2 labels"),
    ],
)
def test_impossible_files_are_refused(tmp_path, recordings, labels, message):
    write(tmp_path / "a.h5", recordings, labels)
    with pytest.raises(ConfigError, match=message):
        read_spikes(tmp_path / "a.h5", 10)


def test_what_is_no_such_file_or_setting_is_refused(folder, monkeypatch):
    (folder / "a.h5").write_bytes(b"no HDF5")
    with pytest.raises(ConfigError, match="is no file of SHD or SSC"):
        read_spikes(folder / "a.h5", 10)
    with h5py.File(folder / "b.h5", "w") as file:
        file["labels"] = [0]
    with pytest.raises(ConfigError, match="spikes/times"):
        read_spikes(folder / "b.h5", 10)
    for options, message in (
        ({"steps": 0}, "steps is 0"), ({"steps": 1, "most": 0}, "most is 0"),
        ({"steps": 1, "seconds": 0.0}, r"seconds is 0\.0"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            read_spikes(folder / "b.h5", **options)
    with pytest.raises(ConfigError, match="size is 64; shd can be had with 128 or 700"):
        shd(size=64)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(
        ConfigError, match=r"install h5py, for example with mosaic-growth\[hdf5\]"
    ):
        read_spikes(folder / "b.h5", 10)

"""Still data: images of many sources, and the sixteen features of printed letters."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np

from growth.changes import resize
from growth.datasets.base import Dataset
from growth.datasets.files import find
from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "cifar10", "cifar10_4000", "cifar10_4000_grey", "cifar10_grey", "digits", "fashion_mnist",
    "letters", "mnist", "omniglot",
]  # fmt: skip

CIFAR10 = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def digits(seed: int, test_share: float = 1 / 3) -> Dataset:
    """Return scikit-learn's 8 x 8 digits: 1,797 images of 64 pixels with 17 grey levels.

    Parameters
    ----------
    seed : int
        Of the split, which keeps the share of every digit.
    test_share : float
        Share held out for testing.

    Examples
    --------
    >>> digits(0).test_inputs.shape
    (599, 64)
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    return _divided("digits", bunch.data / 16.0, labels, seed, test_share, shape=(8, 8))


def mnist() -> Dataset:
    """Return MNIST: 60,000 and 10,000 handwritten digits of 28 x 28 grey levels.

    Source: LeCun, Cortes and Burges, 1998; the original four files.
    """
    return _idx("mnist", "mnist")


def fashion_mnist() -> Dataset:
    """Return Fashion-MNIST: 60,000 and 10,000 articles of clothing of 28 x 28 grey levels.

    Source: Xiao, Rasul and Vollgraf, arXiv:1708.07747; the original four files.
    """
    return _idx("fashion-mnist", "fashion")


def letters() -> Dataset:
    """Return UCI's letters: 16 whole-number features of printed capitals, 16,000 and 4,000.

    Features are 0 to 15 and not an image. Source: Frey and Slate, Machine Learning 6, 1991,
    with their split: the first 16,000 rows for training.
    """
    (path,) = find("letters")
    rows = [line.split(",") for line in gzip.decompress(path.read_bytes()).decode().split()]
    labels = np.array([ord(row[0]) - ord("A") for row in rows], np.int64)
    features = np.array([row[1:] for row in rows], np.uint8)
    cut = 16_000
    return Dataset(
        "letters", features[:cut], labels[:cut], features[cut:], labels[cut:], 26, scale=15
    )


def omniglot(seed: int, test_share: float = 1 / 4, size: int = 28) -> Dataset:
    """Return the 242 characters of Omniglot's two minimal sets, each by 20 drawers.

    Ink is 1, paper 0; 105 x 105 pixels are averaged to `size` x `size`. The characters of an
    alphabet are one of `Dataset.groups`. There is no official division into training and test
    samples for telling characters apart, so drawers are divided: those held out drew none of
    the training samples.

    Parameters
    ----------
    seed : int
        Draws the drawers that are held out, and the order of the training samples.
    test_share : float
        Share of the 20 drawers held out.
    size : int
        Pixels of a side.

    References
    ----------
    Lake, Salakhutdinov and Tenenbaum, Science 350, 2015.
    """
    (path,) = find("omniglot")
    with np.load(path, allow_pickle=False) as file:
        packed, labels = file["packed"], file["character"].astype(np.int64)
        alphabet, drawer = file["alphabet"], file["drawer"]
    held = round(20 * test_share)
    if not 1 <= held <= 19:
        raise ConfigError(
            f"test_share is {test_share}, {held} of 20 drawers; training and test samples both "
            "need at least one."
        )
    rng = np.random.default_rng(seed)
    test = np.isin(drawer, rng.permutation(20)[:held] + 1)
    ink = np.unpackbits(packed, axis=1)[:, : 105 * 105]
    images = resize((105, 105), size)(ink)
    groups = tuple(
        tuple(np.unique(labels[alphabet == k]).tolist()) for k in np.unique(alphabet)
    )
    train = rng.permutation(np.nonzero(~test)[0])
    return Dataset(
        "omniglot", images[train], labels[train], images[test], labels[test], 242,
        shape=(size, size), groups=groups,
    )  # fmt: skip


def cifar10(seed: int) -> Dataset:
    """Return CIFAR-10 in colour: 50,000 and 10,000 images of 3 x 32 x 32, *lossy*.

    The images went through JPEG (about quality 75), so accuracies are not comparable with
    published ones; `cifar10_4000` has the original pixels of 4,000 images.

    Parameters
    ----------
    seed : int
        Of the order of the training samples, which are stored by class.

    References
    ----------
    Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """
    return _cifar_jpeg("cifar10", seed, grey=False)


def cifar10_grey(seed: int) -> Dataset:
    """Return `cifar10` in grey: 32 x 32 luma of ITU-R BT.601, rounded as Pillow does."""
    return _cifar_jpeg("cifar10-grey", seed, grey=True)


def cifar10_4000(seed: int, test_share: float = 1 / 4) -> Dataset:
    """Return the first 4,000 training images of CIFAR-10, as published, in colour.

    Parameters
    ----------
    seed : int
        Of the division into training and test samples, which keeps the share of every class.
    test_share : float
        Share held out for testing.
    """
    return _cifar_4000("cifar10-4000", seed, test_share, grey=False)


def cifar10_4000_grey(seed: int, test_share: float = 1 / 4) -> Dataset:
    """Return `cifar10_4000` in grey: 32 x 32 luma of ITU-R BT.601, rounded as Pillow does."""
    return _cifar_4000("cifar10-4000-grey", seed, test_share, grey=True)


def _divided(
    name: str,
    inputs: NDArray[Any],
    labels: NDArray[np.int64],
    seed: int,
    test_share: float,
    **more: Any,
) -> Dataset:
    """Hold out a share of every class."""
    from sklearn.model_selection import train_test_split

    classes = int(labels.max()) + 1
    held = test_share * labels.size
    if not classes <= held <= labels.size - classes:
        raise ConfigError(
            f"test_share is {test_share}, {held:.0f} of {labels.size} {name}; training and test "
            f"samples both need one of each of the {classes} classes."
        )
    train, test, train_labels, test_labels = train_test_split(
        inputs, labels, test_size=test_share, stratify=labels, random_state=seed
    )
    return Dataset(name, train, train_labels, test, test_labels, classes, **more)


def _idx(name: str, short: str) -> Dataset:
    paths = find(
        *(f"{short}-{p}-{k}" for p in ("train", "test") for k in ("images", "labels"))
    )
    images, labels, test_images, test_labels = (_read_idx(path) for path in paths)
    return Dataset(
        name,
        images.reshape(len(images), -1), labels.astype(np.int64),
        test_images.reshape(len(test_images), -1), test_labels.astype(np.int64),
        10, scale=255, shape=(28, 28),
    )  # fmt: skip


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """Read LeCun's format: 0, 0, kind (8 = bytes), axes, then each length in 4 bytes."""
    data = gzip.decompress(path.read_bytes())
    axes = data[3]
    lengths = np.frombuffer(data, ">u4", axes, offset=4).astype(np.int64)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(lengths)


def _luma(colour: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey of (..., 3): 0.299 red + 0.587 green + 0.114 blue in 16 binary digits, rounded."""
    weights = np.array([19595, 38470, 7471], np.uint32)
    return ((colour @ weights + 0x8000) >> 16).astype(np.uint8)


def _channels(images: NDArray[np.uint8], grey: bool) -> NDArray[np.uint8]:
    """From (samples, 32, 32, 3) to flat channels, colour by colour."""
    ordered = _luma(images) if grey else images.transpose(0, 3, 1, 2)
    return ordered.reshape(len(images), -1)


def _cifar_4000(name: str, seed: int, test_share: float, *, grey: bool) -> Dataset:
    (path,) = find("cifar10-4000")
    with np.load(path, allow_pickle=False) as file:
        images, labels = file["images"], file["labels"].astype(np.int64)
    shape = (32, 32) if grey else (3, 32, 32)
    return _divided(
        name, _channels(images, grey), labels, seed, test_share, scale=255, shape=shape
    )


def _cifar_jpeg(name: str, seed: int, *, grey: bool) -> Dataset:
    from PIL import Image

    (path,) = find("cifar10")
    # Decoded into one array, image by image: never more than that and the archive in memory.
    shape = (32, 32) if grey else (3, 32, 32)
    channels = int(np.prod(shape))
    inputs = {
        "train": np.empty((50_000, channels), np.uint8),
        "test": np.empty((10_000, channels), np.uint8),
    }
    labels = {part: np.empty(len(x), np.int64) for part, x in inputs.items()}
    filled = dict.fromkeys(inputs, 0)
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None:
                continue
            part, label, _ = member.name.split("/")
            colour = np.asarray(Image.open(io.BytesIO(file.read())))
            inputs[part][filled[part]] = _channels(colour[None], grey)[0]
            labels[part][filled[part]] = CIFAR10.index(label)
            filled[part] += 1
    order = np.random.default_rng(seed).permutation(len(labels["train"]))
    return Dataset(
        name, inputs["train"][order], labels["train"][order], inputs["test"], labels["test"],
        10, scale=255, shape=shape,
    )  # fmt: skip

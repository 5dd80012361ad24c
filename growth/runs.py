"""Run folders: what a run leaves behind, written so that a kill at any moment is harmless.

::

    runs/split-digits-grow-1f3a9c22/
      config.toml                 every default spelled out
      technology/rram-130nm.toml  the prices, as they were
      seed-0/
        metrics.jsonl             accuracies after each task
        growth.jsonl              decisions with their evidence
        cost.jsonl                the bill after each task
        times.jsonl               CPU seconds that each task took to learn
        cost-rram-22nm.jsonl      the same under another technology, from 'mosaic price'
        program-0.npz, run-0.npz  chip image and spike totals after task 0, for re-pricing
        routing-0.npz             its routes, for the map
        checkpoint.pt             to resume from
        provenance.json           versions, machine, command, times
        DONE                      written last
      figures/                    .svg, .png, and the numbers in .csv
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growth.config import load_experiment
from mosaic_sim.errors import MosaicError
from mosaic_sim.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from growth.config import Experiment

__all__ = ["RunFolder", "SeedFolder", "open_run"]

PACKAGES = (
    "mosaic-growth", "numpy", "numba", "scipy", "torch", "snntorch", "scikit-learn", "networkx",
    "matplotlib",
)  # fmt: skip


@dataclass(frozen=True)
class SeedFolder:
    """The part of a run folder that belongs to one seed."""

    path: Path

    @property
    def done(self) -> bool:
        """Whether this seed ran to its end."""
        return (self.path / "DONE").exists()

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Read ``name.jsonl``; empty if it is not there yet."""
        file = self.path / f"{name}.jsonl"
        if not file.exists():
            return []
        try:
            return [
                json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()
            ]
        except ValueError as error:
            raise MosaicError(f"{str(file)!r} is damaged: {error}.") from None

    def write_lines(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        """Write ``name.jsonl`` whole: one object a line, keys in order of the first writer."""
        text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        write_whole(self.path / f"{name}.jsonl", text)

    def write_provenance(self, seconds: float, cpu_seconds: float) -> None:
        """Record what made this folder."""
        facts = {
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "packages": {name: version(name) for name in PACKAGES},
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds_of_last_session": round(seconds, 1),
            "cpu_seconds_of_last_session": round(cpu_seconds, 1),
        }
        write_whole(self.path / "provenance.json", json.dumps(facts, indent=2) + "\n")

    def finish(self) -> None:
        """Mark the seed as complete."""
        write_whole(self.path / "DONE", "")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one experiment."""

    path: Path
    experiment: Experiment

    @classmethod
    def create(
        cls, root: Path | str, experiment: Experiment, technology: str = ""
    ) -> RunFolder:
        """Make, or find again, the folder of an experiment below `root`.

        `technology` is the text of its technology file, kept in the folder.

        Raises
        ------
        MosaicError
            If the folder cannot be written to, or holds results under another text.
        """
        path = Path(root) / f"{experiment.name}-{experiment.fingerprint()}"
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_whole(path / "config.toml", experiment.to_toml())
            if technology:
                copy = path / "technology" / f"{Path(experiment.technology).stem}.toml"
                if copy.exists() and copy.read_text(encoding="utf-8") != technology:
                    raise MosaicError(
                        f"{str(path)!r} holds results under an older {copy.name}; delete the "
                        "folder, or give the changed technology a name of its own."
                    )
                copy.parent.mkdir(exist_ok=True)
                write_whole(copy, technology)
        except OSError as error:
            raise MosaicError(
                f"Cannot write to {str(path)!r} ({error.strerror}); give a folder for runs "
                "that can be written to."
            ) from None
        return cls(path, experiment)

    def seed(self, seed: int) -> SeedFolder:
        """Return the part of one seed."""
        path = self.path / f"seed-{seed}"
        path.mkdir(exist_ok=True)
        return SeedFolder(path)

    @property
    def seeds(self) -> list[SeedFolder]:
        """The parts of all seeds of the experiment."""
        return [self.seed(seed) for seed in self.experiment.seeds]

    @property
    def done(self) -> bool:
        """Whether all seeds ran to their end."""
        return all(seed.done for seed in self.seeds)


def open_run(path: Path | str) -> RunFolder:
    """Open a finished run folder.

    Raises
    ------
    MosaicError
        If it is no run folder, or the run is not finished.
    """
    folder = Path(path)
    if not (folder / "config.toml").is_file():
        raise MosaicError(
            f"{str(path)!r} is not a run folder: it has no config.toml. Run folders lie below "
            "runs/ and are made by 'mosaic run'."
        )
    run = RunFolder(folder, load_experiment(folder / "config.toml"))
    if not run.done:
        unfinished = [s.path.name for s in run.seeds if not s.done]
        raise MosaicError(
            f"{str(path)!r} is not finished ({', '.join(unfinished)}); "
            "run the same command again to resume it."
        )
    return run

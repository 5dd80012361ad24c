"""The main job: three learners on split digits, on one chip, with one bill."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from growth.config import load_experiment
from growth.drawing import draw_comparison, draw_run
from growth.experiment import run_experiments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from growth.runs import RunFolder

__all__ = ["LEARNERS", "demo"]

LEARNERS = ("naive", "grow", "joint")


def demo(
    root: Path | str = "runs",
    *,
    settings: Sequence[str] = (),
    jobs: int | None = None,
    console: Console | None = None,
) -> tuple[list[RunFolder], list[Path]]:
    """Run the three learners and draw what they did.

    Parameters
    ----------
    root : path
        Where run folders are made.
    settings : sequence of str
        Changes to all three configurations, like ``"seeds=[0]"``.
    jobs : int, optional
        Processes; as many as cores by default.
    console : rich.console.Console, optional
        For the progress bar.

    Returns
    -------
    runs : list of RunFolder
        naive, grow, joint.
    drawings : list of Path
    """
    experiments = [load_experiment(f"split-digits-{name}", settings) for name in LEARNERS]
    runs = run_experiments(experiments, root, jobs=jobs, console=console, finish=draw_run)
    names = "".join(run.path.name for run in runs)
    both = Path(root) / f"demo-{hashlib.sha256(names.encode()).hexdigest()[:8]}"
    drawings = [
        path for run in runs for path in sorted((run.path / "figures").glob("*.svg"))
    ]
    return runs, drawings + draw_comparison(runs, both)

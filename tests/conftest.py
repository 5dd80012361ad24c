import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# No deadline: the first call of a kernel compiles it, which takes a second once and
# milliseconds ever after; Hypothesis would report the difference as flaky.
settings.register_profile("default", deadline=None, max_examples=25)
settings.register_profile("quick", deadline=None, max_examples=6)
# Longer, and the same examples on every machine.
settings.register_profile("ci", deadline=None, max_examples=300, derandomize=True)
settings.load_profile("default")  # --hypothesis-profile=ci still has the last word

# The workers share the cores already, and sums are split the same way everywhere.
torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    """Give each worker its own cache of compiled kernels, before Numba reads where it is.

    Numba's cache is not safe against processes that write it at the same time. A kernel
    compiled without bounds checks would also be reused where they are asked for.
    """
    checked = os.environ.get("NUMBA_BOUNDSCHECK", "0") != "0"
    folder = os.environ.get("NUMBA_CACHE_DIR") or config.cache.mkdir(
        "numba-boundscheck" if checked else "numba"
    )
    # Empty in the process that starts the workers; they inherit its folder and add a name.
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    os.environ["NUMBA_CACHE_DIR"] = str(Path(folder, worker))


TOGETHER = {
    "test_growing": "place", "test_placers": "place", "mosaic_sim/place": "place",
    "test_learner": "runs", "test_bridge": "runs", "test_cli.py": "runs",
    "test_life_of_writing": "runs", "test_report": "runs", "test_runs": "runs",
    "test_die": "die", "mosaic_sim/die.py": "die", "growth/dies.py": "die",
}  # fmt: skip
"""Files that need the same slow compilations or runs, by a part of their path."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file on one worker, so that each kernel is compiled by one."""
    for item in items:
        path = item.path.as_posix()
        group = next((group for part, group in TOGETHER.items() if part in path), path)
        item.add_marker(pytest.mark.xdist_group(group))

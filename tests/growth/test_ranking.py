"""Ranks over comparisons: from their files alone, those told and not told apart."""

import pytest
from rich.console import Console

from growth.ranking import means_of, rank, rank_table
from growth.statistics import friedman
from mosaic_sim import MosaicError

VALUES = {"a": (0.9, 0.8), "b": (0.7, 0.75), "c": (0.5, 0.6)}


@pytest.fixture
def folders(tmp_path):
    for k in range(2):
        folder = tmp_path / f"stream-{k}"
        folder.mkdir()
        lines = ["strategy,identity,column,seed,value"]
        for name, values in VALUES.items():
            lines += [f"{name},False,accuracy,{s},{values[k] + 0.1 * s}" for s in (0, 1)]
            lines += [f"{name},False,devices,{s},7" for s in (0, 1)]
        lines.append("told,True,accuracy,0,1.0")
        if k:
            lines.append("only here,False,accuracy,0,1.0")
        (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return sorted(tmp_path.iterdir())


def test_ranks_are_of_means_of_those_that_all_have(folders):
    assert means_of(folders[0], "accuracy", told=False)["a"] == pytest.approx(0.95)
    found = rank(folders)
    assert found == friedman({name: list(values) for name, values in VALUES.items()})
    assert found.ranks == {"a": 1.0, "b": 2.0, "c": 3.0}
    assert rank(folders, larger_is_better=False).ranks["c"] == 1.0
    console = Console(width=200)
    with console.capture() as shown:
        console.print(rank_table(found, "accuracy"))
    assert shown.get().index("a ") < shown.get().index("c ")


def test_what_is_missing_is_named(folders, tmp_path):
    with pytest.raises(MosaicError, match="at least 3 strategies"):
        rank(folders, told=True)
    with pytest.raises(MosaicError, match=r"column is 'acuracy'.*accuracy"):
        rank(folders, "acuracy")
    with pytest.raises(MosaicError, match=r"no table.csv; give the folder"):
        rank([tmp_path, *folders])

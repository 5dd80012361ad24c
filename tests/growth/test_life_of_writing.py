"""Wear of a stored life of tasks, against its records and against the programs themselves."""

import shutil

import pytest

from growth.report import technology_of
from growth.runs import open_run
from growth.wear import wear_of, wear_table
from mosaic_sim import MosaicError, load_program, write_bill


def test_pulses_of_a_life_follow_from_its_programs(runs):
    for name in ("naive", "grow"):
        run = runs[name]
        technology = technology_of(run)
        (wear,) = wear_of(run, technology)
        seed = run.seeds[0]
        rows = seed.lines("cost")
        programs = [load_program(seed.path / f"program-{row['task']}.npz") for row in rows]
        bills = [
            write_bill(old, new, technology)
            for old, new in zip([None, *programs[:-1]], programs, strict=True)
        ]
        assert [bill.devices for bill in bills] == [row["writes"] for row in rows]
        # A device that held something takes a RESET before its SET.
        assert wear.pulses >= sum(row["writes"] for row in rows)
        assert wear.energy == pytest.approx(wear.pulses * technology["write_energy"].value)
        assert wear.life.worst <= 2 * len(rows)
        assert wear.life.tasks == pytest.approx(
            technology["endurance"].value * len(rows) / wear.life.worst
        )


def test_a_learner_that_rewrites_wears_its_devices_faster(runs):
    technology = technology_of(runs["naive"])
    naive, grow = (wear_of(runs[n], technology)[0] for n in ("naive", "grow"))
    assert naive.life.worst >= grow.life.worst


def test_the_table_is_shown_with_a_run(runs, mosaic):
    code, printed, _ = mosaic("show", runs["grow"].path)
    assert code == 0
    assert "Writing over the whole life" in printed
    assert "tasks until it is used up" in printed


def test_a_lost_program_is_named(runs, tmp_path):
    folder = tmp_path / runs["grow"].path.name
    shutil.copytree(runs["grow"].path, folder)
    run = open_run(folder)
    next(run.seeds[0].path.glob("program-*.npz")).unlink()
    with pytest.raises(MosaicError, match="no program file"):
        wear_of(run, technology_of(run))
    table = wear_table(wear_of(runs["grow"], technology_of(run)), technology_of(run))
    assert table.row_count == 6

import json
from dataclasses import replace

import pytest
from tiny import RECORDS, tiny

from growth.runs import RunFolder, SeedFolder, open_run
from mosaic_sim import MosaicError


def test_a_run_folder_is_named_by_experiment_and_fingerprint_and_spells_all_out(tmp_path):
    experiment = tiny("grow")
    run = RunFolder.create(tmp_path, experiment)
    assert run.path == tmp_path / f"split-digits-grow-{experiment.fingerprint()}"
    assert (run.path / "config.toml").read_text() == experiment.to_toml()
    assert RunFolder.create(tmp_path, experiment).path == run.path


def test_more_seeds_join_the_same_folder(tmp_path):
    one = RunFolder.create(tmp_path, tiny("naive"))
    one.seed(0).finish()
    assert open_run(one.path).done
    two = RunFolder.create(tmp_path, tiny("naive", "seeds=[0,1]"))
    assert two.path == one.path
    assert [seed.path.name for seed in two.seeds] == ["seed-0", "seed-1"]
    with pytest.raises(
        MosaicError, match=r"is not finished \(seed-1\); run the same command"
    ):
        open_run(one.path)


def test_a_finished_run_opens_with_the_experiment_that_made_it(runs):
    for name, run in runs.items():
        opened = open_run(str(run.path))
        assert opened.experiment == run.experiment
        assert opened.experiment.strategy == name
        assert opened.done


def test_what_is_no_run_folder_is_refused_with_what_one_is(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(
            MosaicError, match=r"not a run folder: it has no config.toml.*'mosaic run'"
        ):
            open_run(path)


def test_a_place_that_cannot_be_written_to_is_refused(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for root in (file, file / "below"):
        with pytest.raises(
            MosaicError, match=r"Cannot write to .*; give a folder for runs"
        ):
            RunFolder.create(root, tiny("grow"))


def test_lines_come_back_as_they_were_written(tmp_path):
    folder = SeedFolder(tmp_path)
    assert folder.lines("metrics") == []
    rows = [{"task": 0, "accuracy": [0.1, 1 / 3]}, {"task": 1, "ended": "no µ"}]
    folder.write_lines("metrics", rows)
    assert folder.lines("metrics") == rows
    assert [list(row) for row in folder.lines("metrics")] == [list(row) for row in rows]
    folder.write_lines("metrics", rows[:1])
    assert folder.lines("metrics") == rows[:1]


def test_what_json_cannot_say_is_not_written(tmp_path):
    folder = SeedFolder(tmp_path)
    folder.write_lines("cost", [{"energy": 1.0}])
    with pytest.raises(ValueError, match="Out of range float"):
        folder.write_lines("cost", [{"energy": float("nan")}])
    assert folder.lines("cost") == [{"energy": 1.0}]


def test_provenance_names_what_made_the_numbers(runs):
    facts = json.loads((runs["grow"].seed(0).path / "provenance.json").read_text())
    assert {"torch", "snntorch", "numpy", "mosaic-growth"} <= facts["packages"].keys()
    assert {"command", "python", "machine", "cores", "finished"} <= facts.keys()


def test_a_finished_folder_holds_what_the_page_says_and_no_drafts(runs, squeezed):
    for run in (*runs.values(), *squeezed.values()):
        seed = run.seed(0).path
        files = {path.name for path in seed.iterdir()}
        assert not [path for path in run.path.rglob("*") if path.suffix == ".part"]
        wanted = {f"{name}.jsonl" for name in RECORDS} | {
            "DONE",
            "checkpoint.pt",
            "provenance.json",
            "times.jsonl",
        }
        for row in run.seed(0).lines("cost"):
            for kind in ("program", "routing", "run"):
                wanted.add(f"{kind}-{row['task']}.npz")
        assert wanted <= files
        assert files - wanted <= {"routing-1.npz", "program-1.npz", "run-1.npz"}


def test_done_means_every_seed(tmp_path):
    run = RunFolder.create(tmp_path, tiny("naive", "seeds=[0,1]"))
    assert not run.done
    run.seed(0).finish()
    assert not run.done
    run.seed(1).finish()
    assert run.done
    assert replace(run, experiment=tiny("naive")).done

import numpy as np
import pytest
from rich.console import Console
from tiny import tiny

from growth import report
from growth.bridge import make_technology, price
from growth.encode import regular_rate
from growth.learner import make_stream
from growth.runs import RunFolder
from mosaic_sim import MosaicError, load_program, simulate, technology_preset


def text(table):
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(table)
        return console.export_text()


def cells(table):
    """A table as rows of its words, without rules."""
    return [
        line.split() for line in text(table).splitlines() if any(map(str.isalnum, line))
    ]


MATRICES = [
    [[1.0, 0.0], [0.9, 0.8]],
    [[0.8, 0.2], [0.7, 0.9]],
    [[0.9, 0.1], [0.5, 0.7]],
]


def made(root, strategy="grow", matrices=MATRICES, ended=None):
    """A finished run with made-up numbers: one seed for each matrix."""
    run = RunFolder.create(root, tiny(strategy, f"seeds={list(range(len(matrices)))}"))
    for k, (seed, matrix) in enumerate(zip(run.seeds, matrices, strict=True)):
        rows = [
            {"task": t, "accuracy": row, "neurons": 10 * (t + 1) + k, "tiles": t + 1}
            for t, row in enumerate(matrix)
        ]
        if ended:
            rows.append({"task": len(matrix), "ended": ended})
        bills = [
            {
                "task": t,
                "energy_per_inference": (t + 1) * 1e-9 * (k + 1),
                "by_component": dict.fromkeys(report.COMPONENTS, 1e-09 * (k + 1)),
                "hops_per_inference": 7.0,
                "devices": {"NT": 100 * (t + 1), "R0": 5, "R1": k},
                "writes": 50 + t + k,
                "technology": "rram-130nm",
                "assumed": ["read_pulse"],
                "sensitivity": {"read_pulse": 0.9, "line_energy": 1e-6},
                "by_expert": {"expert 0": 0.75e-9 * (t + 1), "(static)": 0.25e-9 * (t + 1)},
            }
            for t in range(len(matrix))
        ]
        seed.write_lines("metrics", rows)
        seed.write_lines("cost", bills)
        seed.write_lines("growth", [])
        seed.finish()
    return run


# --- numbers -----------------------------------------------------------------------------


def test_a_summary_has_the_mean_over_seeds_of_what_each_ended_with(tmp_path):
    found = report.summarise(made(tmp_path))
    assert found.measured
    assert found.accuracy.mean == pytest.approx((0.85 + 0.8 + 0.6) / 3)
    assert found.forgetting.mean == pytest.approx((0.1 + 0.1 + 0.4) / 3)
    assert found.mean_matrix.tolist() == [
        pytest.approx([0.9, 0.1]), pytest.approx([0.7, 0.8]),
    ]  # fmt: skip
    assert found.last("metrics", "neurons").mean == 21
    assert found.last("cost", "energy_per_inference").mean == pytest.approx(4e-9)
    assert found.component("synapses").mean == pytest.approx(2e-9)
    assert found.devices.mean == 200 + 5 + 1
    assert found.life_writes.mean == (101 + 103 + 105) / 3
    assert found.accuracy.seeds == 3
    assert found.ended == [None] * 3


def test_learning_all_at_once_has_no_forgetting(tmp_path):
    found = report.summarise(made(tmp_path, "joint", [[[0.9, 0.8]]]))
    assert found.forgetting is None
    assert found.accuracy.text(100) == "85.0"


def test_seeds_that_learnt_fewer_tasks_stay_out_of_the_mean_matrix(tmp_path):
    found = report.summarise(made(tmp_path, matrices=[MATRICES[0], [[0.5, 0.0]]]))
    assert found.mean_matrix.tolist() == MATRICES[0]


def test_an_impossible_accuracy_is_refused(tmp_path):
    with pytest.raises(MosaicError, match="entries from 0 to 1"):
        report.summarise(made(tmp_path, matrices=[[[1.2, 0.0], [0.9, 0.8]]]))


# --- tables ------------------------------------------------------------------------------


def test_the_comparison_has_a_column_for_each_run(tmp_path):
    runs = [made(tmp_path), made(tmp_path, "joint", [[[0.9, 0.8]]] * 3)]
    rows = cells(report.comparison_table([report.summarise(run) for run in runs]))
    found = {" ".join(row[:2]): row[2:] for row in rows}
    assert rows[0][-2:] == ["3", "seeds"]
    assert found["average accuracy"] == ["[%]", "75.0", "±", "32.9", "85.0", "±", "0.0"]
    assert found["forgetting [points]"] == ["20.0", "±", "43.0", "undefined"]
    assert found["energy per"] == [
        "inference",
        "4.00",
        "±",
        "4.97",
        "nJ",
        "2.00",
        "±",
        "2.48",
        "nJ",
    ]
    assert found["device writes,"] == ["whole", "life", "103", "±", "5", "51", "±", "2"]


def test_a_run_that_never_fitted_is_said_to_and_why(squeezed):
    found = report.summarise(squeezed["naive"])
    assert not found.measured
    assert "did not fit" in text(report.comparison_table([found]))
    (line,) = report.endings([found])
    assert line.startswith("split-digits-naive, seed-0: task 0 does not fit the chip")


def test_a_run_that_ended_early_says_so_beside_its_numbers(squeezed):
    found = report.summarise(squeezed["grow"])
    assert found.measured
    assert report.endings([found]) == [
        "split-digits-grow, seed-0: no tile with room for task 1"
    ]
    assert "no tile with room" in text(report.decision_table(found))


def test_the_tables_of_one_run_hold_its_records(tmp_path, runs):
    found = report.summarise(made(tmp_path))
    assert ["0", "90.0", "10.0", "50.0"] in cells(report.accuracy_table(found))
    assert ["1", "70.0", "80.0", "75.0"] in cells(report.accuracy_table(found))
    life = cells(report.life_table(found))
    assert life[2][:5] == ["0", "11", "1", "2.00", "nJ"]
    assert life[3][-3:] == ["7", "206", "52"]
    once = report.summarise(made(tmp_path, "joint", [[[0.9, 0.8]]]))
    assert ["all", "at", "once", "90.0", "80.0", "85.0"] in cells(
        report.accuracy_table(once)
    )

    assert cells(report.expert_table(found))[2:] == [
        ["expert", "0", "1.50", "nJ", "75.0%"], ["(static)", "500", "pJ", "25.0%"],
    ]  # fmt: skip

    real = report.summarise(runs["grow"])
    bill = real.cost[0][-1]
    experts = max(real.metrics[0][-1]["owner"]) + 1
    assert experts > 1
    assert list(bill["by_expert"]) == [
        *(f"expert {e}" for e in range(experts)), "(inputs)", "(bias line)", "(static)",
    ]  # fmt: skip
    assert sum(bill["by_expert"].values()) == pytest.approx(bill["energy_per_inference"])
    decisions = cells(report.decision_table(real))[2:]
    assert len(decisions) == len(real.growth[0])
    assert [row[1] for row in decisions][:2] == ["new", "widen"]
    assert report.decision_table(report.summarise(runs["naive"])) is None


def test_every_assumed_quantity_is_listed_with_its_source():
    technology = technology_preset("rram-130nm")
    shown = text(report.assumption_table(technology, technology.assumptions()))
    for name in technology.assumptions():
        assert name in shown
    assert "rram-130nm" in shown


# --- pricing again -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["naive", "grow", "joint"])
def test_pricing_again_equals_pricing_a_fresh_simulation(name, runs):
    folder, other = runs[name], make_technology("rram-22nm")
    stream = make_stream(folder.experiment, 0)
    spikes = regular_rate(np.concatenate([t.test_inputs for t in stream.tasks]), 8)
    again = report.reprice(folder, other)
    assert list(again) == ["seed-0"]
    bills = folder.seed(0).lines("cost")
    for found, bill in zip(again["seed-0"], bills, strict=True):
        program = load_program(folder.seed(0).path / f"program-{bill['task']}.npz")
        fresh = price(program, simulate(program, spikes, threads=1), other)
        assert found.rows == fresh.rows
        assert (
            (found.samples, found.steps) == (fresh.samples, fresh.steps) == (len(spikes), 8)
        )
        # Another technology: other energies for the same events.
        stored = {row["event"]: row["count"] for row in bill["rows"]}
        assert {row.event: row.count for row in found.rows} == stored
        assert found.energy_per_inference != bill["energy_per_inference"]
    same = report.reprice(folder, report.technology_of(folder))["seed-0"]
    assert [r.energy_per_inference for r in same] == [
        b["energy_per_inference"] for b in bills
    ]


def test_both_technologies_stand_side_by_side(runs):
    folder, other = runs["naive"], make_technology("rram-22nm")
    again, found = report.reprice(folder, other), report.summarise(folder)
    rows = cells(report.reprice_table(found, "rram-130nm", again, other))
    assert ["component", "rram-130nm", "rram-22nm"] in rows
    assert [row[0] for row in rows[-6:]] == [*report.COMPONENTS, "total"]
    (bill,) = folder.seed(0).lines("cost")[-1:]
    old, new = (float(rows[-1][k]) for k in (1, 3))
    ratio = again["seed-0"][-1].energy_per_inference / bill["energy_per_inference"]
    prefix = {"fJ": 1e-15, "pJ": 1e-12, "nJ": 1e-9, "uJ": 1e-6, "µJ": 1e-6}
    assert new * prefix[rows[-1][4]] / (old * prefix[rows[-1][2]]) == pytest.approx(
        ratio, rel=0.02
    )


@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_a_run_without_its_spike_totals_is_refused(damage, runs, tmp_path):
    folder = RunFolder.create(tmp_path, runs["naive"].experiment)
    for file in runs["naive"].seed(0).path.iterdir():
        (folder.seed(0).path / file.name).write_bytes(file.read_bytes())
    path = folder.seed(0).path / "run-1.npz"
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:50])
    else:
        np.savez(path, nothing=np.zeros(1))
    with pytest.raises(MosaicError, match=r"run-1.npz' is not a readable run"):
        report.reprice(folder, make_technology("rram-22nm"))

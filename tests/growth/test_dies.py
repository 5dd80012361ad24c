"""Many dies: statistics by hand, independence of threads, and the command."""

from __future__ import annotations

import io
import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from growth.dies import Dies, outputs_of, run_dies
from growth.tables import dies_table
from mosaic_sim import (
    EFFECTS,
    Chip,
    MosaicError,
    Network,
    compile_program,
    place,
    price,
    route,
    sample_die,
    save_program,
    simulate,
    technology_preset,
)

RRAM = technology_preset("rram-130nm")


@cache  # not at import: that would compile in every process that collects tests
def program():
    """Input k makes output k fire; both go over one hidden neuron each."""
    net = Network.from_synapses(
        inputs=2, neurons=4, source=[0, 1, 2, 3], target=[0, 1, 2, 3],
        weight=[1.5, 1.5, 1.5, 1.5], leak=0.9,
    )  # fmt: skip
    chip = Chip(1, 2, 2, 4, 4, 4)
    placement = place(net, chip, placer="greedy")
    return compile_program(net, chip, placement, route(net, chip, placement))


SPIKES = np.zeros((4, 6, 2), bool)
SPIKES[:2, :, 0] = True
SPIKES[2:, :, 1] = True
LABELS = np.array([0, 0, 1, 0])  # the last is wrong on purpose


def test_outputs_are_the_neurons_that_send_to_none():
    assert outputs_of(program()).tolist() == [2, 3]


def test_without_effects_every_die_is_the_ideal_chip():
    dies = run_dies(program(), RRAM, SPIKES, dies=3, labels=LABELS, effects=[])
    assert dies.labelled
    assert dies.ideal == 0.75
    assert dies.score.tolist() == [0.75] * 3
    assert not dies.differing.any()
    ideal = price(program(), simulate(program(), SPIKES), RRAM).energy_per_inference
    assert dies.energy.tolist() == [ideal] * 3
    same = run_dies(program(), RRAM, SPIKES, dies=2, effects=[])
    assert (same.labelled, same.ideal, same.score.tolist()) == (False, 1.0, [1.0, 1.0])


def test_each_die_is_the_one_that_its_seed_gives():
    effects = ["programming", "stuck", "reading"]
    dies = run_dies(program(), RRAM, SPIKES, dies=4, effects=effects, seed=7, attempts=3)
    for k in range(4):
        die = sample_die(program(), RRAM, effects=effects, seed=7 + k, attempts=3)
        assert dies.pulses[k] == die.pulses.sum()
        report = price(die, simulate(die, SPIKES), RRAM)
        assert dies.energy[k] == report.energy_per_inference
    assert dies.effects == ("programming", "stuck", "reading")


def test_the_number_of_threads_changes_nothing():
    one, four = (run_dies(program(), RRAM, SPIKES, dies=6, threads=n) for n in (1, 4))
    for name in ("score", "energy", "differing", "lost", "false", "pulses"):
        np.testing.assert_array_equal(getattr(one, name), getattr(four, name))


def scored(scores):
    score = np.array(scores, float)
    none = np.zeros(score.size)
    whole = none.astype(int)
    return Dies(True, 1.0, score, none, none, whole, whole, whole, (), 0, 1, None, 0.0)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.floats(0, 1))
def test_mean_interval_and_yield_are_those_of_the_textbook(scores, wanted):
    dies = scored(scores)
    n = len(scores)
    mean = dies.mean
    half = stats.t.ppf(0.975, n - 1) * np.std(scores, ddof=1) / np.sqrt(n)
    assert mean.mean == pytest.approx(np.mean(scores))
    assert mean.high - mean.mean == pytest.approx(half, abs=1e-12)
    got = dies.yield_above(wanted)
    good = sum(s >= wanted for s in scores)
    assert (got.good, got.dies) == (good, n)
    # Clopper and Pearson, by quantiles of the beta distribution.
    assert got.low == pytest.approx(
        stats.beta.ppf(0.025, good, n - good + 1) if good else 0
    )
    assert got.high == pytest.approx(
        stats.beta.ppf(0.975, good + 1, n - good) if good < n else 1
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dies": 0}, "dies is 0; it needs an integer of at least 1"),
        ({"dies": 2.5}, "dies is 2.5"),
        ({"labels": [0, 1]}, r"labels holds int64 of shape \(2,\); it needs \(4,\)"),
        ({"labels": [0.0, 1, 1, 1]}, "labels holds float64"),
        ({"labels": [0, 1, 2, 1]}, "labels has 2; the network has outputs 0 to 1"),
        ({"effects": ["rust"]}, "effects has 'rust'"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(MosaicError, match=message):
        run_dies(program(), RRAM, SPIKES, **{"dies": 1, **arguments})


def test_the_table_says_what_was_switched_on_and_how_many_dies_are_good():
    from rich.console import Console

    written = io.StringIO()
    Console(width=100, file=written).print(
        dies_table(scored([0.9, 0.95, 0.5, 0.2]), 0.9, 1e-9)
    )
    text = written.getvalue()
    assert "4 dies, seeds 0 to 3: not ideal in nothing" in text
    assert "Yield at 90.0%: 2 of 4 dies, 50% (95 % interval 7% to 93%)" in text


def test_the_command_runs_dies_and_writes_them_down(tmp_path, mosaic):
    save_program(program(), tmp_path / "net.npz")
    np.savez(tmp_path / "in.npz", spikes=SPIKES, labels=LABELS)
    out = tmp_path / "out"
    code, printed, _ = mosaic(
        "simulate", tmp_path / "net.npz", "--input", tmp_path / "in.npz", "--devices", 5,
        "--effects", "programming, reading", "--wanted", 0.5, "--seed", 3, "--attempts", 2,
        "--out", out, "--plot",
    )  # fmt: skip
    assert code == 0
    assert "5 dies, seeds 3 to 7: not ideal in programming, reading" in printed
    assert "Yield at 50.0%" in printed
    # The last thing is what everything rests on.
    assert printed.index("Yield") < printed.index("Assumed quantities")
    stored = json.loads((out / "report.json").read_text())["dies"]
    again = run_dies(
        program(), RRAM, SPIKES, dies=5, labels=LABELS, effects=["programming", "reading"],
        seed=3, attempts=2,
    )  # fmt: skip
    assert stored["score"] == again.score.tolist()
    assert stored["yield"] == again.yield_above(0.5).share
    assert stored["effects"] == ["programming", "reading"]
    assert (out / "dies.csv").read_text().count("\n") == 6
    assert (out / "dies.svg").stat().st_size > 1000


def test_the_command_refuses_what_it_cannot_use(tmp_path, mosaic):
    save_program(program(), tmp_path / "net.npz")
    np.savez(tmp_path / "in.npz", spikes=SPIKES)
    start = ("simulate", tmp_path / "net.npz", "--input", tmp_path / "in.npz")
    for more, message in (
        (("--effects", "stuck"), "--effects needs the number of dies: --devices 50."),
        (
            ("--devices", 2, "--effects", "stack"),
            "effects has 'stack'. Did you mean 'stuck'",
        ),
        (("--devices", 0), "dies is 0"),
    ):
        code, _, complaint = mosaic(*start, *more)
        assert code == 2
        assert message in " ".join(complaint.split())


def test_all_effects_together_run():
    dies = run_dies(program(), RRAM, SPIKES, dies=2, labels=LABELS, age=1e6)
    assert set(dies.effects) == set(EFFECTS)
    assert np.isfinite(dies.energy).all()

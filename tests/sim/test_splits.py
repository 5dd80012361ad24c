from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper import DRIVE, technology, tiny
from strategies import FEW, build, builds, chain, drives

from mosaic_sim import MosaicError, price, simulate, technology_preset
from mosaic_sim.cost import experts_of
from mosaic_sim.events import event_names

TECHNOLOGY = technology_preset("rram-130nm")


@st.composite
def grouped(draw):
    """A bill, and groups that share no neuron and may leave some out."""
    built = draw(builds())
    recording = simulate(built.program, draw(drives(built.network)))
    neurons = built.network.neurons
    owner = np.array(draw(st.lists(st.integers(0, 3), min_size=neurons, max_size=neurons)))
    names = {1: "expert 0/hidden", 2: "expert 0/out", 3: "eye/out"}
    groups = {name: np.flatnonzero(owner == k) for k, name in names.items()}
    return built, price(built.program, recording, TECHNOLOGY), groups


def joules(report, counts):
    """Oracle: integers times prices, without rounding."""
    return sum(
        (Fraction(p) * n for p, n in zip(report.prices.tolist(), counts, strict=True)),
        Fraction(),
    )


def total(report):
    return sum((Fraction(r.unit_price) * r.count for r in report.rows), Fraction())


@given(grouped())
def test_every_split_adds_up_to_the_bill_exactly(case):
    _, report, groups = case
    bill = report.counts.sum(0).tolist()
    for counts, energies in (
        (report.counts_by_kind(), report.by_kind()),
        (report.counts_by_group(groups), report.by_group(groups)),
        (report.counts_by_group(experts_of(groups)), report.by_expert(groups)),
    ):
        assert np.sum(list(counts.values()), axis=0).tolist() == bill
        parts = {name: joules(report, n.tolist()) for name, n in counts.items()}
        assert sum(parts.values()) == total(report)
        assert energies == {name: float(joule) for name, joule in parts.items()}
    parts = [joules(report, row.tolist()) for row in report.counts]
    assert sum(parts) == total(report)


@FEW
@given(grouped())
def test_a_group_pays_for_what_a_run_of_its_spikes_alone_would_cost(case):
    """Oracle: the bill of a run in which nobody else spikes, without what time costs."""
    built, report, groups = case
    program, first = built.program, built.network.first_neuron
    time = ("neuron step", "neuron tile step", "routing tile step")
    names = event_names(program.levels)
    caused = report.counts_by_group(groups)
    alone = {name: first + members for name, members in groups.items()}
    alone["(inputs)"] = np.arange(program.inputs)
    alone["(bias line)"] = np.arange(program.inputs, first)
    for name, sources in alone.items():
        spikes = np.zeros_like(report.spikes)
        spikes[sources] = report.spikes[sources]
        bill = price(
            program, spikes, TECHNOLOGY, samples=report.samples, steps=report.steps
        )
        expected = {r.event: r.count for r in bill.rows if r.event not in time}
        found = caused.get(name, np.zeros(len(names), int)).tolist()
        got = {n: c for n, c in zip(names, found, strict=True) if c and n not in time}
        assert got == expected
        updates = len(groups.get(name, ())) * report.samples * report.steps
        assert found[names.index("neuron step")] == updates


def test_the_splits_of_a_tiny_network_are_those_worked_out_by_hand():
    program = tiny().program
    report = price(program, simulate(program, DRIVE), technology())
    row = 8 * 0.25 + 8 * 4.5  # a wired row of an R1
    on = row + 36 - 4.5  # one of its eight devices is HCS
    first = np.array([0]), np.array([1, 2])
    groups = dict(zip(("expert 0/a", "expert 0/b"), first, strict=True))
    into = 32 + 2 * 0.5 + on  # a spike from outside: encoded, two lines, an R1
    inputs = 3 * into + 3 * (3 * 9 + 76.5) + (2 * 2 + 1) * 2
    # Neuron 0 fires twice: two lines, R1 7, three more wired, its own row and that of tile 1.
    a = 2 * (64 + 2 * 0.5 + on + 3 * row + 7 * 9 + 36 + 3 * 2) + 3 * 128
    b = 64 + 4 * row + 4 * 9 + 2 + 2 * 3 * 128  # neuron 1 once; neuron 2 is silent
    static = 6 * 256 + 21 * 128
    assert report.by_group(groups) == {
        "expert 0/a": a, "expert 0/b": b, "(inputs)": inputs, "(static)": static,
    }  # fmt: skip
    assert report.by_expert(groups) == {
        "expert 0": a + b, "(inputs)": inputs, "(static)": static,
    }  # fmt: skip
    assert report.by_group({"a": first[0]})["(other neurons)"] == b
    cells = report.by_tile()
    assert report.by_kind() == {
        "NT": cells[[6, 8]].sum(), "R0": 0, "R1": cells[1::2].sum(),
    }  # fmt: skip
    # Input 0 twice, input 1 once, neuron 0 twice, each over one synapse; neuron 2 has one too.
    assert report.synaptic_operations == 2 + 1 + 2
    assert report.neuron_spikes == 3
    assert report.energy_per_spike == report.energy / 3
    assert report.energy_per_synaptic_operation == report.energy / 5


def test_a_silent_run_has_no_energy_per_spike():
    program = tiny().program
    report = price(program, simulate(program, DRIVE * 0), technology())
    assert report.energy > 0
    assert report.energy_per_spike is report.energy_per_synaptic_operation is None


@given(grouped())
def test_a_synaptic_operation_is_a_synapse_of_a_spike_that_arrives(case):
    built, report, _ = case
    expected = sum(report.spikes[source] for source in built.network.source.tolist())
    assert report.synaptic_operations == expected


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"a": [0, 1]}, r"groups\['a'\] names a neuron that does not exist; there are 1"),
        ({"a": [-1]}, r"groups\['a'\] names a neuron that does not exist"),
        ({"a": [0], "b": [0]}, r"Neuron 0 is in groups\['a'\] and in groups\['b'\]"),
    ],
)
def test_groups_that_overlap_or_lie_outside_are_refused(groups, message):
    program = build(chain()).program
    report = price(program, simulate(program, np.ones((1, 1, 1))), TECHNOLOGY)
    with pytest.raises(MosaicError, match=message):
        report.by_group({name: np.array(who) for name, who in groups.items()})

import math
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from paper import DRIVE, technology, tiny
from strategies import FEW, builds, drives

import mosaic_sim
from mosaic_sim import (
    ConfigError,
    compare,
    load_platform,
    platform_preset,
    price,
    simulate,
    technology_preset,
)
from mosaic_sim.compare import CAVEAT, EVENTS_PRICED, price_on
from mosaic_sim.platform import PLATFORM_QUANTITIES, is_platform, platform_names

FOLDER = Path(mosaic_sim.__file__).parent / "platforms"

# Table 3 of Tang et al., 2023: energy of a synaptic operation in pJ, as printed.
SYNAPTIC_OPERATION = {
    "odin": "12.7", "reckon": "5.3", "ubrain": "26", "truenorth": "2.5", "tianjic": "1.54",
    "neuronflow": "20", "loihi": "23.6", "spinnaker": "45", "spinnaker2": "10", "seneca": "2.8",
}  # fmt: skip


# --- presets --------------------------------------------------------------------------


def test_energies_of_a_synaptic_operation_are_those_of_the_published_table():
    for name in platform_names():
        quantity = platform_preset(name).get("synapse_energy")
        if name in SYNAPTIC_OPERATION:
            printed = float(Fraction(SYNAPTIC_OPERATION[name]) / 10**12)
            assert math.isclose(quantity.value, printed, rel_tol=2.3e-16)
            assert "table 3" in quantity.source
        else:
            assert quantity is None
    assert set(SYNAPTIC_OPERATION) | {"dynap-se", "neurogrid"} == set(platform_names())


def test_what_is_quoted_from_memory_is_assumed_and_says_so():
    for name in platform_names():
        for quantity in platform_preset(name).quantities.values():
            remembered = "from memory" in quantity.source.lower()
            assert (quantity.status == "assumed") == remembered


@pytest.mark.parametrize("name", platform_names())
def test_a_preset_holds_what_its_file_says_and_no_more(name):
    platform = platform_preset(name)
    tables = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    assert (platform.name, platform.title) == (name, tables.pop("title"))
    assert platform.about == tables.pop("about")
    assert set(platform.quantities) == set(tables)
    for key, base in PLATFORM_QUANTITIES.items():
        assert (platform.get(key) is None) == (key not in tables)
        if key in tables:
            assert platform.get(key).unit == base


def test_a_hop_in_either_direction_is_the_mean_of_both():
    loihi = platform_preset("loihi")
    assert loihi.hop() == pytest.approx(3.6e-12, rel=1e-15)
    assert loihi.hop("latency") == pytest.approx(5.3e-9, rel=1e-15)
    assert platform_preset("truenorth").hop() == 2.3e-12
    assert platform_preset("odin").hop() is None


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'loihy'\. Did you mean 'loihi'\?"):
        platform_preset("loihy")
    with pytest.raises(ConfigError, match=r"'hop_energi'\. Did you mean 'hop_energy'\?"):
        platform_preset("loihi").get("hop_energi")


# --- bad files ------------------------------------------------------------------------


def good():
    return tomllib.loads((FOLDER / "loihi.toml").read_text(encoding="utf-8"))


def written(folder, content):
    path = folder / "mine.toml"
    path.write_text(tomli_w.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"title": None}, r'mine\.toml needs a line title = "'),
        ({"about": 3}, r'mine\.toml needs a line about = "'),
        ({"hop_energi": {}}, r"'hop_energi'\. Did you mean 'hop_energy'"),
        ({"hop_energy": None}, r"has hop_energy_across, but not hop_energy; give both"),
        ({"hop_energy": 3}, "hop_energy needs exactly"),
        ({"hop_latency": {"value": 0}}, "hop_latency is 0 ns; it must be .* above 0"),
        ({"hop_latency": {"value": math.nan}}, "hop_latency is nan"),
        ({"spike_energy": {"unit": "s"}}, "spike_energy: unit 's' is not 'J'"),
        ({"spike_energy": {"source": ""}}, "spike_energy has no source"),
        ({"spike_energy": {"status": "sure"}}, "spike_energy has status 'sure'"),
        (dict.fromkeys(PLATFORM_QUANTITIES), "has no quantity; it takes: synapse_energy"),
    ],
)
def test_a_bad_platform_is_refused_by_file_and_name(tmp_path, change, message):
    content = good()
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(content.get(key), dict)
        content[key] = content[key] | value if both else value
    content = {key: value for key, value in content.items() if value is not None}
    with pytest.raises(ConfigError, match=message) as refused:
        load_platform(written(tmp_path, content))
    if "give" not in message:
        assert "mine.toml" in str(refused.value)


def test_a_file_is_told_from_a_technology_by_what_it_names(tmp_path):
    assert is_platform(written(tmp_path, good()))
    assert is_platform(written(tmp_path, {"synapse_energy": 1}))
    assert not is_platform(FOLDER.parent / "technologies" / "rram-130nm.toml")
    assert not is_platform(written(tmp_path, {"hop_latency": 1}))
    with pytest.raises(ConfigError, match=r"no technology or platform file 'no\.toml'"):
        is_platform("no.toml")


# --- a run at their prices ------------------------------------------------------------


def test_a_tiny_run_costs_on_loihi_what_one_works_out_by_hand():
    program = tiny().program
    report = price(program, simulate(program, DRIVE), technology())
    found = price_on(report, platform_preset("loihi"))
    # Five operations, three spikes, three neurons in three steps, five hops.
    assert found.events == {"synapses": 5, "spikes": 3, "updates": 9, "hops": 5}
    expected = {
        "synapses": 5 * 23.6,
        "spikes": 3 * 69.3,
        "updates": 9 * 72.8,
        "hops": 5 * 3.6,
    }
    for name, picojoule in expected.items():
        assert found.energy[name] == pytest.approx(picojoule * 1e-12, rel=1e-12)
    assert found.published == pytest.approx(sum(expected.values()) * 1e-12)
    assert found.missing == []


@FEW
@given(builds(), st.data())
def test_what_is_not_published_is_absent_and_the_rest_is_events_times_prices(built, data):
    recording = simulate(built.program, data.draw(drives(built.network)))
    report = price(built.program, recording, technology_preset("rram-22nm"))
    found = compare(report)
    assert [c.platform.name for c in found] == platform_names()
    names = dict(
        zip(
            EVENTS_PRICED,
            ("synapse_energy", "spike_energy", "update_energy", None),
            strict=True,
        )
    )
    for one in found:
        for event, name in names.items():
            each = one.platform.hop() if name is None else one.platform.get(name)
            each = getattr(each, "value", each)
            assert (event in one.missing) == (each is None)
            if each is not None:
                assert one.energy[event] == each * one.events[event]
        assert one.events["updates"] == built.network.neurons * recording.steps
        for event, count in (("hops", report.hops), ("spikes", report.neuron_spikes)):
            assert one.events[event] == count / recording.samples
    assert "not for a ranking" in CAVEAT

import math
import re
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest
import tomli_w
from hypothesis import example, given
from hypothesis import strategies as st

import mosaic_sim
from mosaic_sim import ConfigError, load_technology, technology_preset
from mosaic_sim.errors import suggest
from mosaic_sim.technology import QUANTITIES, STATUSES, technology_names
from mosaic_sim.units import engineering, to_si

FOLDER = Path(mosaic_sim.__file__).parent / "technologies"
# The powers of ten of the SI brochure, as exponents.
PREFIXES = {
    "a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "m": -3, "": 0,
    "k": 3, "M": 6, "G": 9,
}  # fmt: skip


def good():
    return tomllib.loads((FOLDER / "rram-130nm.toml").read_text(encoding="utf-8"))


def written(folder, content):
    path = folder / "mine.toml"
    path.write_text(tomli_w.dumps(content), encoding="utf-8")
    return path


# --- units ----------------------------------------------------------------------------


@given(
    st.floats(-1e12, 1e12),
    st.sampled_from(sorted(PREFIXES)),
    st.sampled_from(["S", "J", "V", "s", ""]),
)
def test_a_prefix_is_its_power_of_ten_and_rounds_once(value, prefix, base):
    exact = Fraction(value) * Fraction(10) ** PREFIXES[prefix]
    assert to_si(value, prefix + base, base) == float(exact)


@pytest.mark.parametrize(
    ("value", "unit", "base", "si"),
    [(4, "uS", "S", 4e-6), (147, "µS", "S", 147e-6), (0.3, "V", "V", 0.3), (12, "pJ", "J", 12e-12),
     (10, "ns", "s", 1e-8), (2, "kS", "S", 2e3), (1, "", "", 1.0), (14.4, "fJ", "J", 14.4e-15)],
)  # fmt: skip
def test_usual_quantities_are_the_nearest_floats(value, unit, base, si):
    assert to_si(value, unit, base) == si


@pytest.mark.parametrize(
    ("unit", "base"),
    [("uA", "S"), ("S", "J"), ("xS", "S"), ("uuS", "S"), ("", "S"), ("Su", "S"), ("V", "")],
)
def test_another_unit_is_refused_by_name(unit, base):
    with pytest.raises(ConfigError, match=f"unit {unit!r} is not"):
        to_si(1, unit, base)


@given(
    st.floats(1e-20, 9e11) | st.floats(-9e11, -1e-20),
    st.sampled_from(["J", "s", "S", "W"]),
    st.integers(1, 6),
)
@example(999.9999, "J", 3)
@example(9.995e-7, "J", 3)
@example(1e-18, "J", 3)
def test_what_is_written_with_a_prefix_is_read_back_to_the_digits(value, unit, digits):
    text = engineering(value, unit, digits)
    number, prefixed = text.split(" ")
    again = to_si(float(number), prefixed, unit)
    assert math.isclose(again, value, rel_tol=0.5001 * 10.0 ** (1 - digits))
    if abs(value) >= 1e-18:
        assert 1 <= abs(float(number)) < 1000
    figures = re.sub(r"^[-0.]*", "", number).replace(".", "")
    assert len(figures) <= max(digits, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.234e-8, "12.3 nJ"), (0, "0 J"), (4e-6, "4.00 µJ"), (999.6, "1.00 kJ"), (-2e-3, "-2.00 mJ"),
     (math.inf, "inf J"), (math.nan, "nan J"), (123456, "123 kJ"), (5e12, "5000 GJ")],
)  # fmt: skip
def test_numbers_are_written_as_one_would_by_hand(value, text):
    assert engineering(value, "J") == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.05, "", "0.05"), (1e6, "", "1,000,000"), (0, "", "0"), (0.4342, "", "0.434"),
     (1e-4, "", "0.0001"), (999.6, "", "1,000"), (1e18, "", "1e+18"), (-2500, "", "-2,500"),
     (1e-12, "m2", "1.00 µm²"), (3e-14, "m2", "0.0300 µm²"), (5e-9, "m2", "5000 µm²"),
     (2.5e-6, "m2", "2.50 mm²"), (1e-15, "m2", "1000 nm²"), (0, "m2", "0 m²"),
     (4e-22, "m2", "0.000400 nm²"), (1, "m2", "1.00 m²")],
)  # fmt: skip
def test_pure_numbers_have_no_prefix_and_that_of_an_area_is_squared(value, unit, text):
    assert engineering(value, unit) == text


@given(st.floats(1e-19, 1e7), st.integers(1, 6))
def test_an_area_is_read_back_to_the_digits(value, digits):
    number, unit = engineering(value, "m2", digits).split(" ")
    again = to_si(float(number), unit.replace("²", "2"), "m2")
    assert math.isclose(again, value, rel_tol=0.5001 * 10.0 ** (1 - digits))


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        (
            "neuron_per_tile",
            ["rows", "neurons_per_tile"],
            " Did you mean 'neurons_per_tile'?",
        ),
        ("zebra", ["rows", "columns"], ""),
        ("x", [], ""),
    ],
)
def test_the_nearest_name_is_suggested_if_there_is_one(name, known, text):
    assert suggest(name, known) == text


# --- presets --------------------------------------------------------------------------


@pytest.mark.parametrize("name", technology_names())
def test_a_preset_holds_what_its_file_says(name):
    technology = technology_preset(name)
    tables = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    assert technology.name == name
    assert technology.about == tables.pop("about")
    assert set(tables) == set(technology.quantities) == set(QUANTITIES)
    for key, table in tables.items():
        quantity = technology[key]
        prefix = table["unit"].removesuffix(QUANTITIES[key])
        power = PREFIXES[prefix] * (2 if QUANTITIES[key] == "m2" else 1)
        si = float(Fraction(str(table["value"])) * Fraction(10) ** power)
        assert math.isclose(quantity.value, si, rel_tol=2.3e-16)
        assert quantity.unit == QUANTITIES[key]
        assert quantity.source == table["source"].strip()
        assert quantity.status == table["status"]
        assert quantity.status in STATUSES
    assumed = [key for key, table in tables.items() if table["status"] == "assumed"]
    assert sorted(technology.assumptions()) == sorted(assumed)


def test_there_are_two_presets_and_an_unknown_one_is_refused_with_the_nearest():
    assert technology_names() == sorted(path.stem for path in FOLDER.glob("*.toml"))
    assert {"rram-130nm", "rram-22nm"} <= set(technology_names())
    with pytest.raises(ConfigError, match=r"'rram-130mn'\. Did you mean 'rram-130nm'\?"):
        technology_preset("rram-130mn")


def test_a_quantity_is_written_with_its_unit():
    assert str(technology_preset("rram-130nm")["synapse_lowest"]) == "4.00 µS"


# --- bad files ------------------------------------------------------------------------


def test_a_good_file_is_read_from_anywhere(tmp_path):
    path = written(tmp_path, good())
    assert load_technology(path).quantities == technology_preset("rram-130nm").quantities
    assert load_technology(str(path)).name == "mine"


@pytest.mark.parametrize("name", QUANTITIES)
def test_a_missing_quantity_is_named(tmp_path, name):
    content = good()
    del content[name]
    with pytest.raises(ConfigError, match=rf"mine\.toml lacks {name}\."):
        load_technology(written(tmp_path, content))


def test_an_unknown_quantity_is_refused_with_the_nearest(tmp_path):
    content = good() | {"read_voltag": good()["read_voltage"]}
    with pytest.raises(ConfigError, match=r"'read_voltag'\. Did you mean 'read_voltage'"):
        load_technology(written(tmp_path, content))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("read_voltage", {"unit": "A"}, "read_voltage: unit 'A' is not 'V'"),
        ("read_voltage", {"unit": "xV"}, "read_voltage: unit 'xV' is not 'V'"),
        ("read_voltage", {"unit": 1}, "read_voltage has unit 1; it needs text"),
        ("endurance", {"unit": "J"}, "endurance: unit 'J' is not"),
        (
            "read_pulse",
            {"status": "guessed"},
            "read_pulse has status 'guessed'.*'measured'",
        ),
        ("read_pulse", {"source": " "}, "read_pulse has no source"),
        ("read_pulse", {"source": 3}, "read_pulse has no source"),
        ("read_pulse", {"value": "1"}, "read_pulse has value '1'; it needs a number"),
        ("read_pulse", {"value": True}, "read_pulse has value True; it needs a number"),
        (
            "read_pulse",
            {"value": -1},
            "read_pulse is -1 us; it must be finite and above 0",
        ),
        ("read_pulse", {"value": 0}, "read_pulse is 0 us; it must be finite and above 0"),
        ("read_pulse", {"value": math.nan}, "read_pulse is nan us"),
        ("read_pulse", {"value": math.inf}, "read_pulse is inf us"),
        ("line_energy", {"value": -0.5}, "line_energy is -0.5 fJ; .* above 0 or 0"),
        (
            "read_pulse",
            {"unit": None},
            "read_pulse needs exactly source, status, unit, value",
        ),
        (
            "read_pulse",
            {"note": "x"},
            "read_pulse needs exactly source, status, unit, value",
        ),
        (
            "synapse_lowest",
            {"value": 147},
            "synapse_lowest is 147 µS.*below synapse_highest",
        ),
        (
            "synapse_lowest",
            {"value": 200},
            "synapse_lowest is 200 µS.*below synapse_highest",
        ),
        ("router_lcs", {"value": 100}, "router_lcs is 100 µS.*below router_hcs"),
        ("router_hcs", {"value": 1}, "router_lcs is 4.00 µS.*below router_hcs, 1.00 µS"),
        (
            "router_threshold",
            {"value": 4},
            "router_threshold is 4.00 µS; .* between router_lcs, 4.00 µS, and router_hcs",
        ),
        ("router_threshold", {"value": 101}, "router_threshold is 101 µS; .* 100 µS"),
        ("wire_resistance", {"value": -1}, "wire_resistance is -1 Ohm; .*above 0 or 0"),
        ("stuck_hcs", {"value": 1.01}, "stuck_hcs is 1.01; it must be at most 1"),
        ("device_variation", {"value": 2}, "device_variation is 2; it must be at most 1"),
        ("drift_exponent", {"value": 1.5}, "drift_exponent is 1.5; it must be at most 1"),
        ("router_lcs_spread", {"value": 4}, "router_lcs_spread is 4; .* at most 3"),
        (
            "programming_floor",
            {"value": 144},
            "programming_floor is 144 µS; .* synapse_lowest to synapse_highest, 143 µS",
        ),
        ("write_tolerance", {"value": 1, "unit": "S"}, "write_tolerance is 1.00 S; .*143"),
        ("endurance", {"value": 0.5}, "endurance is 0.5; .* at least 1 pulse"),
        ("cell_area", {"unit": "um"}, "cell_area: unit 'um' is not 'm2'"),
    ],
)
def test_a_bad_quantity_is_refused_by_file_and_name(tmp_path, name, change, message):
    content = good()
    table = content[name] | change
    content[name] = {key: value for key, value in table.items() if value is not None}
    with pytest.raises(ConfigError, match=message) as refused:
        load_technology(written(tmp_path, content))
    assert "mine.toml" in str(refused.value)


@pytest.mark.parametrize("value", [1, "1 us", [1]])
def test_a_quantity_that_is_no_table_is_refused(tmp_path, value):
    with pytest.raises(ConfigError, match="read_pulse needs exactly"):
        load_technology(written(tmp_path, good() | {"read_pulse": value}))


def test_shares_that_add_up_to_more_than_all_devices_are_refused(tmp_path):
    content = good()
    content["stuck_hcs"]["value"] = content["stuck_lcs"]["value"] = 0.6
    with pytest.raises(ConfigError, match=r"stuck_hcs and stuck_lcs add up to more than 1"):
        load_technology(written(tmp_path, content))


MAY_BE_ZERO = [
    "neuron_spike_energy", "neuron_step_energy", "sense_energy", "comparator_energy",
    "line_energy", "input_energy", "neuron_tile_leakage", "routing_tile_leakage",
    "settling_time", "programming_noise", "programming_floor", "device_variation",
    "read_noise", "drift_exponent", "relaxation", "stuck_hcs", "stuck_lcs",
    "router_hcs_spread", "router_lcs_spread", "time_constant_spread", "time_constant_slope",
    "synapse_constant_spread",
    "wire_resistance", "transistor_resistance", "transistor_leakage", "neuron_area",
    "comparator_area", "driver_area",
]  # fmt: skip


def test_energies_leakage_and_every_departure_from_the_ideal_may_be_zero(tmp_path):
    content = good()
    for name in MAY_BE_ZERO:
        content[name]["value"] = 0
    technology = load_technology(written(tmp_path, content))
    assert [technology[name].value for name in MAY_BE_ZERO] == [0.0] * len(MAY_BE_ZERO)


@pytest.mark.parametrize("name", sorted(set(QUANTITIES) - set(MAY_BE_ZERO)))
def test_what_nothing_works_without_may_not_be_zero(tmp_path, name):
    content = good()
    content[name]["value"] = 0
    with pytest.raises(ConfigError, match=f"{name} is 0"):
        load_technology(written(tmp_path, content))


# --- other values ---------------------------------------------------------------------


def test_other_values_are_assumed_and_leave_the_rest_and_the_original_alone():
    preset = technology_preset("rram-22nm")
    other = preset.with_values(read_voltage=0.4, read_pulse=1e-9)
    assert other["read_voltage"].value == 0.4
    assert other["read_voltage"].status == "assumed"
    assert other["read_voltage"].source == "Set by hand; it was 200 mV (derived)."
    assert preset["read_voltage"].value == 0.2
    assert other.text == ""
    for name in set(QUANTITIES) - {"read_voltage", "read_pulse"}:
        assert other[name] is preset[name]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"read_voltag": 1}, r"'read_voltag'\. Did you mean 'read_voltage'"),
        ({"read_pulse": -1}, "rram-130nm: read_pulse is -1 s; it must be finite"),
        ({"read_pulse": math.nan}, "read_pulse is nan"),
        ({"router_lcs": 1e-3}, "router_lcs is 1.00 mS; it must be below router_hcs"),
        ({"stuck_lcs": 1.5}, "stuck_lcs is 1.5"),
    ],
)
def test_impossible_values_are_refused_by_name(values, message):
    with pytest.raises(ConfigError, match=message):
        technology_preset("rram-130nm").with_values(**values)


def test_a_technology_is_scaled_in_one_quantity():
    preset = technology_preset("rram-130nm")
    assert preset.scaled("line_energy", 3)["line_energy"].value == pytest.approx(432e-15)
    with pytest.raises(ConfigError, match="'line_energi'"):
        preset.scaled("line_energi", 3)


@pytest.mark.parametrize("about", [None, 3])
def test_a_file_has_to_say_what_it_is_about(tmp_path, about):
    content = {k: v for k, v in (good() | {"about": about}).items() if v is not None}
    with pytest.raises(ConfigError, match=r"mine\.toml needs a line about = "):
        load_technology(written(tmp_path, content))


def test_what_is_no_toml_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[read_voltage\nvalue = ")
    with pytest.raises(ConfigError, match=r"mine\.toml is not TOML: .*line 1"):
        load_technology(path)
    path.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(ConfigError, match=r"mine\.toml is not a text file"):
        load_technology(path)


def test_a_folder_and_a_file_that_is_not_there_are_refused_with_the_presets(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.toml"):
        with pytest.raises(
            ConfigError, match=f"no technology file '.*{path.name}'.*rram-130nm"
        ):
            load_technology(path)

"""``mosaic technology``: what prices a chip, looked at and checked."""

import sys
from pathlib import Path

import pytest

import mosaic_sim
from growth import cli
from growth.simulation import find_technology
from mosaic_sim import platform_preset, technology_preset
from mosaic_sim.platform import platform_names
from mosaic_sim.technology import technology_names

FOLDER = Path(mosaic_sim.__file__).parent


@pytest.fixture
def technology(monkeypatch, capsys):
    """Call the command; return its exit code, what it printed, and what it complained."""

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["mosaic", "technology", *map(str, args)])
        try:
            code = cli.main()
        except SystemExit as done:
            code = done.code
        printed = capsys.readouterr()
        return code or 0, printed.out, printed.err

    return call


def words(text):
    return " ".join(text.split())


def test_list_has_one_line_for_each_technology_and_platform(technology):
    code, out, err = technology("list")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines() if line.strip()][3:]
    assert [row[0] for row in rows] == technology_names() + platform_names()
    for row in rows[: len(technology_names())]:
        assert sum(map(int, row[1:4])) == len(technology_preset(row[0]).quantities)


@pytest.mark.parametrize("name", ["rram-130nm", "rram-22nm", "loihi", "dynap-se"])
def test_show_prints_every_quantity_with_value_status_and_source(technology, name):
    code, out, err = technology("show", name)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 100
    shown, said = find_technology(name), words(out)
    assert words(shown.about) in said
    for key, quantity in shown.quantities.items():
        assert f"{key} {quantity} {quantity.status} {quantity.source.split()[0]}" in said
    # Wrapped over several lines, but every word of every source is there, brackets too.
    for quantity in shown.quantities.values():
        assert set(quantity.source.split()) <= set(said.split())


def test_show_takes_a_file_too(technology):
    path = FOLDER / "technologies" / "rram-22nm.toml"
    assert technology("show", path)[1] == technology("show", "rram-22nm")[1]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (
            "technologies/rram-130nm.toml",
            "is complete: a technology of {} quantities, 0 measured, 3 derived, {} assumed.",
        ),
        (
            "platforms/truenorth.toml",
            "is complete: a platform of {} quantities, 0 measured, 1 derived, {} assumed.",
        ),
    ],
)
def test_check_counts_what_a_good_file_has(technology, file, said):
    path = FOLDER / file
    code, out, err = technology("check", path)
    assert (code, err) == (0, "")
    found = find_technology(str(path)).quantities.values()
    assumed = sum(quantity.status == "assumed" for quantity in found)
    assert out == f"{path.name} {said.format(len(found), assumed)}\n"


def broken(folder, old, new, file="technologies/rram-130nm.toml"):
    text = (FOLDER / file).read_text(encoding="utf-8")
    assert old in text
    path = folder / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


TECHNOLOGY, ODIN = "technologies/rram-130nm.toml", "platforms/odin.toml"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (TECHNOLOGY, "value = 800", "value = -800", "transistor_resistance is -800 Ohm"),
        (TECHNOLOGY, "[read_noise]", "[read_nois]", "Did you mean 'read_noise'?"),
        (
            TECHNOLOGY,
            'value = 40\nunit = "uS"',
            'value = 140\nunit = "uS"',
            "router_threshold is 140 µS; it must lie between router_lcs, 4.00 µS, and",
        ),
        (TECHNOLOGY, "[read_noise]", "[read_noise", "mine.toml is not TOML"),
        (ODIN, "pJ", "pW", "unit 'pW' is not 'J'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(
    technology, tmp_path, file, old, new, message
):
    code, out, err = technology("check", broken(tmp_path, old, new, file))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    ("command", "what", "message"),
    [
        ("check", "gone.toml", "There is no technology or platform file 'gone.toml'"),
        ("check", "rram-130nm", "'rram-130nm' is no .toml file"),
        ("show", "rram-131nm", "Did you mean 'rram-130nm'?"),
        ("show", "loihy", "Did you mean 'loihi'?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(technology, command, what, message):
    code, out, err = technology(command, what)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err


def test_a_name_finds_what_it_names():
    assert find_technology("rram-22nm") == technology_preset("rram-22nm")
    assert find_technology("odin") == platform_preset("odin")

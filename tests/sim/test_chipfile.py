import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaic_sim import CHIPS, Chip, ConfigError, load_chip
from mosaic_sim.chipfile import chip_text, find_chip

FIELDS = {"rows": 2, "columns": 3, "neurons_per_tile": 4, "tile_lines": 5, "r0_lines": 6}


def text(values):
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "mine.toml"
        path.write_text(content if isinstance(content, str) else text(content))
        return path

    return write


@st.composite
def chips(draw):
    rows, columns, neurons = (draw(st.integers(1, 9)) for _ in range(3))
    tile, r0, more = (draw(st.integers(1, 40)) for _ in range(3))
    return Chip(rows, columns, neurons, tile, r0, neurons + more, draw(st.integers(0, 3)))


@given(chips())
def test_a_chip_is_what_its_file_says(tmp_path_factory, chip):
    path = tmp_path_factory.mktemp("chip") / "a.toml"
    path.write_text(text(asdict(chip)))
    assert load_chip(path) == load_chip(str(path)) == find_chip(str(path)) == chip
    path.write_text(chip_text(chip))
    assert load_chip(path) == chip


def test_fields_that_have_a_default_may_be_left_out(file):
    assert load_chip(file(FIELDS | {"r1_lines": 7})) == Chip(2, 3, 4, 5, 6, 7)


@pytest.mark.parametrize("preset", CHIPS)
def test_a_preset_gives_what_the_file_does_not(file, preset):
    assert load_chip(file({"preset": preset})) == CHIPS[preset] == find_chip(preset)
    wide = load_chip(file({"columns": 11, "preset": preset, "refractory_steps": 2}))
    changed = {"columns": 11, "refractory_steps": 2}
    assert asdict(wide) == asdict(CHIPS[preset]) | changed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (FIELDS | {"r1_line": 7}, r"mine.toml: unknown key 'r1_line'\. Did you mean 'r1_lines'\?"),
        ({"presett": "demo"}, r"unknown key 'presett'\. Did you mean 'preset'\?"),
        ("[chip]\nrows = 2\n", "unknown key 'chip'.* It takes: preset, rows"),
        (FIELDS, "mine.toml: lacks r1_lines; give them, or preset = \"demo\""),
        ({"preset": "dmeo"}, r"mine.toml: Unknown chip preset 'dmeo'\. Did you mean 'demo'\?"),
        ({"preset": 3}, "mine.toml: preset is 3; it needs a name in quotes"),
        ({"preset": "demo", "rows": 0}, "mine.toml: Chip.rows is 0; it needs an"),
        ({"preset": "demo", "rows": 2.5}, "Chip.rows is 2.5"),
        ({"preset": "demo", "rows": "4"}, "Chip.rows is '4'"),
        ("preset = \"demo\"\nrows = true", "Chip.rows is True"),
        ({"preset": "demo", "r1_lines": 3}, "mine.toml: Chip.r1_lines is 3; each"),
        ("rows = ", "mine.toml is not TOML: "),
    ],
)  # fmt: skip
def test_a_file_that_describes_no_chip_is_refused(file, content, message):
    with pytest.raises(ConfigError, match=message):
        load_chip(file(content))


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no chip file '.*a.toml'. Presets: demo, shd"):
        load_chip(tmp_path / "a.toml")
    with pytest.raises(ConfigError, match="There is no chip file"):
        load_chip(tmp_path)
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"b.toml is not a text file"):
        load_chip(tmp_path / "b.toml")
    with pytest.raises(ConfigError, match="Unknown chip preset 'demi'"):
        find_chip("demi")

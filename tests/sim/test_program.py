import io
import pickle
import zipfile
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    FEW,
    Built,
    around,
    build,
    builds,
    chain,
    drives,
    kind,
    networks,
    placed,
    roomy,
    scattered,
)

from mosaic_sim import (
    Chip,
    Device,
    MosaicError,
    Network,
    Routing,
    compile_program,
    count_events,
    device_count,
    load_program,
    reference,
    route,
    save_program,
    simulate,
    writes,
)
from mosaic_sim.events import EVENTS, event_names
from mosaic_sim.image import devices
from mosaic_sim.program import validate

QUANTISED = Device(levels=4)


def image_of(program):
    """Read the image as documented: {(cell, row, column): level}."""
    lines = max(int(x) for x in program.chip[3:6])
    neurons = int(program.chip[2])
    rows = 4 * lines + neurons
    columns = max(rows, 2 * neurons)
    device, level = devices(program)
    crossbar, column = np.divmod(device, columns)
    cell, row = np.divmod(crossbar, rows)
    keys = zip(cell.tolist(), row.tolist(), column.tolist(), strict=True)
    return dict(zip(keys, level.tolist(), strict=True))


class Spike:
    """Oracle: send one spike through the image, wire by wire, knowing nothing of routes."""

    def __init__(self, built: Built, image: dict, source: int):
        self.chip, self.image = built.chip, image
        self.lines = max(built.chip.tile_lines, built.chip.r0_lines, built.chip.r1_lines)
        self.delivered = Counter()  # (tile cell, slot) -> signed level
        self.rows = []  # rows read, (cell, row), in the order in which the spike reaches them
        self.out = Counter()  # lines that a row of a routing tile asserts
        first = built.network.first_neuron
        if source < first:
            cell, side = built.chip.port_cell(int(built.placement.port[source]))
            self.arrive(cell, side, int(built.routing.entry_line[source]))
        else:
            slot = int(built.placement.slot[source - first])
            home = built.chip.tile_cell(int(built.placement.tile[source - first]))
            self.read(home, 4 * self.lines + slot)
            for side in range(4):
                self.leave(home, side, slot)

    def leave(self, cell, side, line):
        width = 2 * self.chip.columns + 1
        row, column = around(*divmod(cell, width))[side]
        self.arrive(row * width + column, (side + 2) % 4, line)

    def arrive(self, cell, side, line):
        row = side * self.lines + line
        if kind(*divmod(cell, 2 * self.chip.columns + 1)) == "NT":
            self.read(cell, row)
            return
        self.rows.append((cell, row))
        assert len(self.rows) < 1000, "the spike runs in circles"
        for (there, at, column), level in self.image.items():
            if (there, at, level) == (cell, row, 1):
                self.out[cell, row] += 1
                self.leave(cell, *divmod(column, self.lines))

    def read(self, cell, row):
        self.rows.append((cell, row))
        for (there, at, column), level in self.image.items():
            if (there, at) == (cell, row):
                sign = -1 if column % 2 else 1
                self.delivered[cell, column // 2] += sign * level


@given(builds(device=QUANTISED, synapses=16))
def test_a_spike_delivers_every_weight_of_its_source_and_no_other(built):
    network, chip, placement, _, program = built
    image = image_of(program)
    levels = QUANTISED.program(network)[0].tolist()
    for source in range(network.sources):
        expected = Counter()
        for s, t, level in zip(network.source, network.target, levels, strict=True):
            if s == source:
                tile, slot = int(placement.tile[t]), int(placement.slot[t])
                expected[chip.tile_cell(tile), slot] += level
        spike = Spike(built, image, source)
        assert spike.delivered == expected  # Counter: absent is 0
        assert all(0 < level <= 3 or not level for level in image.values())


@given(builds(device=QUANTISED, synapses=16))
def test_events_of_a_spike_are_those_of_the_rows_that_it_reads(built):
    network, chip, placement, routing, program = built
    image = image_of(program)
    read = len(EVENTS)
    for source in range(network.sources):
        spike = Spike(built, image, source)
        expected = Counter()

        def add(cell, event, count, expected=expected):
            if count:
                expected[cell, event] += count

        assert len(set(spike.rows)) == len(spike.rows)
        for cell, at in spike.rows:
            name = chip.kinds[cell]
            if name == "NT":
                held = [v for (c, r, _), v in image.items() if (c, r) == (cell, at)]
                held += [0] * (2 * chip.neurons_per_tile - len(held))
                sits = [chip.tile_cell(t) == cell for t in placement.tile.tolist()]
                add(cell, EVENTS.index("column sensed"), sum(sits))
                for level, count in Counter(held).items():
                    add(cell, read + level, count)
            else:
                columns = 4 * (chip.r0_lines if name == "R0" else chip.r1_lines)
                asserted = spike.out[cell, at]
                add(cell, EVENTS.index("router column compared"), columns)
                add(cell, EVENTS.index("router HCS read"), asserted)
                add(cell, EVENTS.index("router LCS read"), columns - asserted)
                add(cell, EVENTS.index("hop"), int(asserted > 0))
        if source >= network.first_neuron:
            home = chip.tile_cell(int(placement.tile[source - network.first_neuron]))
            add(home, EVENTS.index("neuron spike"), 1)
        else:
            entry, _ = chip.port_cell(int(placement.port[source]))
            outside = {(entry, EVENTS.index(n)): 1 for n in ("input spike", "line driven")}
            if not spike.out:  # an input that nobody reads is not connected
                expected = Counter()
            expected.update(outside)
        for cell in routing.cell[routing.offsets[source] : routing.offsets[source + 1]]:
            add(int(cell), EVENTS.index("line driven"), 1, expected)

        one = np.zeros(program.sources, np.int64)
        one[source] = 1
        counts = count_events(program, one, 0)
        counted = {(c, e): counts[c, e] for c, e in np.argwhere(counts).tolist()}
        assert counted == dict(expected)


@given(builds(), st.data())
def test_device_reads_of_a_tile_are_the_rows_that_the_reference_reads(built, data):
    network, chip, placement, _, program = built
    spikes = data.draw(drives(network))
    recording = simulate(program, spikes)
    counts = count_events(program, recording.total, recording.samples * recording.steps)
    plain = reference.simulate(network, placement, chip, spikes)
    for tile, rows in enumerate(plain.rows_read):
        reads = counts[chip.tile_cell(tile), len(EVENTS) :].sum()
        assert reads == rows * 2 * chip.neurons_per_tile
    spiked = Counter(int(placement.tile[j]) for _, _, j in plain.spikes)
    for tile in range(chip.tiles):
        assert counts[chip.tile_cell(tile), EVENTS.index("neuron spike")] == spiked[tile]


@given(builds(), st.data())
def test_hops_are_spikes_times_the_routing_tiles_of_the_tree(built, data):
    network, chip, _, routing, program = built
    recording = simulate(program, data.draw(drives(network)))
    counts = count_events(program, recording.total, recording.samples * recording.steps)
    expected = 0
    for source, spikes in enumerate(recording.total.tolist()):
        cells = routing.cell[routing.offsets[source] : routing.offsets[source + 1]]
        expected += spikes * len({c for c in cells.tolist() if chip.kinds[c] != "NT"})
    assert counts[:, EVENTS.index("hop")].sum() == expected


@FEW
@given(builds(), st.integers(1, 50))
def test_tiles_in_use_are_on_at_every_step_and_the_others_never(built, steps):
    network, chip, placement, routing, program = built
    silent = np.zeros(network.sources, np.int64)
    counts = count_events(program, silent, steps)
    width = 2 * chip.columns + 1
    used = {chip.tile_cell(t) for t in placement.tile.tolist()}
    for row, column in [divmod(cell, width) for cell in used]:
        used |= {r * width + c for r, c in around(row, column)}
    used |= set(routing.cell.tolist())
    for cell, row in enumerate(counts.tolist()):
        tile, router = (
            steps * (cell in used) * (chip.kinds[cell] == k) for k in ("NT", None)
        )
        router = steps * (cell in used) - tile
        assert row[EVENTS.index("neuron tile step")] == tile
        assert row[EVENTS.index("routing tile step")] == router
        neurons = sum(chip.tile_cell(t) == cell for t in placement.tile.tolist())
        assert row[EVENTS.index("neuron step")] == neurons * steps
        assert sum(row) == tile + router + neurons * steps


def crossed(built, source):
    cells = built.routing.cell[
        built.routing.offsets[source] : built.routing.offsets[source + 1]
    ]
    return len({c for c in cells.tolist() if built.chip.kinds[c] != "NT"})


@given(builds())
def test_the_critical_path_is_the_longest_chain_of_spikes_fired_in_one_step(built):
    network, _, placement, _, program = built
    first = network.first_neuron

    def longest(source):
        """(reads, hops) of all chains from `source`, by following every one of them.

        A delayed spike arrives before the next step, and ends the chain.
        """
        reads = hops = 0
        for k in range(network.offsets[source], network.offsets[source + 1]):
            target = int(network.target[k])
            near = (
                source >= first and placement.tile[source - first] == placement.tile[target]
            )
            on = (0, 0) if network.delay[k] else longest(first + target)
            reads = max(reads, 1 + on[0])
            hops = max(hops, (0 if near else crossed(built, source)) + on[1])
        return reads, hops

    each = [longest(source) for source in range(network.sources)]
    assert program.path.tolist() == [max(r for r, _ in each), max(h for _, h in each)]


# --- two neurons by hand --------------------------------------------------------------


def two_neurons(back=0.4):
    """Input 0 -> neuron 0 on tile 0 -> neuron 1 on tile 1, which reaches itself."""
    network = Network.from_synapses(
        inputs=1, neurons=2, source=[0, 1, 2], target=[0, 1, 1], weight=[1.0, -1.0, back],
        delay=[0, 0, 1],
    )  # fmt: skip
    chip = Chip(1, 2, neurons_per_tile=2, tile_lines=2, r0_lines=1, r1_lines=2)
    return build(network, chip, placed([0, 1], [1, 0], [0]), Device())


def test_the_image_of_two_neurons_is_the_one_worked_out_by_hand():
    # Cells of the 3 x 5 grid: tiles 6 and 8, the router between them 7, the one north of
    # tile 0, where input 0 enters, 1. Rows: side * 2 + line, then the feedback rows 8 and 9.
    assert image_of(two_neurons().program) == {
        (1, 0, 4): 1,  # from the port, north line 0, to south line 0
        (6, 0, 2): 15,  # north line 0 to slot 1, positive
        (6, 0, 3): 0,
        (7, 7, 2): 1,  # west line 1, the wire of slot 1, to east line 0
        (8, 6, 0): 0,
        (8, 6, 1): 15,  # west line 0 to slot 0, negative
        (8, 8, 0): 6,  # feedback row of slot 0: 0.4 of 15 levels
        (8, 8, 1): 0,
    }


def test_a_router_that_the_tree_enters_again_reads_its_wired_row_too():
    # 2 x 2 tiles: neuron 0 leaves tile 0 to the south, and comes by the corner R0 12 into
    # R1 7, which it is wired into from the other side, on its way to tile 1.
    network = Network.from_synapses(
        inputs=0, neurons=2, source=[0], target=[1], weight=[1.0], delay=1
    )
    chip = Chip(2, 2, neurons_per_tile=1, tile_lines=1, r0_lines=2, r1_lines=3)
    placement = placed([0, 1], [0, 0], [])
    routing = Routing(
        offsets=np.array([0, 4, 4]),
        cell=np.array([6, 11, 12, 7], np.int32),
        side=np.array([2, 1, 0, 1], np.int32),
        line=np.zeros(4, np.int16),
        entry_line=np.zeros(0, np.int32),
    )
    program = compile_program(network, chip, placement, routing)
    counts = count_events(program, np.array([1, 0]), 0)
    compared = counts[:, EVENTS.index("router column compared")]
    assert {cell: int(n) for cell, n in enumerate(compared) if n} == {
        1: 12, 5: 12, 11: 12, 12: 8, 7: 2 * 12
    }  # fmt: skip
    assert counts[7, EVENTS.index("router HCS read")] == 1
    assert counts[7, EVENTS.index("router LCS read")] == 23
    assert counts[:, EVENTS.index("hop")].sum() == 3


def test_devices_of_two_neurons_are_six_of_synapses_and_two_connections():
    assert device_count(two_neurons().program) == {"NT": 6, "R0": 0, "R1": 2}


def test_writes_of_two_neurons_are_the_levels_that_change():
    program = two_neurons().program
    assert writes(None, program) == 5  # 15, 15 and 6 in tiles, 2 connections
    assert writes(program, two_neurons(back=0.6).program) == 1  # level 6 to 9
    assert writes(program, two_neurons(back=-0.4).program) == 2  # 6 to 0 and 0 to 6
    assert writes(program, two_neurons(back=0.401).program) == 0  # the same level


# --- writes are a distance ------------------------------------------------------------


@st.composite
def three_programs(draw):
    network = draw(networks(synapses=12))
    chip = roomy(network)
    programs = []
    for _ in range(3):
        placement = draw(scattered(network, chip))
        weight = draw(
            st.lists(
                st.integers(-3, 3), min_size=network.synapses, max_size=network.synapses
            )
        )
        changed = network.with_weights(np.array(weight, np.float32))
        programs.append(build(changed, chip, placement, QUANTISED).program)
    return programs


@given(three_programs())
def test_writes_are_a_distance_between_images(programs):
    a, b, c = programs
    for program in programs:
        assert writes(program, program) == 0
        assert writes(None, program) == sum(v > 0 for v in image_of(program).values())
    assert writes(a, b) == writes(b, a)
    assert writes(a, c) <= writes(a, b) + writes(b, c)
    one, two = image_of(a), image_of(b)
    assert writes(a, b) == sum(one.get(k, 0) != two.get(k, 0) for k in one | two)


def test_writes_refuses_programs_of_different_chips_or_levels():
    here = build(chain(), Chip(1, 1, 1, 2, 2, 2)).program
    there = build(chain(), Chip(1, 2, 1, 2, 2, 2)).program
    coarse = build(chain(), Chip(1, 1, 1, 2, 2, 2), device=QUANTISED).program
    for other in (there, coarse):
        with pytest.raises(MosaicError, match="same chip and number of levels"):
            writes(here, other)


# --- files ----------------------------------------------------------------------------


@FEW
@given(builds(device=QUANTISED))
def test_a_saved_program_is_read_back_unchanged(tmp_path_factory, built):
    folder = tmp_path_factory.mktemp("programs")
    save_program(built.program, folder / "one.npz")
    again = load_program(folder / "one.npz")
    for name, value in built.program._asdict().items():
        read = getattr(again, name)
        assert type(read) is type(value)
        assert np.array_equal(read, value)
        assert getattr(read, "dtype", None) == getattr(value, "dtype", None)
    save_program(again, folder / "two.npz")
    assert (folder / "one.npz").read_bytes() == (folder / "two.npz").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["one.npz", "two.npz"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "good.npz"
    save_program(two_neurons().program, path)
    return path


def test_a_cut_or_overwritten_file_is_refused_or_harmless(saved, tmp_path):
    good, bad = load_program(saved), tmp_path / "bad.npz"
    data = saved.read_bytes()
    damaged = [data[:end] for end in range(0, len(data), 211)]
    for at in range(0, len(data), 13):
        flipped = bytearray(data)
        flipped[at] ^= 0x81
        damaged.append(bytes(flipped))
    refused = 0
    for content in damaged:
        bad.write_bytes(content)
        try:
            program = load_program(bad)
        except MosaicError:
            refused += 1
        else:  # the byte was one that nobody reads
            assert all(np.array_equal(a, b) for a, b in zip(program, good, strict=True))
    assert refused > len(damaged) / 2


def rewritten(path, source, **changes):
    """Write the arrays of `source` to `path` with some replaced, or left out if None."""
    with np.load(source) as file:
        arrays = {name: file[name] for name in file.files} | changes
    np.savez(path, **{name: a for name, a in arrays.items() if a is not None})
    return path


class Boom:
    def __reduce__(self):
        return print, ("a pickle was executed",)


def test_foreign_files_are_refused_by_name(saved, tmp_path, capsys):
    pickled = rewritten(tmp_path / "objects.npz", saved, tile=np.array([Boom()], object))
    (tmp_path / "empty.npz").touch()
    (tmp_path / "text.npz").write_text("about = 'a text'")
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Boom()))
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    with zipfile.ZipFile(tmp_path / "archive.npz", "w") as archive:
        archive.writestr("hello.txt", "hello")
    rewritten(tmp_path / "lacks.npz", saved, leak=None)
    rewritten(tmp_path / "more.npz", saved, extra=np.zeros(1))
    rewritten(tmp_path / "scalar.npz", saved, bias=np.zeros(2))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(MosaicError, match=path.name):
            load_program(path)
    assert pickled.exists()
    assert capsys.readouterr().out == ""


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(MosaicError, match=r"There is no program file '.*nowhere\.npz'"):
        load_program(tmp_path / "nowhere.npz")
    with pytest.raises(MosaicError, match=tmp_path.name):
        load_program(tmp_path)


@pytest.mark.parametrize("field", ["weight", None])
def test_another_version_is_refused_with_both_numbers(saved, tmp_path, field):
    changes = {"format": np.int64(99)} | ({field: None} if field else {})
    path = rewritten(tmp_path / "new.npz", saved, **changes)
    with pytest.raises(MosaicError, match=r"has format 99; .* reads formats 3 and 4"):
        load_program(path)


def test_a_program_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "program.npz"
    path.write_bytes(b"old")

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save_program(two_neurons().program, path)
    assert path.read_bytes() == b"old"


def test_a_reader_of_the_old_file_is_not_disturbed_by_a_new_one(tmp_path):
    path = tmp_path / "program.npz"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        save_program(two_neurons().program, path)
        assert reader.read() == b"old"
    assert load_program(path).leak.size == 2


DAMAGE = [
    ("chip", lambda a: a[:-1], "chip has not seven"),
    ("chip", lambda a: a.astype(float), "chip holds float64"),
    ("chip", lambda a: a * 0, r"Chip\.rows is 0"),
    ("chip", lambda a: a - np.eye(1, 7, 1, dtype=int)[0], "links has not one entry a cell"),
    ("levels", lambda a: a - 15, "levels is not from 2 to 256"),
    ("levels", lambda a: a - 8, "level leaves -7 to 7"),
    ("inputs", lambda a: -1, "inputs is negative"),
    ("inputs", lambda a: a + 1, "has not one entry"),
    ("bias", lambda a: True, "has not one entry"),
    ("offsets", lambda a: a[:-1], "offsets has not one entry a source"),
    ("offsets", lambda a: a[::-1], "offsets does not rise from 0 to 3"),
    ("offsets", lambda a: a + 1, "offsets does not rise from 0 to 3"),
    ("target", lambda a: a + 1, "target leaves 0 to 1"),
    ("target", lambda a: a - 1, "target leaves 0 to 1"),
    ("target", lambda a: a.astype(float), "target holds float64"),
    ("weight", lambda a: a[:-1], "weight has not one entry a synapse"),
    ("weight", lambda a: a * np.nan, "a weight is not finite"),
    ("delay", lambda a: a[:-1], "delay has not one entry a synapse"),
    ("delay", lambda a: a - 1, "delay leaves 0"),
    ("delay", lambda a: a.astype(np.int32), "delay holds int32, not int16"),
    ("delay", lambda a: a * 0, "depth does not rise along a synapse without delay"),
    ("depth", lambda a: a[::-1], "depth does not rise along a synapse without delay"),
    ("depth", lambda a: a + 1, "depth leaves 0 to 1"),
    ("depth", lambda a: a[:1], "depth has not one entry a neuron"),
    ("leak", lambda a: a + 1, "leak leaves 0 to 1"),
    ("leak", lambda a: a * np.nan, "leak leaves 0 to 1"),
    ("leak", lambda a: a[:1], "has not one entry"),
    ("threshold", lambda a: a[:1], "threshold has not one entry a neuron"),
    ("threshold", lambda a: a - 1, "threshold is not above 0"),
    ("threshold", lambda a: a * np.nan, "threshold is not above 0"),
    ("current_leak", lambda a: a - 1, "current_leak leaves 0 to 1"),
    ("gain", lambda a: a - 1, "gain is below 0"),
    ("prompt", lambda a: a[:1], "prompt has not one entry a neuron"),
    ("prompt", lambda a: a.astype(int), "prompt holds int64"),
    ("reset", lambda a: a[:1], "reset has not one entry a neuron"),
    ("reset", lambda a: a + 4, "reset leaves 0 to 3"),
    ("tile", lambda a: a + 1, "tile leaves 0 to 1"),
    ("tile", lambda a: a[:1], "tile has not one entry a neuron"),
    ("slot", lambda a: a + 1, "slot leaves 0 to 1"),
    ("slot", lambda a: a[:1], "slot has not one entry a neuron"),
    ("port", lambda a: a + 6, "port leaves 0 to 5"),
    ("port", lambda a: a[:0], "port has not one entry an input"),
    ("entry_line", lambda a: a[:0], "entry_line has not one entry an input"),
    ("entry_line", lambda a: a + 99, "entry_line leaves 0 to"),
    ("link_offsets", lambda a: a[:-1], "link_offsets has not one entry a source"),
    ("link_offsets", lambda a: a[::-1], "link_offsets does not rise"),
    ("link_cell", lambda a: a + 15, "link_cell leaves 0 to 14"),
    ("link_side", lambda a: a[:-1], "link_side has not one entry a link"),
    ("link_side", lambda a: a + np.int8(4), "link_side leaves 0 to 3"),
    ("link_line", lambda a: a + 99, "link_line names a line that is not there"),
    ("link_line", lambda a: a.astype(np.int32), "link_line holds int32, not int16"),
    ("link_line", lambda a: a[:-1], "link_line has not one entry a link"),
    ("events", lambda a: a[:-1], "events has not one entry for each source and kind"),
    ("events", lambda a: -a, "events leaves 0"),
    ("links", lambda a: a[:-1], "links has not one entry a cell"),
    ("links", lambda a: a - 1, "links leaves 0"),
    ("path", lambda a: a[:1], "path has not two entries"),
    ("path", lambda a: -a, "path leaves 0"),
    ("level", lambda a: a[:-1], "level has not one entry a synapse"),
    ("level", lambda a: a + np.int16(99), "level leaves -15 to 15"),
    ("level", lambda a: a.reshape(1, -1), "level is not a flat array"),
]


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGE)
def test_a_damaged_program_is_refused_with_the_name_of_the_array(name, damage, message):
    program = two_neurons().program
    validate(program)
    bad = program._replace(**{name: damage(getattr(program, name))})
    with pytest.raises(MosaicError, match=message):
        validate(bad)


def test_validate_refuses_two_neurons_in_one_slot():
    program = two_neurons().program
    bad = program._replace(tile=program.tile * 0, slot=program.slot * 0)
    with pytest.raises(MosaicError, match="two neurons share a slot"):
        validate(bad)


def test_validate_refuses_a_link_that_leaves_the_chip():
    program = two_neurons().program
    corner, north = np.zeros_like(program.link_cell), np.zeros_like(program.link_side)
    with pytest.raises(MosaicError, match="a link leaves the chip"):
        validate(program._replace(link_cell=corner, link_side=north))


def test_every_array_of_a_program_is_damaged_by_some_test():
    assert {name for name, _, _ in DAMAGE} == set(two_neurons().program._fields)


# --- what belongs together ------------------------------------------------------------


def test_compile_refuses_what_does_not_belong_together():
    one, two = build(chain()), build(chain(neurons=2))
    chip = one.chip
    for network, placement, routing in (
        (two.network, two.placement, one.routing),
        (one.network, one.placement, two.routing),
        (two.network, one.placement, two.routing),
        (one.network, two.placement, one.routing),
    ):
        with pytest.raises(MosaicError):
            compile_program(network, chip, placement, routing)


def test_compile_refuses_a_placement_other_than_the_routed_one():
    network, chip = chain(neurons=2), Chip(1, 2, 2, 2, 2, 2)
    routing = route(network, chip, placed([0, 1], [0, 0], [0]))
    for tile, slot in (([0, 1], [1, 0]), ([1, 0], [0, 0]), ([0, 0], [0, 1])):
        with pytest.raises(MosaicError):
            compile_program(network, chip, placed(tile, slot, [0]), routing)


def test_count_events_refuses_counts_of_another_program():
    with pytest.raises(MosaicError, match=r"spikes has shape \(2,\); it needs \(3,\)"):
        count_events(two_neurons().program, np.zeros(2, np.int64), 1)


def test_there_is_one_read_event_for_each_level():
    names = event_names(3)
    assert names[: len(EVENTS)] == list(EVENTS)
    assert names[len(EVENTS) :] == [f"device read, level {k}" for k in range(3)]


def test_a_program_knows_its_chip():
    built = two_neurons()
    assert built.program.geometry == built.chip
    assert built.program.sources == 3


def test_a_program_survives_a_file_object_of_numpy(saved):
    # The format is plain: any tool that reads .npz can read a program.
    with np.load(io.BytesIO(saved.read_bytes())) as file:
        assert set(file.files) == {"format", *two_neurons().program._fields}


def test_validate_refuses_two_synapses_of_one_pair():
    network = Network.from_synapses(
        inputs=1, neurons=2, source=[0, 0], target=[0, 1], weight=[1.0, 2.0]
    )
    program = build(network).program
    with pytest.raises(MosaicError, match="two synapses join the same source and target"):
        validate(program._replace(target=program.target * 0))

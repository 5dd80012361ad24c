"""Showcases: the plan, training that resumes, trimming, and the four columns of accuracy."""

import importlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from typer.testing import CliRunner

from growth.cli import app
from growth.config import read_tables
from growth.dies import outputs_of, run_dies
from growth.hardware import Disturbance, TiledNetwork
from growth.showcase import (
    DataPlan,
    Lines,
    ShowcasePlan,
    Trained,
    Variant,
    answers,
    build,
    even_rows,
    grids,
    load_showcase,
    load_task,
    read_results,
    run_cell,
    run_showcase,
    train,
    trim,
    write_tables,
)
from growth.showcase import run as running
from growth.showcase.chip import balanced, chip_of, fewest_lines, routed, technology_of
from growth.showcase.drawing import draw_showcase, raster_axes
from growth.showcase.tables import pooled
from growth.showcase.task import _chances
from mosaic_sim import (
    Device,
    compile_program,
    price,
    reference,
    route,
    simulate,
)
from mosaic_sim.errors import CapacityError, ConfigError, MosaicError

training = importlib.import_module("growth.showcase.train")  # not the function of this name

TINY = """
name = "tiny"
seeds = [0, 1]
chip_samples = 20
die_count = 2
draws = 2
noise_curve = [0.0, 0.2]

[data]
dataset = "digits"
steps = 6
train_samples = 96
test_samples = 40

[net]
rows = 2
columns = 2
neurons_per_tile = 32

[train]
epochs = 2
batch = 48
"""


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


# --- the plan --------------------------------------------------------------------------------


def test_a_plan_is_read_with_settings_and_seeds(tiny):
    plan = load_showcase(tiny, ["train.epochs=7", 'data.encoding="latency"'], seeds=3)
    assert (plan.train.epochs, plan.data.encoding, plan.seeds) == (7, "latency", (0, 1, 2))
    assert [v.label for v in plan.variants] == ["plain", "aware"]
    assert plan.variants[1].noise == 0.05


def test_the_fingerprint_changes_with_any_setting_but_the_seeds(tiny):
    plan = load_showcase(tiny)
    assert load_showcase(tiny, seeds=4).fingerprint == plan.fingerprint
    for change in ("levels=8", "data.steps=7", "net.beta=0.8", "train.clip=2.0", "draws=3"):
        assert load_showcase(tiny, [change]).fingerprint != plan.fingerprint


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("[net2]\nrows = 1", r"unknown key 'tiny.toml.net2'.*Did you mean 'net'"),
        (
            '[[variants]]\nlabel = "a"\nnoize = 1',
            r"variants\.a\.noize'.*Did you mean 'noise'",
        ),
        (
            '[[variants]]\nlabel = "a"\n[[variants]]\nlabel = "a"',
            "variants need one label each",
        ),
        ("[variants]\nnoise = 1.0", r"written as \[\[variants\]\]"),
        ('[[variants]]\nlabel = "a"\nnoise = -1.0', r"variants\.a\.noise is -1"),
    ],
)
def test_a_wrong_plan_is_refused(tiny, more, message):
    tiny.write_text(TINY + more)
    with pytest.raises(ConfigError, match=message):
        load_showcase(tiny)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"train_samples": 99_999}, "data.train_samples is 99999; there are 1198"),
        ({"pool": 3}, "data.pool is 3; a sample of digits has shape"),
        ({"dataset": "digit"}, "Unknown data set 'digit'"),
    ],
)
def test_impossible_data_are_refused_before_training(tmp_path, data, message):
    plan = DataPlan.read({"dataset": "digits", "steps": 4} | data, "data")
    with pytest.raises(MosaicError, match=message):
        load_task(plan, 0)


# --- the task --------------------------------------------------------------------------------


def test_held_out_samples_are_training_samples_that_are_not_trained_on():
    def rows(x):
        return {one.tobytes() for one in x}

    whole = load_task(DataPlan(dataset="digits", steps=4), 0)
    parts = [
        load_task(DataPlan(dataset="digits", steps=4, folds=3), seed) for seed in range(3)
    ]
    for part in parts:
        assert len(part.train) + len(part.test) == len(whole.train)
        assert rows(part.train) | rows(part.test) == rows(whole.train)
        assert not rows(part.test) <= rows(part.train)
        assert not rows(part.test) & rows(whole.test) - rows(whole.train)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 3)),
        min_size=4, max_size=60,
    ),
    st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=3, max_size=3),
)  # fmt: skip
def test_chances_are_those_asked_for_of_labels_and_roots_over_kinds_and_origins(
    rows, shares
):
    labels, kind, origin = np.array(rows).T
    if not np.array_equal(np.unique(labels), np.arange(labels.max() + 1)):
        return
    wanted = np.array(shares)[: labels.max() + 1]
    chance = _chances(labels, kind, origin, wanted)
    assert [chance[labels == one].sum() for one in range(len(wanted))] == pytest.approx(
        wanted / wanted.sum()
    )
    for label in range(len(wanted)):
        own = labels == label
        parts = [own & (kind == one) for one in set(kind[own])]
        for inside in (
            parts,
            *([p & (origin == o) for o in set(origin[p])] for p in parts),
        ):
            each = [chance[rows].sum() / np.sqrt(rows.sum()) for rows in inside]
            assert each == pytest.approx([each[0]] * len(each))


def test_shares_of_labels_are_one_for_each_and_only_with_balanced(tiny):
    with pytest.raises(
        ConfigError, match=r"data\.shares is given, but data\.balanced is false"
    ):
        load_showcase(tiny, ["data.shares=[1.0, 2.0]"])
    plan = load_showcase(tiny, ["data.balanced=true", "data.shares=[1.0, 2.0]"])
    with pytest.raises(
        ConfigError, match=r"data\.shares has 2 numbers; digits has 10 labels"
    ):
        load_task(plan.data, 0)
    shares = [1.0] * 9 + [11.0]
    plan = load_showcase(tiny, ["data.balanced=true", f"data.shares={shares}"])
    task = load_task(plan.data, 0)
    assert task.chance[task.train_labels == 9].sum() == pytest.approx(0.55)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=50), st.integers(1, 40))
def test_even_rows_are_even_where_there_are_enough(labels, most):
    y = np.array(labels)
    rows = even_rows(y, most, np.random.default_rng(0))
    each = max(most // len(set(labels)), 1)
    assert len(set(rows.tolist())) == len(rows)
    for label in set(labels):
        assert (y[rows] == label).sum() == min(each, (y == label).sum())


def test_pooled_images_are_means_of_squares_and_latency_is_one_spike_each():
    plain = load_task(DataPlan(dataset="digits", steps=9), 0)
    pooled = load_task(DataPlan(dataset="digits", steps=9, pool=2, encoding="latency"), 0)
    assert pooled.train.shape[2] == 16
    assert pooled.train.sum(1).max() == 1
    # Rate codes show the means, to half a spike for each pixel.
    means = plain.train.mean(1).reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(-1, 16)
    step = pooled.train.argmax(1)
    spoke = pooled.train.any(1)
    assert np.abs(1 - step / 8 - means)[spoke].max() <= 0.5 / 9 + 0.5 / 8 + 1e-9


# --- training --------------------------------------------------------------------------------


def parts_of(plan, cell):
    task = load_task(plan.data, cell.seed)
    model = build(plan, cell, task.train.shape[2], task.labels)
    lines = Lines(tile_lines=64, r0_lines=96, r1_lines=96)
    return task, model, chip_of(model, lines), technology_of(plan)


def test_plain_training_is_adamw_on_cross_entropy_of_counts(tiny):
    plan = load_showcase(tiny)
    cell = Trained(Variant(label="plain"), 3)
    task, model, chip, technology = parts_of(plan, cell)
    _, other, _, _ = parts_of(plan, cell)
    train(plan, cell, model, task, chip, technology)
    optimiser = torch.optim.AdamW(other.parameters(), lr=5e-3, weight_decay=0.0)
    for epoch in range(2):
        order = np.random.default_rng([3, 2, epoch]).permutation(96)
        for k in range(2):
            for group in optimiser.param_groups:
                group["lr"] = 5e-3 * (1 + np.cos(np.pi * (epoch + k / 2) / 2)) / 2
            rows = order[48 * k : 48 * (k + 1)]
            spikes = torch.from_numpy(task.train[rows]).float().permute(1, 0, 2)
            optimiser.zero_grad()
            counts = other.run(spikes).spikes[..., -10:].sum(0)
            functional.cross_entropy(
                0.3 * counts, torch.from_numpy(task.train_labels[rows])
            ).backward()
            torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
            optimiser.step()
            with torch.no_grad():
                for name, mask in (
                    ("incoming", other.input_mask),
                    ("recurrent", other.mask),
                ):
                    weight = getattr(other, name)
                    limit = 2.5 * np.std(weight.numpy()[mask.numpy()], ddof=1, dtype=float)
                    weight.copy_(weight.clamp(-limit, limit))
    for one, wanted in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-4, atol=1e-6)


def test_aware_training_starts_alike_and_ends_elsewhere(tiny):
    plan = load_showcase(tiny)
    ends = []
    for variant in plan.variants:
        task, model, chip, technology = parts_of(plan, Trained(variant, 0))
        start = model.recurrent.detach().clone()
        train(plan, Trained(variant, 0), model, task, chip, technology)
        ends.append((start, model.recurrent.detach()))
    assert torch.equal(ends[0][0], ends[1][0])
    assert not torch.equal(ends[0][1], ends[1][1])


def test_weights_are_clipped_to_their_deviation_unless_a_variant_is_not(tiny):
    plan = load_showcase(tiny, ["train.largest=1.5"])
    tallest = {}
    for clipped in (True, False):
        cell = Trained(Variant(label="x", clipped=clipped), 0)
        task, model, chip, technology = parts_of(plan, cell)
        train(plan, cell, model, task, chip, technology)
        weights = model.recurrent.detach()[model.mask].numpy()
        tallest[clipped] = np.abs(weights).max() / weights.std(ddof=1)
    # Clipping makes the deviation smaller in turn: the bound is that before the last update.
    assert tallest[True] < 2 < 3 < tallest[False]


@pytest.mark.parametrize("kind", ["energy", "mask"])
def test_a_regulariser_lowers_what_it_stands_for(tiny, kind):
    plan = load_showcase(tiny, ["train.learning_rate=0.05", "train.epochs=4"])
    far = []
    for strength in (0.0, 30.0):
        variant = Variant(label="x", regulariser=kind, strength=strength, beta=1.0)
        task, model, chip, technology = parts_of(plan, Trained(variant, 0))
        train(plan, Trained(variant, 0), model, task, chip, technology)
        if kind == "energy":  # what the simulator bills for the trained network
            network, placement = model.to_network(), model.placement(chip)
            program = compile_program(
                network, chip, placement, route(network, chip, placement)
            )
            report = price(
                program, simulate(program, task.test, progress=False), technology
            )
            far.append(report.by_component()["routing"])
        else:
            weights = (model.recurrent * model.mask).detach().square().numpy()
            hops = np.kron(chip.tile_hops, np.ones((32, 32)))
            far.append(float(((np.exp(hops) - 1) * weights).mean()))
    assert far[1] < 0.9 * far[0]


class KilledError(Exception):
    pass


def bytes_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pt"
    }


def test_a_killed_run_goes_on_with_the_same_bytes(tiny, tmp_path, monkeypatch):
    plan = load_showcase(tiny, seeds=1)
    whole = run_showcase(plan, tmp_path / "whole", jobs=1)
    saved, count = training._save, iter(range(100))

    def dies_after_the_third_epoch(*args):
        saved(*args)
        if next(count) == 2:
            raise KilledError

    monkeypatch.setattr(training, "_save", dies_after_the_third_epoch)
    with pytest.raises(KilledError):
        run_showcase(plan, tmp_path / "killed", jobs=1)
    again, epochs = tmp_path / "killed" / whole.name, []
    assert not (again / "aware-seed-0" / "result.json").exists()
    trained = torch.load(again / "aware-seed-0" / "checkpoint.pt", weights_only=True)
    assert len(trained["losses"]) == 1
    monkeypatch.setattr(
        training, "_save", lambda *args: (saved(*args), epochs.append(len(args[3])))
    )
    assert run_showcase(plan, tmp_path / "killed", jobs=1) == again
    assert epochs == [2]  # only the epoch that was missing
    assert bytes_of(again) == bytes_of(whole)


def test_what_is_done_is_not_done_again_and_seeds_can_be_added(tiny, tmp_path, monkeypatch):
    folder = run_showcase(load_showcase(tiny, seeds=1), tmp_path, jobs=1)
    ran = []
    monkeypatch.setattr(
        running, "run_cell", lambda plan, cell, *rest: ran.append(cell.name) or None
    )
    more = load_showcase(tiny, seeds=2)
    assert run_showcase(more, tmp_path, jobs=1) == folder
    assert ran == ["plain-seed-1", "aware-seed-1"]
    with pytest.raises(MosaicError, match=r"plain-seed-1 is not there yet; run the same"):
        read_results(more, folder)


def test_each_seed_of_a_network_that_is_drawn_gets_a_chip_that_it_fits(
    tiny, tmp_path, monkeypatch
):
    laid = []

    def check(plan, cell, folder, *rest):
        model = build(plan, cell, 16, 10)
        chip = chip_of(model, running._lines_of(plan, cell, folder))
        laid.append(routed(model, chip))

    monkeypatch.setattr(running, "run_cell", check)
    plan = load_showcase(
        tiny,
        ["net.profile={1=0.3}", "data.pool=2", "net.rows=3", "net.columns=3",
         "net.neurons_per_tile=10"],
        seeds=6,
    )  # fmt: skip
    folder = run_showcase(plan, tmp_path, jobs=1)
    assert len(laid) == len(plan.cells())
    assert len(read_tables(folder / "lines.toml")) == 6


# --- trimming --------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.sampled_from([2, 4, 16]))
def test_what_is_trimmed_no_device_held_so_the_chip_with_levels_does_the_same(seed, levels):
    model = TiledNetwork(2, 2, 3, inputs=3, outputs=2, profile=None, gain=2.0, seed=seed)
    rng = np.random.default_rng(seed)
    with torch.no_grad():  # some connections are weak
        weak = torch.from_numpy(rng.random((12, 4)) < 0.5)
        model.recurrent *= 1 - 0.97 * weak.t().repeat_interleave(3, 0).float()
    lines = Lines(tile_lines=16, r0_lines=16, r1_lines=16)
    chip = chip_of(model, lines)
    spikes = rng.random((3, 12, 3)) < 0.7

    def run():
        network, placement = model.to_network(), model.placement(chip)
        routing = route(network, chip, placement)
        program = compile_program(
            network, chip, placement, routing, device=Device(levels=levels)
        )
        return simulate(program, spikes, raster=True, progress=False)

    before, reach = run(), model.reach.clone()
    count = trim(model, levels)
    after = run()
    assert (before.counts == after.counts).all()
    assert count == int((reach & ~model.reach).sum())
    assert bool((model.own & reach == model.own & model.reach).all())
    # What stays has a weight of at least half a level of its neuron.
    held = (model.recurrent * model.mask).detach()
    largest = torch.maximum(
        held.abs().amax(1), (model.incoming * model.input_mask).abs().amax(1)
    )
    strong = (held.abs() >= largest[:, None] / (2 * (levels - 1)) * (1 - 1e-6)).reshape(
        4, 3, -1
    )
    assert bool((strong.any(1).t() | model.own)[model.reach].all())


# --- on the chip -----------------------------------------------------------------------------


def test_the_columns_are_those_of_torch_the_reference_and_dies(tiny, tmp_path):
    plan = load_showcase(tiny, seeds=1)
    folder = run_showcase(plan, tmp_path, jobs=1)
    (cell, found), _ = read_results(plan, folder)
    # Oracle: the checkpoint, run in torch and by the plain simulator, from what was written.
    task = load_task(plan.data, 0)
    model = build(plan, cell, 64, 10)
    state = torch.load(folder / cell.name / "checkpoint.pt", weights_only=True)
    model.load_state_dict(state["model"])
    rows = even_rows(task.test_labels, 20, np.random.default_rng([0, 3]))
    said, counts = answers(model, task.test)
    wanted = task.test_labels
    assert found["accuracy"] == (said == wanted).mean()
    recalls = [(said[wanted == k] == k).mean() for k in set(wanted.tolist())]
    assert found["balanced"] == pytest.approx(np.mean(recalls))
    assert found["float"] == found["ideal"] == (said[rows] == wanted[rows]).mean()
    assert found["same_counts"] is True
    assert found["spikes"] == counts[rows].sum() / len(rows)
    lines = Lines(**{k: v for k, v in found["chip"].items() if k.endswith("_lines")})
    chip, network = chip_of(model, lines), model.to_network()
    placement = model.placement(chip)
    routing = route(network, chip, placement)
    program = compile_program(network, chip, placement, routing, device=Device(levels=16))
    few = task.test[rows[:3]]
    held = replace(network, weight=Device(levels=16).program(network)[1])
    plain = reference.simulate(held, placement, chip, few)
    fast = simulate(program, few, raster=True, progress=False)
    assert [tuple(at) for at in np.argwhere(fast.raster).tolist()] == plain.spikes
    run = simulate(program, task.test[rows], progress=False)
    levelled = run.counts[:, program.first_neuron + np.arange(118, 128)].argmax(1)
    assert found["levels"] == (levelled == wanted[rows]).mean()
    report = price(program, run, technology_of(plan))
    assert found["bill"]["energy_per_inference"] == report.energy_per_inference
    assert found["devices"] == sum(chip.devices.values())
    dies = run_dies(
        program, technology_of(plan), task.test[rows], dies=2, labels=wanted[rows],
        outputs=np.arange(118, 128), effects=["programming"], seed=0,
    )  # fmt: skip
    assert found["dies"]["5 % noise"] == dies.score.tolist()
    assert len(found["noise_curve"]) == 2
    assert found["noise_curve"][0] == [found["float"]]


def test_the_lines_that_are_found_suffice_and_fewer_of_all_do_not(tiny):
    plan = load_showcase(tiny)
    _, model, _, _ = parts_of(plan, plan.cells()[0])
    found = fewest_lines(model)
    chip = chip_of(model, found)
    network = model.to_network()
    route(network, chip, model.placement(chip))
    fewer = Lines(
        tile_lines=found.tile_lines - 1, r0_lines=found.r0_lines, r1_lines=found.r1_lines
    )
    poor = chip_of(model, fewer)
    with pytest.raises(CapacityError):
        route(network, poor, model.placement(poor))


def test_a_chip_with_too_few_lines_is_refused(tiny, tmp_path):
    plan = load_showcase(
        tiny, ["lines.tile_lines=4", "lines.r0_lines=4", "lines.r1_lines=32"]
    )
    with pytest.raises(CapacityError):
        run_cell(plan, plan.cells()[0], tmp_path)


def test_dies_are_read_at_the_outputs_that_are_named():
    model = TiledNetwork(2, 2, 3, inputs=3, outputs=2, profile={}, gain=2.0, seed=1)
    chip = chip_of(model, Lines(tile_lines=16, r0_lines=16, r1_lines=16))
    network, placement = model.to_network(), model.placement(chip)
    program = compile_program(network, chip, placement, route(network, chip, placement))
    # Neurons of the input tile send to nobody here: they are no outputs.
    assert outputs_of(program).tolist() != [10, 11]
    spikes = np.random.default_rng(0).random((30, 12, 3)) < 0.6
    counts = simulate(program, spikes, progress=False).counts[:, program.first_neuron :]
    labels = counts[:, [10, 11]].argmax(1)
    rram = technology_of(ShowcasePlan(name="x", data=DataPlan(dataset="digits", steps=1)))
    found = run_dies(
        program, rram, spikes, dies=1, labels=labels, outputs=[10, 11], effects=[]
    )
    assert found.ideal == 1.0
    for outputs, message in (
        ([12], "outputs has 12; the network has neurons 0 to 11"),
        ([-1], "outputs has -1"),
        ([], r"outputs holds float64 of shape \(0,\)"),
        ([[1]], r"of shape \(1, 1\)"),
    ):
        with pytest.raises(MosaicError, match=message):
            run_dies(program, rram, spikes, dies=1, outputs=outputs)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_balanced_accuracy_is_that_of_scikit_learn(pairs):
    import warnings

    from sklearn.metrics import balanced_accuracy_score

    said, right = np.array(pairs).T
    with warnings.catch_warnings():  # it warns of answers that are no label
        warnings.simplefilter("ignore")
        expected = balanced_accuracy_score(right, said)
    assert balanced(said, right) == pytest.approx(expected)


# --- tables, figures, command ----------------------------------------------------------------


def test_the_command_prints_writes_and_draws(tiny, tmp_path):
    given_ = [
        "showcase",
        str(tiny),
        "--seeds",
        "1",
        "--jobs",
        "1",
        "--runs",
        str(tmp_path / "r"),
    ]
    done = CliRunner().invoke(app, given_)
    assert done.exit_code == 0, done.output
    assert "16 levels" in done.output
    assert "routing" in done.output
    (folder,) = (tmp_path / "r").iterdir()
    for name in (
        "table.md",
        "seeds.csv",
        "noise-curve.svg",
        "noise-curve.csv",
        "spikes.svg",
    ):
        assert (folder / name).stat().st_size > 0
    plan = load_showcase(tiny, seeds=1)
    results = read_results(plan, folder)
    text = (folder / "table.md").read_text()
    shown = f"{100 * results[0][1]['balanced']:.1f}"
    assert f"| plain | {shown} |" in text
    before = text
    write_tables(plan, results, folder)
    assert (folder / "table.md").read_text() == before


def invented(label, seed, routing, value, **variant):
    bill = {
        "energy_per_inference": 2 * routing, "by_component": {"routing": routing},
        "hops_per_inference": 1.0, "timing": {"real_time_factor": 2.0}, "devices": {"NT": 5},
    }  # fmt: skip
    chip = {"rows": 1, "columns": 1, "neurons_per_tile": 1, "tile_lines": 1, "r0_lines": 1,
            "r1_lines": 1}  # fmt: skip
    result = dict.fromkeys(("balanced", "accuracy", "float", "ideal", "levels"), value) | {
        "chip_samples": 3, "samples": 3, "dies": {"5 % noise": [value, value - 0.1]},
        "spikes": 1.0, "neurons": 1, "synapses": 1, "connections": 1, "chip": chip, "devices": 5,
        "bill": bill, "noise_curve": [[value], [value - 0.2, value - 0.4]],
    }  # fmt: skip
    return Trained(Variant(label=label, **variant), seed), result


def test_tables_hold_means_intervals_and_the_worst_die(tiny):
    plan = load_showcase(tiny)
    results = [invented("plain", s, 1e-9, v) for s, v in ((0, 0.8), (1, 0.9))]
    accuracy, price_, curve = grids(plan, results)
    # Two seeds: t = 12.706 for 95 %, deviation 0.0707, root of 2.
    assert accuracy.rows[0][:2] == ("plain", "85.0 ± 63.5")
    assert accuracy.rows[0][-1] == "80.0 ± 63.5; worst 70.0"
    assert price_.rows[0][3] == "5"
    assert price_.rows[0][7] == "1.00 nJ"
    assert curve.rows[0][1:] == ("85.0 ± 63.5", "55.0 ± 63.5")


def test_accuracy_against_routing_is_drawn_a_line_for_each_regulariser(tiny, tmp_path):
    plan = load_showcase(tiny, seeds=1)
    kinds = {"regulariser": "energy"}
    results = [
        invented("plain", 0, 4e-9, 0.9), invented("e-1", 0, 2e-9, 0.8, strength=1.0, **kinds),
        invented("e-9", 0, 1e-9, 0.7, strength=9.0, **kinds),
    ]  # fmt: skip
    example = {"inputs": np.eye(3, dtype=bool), "neurons": np.eye(3, dtype=bool)}
    place_ = tmp_path / "plain-seed-0"
    place_.mkdir()
    np.savez(place_ / "example.npz", outputs=1, per_tile=1, label=1, **example)
    drawn = draw_showcase(plan, results, tmp_path)
    assert [path.name for path in drawn] == [
        "noise-curve.svg", "spikes.svg", "accuracy-against-routing.svg",
    ]  # fmt: skip
    lines = (tmp_path / "accuracy-against-routing.csv").read_text().splitlines()
    assert lines[1:] == [
        "plain,none,0.0,0,4e-09,0.9", "e-1,energy,1.0,0,2e-09,0.8", "e-9,energy,9.0,0,1e-09,0.7",
    ]  # fmt: skip
    assert len((tmp_path / "spikes.csv").read_text().splitlines()) == 1 + 6


def test_a_raster_has_a_tick_for_each_spike_outputs_on_top():
    from matplotlib.figure import Figure

    inputs, neurons = np.zeros((4, 2), bool), np.zeros((4, 3), bool)
    inputs[1, 0] = neurons[2, 1] = neurons[3, 2] = True
    ax = raster_axes(inputs, neurons, 1, 3, ax=Figure().subplots())
    found = [c.get_offsets().tolist() for c in ax.collections]
    assert found == [[[1, 0]], [[2, 3]], [[3, 4]]]


def test_results_are_plain_json_without_times(tiny, tmp_path):
    plan = load_showcase(tiny, seeds=1)
    folder = run_showcase(plan, tmp_path, jobs=1)
    found = json.loads((folder / "plain-seed-0" / "result.json").read_text())
    assert not [key for key in found if "seconds" in key or "wall" in key]
    assert len(found["losses"]) == 2


def test_aware_training_sees_what_programming_does_to_the_devices_of_a_die():
    plan = ShowcasePlan(name="x", data=DataPlan(dataset="digits", steps=1))
    technology = technology_of(plan)
    seen = training.disturbance_of(Variant(label="a", noise=0.05), 16, technology)
    on_dies = Disturbance.of_technology(technology, effects=["programming"])
    assert replace(seen, weight_noise=on_dies.weight_noise) == on_dies
    assert seen.weight_noise == pytest.approx(on_dies.weight_noise)
    layer = training.disturbance_of(
        Variant(label="a", noise=0.2, noise_of="layer"), 8, technology
    )
    assert layer == Disturbance(weight_noise=0.2, levels=8)


def test_folds_are_pooled_by_their_samples():
    # 9 of 10 and 0 of 2 normal ones, 1 of 4 and 4 of 4 others.
    found = [{"right": [9, 1], "of": [10, 4]}, {"right": [0, 4], "of": [2, 4]}]
    assert pooled(found) == pytest.approx((9 / 12 + 5 / 8) / 2)

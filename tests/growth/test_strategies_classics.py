"""What all classic strategies have in common, and on the chip."""

import copy
import io
from dataclasses import replace

import pytest
import torch
from classics import (
    NAMES,
    REMEMBERING,
    both_cells,
    every,
    few,
    made,
    same,
    setting,
    taught,
    weights,
)
from learnt import learnt
from tiny import run

from growth.host import Unlimited
from growth.learner import check_experiment
from growth.measure import in_torch, shown
from growth.strategies import STRATEGIES
from growth.streams import permuted
from mosaic_sim.errors import ConfigError, MosaicError

# --- every one of them -------------------------------------------------------------------


@every
@both_cells
def test_one_that_was_stored_goes_on_bit_for_bit(name, cell, pair):
    first, second = pair.tasks
    one = made(name, pair, f"cell={cell}")
    one.learn(first)
    file = io.BytesIO()
    torch.save(one.state(), file)
    file.seek(0)
    again = made(name, pair, f"cell={cell}", seed=5)
    again.load_state(torch.load(file, weights_only=True))
    for strategy in (one, again):
        strategy.learn(second)
    assert same(again.state(), one.state())
    assert again.meter.to_dict() == one.meter.to_dict()


LASTING = [name for name in NAMES if STRATEGIES[name].lasts]


@pytest.mark.parametrize("name", ["naive", *LASTING])
def test_an_optimiser_that_lasts_is_one_for_all_tasks(name, pair):
    """Oracle: a subclass that hands out the same optimiser whenever one is asked for."""
    made_once = []

    class Kept(STRATEGIES[name]):
        def optimiser(self):
            if not made_once:
                made_once.append(super().optimiser())
            return made_once[0]

    oracle = Kept(setting(name), pair, Unlimited(), 0)
    for task in pair.tasks:
        oracle.learn(task)
    lasting = taught(name, pair, "train.renew=false")
    assert same(weights(lasting), weights(oracle))
    assert not same(weights(lasting), weights(taught(name, pair)))
    assert same(lasting.lasting.state_dict(), made_once[0].state_dict())


def test_an_optimiser_that_lasts_goes_on_bit_for_bit(pair):
    one = made("naive", pair, "train.renew=false")
    one.learn(pair.tasks[0])
    again = made("naive", pair, "train.renew=false", seed=5)
    again.load_state(copy.deepcopy(one.state()))
    for strategy in (one, again):
        strategy.learn(pair.tasks[1])
    assert same(again.state(), one.state())


@pytest.mark.parametrize("name", ["independent", "munet", "supsup", "grow"])
def test_an_optimiser_does_not_last_where_weights_change_hands(name):
    with pytest.raises(ConfigError, match=r"train.renew is false.*set train.renew = true"):
        check_experiment(setting(name, "train.renew=false", "stream.identity=true"))


@every
def test_a_seed_decides_everything(name, pair):
    one, same_seed, other = (taught(name, pair, seed=seed).state() for seed in (3, 3, 4))
    assert same(one, same_seed)
    assert not same(one["net"], other["net"])


@every
@both_cells
def test_none_is_naive_by_mistake(name, cell, pair):
    ours, naive = (taught(kind, pair, f"cell={cell}") for kind in (name, "naive"))
    assert not same(weights(ours), weights(naive))


@pytest.mark.parametrize("name", ["ewc", "ewc-online", "si", "lwf"])
@both_cells
def test_without_strength_a_penalty_is_naive(name, cell, pair):
    settings = (f"cell={cell}", "train.optimiser=sgd")
    ours = taught(name, pair, *settings, "options.strength=0")
    assert same(weights(ours), weights(taught("naive", pair, *settings)))


@every
@both_cells
def test_tasks_with_the_same_labels_are_learnt_too(name, cell, data):
    stream = few(permuted(data, 2, 0), 128)
    stream = replace(stream, identity=name == "independent")
    # A teacher that weighs more holds on to what the old inputs meant.
    weight = ("options.strength=1",) if name == "lwf" else ()
    strategy = made(
        name,
        stream,
        f"cell={cell}",
        "train.epochs=4",
        "train.batch=8",
        "hidden=[32]",
        *weight,
    )
    for task in stream.tasks:
        strategy.learn(task)
    test = stream.tasks[1].test
    scores = strategy.scores(in_torch(shown(strategy.experiment, test)), 1)
    assert (scores.argmax(1) == test.labels).mean() > 0.3  # chance is 0.1


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("replay", "memory=0"), ("replay", 'balance="label"'), ("replay", "batch=0"),
        ("gem", "margin=-0.1"), ("gem", "ridge=-1"), ("agem", "sample=0"),
        ("ewc", "strength=-1"), ("ewc", "samples=0"), ("ewc", 'fisher="batched"'),
        ("ewc", "decay=0.5"), ("ewc-online", "decay=1.5"), ("si", "damping=0"),
        ("lwf", "temperature=0"), ("icarl", "memory=0"), ("derpp", "alpha=-1"),
        ("derpp", "beta=-1"), ("independent", 'start="best"'), ("independent", "memory=3"),
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused_by_name(name, option, pair):
    with pytest.raises(ConfigError, match=option.split("=")[0]):
        made(name, pair, f"options.{option}")


@pytest.mark.parametrize("name", REMEMBERING)
def test_more_exemplars_than_samples_are_refused(name, pair):
    with pytest.raises(MosaicError, match=r"memory is 130"):
        made(name, pair, "options.memory=130")


@every
def test_the_ledger_counts_every_bit(name, pair):
    strategy = taught(name, pair)
    inputs, synapses = 64, 64 * 14 + 14 * 12 + 12 * 10
    exemplars = 20 * (inputs * 8 + 4)
    wanted = {
        "replay": exemplars, "gem": exemplars, "agem": exemplars,
        "derpp": exemplars + 20 * 10 * 16,
        "icarl": exemplars + 10 * 12 * 16 + synapses * 4,
        "ewc": synapses * 32, "ewc-online": synapses * 32, "si": synapses * 48,
        "lwf": synapses * 4, "independent": 2 * synapses * 4,
    }[name]  # fmt: skip
    assert sum(stored.bits for stored in strategy.ledger()) == wanted
    assert {stored.place for stored in strategy.ledger()} == {"host"}


@pytest.mark.parametrize(
    ("name", "options", "shown", "looked"),
    [
        # 64 samples a task, 4 batches of 16 in each; 20 exemplars, of which 10 are of task 0
        ("naive", [], 64, 0), ("replay", [], 128, 0), ("si", [], 64, 0),
        ("lwf", [], 64, 64), ("gem", [], 64 + 4 * 10, 0),
        ("agem", ["options.sample=7"], 64 + 4 * 7, 0),
        ("ewc", ["options.samples=30"], 64 + 30 * 10, 0),
        ("ewc", ["options.samples=30", "options.fisher=sampled"], 64 + 30, 0),
        ("derpp", [], 3 * 64, 0), ("icarl", [], 64 + 20, (64 + 20) + 64 + 20),
        ("independent", [], 64, 0),
    ],
)  # fmt: skip
def test_every_pass_is_counted(name, options, shown, looked, pair):
    meter = taught(name, pair, *options).meter
    assert (meter.shown, meter.looked) == (shown, looked)


@pytest.mark.parametrize("options", [[], ["options.resident=true"]])
def test_a_network_for_each_task_forgets_nothing(options):
    found = learnt(
        setting("independent", "train.epochs=8", "stream.test_samples=40", *options), 0
    )
    assert found.forgetting == 0
    assert found.accuracy > 80


# --- on the chip -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("replay", []), ("icarl", []), ("independent", []),
        ("independent", ["options.resident=true"]),
    ],
)  # fmt: skip
def test_a_run_ends_on_the_chip_with_the_spikes_of_torch(name, options, tmp_path):
    experiment = setting(name, "stream.test_samples=20", *options)
    folder = run(experiment, tmp_path)
    *_, last = folder.seed(0).lines("metrics")
    assert last["task"] == 1
    assert last["spikes_differing"] == last["predictions_differing"] == 0
    costs = folder.seed(0).lines("cost")
    resident = bool(options)
    swapped = name == "independent" and not resident
    # Test samples of the two tasks: there and back at the second evaluation.
    assert [bool(cost["switches"]) for cost in costs] == [False, swapped]
    layers = 14 + 12 + 10
    assert last["neurons"] == (2 * layers if resident else layers)

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import quiet, raster_of, tiny

from growth.config import Experiment
from growth.host import Offer, Unlimited
from growth.model import SpikingNet
from growth.samples import Samples
from growth.strategies import STRATEGIES, Grow, Joint, Naive
from growth.strategies.base import encode
from growth.streams import split

every_strategy = pytest.mark.parametrize("name", STRATEGIES)


class Tiles:
    """A host with some rooms and lines; notes every claim, and what is read on each tile."""

    def __init__(self, *rooms, bring=0.0, lines=10**6, device=0.0):
        self.rooms, self.bring, self.home, self.claims = list(rooms), bring, {}, []
        self.lines, self.device, self.reads = lines, device, {}

    def offers(self, rates, expert, fires):
        size = len(rates)
        taken = {tile for tiles in self.home.values() for tile in tiles}
        open_ = (
            self.home[expert] if expert is not None else set(range(len(self.rooms))) - taken
        )
        found = []
        for tile in sorted(open_):
            there = self.reads.get(tile, np.zeros(size, bool))
            found += [
                Offer(
                    tile, self.rooms[tile], self.lines - int(there.sum()), there,
                    np.outer(~there, [self.bring, 0, 0]),
                    np.tile([0.0, self.device, self.device], (size, 1)),
                    np.zeros(3), np.zeros(3), np.zeros(3), 10**6, 0.0,
                )
            ]  # fmt: skip
        return [offer for offer in found if offer.slots]

    def claim(self, expert, tile, kind, neurons, reads):
        assert 0 < neurons <= self.rooms[tile]
        self.rooms[tile] -= neurons
        self.home.setdefault(expert, set()).add(tile)
        self.reads[tile] = self.reads.get(tile, False) | reads
        assert self.reads[tile].sum() <= self.lines
        self.claims.append((expert, tile, kind, neurons))


def made(name, stream, host=None, *settings):
    return STRATEGIES[name](tiny(name, *settings), stream, host or Unlimited(), 0)


def actions(learner, task=None):
    return [d.action for d in learner.decisions if task in (None, d.task)]


def weights(learner):
    return [
        part.detach().clone()
        for e in learner.experts
        for part in (e.into_hidden, e.into_out, e.gate_weight, e.gate_bias)
    ]


def accuracy(learner, task):
    x = encode(task.test_inputs, 8)
    counts = learner.raster(x).sum(1, dtype=np.int64)
    return (learner.predict(counts) == task.test_labels).mean()


# --- every strategy ----------------------------------------------------------------------


def test_strategies_are_those_that_a_configuration_may_name():
    assert set(STRATEGIES) == set(Experiment.model_fields["strategy"].annotation.__args__)
    assert {name for name, kind in STRATEGIES.items() if kind.one_task} == {"joint"}


@every_strategy
def test_a_learner_that_was_stored_goes_on_as_if_it_had_not_been(name, stream):
    first, second, *_ = stream.tasks
    learner = made(name, stream)
    learner.learn(first, quiet)
    file = io.BytesIO()
    torch.save(learner.state(), file)
    file.seek(0)
    again = STRATEGIES[name](tiny(name), stream, Unlimited(), 5)
    again.load_state(torch.load(file, weights_only=True))
    for one in (learner, again):
        one.learn(second, quiet)
    assert again.decisions == learner.decisions
    assert [e.births for e in again.experts] == [e.births for e in learner.experts]
    assert [e.into_out.requires_grad for e in again.experts] == [
        e.into_out.requires_grad for e in learner.experts
    ]
    for a, b in zip(weights(again), weights(learner), strict=True):
        assert torch.equal(a, b)


@every_strategy
def test_the_raster_has_every_spike_of_the_model_at_its_neurons_number(name, stream):
    learner = made(name, stream)
    for task in stream.tasks[:2]:
        learner.learn(task, quiet)
    spikes = encode(stream.tasks[0].test_inputs[:50], 8)
    found = learner.raster(spikes)
    expected = raster_of(learner.model, spikes.numpy().transpose(1, 0, 2))
    assert found.shape == expected.shape == (50, 8, learner.model.neurons)
    assert expected.sum() > 500
    assert (found != expected).mean() < 1e-3  # sums of floats in another order


@every_strategy
def test_progress_rises_to_the_whole_task(name, stream):
    shares = []
    made(name, stream).learn(stream.tasks[0], shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1


@every_strategy
def test_a_task_is_learnt(name, stream):
    learner = made(name, stream, None, "train.epochs=6")
    learner.learn(stream.tasks[0], quiet)
    assert accuracy(learner, stream.tasks[0]) > 0.9


# --- the inner loop ----------------------------------------------------------------------


def test_the_hooks_are_called_around_every_step(stream):
    calls = []

    class Noting(Naive):
        def begin(self, task):
            super().begin(task)
            calls.append("begin")

        def end(self, task):
            calls.append("end")

        def batch(self, spikes, targets):
            calls.append(len(targets))
            return spikes, targets

        def penalty(self):
            return 2.5 * self.expert.into_out.sum()

        def grads(self):
            calls.append("grads")
            self.seen = self.expert.into_out.grad.clone()
            self.before = self.expert.into_out.detach().clone()

        def stepped(self):
            calls.append("stepped")
            assert not torch.equal(self.expert.into_out, self.before)

    task = stream.tasks[0]
    experiment = tiny("naive", "train.batch=100", "train.epochs=2")
    learner = Noting(experiment, stream, Unlimited(), 0)
    learner.learn(task, quiet)
    sizes = [100, 100, len(task.train_labels) - 200]
    epoch = [x for size in sizes for x in (size, "grads", "stepped")]
    assert calls == ["begin", *epoch, *epoch, "end"]
    # The output neuron of a label that never comes learns from the penalty alone, or to be still.
    learner.loss = lambda expert, spikes, targets: learner.penalty()
    learner.fit(learner.expert, task, 1, quiet)
    assert learner.seen == pytest.approx(2.5)


def test_only_what_asks_for_gradients_is_trained(stream):
    learner = made("naive", stream)
    learner.begin(stream.tasks[0])
    learner.expert.into_hidden.requires_grad_(False)
    before = weights(learner)
    learner.fit(learner.expert, stream.tasks[0], 1, quiet)
    after = weights(learner)
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_targets_are_places_among_the_classes_of_the_expert(stream):
    learner = made("naive", stream)
    expert = SpikingNet(64, leak=0.9).add_expert([7, 3, 5])
    assert learner.targets(expert, np.array([3, 5, 7, 3])).tolist() == [1, 2, 0, 1]


def test_new_dense_weights_have_kaimings_spread(stream):
    learner = made("naive", stream, None, "hidden=400")
    expert = learner.dense_expert(range(10))
    assert float(expert.into_hidden.detach().std()) == pytest.approx(
        (2 / 64) ** 0.5, rel=0.03
    )
    assert float(expert.into_out.detach().std()) == pytest.approx(
        (2 / 400) ** 0.5, rel=0.05
    )


def test_naive_and_joint_use_one_network_for_all_labels(stream):
    for kind in (Naive, Joint):
        learner = kind(tiny("naive"), stream, Unlimited(), 0)
        for task in stream.tasks[:2]:
            learner.learn(task, quiet)
        assert [e.classes for e in learner.experts] == [list(range(10))]
        assert learner.model.neurons == 12 + 10


# --- grow: when --------------------------------------------------------------------------


def test_each_new_task_opens_an_expert_of_its_classes(returned):
    opened = [(d.task, d.expert) for d in returned.decisions if d.action == "new expert"]
    assert opened == [(0, 0), (1, 1)]
    assert [e.classes for e in returned.experts] == [[0, 1], [2, 3]]
    assert all(len(e.births["gate"]) == 10 for e in returned.experts)
    assert all(e.births["hidden"] for e in returned.experts)


def test_a_task_that_returns_is_recognised_and_still_known(returned, stream):
    assert actions(returned, task=2) == ["none"]
    (look,) = (d for d in returned.decisions if d.task == 2)
    assert look.expert == 0
    assert abs(look.evidence["novelty"]) < 1
    assert look.evidence["nobody"] < 0.5
    assert look.evidence["decided_by"] == "inputs"
    assert accuracy(returned, stream.tasks[0]) > 0.95
    assert accuracy(returned, stream.tasks[1]) > 0.9


def test_decisions_carry_their_evidence(returned):
    first, other = (d.evidence for d in returned.decisions if d.action == "new expert")
    assert (first["novelty"], first["nobody"], first["decided_by"]) == (None, 1, "inputs")
    assert other["nobody"] > 0.5
    for decision in returned.decisions:
        found = decision.evidence
        assert {"need_z", "loss", "singular_values"} <= found.keys()
        if decision.action in ("new expert", "widen"):
            assert found["need_z"] > 3
            assert found["benefit"] > found["price"] >= 0


def test_earlier_experts_do_not_change_when_later_ones_learn(stream):
    learner = made("grow", stream)
    learner.learn(stream.tasks[0], quiet)
    assert not any(w.requires_grad for e in learner.experts for w in e.parameters())
    before = weights(learner)
    learner.learn(stream.tasks[1], quiet)
    assert len(learner.experts) == 2
    for a, b in zip(before, weights(learner), strict=False):
        assert torch.equal(a, b)


def test_label_noise_triggers_nothing(returned, stream):
    """Neither on classes that an expert knows, nor on classes that nobody knows."""
    learner = Grow(tiny("grow"), stream, Unlimited(), 1)
    learner.load_state(returned.state())
    before, neurons = weights(learner), learner.model.neurons
    rng = np.random.default_rng(0)
    for number in (0, 1, 2, 3):
        task = stream.tasks[number]
        noise = replace(
            task, number=9,
            train=task.train.relabelled(rng.choice(task.classes, len(task.train))),
        )  # fmt: skip
        learner.learn(noise, quiet)
    assert set(actions(learner, task=9)) <= {"none", "reuse"}
    looks = [d.evidence for d in learner.decisions if d.task == 9]
    assert len(looks) == 4
    assert all(found["need_z"] < 3 for found in looks)
    assert all(found["loss"] > 0.6 for found in looks)
    assert learner.model.neurons == neurons
    for a, b in zip(before, weights(learner), strict=True):
        assert torch.equal(a, b)


def test_new_labels_for_known_inputs_are_new_by_their_labels(returned, stream):
    learner = Grow(tiny("grow"), stream, Unlimited(), 1)
    learner.load_state(returned.state())
    task = stream.tasks[0]
    learner.learn(
        replace(
            task,
            number=3,
            classes=(8, 9),
            train=task.train.relabelled(task.train_labels + 8),
        ),
        quiet,
    )
    (opened,) = (d for d in learner.decisions if (d.task, d.action) == (3, "new expert"))
    assert opened.evidence["decided_by"] == "labels"
    assert opened.evidence["nobody"] < 0.5
    assert learner.experts[opened.expert].classes == [8, 9]


def test_need_without_novelty_widens_the_expert_and_moves_only_what_is_new(stream):
    # One round of one epoch leaves much to learn.
    learner = made("grow", stream, None, "grow.rounds=1", "train.epochs=1")
    task = stream.tasks[0]
    learner.learn(task, quiet)
    (expert,) = learner.experts
    old = expert.into_hidden.shape[0]
    first, second = expert.into_hidden.detach().clone(), expert.into_out.detach().clone()
    learner.learn(replace(task, number=1), quiet)
    assert actions(learner, task=1) == ["widen", "widen"]  # the look, and the neurons
    assert len(learner.experts) == 1
    assert expert.into_hidden.shape[0] > old
    assert torch.equal(expert.into_hidden[:old], first)
    assert torch.equal(expert.into_out[:, :old], second)
    assert expert.into_hidden[old:].detach().abs().max() > 0
    assert not expert.into_hidden.requires_grad
    assert len(expert.births["gate"]) == 10


@pytest.mark.parametrize(("room", "gates"), [(2, 2), (1, 1), (0, 0)])
def test_novelty_without_need_only_adds_gate_neurons_while_there_is_room(
    stream, room, gates
):
    host = Tiles(100, bring=0.0)
    learner = made("grow", stream, host)
    learner.learn(stream.tasks[0], quiet)
    (expert,) = learner.experts
    before, hidden = expert.gate_weight.clone(), len(expert.births["hidden"])
    host.rooms = [room]
    shifted = np.roll(stream.tasks[0].train_inputs, 2, axis=1)  # the same labels look new
    train = Samples.of(shifted, stream.tasks[0].train_labels)
    task = replace(stream.tasks[0], number=1, train=train)
    learner.experiment = tiny("grow", "grow.need_above=1e9")
    learner.learn(task, quiet)
    assert actions(learner, task=1) == ["reuse"] + ["no free slot"] * (room == 0)
    assert len(expert.births["gate"]) == 10 + gates == len(expert.gate_weight)
    assert torch.equal(expert.gate_weight[:10], before)
    assert len(expert.births["hidden"]) == hidden
    if gates:
        assert host.claims[-1] == (0, 0, "gate", gates)
        look = learner.decisions[-1].evidence
        assert learner.gate.novelty(shifted).mean() < look["novelty"] - 1


def test_gate_neurons_are_added_on_the_cheapest_tile_with_room(stream):
    learner = made("grow", stream)
    learner.learn(stream.tasks[0], quiet)
    claims = []

    class Several(Unlimited):
        def offers(self, rates, expert, fires):
            (free,) = super().offers(rates, expert, fires)
            none = np.zeros(len(rates), bool)
            return [
                replace(free, tile=tile, slots=slots, there=none, bring=free.bring + price)
                for tile, slots, price in ((4, 9, 3.0), (2, 1, 1.0), (3, 9, 0.4))
            ]

        def claim(self, expert, tile, kind, neurons, reads):
            claims.append((expert, tile, kind, neurons))

    learner.host = Several()
    learner.recognise(learner.experts[0], stream.tasks[0])
    assert claims == [(0, 3, "gate", 2)]
    assert len(learner.experts[0].births["gate"]) == 12


# --- grow: where and how many ------------------------------------------------------------


def test_claims_cover_every_neuron_and_keep_to_the_room(stream):
    host = Tiles(15, 40)
    learner = made("grow", stream, host)
    for task in stream.tasks[:2]:
        learner.learn(task, quiet)
    for number, expert in enumerate(learner.experts):
        for kind, born in expert.births.items():
            claimed = sum(
                n for who, _, what, n in host.claims if (who, what) == (number, kind)
            )
            assert claimed == len(born)
    opened = [d.tile for d in learner.decisions if d.action == "new expert"]
    assert opened == [tile for _, tile, kind, n in host.claims if (kind, n) == ("out", 2)]
    assert opened == [tile for _, tile, kind, n in host.claims if (kind, n) == ("gate", 10)]
    grown = [
        (d.expert, d.tile, "hidden", d.neurons) for d in learner.decisions if d.neurons
    ]
    assert grown == [claim for claim in host.claims if claim[2] == "hidden"]


def test_a_full_tile_stops_the_growth_of_its_expert(stream):
    host = Tiles(13)  # room for one hidden neuron
    learner = made("grow", stream, host)
    learner.learn(stream.tasks[0], quiet)
    assert actions(learner)[-1] == "no free slot"
    assert len(learner.experts[0].births["hidden"]) == 1
    assert learner.ended is None


def test_a_chip_without_a_free_tile_ends_the_run_and_keeps_what_was_learnt(stream):
    learner = made("grow", stream, Tiles(40))
    for task in stream.tasks[:2]:
        learner.learn(task, quiet)
    assert actions(learner)[-1] == "no free tile"
    assert learner.ended == "no free tile for task 1"
    assert len(learner.experts) == 1
    assert accuracy(learner, stream.tasks[0]) > 0.8


def test_what_does_not_pay_is_not_grown(stream):
    learner = made("grow", stream, Tiles(40, 40, bring=1.0))
    learner.learn(stream.tasks[0], quiet)
    assert actions(learner) == ["too dear"]
    assert not learner.experts
    assert learner.ended is None
    evidence = learner.decisions[0].evidence
    assert evidence["benefit"] < evidence["price"] == pytest.approx(65e9 * 3e-4)


def test_prediction_reads_outputs_and_gates_by_their_births(data):
    stream = split(data, [[4, 9], [2, 7]])
    learner = made("grow", stream)
    net = learner.model
    first, second = net.add_expert([4, 9]), net.add_expert([2, 7])
    net.widen(first, torch.zeros(3, 64), torch.zeros(2, 3))
    for expert in (second, first):
        net.add_gates(expert, torch.zeros(1, 64), torch.zeros(1))
    counts = np.zeros((3, net.neurons), np.int64)
    (g1,), (g2,) = first.births["gate"], second.births["gate"]
    counts[0, [first.births["out"][1], g1]] = 9
    counts[1, [first.births["out"][1], second.births["out"][0], g2]] = 9
    counts[2, [second.births["out"][1], g2]] = 9
    assert learner.predict(counts).tolist() == [9, 2, 7]


def test_on_few_lines_neurons_and_gates_read_some_inputs_only(stream):
    host = Tiles(40, 40, lines=20)
    learner = made("grow", stream, host, "gate.lines=0.5")
    for task in stream.tasks[:2]:
        learner.learn(task, quiet)
    looked = learner.gate.reads
    assert looked.sum() == 10
    for expert in learner.experts:
        assert (expert.gate_weight[:, ~looked] == 0).all()
        assert expert.mask.any(1).all()
        assert (expert.into_hidden.detach()[~expert.mask] == 0).all()
        assert (expert.mask.any(0).numpy() | looked).sum() + 1 <= 20
    assert accuracy(learner, stream.tasks[0]) > 0.7
    saved = io.BytesIO()
    torch.save(learner.state(), saved)
    saved.seek(0)
    again = made("grow", stream, host)
    again.load_state(torch.load(saved, weights_only=True))
    for one, two in zip(again.experts, learner.experts, strict=True):
        assert torch.equal(one.mask, two.mask)
    assert np.array_equal(again.gate.reads, looked)
    assert (again.spent, again.prices) == (learner.spent, learner.prices)


@pytest.mark.parametrize("devices", [0, 900, 1200])
def test_a_budget_is_never_exceeded_and_says_why_it_stopped(stream, devices):
    host = Tiles(40, 40, device=1.0)
    learner = made("grow", stream, host, f"grow.device_budget={devices}")
    assert learner.budget.devices == devices
    for task in stream.tasks[:2]:
        if not learner.ended:
            learner.learn(task, quiet)
        assert learner.spent.devices <= devices
    assert learner.ended == f"device budget for task {int(devices > 0)}"
    assert actions(learner)[-1] == "device budget"
    assert bool(learner.experts) == bool(devices)
    # What was spent is what is there: a device a synapse, on this host.
    synapses = sum(65 * len(e.births["gate"]) + int(e.mask.sum()) for e in learner.experts)
    assert learner.spent.devices == synapses


def test_spending_beyond_its_share_makes_the_next_task_dearer(stream):
    host = Tiles(40, 40, device=1.0)
    learner = made(
        "grow", stream, host, "grow.device_budget=3000", "grow.horizon=10",
        "grow.dual_rate=0.01",
    )  # fmt: skip
    learner.learn(stream.tasks[0], quiet)
    spent, share = learner.spent.devices, 300
    assert spent > share
    expected = 0.01 * (spent / share - 1) / share
    assert learner.prices.devices == pytest.approx(expected)
    assert learner.prices.writes == 0
    assert learner.prices.joules == pytest.approx(3e5)


@pytest.mark.parametrize("where", ["cost-blind", "benefit-blind", "nearest", "random"])
def test_a_learner_learns_with_every_policy(stream, where):
    learner = made("grow", stream, Tiles(40, 40, 40), f"grow.where={where}")
    learner.learn(stream.tasks[0], quiet)
    assert accuracy(learner, stream.tasks[0]) > 0.8

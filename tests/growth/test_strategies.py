import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import lif, quiet, tiny

from growth.bridge import counts_of
from growth.encode import regular_rate
from growth.host import Offer, Unlimited
from growth.learner import segment
from growth.measure import in_torch
from growth.model import SpikingNet
from growth.samples import Samples
from growth.strategies import STRATEGIES, Grow, Joint, Naive, refuse_stream
from growth.strategies.experts import places
from growth.streams import split
from mosaic_sim import MosaicError

every_strategy = pytest.mark.parametrize("name", ["naive", "grow", "joint"])


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


def configured(name, *settings):
    own = name if name in ("naive", "grow", "joint") else "naive"
    return tiny(own, f"strategy={name}", *settings)


def made(name, stream, host=None, *settings):
    return STRATEGIES[name](configured(name, *settings), stream, host or Unlimited(), 0)


def actions(learner, task=None):
    return [d.action for d in learner.decisions if task in (None, d.task)]


def weights(learner):
    """Everything that a learner would put on a chip."""
    return [torch.from_numpy(c.weight) for c in learner.blueprint().connections]


def accuracy(learner, task):
    scores = learner.scores(in_torch(regular_rate(task.test_inputs, 8)), task.identity)
    return (scores.argmax(1) == task.test_labels).mean()


# --- every strategy ----------------------------------------------------------------------


@every_strategy
def test_a_learner_that_was_stored_goes_on_as_if_it_had_not_been(name, stream):
    first, second, *_ = stream.tasks
    learner = made(name, stream)
    learner.learn(first, quiet)
    file = io.BytesIO()
    torch.save(learner.state(), file)
    file.seek(0)
    again = STRATEGIES[name](configured(name), stream, Unlimited(), 5)
    again.load_state(torch.load(file, weights_only=True))
    for one in (learner, again):
        one.learn(second, quiet)
    assert again.decisions == learner.decisions
    assert again.blueprint().wired_like(learner.blueprint())
    for a, b in zip(weights(again), weights(learner), strict=True):
        assert torch.equal(a, b)


@every_strategy
def test_what_is_put_on_the_chip_fires_as_the_plain_twin_does(name, stream):
    learner = made(name, stream)
    for task in stream.tasks[:2]:
        learner.learn(task, quiet)
    spikes = regular_rate(stream.tasks[0].test_inputs[:50], 8)
    blueprint = learner.blueprint()
    drive = spikes.transpose(1, 0, 2).astype(np.float32)
    fired = {"inputs": drive, "bias": np.ones((8, 50, 1), np.float32)}
    for population in blueprint.populations:
        into = [c for c in blueprint.connections if c.target == population.name]
        current = sum(fired[c.source] @ c.weight.T for c in into)
        fired[population.name] = lif(current, population.leak)
    found = blueprint.run(torch.from_numpy(drive))
    assert sum(fired[n].sum() for n in found) > 500
    for n, values in found.items():  # sums of floats in another order
        assert (values.numpy() != fired[n]).mean() < 1e-3


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
            calls.append("begin")

        def end(self, task):
            calls.append("end")

        def batch(self, inputs, labels):
            calls.append(len(labels))
            return inputs, labels

        def penalty(self):
            return 2.5 * self.net.weights["w1"].sum()

        def grads(self, given, labels):
            calls.append("grads")
            assert given.shape[1] == len(labels)
            self.seen = self.net.weights["w1"].grad.clone()
            self.before = self.net.weights["w1"].detach().clone()

        def stepped(self):
            calls.append("stepped")
            assert not torch.equal(self.net.weights["w1"], self.before)

    task = stream.tasks[0]
    experiment = tiny("naive", "train.batch=100", "train.epochs=2")
    learner = Noting(experiment, stream, Unlimited(), 0)
    learner.learn(task, quiet)
    sizes = [100, 100, len(task.train_labels) - 200]
    epoch = [x for size in sizes for x in (size, "grads", "stepped")]
    assert calls == ["begin", *epoch, *epoch, "end"]
    assert learner.meter.updates == 6
    assert learner.meter.shown == 2 * len(task.train_labels)
    learner.loss = lambda given, labels: learner.penalty()
    learner.fit(task.train, 1, quiet)
    assert learner.seen == pytest.approx(2.5)


def test_only_what_asks_for_gradients_is_trained(stream):
    learner = made("naive", stream)
    learner.net.weights["w0"].requires_grad_(False)
    before = weights(learner)
    learner.fit(stream.tasks[0].train, 1, quiet)
    first, second = weights(learner)
    assert torch.equal(before[0], first)
    assert not torch.equal(before[1], second)


def test_targets_are_places_among_the_classes_of_the_expert():
    expert = SpikingNet(64, leak=0.9).add_expert([7, 3, 5])
    assert places(expert, torch.tensor([3, 5, 7, 3])).tolist() == [1, 2, 0, 1]


def test_new_weights_have_kaimings_spread(stream):
    net = made("naive", stream, None, "hidden=[400]").net
    assert float(net.weights["w0"].detach().std()) == pytest.approx(
        (2 / 64) ** 0.5, rel=0.03
    )
    assert float(net.weights["w1"].detach().std()) == pytest.approx(
        (2 / 400) ** 0.5, rel=0.05
    )


def test_rectified_networks_are_pytorchs(stream):
    learner = made(
        "naive", stream, None, "cell=relu", "hidden=[12,9]", "train.loss=ce_count"
    )
    net = learner.net
    linear = [torch.nn.Linear(64, 12), torch.nn.Linear(12, 9), torch.nn.Linear(9, 10)]
    for k, layer in enumerate(linear):
        weight, bias = net.weights[f"w{k}"], net.weights[f"b{k}"]
        assert weight.abs().max() <= weight.shape[1] ** -0.5
        assert float(weight.detach().std()) == pytest.approx(
            float(layer.weight.detach().std()), rel=0.25
        )
        layer.load_state_dict({"weight": weight, "bias": bias})
    x = torch.rand(5, 64, generator=torch.Generator().manual_seed(0))
    plain = torch.nn.Sequential(
        linear[0], torch.nn.ReLU(), linear[1], torch.nn.ReLU(), linear[2]
    )
    assert torch.allclose(net(x[None])[0], plain(x), atol=1e-6)
    assert torch.allclose(net.blueprint().run(x[None])["out"][0], plain(x), atol=1e-6)
    assert torch.allclose(
        learner.loss(x[None], torch.arange(5)),
        torch.nn.functional.cross_entropy(plain(x), torch.arange(5)),
    )


def test_counts_of_spikes_that_there_are_none_of_are_refused(stream):
    with pytest.raises(MosaicError, match=r"train.loss is 'mse_count', but cell is 'relu'"):
        made("naive", stream, None, "cell=relu", "train.loss=mse_count")


def test_naive_and_joint_use_one_network_for_all_labels(stream):
    for kind in (Naive, Joint):
        learner = kind(tiny("naive"), stream, Unlimited(), 0)
        for task in stream.tasks[:2]:
            learner.learn(task, quiet)
        assert learner.blueprint().neurons == 12 + 10
        assert learner.blueprint().synapses == 12 * (64 + 10)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_a_stream_without_boundaries_is_met_in_parts_as_if_in_one(stream, optimiser):
    """The optimiser goes on, also through a checkpoint, and the batches are those of the stream."""
    settings = (f"train.optimiser={optimiser}", "train.momentum=0.5")
    smooth = replace(stream, boundaries=False)
    whole, parts = (
        made("naive", smooth, None, *settings),
        made("naive", smooth, None, *settings),
    )
    whole.meet(smooth.batches(32), quiet)
    sizes = []
    for number in range(5):
        batches = list(segment(smooth, number, 32))
        sizes += [len(batch.labels) for batch in batches]
        parts.meet(batches, quiet)
        again = made("naive", smooth, None, *settings)
        again.load_state(parts.state())
        parts = again
    assert sizes == [len(batch.labels) for batch in smooth.batches(32)]
    for a, b in zip(weights(whole), weights(parts), strict=True):
        assert torch.equal(a, b)


def test_what_a_stream_hides_is_refused_before_anything_is_learnt(stream):
    class Told(Naive):
        needs_identity = True

    class Bounded(Naive):
        needs_boundaries = True

    hidden = replace(stream, boundaries=False)
    moving = replace(stream, steps=None)
    object.__setattr__(moving, "steps", 8)
    for kind, given, match in (
        (Told, stream, r"'x' must be told which task .* stream.identity = true"),
        (
            Bounded,
            hidden,
            r"hides where tasks begin, but strategy 'x' needs to know",
        ),
        (Grow, moving, r"moves over 8 steps, but strategy 'x' compares still"),
    ):
        with pytest.raises(MosaicError, match=match):
            refuse_stream(kind, "x", given)
    refuse_stream(Naive, "x", hidden)
    refuse_stream(Told, "x", replace(stream, identity=True))


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
    assert actions(learner)[-1] == "no tile with room"
    assert learner.ended == "no tile with room for task 1"
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
    scores = learner.scores(lambda blueprint: counts_of(blueprint, counts))
    assert scores.argmax(1).tolist() == [9, 2, 7]


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

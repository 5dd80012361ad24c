"""The growing learner on streams that do not say where a task begins."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import quiet, records, run, tiny

from growth.encode import regular_rate
from growth.host import Cost, Unlimited
from growth.initialise import measure_need
from growth.learner import segment
from growth.measure import in_torch
from growth.model import SpikingNet
from growth.strategies import Grow
from growth.strategies.base import encode, make_criterion
from growth.strategies.observed import observed
from growth.streams import hidden, mixed, noisy
from mosaic_sim import MosaicError

WINDOW, BATCH = 64, 10
SMALL = (
    "train.batch=10", "train.loss=mse_count", "train.learning_rate=0.02", "train.epochs=2",
    f"grow.window={WINDOW}", "grow.rounds=3", "grow.loss_per_nanojoule=1e-4",
    "stream.boundaries=false", "stream.classes=[[0,1],[2,3],[4,5]]",
)  # fmt: skip


def learner(stream, host=None, *settings):
    return Grow(tiny("grow", *SMALL, *settings), stream, host or Unlimited(), 0)


def part(stream, *numbers):
    """Tasks of a stream by number, their places hidden."""
    tasks = (replace(stream.tasks[k], number=n) for n, k in enumerate(numbers))
    return hidden(replace(stream, tasks=tuple(tasks)))


def meets(learner, stream):
    """Let a learner meet a stream in its segments, as the loop does."""
    for task in stream.tasks:
        learner.meet(segment(stream, task.number, BATCH), quiet)
    return learner


def again(learner, stream):
    """The same learner, from its checkpoint."""
    other = Grow(learner.experiment, stream, learner.host, 0)
    other.load_state(learner.state())
    return other


def actions(learner, *segments):
    return [d.action for d in learner.decisions if not segments or d.task in segments]


def accuracy(learner, stream):
    """Share of test samples of each task that get their label among all labels."""
    found = []
    for task in stream.tasks:
        given = regular_rate(task.test_inputs, learner.experiment.stream.steps)
        guess = learner.scores(in_torch(given)).argmax(1)
        found.append(float((guess == task.test_labels).mean()))
    return found


@pytest.fixture(scope="module")
def three(stream):
    return part(stream, 0, 1, 2)


@pytest.fixture(scope="module")
def met(three):
    """A learner after three hidden tasks; not to be changed."""
    return meets(learner(three), three)


# --- when --------------------------------------------------------------------------------


def test_each_hidden_task_opens_an_expert_of_its_labels_early(met, three):
    made = met
    opened = [d for d in made.decisions if d.action == "new expert"]
    assert [(d.task, d.expert) for d in opened] == [(0, 0), (1, 1), (2, 2)]
    assert [e.classes for e in made.experts] == [[0, 1], [2, 3], [4, 5]]
    assert None not in [d.expert for d in made.decisions]  # none waits for a second window
    starts = np.cumsum([0] + [len(task.train) for task in three.tasks]) // BATCH
    for decision, start in zip(opened[1:], starts[1:], strict=False):
        assert start <= decision.evidence["batch"] <= start + 3
        assert decision.evidence["doubt"] > 8
        assert decision.evidence["need"] > 3
        assert decision.evidence["novelty"] > 0


def test_hidden_tasks_are_learnt_and_kept(met, three):
    assert min(accuracy(met, three)) > 0.85


def test_a_stationary_stream_opens_one_expert_and_no_more(stream):
    pool = hidden(mixed(part(stream, 0, 1, 2), 0))
    made = meets(learner(pool), pool)
    assert actions(made).count("new expert") == 1
    assert "reuse" not in actions(made)
    assert sorted(made.experts[0].classes) == [0, 1, 2, 3, 4, 5]


def test_a_returning_task_is_recognised_and_not_learnt_again(met, three, stream):
    made = again(met, three)
    before = [w.detach().clone() for w in made.experts[0].parameters()]
    updates, neurons = made.meter.updates, made.model.neurons
    made.meet(segment(part(stream, 0), 0, BATCH), quiet)
    assert actions(made, 3) == ["reuse"]
    assert made.pupil is made.experts[0]
    assert made.decisions[-1].expert == 0
    assert made.model.neurons == neurons
    assert made.meter.updates <= updates
    for old, new in zip(before, made.experts[0].parameters(), strict=True):
        assert torch.equal(old, new)


def test_labels_that_mean_nothing_open_nothing(stream):
    first = part(stream, 0)
    noise = hidden(noisy(first, 0.5, 0))
    made = meets(learner(noise), noise)
    assert not made.ready
    assert set(actions(made)) == {"none"}
    assert made.freely.trigger.gate.busy  # nobody yet: nothing counts as known
    made.meet(segment(first, 0, BATCH), quiet)  # and then labels mean something
    assert made.ready


def test_a_burst_of_noise_opens_nothing(stream):
    noise = hidden(noisy(part(stream, 0, 1), 0.5, 0, start=0.6, stop=0.75))
    made = meets(learner(noise), noise)
    assert actions(made).count("new expert") == 2


def test_labels_alone_make_a_task_new_where_its_inputs_are_known(stream):
    """The same images under other names: nobody has an output for them."""
    first = stream.tasks[0]
    renamed = replace(first, number=1, classes=(6, 7), train=first.train.relabelled(
        first.train.labels + 6
    ))  # fmt: skip
    both = hidden(replace(stream, tasks=(first, renamed)))
    made = meets(learner(both), both)
    assert [e.classes for e in made.experts] == [[0, 1], [6, 7]]
    opened = [
        d.evidence.get("decided_by") for d in made.decisions if d.action == "new expert"
    ]
    assert opened == [None, "labels"]


# --- labels ------------------------------------------------------------------------------


def test_an_expert_gets_an_output_for_a_label_that_comes_in_two_batches(met, three, stream):
    made = again(met, three)
    expert, inputs = made.pupil, stream.tasks[2].train_inputs[:BATCH]
    labels = stream.tasks[2].train_labels[:BATCH].copy()
    labels[0] = 9
    spikes = encode(inputs, 8)
    before, neurons = expert(spikes), made.model.neurons
    known = made.freely.known(inputs, labels)
    assert known.tolist() == [False] + [True] * 9
    assert expert.classes == [4, 5]
    assert made.freely.known(inputs, labels).all()
    assert expert.classes == [4, 5, 9]
    assert made.model.neurons == neurons + 1 == expert.births["out"][-1] + 1
    assert torch.equal(expert(spikes)[:, :2], before)
    assert not expert(spikes)[:, 2].any()
    assert made.decisions[-1].action == "new output"
    assert made.lasting is None
    made.freely.train(inputs, labels)
    assert made.pupil.into_out[2].any()


def test_an_output_that_does_not_fit_the_budget_is_not_added(met, three, stream):
    made = again(met, three)
    made.host = type("Dear", (Unlimited,), {"offers": dear})()
    made.budget = made.spent.plus(Cost(np.inf, 1.0, np.inf))
    task = made.freely.task(stream.tasks[2].train_inputs[:4], np.array([9, 9, 9, 9]))
    neurons = made.model.neurons
    made.add_output(made.pupil, 9, task, {})
    assert made.decisions[-1].action == "too dear"
    assert made.model.neurons == neurons


def dear(host, rates, expert, fires):
    [offer] = Unlimited().offers(rates, expert, fires)
    return [replace(offer, feed=np.array([0.0, 2.0, 1.0]))]


def test_what_an_expert_learnt_before_it_was_taken_up_again_stays(met, three, stream):
    """New neurons and new outputs learn; old ones, and what connects them, do not."""
    made = again(met, three)
    freely, expert = made.freely, made.experts[0]
    made.take_up(expert)
    made.add_output(
        expert, 9, freely.task(three.tasks[0].train_inputs[:4], np.full(4, 9)), {}
    )
    hidden, outputs = expert.into_hidden.shape[0], 2
    made.model.widen(expert, torch.full((1, 64), 0.1), torch.zeros(3, 1))
    old = [w.detach().clone() for w in expert.parameters()]
    labels = three.tasks[0].train_labels.copy()
    labels[::2] = 9
    made.lasting = None
    for _ in range(3):
        freely.train(three.tasks[0].train_inputs, labels)
    into_hidden, into_out = expert.into_hidden, expert.into_out
    assert torch.equal(into_hidden[:hidden], old[0][:hidden])
    assert torch.equal(into_out[:outputs, :hidden], old[1][:outputs, :hidden])
    assert not torch.equal(into_out[outputs:, :hidden], old[1][outputs:, :hidden])
    assert not torch.equal(into_out[:, hidden:], old[1][:, hidden:])


# --- the window, and what is kept -----------------------------------------------------------


def test_the_ledger_counts_the_window_while_there_is_one(stream):
    first = part(stream, 0)
    made = learner(first)
    batches = list(first.batches(BATCH))
    made.meet(batches[:3], quiet)
    kept = {stored.name: stored for stored in made.ledger()}
    assert kept["window"].bits == 3 * BATCH * (64 * 8 + 4)
    assert kept["window"].place == "host"
    # 10 prototypes of 64 numbers, their sizes; seen, count, mean, variance; one past of three.
    assert kept["trigger"].bits == 16 * (10 * 65 + 4 + 3)
    made.meet(batches[3:6], quiet)
    assert not made.ready
    made.meet(batches[6:7], quiet)
    assert made.ready
    assert len(made.freely.labels) == 0
    assert "window" not in {stored.name for stored in made.ledger()}


def arrays(found):
    """Every array of a checkpoint."""
    if isinstance(found, dict):
        for value in found.values():
            yield from arrays(value)
    elif isinstance(found, (list, tuple)):
        if found and isinstance(found[0], (list, float)):
            yield np.array(found, float)
        else:
            for value in found:
                yield from arrays(value)
    elif isinstance(found, torch.Tensor):
        yield found.double().numpy()


def test_no_sample_is_kept_once_the_window_is_gone(three):
    """Nothing in the checkpoint holds a sample of any length, be it unlike all others."""
    made = learner(three)
    batches = list(three.batches(BATCH))
    odd = np.zeros((BATCH, 64))
    for k in range(4):
        odd[k, 16 * k : 16 * (k + 1)] = 1.0  # bars, far from any digit
    odd[4:] = batches[0].inputs[4:]
    batches[0] = replace(batches[0], inputs=odd)
    samples = np.concatenate([batch.inputs for batch in batches[:9]])
    samples = samples / np.linalg.norm(samples, axis=1, keepdims=True)

    def nearest():
        looked, most = 0, 0.0
        for array in arrays(made.state()):
            if array.ndim == 2 and array.shape[1] == 64 and len(array):
                length = np.linalg.norm(array, axis=1, keepdims=True)
                rows = array / np.where(length > 0, length, 1.0)
                looked, most = looked + len(rows), max(most, (samples @ rows.T).max())
        return looked, most

    made.meet(batches[:6], quiet)
    assert nearest()[1] == pytest.approx(1)  # the test sees samples where there are any
    made.meet(batches[6:9], quiet)
    made.freely.settle()
    looked, most = nearest()
    assert looked >= 2 * 10  # prototypes of the gate and of the trigger
    assert most < 1 - 1e-6


def test_what_nobody_knows_teaches_nobody(three):
    made = learner(three)
    made.meet(segment(three, 0, BATCH), quiet)
    weights = [w.detach().clone() for w in made.experts[0].parameters()]
    seen = made.freely.described.means.seen
    batch = list(segment(three, 1, BATCH))[1]
    made.meet([batch], quiet)
    assert made.freely.trigger.doubt > 4
    assert made.freely.described.means.seen == seen
    assert not made.freely.heard
    for old, new in zip(weights, made.experts[0].parameters(), strict=True):
        assert torch.equal(old, new)


def test_no_optimiser_outlives_the_weights_that_it_is_for(met, three):
    made = again(met, three)
    made.freely.train(three.tasks[2].train_inputs[:4], three.tasks[2].train_labels[:4])
    assert made.lasting is not None
    made.widen = lambda *_: False
    made.freely.widen(
        made.freely.task(three.tasks[2].train_inputs, three.tasks[2].train_labels)
    )
    assert made.lasting is None


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_what_was_learnt_before_gets_its_share_of_an_update(met, three, share):
    """One step of plain descent, with everything protected and with nothing."""
    task, moved = three.tasks[0], []
    for protected in (True, False):
        made = again(met, three)
        grow = made.experiment.grow.model_copy(update={"plasticity": share})
        train = made.experiment.train.model_copy(
            update={"optimiser": "sgd", "momentum": 0.0}
        )
        made.experiment = made.experiment.model_copy(update={"grow": grow, "train": train})
        made.take_up(made.experts[0])
        if not protected:
            made.protected = made.protected_outputs = 0
        for weight in made.trained.parameters():
            weight.data = weight.data.clone()  # a state shares what it holds
        before = [weight.detach().clone() for weight in made.trained.parameters()]
        given = torch.from_numpy(np.ascontiguousarray(task.train_inputs[:8]))
        made.step(made.optimiser(), given, torch.from_numpy(task.train_labels[:8]))
        after = made.trained.parameters()
        moved.append([b.detach() - a for a, b in zip(before, after, strict=True)])
    for slow, free in zip(*moved, strict=True):
        assert free.abs().max() > 0
        assert torch.allclose(slow, share * free, atol=1e-6)


def test_a_checkpoint_holds_all_that_is_kept(met, three):
    made = again(met, three)
    made.freely.left, made.freely.heard, made.freely.looks = 2, {9: 1}, 1
    made.freely.scores, made.freely.reasons = 1.5, {"batch": 3}
    made.protected, made.protected_outputs = 3, 1
    made.freely.begin("widen")
    made.freely.inputs, made.freely.labels = np.ones((2, 64), np.float32), np.arange(2)
    loaded = again(made, three).freely
    plain = {k: v for k, v in vars(made.freely).items() if isinstance(v, (int, list, dict))}
    assert {"left", "served", "heard", "met", "segment", "looks", "reasons"} <= set(plain)
    assert plain == {k: vars(loaded)[k] for k in plain}
    one, other = made.freely.state(), loaded.state()
    assert one.keys() == other.keys()
    for name in set(one) - {"trigger", "window", "described"}:
        assert one[name] == other[name], name
    for name in ("trigger", "window", "described"):
        pairs = zip(arrays(one[name]), arrays(other[name]), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs), name


def test_a_stream_met_in_parts_through_checkpoints_is_met_as_in_one(met, three):
    whole = learner(three)
    whole.meet(three.batches(BATCH), quiet)
    parts = learner(three)
    batches = list(three.batches(BATCH))
    for start in range(0, len(batches), 17):
        parts.meet(batches[start : start + 17], quiet)
        parts = again(parts, three)
    assert whole.blueprint().neurons == parts.blueprint().neurons == met.model.neurons
    for a, b in zip(
        whole.blueprint().connections, parts.blueprint().connections, strict=True
    ):
        assert np.array_equal(a.weight, b.weight)
    assert [replace_task(d) for d in whole.decisions] == [
        replace_task(d) for d in parts.decisions
    ]
    for name, value in whole.freely.trigger.state().items():
        assert np.array_equal(value, parts.freely.trigger.state()[name])


def replace_task(decision):
    """A decision without the number of its segment."""
    return decision.to_dict() | {"task": None}


# --- the gate ----------------------------------------------------------------------------


def test_the_pupil_is_served_before_anybody_says_that_its_task_ended(three):
    made = learner(three)
    made.meet(list(three.batches(BATCH))[:8], quiet)
    [expert] = made.experts
    assert len(expert.births["gate"]) == 10
    assert accuracy(made, three)[0] > 0.9


def test_gate_neurons_follow_the_means_of_their_inputs_on_the_wires_that_they_have(three):
    made = learner(three)
    batches = list(three.batches(BATCH))
    made.meet(batches[:7], quiet)
    first, spent = made.blueprint(), made.spent
    [descriptor] = made.gate.descriptors
    made.meet(batches[7:13], quiet)
    assert np.array_equal(made.gate.descriptors[0].prototypes, descriptor.prototypes)
    made.meet(batches[13:14], quiet)  # twice as many inputs as were described
    gates = [c for c in made.blueprint().connections if c.target == "expert 0/gate"]
    before = [c for c in first.connections if c.target == "expert 0/gate"]
    for old, new in zip(before, gates, strict=True):
        assert np.array_equal(old.present, new.present)
        assert new.present.all()
    assert not np.array_equal(before[0].weight, gates[0].weight)
    assert made.spent.writes - spent.writes >= 10 * 65
    inputs = np.concatenate([batch.inputs for batch in batches[:14]])
    weights = made.freely.described.means.sizes / made.freely.described.means.sizes.sum()
    assert weights @ made.freely.described.means.prototypes == pytest.approx(
        inputs.mean(0), abs=1e-12
    )
    assert np.array_equal(
        made.gate.descriptors[0].prototypes, made.freely.described.means.prototypes
    )


def test_a_gate_is_not_written_anew_beyond_the_write_budget(three):
    made = learner(three)
    batches = list(three.batches(BATCH))
    made.meet(batches[:7], quiet)
    made.budget = made.spent.plus(Cost(np.inf, np.inf, 10 * 65 - 1.0))
    before = made.gate.descriptors[0]
    made.meet(batches[7:14], quiet)
    assert made.gate.descriptors[0] is before
    assert made.spent.within(made.budget)


def test_gates_keep_their_wires():
    net = SpikingNet(2, leak=0.9)
    expert = net.add_expert([0, 1])
    net.add_gates(expert, torch.tensor([[0.5, 0.0]]), torch.tensor([0.1]))
    expert.set_gates(torch.tensor([[0.0, 0.0]]), torch.tensor([0.3]))
    assert expert.gate_reads.tolist() == [[True, False, True]]
    assert expert.gate_bias.tolist() == pytest.approx([0.3])
    with pytest.raises(MosaicError, match="each keeps the lines that it reads"):
        expert.set_gates(torch.tensor([[0.0, 0.5]]), torch.tensor([0.1]))
    with pytest.raises(MosaicError, match=r"for 2 gate neurons; there are 1"):
        expert.set_gates(torch.zeros(2, 2), torch.zeros(2))


# --- what the trigger sees -----------------------------------------------------------------


@pytest.fixture(scope="module", params=["ce_count", "mse_count"])
def seen(request):
    """A batch with a label that the expert does not know, seen through it; and all it takes."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = SpikingNet(6, leak=0.9)
    expert = net.add_expert([3, 5])
    reads = torch.from_numpy(rng.random((4, 6)) < 0.8)
    net.widen(expert, torch.rand(4, 6) * reads, torch.randn(2, 4), reads)
    inputs = rng.random((5, 6))
    spikes, labels = encode(inputs, 8), np.array([3, 5, 5, 3, 8])
    criterion = make_criterion(tiny("grow", f"train.loss={request.param}"))
    return observed(expert, spikes, inputs, labels, criterion), expert, spikes, criterion


def test_growing_is_the_products_of_what_each_sample_adds_to_gradmax(seen):
    found, expert, spikes, criterion = seen
    wider = SpikingNet(6, leak=0.9)
    other = wider.add_expert([3, 5, 8])
    out = torch.cat([expert.into_out.data, torch.zeros(1, 4)])
    wider.widen(other, expert.into_hidden.data, out, expert.reads)
    each = [
        measure_need(other, spikes[:, b : b + 1], torch.tensor([target]), criterion).matrix
        for b, target in enumerate([0, 1, 1, 0, 2])
    ]
    rows = torch.stack(each).flatten(1).double().numpy()
    assert found.growing == pytest.approx(rows @ rows.T, rel=1e-4)


def test_training_is_the_products_of_the_gradients_on_the_weights(seen):
    found, expert, spikes, criterion = seen
    rows = []
    for b, target in enumerate([0, 1, 1, 0]):
        out = expert.out_spikes(expert.hidden_spikes(spikes[:, b : b + 1]))
        silent = torch.cat([out, torch.zeros(8, 1, 1)], dim=2)
        loss = criterion(silent, torch.tensor([target]))
        assert found.losses[b] == pytest.approx(loss.item(), rel=1e-5)
        gradient = torch.autograd.grad(loss, [expert.into_hidden, expert.into_out])
        rows.append(torch.cat([g.flatten() for g in gradient]).double().numpy())
    table = np.array(rows) @ np.array(rows).T
    assert (table != 0).all()
    # The row of a silent output is no weight of the expert's, but would be: it is counted.
    assert found.training[:4, :4] - table == pytest.approx(extra(found, expert, spikes, criterion),
                                                            rel=1e-3, abs=1e-6)  # fmt: skip


def extra(found, expert, spikes, criterion):
    """Products of the gradients on the weights that an output for the unknown label would have."""
    rows = []
    for b, target in enumerate([0, 1, 1, 0]):
        hidden = expert.hidden_spikes(spikes[:, b : b + 1]).detach()
        row = torch.zeros(1, 4, requires_grad=True)
        from growth.model import cell_spikes

        out = cell_spikes(expert.cell, hidden @ torch.cat([expert.into_out.data, row]).T)
        (gradient,) = torch.autograd.grad(criterion(out, torch.tensor([target])), row)
        rows.append(gradient.flatten().double().numpy())
    return np.array(rows) @ np.array(rows).T


def test_an_observation_leaves_the_expert_alone(seen):
    _, expert, _, _ = seen
    assert all(weight.grad is None for weight in expert.parameters())


# --- whole runs --------------------------------------------------------------------------

RUN = (*SMALL[:-1], "stream.train_samples=160", "stream.test_samples=60", "stream.steps=6")


def test_a_hidden_run_killed_between_tasks_resumes_to_the_same_bytes(tmp_path):
    experiment = tiny("grow", *RUN)
    whole = run(experiment, tmp_path / "whole")

    class Killed(BaseException):
        pass

    def kill(share):
        if share > 0.9:
            raise Killed

    with pytest.raises(Killed):
        run(experiment, tmp_path / "killed", kill)
    assert not (tmp_path / "killed" / whole.path.name / "seed-0" / "DONE").exists()
    resumed = run(experiment, tmp_path / "killed")
    assert records(resumed) == records(whole)
    rows = whole.seed(0).lines("metrics")
    assert [row["predictions_differing"] for row in rows] == [0, 0]
    assert rows[-1]["stored"]["host"] > 0
    assert sum(row["action"] == "new expert" for row in whole.seed(0).lines("growth")) == 2


def test_budgets_hold_without_boundaries(tmp_path):
    experiment = tiny("grow", *RUN, "grow.write_budget=4000", "grow.device_budget=5000")
    folder = run(experiment, tmp_path)
    state = torch.load(folder.seed(0).path / "checkpoint.pt", weights_only=True)
    _, devices, writes = state["strategy"]["spent"]
    assert 0 < devices <= 5000
    assert 0 < writes <= 4000

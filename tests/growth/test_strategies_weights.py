"""Strategies that hold weights or answers, or keep networks apart, against plain oracles."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from classics import both_cells, made, moved, same, some, taught, weights

from growth.layered import Layered
from growth.measure import in_torch, shown
from growth.strategies import ewc as ewc_module
from growth.strategies.gradients import flat, of_groups, put, squares

# --- gradients of samples and groups -----------------------------------------------------


def net_of(cell, seed=0):
    return Layered(
        [5, 4, 3], leak=0.8, spiking=cell == "lif",
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip


def drive(cell, samples, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(7 if cell == "lif" else 1, samples, 5, generator=rng) * 2


@both_cells
def test_squares_are_those_of_one_sample_at_a_time(cell):
    net, inputs = net_of(cell), drive(cell, 6)
    layers = net.layers(inputs)
    found = squares(layers, layers[-1].output.sum(0).log_softmax(1)[:, 1], net)
    wanted = {name: torch.zeros_like(w) for name, w in net.weights.items()}
    for k in range(6):
        net.zero_grad()
        net(inputs[:, [k]]).sum(0).log_softmax(1)[0, 1].backward()
        for name, weight in net.weights.items():
            wanted[name] += weight.grad**2
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert wanted[name].abs().max() > 1e-4
        torch.testing.assert_close(found[name], wanted[name])


@both_cells
def test_gradients_of_groups_are_those_of_one_group_at_a_time(cell):
    net, inputs, sizes = net_of(cell), drive(cell, 9), [4, 2, 3]
    layers = net.layers(inputs)
    losses = [part.square().mean() for part in layers[-1].output.split(sizes, 1)]
    found = of_groups(layers, losses, sizes, net)
    for row, part in zip(found, inputs.split(sizes, 1), strict=True):
        net.zero_grad()
        net(part).square().mean().backward()
        wanted = flat(w.grad for w in net.weights.values())
        assert wanted.abs().max() > 1e-4
        torch.testing.assert_close(row, wanted)


def test_a_flat_gradient_returns_to_its_weights():
    net = net_of("relu")
    total = sum(w.numel() for w in net.weights.values())
    put(torch.arange(float(total)), net.weights)
    assert torch.equal(
        flat(w.grad for w in net.weights.values()), torch.arange(float(total))
    )


# --- EWC ---------------------------------------------------------------------------------


def expected_fisher(strategy, samples, loss):
    """Oracle: one sample and one answer at a time, by autograd."""
    total = {name: torch.zeros_like(w) for name, w in strategy.net.weights.items()}
    steps = 1 if strategy.experiment.cell == "relu" else strategy.experiment.stream.steps
    for row in samples.inputs:
        counts = strategy.net(strategy.encode(torch.from_numpy(row[None]))).sum(0)[0]
        share = counts.softmax(0).detach()
        for y in range(len(counts)):
            # Of a normal distribution: (d count)^2 / variance, the loss being its logarithm.
            value = counts[y] if loss == "mse_count" else counts.log_softmax(0)[y]
            weight = 1 / (len(counts) * steps / 2) if loss == "mse_count" else share[y]
            found = torch.autograd.grad(
                value, list(strategy.net.weights.values()), retain_graph=True
            )
            for square, gradient in zip(total.values(), found, strict=True):
                square += weight * gradient**2 / len(samples)
    return total


@pytest.mark.parametrize(
    ("cell", "loss"), [("relu", "ce_count"), ("lif", "ce_count"), ("lif", "mse_count")]
)
def test_the_fisher_information_is_that_of_one_sample_at_a_time(cell, loss, pair):
    ewc = made("ewc", pair, f"cell={cell}", f"train.loss={loss}", "options.samples=64")
    samples = pair.tasks[0].train.take(range(5))
    found, wanted = ewc.fisher(samples), expected_fisher(ewc, samples, loss)
    for name in wanted:
        assert wanted[name].max() > 1e-6
        torch.testing.assert_close(found[name], wanted[name])


@pytest.mark.parametrize("fisher", ["exact", "sampled", "empirical"])
@pytest.mark.parametrize("loss", ["ce_count", "mse_count"])
def test_the_fisher_information_does_not_depend_on_the_batch_size(
    fisher, loss, pair, monkeypatch
):
    found = []
    for size in (1, 7, 64):
        monkeypatch.setattr(ewc_module, "AT_ONCE", size)
        ewc = made(
            "ewc", pair, f"options.fisher={fisher}", f"train.loss={loss}", "train.batch=1"
        )
        if fisher == "sampled" and loss == "mse_count":
            ewc.torch_rng = torch.Generator().manual_seed(0)
        found.append(ewc.fisher(pair.tasks[0].train))
    if fisher == "sampled" and loss == "mse_count":
        return  # normal numbers come in pairs: other draws, the same expectation
    for other in found[1:]:
        for name, value in found[0].items():
            torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("loss", ["ce_count", "mse_count"])
def test_sampled_answers_give_the_exact_fisher_information_on_average(loss, pair):
    settings = (f"train.loss={loss}", "options.samples=64", "train.correct_rate=0.9")
    one = pair.tasks[0].train.take([0] * 2000)
    sampled = made("ewc", pair, *settings, "options.fisher=sampled", "options.samples=2000")
    exact = made("ewc", pair, *settings)
    found = sampled.fisher(one)["w2"]
    wanted = exact.fisher(pair.tasks[0].train.take([0]))["w2"]
    # Every entry is a mean of 2,000: its relative error is some per cent.
    assert abs(found.sum() / wanted.sum() - 1) < 0.1


def test_the_empirical_fisher_information_takes_the_given_labels(pair):
    ewc = made("ewc", pair, "cell=relu", "train.loss=ce_count", "options.fisher=empirical")
    samples = pair.tasks[0].train.take(range(6))
    found = ewc.fisher(samples)
    wanted = torch.zeros_like(found["w1"])
    for row, label in zip(samples.inputs, samples.labels, strict=True):
        logits = ewc.net(torch.from_numpy(row).float()[None, None])[0]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([label]))
        wanted += torch.autograd.grad(loss, ewc.net.weights["w1"])[0] ** 2 / 6
    torch.testing.assert_close(found["w1"], wanted)


def parabolas(strategy, fishers, anchors):
    """Oracle: each task's own penalty, added up."""
    total = 0.0
    for fisher, anchor in zip(fishers, anchors, strict=True):
        for name, weight in strategy.net.weights.items():
            total += (
                (fisher[name].double() * (weight.double() - anchor[name]) ** 2).sum().item()
            )
    return strategy.options.strength / 2 * total


def noted(name, stream, *more):
    """Learn all tasks, noting the Fisher information and the weights after each."""
    strategy, fishers, anchors = made(name, stream, *more), [], []
    measure = strategy.fisher

    def fisher(samples):
        found = measure(samples)
        fishers.append({k: v.clone() for k, v in found.items()})
        anchors.append(weights(strategy))
        return found

    strategy.fisher = fisher
    for number, task in enumerate((*stream.tasks, stream.tasks[0])):
        strategy.learn(replace(task, number=number))
    return strategy, fishers, anchors


def test_one_parabola_pulls_like_those_of_all_tasks(pair):
    ewc, fishers, anchors = noted("ewc", pair, "options.strength=50")
    assert len(fishers) == 3
    values = []
    for seed in range(3):
        moved(ewc, 0.5, seed)
        values.append((ewc.penalty().item(), parabolas(ewc, fishers, anchors)))
    # They differ by a constant, which nothing descends.
    (a, p), (b, q), (c, r) = values
    assert abs(p - q) > 1
    assert a - b == pytest.approx(p - q, rel=1e-4)
    assert b - c == pytest.approx(q - r, rel=1e-4)


def test_online_ewc_decays_importance_and_holds_to_the_last_weights(pair):
    ewc, fishers, anchors = noted("ewc-online", pair, "options.decay=0.5")
    wanted = {
        name: 0.25 * fishers[0][name] + 0.5 * fishers[1][name] + fishers[2][name]
        for name in fishers[0]
    }
    for name, value in wanted.items():
        torch.testing.assert_close(ewc.importance[name], value)
    assert ewc.penalty() == 0
    moved(ewc, 0.1, 0)
    assert ewc.penalty().item() == pytest.approx(
        parabolas(ewc, [wanted], anchors[-1:]), rel=1e-4
    )


def test_a_strong_pull_keeps_weights_where_they_were(pair):
    after = []
    for strength in (0, 3, 300):
        ewc = made(
            "ewc",
            pair,
            f"options.strength={strength}",
            "train.optimiser=sgd",
            "train.learning_rate=0.003",
        )
        ewc.learn(pair.tasks[0])
        before = weights(ewc)
        ewc.learn(pair.tasks[1])
        moved_by = sum(
            (ewc.importance[k] * (w - before[k]) ** 2).sum()
            for k, w in weights(ewc).items()
        )
        after.append(float(moved_by))
    assert after[0] > after[1] > after[2]


# --- SI ----------------------------------------------------------------------------------


def test_path_integrals_add_up_to_the_fall_of_the_loss(pair):
    """Zenke et al.: to first order, and to that of the task's loss alone."""
    si = made(
        "si", pair, "cell=relu", "train.loss=ce_count", "train.optimiser=sgd",
        "train.learning_rate=0.001", "train.batch=64", "train.epochs=20",
        "options.strength=100",
    )  # fmt: skip
    fell, path = [], []
    for task in pair.tasks:
        spikes, labels = some(task, 64, si)
        before = float(si.criterion(si.net(spikes), labels).detach())
        si.learn(task)
        after = float(si.criterion(si.net(spikes), labels).detach())
        fell.append(before - after)
        path.append(float(sum(part.sum() for part in si.path.values())))
    assert min(fell) > 0.01
    assert path == pytest.approx(fell, rel=0.03)


def test_the_pull_of_si_is_the_gradient_of_its_penalty(pair):
    si = made("si", pair, "options.strength=3")
    si.learn(pair.tasks[0])
    assert any(part.max() > 0 for part in si.importance.values())
    assert all(part.min() >= 0 for part in si.importance.values())
    si.begin(pair.tasks[1])
    moved(si, 0.1, 0)
    penalty = 3 * sum(
        (si.importance[k] * (w - si.anchor[k]) ** 2).sum()
        for k, w in si.net.weights.items()
    )
    wanted = torch.autograd.grad(penalty, list(si.net.weights.values()))
    for weight in si.net.parameters():
        weight.grad = torch.zeros_like(weight)
    si.grads(None, None)
    for weight, gradient in zip(si.net.parameters(), wanted, strict=True):
        assert gradient.abs().max() > 1e-3
        torch.testing.assert_close(weight.grad, gradient)
    # The path follows the loss of the task alone.
    assert all((gradient == 0).all() for gradient in si.gradient.values())


def test_the_importance_of_si_is_the_path_over_the_way(pair):
    si = made("si", pair, "options.damping=0.5", "train.optimiser=sgd")
    before, seen = weights(si), []
    step = si.stepped

    def stepped():
        seen.append((si.gradient["w0"].clone(), si.before["w0"].clone()))
        step()
        seen[-1] += (si.net.weights["w0"].detach().clone(),)

    si.stepped = stepped
    si.learn(pair.tasks[0])
    path = sum(-g * (new - old) for g, old, new in seen)
    way = (si.net.weights["w0"].detach() - before["w0"]) ** 2
    assert len(seen) == 4
    torch.testing.assert_close(si.importance["w0"], (path / (way + 0.5)).clamp(min=0))


# --- LwF ---------------------------------------------------------------------------------


@both_cells
def test_the_loss_of_lwf_is_the_divergence_from_the_teacher(cell, pair):
    settings = (f"cell={cell}", "options.strength=0.7", "options.temperature=3")
    lwf = made("lwf", pair, *settings)
    lwf.learn(pair.tasks[0])
    teacher, (spikes, labels) = weights(lwf), some(pair.tasks[1], 9, lwf)
    moved(lwf, 0.2, 0)
    old, new = (
        lwf.net(spikes, use).sum(0)[:, :2].detach().double().numpy() / 3
        for use in (teacher, None)
    )
    p, q = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (old, new))
    divergence = (p * np.log(p / q)).sum(1).mean()
    plain = lwf.criterion(lwf.net(spikes), labels).item()
    assert divergence > 1e-3
    assert lwf.loss(spikes, labels).item() == pytest.approx(
        plain + 0.7 * divergence, rel=1e-4
    )


def test_the_teacher_tells_all_labels_that_it_has_seen(pair):
    lwf = taught("lwf", pair)
    assert lwf.known == [0, 1, 2, 3]
    assert same(lwf.teacher, weights(lwf))


# --- independent networks ----------------------------------------------------------------


@pytest.mark.parametrize("resident", ["true", "false"])
def test_each_task_is_served_by_its_own_network(resident, pair):
    own = made("independent", pair, f"options.resident={resident}")
    alone = []
    for task in pair.tasks:
        own.learn(task)
        alone.append(own.net.blueprint())
    serve = in_torch(shown(own.experiment, pair.tasks[0].test))
    for number, blueprint in enumerate(alone):
        assert np.array_equal(own.scores(serve, number), serve(blueprint)["out"])
    assert not np.array_equal(own.scores(serve, 0), own.scores(serve, 1))
    assert np.array_equal(own.scores(serve, 7), own.scores(serve, 1))
    one, two = own.blueprint(0), own.blueprint(1)
    assert one.wired_like(two)
    assert one.neurons == (72 if resident == "true" else 36)


def test_a_further_resident_network_leaves_the_numbers_of_the_others(pair):
    own = made("independent", pair, "options.resident=true")
    own.learn(pair.tasks[0])
    before = own.blueprint()
    own.learn(pair.tasks[1])
    after = own.blueprint()
    assert not before.wired_like(after)
    births = {p.name: p.births.tolist() for p in after.populations}
    for population in before.populations:
        assert births[population.name] == population.births.tolist()
    shared = zip(before.connections, after.connections, strict=False)
    assert all(np.array_equal(a.weight, b.weight) for a, b in shared)


@pytest.mark.parametrize("start", ["new", "same", "last"])
def test_a_network_starts_where_it_is_told(start, pair):
    own = made("independent", pair, f"options.start={start}")
    first = weights(own)
    own.learn(pair.tasks[0])
    last = weights(own)
    own.begin(pair.tasks[1])
    now = weights(own)
    assert same(now, first) == (start == "same")
    assert same(now, last) == (start == "last")
    own.begin(pair.tasks[0])  # it comes back: its own network goes on
    assert same(weights(own), last)

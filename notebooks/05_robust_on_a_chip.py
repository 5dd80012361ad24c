# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a floating-point model to a robust chip
#
# A chip of memristors does not hold the weights that it is given: it has few levels, and each
# device misses its level. A model that has met such errors in training bears them better. Here
# one snnTorch model is trained twice from the same start, once as usual and once inside
# `growth.hardware.disturb`, and both are put on simulated chips as they come out.

# %%
import copy

import matplotlib.pyplot as plt
import numpy as np
import snntorch
import torch
from matplotlib.ticker import PercentFormatter
from torch.nn import Linear, Sequential, functional

from growth.datasets import load_dataset
from growth.dies import run_dies
from growth.encode import regular_rate
from growth.hardware import Disturbance, disturb
from growth.model import cell_spikes
from growth.statistics import estimate
from mosaic_sim import Device, compile_program, fit, price, simulate, technology_preset
from mosaic_sim.interop import from_snntorch
from mosaic_sim.units import engineering

torch.set_num_threads(1)

# %% [markdown]
# ## The task and the model
#
# Digits of 8 x 8 pixels that come along, 16 steps of evenly spaced spikes. One hidden layer; the
# output that fires most is the answer.

# %%
STEPS = 16
data = load_dataset("digits", 0)
given, shown = (
    torch.from_numpy(regular_rate(part.inputs, STEPS)).float().permute(1, 0, 2)
    for part in (data.train, data.test)
)
labels, right = torch.from_numpy(data.train.labels), data.test.labels


def outputs_of(model, spikes):
    """Spike counts of the outputs, (samples, 10)."""
    for layer in model:
        cell = isinstance(layer, snntorch.Leaky)
        spikes = cell_spikes(layer, spikes) if cell else layer(spikes)
    return spikes.sum(0)


def accuracy(model):
    with torch.no_grad():
        return float((outputs_of(model, shown).argmax(1).numpy() == right).mean())


torch.manual_seed(0)
start = Sequential(
    Linear(64, 64, bias=False), snntorch.Leaky(beta=0.9),
    Linear(64, 10, bias=False), snntorch.Leaky(beta=0.9),
)  # fmt: skip

# %% [markdown]
# ## Two trainings
#
# The same start, samples, order and learning rate. One line is different: `with disturb(...)`
# lets the loss see weights with 16 levels and noise of 15 % of a layer's largest weight, new for
# each batch. The optimiser keeps working on the clean ones.

# %%
AWARE = Disturbance(weight_noise=0.15, levels=16)


def train(model, disturbance=None, epochs=30):
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    rng = np.random.default_rng(0)
    noise = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(len(labels)), 19):
            optimiser.zero_grad()
            if disturbance is None:
                loss = functional.cross_entropy(
                    outputs_of(model, given[:, rows]), labels[rows]
                )
            else:
                with disturb(model, disturbance, noise):
                    scores = outputs_of(model, given[:, rows])
                    loss = functional.cross_entropy(scores, labels[rows])
            loss.backward()
            optimiser.step()
    return model


models = {"plain": train(copy.deepcopy(start)), "aware": train(copy.deepcopy(start), AWARE)}
for name, model in models.items():
    print(f"{name}: {100 * accuracy(model):.1f} % of {len(right)} test digits in torch")

# %% [markdown]
# ## More and more noise
#
# Both models with noise on their weights, ten draws a point. Without noise, training for it
# costs a point; with more than 10 % it pays, also beyond the noise that it has met.

# %%
NOISES, DRAWS = (0, 0.05, 0.1, 0.15, 0.2, 0.3), 10


def noisy(model, noise):
    draws = torch.Generator().manual_seed(1)
    found = []
    for _ in range(DRAWS):
        with disturb(model, Disturbance(noise), draws):
            found.append(accuracy(model))
    return estimate(found)


COLOURS = {"plain": "#0072B2", "aware": "#D55E00"}
curves = {name: [noisy(model, n) for n in NOISES] for name, model in models.items()}
fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for name, curve in curves.items():
    x = [100 * n for n in NOISES]
    ax.plot(x, [e.mean for e in curve], "o-", ms=4, color=COLOURS[name], label=name)
    low, high = [e.low for e in curve], [e.high for e in curve]
    ax.fill_between(x, low, high, color=COLOURS[name], alpha=0.2, lw=0)
ax.set(
    xlabel="noise [% of the layer's largest weight]", ylabel="test accuracy", ylim=(0.25, 1)
)
ax.yaxis.set_major_formatter(PercentFormatter(1))
ax.legend(frameon=False)
plt.show()
print("noise        " + "".join(f"{100 * n:9.0f} %" for n in NOISES))
for name, curve in curves.items():
    print(f"{name:8s} [%] " + "".join(f"{e.text(100):>11s}" for e in curve))

# %% [markdown]
# ## Onto the chip
#
# `fit` finds the smallest chip that both can be routed on. They have the same synapses, so one
# chip with one placement and one routing does for both. Without rounding, the chip fires what
# torch fires, spike for spike.

# %%
technology = technology_preset("rram-130nm")
networks = {name: from_snntorch(model) for name, model in models.items()}
found = fit(networks["plain"], tile_sizes=[32], effort=0.1, progress=False).best
chip = found.chip
spikes = shown.permute(1, 0, 2).numpy().astype(bool)
print(
    f"{chip.rows} x {chip.columns} tiles of {chip.neurons_per_tile} neurons, lines a side "
    f"{chip.tile_lines}/{chip.r0_lines}/{chip.r1_lines}, {found.devices:,} devices"
)
programs = {}
for name, network in networks.items():
    program = compile_program(
        network, chip, found.placement, found.routing, device=Device(levels=16)
    )
    programs[name] = program
    ideal = simulate(program._replace(weight=network.weight), spikes, progress=False)
    fired = ideal.counts[:, -10:]
    with torch.no_grad():
        same = (fired == outputs_of(models[name], shown).numpy()).all()
    levels = simulate(program, spikes, progress=False)
    report = price(program, levels, technology)
    print(
        f"{name}: ideal chip {100 * (fired.argmax(1) == right).mean():.1f} %, counts as in torch: "
        f"{same}; 16 levels {100 * (levels.counts[:, -10:].argmax(1) == right).mean():.1f} %, "
        f"{engineering(report.energy_per_inference, 'J')} per inference, "
        f"{report.timing.real_time_factor:,.0f} times real time"
    )

# %% [markdown]
# ## As chips come out
#
# Twenty dies each, at the assumed programming noise of 5 % of the range of a device and at three
# times that. Each dot is a die.

# %%
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
rows = [(factor, name) for factor in (1, 3) for name in programs]
for row, (factor, name) in enumerate(rows):
    worse = technology.scaled("programming_floor", factor)
    dies = run_dies(
        programs[name], worse, spikes, dies=20, labels=right, effects=["programming"]
    )
    ax.plot(dies.score, np.full(20, row), "o", ms=4, alpha=0.6, color=COLOURS[name])
    worst = 100 * dies.score.min()
    print(f"{name} at {5 * factor} %: mean {dies.mean.text(100)} %, worst {worst:.1f} %")
ax.set_yticks(range(len(rows)), [f"{name}, {5 * factor} %" for factor, name in rows])
ax.invert_yaxis()
ax.set_xlabel("test accuracy of a die")
ax.xaxis.set_major_formatter(PercentFormatter(1))
plt.show()

# %% [markdown]
# On good dies the plain model is the better one; on bad ones the aware model is, most of all the
# worst die. One seed shows the way, not how much it helps: for that see the page on showcases.
# `Disturbance.of_technology` trains against all that a technology says of its devices. How
# strong their errors are is assumed, as everything in the technology file that is not measured.

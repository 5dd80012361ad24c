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
# # From an snnTorch model to a bill
#
# A spiking classifier, trained with snnTorch, goes onto a simulated Mosaic chip: what does it
# fire there, and what does that cost? The way itself is ten lines. The rest of this notebook
# looks inside: spikes, membranes, rates, the bill, the same step by step, and whether the chip
# does what the model does.

# %%
import matplotlib.pyplot as plt
import numpy as np
import snntorch
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from mosaic_sim import (
    Device,
    chip_preset,
    compile_program,
    load_program,
    place,
    plots,
    price,
    price_steps,
    route,
    save_program,
    simulate,
    technology_preset,
    writes,
)
from mosaic_sim.interop import from_snntorch
from mosaic_sim.units import engineering

# %% [markdown]
# ## A model
#
# Scikit-learn's digits, 8 x 8 pixels. A pixel of intensity $x$ spikes with probability $x/2$ at
# each of 16 steps. Forty hidden neurons, ten outputs; the output that fires most is the answer.

# %%
STEPS = 16
rng = np.random.default_rng(0)
torch.manual_seed(0)

images, labels = load_digits(return_X_y=True)
spikes = rng.random((len(images), STEPS, 64)) < images[:, None] / 32
train, test = train_test_split(np.arange(len(images)), test_size=400, random_state=0)

model = torch.nn.Sequential(
    torch.nn.Linear(64, 40),
    snntorch.Leaky(beta=0.875),
    torch.nn.Linear(40, 10),
    snntorch.Leaky(beta=0.875),
)


def run_in_torch(model, spikes):
    """Return the spikes of all neurons, (samples, steps, neurons), hidden neurons first."""
    first, hidden, second, out = model
    v1, v2 = hidden.reset_mem(), out.reset_mem()
    fired = []
    for now in torch.as_tensor(spikes, dtype=torch.float32).unbind(1):
        s1, v1 = hidden(first(now), v1)
        s2, v2 = out(second(s1), v2)
        fired.append(torch.cat([s1, s2], 1))
    return torch.stack(fired, 1)


optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
target = torch.as_tensor(labels)
for _ in range(15):
    for batch in np.array_split(rng.permutation(train), len(train) // 48):
        votes = run_in_torch(model, spikes[batch])[:, :, 40:].mean(1)
        loss = torch.nn.functional.cross_entropy(8 * votes, target[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

with torch.no_grad():
    in_torch = run_in_torch(model, spikes[test]).numpy().astype(bool)
right = in_torch[:, :, 40:].sum(1).argmax(1) == labels[test]
print(f"accuracy in snnTorch: {right.mean():.1%}")

# %% [markdown]
# ## Ten lines
#
# Read the model, give every neuron a place and every spike a way, run it, price it. Each stage
# is a function from values to a value, so each can be looked at, kept, or replaced.

# %%
chip = chip_preset("demo")
technology = technology_preset("rram-130nm")

network = from_snntorch(model)
placement = place(network, chip)
routing = route(network, chip, placement)
program = compile_program(network, chip, placement, routing)
recording = simulate(program, spikes[test], raster=True, voltages=[0, 1, 40, 41])
report = price(program, recording, technology)

print(f"{recording.total.sum():,} spikes")
print(f"{engineering(report.energy_per_inference, 'J')} per inference")

# %% [markdown]
# The outputs are the last ten columns of the spike counts. The chip holds weights as 16
# conductance levels, so it need not be as accurate as the model.

# %%
predicted = recording.counts[:, -10:].argmax(1)
print(f"accuracy on the chip: {(predicted == labels[test]).mean():.1%}")
print(f"devices to program: {writes(None, program):,}")

# %% [markdown]
# ## Where it went
#
# Layers have become groups of neurons. The placer put them on neighbouring tiles; wires are as
# wide as they have sources.

# %%
for name, members in network.groups.items():
    print(f"{name}: neurons {members[0]} to {members[-1]}")
owner = np.repeat([0, 1], [40, 10])
fig, ax = plt.subplots(figsize=(7.4, 6.4), layout="constrained")
plots.placement_map(program, routing, ax=ax, owner=owner, owner_names=list(network.groups))
plt.show()

# %% [markdown]
# ## What it fired
#
# One test image, as it comes in and as it is answered. A plot without `ax` makes a figure of its
# own.

# %%
sample = 0
fig, (left, middle, right) = plt.subplots(
    1, 3, figsize=(11, 3.4), width_ratios=[1, 2, 2.4], layout="constrained"
)
left.imshow(images[test[sample]].reshape(8, 8), cmap="Greys")
left.set(title=f"a {labels[test[sample]]}", xticks=[], yticks=[])
plots.raster(spikes[test[sample]], ax=middle)
middle.set(title="in", ylabel="pixel")
plots.raster(recording, sample, ax=right, groups=network.groups)
right.set_title("on the chip")
plt.show()

# %% [markdown]
# Membranes that were asked for with `voltages=`. A neuron fires strictly above its threshold,
# and its reset acts one step later, as in snnTorch.

# %%
ax = plots.voltage(recording, sample, threshold=program.threshold[recording.watched])
ax.set_title("two hidden neurons, two outputs", loc="left")
plt.show()

# %% [markdown]
# Over all test images: how often each neuron fires, in its slot on the chip, and when it fires
# for the first time. The answer comes early.

# %%
plots.rate_map(program, recording)
plots.latency(recording)
plt.show()

# %% [markdown]
# ## The bill
#
# Routes are wires: each spike of a source causes the same events every time. So events are
# counted, exactly, and multiplied with prices from the technology file. Most of these prices are
# assumed. The bill says which.

# %%
for row in report.rows:
    if row.component != "synapses":
        print(
            f"{row.event:24s} {row.count:>12,} at {engineering(row.unit_price, 'J'):>8s} = "
            f"{engineering(row.energy, 'J')}"
        )
for component, joules in report.by_component().items():
    print(f"{component:10s} {engineering(joules / report.samples, 'J'):>8s} per inference")
print("assumed:", ", ".join(name for name, _ in report.assumptions()))

fig, (left, right) = plt.subplots(
    1, 2, figsize=(10.5, 4), width_ratios=[1.4, 1], layout="constrained"
)
plots.energy_by_component({"digits": report}, ax=left)
plots.energy_by_tile(report, program, ax=right)
plt.show()

# %% [markdown]
# ## Step by step
#
# `price_steps` prices every step and every cell of the grid. Its sum is the bill. Input spikes
# come evenly over time, so bringing them costs the same at every step; the rest follows the
# network, whose neurons are silent at first.

# %%
steps = price_steps(program, recording, technology)
energy = steps.energy.reshape(recording.samples, STEPS, -1)  # by sample, step and cell
print(f"sum of the steps {energy.sum():.9g} J, the bill {report.energy:.9g} J")

in_tiles = np.isin(np.arange(chip.cells), chip.tile_cells)
per_step = 1e9 * energy.mean(0)
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
ax.stackplot(
    range(STEPS),
    per_step[:, in_tiles].sum(1),
    per_step[:, ~in_tiles].sum(1),
    labels=["neuron tiles", "routing tiles"],
    colors=["#0072B2", "#E69F00"],
)
ax.set(xlabel="step", ylabel="energy of a step [nJ]", xlim=(0, STEPS - 1))
ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
plt.show()

busiest = int(steps.hops.sum(1).argmax())
print(
    f"busiest step: number {busiest % STEPS} of sample {busiest // STEPS}, "
    f"{steps.hops[busiest].sum():,} hops"
)

# %% [markdown]
# ## Is it the same network?
#
# `Device(exact=True)` computes with the weights as they were trained. Then the chip and snnTorch
# differ only in the order in which floats are added up, which can flip a spike that lies on the
# threshold to the last bit.

# %%
exact = compile_program(network, chip, placement, routing, device=Device(exact=True))
fired = simulate(exact, spikes[test], raster=True).raster
print(f"{(fired != in_torch).sum()} of {in_torch.sum():,} spikes differ")

# %% [markdown]
# With weights that are multiples of 1/64 every sum is exact in any order, and so are the spikes.

# %%
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_((64 * parameter).round() / 64)
    rounded = run_in_torch(model, spikes[test]).numpy().astype(bool)
grid = compile_program(
    from_snntorch(model), chip, placement, routing, device=Device(exact=True)
)
fired = simulate(grid, spikes[test], raster=True).raster
print(f"{(fired != rounded).sum()} of {rounded.sum():,} spikes differ")

# %% [markdown]
# ## How many levels does it need?
#
# The same placement and routing, other devices. Fewer levels are easier to program, and cost
# accuracy below some number.

# %%
for levels in (2, 3, 4, 8, 16, 64):
    coarse = compile_program(
        network, chip, placement, routing, device=Device(levels=levels)
    )
    run = simulate(coarse, spikes[test])
    accuracy = (run.counts[:, -10:].argmax(1) == labels[test]).mean()
    joules = engineering(price(coarse, run, technology).energy_per_inference, "J")
    print(f"{levels:3d} levels: accuracy {accuracy:.1%}, {joules} per inference")

# %% [markdown]
# ## Keep it
#
# A program is one file: the image of the chip. `mosaic simulate program.npz --input spikes.npz`
# runs it from the command line.

# %%
import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "program.npz"
    save_program(program, file)
    again = simulate(load_program(file), spikes[test])
    print(f"{file.stat().st_size:,} bytes;", end=" ")
print("the same spikes:", np.array_equal(again.counts, recording.counts))

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
# # Grow a network on a chip
#
# Ten handwritten digits arrive two at a time. A learner has to tell all ten apart at the end,
# without being told which pair an image is from, and without keeping old images. It lives on
# a simulated Mosaic chip: a small array of RRAM crossbars, with routers between them.
#
# This notebook does the first pair by hand, one decision after the other: *when* to grow,
# *how* new neurons start, *where* on the chip they go and *how many* pay for themselves. Then
# it runs the remaining pairs, and two other learners to compare with: `naive`, which is
# fine-tuned on pair after pair, and `joint`, which sees all pairs at once. It uses one seed;
# the command `mosaic demo` runs three.
#
# No energy or latency of Mosaic itself could be verified. Every joule below follows from a
# list of physical quantities in a file, most of them assumed. What is exact is the counting.

# %%
import tempfile
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch

from growth import figures
from growth.bridge import load_program, load_routing, make_host
from growth.config import load_experiment
from growth.encode import regular_rate
from growth.experiment import run_experiments
from growth.metrics import average_accuracy, forgetting
from growth.report import reprice, summarise
from growth.strategies import Grow
from growth.strategies.base import encode
from growth.streams import load_dataset, split
from growth.where import Prices, Request, choose
from mosaic_sim import device_count, plots, price, technology_preset
from mosaic_sim.units import engineering

SEED = 0
experiment = load_experiment("split-digits-grow")

# %% [markdown]
# ## The data
#
# Scikit-learn's digits: 8 x 8 pixels with 17 grey levels, of which a third is held out for
# testing. The stream has five tasks of two classes each.

# %%
settings = experiment.stream
data = load_dataset(settings.dataset, SEED, settings.test_share)
stream = split(data, settings.classes)
for task in stream.tasks:
    print(
        f"task {task.number}: digits {task.classes}, {len(task.train_labels)} to learn, "
        f"{len(task.test_labels)} to test"
    )

# %% [markdown]
# A pixel becomes a train of evenly spaced spikes: a pixel of intensity $x$ fires $16x$ times,
# rounded, in the 16 steps of an inference. Nothing is random. Each pixel has a line of its own
# on the chip.

# %%
task = stream.tasks[0]
image = task.test_inputs[0]
fig, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.4), width_ratios=[1, 2.2], layout="constrained"
)
left.imshow(image.reshape(8, 8), cmap="Greys")
left.set(title=f"a {task.test_labels[0]}", xticks=[], yticks=[])
plots.raster(regular_rate(image[None], settings.steps)[0], ax=right)
right.set(title="what the chip gets to see", ylabel="pixel")
plt.show()

# %% [markdown]
# ## The chip
#
# The preset `demo` has 4 x 4 neuron tiles. A tile is a crossbar with 24 neurons at its
# columns. Spikes travel over routing tiles, on lines that carry one source each: no addresses,
# no queues. A tile can receive at most `4 * tile_lines` sources, and its neurons share them.

# %%
host = make_host(experiment)
chip, technology = host.chip, host.technology
print(chip)
print(f"{chip.tiles} tiles, {chip.neurons} neurons, fan-in of a tile {4 * chip.tile_lines}")
print("devices built in:", chip.devices)
statuses = [quantity.status for quantity in technology.quantities.values()]
print(
    f"technology {technology.name}: {statuses.count('assumed')} of {len(statuses)} assumed"
)

# %% [markdown]
# The learner sees the chip as a list of offers: a tile, its free slots and lines, what it costs to
# bring each input there, and what each synapse costs once it is there. On an empty chip the 64
# pixels come from ports all around the border, so the middle is cheap.

# %%
# Spikes of each pixel per inference, and of the bias line, which spikes at every step:
rates = np.append(task.train_inputs.mean(0), 1.0) * settings.steps
offers = host.offers(rates, None, fires=0.2 * settings.steps)
bring = np.array([offer.bring[:, 0].sum() for offer in offers])
bring = bring.reshape(chip.rows, chip.columns)
fig, ax = plt.subplots(figsize=(4.2, 3.4), layout="constrained")
shown = ax.imshow(bring * 1e9, cmap="YlGnBu")
for (row, column), joules in np.ndenumerate(bring * 1e9):
    dark = joules > bring.mean() * 1e9
    ax.text(column, row, f"{joules:.0f}", ha="center", color="white" if dark else "black")
ax.set(title="bringing the pixels to each tile", xlabel="column", ylabel="row")
ax.set(xticks=range(chip.columns), yticks=range(chip.rows))
fig.colorbar(shown, label="energy per inference [nJ]")
plt.show()
neuron = offers[0].synapse[:-1, 0].sum()
print(f"each neuron there that reads all of them: {engineering(neuron, 'J')} per inference")

# %% [markdown]
# ## When: is there something to learn, and is it new?
#
# The learner looks at 128 samples of the task. *Need* is the gradient that neurons at rest
# would get: a matrix $M$ with a row for each class and a column for each pixel. What counts is
# whether the samples agree. The z-score compares $|\sum_b M_b|^2$ with what it would be if the
# signs of the samples' contributions were random, and if their labels were; the lower counts.
#
# Shuffled labels make a good control. The loss is the same, but nothing coherent remains.

# %%
learner = Grow(experiment, stream, host, SEED)
window = learner.window(task)
need = learner.need(learner.trial(task.classes), task, window)

mixed = np.random.default_rng(SEED).permutation(task.train_labels)
other = replace(task, train=replace(task.train, labels=mixed))
noise = learner.need(learner.trial(task.classes), other, window)
for name, found in (("true labels", need), ("shuffled labels", noise)):
    values = torch.linalg.svdvals(found.matrix)
    print(
        f"{name:16s} loss {found.loss:.3f}  z {found.z:5.1f}  first sigma {values[0]:.2f}"
    )

# %% [markdown]
# The matrix has rank one here: while both outputs are silent, what pushes one pulls the other.
# Its right singular vector says which pixels a new neuron would listen to first. Its sign is
# free; below, blue pixels speak for the digit 1 and red ones for the digit 0.

# %%
left_vectors, sigma, right_vectors = torch.linalg.svd(need.matrix, full_matrices=False)
# Descent goes against the gradient, so a negative entry of M pulls its class up.
direction = -torch.sign(left_vectors[1, 0]) * right_vectors[0]
fig, axes = plt.subplots(1, 3, figsize=(8.6, 3), layout="constrained")
for ax, digit in zip(axes, task.classes, strict=False):
    mean = task.train_inputs[task.train_labels == digit].mean(0)
    ax.imshow(mean.reshape(8, 8), cmap="Greys")
    ax.set(title=f"mean of the digit {digit}")
limit = float(direction.abs().max())
axes[2].imshow(direction.reshape(8, 8), cmap="RdBu", vmin=-limit, vmax=limit)
axes[2].set(title="first direction of M")
for ax in axes:
    ax.set(xticks=[], yticks=[])
plt.show()
print("singular values:", [round(float(s), 4) for s in sigma])

# %% [markdown]
# ## Where and how many: what pays
#
# A neuron on direction $i$ is predicted to lower the loss by $c^2 \eta U \sigma_i^2$ in $U$
# updates with learning rate $\eta$, and by no more than the loss that there is. Against this
# stands its energy, at an exchange rate: one nanojoule per inference has to lower the loss by
# 0.001. The best offer is the one with the largest difference.

# %%
train, grow = experiment.train, experiment.grow
updates = train.epochs * -(-len(task.train_labels) // train.batch)
request = Request(
    np.pad(need.matrix.double().numpy(), ((0, 0), (0, 1))),  # nobody reads the bias line
    leverage=train.learning_rate * updates,  # c = 1 for the first neurons
    loss=need.loss,
    outputs=len(task.classes),
    gates=experiment.gate.prototypes,
    gate_reads=np.ones(rates.size, bool),  # the gates read all pixels, and the bias line
)
choice = choose(request, offers, Prices(joules=grow.loss_per_nanojoule * 1e9))
print(f"tile {choice.tile}, {choice.neurons} neuron, reading {choice.reads.sum()} pixels")
print(f"benefit {choice.benefit:.3f}, price {choice.price:.3f}, {choice.cost}")

# %% [markdown]
# `look` does all of the above at once and opens an expert there. The gate's virtual expert
# *nobody* says whether the inputs are new: there is no other expert yet, so its share in
# explaining them is 1. Every decision is kept with its evidence.

# %%
expert = learner.pupil = learner.look(task, window)
decision = learner.decisions[-1]
print(f"{decision.action}: expert {decision.expert} on tile {decision.tile}")
for name, value in decision.evidence.items():
    print(f"  {name:16s} {value}")

# %% [markdown]
# ## How: GradMax
#
# A new neuron starts with incoming weights 0, so it changes nothing. Its outgoing weights are
# the left singular vectors of $M$: no other orthogonal choice of that norm gives a larger
# gradient on the incoming weights. Growing and training alternate until nothing pays any more.

# %%
spikes = encode(task.train_inputs[window], settings.steps)  # (steps, samples, pixels)


def ignore(share: float) -> None:
    """Stand in for a progress bar."""


for _ in range(grow.rounds):
    before = expert(spikes)
    if not learner.widen(expert, task, window):
        break
    changed = float((expert(spikes) - before).detach().abs().max())
    decision = learner.decisions[-1]
    print(
        f"tile {decision.tile}, neurons added: {decision.neurons}. Loss "
        f"{decision.evidence['loss']:.4f}, benefit {decision.evidence['benefit']:.4f}, price "
        f"{decision.evidence['price']:.4f}; outputs changed by {changed:g}"
    )
    learner.fit(task.train, train.epochs, ignore)
last = learner.decisions[-1]
print(f"stop: loss {last.evidence['loss']:.4f}, action {last.action!r}")

# %% [markdown]
# A few hidden neurons are enough to tell 0 from 1. These are their incoming weights (blue
# excites, red inhibits), and what each says to the two outputs.

# %%
weights = expert.into_hidden.detach().numpy()
votes = expert.into_out.detach().numpy()
fig, axes = plt.subplots(
    1, len(weights), figsize=(3.2 * len(weights), 3.2), layout="constrained", squeeze=False
)
for k, ax in enumerate(axes[0]):
    limit = np.abs(weights).max()
    ax.imshow(weights[k].reshape(8, 8), cmap="RdBu", vmin=-limit, vmax=limit)
    says = ", ".join(
        f"{d}: {v:+.2f}" for d, v in zip(expert.classes, votes[:, k], strict=True)
    )
    ax.set(title=f"hidden neuron {k}\n{says}", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# Then the expert is frozen. Its inputs are described by ten prototypes, the means of k-means.
# They become ten spiking *gate neurons* on the same tile: the nearer an input is to a
# prototype, the more its gate neuron fires. The gate is on the chip and on the bill.

# %%
learner.settle(expert, task)
for kind, born in expert.births.items():
    print(f"{kind:6s} neurons: {born}")

fig, axes = plt.subplots(2, 5, figsize=(7, 3), layout="constrained")
for prototype, ax in zip(learner.gate.descriptors[0].prototypes, axes.flat, strict=True):
    ax.imshow(prototype.reshape(8, 8), cmap="Greys")
    ax.set(xticks=[], yticks=[])
fig.suptitle("what the gate remembers of task 0")
plt.show()

# %% [markdown]
# ## Onto the chip
#
# The learner says what must be there, as populations and weights; the host places, routes and
# compiles it. Inputs enter at the ports (triangles), wires are as wide as they have
# sources, and routing tiles are darker where more of their lines are taken.

# %%
blueprint = learner.blueprint()
deployment = host.deploy(blueprint)
fig, ax = plt.subplots(figsize=(7.4, 6.6), layout="constrained")
owner = [0] * deployment.network.neurons
plots.placement_map(
    deployment.program, deployment.routing, ax=ax, owner=owner, owner_names=["expert 0"]
)
ax.set_title("the chip after task 0")
plt.show()
print("devices that hold something:", device_count(deployment.program))
print("devices written:", deployment.writes)

# %% [markdown]
# ## Run it, and compare with snnTorch
#
# The simulator counts spikes. With the weights as trained it gives the spikes that snnTorch
# gives. With the 16 conductance levels of the devices it is what the chip would do.

# %%
test = np.concatenate([t.test_inputs for t in stream.tasks])
labels = np.concatenate([t.test_labels for t in stream.tasks])
test_spikes = regular_rate(test, settings.steps)  # (samples, steps, pixels)

on_chip = deployment.raster(test_spikes)  # without quantisation, (samples, steps, neurons)
in_torch = np.zeros_like(on_chip)
fired = blueprint.run(
    encode(test, settings.steps)
)  # (steps, samples, neurons of each kind)
for part in blueprint.populations:
    in_torch[..., part.births] = fired[part.name].numpy().transpose(1, 0, 2) > 0
print(f"{in_torch.sum()} spikes in torch, {(in_torch != on_chip).sum()} differ")

recording = deployment.run(test_spikes)  # with quantisation
scores = learner.scores(lambda blueprint: deployment.counts(recording))
predicted = scores.argmax(1)
ours = np.isin(labels, task.classes)
print(f"accuracy on task 0, quantised: {(predicted == labels)[ours].mean():.1%}")

# %% [markdown]
# One test image of each digit, on the chip without quantisation. Neurons are numbered in the
# order in which they were born: outputs first, then hidden, then gate neurons. For a digit
# that the expert has never seen its outputs still speak; its gate is what stays quiet.

# %%
fig, axes = plt.subplots(1, 3, figsize=(10, 3), sharey=True, layout="constrained")
for ax, digit in zip(axes, (0, 1, 8), strict=True):
    plots.raster(on_chip[np.flatnonzero(labels == digit)[0]], ax=ax)
    ax.set_title(f"a {digit}")
for ax in axes[1:]:
    ax.set_ylabel("")
plt.show()

# %% [markdown]
# ## The bill
#
# Routes are wires, so each spike of a source causes the same events every time. Events are
# counted as integers; the price of each follows from the technology file by a formula. The
# total is the sum of the rows.

# %%
report = price(deployment.program, recording, technology)
print(f"{'event':24s} {'component':10s} {'count':>11s} {'unit price':>10s} {'energy':>9s}")
for row in report.rows:
    print(
        f"{row.event:24s} {row.component:10s} {row.count:11d} "
        f"{engineering(row.unit_price, 'J'):>10s} {engineering(row.energy, 'J'):>9s}"
    )
print(f"\nper inference: {engineering(report.energy_per_inference, 'J')}")
for component, joules in report.by_component().items():
    print(f"  {component:9s} {engineering(joules / report.samples, 'J')}")
print("resting on assumed values of:", ", ".join(name for name, _ in report.assumptions()))

# %% [markdown]
# The largest row by far is the reading of router cells that connect nothing: a spike that
# crosses a routing tile drives a whole row, and every cell in it conducts a little. On the map
# the tile that computes stands out, and around it the routers that its neurons are wired to.

# %%
fig, ax = plt.subplots(figsize=(5, 5.2), layout="constrained")
plots.energy_by_tile(report, deployment.program, ax=ax)
ax.set_title("energy by tile, after task 0")
plt.show()

# %% [markdown]
# ## All five tasks, and two other learners
#
# `run_experiments` does the same for all tasks and keeps everything in a run folder. Its task 0
# is the one above: same seed, same numbers.

# %%
names = ("naive", "grow", "joint")
configurations = [
    load_experiment(f"split-digits-{name}", [f"seeds=[{SEED}]"]) for name in names
]
folder = tempfile.TemporaryDirectory()
runs = dict(zip(names, run_experiments(configurations, folder.name, jobs=1), strict=True))
summaries = {name: summarise(run) for name, run in runs.items()}

by_hand = [
    float((predicted == labels)[np.isin(labels, t.classes)].mean()) for t in stream.tasks
]
print("task 0 by hand equals the run:", by_hand == summaries["grow"].matrix(0)[0].tolist())
print()
for name, summary in summaries.items():
    matrix, size, cost = summary.matrix(0), summary.metrics[0][-1], summary.cost[0]
    lost = forgetting(matrix)
    print(
        f"{name:6s} accuracy {average_accuracy(matrix):6.1%}  forgetting "
        f"{'undefined' if lost is None else f'{100 * lost:.1f} points':11s}  "
        f"{size['neurons']} neurons on {size['tiles']} tiles, "
        f"{engineering(cost[-1]['energy_per_inference'], 'J')} per inference, "
        f"{sum(row['writes'] for row in cost)} devices written in its life"
    )

# %% [markdown]
# Row $i$, column $j$: accuracy on task $j$ after learning task $i$. The naive learner knows
# only the last task. The growing one loses little, and what it loses, the gate loses: old
# experts are frozen, but a new one may claim an image of an old task.

# %%
fig, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
for ax, name in zip(axes, ("naive", "grow"), strict=True):
    figures.accuracy_matrix(summaries[name].matrix(0), ax=ax, title=name)
plt.show()

# %% [markdown]
# New experts settle beside old ones, because the pixels are there already: a tile next to one
# that reads them is one hop away. What was on the chip stays where it was.

# %%
grown = summaries["grow"].metrics[0]
seed_folder = runs["grow"].seeds[0].path
end = len(grown) - 1
final = load_program(seed_folder / f"program-{end}.npz")
routing = load_routing(seed_folder / f"routing-{end}.npz")
owner = grown[end]["owner"]
titles = [f"expert {e}: digits {stream.tasks[e].classes}" for e in range(max(owner) + 1)]
fig, ax = plt.subplots(figsize=(7.4, 6.6), layout="constrained")
plots.placement_map(final, routing, ax=ax, owner=owner, owner_names=titles)
ax.set_title(f"the chip after task {end}")
plt.show()

first = deployment.placement  # of task 0, above
stayed = first.tile.size
same = np.array_equal(first.tile, final.tile[:stayed]) and np.array_equal(
    first.slot, final.slot[:stayed]
)
print(f"the {stayed} neurons of task 0 stayed where they were: {same}")

# %% [markdown]
# Each expert here takes one tile, and writes only its own devices and the connections of new
# routes. The naive learner rewrites what it has.

# %%
fig, ax = plt.subplots(figsize=(6.8, 4.4), layout="constrained")
happened = dict.fromkeys(
    (d["task"], d["action"]) for d in summaries["grow"].growth[0] if d["action"] != "none"
)
figures.growth_over_time(
    [row["neurons"] for row in grown],
    [row["tiles"] for row in grown],
    ax=ax,
    writes=[row["writes"] for row in summaries["grow"].cost[0]],
    events=happened,
)
plt.show()
for name in ("naive", "grow"):
    print(name, "writes per task:", [row["writes"] for row in summaries[name].cost[0]])

# %% [markdown]
# ## What an inference costs, and under another technology
#
# All three learners cost about the same per inference: each of them has to bring the pixels to
# its tiles. The difference is in what was written over a life, above.
#
# A stored run keeps spike totals and events, so that it can be priced again without simulating.
# The second preset takes the 22 nm crossbars of a router study; it is not Mosaic either.

# %%
presets = [technology_preset(name) for name in ("rram-130nm", "rram-22nm")]
fig, axes = plt.subplots(2, 1, figsize=(7, 6), layout="constrained")
for ax, preset in zip(axes, presets, strict=True):
    bills = {name: reprice(run, preset)[f"seed-{SEED}"][-1] for name, run in runs.items()}
    plots.energy_by_component(bills, ax=ax)
    ax.set_ylabel(preset.name)
plt.show()
folder.cleanup()

# %% [markdown]
# The ratio between the two says little about chips and much about one assumption: the read
# pulse is 1 µs in the first file and 10 ns in the second. It multiplies every read. Before
# quoting a joule, sweep it: copy a technology file, change one value, and run
# `mosaic price RUN --technology FILE`.

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
# # The chip as physics: bills, real devices, wear
#
# A trained network runs on a simulated Mosaic chip. What does an inference cost, how fast
# can it be, how large is the chip, and which unknown number decides? Then the chip becomes
# a real one: conductances miss their goal, devices are stuck, drift, and wear out. How many
# of the chips that come out are good enough?
#
# No energy, latency or area of Mosaic could be verified. Nearly every physical quantity
# below is assumed, each with a source in the technology file. What is exact is the
# counting. So this notebook asks less what the chip costs than what its cost hangs on.

# %%
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import snntorch
import torch
from matplotlib.ticker import EngFormatter, PercentFormatter
from rich.console import Console
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from growth.dies import run_dies
from growth.statistics import estimate
from growth.tables import (
    area_table,
    dies_table,
    platform_table,
    sensitivity_table,
    timing_table,
    writing_table,
)
from mosaic_sim import (
    EFFECTS,
    chip_preset,
    compare,
    compile_program,
    lifetime,
    place,
    plots,
    price,
    route,
    sample_die,
    simulate,
    technology_preset,
    write_bill,
)
from mosaic_sim.interop import from_snntorch
from mosaic_sim.units import engineering
from mosaic_sim.wires import false_spike_rows

show = Console(width=100, color_system=None, force_jupyter=False).print
torch.set_num_threads(1)  # the model is small: threads would only wait for each other

# %% [markdown]
# ## A network
#
# The spiking classifier of notebook 02: 64 pixels of scikit-learn's digits, 40 hidden
# neurons, 10 outputs, 16 steps, trained with snnTorch. The network after each epoch is
# kept: at the end of this notebook, all of them are written to one chip.

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


def votes(spikes):
    """Return how often each output fires, (samples, 10)."""
    first, hidden, second, out = model
    v1, v2 = hidden.reset_mem(), out.reset_mem()
    fired = []
    for now in torch.as_tensor(spikes, dtype=torch.float32).unbind(1):
        s1, v1 = hidden(first(now), v1)
        s2, v2 = out(second(s1), v2)
        fired.append(s2)
    return torch.stack(fired).mean(0)


optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
target = torch.as_tensor(labels)
networks = []
for _ in range(15):
    for batch in np.array_split(rng.permutation(train), len(train) // 48):
        loss = torch.nn.functional.cross_entropy(8 * votes(spikes[batch]), target[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    networks.append(from_snntorch(model))

# %% [markdown]
# Onto the chip: 4 x 4 neuron tiles, weights as 16 conductance levels. This is the *ideal*
# chip, on which every device holds what it is to hold.

# %%
chip = chip_preset("demo")
technology = technology_preset("rram-130nm")

network = networks[-1]
placement = place(network, chip)
routing = route(network, chip, placement)
program = compile_program(network, chip, placement, routing)

shown, right = spikes[test], labels[test]
recording = simulate(program, shown)
report = price(program, recording, technology)
accuracy = (recording.counts[:, -10:].argmax(1) == right).mean()
print(f"accuracy on {len(test)} images, ideal chip: {accuracy:.1%}")

# %% [markdown]
# ## The bill
#
# The same joules, split three ways: by what kind of event they pay for, by the kind of tile
# in which it happens, and by who causes it. A layer causes whatever its spikes set off,
# wherever on the chip. Each split is made of whole numbers of events and adds up to the
# same total.

# %%
splits = {
    "what for": report.by_component(),
    "where": report.by_kind(),
    "caused by": report.by_group(network.groups),
}
for title, parts in splits.items():
    print(f"{title}:")
    for name, joules in parts.items():
        each = engineering(joules / report.samples, "J")
        print(f"  {name:12s} {each:>8s} per inference {joules / report.energy:7.1%}")
    print(f"  {'sum':12s} {engineering(sum(parts.values()) / report.samples, 'J'):>8s}")

print(f"\nper inference            {engineering(report.energy_per_inference, 'J')}")
print(f"per spike of a neuron    {engineering(report.energy_per_spike, 'J')}")
each = engineering(report.energy_per_synaptic_operation, "J")
print(f"per synaptic operation   {each}")
print(f"synaptic operations      {report.synaptic_operations / report.samples:,.0f}")
print(f"hops                     {report.hops / report.samples:,.0f}")

fig, (left, middle) = plt.subplots(
    1, 2, figsize=(10.5, 4), width_ratios=[1.5, 1], layout="constrained"
)
plots.energy_by_component({"digits": report}, ax=left)
plots.energy_by_tile(report, program, ax=middle)
plt.show()

# %% [markdown]
# Energy per spike and per synaptic operation are the whole bill divided by their number.
# Who spikes most need not cost most: a spike costs by how far it goes, and by how many rows
# it reads.

# %%
pixels, neurons = recording.total[: program.inputs].sum(), report.neuron_spikes
for name, group in (("inputs", "(inputs)"), ("hidden neurons", "layer 0")):
    fired = (
        pixels if name == "inputs" else recording.total[program.first_neuron :][:40].sum()
    )
    joules = report.by_group(network.groups)[group]
    print(
        f"{name:15s} {fired / (pixels + neurons):.0%} of all spikes, "
        f"{joules / report.energy:.0%} of the energy, {engineering(joules / fired, 'J')} each"
    )

# %% [markdown]
# ## Time and area
#
# Within one step, a spike has to pass every crossbar on its way to the outputs. The way is
# bounded from above, and gives the smallest step that is allowed. The published training
# code takes steps of 1 ms, as this technology file does; the circuit has time to spare.

# %%
show(timing_table(report))
show(area_table(report))

# %% [markdown]
# Every crossbar is there in full size, whatever it holds. This network computes on few of
# the tiles, and what it does not use is switched off. In the smallest steps it draws more
# power: the same spikes in less time.

# %% [markdown]
# ## What the bill rests on
#
# How many per cent more does an inference cost for 1 % more of a quantity? Orange is
# assumed.

# %%
used = report.assumptions()
print(f"{len(used)} assumed quantities are behind this energy")
show(sensitivity_table(technology, {e.name: e.elasticity for e in report.sensitivity()}))

fig, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
plots.sensitivity(report, ax=ax)
plt.show()

# %% [markdown]
# The read voltage enters squared, the read pulse linearly, and both multiply nearly
# everything. Neither is known for Mosaic. So sweep: the run is not repeated, only its
# counts are priced again. The same pulse also sets how fast a step can be.

# %%
pulses = np.logspace(-9, -5, 17)
swept = [
    price(program, recording, technology.with_values(read_pulse=pulse)) for pulse in pulses
]
fig, (left, middle) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for name, colour in (("synapses", "#0072B2"), ("routing", "#009E73")):
    joules = [r.by_component()[name] / r.samples for r in swept]
    left.plot(pulses, joules, label=name, color=colour)
left.plot(pulses, [r.energy_per_inference for r in swept], color="black", label="all")
left.set(ylabel="energy per inference [J]", ylim=(1e-9, 1e-5))
middle.plot(pulses, [r.timing.smallest_step for r in swept], color="black")
middle.set(ylabel="smallest step [s]", ylim=(1e-7, 1e-4))
for ax in (left, middle):
    ax.set(xlabel="read pulse [s]", xscale="log", yscale="log")
    ax.axvline(technology["read_pulse"].value, color="#999999", linestyle=":")
left.legend(frameon=False)
plt.show()

for pulse in (1e-9, 1e-8, 1e-7, 1e-6):
    again = price(program, recording, technology.with_values(read_pulse=pulse))
    print(
        f"pulse {engineering(pulse, 's'):>7s}: "
        f"{engineering(again.energy_per_inference, 'J'):>7s} per inference, smallest step "
        f"{engineering(again.timing.smallest_step, 's')}"
    )

# %% [markdown]
# The dotted line is the value of the file. With ever shorter pulses the energy stops
# falling: what is left is mostly the sensing of columns, which has a price of its own in
# the file, although a current that flows for the pulse would become cheaper with it. A
# sweep of one quantity holds all others fixed. The step stops shrinking too, because
# columns have to settle.
#
# ## Another technology, other platforms
#
# The second preset takes crossbars in 22 nm from a study of routers. Same counts, other
# prices.

# %%
small = technology_preset("rram-22nm")
bill = price(program, recording, small)
shorter = technology.with_values(read_pulse=small["read_pulse"].value)
halfway = price(program, recording, shorter)
for name, one in (
    (technology.name, report), (f"{technology.name}, its pulse", halfway), (small.name, bill)
):  # fmt: skip
    print(
        f"{name:21s} pulse {one.technology['read_pulse']!s:>7s}: "
        f"{engineering(one.energy_per_inference, 'J'):>7s} per inference, chip "
        f"{engineering(one.area.total, 'm2')}"
    )
print(
    f"the pulse alone: {report.energy / halfway.energy:.1f} times less, the rest of the file: "
    f"{halfway.energy / bill.energy:.1f} times less"
)

# %% [markdown]
# Below are the events of this run at the published prices of other platforms. The caption
# says what such a table can tell, and what not.

# %%
show(platform_table(report, compare(report)))

# %% [markdown]
# ## Real devices
#
# `sample_die` makes one sample of the hardware, a *die*, and writes the program to it. Here
# is what the devices of one die really conduct after a single pulse each, and after
# *program and verify*: pulse, read, and again until the device is within the tolerance of
# its goal, 20 times at most.

# %%
levels = np.abs(program.level.astype(int))
adds = np.where(program.level > 0, 0, 1)  # which device of its pair holds the synapse
held = np.flatnonzero(levels)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True, layout="constrained")
for ax, attempts in zip(axes, (1, 20), strict=True):
    die = sample_die(
        program, technology, effects=["programming", "variation"], attempts=attempts
    )
    real = die.conductance[held, adds[held]]
    low, high = technology["synapse_lowest"].value, technology["synapse_highest"].value
    goal = low + (high - low) * levels[held] / (program.levels - 1)
    within = np.abs(real - goal) <= technology["write_tolerance"].value
    ax.plot(goal, real, ".", markersize=3, color="#0072B2")
    ax.plot([low, high], [low, high], color="black", linewidth=0.8)
    ax.xaxis.set_major_formatter(EngFormatter("S"))
    ax.yaxis.set_major_formatter(EngFormatter("S"))
    ax.set(title=f"attempts: {attempts}", xlabel="wanted conductance")
    print(
        f"attempts {attempts:2d}: {within.mean():6.1%} within the tolerance of "
        f"{technology['write_tolerance']}, {die.pulses[held, adds[held]].mean():.2f} pulses each"
    )
axes[0].set_ylabel("real conductance")
plt.show()

# %% [markdown]
# ### Effect by effect
#
# Twelve dies for each imperfection alone, and for all of them, a month after writing. One
# dot is one die. The bar is the mean with its 95 % interval over dies; all dies see the
# same 400 images, so that it says nothing about other images. On the right, how many spike
# counts differ from the ideal chip, which is the finer measure.

# %%
DIES, MONTH = 12, 30 * 24 * 3600.0


def sample(technology=technology, dies=DIES, **options):
    """Run a number of dies on the test images."""
    return run_dies(program, technology, shown, dies=dies, labels=right, **options)


found = {name: sample(effects=[name], age=MONTH) for name in EFFECTS}
found["all"] = sample(age=MONTH)

fig, (left, middle) = plt.subplots(
    1, 2, figsize=(10, 4.4), sharey=True, layout="constrained"
)
for row, dies in enumerate(found.values()):
    for ax, values in ((left, dies.score), (middle, dies.differing)):
        mean = estimate(values)
        ax.plot(values, np.full(DIES, row), "o", markersize=4, color="#56B4E9", alpha=0.6)
        ax.errorbar(mean.mean, row, xerr=mean.high - mean.mean, fmt="|", color="black")
left.axvline(found["all"].ideal, color="#999999", linestyle=":")
left.set(yticks=range(len(found)), yticklabels=list(found), ylim=(len(found) - 0.5, -0.5))
left.set_xlabel("accuracy; dotted: ideal chip")
middle.set_xlabel("spike counts that differ from the ideal chip")
for ax in (left, middle):
    ax.xaxis.set_major_formatter(PercentFormatter(1))
plt.show()

print(f"{'effect':12s} accuracy [%]   worst die   differing [%]   energy per inference")
for name, dies in found.items():
    energy = engineering(dies.energy.mean(), "J")
    print(
        f"{name:12s} {dies.mean.text(100):12s}   {100 * dies.score.min():9.1f}   "
        f"{estimate(dies.differing).text(100):13s}   {energy}"
    )
same = [name for name, dies in found.items() if not dies.differing.any()]
print("not one spike count differs on any die:", ", ".join(same))

# %% [markdown]
# At the assumed strengths no effect costs this network much by itself, though many of its
# spike counts differ. A die may even do better than the ideal chip, which is not the best of
# all networks nearby. Together the effects cost more, and dies lie points apart. Spread and
# wires of routing tiles change not one spike count, but the bill. Drift makes it smaller,
# since devices conduct less.
#
# The strengths are assumed, so a better question is how much worse a device may be. Each
# quantity below is scaled with only its own effect switched on, eight dies a point.

# %%
TIMES = (1, 2, 4, 8, 16)
scaled = {
    "programming_floor": ("programming", TIMES),
    "device_variation": ("variation", TIMES),
    "read_noise": ("reading", TIMES),
    "time_constant_spread": ("mismatch", (1, 2, 4)),
    "stuck_hcs": ("stuck", TIMES),
    "stuck_lcs": ("stuck", TIMES),
    "router_lcs_spread": ("spread", (1, 1.5, 2)),
    "drift_exponent": ("drift", TIMES),
}
said = []
fig, axes = plt.subplots(
    2, 4, figsize=(10.5, 5), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, (effect, factors)) in zip(axes.flat, scaled.items(), strict=True):
    runs = [
        sample(technology.scaled(name, f), 8, effects=[effect], age=MONTH) for f in factors
    ]
    middle = np.array([dies.mean.mean for dies in runs])
    half = np.array([dies.mean.high for dies in runs]) - middle
    ax.errorbar(factors, middle, yerr=half, fmt="o-", markersize=4, color="#0072B2")
    ax.axhline(accuracy, color="#999999", linestyle=":")
    ax.set_title(f"{name}\nfrom {technology[name]}", size="medium")
    ax.set(xscale="log", xticks=TIMES, xticklabels=TIMES, ylim=(0, 1))
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    said.append(f"{name}: {', '.join(f'{m:.0%}' for m in middle)}")
    for f, dies in zip(factors, runs, strict=True):
        if dies.lost.any() or dies.false.any():
            said.append(
                f"  {f:g} times: of {program.sources} sources, {dies.lost.mean():.1f} miss a "
                f"connection, {dies.false.mean():.1f} are led astray"
            )
fig.supxlabel("times the assumed value")
fig.supylabel("accuracy; dotted: ideal chip")
plt.show()
print("\n".join(said))

# %% [markdown]
# Where the network gives way differs in kind. Noise of weights wears it down. Routing tiles
# fail over a cliff: once low states spread beyond the threshold, spikes go where nobody
# sent them, and once high states have drifted below it, spikes do not arrive. Devices stuck
# at high conductance hurt, those stuck at low conductance do not, as far as is shown here.
# (Where one share of stuck devices is scaled, the other stays as assumed.)
#
# ### Program and verify
#
# More attempts cost pulses, reads and time, and bring weights nearer to their goal. At the
# assumed noise of programming, and at four times that.

# %%
ATTEMPTS, NOISY = (1, 2, 5, 10, 20, 50), ["programming", "variation"]
said = []
fig, axes = plt.subplots(1, 3, figsize=(10.5, 3.6), layout="constrained")
for factor, colour in ((1, "#0072B2"), (4, "#D55E00")):
    other = technology.scaled("programming_floor", factor)
    label = f"noise {other['programming_floor']}"
    said.append(label)
    means, pulses, energies = [], [], []
    for attempts in ATTEMPTS:
        means.append(sample(other, effects=NOISY, attempts=attempts).mean)
        bill = write_bill(None, program, other, effects=NOISY, attempts=attempts)
        pulses.append(bill.pulses.sum())
        energies.append(bill.energy)
        said.append(
            f"  attempts {attempts:2d}: accuracy {means[-1].text(100)} %, {pulses[-1]:,} pulses, "
            f"{engineering(bill.energy, 'J')}, {engineering(bill.time, 's')} to write"
        )
    middle = np.array([m.mean for m in means])
    half = np.array([m.high for m in means]) - middle
    axes[0].errorbar(ATTEMPTS, middle, yerr=half, fmt="o-", markersize=4, color=colour)
    axes[1].plot(ATTEMPTS, pulses, "o-", markersize=4, color=colour, label=label)
    axes[2].plot(ATTEMPTS, energies, "o-", markersize=4, color=colour)
axes[0].axhline(accuracy, color="#999999", linestyle=":")
axes[0].set(ylabel="accuracy; dotted: ideal chip")
axes[0].yaxis.set_major_formatter(PercentFormatter(1))
axes[1].set(ylabel="pulses to write the chip", ylim=(0, None))
axes[1].legend(frameon=False)
axes[2].set(ylabel="energy to write the chip", ylim=(0, None))
axes[2].yaxis.set_major_formatter(EngFormatter("J"))
for ax in axes:
    ax.set(xlabel="attempts at most", xscale="log")
    ax.set_xticks(ATTEMPTS, ATTEMPTS)
    ax.minorticks_off()
plt.show()
print("\n".join(said))

# %% [markdown]
# At the assumed noise a single pulse is about as good as the ideal chip, and verification
# has little to gain. At four times the noise it recovers what was lost. It costs time
# before energy: a read takes longer than the pulse that it verifies.
#
# ### Spikes that meet
#
# In a routing tile, currents of spikes that arrive together add up, also those of devices
# that connect nothing. From some number of rows on they pass the threshold, a spike is
# invented, and it drives more rows. A step is divided into windows; spikes in the same one
# meet. By default there are as many windows as read pulses in a step, and in the table
# above coincidence did nothing.

# %%
WINDOWS = (5, 6, 8, 12, 16, 32)
few = simulate(program, shown[:100])
base = (few.counts[:, -10:].argmax(1) == right[:100]).mean()
least = price(program, few, technology).energy_per_inference
runs = [
    run_dies(
        program, technology, shown[:100], dies=4, labels=right[:100],
        effects=["coincidence", "spread"], windows=windows,
    )
    for windows in WINDOWS
]  # fmt: skip
means, energies = [dies.mean for dies in runs], [dies.energy.mean() for dies in runs]

rows = false_spike_rows(
    technology["router_lcs"].value, technology["router_threshold"].value
)
print(f"{rows} rows that connect nothing, driven together, invent a spike")
print(f"ideal chip: accuracy {100 * base:.1f} %, {engineering(least, 'J')} per inference")
for windows, mean, energy in zip(WINDOWS, means, energies, strict=True):
    print(
        f"windows {windows:2d}: accuracy {mean.text(100)} %, "
        f"{engineering(energy, 'J')} per inference"
    )
pulse, step = technology["read_pulse"].value, technology["step_time"].value
print(f"read pulses in a step of {engineering(step, 's')}: {step / pulse:,.0f}")
print(f"read pulses in the smallest step: {report.timing.smallest_step / pulse:.1f}")

fig, (left, middle) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
half = [m.high - m.mean for m in means]
left.errorbar(WINDOWS, [m.mean for m in means], yerr=half, fmt="o-", markersize=4)
left.axhline(base, color="#999999", linestyle=":")
left.set(ylabel="accuracy; dotted: ideal chip", ylim=(0, 1))
left.yaxis.set_major_formatter(PercentFormatter(1))
middle.plot(WINDOWS, energies, "o-", markersize=4)
middle.axhline(least, color="#999999", linestyle=":")
middle.set(ylabel="energy per inference [J]; dotted: ideal chip")
middle.set(yscale="log", ylim=(1e-7, 1e-5))
for ax in (left, middle):
    ax.set(xlabel="windows in a step", xscale="log")
    ax.set_xticks(WINDOWS, WINDOWS)
    ax.minorticks_off()
plt.show()

# %% [markdown]
# The fewer windows, the more spikes are invented, and each is paid for. The smallest step,
# in which every spike has the time to arrive, has room for fewer windows than the least
# shown here. So under these assumptions coincidence, not the longest way, says how fast
# this chip can be. (A hundred images and four dies: chain reactions take long to simulate.)
#
# ### Drift
#
# The same dies at ages from a second to ten years, with all effects but coincidence, for
# the assumed exponent, four and ten times that. Nothing is written again.

# %%
FIXED = [effect for effect in EFFECTS if effect != "coincidence"]
said = []
AGES = np.array([1.0, 1e2, 1e4, 1e6, 10 * 365.25 * 24 * 3600])
fig, (left, middle) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for factor, colour in ((1, "#0072B2"), (4, "#E69F00"), (10, "#D55E00")):
    other = technology.scaled("drift_exponent", factor)
    aged = [sample(other, 10, effects=FIXED, age=age) for age in AGES.tolist()]
    means = np.array([dies.mean.mean for dies in aged])
    half = np.array([dies.mean.high for dies in aged]) - means
    label = f"exponent {other['drift_exponent']}"
    left.errorbar(AGES, means, yerr=half, fmt="o-", markersize=4, color=colour, label=label)
    energies = [dies.energy.mean() for dies in aged]
    middle.plot(AGES, energies, "o-", markersize=4, color=colour)
    said.append(label)
    for age, dies in zip(AGES, aged, strict=True):
        said.append(
            f"  {age:11,.0f} s: accuracy {dies.mean.text(100)} %, "
            f"{engineering(dies.energy.mean(), 'J')} per inference, {dies.lost.mean():.1f} of "
            f"{program.sources} sources miss a connection"
        )
left.axhline(accuracy, color="#999999", linestyle=":")
left.set(ylabel="accuracy; dotted: ideal chip", ylim=(0, 1))
left.yaxis.set_major_formatter(PercentFormatter(1))
left.legend(frameon=False, loc="lower left")
middle.set(ylabel="energy per inference", ylim=(0, None))
middle.yaxis.set_major_formatter(EngFormatter("J"))
for ax in (left, middle):
    ax.set(xlabel="age [s]", xscale="log")
plt.show()
print("\n".join(said))

# %% [markdown]
# Energy falls from the start. Accuracy holds for longer, and breaks down where sources
# begin to miss connections, because routing devices have drifted below the threshold.
#
# ### Yield
#
# Of fifty dies with all effects but coincidence, a month after writing, how many are at
# least as accurate as wanted? The band is the 95 % interval of Clopper and Pearson.

# %%
WANTED = 0.9
fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
scores = np.linspace(0.84, 0.95, 45)
for attempts, colour in ((1, "#0072B2"), (5, "#E69F00")):
    dies = sample(dies=50, effects=FIXED, attempts=attempts, age=MONTH)
    above = [dies.yield_above(score) for score in scores]
    ax.plot(scores, [y.share for y in above], color=colour, label=f"attempts: {attempts}")
    ax.fill_between(
        scores, [y.low for y in above], [y.high for y in above], color=colour, alpha=0.2,
        linewidth=0,
    )  # fmt: skip
    show(dies_table(dies, WANTED, report.energy_per_inference))
ax.axvline(WANTED, color="#999999", linestyle=":")
ax.set(xlabel="wanted accuracy", ylabel="dies that have it", ylim=(0, 1.02))
ax.xaxis.set_major_formatter(PercentFormatter(1))
ax.yaxis.set_major_formatter(PercentFormatter(1))
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# With fifty dies the bands are wide, and overlap: on yield, they cannot tell whether
# verification helps. The mean says more than the share above a line, and neither says what
# another network would do. `mosaic simulate ... --devices 50` prints the same table for
# networks from files.
#
# ## Writing and wear
#
# A blank chip is written once in full. After that, only devices whose level changes are
# written, each with a RESET pulse first, unless it held nothing. Here all networks of the
# training, epoch by epoch, are written one after the other to one chip, as a chip that goes
# on learning would do.

# %%
history = [compile_program(one, chip, placement, routing) for one in networks]
show(writing_table(write_bill(None, program, technology), technology, attempts=1))

blank = write_bill(None, history[0], technology)
bills = [
    blank,
    *(write_bill(old, new, technology) for old, new in pairwise(history)),
]
changed = [bill.devices for bill in bills]
fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.bar(range(1, len(bills) + 1), changed, color="#0072B2")
ax.set(xlabel="epoch that is written", ylabel="devices written")
plt.show()
for epoch in (1, 2, len(bills)):
    bill = bills[epoch - 1]
    print(
        f"epoch {epoch:2d}: {bill.devices:,} devices, {bill.pulses.sum():,} pulses, "
        f"{engineering(bill.energy, 'J')}, {engineering(bill.time, 's')}"
    )

# %%
for name, options in (
    ("one pulse each", {}),
    ("up to 5 attempts", {"effects": NOISY, "attempts": 5}),
):
    life = lifetime(history, technology, **options)
    print(
        f"{name:17s} most worn device: {life.worst} pulses, mean {life.mean:.1f}; of an endurance "
        f"of {technology['endurance']} {life.used:.1e}; {life.tasks:,.0f} such programs last"
    )
total = sum(bill.energy for bill in bills)
print(
    f"writing all {len(bills)} epochs takes {engineering(total, 'J')}, as much as "
    f"{total / report.energy_per_inference:.1f} inferences"
)

# %% [markdown]
# The first epoch is written to a blank chip. Later ones change fewer devices, but each of these
# takes a RESET as well, so that the second takes more pulses than the first. On this chip energy
# is not what writing costs: it is life, and verification takes more of that, since the most worn
# device takes more pulses. Endurance is assumed, like the rest.
#
# ## What this is good for
#
# Ratios on one chip, margins, and the order in which things fail. Not joules of a
# fabricated Mosaic: every table above rests on the assumed quantities, and changes with
# them. Change them in a copy of the technology file (`mosaic technology show rram-130nm`),
# and run this notebook again.

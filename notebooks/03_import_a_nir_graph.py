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
# # Import a NIR graph made elsewhere
#
# [NIR](https://neuroir.org) is the exchange format of spiking networks: norse, snnTorch, sinabs,
# Lava and others write it. A NIR graph is in continuous time, and leaves some things open that
# change spikes. This notebook makes a graph as another tool would, reads it, looks at what had
# to be assumed, runs it on a chip, prices it, and writes it back.

# %%
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import nir
import numpy as np

from mosaic_sim import (
    Device,
    chip_preset,
    compile_program,
    place,
    plots,
    price,
    route,
    simulate,
    technology_preset,
)
from mosaic_sim.interop.nir import from_nir, to_nir, write_nir
from mosaic_sim.units import engineering

folder = tempfile.TemporaryDirectory()
here = Path(folder.name)

# %% [markdown]
# ## A graph
#
# Four neurons compete. Each listens to eight channels of its own and excites itself a little;
# all excite one inhibitory neuron, which holds all of them down. Whoever gets most input wins.
# This uses the package `nir` alone.

# %%
tau, fast = 16e-3, 4e-3  # of membranes and of the inhibitory current [s]


def values(number, size):
    return np.full(size, float(number))


choice = nir.LIF(
    tau=values(tau, 4), r=values(16, 4), v_leak=values(0, 4), v_threshold=values(1, 4),
    v_reset=values(0, 4),
)  # fmt: skip
brake = nir.CubaLIF(
    tau_mem=values(tau, 1), tau_syn=values(fast, 1), r=values(16, 1), v_leak=values(0, 1),
    v_threshold=values(1, 1), v_reset=values(0, 1), w_in=values(4, 1),
)  # fmt: skip
graph = nir.NIRGraph(
    nodes={
        "input": nir.Input(np.array([32])),
        "listen": nir.Linear(np.kron(np.eye(4), np.full((1, 8), 0.25))),
        "choice": choice,
        "insist": nir.Linear(0.5 * np.eye(4)),
        "rouse": nir.Linear(np.full((1, 4), 0.75)),
        "brake": brake,
        "calm": nir.Linear(np.full((4, 1), -0.75)),
        "output": nir.Output(np.array([4])),
    },
    edges=[
        ("input", "listen"), ("listen", "choice"), ("choice", "output"),
        ("choice", "insist"), ("insist", "choice"),
        ("choice", "rouse"), ("rouse", "brake"), ("brake", "calm"), ("calm", "choice"),
    ],
)  # fmt: skip
nir.write(str(here / "competition.nir"), graph)

# %% [markdown]
# ## Read it
#
# A chip takes steps, so the length of a step has to be said: a membrane keeps
# `1 - dt / tau` of itself at each. What a spike does to the membrane is in no NIR file. NIR's own
# equation sets it to `v_reset` at once; the cells of snnTorch subtract the threshold one step
# later, which is `reset="subtract", prompt=False`.

# %%
DT = 1e-3
read = from_nir(here / "competition.nir", dt=DT, reset="subtract", prompt=False)
network = read.network

print(f"{network.inputs} inputs, {network.neurons} neurons, {network.synapses} synapses")
for name, members in network.groups.items():
    print(f"{name}: neurons {members.tolist()}, leak {network.leak[members]}")

# %% [markdown]
# The notes say what was assumed or changed on the way. Here: a loop cannot act within one step,
# so what goes along one edge of each arrives a step later. A node `nir.Delay` in the loop says
# which.

# %%
for note in read.notes:
    print("-", note)

# %% [markdown]
# ## Run it
#
# Poisson-like input: the channels of one neuron are busier than the rest, and every quarter of a
# second it is another's turn.

# %%
STEPS = 1000
rng = np.random.default_rng(1)
turn = np.repeat([0, 2, 1, 3], STEPS // 4)  # whose channels are busy, by step
rate = np.where(np.repeat(np.arange(4), 8) == turn[:, None], 60, 25)  # [1 / s]
spikes = rng.random((5, STEPS, 32)) < rate * DT  # five samples

chip = chip_preset("demo")
placement = place(network, chip)
routing = route(network, chip, placement)
program = compile_program(network, chip, placement, routing)
recording = simulate(program, spikes, raster=True, voltages=[0, 1, 2, 3, 4])

fig, (top, bottom) = plt.subplots(
    2, 1, figsize=(8, 5), height_ratios=[2, 1.2], sharex=True, layout="constrained"
)
plots.raster(
    spikes[0],
    ax=top,
    dt=DT,
    groups={f"to neuron {k}": range(8 * k, 8 * k + 8) for k in range(4)},
)
top.set(title="in", ylabel="channel", xlabel="")
plots.raster(recording, ax=bottom, dt=DT, groups=network.groups)
bottom.set_title("out")
plt.show()

wins = recording.raster[:, :, :4].reshape(5, 4, STEPS // 4, 4).sum((0, 2))
print("spikes of the four neurons in each quarter:")
print(wins)

# %% [markdown]
# The membranes around the first change: the brake fires after whoever wins, and pulls all four
# below zero.

# %%
ax = plots.voltage(recording, threshold=program.threshold[recording.watched], dt=DT)
ax.set_xlim(0.2, 0.32)
ax.set_title("choice (0 to 3) and brake (4)", loc="left")
plt.show()

# %% [markdown]
# ## Is it right?
#
# The equations of the graph in plain NumPy, step by step, against the chip with the weights as
# they are in the file (`exact=True`).


# %%
def by_hand(x):
    """Return the spikes of choice and brake, (steps, 5)."""
    v, current, fired = np.zeros(5), 0.0, np.zeros(5)
    out = []
    for now in x.astype(float):
        before = fired
        push = graph.nodes["listen"].weight @ now + 0.5 * before[:4] - 0.75 * before[4]
        v[:4] = (1 - DT / tau) * v[:4] + push - before[:4]
        fired = np.append(v[:4] > 1, False)
        current = (1 - DT / fast) * current + 0.75 * fired[:4].sum()
        v[4] = (1 - DT / tau) * v[4] + current - before[4]
        fired[4] = v[4] > 1
        out.append(fired)
    return np.array(out, bool)


exact = compile_program(network, chip, placement, routing, device=Device(exact=True))
on_chip = simulate(exact, spikes, raster=True).raster
expected = np.array([by_hand(x) for x in spikes])
print(f"{(on_chip != expected).sum()} of {expected.sum():,} spikes differ")

# %% [markdown]
# ## What a wrong guess costs
#
# The same file, read with other answers to what it leaves open. The winners stay the same, the
# spikes do not. No reading is wrong by itself: ask the tool that wrote the graph.

# %%
readings = {
    "subtract, a step later": {"reset": "subtract", "prompt": False},
    "subtract, at once": {"reset": "subtract", "prompt": True},
    "zero, at once (NIR's equation)": {"reset": "zero", "prompt": True},
    "exponential method": {"reset": "subtract", "prompt": False, "method": "exponential"},
}
for name, options in readings.items():
    other = from_nir(here / "competition.nir", dt=DT, **options).network
    image = compile_program(other, chip, placement, routing, device=Device(exact=True))
    fired = simulate(image, spikes, raster=True).raster
    winners = fired[:, :, :4].reshape(5, 4, STEPS // 4, 4).sum((0, 2)).argmax(1)
    print(
        f"{name:31s} {fired.sum()} spikes, {(fired & on_chip).sum()} of them also in the first "
        f"reading; winners {winners.tolist()}"
    )

# %% [markdown]
# ## The bill
#
# A bill is a matter of spike counts alone. So it can be asked what the input costs: the same
# counts, but for the neurons, which are given none.

# %%
technology = technology_preset("rram-130nm")
report = price(program, recording, technology)
print(f"{engineering(report.energy_per_inference, 'J')} for a second of competition")

counts = recording.total.copy()
counts[program.first_neuron :] = 0
unheard = price(program, counts, technology, samples=recording.samples, steps=STEPS)
print(
    f"{unheard.energy / report.energy:.0%} of it brings input to the tile, and reads it there"
)
fig, (left, right) = plt.subplots(
    1, 2, figsize=(10, 4), width_ratios=[1.3, 1], layout="constrained"
)
plots.energy_by_component({"competition": report}, ax=left)
plots.rate_map(program, recording, ax=right)
plt.show()

# %% [markdown]
# ## Write it back
#
# `to_nir` turns any network of this simulator into a graph, with time constants for the steps
# that you name, and says what NIR cannot carry. The reset is kept in the metadata of the nodes;
# `from_nir` finds it there, so the way back needs no guess.

# %%
exported = to_nir(network, dt=DT)
write_nir(here / "again.nir", exported.graph)
print("nodes:", ", ".join(exported.graph.nodes))
for note in exported.notes:
    print("-", note)

again = from_nir(here / "again.nir", dt=DT).network
image = compile_program(again, chip, placement, routing, device=Device(exact=True))
fired = simulate(image, spikes, raster=True).raster
print(
    f"\n{(fired != on_chip).sum()} of {on_chip.sum():,} spikes differ after the round trip"
)

# %% [markdown]
# ## The same from the command line
#
# `mosaic simulate` does all of this with files: a graph, spikes, and a chip. The chip may be the
# name of a preset, or a TOML file with its fields.

# %%
(here / "chip.toml").write_text('preset = "demo"\nrows = 2\ncolumns = 2\n')
np.savez(here / "spikes.npz", spikes=spikes)
command = [
    Path(sys.executable).with_name("mosaic"), "simulate", "competition.nir", "--input",
    "spikes.npz", "--chip", "chip.toml", "--dt", "1e-3", "--reset", "subtract",
    "--reset-delay", "--out", "results",
]  # fmt: skip
printed = subprocess.run(
    command, cwd=here, capture_output=True, text=True, check=True
).stdout
print(printed[: printed.index("Assumed quantities")].rstrip())

# %%
facts = json.loads((here / "results" / "report.json").read_text())
print("written:", ", ".join(sorted(path.name for path in (here / "results").iterdir())))
print("in report.json:", ", ".join(facts))
folder.cleanup()

"""Runs of a few seconds, and a plain twin of the model that shares nothing with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from growth.config import Experiment, load_experiment
from growth.learner import run_seed
from growth.model import SpikingNet
from growth.runs import RunFolder

RECORDS = ("metrics", "growth", "cost")


def tiny(strategy: str, *settings: str) -> Experiment:
    """Two tasks of two digits, two epochs, one seed; so little training gains little."""
    small = (
        "seeds=[0]", "train.epochs=2", "train.batch=32", "stream.classes=[[0,1],[2,3]]",
        "stream.steps=8", "hidden=12", "grow.loss_per_nanojoule=3e-4",
    )  # fmt: skip
    return load_experiment(f"split-digits-{strategy}", (*small, *settings))


def quiet(share: float) -> None:
    """Show no progress."""


def run(experiment: Experiment, root: Path, progress=quiet) -> RunFolder:
    """Run all seeds in this process."""
    folder = RunFolder.create(root, experiment)
    for seed in experiment.seeds:
        run_seed(experiment, seed, folder.seed(seed), progress)
    return folder


def records(folder: RunFolder, seed: int = 0) -> dict[str, bytes]:
    """What has to be the same byte for byte, by name."""
    part = folder.seed(seed).path
    return {name: (part / f"{name}.jsonl").read_bytes() for name in RECORDS}


def torch_raster(blueprint, spikes):
    """Spikes of all neurons by number, (samples, steps, neurons), as the package runs them."""
    found = blueprint.run(torch.from_numpy(spikes.transpose(1, 0, 2).astype(np.float32)))
    fired = np.zeros((*spikes.shape[:2], blueprint.neurons), np.bool_)
    for population in blueprint.populations:
        fired[..., population.births] = (
            found[population.name].numpy().transpose(1, 0, 2) > 0
        )
    return fired


def lif(current: np.ndarray, leak: float) -> np.ndarray:
    """Oracle: spikes of neurons with threshold 1 from their input, (steps, ..., neurons)."""
    membrane, fired, spikes = np.zeros_like(current[0]), np.zeros(current[0].shape), []
    for now in current:
        membrane = leak * membrane + now - fired
        fired = (membrane > 1).astype(current.dtype)
        spikes.append(fired)
    return np.stack(spikes)


def raster_of(model: SpikingNet, spikes: np.ndarray) -> np.ndarray:
    """Oracle: spikes of all neurons by number, (samples, steps, neurons), from inputs so."""
    drive = spikes.transpose(1, 0, 2).astype(np.float32)
    fired = np.full((*drive.shape[:2], model.neurons), np.nan)
    for expert in model.experts:
        into_hidden, into_out, weight, bias = (
            part.detach().numpy()
            for part in (
                expert.into_hidden, expert.into_out, expert.gate_weight, expert.gate_bias,
            )
        )  # fmt: skip
        hidden = lif(drive @ into_hidden.T, model.leak)
        fired[:, :, expert.births["hidden"]] = hidden
        fired[:, :, expert.births["out"]] = lif(hidden @ into_out.T, model.leak)
        fired[:, :, expert.births["gate"]] = lif(drive @ weight.T + bias, model.leak)
    assert not np.isnan(fired).any()
    return fired.transpose(1, 0, 2) > 0

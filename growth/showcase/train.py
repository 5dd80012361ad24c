"""Training one variant with one seed, epoch by epoch, so that it goes on after a kill."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from growth.hardware import Disturbance, TiledNetwork, disturb, rewire
from growth.hardware.regularise import RoutingEnergy, hop_penalty, hop_prices
from mosaic_sim.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from growth.showcase.plan import ShowcasePlan, Trained, Variant
    from growth.showcase.task import SignalTask
    from growth.simulation import Chip, Technology

__all__ = ["answers", "build", "train", "trim"]

ROWS = 500
"""Samples that are evaluated at once."""


def build(plan: ShowcasePlan, cell: Trained, channels: int, labels: int) -> TiledNetwork:
    """Return the network of a cell as it is before training."""
    net = plan.net_of(cell.variant)
    model = TiledNetwork(
        net.rows, net.columns, net.neurons_per_tile, inputs=channels, outputs=labels,
        profile=cell.variant.profile or net.profile, beta=net.beta,
        input_tiles=net.input_tiles, slope=net.slope, gain=net.gain, seed=cell.seed,
    )  # fmt: skip
    with torch.no_grad():
        model.incoming.mul_(net.input_gain)
    return model


def train(
    plan: ShowcasePlan,
    cell: Trained,
    model: TiledNetwork,
    task: SignalTask,
    chip: Chip,
    technology: Technology,
    checkpoint: Path | None = None,
    done: Callable[[], None] = lambda: None,
) -> list[float]:
    """Train a network in place; return the mean loss of each epoch.

    Everything random follows from the seed and the number of the epoch, so what a checkpoint has
    to hold is weights, connections, what the optimiser remembers, and losses.

    Parameters
    ----------
    plan, cell
    model : TiledNetwork
        From `build`.
    task : SignalTask
    chip : Chip
        That connections are priced and pruned for.
    technology : Technology
    checkpoint : Path, optional
        Written whole after each epoch; if it is there, training goes on from it.
    done : callable
        Called after each epoch, also for those that are in the checkpoint.
    """
    settings, variant = plan.train, cell.variant
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    seen = disturbance_of(variant, plan.levels, technology)
    extra = _regulariser(variant, model, chip, technology, plan.data.steps)
    number = settings.epoch_samples or len(task.train)
    batches = max(number // settings.batch, 1)
    losses: list[float] = []
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        losses = state["losses"]
        for _ in losses:
            done()
    for epoch in range(len(losses), settings.epochs):
        order = _order(task, number, cell.seed, epoch)
        noise = torch.Generator().manual_seed(_number(cell.seed, epoch))
        total = 0.0
        for k in range(batches):
            rows = order[k * settings.batch : (k + 1) * settings.batch]
            spikes, labels = (
                _given(task.train[rows]),
                torch.from_numpy(task.train_labels[rows]),
            )
            at = (epoch + k / batches) / settings.epochs
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * (1 + math.cos(math.pi * at)) / 2
            optimiser.zero_grad()
            if variant.noise:
                with disturb(model, seen, noise):
                    loss = _loss(model, spikes, labels, settings.sharpness, extra)
            else:
                loss = _loss(model, spikes, labels, settings.sharpness, extra)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            optimiser.step()
            if variant.clipped and settings.largest is not None:
                clip_weights(model, settings.largest)
            total += loss.item()
        if variant.prune:
            # Not after the last epoch: what is new then would stay untrained.
            last = epoch + 1 == settings.epochs
            _rewire(model, variant, chip, noise, optimiser, last)
        losses.append(total / batches)
        if checkpoint is not None:
            _save(checkpoint, model, optimiser, losses)
        done()
    if variant.trim:
        trim(model, plan.levels)
    return losses


@torch.no_grad()
def answers(
    model: TiledNetwork, spikes: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the output that fires most for each sample, the first of several, and all counts.

    Returns
    -------
    int64 arrays, (samples,) and (samples, neurons)
        Counts are of every neuron, as the chip's.
    """
    counts = [
        model.run(_given(spikes[k : k + ROWS])).spikes.sum(0).to(torch.int64).numpy()
        for k in range(0, len(spikes), ROWS)
    ]
    fired = np.concatenate(counts)
    return fired[:, -model.outputs :].argmax(1), fired


@torch.no_grad()
def trim(model: TiledNetwork, levels: int) -> int:
    """Remove connections to other tiles of which devices of `levels` levels hold nothing.

    A weight below half a level of its neuron is held at the lowest one. Lines are needed for
    connections, so only those go of which all weights are like that.

    Returns
    -------
    int
        How many were removed.
    """
    held = model.recurrent * model.mask
    largest = torch.maximum(
        held.abs().amax(1), (model.incoming * model.input_mask).abs().amax(1)
    )
    there = held.abs() * 2 * (levels - 1) >= largest[:, None]
    there &= held != 0
    tiles, k = model.grid.tiles, model.grid.neurons_per_tile
    kept = there.reshape(tiles, k, -1).any(1).t() | model.own
    gone = model.reach & ~kept
    model.reach &= kept
    model.recurrent.mul_(model.mask)
    return int(gone.sum())


def disturbance_of(variant: Variant, levels: int, technology: Technology) -> Disturbance:
    """Return what a variant's training sees of a chip."""
    if variant.noise_of == "layer":
        return Disturbance(variant.noise, levels)
    on_dies = Disturbance.of_technology(technology, levels=levels, effects=("programming",))
    return replace(on_dies, weight_noise=variant.noise)


@torch.no_grad()
def clip_weights(model: TiledNetwork, largest: float) -> None:
    """Clip input and recurrent weights to `largest` standard deviations of those that exist.

    References
    ----------
    Code of T. Dalgaty et al., Nat. Commun. 15, 142, 2024 (EIS-Hub/Mosaic): 2.5.
    """
    for weight, mask in (
        (model.incoming, model.input_mask), (model.recurrent, model.mask)
    ):  # fmt: skip
        there = weight[mask]
        if there.numel() > 1:
            limit = float(largest * there.std())
            weight.clamp_(-limit, limit)


def _given(spikes: NDArray[np.bool_]) -> Tensor:
    """As the model takes them, (steps, samples, channels)."""
    return torch.from_numpy(spikes.transpose(1, 0, 2).astype(np.float32))


def _number(*parts: int) -> int:
    """One seed of several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _order(task: SignalTask, number: int, seed: int, epoch: int) -> NDArray[np.int64]:
    rng = np.random.default_rng([seed, 2, epoch])
    if task.chance is not None:
        return rng.choice(len(task.train), number, p=task.chance)
    rounds = -(-number // len(task.train))
    return np.concatenate([rng.permutation(len(task.train)) for _ in range(rounds)])[
        :number
    ]


def _loss(
    model: TiledNetwork, spikes: Tensor, labels: Tensor, sharpness: float, extra: Any
) -> Tensor:
    activity = model.run(spikes)
    loss = functional.cross_entropy(activity.output * sharpness, labels)
    return loss if extra is None else loss + extra(activity, spikes)


def _regulariser(
    variant: Variant, model: TiledNetwork, chip: Chip, technology: Technology, steps: int
) -> Any:
    """Return what is added to the loss, a function of what ran and its input; or None."""
    if variant.regulariser == "none" or not variant.strength:
        return None
    if variant.regulariser == "mask":
        prices = hop_prices(model.grid, variant.beta)
        return lambda activity, spikes: variant.strength * hop_penalty(model, prices)
    energy = RoutingEnergy.of(model, chip, technology)
    factor = variant.strength * steps * 1e9  # nJ of an inference
    return lambda activity, spikes: (
        factor * energy.of_run(model, activity, spikes, variant.scale)
    )


def _rewire(
    model: TiledNetwork, variant: Variant, chip: Chip, generator: torch.Generator,
    optimiser: torch.optim.Optimizer, last: bool,
) -> None:  # fmt: skip
    rewire(
        model, chip, profile={} if last else variant.profile or {}, threshold=variant.threshold,
        keep=variant.keep, generator=generator, optimiser=optimiser,
    )  # fmt: skip


def _save(
    path: Path, model: TiledNetwork, optimiser: torch.optim.Optimizer, losses: list[float]
) -> None:
    buffer = io.BytesIO()
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "losses": losses,
    }
    torch.save(state, buffer)
    write_whole(path, buffer.getvalue())

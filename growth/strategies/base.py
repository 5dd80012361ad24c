"""The shape of every strategy: an outer life cycle, one inner loop, and hooks that do nothing.

A strategy owns its memory and its network; it does not know the chip. It may ask its `Host`
for room. It says what must sit on the chip to serve a task (`blueprint`), how to read what
that fires (`scores`), and what it keeps beside (`ledger`): the price of learning, switching and
keeping follows from these three.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import snntorch.functional
import torch
from torch import Tensor

from growth.config import Section
from growth.convolutional import Convolutional
from growth.encode import regular_rate
from growth.layered import Layered
from growth.meter import Meter
from mosaic_sim.errors import ConfigError, MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.blueprint import Blueprint, Counts, Serve
    from growth.config import Experiment
    from growth.gate import Decision
    from growth.host import Host
    from growth.samples import Samples
    from growth.streams import Batch, Stream, Task

__all__ = [
    "Progress", "Stored", "Strategy", "encode", "make_criterion", "refuse_stream", "silent",
]  # fmt: skip

Criterion = Callable[[Tensor, Tensor], Tensor]

Progress = Callable[[float], None]
"""Called with the finished share of the current task, 0 to 1."""


def silent(share: float) -> None:
    """Report nothing."""


def encode(inputs: NDArray[Any], steps: int) -> Tensor:
    """Spikes of intensities, (steps, samples, channels), float32."""
    spikes = regular_rate(inputs, steps).transpose(1, 0, 2)
    return torch.from_numpy(np.ascontiguousarray(spikes, np.float32))


def make_criterion(experiment: Experiment) -> Criterion:
    """Return snnTorch's loss on output spikes (steps, samples, classes) and targets.

    Raises
    ------
    ConfigError
        If a network that does not spike is asked for a mean square of spike counts.
    """
    settings = experiment.train
    if experiment.cell == "relu" and settings.loss != "ce_count":
        raise ConfigError(
            f"train.loss is {settings.loss!r}, but cell is 'relu', which has no spikes to count: "
            'set train.loss = "ce_count".'
        )
    if settings.loss == "ce_count":
        loss: Criterion = snntorch.functional.ce_count_loss()
    else:
        loss = snntorch.functional.mse_count_loss(
            correct_rate=settings.correct_rate, incorrect_rate=settings.incorrect_rate
        )
    return loss


@dataclass(frozen=True)
class Stored:
    """Something that is kept beside the network on the chip.

    Parameters
    ----------
    name : str
    bits : int
    place : str
        ``device``: RRAM of the chip; ``sram``: memory on the chip; ``host``: off the chip.
    """

    name: str
    bits: int
    place: Literal["device", "sram", "host"]


class Strategy:
    """Learns tasks one after another. Override only what differs.

    Parameters
    ----------
    experiment : Experiment
    stream : Stream
        Only its sizes are read here.
    host : Host
    seed : int

    Attributes
    ----------
    net : Layered
        The network of the configured sizes that most strategies train.
    taken_for : int64 array, (samples,), or None
        Number of the task that each sample of the last `scores` was taken for, if the
        strategy asks that; for the record.
    """

    class Options(Section):
        """What a configuration may say under ``[options]``."""

    live: ClassVar[bool] = False
    """Whether it answers from the network in training, so that one may look while it learns."""

    lasts: ClassVar[bool] = False
    """Whether it trains the same weights throughout, so that its optimiser may last."""

    one_task: ClassVar[bool] = False
    """Whether the strategy sees the whole stream as one task (an upper bound, not a learner)."""

    needs_identity: ClassVar[bool] = False
    """Whether it must be told in testing which task a sample belongs to."""

    takes_front: ClassVar[bool] = False
    """Whether it puts the frozen layer of `growth.front` between the inputs and its network."""

    needs_boundaries: ClassVar[bool] = True
    """Whether it must be told in training where tasks end."""

    takes_kernels: ClassVar[bool] = False
    """Whether its network may be a convolutional one, whose weights are kernels."""

    still: ClassVar[bool] = False
    """Whether it compares intensities, and cannot learn from inputs that move."""

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        self.experiment = experiment
        self.options = self.Options.read(experiment.options, "options")
        self.host = host
        self.inputs, self.labels = stream.inputs, stream.labels
        self.rng = np.random.default_rng(seed)
        self.torch_rng = torch.Generator().manual_seed(seed)
        self.decisions: list[Decision] = []
        self.ended: str | None = None
        self.task: Task | None = None  # the one being learnt, or learnt last
        self.rows = torch.zeros(0, dtype=torch.int64)  # of its samples: the batch in `fit`
        self.taken_for: NDArray[np.int64] | None = None
        self.criterion = make_criterion(experiment)
        self.net = self.make_net()
        self.meter = Meter(experiment.device.levels)
        self.lasting: torch.optim.Optimizer | None = None
        self.looked: Callable[[], None] | None = None  # called before every update
        self.losses: list[float] = []  # of the updates since they were last cleared

    def make_net(self, outputs: int | None = None) -> Layered:
        """Return a new network of the configured sizes, drawn from `torch_rng`."""
        dense = (*self.experiment.hidden, outputs or self.labels)
        spiking = self.experiment.cell == "lif"
        if self.experiment.conv.filters:
            return Convolutional(
                self.inputs, self.experiment.conv, dense, leak=self.experiment.leak,
                spiking=spiking, generator=self.torch_rng,
            )  # fmt: skip
        return Layered(
            [self.inputs, *dense], leak=self.experiment.leak, spiking=spiking,
            generator=self.torch_rng,
        )  # fmt: skip

    @property
    def ready(self) -> bool:
        """Whether there is anything to put on a chip."""
        return True

    # outer life cycle -----------------------------------------------------------------

    def learn(self, task: Task, progress: Progress = silent) -> None:
        """Learn one task: begin, train, end."""
        self.task = task
        self.meter.start(self.programmed())
        self.begin(task)
        self.fit(task.train, self.experiment.train.epochs, progress)
        self.end(task)

    def meet(self, batches: Iterable[Batch], progress: Progress = silent) -> None:
        """Learn from batches as they come, each once, not knowing where a task ends."""
        self.meter.start(self.programmed())
        optimiser = self.lasting_optimiser()
        for batch in batches:
            inputs = torch.from_numpy(np.ascontiguousarray(batch.inputs))
            self.step(optimiser, inputs, torch.from_numpy(batch.labels))
        progress(1.0)

    def blueprint(self, identity: int | None = None) -> Blueprint:
        """What must sit on the chip to serve a task.

        Parameters
        ----------
        identity : int, optional
            Of the task; without it, or if it has not been learnt, the one learnt last. Most
            strategies have one network for all.
        """
        return self.net.blueprint()

    def largest(self, stream: Stream) -> Blueprint:
        """The largest network that the stream may come to need on the chip.

        A chip for several strategies is made for this one. By default what the strategy
        starts with.
        """
        return self.blueprint()

    def scores(self, serve: Serve, identity: int | None = None) -> NDArray[Any]:
        """Score the labels of some samples, (samples, labels); larger is likelier.

        Parameters
        ----------
        serve : callable
            Runs a blueprint on the samples, or on some rows of them, and returns what it fired;
            every call is billed.
        identity : int, optional
            Of the task that all samples belong to, if the stream shows it.
        """
        return serve(self.blueprint(identity))["out"]

    def ledger(self) -> list[Stored]:
        """Everything that is kept beside the network on the chip."""
        return []

    def remarks(self, fired: Counts, labels: NDArray[np.int64]) -> dict[str, Any]:
        """What else to record of test samples, from what the last blueprint fired."""
        return {}

    # hooks of the inner loop ----------------------------------------------------------

    def begin(self, task: Task) -> None:
        """Prepare for a task: new heads, masks, neurons, teachers."""

    def end(self, task: Task) -> None:
        """Remember what the task has to leave behind."""

    def groups(self) -> Iterable[Any]:
        """What is trained, as parameters or optimiser groups."""
        return [p for p in self.net.parameters() if p.requires_grad]

    def batch(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch to train on, before it is encoded; replay mixes here."""
        return inputs, labels

    def forward(self, given: Tensor) -> Tensor:
        """Output spikes in training, (steps, samples, outputs)."""
        return self.net(given)

    def loss(self, given: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar to descend, of encoded inputs, (steps, samples, channels)."""
        total: Tensor = self.criterion(self.forward(given), self.targets(labels))
        return total + self.penalty()

    def targets(self, labels: Tensor) -> Tensor:
        """Number of the output neuron of each label."""
        return labels

    def penalty(self) -> Tensor | float:
        """Return what the method adds to the loss of the task."""
        return 0.0

    def grads(self, given: Tensor, labels: Tensor) -> None:
        """Edit the gradients before the step."""

    def stepped(self) -> None:
        """Look at the weights after the step."""

    def programmed(self) -> Mapping[str, Tensor]:
        """Weights that learning in place would program after every step, for the meter."""
        return self.on_devices(self.net.weights)

    def on_devices(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights by name as the chip holds them, (neurons, lines); biases are left out."""
        return {
            name: self.net.devices(int(name[1:]), w)
            for name, w in weights.items()
            if name[0] == "w"
        }

    # the only training loop of the package ----------------------------------------------

    def fit(self, samples: Samples, epochs: int, progress: Progress = silent) -> None:
        """Train for some epochs; the optimiser starts anew, unless it is to last."""
        inputs = torch.from_numpy(np.ascontiguousarray(samples.inputs))
        labels = torch.from_numpy(samples.labels)
        renew = self.experiment.train.renew
        optimiser = self.optimiser() if renew else self.lasting_optimiser()
        size = self.experiment.train.batch
        updates = epochs * -(-len(labels) // size)
        done = 0
        for _ in range(epochs):
            order = torch.randperm(len(labels), generator=self.torch_rng)
            for part in order.split(size):
                self.rows = part
                self.step(optimiser, inputs[part], labels[part])
                done += 1
                if done % 20 == 0 or done == updates:
                    progress(done / updates)

    def lasting_optimiser(self) -> torch.optim.Optimizer:
        """Return the one optimiser that lasts through the stream."""
        if self.lasting is None:
            self.lasting = self.optimiser()
        return self.lasting

    def optimiser(self) -> torch.optim.Optimizer:
        """Return the configured optimiser of `groups`."""
        train = self.experiment.train
        if train.optimiser == "adam":
            return torch.optim.Adam(
                self.groups(), train.learning_rate,
                weight_decay=train.weight_decay, fused=True,
            )  # fmt: skip
        if train.optimiser == "rmsprop":
            return torch.optim.RMSprop(
                self.groups(), train.learning_rate,
                momentum=train.momentum, weight_decay=train.weight_decay,
            )  # fmt: skip
        return torch.optim.SGD(
            self.groups(), train.learning_rate, momentum=train.momentum,
            weight_decay=train.weight_decay,
        )  # fmt: skip

    def step(
        self, optimiser: torch.optim.Optimizer, inputs: Tensor, labels: Tensor
    ) -> None:
        """Make one update on one batch."""
        if self.looked is not None:
            self.looked()
        inputs, labels = self.batch(inputs, labels)
        given = self.encode(inputs)
        optimiser.zero_grad()
        loss = self.loss(given, labels)
        loss.backward()
        self.losses.append(loss.item())
        self.grads(given, labels)
        optimiser.step()
        self.stepped()
        self.meter.passed(len(labels))
        self.meter.stepped(self.programmed())

    def encode(self, inputs: Tensor) -> Tensor:
        """What the network is given: spikes, or intensities if it does not spike.

        Returns
        -------
        Tensor, (steps, samples, channels), float32
        """
        if self.experiment.cell == "relu":
            return inputs.float()[None]
        return encode(inputs.numpy(), self.experiment.stream.steps)

    # checkpoints: plain tensors and numbers, loadable with weights_only=True -------------

    def state(self) -> dict[str, Any]:
        """Everything needed to go on after the last finished task."""
        return {
            "net": self.net.state_dict(),
            "torch_rng": self.torch_rng.get_state(),
            "rng": json.dumps(self.rng.bit_generator.state),
            "decisions": [decision.to_dict() for decision in self.decisions],
            "ended": self.ended,
            "lasting": None if self.lasting is None else self.lasting.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the state of `state`."""
        from growth.gate import Decision

        self.net.load_state_dict(state["net"])
        self.torch_rng.set_state(state["torch_rng"])
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.decisions = [Decision(**decision) for decision in state["decisions"]]
        self.ended = state["ended"]
        if state["lasting"] is not None:
            self.lasting = self.optimiser()
            self.lasting.load_state_dict(state["lasting"])


def refuse_lasting(strategy: type[Strategy], experiment: Experiment) -> None:
    """Refuse an optimiser that lasts to a strategy that does not train one network throughout.

    Raises
    ------
    ConfigError
    """
    if not experiment.train.renew and not strategy.lasts:
        raise ConfigError(
            f"train.renew is false, but strategy {experiment.strategy!r} does not train the same "
            "weights in every task; set train.renew = true."
        )


def refuse_look(strategy: type[Strategy], experiment: Experiment) -> None:
    """Refuse to look at a strategy while it learns that has nothing to show.

    Raises
    ------
    ConfigError
    """
    if experiment.train.look and not strategy.live:
        raise ConfigError(
            f"train.look is {experiment.train.look}, but strategy {experiment.strategy!r} "
            "answers only after a task is learnt; set train.look = 0."
        )


def refuse_stream(strategy: type[Strategy], name: str, stream: Stream) -> None:
    """Refuse a stream that hides what the strategy needs.

    Raises
    ------
    MosaicError
    """
    if strategy.needs_boundaries and not stream.boundaries and not strategy.one_task:
        raise MosaicError(
            f"The stream hides where tasks begin, but strategy {name!r} needs to know: set "
            "stream.boundaries = true and stream.blur = 0."
        )
    if strategy.needs_identity and not stream.identity:
        raise MosaicError(
            f"Strategy {name!r} must be told which task a test sample belongs to, and the stream "
            "hides it: set stream.identity = true."
        )
    if strategy.still and stream.steps is not None:
        raise MosaicError(
            f"{stream.name} moves over {stream.steps} steps, but strategy {name!r} compares still "
            "intensities: set stream.rates = true."
        )

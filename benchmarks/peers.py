"""The simulators that ours is measured against, each on one thread behind the same protocol.

Every class builds a `networks.SmallWorld`, runs it from rest past its warm-up, and goes on
from where it stands whenever it is asked to. The equation is that of `SmallWorld`; how each
simulator is brought to compute it is said in its class.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager
from functools import cache
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import snntorch
import torch
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.machinery import ModuleSpec

    from networks import SmallWorld
    from numpy.typing import NDArray

__all__ = ["PEERS", "Brian2", "Brian2Cpp", "Dense", "Numba", "Peer", "SanaFe", "Sparse"]


class Peer(Protocol):
    """What the benchmark asks of a simulator.

    Parameters
    ----------
    name, package : str
    step : int
        Steps done since rest.
    samples : int
        Copies of the network that every step advances.
    build : float [s]
        Wall time that the last `prepare` took before the first step, compilers included.
    """

    name: str
    package: str
    step: int
    samples: int
    build: float

    def available(self) -> str | None:
        """Return None, or why this peer cannot run here."""
        ...

    def accepts(self, net: SmallWorld) -> bool:
        """Whether this peer can hold `net`."""
        ...

    def prepare(self, net: SmallWorld) -> None:
        """Build `net` and run it from rest for its `warm_up`."""
        ...

    def run(self, steps: int) -> float:
        """Go on for `steps`, recording nothing; return the CPU seconds of the steps alone."""
        ...

    def raster(self, steps: int) -> NDArray[np.bool_]:
        """Go on for `steps` and return all their spikes, (samples, steps, neurons)."""
        ...

    def close(self) -> None:
        """Let go of the network."""
        ...


class _Base:
    """What all peers share."""

    package = ""
    samples = 1
    kept = frozenset({"step", "build", "name", "sample", "samples", "timing"})

    def __init__(self) -> None:
        self.step = 0
        self.build = 0.0

    def available(self) -> str | None:
        """Return None, or why this peer cannot run here."""
        return None if find_spec(self.package) else f"{self.package} is not installed"

    def accepts(self, net: SmallWorld) -> bool:
        """Whether this peer can hold `net`."""
        return net.neurons > 0

    def close(self) -> None:
        """Let go of the network."""
        for name in set(vars(self)) - self.kept:
            delattr(self, name)


# --- a plain loop ---------------------------------------------------------------------------


class Numba(_Base):
    """The yardstick: two loops over neurons and one over the synapses of those that fire.

    Parameters
    ----------
    sample : int, optional
        Start from the kick that this sample of a batch gets, instead of from rest.
    """

    name = "Numba loop"
    package = "numba"

    def __init__(self, sample: int | None = None) -> None:
        super().__init__()
        self.sample = sample

    def prepare(self, net: SmallWorld) -> None:
        """Start from rest."""
        begin = time.perf_counter()
        self.net = net
        self.voltage, self.arriving = np.zeros((2, net.neurons), np.float32)
        if self.sample is not None:
            self.voltage += net.kicks(self.sample + 1)[-1].astype(np.float32) @ net.kick
        self.fired = np.zeros(net.neurons, np.bool_)
        self.counts = np.zeros(net.neurons, np.int64)
        self._go(0, 0)
        self.build = time.perf_counter() - begin
        self.step = 0
        self.run(net.warm_up)

    def run(self, steps: int) -> float:
        """Go on, counting the spikes of each neuron in `counts`."""
        begin = time.process_time()
        self._go(steps, 0)
        return time.process_time() - begin

    def raster(self, steps: int) -> NDArray[np.bool_]:
        """Go on and keep every spike."""
        return self._go(steps, steps)[None]

    def _go(self, steps: int, keep: int) -> NDArray[np.bool_]:
        raster = np.zeros((keep, self.net.neurons), np.bool_)
        _plain(
            self.net.offsets, self.net.target, self.net.weight, self.net.bias,
            self.net.threshold, steps, self.voltage, self.arriving, self.fired,
            self.counts, raster,
        )  # fmt: skip
        self.step += steps
        return raster


@njit(cache=True)
def _plain(
    offsets,
    target,
    weight,
    bias,
    threshold,
    steps,
    voltage,
    arriving,
    fired,
    counts,
    raster,
):
    for t in range(steps):
        for j in range(voltage.size):
            v = voltage[j] + bias[j] + arriving[j]
            if fired[j]:
                v -= threshold
            voltage[j] = v
            arriving[j] = 0
            fired[j] = v > threshold
        for j in range(voltage.size):
            if fired[j]:
                counts[j] += 1
                if raster.shape[0]:
                    raster[t, j] = True
                for k in range(offsets[j], offsets[j + 1]):
                    arriving[target[k]] += weight[k]


# --- snnTorch -------------------------------------------------------------------------------


class _Torch(_Base):
    """A loop over a cell, as in snnTorch's tutorials; it keeps membranes and last spikes."""

    package = "snntorch"

    def prepare(self, net: SmallWorld) -> None:
        """Build the cell and start from rest; sample s gets row s of `kicks` at first."""
        torch.set_num_threads(1)
        begin = time.perf_counter()
        self.net = net
        self.advance = self._advance(net)
        shape = self._shape(net.neurons)
        self.membrane, self.spikes = torch.zeros(shape), torch.zeros(shape)
        self.build = time.perf_counter() - begin
        self.step = 0
        if self.samples > 1:
            kick = net.kicks(self.samples).astype(np.float32) @ net.kick
            self.membrane += torch.from_numpy(kick.T)
        self.run(net.warm_up)

    def _shape(self, neurons: int) -> tuple[int, ...]:
        return (neurons, self.samples) if self.samples > 1 else (neurons,)

    def _advance(
        self, net: SmallWorld
    ) -> Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        raise NotImplementedError

    @torch.no_grad()
    def run(self, steps: int) -> float:
        """Go on."""
        begin = time.process_time()
        spikes, membrane, advance = self.spikes, self.membrane, self.advance
        for _ in range(steps):
            spikes, membrane = advance(spikes, membrane)
        self.spikes, self.membrane = spikes, membrane
        self.step += steps
        return time.process_time() - begin

    def raster(self, steps: int) -> NDArray[np.bool_]:
        """Go on and keep every spike."""
        kept = np.zeros((self.samples, steps, self.net.neurons), np.bool_)
        for t in range(steps):
            self.run(1)
            kept[:, t] = self.spikes.numpy().reshape(self.net.neurons, -1).T > 0
        return kept


class Sparse(_Torch):
    """``snntorch.Leaky`` behind a sparse matrix in CSR form, (neurons, samples)."""

    def __init__(self, samples: int = 1) -> None:
        super().__init__()
        self.samples = samples
        self.name = "snnTorch sparse" + (f", batch {samples}" if samples > 1 else "")

    def _advance(self, net: SmallWorld) -> Any:
        by_target = np.argsort(net.target, kind="stable")
        row = np.concatenate(
            [[0], np.cumsum(np.bincount(net.target, minlength=net.neurons))]
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support")
            weight = torch.sparse_csr_tensor(
                torch.from_numpy(row.astype(np.int32)),
                torch.from_numpy(net.source[by_target]),
                torch.from_numpy(net.weight[by_target]),
                size=(net.neurons, net.neurons), check_invariants=False,
            )  # fmt: skip
        bias = torch.from_numpy(net.bias)
        if self.samples > 1:
            bias = bias[:, None]
        cell = snntorch.Leaky(beta=1.0, threshold=float(net.threshold))
        return lambda spikes, membrane: cell(weight @ spikes + bias, membrane)


class Dense(_Torch):
    """``snntorch.RLeaky`` with its all-to-all matrix; up to 4096 neurons."""

    name = "snnTorch RLeaky"

    def accepts(self, net: SmallWorld) -> bool:
        """Whether a dense matrix is still small."""
        return net.neurons <= 4096

    def _advance(self, net: SmallWorld) -> Any:
        cell = snntorch.RLeaky(
            beta=1.0, threshold=float(net.threshold), linear_features=net.neurons
        )
        weight = torch.zeros(net.neurons, net.neurons)
        weight[torch.from_numpy(net.target), torch.from_numpy(net.source)] = (
            torch.from_numpy(net.weight)
        )
        cell.recurrent.weight = torch.nn.Parameter(weight)
        cell.recurrent.bias = torch.nn.Parameter(torch.from_numpy(net.bias))
        nothing = torch.zeros(net.neurons)
        return lambda spikes, membrane: cell(nothing, spikes, membrane)


# --- SANA-FE --------------------------------------------------------------------------------

# One core a tile, with the energies and latencies of the Loihi example that SANA-FE ships.
_ARCHITECTURE = """
architecture:
  name: mesh
  attributes: {{topology: mesh, width: {width}, height: {height}, link_buffer_size: 16,
    sync_model: fixed, latency_sync: 0.0}}
  tile:
    - name: tile[0..{last}]
      attributes: {{energy_north_hop: 4.2e-12, latency_north_hop: 6.5e-9,
        energy_east_hop: 3.0e-12, latency_east_hop: 4.1e-9,
        energy_south_hop: 4.2e-12, latency_south_hop: 6.5e-9,
        energy_west_hop: 3.0e-12, latency_west_hop: 4.1e-9}}
      core:
        - name: core
          attributes: {{buffer_position: soma, buffer_inside_unit: false,
            max_neurons_supported: {neurons}}}
          axon_in:
            - name: in
              attributes: {{energy_message_in: 0.0, latency_message_in: 16.0e-9}}
          synapse:
            - name: synapse
              attributes: {{model: current_based, energy_process_spike: 35.5e-12,
                latency_process_spike: 3.8e-9}}
          dendrite:
            - name: dendrite
              attributes: {{model: accumulator, energy_update: 0.0, latency_update: 0.0}}
          soma:
            - name: soma
              attributes: {{model: leaky_integrate_fire,
                energy_access_neuron: 51.2e-12, latency_access_neuron: 6.0e-9,
                energy_update_neuron: 21.6e-12, latency_update_neuron: 3.7e-9,
                energy_spike_out: 69.3e-12, latency_spike_out: 30.0e-9}}
          axon_out:
            - name: out
              attributes: {{energy_message_out: 111.0e-12, latency_message_out: 5.1e-9}}
"""


class _Board:
    """A SANA-FE chip that holds one network: building it takes long, so both timings share it."""

    def __init__(self, net: SmallWorld) -> None:
        import sanafe

        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mesh.yaml"
            path.write_text(
                _ARCHITECTURE.format(
                    width=net.columns, height=net.rows, last=net.cores - 1,
                    neurons=net.neurons_per_core,
                )
            )  # fmt: skip
            self.architecture = sanafe.load_arch(path)
        self.network = sanafe.Network()
        group = self.network.create_neuron_group(
            "neurons", net.neurons, log_spikes=True, soma_hw_name="soma",
            default_synapse_hw_name="synapse", default_dendrite_hw_name="dendrite",
            model_attributes={
                "threshold": float(net.threshold), "reset_mode": "soft", "leak_decay": 1.0,
            },
        )  # fmt: skip
        # Tiles count down the columns, our cores along the rows. Attributes go in as those of
        # the model: SANA-FE 2.2.9 swaps the ones given for a soma and for a dendrite.
        tile = (net.core % net.columns) * net.rows + net.core // net.columns
        cores = self.architecture.cores()
        for neuron, bias, at in zip(
            group.neurons, net.bias.tolist(), tile.tolist(), strict=True
        ):
            neuron.set_attributes(model_attributes={"bias": bias})
            neuron.map_to_core(cores[at])
        group.connect_neurons_sparse(
            group, {"weight": net.weight.tolist()},
            list(zip(net.source.tolist(), net.target.tolist(), strict=True)),
        )  # fmt: skip
        self.chip = sanafe.SpikingChip(self.architecture)
        self.chip.load(self.network)
        self.build = time.perf_counter() - begin
        self.neurons = net.neurons
        self.step = 0
        self.messages = 0
        self.go(net.warm_up, "simple")

    def go(self, steps: int, timing: str, trace: bool = False) -> tuple[float, Any]:
        """Run on; return the CPU seconds, and the trace if it was asked for."""
        with _silence():
            begin = time.process_time()
            result = self.chip.sim(
                steps, timing, processing_threads=1, spike_trace=True if trace else None
            )
            seconds = time.process_time() - begin
        if result["timesteps_executed"] != steps:
            raise RuntimeError(
                f"SANA-FE ran {result['timesteps_executed']} of {steps} steps"
            )
        self.step += steps
        self.messages = result["packets_sent"]
        return seconds, result.get("spike_trace")


@contextmanager
def _silence() -> Iterator[None]:
    """SANA-FE writes its progress from C++, past ``sys.stdout``."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


class SanaFe(_Base):
    """SANA-FE with simple or detailed timing: energy and latency of every event.

    Its soft reset acts within the step and ours one step later, which for a leak of 1 is the
    same; and messages of a step arrive in the next. After `run`, `messages` holds how many
    were sent. The warm-up runs with simple timing: spikes do not depend on it.
    """

    package = "sanafe"
    boards: dict[SmallWorld, _Board] = {}  # noqa: RUF012, at most one, shared on purpose

    def __init__(self, timing: str) -> None:
        self.timing = timing
        self.name = f"SANA-FE {timing}"

    @property
    def step(self) -> int:
        """Steps that the shared chip has done."""
        return self.board.step

    @property
    def build(self) -> float:
        """Wall time of building and loading the shared chip [s]."""
        return self.board.build

    @property
    def messages(self) -> int:
        """Messages of the last `run`."""
        return self.board.messages

    def prepare(self, net: SmallWorld) -> None:
        """Build and load the chip, unless the other timing has done so."""
        if net not in self.boards:
            self.boards.clear()
            self.boards[net] = _Board(net)
        self.board = self.boards[net]

    def run(self, steps: int) -> float:
        """Go on with this timing."""
        return self.board.go(steps, self.timing)[0]

    def raster(self, steps: int) -> NDArray[np.bool_]:
        """Go on with simple timing and a trace of all spikes."""
        kept = np.zeros((1, steps, self.board.neurons), np.bool_)
        for t, fired in enumerate(self.board.go(steps, "simple", trace=True)[1]):
            kept[0, t, [neuron.neuron_offset for neuron in fired]] = True
        return kept

    def close(self) -> None:
        """Let go of the chip."""
        self.boards.clear()
        super().close()


# --- Brian2 ---------------------------------------------------------------------------------


class _Repaired(SourceFileLoader):
    """Loads a module of Brian2 2.9, the last for Python 3.11, for NumPy 2.4.

    One line of it names ``ndarray.ptp``, which NumPy 2.4 does not have any more; later
    versions of Brian2 have done without it.
    """

    @classmethod
    def find_spec(
        cls, name: str, path: Any = None, target: Any = None
    ) -> ModuleSpec | None:
        """Find the one module to repair."""
        if name != "brian2.units.fundamentalunits":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = cls(name, spec.origin)
        return spec

    def get_code(self, fullname: str) -> Any:
        """Compile the repaired source, past the cache of byte code."""
        source = self.get_data(self.path).replace(b"np.ndarray.ptp", b"np.ptp")
        return self.source_to_code(source, self.path)


@cache
def _brian2() -> Any:
    old = not hasattr(np.ndarray, "ptp") and version("brian2").startswith("2.9.")
    if old:
        sys.meta_path.insert(0, _Repaired)  # type: ignore[arg-type]
    hook = sys.excepthook  # Brian2's writes a report to disk about anybody's exception
    import brian2

    sys.excepthook = hook
    brian2.BrianLogger.log_level_error()
    brian2.prefs.core.default_float_dtype = np.float32
    brian2.prefs.codegen.target = "cython"
    return brian2


class Brian2(_Base):
    """Brian2 with compiled Cython loops, in single precision.

    A step is: add the bias, compare, send (without delay: felt by the next step's comparison),
    subtract the threshold. The steps are timed from the first to the last, by the two calls of
    a report function; what Brian2 does before and after, at every call, is not counted.
    """

    name = "Brian2 Cython"
    package = "brian2"

    def available(self) -> str | None:
        """Return None, or why this peer cannot run here."""
        reason = super().available()
        if reason is None and not shutil.which("g++"):
            return "there is no g++, which Brian2 compiles with"
        if reason is None:
            try:
                _brian2()
            except Exception as error:  # an installed Brian2 may not know this NumPy
                return f"import brian2 fails: {error}"
        return reason

    def prepare(self, net: SmallWorld) -> None:
        """Compile (or find compiled) and start from rest."""
        self.net = net
        begin = time.perf_counter()
        _brian2().set_device("runtime")
        self.objects = _objects(net)
        self._go(0)
        self.build = time.perf_counter() - begin
        self.step = 0
        self.run(net.warm_up)

    def run(self, steps: int) -> float:
        """Go on."""
        return self._go(steps)

    def raster(self, steps: int) -> NDArray[np.bool_]:
        """Go on and keep every spike."""
        monitor = self.objects["monitor"]
        monitor.active = True
        begin = self.step
        self._go(steps)
        monitor.active = False
        step = np.rint(np.asarray(monitor.t)).astype(int) - begin
        kept = np.zeros((1, steps, self.net.neurons), np.bool_)
        kept[0, step[step >= 0], np.asarray(monitor.i)[step >= 0]] = True
        return kept

    def _go(self, steps: int) -> float:
        second = _brian2().second
        stamps: list[float] = []
        self.objects["network"].run(
            steps * second, report_period=1e9 * second,
            report=lambda *_: stamps.append(time.process_time()),
        )  # fmt: skip
        self.step += steps
        return stamps[-1] - stamps[0]


def _objects(net: SmallWorld) -> dict[str, Any]:
    """The network in Brian2's words, one second a step; its monitor is switched off."""
    b2 = _brian2()
    gc.collect()  # what still exists keeps its name, and with it the same code would be new
    b2.defaultclock.dt = 1 * b2.second
    group = b2.NeuronGroup(
        net.neurons, "v : 1\nbias : 1 (constant)", threshold="v > theta",
        reset="v -= theta", namespace={"theta": float(net.threshold)}, name="neurons",
    )  # fmt: skip
    group.bias = net.bias
    group.run_regularly("v += bias", when="groups", name="add_bias")
    synapses = b2.Synapses(
        group, group, "weight : 1 (constant)", on_pre="v_post += weight", name="synapses"
    )
    synapses.connect(i=net.source, j=net.target)
    synapses.weight = net.weight
    monitor = b2.SpikeMonitor(group, name="monitor")
    monitor.active = False
    network = b2.Network(group, synapses, monitor, name="network")
    return {"network": network, "monitor": monitor}


# Before the one step that Brian2 writes itself, run without the monitor and then with it for
# as long as the environment says: thus one program serves every length.
_TIMED = """
{
    auto all = network.objects;
    for (auto object = network.objects.begin(); object != network.objects.end(); ++object)
        if (object->second == _run_monitor_codeobject) {
            network.objects.erase(object);
            break;
        }
    network.run(std::atof(std::getenv("BENCH_BEFORE")), NULL, 10.0);
    const std::clock_t begin = std::clock();
    network.run(std::atof(std::getenv("BENCH_STEPS")), NULL, 10.0);
    std::ofstream("seconds.txt") << double(std::clock() - begin) / CLOCKS_PER_SEC;
    network.objects = all;
    network.run(std::atof(std::getenv("BENCH_SEEN")), NULL, 10.0);
}
"""


class Brian2Cpp(Brian2):
    """Brian2 as a C++ program of its own, in single precision.

    Each call starts the program anew, which runs from rest; only the steps asked for are
    timed, by its own clock. Networks that differ in weights and biases alone share one
    program, and only what differs is compiled again.
    """

    name = "Brian2 C++"
    folder: tempfile.TemporaryDirectory[str] | None = None

    def prepare(self, net: SmallWorld) -> None:
        """Write and compile the program."""
        self.net = net
        if Brian2Cpp.folder is None:
            Brian2Cpp.folder = tempfile.TemporaryDirectory(prefix="brian2-")
        self.path = Path(Brian2Cpp.folder.name)
        b2 = _brian2()
        begin = time.perf_counter()
        b2.set_device("cpp_standalone", build_on_run=False, directory=str(self.path))
        try:
            b2.device.reinit()
            b2.device.activate(build_on_run=False, directory=str(self.path))
            objects = _objects(net)
            objects["monitor"].active = True
            b2.device.insert_code("before_network_run", _TIMED)
            objects["network"].run(1 * b2.second)
            b2.device.build(directory=str(self.path), compile=True, run=False, clean=False)
        finally:
            b2.device.reinit()
            b2.set_device("runtime")
        self.build = time.perf_counter() - begin
        self.step = net.warm_up

    def _go(self, steps: int, seen: int = 1) -> float:
        environment = os.environ | {
            "BENCH_BEFORE": str(self.step),
            "BENCH_STEPS": str(steps),
            "BENCH_SEEN": str(seen - 1),  # and one more at the end
        }
        (self.path / "results").mkdir(exist_ok=True)
        subprocess.run(
            [str(self.path / "main")], cwd=self.path, env=environment, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        self.step += steps
        return float((self.path / "seconds.txt").read_text())

    def raster(self, steps: int) -> NDArray[np.bool_]:
        """Go on and keep every spike."""
        begin = self.step
        self._go(0, seen=steps)
        self.step += steps
        t, i = (
            np.fromfile(next(self.path.glob(f"results/_dynamic_array_monitor_{x}_*")), kind)
            for x, kind in (("t", np.float64), ("i", np.int32))
        )
        kept = np.zeros((1, steps, self.net.neurons), np.bool_)
        kept[0, np.rint(t).astype(int) - begin, i] = True
        return kept


PEERS: tuple[Callable[[], Peer], ...] = (
    Numba,
    lambda: SanaFe("simple"),
    lambda: SanaFe("detailed"),
    Brian2Cpp,  # before Brian2: names that are in use would change its code
    Brian2,
    Sparse,
    lambda: Sparse(32),
    Dense,
)
"""All of them, the yardstick first."""

"""When to grow: experts that know their inputs, and a "nobody" for what none of them knows.

Each expert is described by prototypes of its inputs. How new an input is to an expert is half
the squared distance to its nearest prototype. On the chip the same is done by gate neurons:
since ``-|x - p|^2 / 2 = p.x - |p|^2 / 2 - |x|^2 / 2`` and the last term is common to all
experts, a neuron with weights p and a bias ranks experts as the distance does. The common
term is replaced by a linear fit ``a.x + b`` (frozen with the first expert), so that spike
counts stay within the few that a run has room for.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.cluster import KMeans

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Decision", "Descriptor", "Gate", "decide"]

WIDTH = 5.0
"""Distance at which a gate neuron falls silent, in mean novelties of the first expert."""

FIT_RIDGE = 1.0
"""Ridge of the linear fit to ``|x|^2 / 2``, in samples: pixels that never vary stay finite."""


@dataclass(frozen=True, eq=False)
class Descriptor:
    """What an expert remembers of its inputs; frozen with it.

    Parameters
    ----------
    prototypes : float64 array, (k, inputs)
    mean, std : float
        Of the novelty of its own training inputs.
    """

    prototypes: NDArray[np.float64]
    mean: float
    std: float

    def novelty(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Half the squared distance to the nearest prototype, (samples,)."""
        squares = _half_square(inputs)[:, None] + _half_square(self.prototypes)
        half: NDArray[np.float64] = (squares - inputs @ self.prototypes.T).min(1)
        return half


@dataclass(frozen=True)
class Decision:
    """What the gate decided at one look, and on what evidence.

    Parameters
    ----------
    action : str
        ``new expert``, ``widen``, ``reuse`` or ``none``; or why nothing could be done:
        ``too dear``, ``no tile with room``, ``no free slot``; ``make do`` if the nearest expert
        takes a task without room.
    task : int
    expert : int or None
    neurons : int
        Hidden neurons added.
    tile : int or None
    evidence : dict
        Need (z, singular values, loss), novelty, share of nobody, benefit and price.
    """

    action: str
    task: int
    expert: int | None
    neurons: int
    tile: int | None
    evidence: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


class Gate:
    """Descriptors of all experts, the virtual "nobody", and the weights of the gate neurons.

    Parameters
    ----------
    prototypes : int
        Prototypes (and gate neurons) of each expert.
    rng : numpy.random.Generator
        Seeds k-means.

    Notes
    -----
    The gate stores means of clusters of inputs. A cluster of one input is that input: keep
    `prototypes` well below the number of samples.

    A gate neuron on a chip has room for so many inputs only. `look_at` says which, once and for
    all experts, so that their distances can be compared; all others have weight 0.
    """

    def __init__(self, prototypes: int, rng: np.random.Generator) -> None:
        if prototypes < 1:
            raise MosaicError(f"prototypes is {prototypes}; it needs at least 1.")
        self.prototypes = prototypes
        self.rng = rng
        self.descriptors: list[Descriptor] = []
        # The common term |x|^2 / 2, fitted by fit . x + constant:
        self.fit: NDArray[np.float64] | None = None
        self.constant = 0.0
        self.width = 0.0  # half squared distance at which a gate neuron falls silent
        self.reads: NDArray[np.bool_] | None = (
            None  # (inputs,); None before the first expert
        )

    def look_at(self, reads: NDArray[np.bool_]) -> None:
        """Look at these inputs only, from the first expert on."""
        if self.descriptors:
            raise MosaicError(
                "The gate has experts already; they were described otherwise."
            )
        self.reads = reads.copy()

    def seen(self, inputs: NDArray[np.floating]) -> NDArray[np.floating]:
        """Inputs with what the gate does not look at set to 0, (samples, inputs)."""
        return inputs if self.reads is None else inputs * self.reads

    def describe(self, inputs: NDArray[np.floating]) -> Descriptor:
        """Describe inputs (samples, channels) by prototypes, without storing any of them."""
        inputs = self.seen(inputs)
        seed = int(self.rng.integers(2**31))
        count = min(self.prototypes, len(np.unique(inputs, axis=0)))
        found = KMeans(count, n_init=4, random_state=seed).fit(inputs)
        own = Descriptor(found.cluster_centers_.astype(np.float64), 0.0, 1.0)
        novelty = own.novelty(inputs)
        return Descriptor(
            own.prototypes, float(novelty.mean()), float(novelty.std() + 1e-12)
        )

    def add(self, descriptor: Descriptor, inputs: NDArray[np.floating]) -> int:
        """Add an expert; the first one also freezes the common scale. Returns its number."""
        inputs = self.seen(inputs)
        if self.fit is None:
            self.width = WIDTH * descriptor.mean
            # With this constant the biases are near 0. A bias shares the levels of a column
            # with the weights: a large one would leave them few.
            self.constant = self.width - float(_half_square(descriptor.prototypes).mean())
            ridge = FIT_RIDGE * np.eye(inputs.shape[1])
            wanted = _half_square(inputs) - self.constant
            fit = np.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ wanted)
            self.fit = fit.astype(np.float64)
        self.descriptors.append(descriptor)
        return len(self.descriptors) - 1

    def extend(self, expert: int, inputs: NDArray[np.floating], count: int) -> None:
        """Add `count` prototypes to an expert: it also serves inputs like these."""
        inputs = self.seen(inputs)
        seed = int(self.rng.integers(2**31))
        found = KMeans(min(count, len(inputs)), n_init=4, random_state=seed).fit(inputs)
        old = self.descriptors[expert]
        more = np.concatenate([old.prototypes, found.cluster_centers_])
        self.descriptors[expert] = Descriptor(more, old.mean, old.std)

    def neurons(self, expert: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (k, inputs) and biases (k,) of an expert's gate neurons, threshold 1.

        The mean drive of gate neuron j is ``1 - |x - p_j|^2 / (2 width)``, up to the error of
        the linear fit: an input equal to the prototype makes it fire at nearly every step.
        """
        if self.fit is None:
            raise MosaicError("The gate has no experts yet; add one first.")
        p = self.descriptors[expert].prototypes
        weight = (p - self.fit) / self.width
        bias = 1.0 - (_half_square(p) + self.constant) / self.width
        return weight, bias

    def novelty(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """How new inputs are to each expert, in its own standard deviations, (samples, experts)."""
        inputs = self.seen(inputs)
        each = [(d.novelty(inputs) - d.mean) / d.std for d in self.descriptors]
        return np.column_stack(each) if each else np.empty((len(inputs), 0))

    def responsibilities(
        self, inputs: NDArray[np.floating], nobody: float
    ) -> NDArray[np.float64]:
        """Share of nobody (column 0) and of each expert in explaining inputs.

        A softmax of minus the novelty; "nobody" stands at novelty `nobody`.
        """
        z = np.column_stack([np.full(len(inputs), nobody), self.novelty(inputs)])
        powers = np.exp(z.min(1, keepdims=True) - z)
        share: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
        return share

    def state(self) -> dict[str, Any]:
        """Plain numbers and lists, from which `load_state` goes on."""
        return {
            "descriptors": [
                {"prototypes": d.prototypes.tolist(), "mean": d.mean, "std": d.std}
                for d in self.descriptors
            ],
            "fit": None if self.fit is None else self.fit.tolist(),
            "constant": self.constant,
            "width": self.width,
            "reads": None if self.reads is None else self.reads.tolist(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the state of `state`."""
        self.descriptors = [
            Descriptor(np.array(d["prototypes"]), d["mean"], d["std"])
            for d in state["descriptors"]
        ]
        self.fit = None if state["fit"] is None else np.array(state["fit"])
        self.constant, self.width = state["constant"], state["width"]
        self.reads = None if state["reads"] is None else np.array(state["reads"])


def _half_square(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    half: NDArray[np.float64] = 0.5 * (rows**2).sum(1)
    return half


def decide(need: float, novelty: float, *, need_above: float, novelty_above: float) -> str:
    """Combine the two signals.

    `need` is a z-score, `novelty` the share of nobody in explaining the inputs, 0 to 1.
    Need with novelty opens a new expert, need without novelty widens the responsible one,
    novelty without need reuses it, and neither does nothing. Label noise has no coherent
    need; a task that returns has no novelty.

    Examples
    --------
    >>> decide(9.0, 0.9, need_above=3.0, novelty_above=0.5)
    'new expert'
    >>> decide(0.1, 0.9, need_above=3.0, novelty_above=0.5)
    'reuse'
    """
    if need > need_above:
        return "new expert" if novelty > novelty_above else "widen"
    return "reuse" if novelty > novelty_above else "none"

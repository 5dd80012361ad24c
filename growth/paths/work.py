"""Arithmetic of training and growing, in closed form: multiplications and additions of products.

Counted are matrix products, two operations for a multiplication and its addition, and the
singular value decompositions of growth. Elementwise work (activations, membranes, the
optimiser) is left out: it is linear in neurons and weights, products are so times the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

__all__ = ["growth_flops", "inference_flops", "training_flops"]


def inference_flops(sizes: Sequence[int], steps: int = 1) -> int:
    """Operations of one sample, forward.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden layers, outputs.
    steps : int
        Time steps; every one is a dense pass.

    Examples
    --------
    >>> inference_flops([3, 2, 1])
    16
    """
    return 2 * steps * sum(pre * post for pre, post in pairwise(sizes))


def training_flops(sizes: Sequence[int], batch: int, steps: int = 1) -> int:
    """Operations of one update: forward, gradients of weights, and of all but the inputs.

    Examples
    --------
    >>> training_flops([3, 2, 1], batch=1)  # 16 forward, 16 for weights, 4 for the hidden layer
    36
    """
    forward = inference_flops(sizes, steps)
    return batch * (2 * forward + inference_flops(sizes[1:], steps))


def growth_flops(
    sizes: Sequence[int], layer: int, start: str, batch: int, steps: int = 1
) -> int:
    """Operations that a start needs beside the training: of random ones none.

    M takes a forward pass, gradients of everything after the grown layer, one product of errors
    and inputs, and a decomposition, thin: ``14 m n^2 + 8 n^3`` for m x n, m >= n (Golub and Van
    Loan, Matrix Computations, section 8.6). Seeds are then run on the batch: with spikes
    about 41 times, to find their gains, else once; twice as many as M has rows.

    Parameters
    ----------
    sizes : sequence of int
        Before growth.
    layer : int
        1 or 2.
    start : str
    batch, steps : int

    Examples
    --------
    >>> growth_flops([3, 2, 1], 1, "gaussian", batch=8)
    0
    """
    if start not in ("gradmax", "seeds"):
        return 0
    pre, post = sizes[layer - 1], sizes[layer + 1]
    m, n = max(pre, post), min(pre, post)
    total = batch * (
        inference_flops(sizes, steps) + inference_flops(sizes[layer + 1 :], steps)
    )
    total += 2 * batch * steps * pre * post + 14 * m * n * n + 8 * n**3
    if start == "seeds":
        runs = 1 if steps == 1 else 41
        total += 2 * batch * steps * 2 * min(n, 32) * (runs * pre + post)
    return total

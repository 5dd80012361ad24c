"""Compiled loops of training: a layer of neurons through all steps, and back; levels of weights.

Every operation is rounded on its own, in the order of `growth.sequence.leaky`'s equations, so
that results are those of the same operations on whole tensors, to the last bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit

NONE, SUBTRACT, ZERO = (np.int64(k) for k in range(3))
"""Codes of the resets."""

ATAN, FAST_SIGMOID = (np.int64(k) for k in range(2))
"""Codes of the surrogates."""

KERNEL = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}
PART = {**KERNEL, "cache": False, "no_cpython_wrapper": True}


@njit(**PART)
def risen(now, current, beta, level, subtracts, keeps, one):
    """Membrane of a step before its own reset, after that of the step before."""
    fired = now > level
    kept = keeps if fired else one
    taken = subtracts if fired else one - one
    return now * kept * beta + current - taken * level


@njit(**PART)
def step(at, current, beta, threshold, subtracts, keeps, before, fired):
    """One step of one sample up to its spikes, which reset the membrane of the next."""
    zero, one = current.dtype.type(0), current.dtype.type(1)
    for j in range(at.size):
        level = threshold[j]
        a = risen(at[j], current[j], beta[j], level, subtracts, keeps, one)
        fired[j] = one if a > level else zero
        before[j] = a
        at[j] = a


@njit(**PART)
def prompt_step(at, current, beta, threshold, subtracts, keeps, before, after, fired):
    """One step of one sample whose spikes reset the membrane at once."""
    zero, one = current.dtype.type(0), current.dtype.type(1)
    for j in range(at.size):
        now, level = at[j], threshold[j]
        a = risen(now, current[j], beta[j], level, subtracts, keeps, one)
        r = one if now > level else zero
        spike = one if a > level else zero
        b = a + (r - spike) * (level if subtracts == one else a)
        fired[j] = spike
        before[j] = a
        after[j] = b
        at[j] = b


@njit(**KERNEL)
def forward(current, beta, threshold, reset, delayed, s, m, v):
    """Spikes s, membranes m and membranes before their own reset v.

    Parameters
    ----------
    current : float32 or float64 array, (steps, samples, neurons)
    beta, threshold : arrays of the same type, (neurons,)
    reset : int64
    delayed : bool
        With it `m` is `v`, and is not written.
    s, m, v : arrays of the same type
        Written. Shaped as `current`, or of one step for what need not be kept.
    """
    steps, samples, neurons = current.shape
    zero, one = current.dtype.type(0), current.dtype.type(1)
    # Products with 0 and 1 are exact, and without branches the inner loop runs on vectors.
    subtracts = one if reset == SUBTRACT else zero
    keeps = zero if reset == ZERO else one
    at = np.zeros((samples, neurons), current.dtype)
    for t in range(steps):
        before, after, fired = v[min(t, len(v) - 1)], m[min(t, len(m) - 1)], s[t]
        for k in range(samples):
            if delayed:
                step(
                    at[k], current[t, k], beta, threshold, subtracts, keeps,
                    before[k], fired[k],
                )  # fmt: skip
            else:
                prompt_step(
                    at[k], current[t, k], beta, threshold, subtracts, keeps,
                    before[k], after[k], fired[k],
                )  # fmt: skip


@njit(**KERNEL)
def backward(beta, threshold, reset, delayed, surrogate, slope, s, m, v, by_s, by_m, total):
    """Gradient of a loss by the current, G in `growth.sequence.leaky`.

    Parameters
    ----------
    beta, threshold, reset, delayed, s, m, v
        As of `forward`, all steps kept.
    surrogate : int64
    slope : scalar of the arrays' type
    by_s, by_m : arrays
        Gradients by spikes and membranes; of no steps where there are none.
    total : array
        Written.
    """
    steps, samples, neurons = v.shape
    zero, one = v.dtype.type(0), v.dtype.type(1)
    steep, half = v.dtype.type(np.pi / 2 * slope), v.dtype.type(slope / 2)
    flat = v.dtype.type(slope)
    later = np.zeros((samples, neurons), v.dtype)
    for t in range(steps - 1, -1, -1):
        for k in range(samples):
            for j in range(neurons):
                a, level = v[t, k, j], threshold[j]
                u = a - level
                if surrogate == ATAN:
                    u = u * steep
                    rise = one / (u * u + one) * half
                else:
                    u = abs(u) * flat + one
                    rise = one / (u * u)
                g = rise * by_s[t, k, j] if len(by_s) else zero
                kept, factor = one, beta[j]
                if reset == ZERO:
                    factor = factor * (one if m[t, k, j] <= level else zero)
                if not delayed:
                    kept = one - rise * (a if reset == ZERO else level)
                    if reset == ZERO:
                        start = m[t - 1, k, j] if t else zero
                        kept -= s[t, k, j] - (one if start > level else zero)
                    factor = kept * factor
                if len(by_m):
                    g += kept * by_m[t, k, j]
                if t < steps - 1:
                    g += later[k, j] * factor
                total[t, k, j] = later[k, j] = g


@njit(**KERNEL)
def rewrite(weight, most, level):
    """Set the signed level of each weight, and count those that change.

    Parameters
    ----------
    weight : float32 or float64 array, (neurons, sources)
        The largest of a neuron takes the highest level.
    most : scalar of the array's type
        The highest level.
    level : int16 array, (neurons, sources)
        Levels before; written.

    Returns
    -------
    int64
    """
    neurons, sources = weight.shape
    zero, one = weight.dtype.type(0), weight.dtype.type(1)
    changed = 0
    for i in range(neurons):
        top = zero
        for j in range(sources):
            top = max(top, abs(weight[i, j]))
        if top == zero:
            top = one
        for j in range(sources):
            now = np.int16(np.rint(weight[i, j] / top * most))
            changed += now != level[i, j]
            level[i, j] = now
    return changed


@njit(**KERNEL)
def pass_on(fired, rows, current):
    """Add to the current of each sample the rows of the neurons that fire.

    Parameters
    ----------
    fired : float32 or float64 array, (samples, neurons)
        0 or 1.
    rows : array of the same type, (neurons, targets)
    current : array of the same type, (samples, targets)
        Added to.
    """
    samples, neurons = fired.shape
    for k in range(samples):
        into = current[k]
        for j in range(neurons):
            if fired[k, j] > 0:
                row = rows[j]
                for i in range(row.size):
                    into[i] += row[i]


@njit(**KERNEL)
def credit(fired, total, by_row):
    """Add to the row of each neuron the gradients at the times at which it fired.

    Parameters
    ----------
    fired : float32 or float64 array, (neurons, times)
        0 or 1.
    total : array of the same type, (times, targets)
    by_row : array of the same type, (neurons, targets)
        Added to.
    """
    neurons, times = fired.shape
    for j in range(neurons):  # one row at a time stays in the cache
        into = by_row[j]
        for k in range(times):
            if fired[j, k] > 0:
                by = total[k]
                for i in range(into.size):
                    into[i] += by[i]

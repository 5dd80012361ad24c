"""How kernels are compiled."""

from __future__ import annotations

from numba.np import linalg

# To learn whether there is a BLAS, Numba loads scipy.linalg, a fifth of the time to the first
# result, though no kernel multiplies matrices. SciPy is there: say so. Whoever compiles a
# matrix product in this process has it loaded then.
_ensure_blas = linalg.ensure_blas
linalg.ensure_blas = lambda: None
try:
    from numba.np import arraymath
finally:
    linalg.ensure_blas = _ensure_blas
arraymath.ensure_blas = _ensure_blas  # type: ignore[attr-defined]

KERNEL = {
    "cache": True,
    "nogil": True,  # threads share out samples
    "error_model": "numpy",  # no test for division by zero, which no kernel does
    "no_cfunc_wrapper": True,  # compiled for nobody
}
"""Options of a kernel that Python calls."""

PART = {**KERNEL, "cache": False, "no_cpython_wrapper": True}
"""Options of a part, which only kernels of its own file call: it is cached with them.

A part is compiled anew for every type that it is called with, and ``1`` is a type of its own:
``np.int64(1)`` in a call, and in what is handed on, spares the user seconds.
"""

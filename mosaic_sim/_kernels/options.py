"""How kernels are compiled."""

from __future__ import annotations

KERNEL = {
    "cache": True,
    "nogil": True,  # threads share out samples
    "error_model": "numpy",  # no test for division by zero, which no kernel does
    "no_cfunc_wrapper": True,  # compiled for nobody
}
"""Options of a kernel that Python calls."""

PART = {**KERNEL, "cache": False, "no_cpython_wrapper": True}
"""Options of a part, which only kernels of its own file call: it is cached with them."""

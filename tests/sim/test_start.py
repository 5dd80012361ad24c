"""What a process loads before its first result, and that nothing is lost by not loading it."""

import subprocess
import sys

import pytest

RUN = """
import sys
import mosaic_sim
from mosaic_sim import Chip, Network, compile_program, place, route, simulate
assert not {"numba", "torch", "matplotlib", "scipy"} & {*sys.modules}
net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[2.0])
chip = Chip(1, 1, 4, 4, 4, 4)
placement = place(net, chip)
program = compile_program(net, chip, placement, route(net, chip, placement))
assert simulate(program, [[[1]]]).total.tolist() == [1, 1]
assert not {"torch", "matplotlib", "scipy.linalg"} & {*sys.modules}
"""

PRODUCTS = """
import numpy as np
from numba import njit
one = np.eye(2)
assert np.array_equal(njit(lambda a: np.dot(a, a))(one), one)
assert np.array_equal(njit(lambda a: np.kron(a, a))(one), np.eye(4))
assert "scipy.linalg" in sys.modules
"""


@pytest.mark.slow
def test_importing_loads_no_compiler_and_a_run_no_linear_algebra():
    subprocess.run([sys.executable, "-c", RUN], check=True)


@pytest.mark.slow
def test_others_can_still_compile_products_of_matrices():
    subprocess.run([sys.executable, "-c", RUN + PRODUCTS], check=True)

"""What learning in place would rewrite is what the devices of the simulator would change."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from growth.meter import Meter, levels_of
from mosaic_sim import Device, Network

matrices = arrays(np.float32, (3, 4), elements=st.floats(-2, 2, width=32))


@given(matrices, st.sampled_from([2, 3, 8, 16]))
def test_levels_are_those_of_the_device(weight, levels):
    post, pre = np.indices(weight.shape).reshape(2, -1)
    network = Network.from_synapses(
        inputs=4, neurons=3, source=pre, target=post, weight=weight.ravel()
    )
    level, _ = Device(levels=levels).program(network)
    ours = levels_of(torch.from_numpy(weight), levels).numpy()
    theirs = np.zeros((3, 4), int)
    theirs[network.target, network.source] = level
    # A weight in the middle of two levels may go either way.
    top = np.abs(weight).max(1, keepdims=True)
    exact = weight / np.where(top > 0, top, 1) * (levels - 1)
    middle = np.abs(np.abs(exact) % 1 - 0.5) < 1e-4
    assert ((ours == theirs) | middle).all()


def test_an_update_counts_what_it_rewrites():
    meter = Meter(levels=3)
    meter.start({"w": torch.tensor([[1.0, 0.5, 0.0]])})
    meter.stepped({"w": torch.tensor([[1.0, 0.5, 0.1]])})  # below half a level
    assert meter.rewritten == 0
    meter.stepped({"w": torch.tensor([[1.0, -0.5, 0.5]])})
    assert meter.rewritten == 2
    meter.stepped(
        {"w": torch.tensor([[1.0, -0.5, 0.5], [0.0, 1.0, 0.0]])}
    )  # grown: written anew
    assert meter.rewritten == 2 + 4
    meter.passed(10)
    meter.looked_at(4)
    assert meter.to_dict() == {"updates": 3, "shown": 10, "looked": 4, "rewritten": 6}
    meter.there({"v": torch.tensor([[1.0, 0.0]])})  # another expert's, on the chip already
    meter.stepped({"v": torch.tensor([[1.0, 1.0]])})
    assert meter.rewritten == 6 + 1
    meter.start({})
    assert not any(meter.to_dict().values())

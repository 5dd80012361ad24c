"""How many bits a ledger counts for a number that is kept beside the network.

Training computes with 32 bits throughout; these are what storage would need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from growth.layered import Layered

__all__ = [
    "CHANNEL_BITS", "STATISTIC_BITS", "label_bits", "parameters_of", "sample_bits",
    "weight_bits",
]  # fmt: skip

STATISTIC_BITS = 16
"""Of an importance, an anchor, a mean or a logit: half precision."""

CHANNEL_BITS = 8
"""Of an intensity: that of a grey level. A spike takes 1."""


def sample_bits(inputs: Tensor) -> int:
    """Bits of some samples, intensities or spikes.

    Examples
    --------
    >>> sample_bits(torch.zeros(200, 784)), sample_bits(torch.zeros(2, 5, 3, dtype=torch.bool))
    (1254400, 30)
    """
    return inputs.numel() * (1 if inputs.dtype == torch.bool else CHANNEL_BITS)


def label_bits(labels: int) -> int:
    """Bits that tell so many labels apart.

    Examples
    --------
    >>> label_bits(10), label_bits(2)
    (4, 1)
    """
    return (labels - 1).bit_length()


def weight_bits(net: Layered, levels: int) -> int:
    """Bits of the weights of a network as the chip holds them, one level each."""
    return parameters_of(net) * (levels - 1).bit_length()


def parameters_of(net: Layered) -> int:
    """Number of weights and biases."""
    return sum(weight.numel() for weight in net.parameters())

"""Data as a stream of tasks, seen one after the other.

A stream is made from a data set (`split`, `partitioned`, `permuted`, `rotated`) or from several
(`sequence`), and can then be altered: `limited`, `recurring`, `noisy`, `mixed`, `blurred`,
`hidden`. Every draw follows from a seed, and the same seed gives the same bytes.
"""

from growth.datasets import DATASETS, Dataset, digits, load_dataset
from growth.streams.alter import (
    PROTOCOLS,
    Protocol,
    blurred,
    hidden,
    limited,
    mixed,
    noisy,
    recurring,
    uneven,
)
from growth.streams.base import Batch, Stream, Task
from growth.streams.configured import check_protocol, configured
from growth.streams.make import (
    PAIRS,
    partitioned,
    permuted,
    rotated,
    sequence,
    split,
    split_evenly,
)

__all__ = [
    "DATASETS", "PAIRS", "PROTOCOLS", "Batch", "Dataset", "Protocol", "Stream", "Task",
    "blurred", "check_protocol", "configured", "digits", "hidden", "limited", "load_dataset",
    "mixed", "noisy", "partitioned", "permuted", "recurring", "rotated", "sequence", "split",
    "split_evenly", "uneven",
]  # fmt: skip

"""Runs and data that several files look at; nothing here may be changed by a test."""

import sys
from dataclasses import replace

import pytest
from classics import few
from tiny import quiet, run, tiny

from growth import cli
from growth.host import Unlimited
from growth.strategies import Grow
from growth.streams import digits, split


@pytest.fixture(scope="session")
def data():
    """The digits of seed 0."""
    return digits(0)


@pytest.fixture(scope="session")
def stream(data):
    """The five tasks of two digits."""
    return split(data, [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]])


@pytest.fixture(scope="session")
def pair(data):
    """Two tasks of two digits, few samples each."""
    return few(split(data, [[0, 1], [2, 3]]), 64)


@pytest.fixture(scope="session")
def returned(stream):
    """The growing learner without a chip, after two tasks and the first one again."""
    learner = Grow(tiny("grow", "train.epochs=3"), stream, Unlimited(), 0)
    first, second, *_ = stream.tasks
    for number, task in enumerate((first, second, first)):
        learner.learn(replace(task, number=number), quiet)
    return learner


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A finished tiny run of each strategy, by its name."""
    root = tmp_path_factory.mktemp("runs")
    return {name: run(tiny(name), root) for name in ("naive", "grow", "joint")}


@pytest.fixture(scope="session")
def squeezed(tmp_path_factory):
    """The growing learner on a chip with room for one expert, the naive one on too small a one."""
    root = tmp_path_factory.mktemp("squeezed")
    one = ("chip.rows=1", "chip.columns=1")
    return {
        "grow": run(tiny("grow", *one), root),
        "naive": run(tiny("naive", *one, "hidden=30"), root),
    }


@pytest.fixture
def mosaic(monkeypatch, capsys):
    """Call the command; return its exit code, what it printed, and what it complained."""

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["mosaic", *map(str, args)])
        try:
            code = cli.main()
        except SystemExit as done:
            code = done.code
        printed = capsys.readouterr()
        return code or 0, printed.out, printed.err

    return call

"""The section on three tiers: ResNet-18 counted from modules, and what the document prints."""

import re

import numpy as np
import pytest
from torch import nn

from growth.claims import resnet, tiers
from growth.claims.base import Ran, find
from growth.claims.learnt import Learnt, learnt
from growth.claims.tier_printed import PRINTED, SCHEDULES
from growth.comparison import compare, load_comparison
from growth.report import summarise

# --- ResNet-18 ---------------------------------------------------------------------------------


class Block(nn.Module):
    """A basic block of He et al. (2016), for its parameters alone."""

    def __init__(self, planes, filters):
        super().__init__()
        self.conv1 = nn.Conv2d(planes, filters, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        if planes != filters:
            self.downsample = nn.Sequential(
                nn.Conv2d(planes, filters, 1, bias=False), nn.BatchNorm2d(filters)
            )


def modules():
    """ResNet-18 as modules, under torchvision's names."""
    net = nn.Module()
    net.conv1, net.bn1 = nn.Conv2d(3, 64, 7, bias=False), nn.BatchNorm2d(64)
    for k, (planes, filters) in enumerate(
        [(64, 64), (64, 128), (128, 256), (256, 512)], start=1
    ):
        stage = nn.Sequential(Block(planes, filters), Block(filters, filters))
        net.add_module(f"layer{k}", stage)
    net.fc = nn.Linear(512, 1000)
    return net


def size(module):
    return sum(p.numel() for p in module.parameters())


def test_the_parts_of_resnet_18_are_those_of_its_modules():
    net, wanted = modules(), {}
    wanted["conv1"] = size(net.conv1) + size(net.bn1)
    for k in range(1, 5):
        for number, block in enumerate(getattr(net, f"layer{k}")):
            wanted[f"layer{k}.{number}.conv1"] = size(block.conv1) + size(block.bn1)
            second = size(block.conv2) + size(block.bn2)
            if hasattr(block, "downsample"):
                second += size(block.downsample)
            wanted[f"layer{k}.{number}.conv2"] = second
    assert resnet.parts() == wanted
    assert list(resnet.parts()) == list(wanted)  # in the order of the forward pass
    assert resnet.head(1000) == size(net.fc)
    assert sum(wanted.values()) + size(net.fc) == size(net) == 11_689_512


@pytest.mark.parametrize(
    ("split", "frozen_to", "common_to"),
    [
        ("3-3.5-4.8", "layer3.1.conv2", "layer4.0.conv2"),
        ("3-1-7.2", "layer3.1.conv2", "layer4.0.conv1"),
        ("4-2.5-4.8", "layer4.0.conv1", "layer4.0.conv2"),
        ("6.5-2.3-2.4", "layer4.0.conv2", "layer4.1.conv1"),
        ("4-4.8-2.4", "layer4.0.conv1", "layer4.1.conv1"),
    ],
)
def test_each_name_has_one_cut(split, frozen_to, common_to):
    cut, off, next_off = resnet.nearest(PRINTED[split].sizes)
    assert (cut.frozen_to, cut.common_to) == (frozen_to, common_to)
    assert sum(cut.sizes) == 11_176_512
    assert off < 0.25
    assert next_off > 3 * off
    assert "-".join(f"{x:g}" for x in PRINTED[split].sizes) == split


# --- the document's table ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "batch", "acc", "la", "forgetting"),
    [
        ("3-3.5-4.8", "256", 63.25, 72.50, 12.33),
        ("3-1-7.2", "64", 54.50, 74.50, 26.67),
        ("4-2.5-4.8", "64", 51.00, 73.75, 30.33),
        ("6.5-2.3-2.4", "256", 67.25, 69.00, 2.33),
        ("4-4.8-2.4", "64", 65.75, 68.75, 4.00),
    ],
)
def test_what_is_derived_from_the_printed_table(split, batch, acc, la, forgetting):
    found = PRINTED[split].learnt(batch)
    assert 100 * float(found.acc[0]) == pytest.approx(acc)
    assert 100 * float(found.la[0]) == pytest.approx(la)
    assert 100 * float(found.forgetting[0]) == pytest.approx(forgetting, abs=0.005)


def test_the_last_task_forgets_nothing_in_print():
    for one in PRINTED.values():
        for batch in one.first.values():
            assert batch[-1][0] == batch[-1][1]


# --- the section -------------------------------------------------------------------------------

LOSS = {"256": 0.1, "64": 0.3, "64-updates": 0.15}


def made(label):
    """Two seeds that forget by the schedule and the split that a label names."""
    rng = np.random.default_rng(len(label))
    schedule = next(
        (s for s in sorted(LOSS, key=len, reverse=True) if label.endswith(s)), "256"
    )
    size = next((o.sizes[2] for o in PRINTED.values() if label.startswith(o.label)), 1.0)
    after = 0.8 + 0.01 * rng.random((2, 4))
    end = after.copy()
    end[:, :3] -= LOSS[schedule] * size / 7.2
    return Learnt(after, end)


@pytest.fixture
def written(monkeypatch, tmp_path):
    ran = {}
    for name in tiers.EXPERIMENTS:
        labels = load_comparison(f"experiments/{name}.toml").experiments
        ran[name] = Ran(name, dict.fromkeys(labels))
    monkeypatch.setattr(Ran, "note", lambda self: f"`{self.file}`")
    monkeypatch.setattr(tiers, "learnt", lambda one: {x: made(x) for x in one.runs})
    monkeypatch.setattr(tiers, "chip_table", lambda one: f"chip of {one.file}")
    return tiers.section(ran, tmp_path), tmp_path


def test_the_section_says_what_was_measured(written):
    text, images = written
    for wanted in ("11,689,512", "72.5", "chip of claims-tiers-chip", "28 to 39 %"):
        assert wanted in text
    for picture in images.glob("*.png"):
        assert f"images/{picture.stem}.png" in text
    assert len(list(images.glob("*.png"))) == 3
    forgetting = 100 * LOSS["256"]
    (line,) = [x for x in text.splitlines() if x.startswith("| 3-1-7.2 | 256 | 98/75")]
    assert f"| {forgetting:.1f} ± 0.0 | −10.0 |" in line
    # What was put in: four thirds of the loss of 7.2 M at 4.8 M, and three times that at batch 64.
    (line,) = [
        x for x in text.splitlines()
        if x.startswith(f"| ours, 1e-3; {SCHEDULES['64']} |")
    ]  # fmt: skip
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[2].startswith("10.0 ± 0.0")
    assert cells[3].startswith("10.0 ± 0.0")
    mean = np.mean([o.sizes[2] for o in PRINTED.values()]) / 7.2
    assert cells[5].startswith(f"{20 * mean:.1f} ± 0.0")
    assert not re.search("REASONS|nan", text)


def test_accuracies_are_read_from_runs(tmp_path):
    file = tmp_path / "small.toml"
    file.write_text(
        """
name = "small"
strategy = "tiers"
seeds = [0, 1]
cell = "relu"
hidden = []
options = { frozen = 1, common = 1, common_rate = 1e-2 }
conv = { filters = [2, 2], strides = [2, 1] }
train = { epochs = 1 }
[stream]
dataset = "digits"
classes = [[0, 1], [2, 3], [4, 5]]
train_samples = 60
test_samples = 30
[[compare]]
label = "one"
"""
    )
    compare(load_comparison(file), tmp_path / "runs", jobs=1)
    ran = find(file, tmp_path / "runs")
    found = learnt(ran)["one"]
    rows = summarise(ran.runs["one"]).metrics
    for seed, matrix in enumerate(
        np.array([[row["accuracy_within_task"] for row in one] for one in rows])
    ):
        for task in range(3):
            assert found.after[seed, task] == matrix[task, task]
            assert found.end[seed, task] == matrix[2, task]
        lost = [matrix[t, t] - matrix[2, t] for t in range(2)]
        assert found.forgetting[seed] == pytest.approx(np.mean(lost))

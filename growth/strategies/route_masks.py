"""Supermasks of routes: neuron tiles keep their weights, a task is which lines reach which tile.

The weights are random and never learn. The neurons of a layer are grouped in blocks of `tile`,
as they would sit on neuron tiles, and there is one score for each source neuron and block:
``y_j = sum_i w_ji M_[b(j), i] x_i`` for neuron j of block b(j). Scores learn straight through,
``dL/dS_bi = sum_(j in b) w_ji x_i dL/dy_j``. A mask is a set of connections in routing tiles,
whose devices are binary by nature: no analogue level is ever written again.

Source: this project's proposal. The scores are those of Wortsman et al., NeurIPS 2020
(`supsup`); "Topology optimization of random memristors ...", arXiv:2407.18625, 2024, learns which
synapses there are on RRAM. Routes of static binary devices: Dalgaty et al., "Mosaic", Nature
Communications 15:142, 2024.

Stored beside the network: one bit for each line into a block and task, in the host. On the chip: a
switch sets or clears one connection for each line into a block that is in one of two masks only
(``routing_bits`` in the decisions, from the task before; the routes upstream of it are taken to
stay). **What the bill
counts is another thing.** A blueprint says weights, not routes, so a masked line is a column of
weights 0 in its block: the simulator counts a device write for every such weight that changes
(about `tile` times as many as routing bits, with analogue write energies), and goes on to bring
the spikes of a masked line to the tile and to read its row. Both overstate what this strategy
costs; ``weights_changed`` stands beside ``routing_bits`` to say by how much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from growth.strategies.supsup import SupSup

if TYPE_CHECKING:
    from torch import Tensor

    from growth.streams import Task

__all__ = ["RouteMasks"]


class RouteMasks(SupSup):
    """Find for each task the routes through one random network that solve it."""

    class Options(SupSup.Options):
        """Options of `supsup`, and the size of blocks.

        Parameters
        ----------
        tile : int
            Neurons of a hidden layer that share the lines of one neuron tile.
        out_tile : int
            The same of outputs. Two outputs that read the same lines differ by their random
            weights only.
        """

        tile: int = Field(default=32, ge=1)
        out_tile: int = Field(default=1, ge=1)

    options: Options

    def block(self, name: str) -> int:
        """Neurons of a layer that share a mask."""
        last = name == f"w{self.net.depth - 1}"
        return self.options.out_tile if last else self.options.tile

    def score_shape(self, name: str) -> tuple[int, int]:
        targets, sources = self.connections[name].shape
        return -(-targets // self.block(name)), sources

    def spread(self, name: str, mask: Tensor) -> Tensor:
        """Give every neuron of a block the mask of the block; the last may be smaller."""
        targets = self.connections[name].shape[0]
        return mask.repeat_interleave(self.block(name), 0)[:targets]

    def end(self, task: Task) -> None:
        before = None if self.latest is None else self.masks[self.latest]
        super().end(task)
        if before is None or self.latest is None:
            return
        changed = {
            name: mask != before[name] for name, mask in self.masks[self.latest].items()
        }
        self.evidence["routing_bits"] = sum(int(c.sum()) for c in changed.values())
        self.evidence["weights_changed"] = sum(
            int(self.spread(name, c).sum()) for name, c in changed.items()
        )

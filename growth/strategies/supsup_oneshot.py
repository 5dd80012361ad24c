"""Supermasks without task identity: one gradient says which mask a sample wants.

All k masks are laid over each other with weights ``alpha_i = 1/k``; p is the softmax of the
outputs of ``(w * sum_i alpha_i M_i) x``. The mask of a sample is ``argmin_i dL/dalpha_i`` at that
point: the one that lowers the objective L fastest. L is the entropy ``H(p)``, or ``G``, the
logarithm of the summed exponentials of all outputs in which only those beside the labels pass
gradients on: the right mask keeps them low. With ``search = "halving"`` the better half of the
masks is laid over each other again, until one is left.

Source: Wortsman et al., "Supermasks in superposition", NeurIPS 2020, sections 3.3 and 3.4.

A superposition of masks is no state of devices that are on or off, and a gradient is no run of the
chip. So the host does both, in floating point, one forward and backward pass a sample through k
networks (log2 k times when halving); that work is on no bill. The chip then runs every sample once,
under its mask; samples are sorted by mask, so that there is one switch for each.

Stored beside the network: as `supsup`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from growth.sequence import leaky
from growth.strategies.supsup_entropy import SupSupEntropy

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from growth.blueprint import Serve

__all__ = ["SupSupOneShot"]

AT_ONCE = 250
"""Samples that are looked at together."""


class SupSupOneShot(SupSupEntropy):
    """Choose the mask of a sample by the gradient of a superposition of all of them."""

    class Options(SupSupEntropy.Options):
        """Options of the one-shot choice.

        Parameters
        ----------
        objective : "H" or "G"
        search : "one shot" or "halving"
        extra : int
            As for `supsup`; G needs at least one.
        normalise : False
            A superposition of masks has no means and variances of its own.
        """

        normalise: Literal[False] = False
        objective: Literal["H", "G"] = "H"
        search: Literal["one shot", "halving"] = "one shot"
        extra: int = Field(default=10, ge=0)

        @model_validator(mode="after")
        def _something_to_keep_low(self) -> Self:
            if self.objective == "G" and not self.extra:
                raise ValueError("objective G needs extra outputs; set extra to 1 or more")
            return self

    options: Options

    def scores(self, serve: Serve, identity: int | None = None) -> NDArray[Any]:
        known = list(self.masks)
        chosen = np.concatenate(
            [
                self.choose(torch.from_numpy(part.swapaxes(0, 1).astype(np.float32)))
                for part in np.array_split(serve.given, -(-len(serve.given) // AT_ONCE))
            ]
        )
        found = np.zeros((len(chosen), self.labels))
        for place in np.unique(chosen):
            rows = np.flatnonzero(chosen == place)
            fired = serve(self.under(known[place]), rows)["out"]
            found[rows] = fired[:, : self.labels]
        self.taken_for = np.array(known)[chosen]
        return found

    def choose(self, given: Tensor) -> NDArray[np.int64]:
        """Place of the mask of each sample among those learnt.

        Parameters
        ----------
        given : (steps, samples, inputs)
        """
        left = torch.ones(given.shape[1], len(self.masks), dtype=torch.bool)
        while left.shape[1] > 1:
            slope = self.slope(given, left / left.sum(1, keepdim=True))
            slope = slope.masked_fill(~left, torch.inf)
            size = int(left[0].sum())
            keep = 1 if self.options.search == "one shot" else -(-size // 2)
            left = torch.zeros_like(left).scatter_(1, slope.argsort(1)[:, :keep], True)
            if keep == 1:
                break
        return left.int().argmax(1).numpy().astype(np.int64)

    def slope(self, given: Tensor, alpha: Tensor) -> Tensor:
        """Gradient of the objective of each sample by its own weights of the masks.

        Parameters
        ----------
        given : (steps, samples, inputs)
        alpha : (samples, masks)

        Returns
        -------
        Tensor, (samples, masks)
        """
        alpha = alpha.detach().requires_grad_(True)
        layers = [self.masked(masks) for masks in self.masks.values()]
        now = given
        for k in range(self.net.depth):
            # Samples do not meet, so the sum over them has the gradient of each by its own.
            parts = [now @ weights[f"w{k}"].T for weights in layers]
            now = sum(
                (alpha[:, i, None] * part for i, part in enumerate(parts)),
                torch.zeros(()),
            )
            if self.net.spiking:
                now = leaky(now, self.net.leak)
            elif k + 1 < self.net.depth:
                now = now.clamp(min=0)
        (slope,) = torch.autograd.grad(self.objective(now.sum(0)).sum(), alpha)
        return slope

    def objective(self, outputs: Tensor) -> Tensor:
        """H or G of outputs, (samples, outputs)."""
        if self.options.objective == "H":
            logs = outputs.log_softmax(1)
            return -(logs.exp() * logs).sum(1)
        labels, extra = outputs[:, : self.labels], outputs[:, self.labels :]
        return torch.cat([labels.detach(), extra], 1).logsumexp(1)

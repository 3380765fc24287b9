"""Non-negative matrix factorisation: a dictionary of spectra, and how much of each there is."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from instglow.audio.frontend import Frontend
from instglow.errors import require
from instglow.prior import Decoded, Space, Trainable

_FLOOR = 1e-8


class NMFPrior(Trainable):
    """magnitude = atoms · activations, both non-negative (Lee & Seung, 1999; Virtanen, 2007).

    The latent is the activations before `softplus`, so that any real number will do. The energy of
    both spaces is the sum of the activations in units of their usual size: an exponential prior.

    Args:
        frontend: the spectrogram it models.
        atoms: spectra in the dictionary, at most as many as the frontend has bins.
        updates: multiplicative updates that infer the activations of a training batch.
        level: see `GlowPrior`.

    Raises:
        ConfigError: for no atoms, or more than there are bins.
    """

    family: ClassVar[str] = "nmf"

    def __init__(
        self, frontend: Frontend, atoms: int = 64, updates: int = 20, level: float = 0.0
    ) -> None:
        super().__init__(frontend, locals())
        limits = f"at least 1 and at most the {frontend.bins} bins that they explain"
        require(1 <= atoms <= frontend.bins, "atoms", limits, atoms)
        self.updates = updates
        self.logits = nn.Parameter(torch.randn(frontend.bins, atoms))
        # activations of about this size sum to a frame of common loudness
        self.unit = (level or 0.1) * frontend.n_fft / atoms

    @property
    def atoms(self) -> Tensor:
        """(bins, atoms), each a spectrum that sums to 1."""
        return self.logits.softmax(0)

    def initial_latent(
        self, batch: int, frames: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """-> (batch, atoms, frames): every atom equally active, but for a little noise."""
        shape = (batch, self.logits.shape[1], frames)
        # drawn on the CPU, so that a seed means the same on every device
        return 0.01 * torch.randn(shape, generator=generator).to(self.logits)

    def decode(self, latent: Tensor, frames: int, energy: Space | None = None) -> Decoded:
        """See `Prior.decode`."""
        active = nnf.softplus(latent[..., :frames])
        magnitude = torch.matmul(self.atoms, self.unit * active)
        return Decoded(magnitude, active.flatten(1).sum(1) if energy else None)

    def activations(self, magnitude: Tensor) -> Tensor:
        """(batch, bins, frames) -> (batch, atoms, frames) that explain it; no gradient.

        Lee & Seung's multiplicative updates for the generalised Kullback-Leibler divergence.
        """
        with torch.no_grad():
            atoms = self.atoms
            shape = (len(magnitude), atoms.shape[1], magnitude.shape[-1])
            active = magnitude.new_full(shape, self.unit)
            for _ in range(self.updates):
                model = torch.matmul(atoms, active).clamp_(min=_FLOOR)
                # the atoms sum to 1, so the usual denominator of the update is 1
                active = active * torch.matmul(atoms.T, magnitude / model)
            return active

    def loss(
        self, magnitude: Tensor, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The generalised Kullback-Leibler divergence a dimension, relative to the mean level."""
        model = torch.matmul(self.atoms, self.activations(magnitude)).clamp(min=_FLOOR)
        divergence = nnf.kl_div(model.log(), magnitude, reduction="sum") + (model - magnitude).sum()
        return {"loss": divergence / magnitude.sum().clamp(min=_FLOOR)}

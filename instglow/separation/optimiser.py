"""Adam with one step size for all coordinates of a mixture's latents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class SharedScaleAdam:
    """Kingma & Ba's Adam (2015), whose second moment is averaged over all latents of a mixture.

    Adam moves every coordinate by about the learning rate, however little the mixture depends on
    it, so a source that could not have made a sound takes up as much of it as the one that did.
    With one scale for all, coordinates move in proportion to their gradients, as in gradient
    descent, and the latent's Gaussian weighs them as it should. Items of a batch have a scale each.

    Args:
        latents: one for each source, (batch, ...) each.
        learning_rate: root mean square of the first step over all coordinates.
        betas: decay of the first and of the second moment.
    """

    def __init__(
        self,
        latents: Sequence[Tensor],
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self.latents = latents
        self.learning_rate = learning_rate
        self.betas = betas
        self.steps = 0
        self.first = [torch.zeros_like(latent) for latent in latents]
        self.second = latents[0].new_zeros(len(latents[0]))

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for latent in self.latents:
            latent.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move the latents against their `.grad`."""
        gradients = [latent.grad for latent in self.latents if latent.grad is not None]
        assert len(gradients) == len(self.latents)
        self.steps += 1
        fast, slow = self.betas
        squares = torch.stack([grad.square().flatten(1).sum(1) for grad in gradients]).sum(0)
        count = sum(gradient[0].numel() for gradient in gradients)
        self.second = slow * self.second + (1 - slow) * squares / count
        scale = (self.second / (1 - slow**self.steps)).sqrt().clamp(min=1e-12)
        rate = self.learning_rate / (1 - fast**self.steps) / scale
        for latent, first, gradient in zip(self.latents, self.first, gradients, strict=True):
            first.mul_(fast).add_(gradient, alpha=1 - fast)
            latent.sub_(rate.view(-1, *[1] * (latent.ndim - 1)) * first)

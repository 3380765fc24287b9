"""Activation normalisation: a scale and a bias per channel, set by the first batch."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from instglow.flows.affine import per_channel
from instglow.flows.bijection import Bijection


class ActNorm(Bijection):
    """y = bias + exp(log_scale) · x per channel (Kingma & Dhariwal, "Glow", 2018, section 3.1).

    The first batch seen in training sets both so that every channel of y has mean 0 and variance 1
    over batch and frames, across all processes of a distributed run. That it happened is part of
    the state dict, so a resumed run does not start over.
    """

    initialized: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1))
        self.register_buffer("initialized", torch.tensor(False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channels, frames) -> the same shape, and (batch,) log|dy/dx|."""
        if self.training and not self.initialized:
            self._start_from(x)
        return per_channel(x, self.bias, self.log_scale), self._ladj(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channels, frames) -> the same shape, and (batch,) log|dx/dy|."""
        return (y - self.bias) * torch.exp(-self.log_scale), -self._ladj(y)

    def _ladj(self, like: Tensor) -> Tensor:
        # every frame is stretched alike, so the sum over channels counts once per frame
        return (self.log_scale.sum() * like.shape[-1]).expand(like.shape[0])

    @torch.no_grad()
    def _start_from(self, x: Tensor) -> None:
        total = x.new_tensor(x.shape[0] * x.shape[2])
        sums = torch.stack([x.sum((0, 2)), x.square().sum((0, 2))])
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(sums)
            dist.all_reduce(total)
        mean, mean_square = sums / total
        log_scale = -0.5 * (mean_square - mean.square()).clamp(min=1e-6).log()
        self.log_scale.copy_(log_scale[:, None])
        self.bias.copy_((-mean * log_scale.exp())[:, None])
        self.initialized.fill_(True)

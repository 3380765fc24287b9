"""Invertible 1×1 convolution on groups of channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from instglow.flows.bijection import Bijection


class GroupedConv1x1(Bijection):
    """One small matrix mixes `groups` channels that lie a `groups`-th of all channels apart.

    GlowTTS's variant of Glow's invertible 1×1 convolution (Kim et al., 2020, section 3.3). After
    `Squeeze` the four channels of a group are two neighbouring bins in two neighbouring frames.

    Args:
        channels: a multiple of `groups`.
        groups: the size of the matrix.

    Raises:
        ValueError: for channels that are not such a multiple.
    """

    def __init__(self, channels: int, groups: int = 4) -> None:
        super().__init__()
        if channels % groups:
            raise ValueError(f"channels must be a multiple of groups ({groups}), got {channels}")
        self.groups = groups
        rotation = torch.linalg.qr(torch.randn(groups, groups))[0]
        # a rotation with determinant +1 starts the flow without a reflection
        rotation[:, 0] *= rotation.det().sign()
        self.weight = nn.Parameter(rotation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channels, frames) -> the same shape, and (batch,) log|dy/dx|."""
        return self._mix(self.weight, x), self._ladj(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channels, frames) -> the same shape, and (batch,) log|dx/dy|."""
        return self._mix(_inverse(self.weight), y), -self._ladj(y)

    def _mix(self, weight: Tensor, x: Tensor) -> Tensor:
        # the data itself passes through here: half precision would cost its exact return
        with torch.autocast(x.device.type, enabled=False):
            columns = x.reshape(x.shape[0], self.groups, -1)
            # bmm, because matmul of 2-D by 3-D transposes the large operand first
            return torch.bmm(weight.expand(x.shape[0], -1, -1), columns).view(x.shape)

    def _ladj(self, like: Tensor) -> Tensor:
        columns = like.shape[1] // self.groups * like.shape[2]
        return (torch.linalg.slogdet(self.weight).logabsdet * columns).expand(like.shape[0])


def _inverse(weight: Tensor) -> Tensor:
    # not `inv`, which waits for the device to learn whether there is one
    return torch.linalg.inv_ex(weight).inverse

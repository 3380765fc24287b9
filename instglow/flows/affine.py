"""Affine maps whose backward makes no needless tensors: the data are large, and memory is slow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def per_channel(x: Tensor, bias: Tensor, log_scale: Tensor) -> Tensor:
    """y = b + exp(s) · x.

    Args:
        x: (batch, channels, frames).
        bias: b, (channels, 1).
        log_scale: s, (channels, 1).
    """
    return _PerChannel.apply(x, bias, log_scale.exp())


def per_number(kept: Tensor, changed: Tensor, shift_and_log_scale: Tensor) -> tuple[Tensor, Tensor]:
    """y₁ = m + exp(s) · x₁, y₀ = x₀; and (batch,) log|dy/dx|.

    Args:
        kept: x₀, (batch, channels / 2, frames).
        changed: x₁, of the same shape.
        shift_and_log_scale: (batch, channels, frames), m before s.
    """
    return _PerNumber.apply(kept, changed, shift_and_log_scale)


class _PerChannel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(x, scale)
        return torch.addcmul(bias, scale, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, scale = ctx.saved_tensors
        product = d_y * x
        d_scale = product.sum((0, 2))[:, None]
        # the same memory again: fresh pages would cost more than the product
        d_x = torch.mul(d_y, scale, out=product)
        return d_x, d_y.sum((0, 2))[:, None], d_scale


class _PerNumber(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, kept: Tensor, changed: Tensor, shift_and_log_scale: Tensor
    ) -> tuple[Tensor, Tensor]:
        shift, log_scale = shift_and_log_scale.chunk(2, 1)
        scale = log_scale.exp()
        ctx.save_for_backward(changed, scale)
        y = torch.empty_like(shift_and_log_scale)
        y_kept, y_changed = y.chunk(2, 1)
        y_kept.copy_(kept)
        torch.addcmul(shift, scale, changed, out=y_changed)
        return y, log_scale.sum((1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor, d_ladj: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        changed, scale = ctx.saved_tensors
        d_kept, d_shift = d_y.chunk(2, 1)
        d_changed = d_shift * scale
        d_both = torch.empty_like(d_y)
        into_shift, into_log_scale = d_both.chunk(2, 1)
        into_shift.copy_(d_shift)
        torch.addcmul(d_ladj[:, None, None], d_changed, changed, out=into_log_scale)
        return d_kept, d_changed, d_both

"""The gated layers of a WaveNet, trained on a CPU: one operation with a backward of its own.

The same numbers as layer by layer, to rounding. What it saves: more than half of the convolutions'
multiplications (see `winograd`), all permuting, most temporary tensors, and the slow tanh.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from instglow.flows.winograd import (
    add_windows,
    from_tiles,
    silence_after,
    to_tiles,
    transforms,
    windows,
)

PER_LAYER = 4


def gated_layers(stream: Tensor, layers: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]]) -> Tensor:
    """(batch, hidden, frames) -> the sum of all skips, of the same shape.

    Its backward cannot itself be differentiated.

    Args:
        stream: what the first layer sees.
        layers: of each the weight of its gated convolution (2 · hidden, hidden, kernel), what is
            added to it (batch or 1, 2 · hidden), and weight and bias of the 1×1 convolution after
            the gate (2 · hidden, hidden, 1), (2 · hidden,); the last one has no residual half.
    """
    return _GatedLayers.apply(stream, *(tensor for layer in layers for tensor in layer))


class _GatedLayers(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, stream: Tensor, *layers: Tensor) -> Tensor:
        frames, hidden = stream.shape[-1], stream.shape[1]
        kernel = layers[0].shape[-1]
        toom = transforms(kernel, stream.dtype)
        x = to_tiles(stream)
        rows = x.shape[:-1]
        skips = torch.zeros_like(x)
        # large and short-lived: one of each for all layers spares the system fresh pages
        weight = stream.new_empty(len(toom.weight), 2 * hidden, hidden)
        product = stream.new_empty(len(toom.window), rows[1] * rows[2], 2 * hidden)
        saved = []
        for at in range(0, len(layers), PER_LAYER):
            gate, offset, mix, bias = layers[at : at + PER_LAYER]
            seen = _times(toom.window, windows(x, kernel)).flatten(1, 2)
            _times(toom.weight, gate.flatten(0, 1).t(), out=weight)
            torch.bmm(seen, weight.transpose(1, 2), out=product)
            gates = _times(toom.output, product).view(*rows, 2 * hidden).add_(offset[:, None])
            # tanh a = 2 sigmoid 2a − 1: one vectorised sigmoid for both halves
            gates[..., :hidden] *= 2
            gates = gates.sigmoid_().flatten(0, -2)
            first, second = gates.chunk(2, 1)
            act = torch.addcmul(-second, first, second, value=2)
            skip_weight, skip_bias = mix[-hidden:, :, 0], bias[-hidden:]
            skips.view(-1, hidden).addmm_(act, skip_weight.t())
            skips += skip_bias
            if len(mix) > hidden:
                x = torch.addmm(x.view(-1, hidden), act, mix[:hidden, :, 0].t()).view_as(x)
                x += bias[:hidden]
                silence_after(x, frames)
            saved += [gate, seen, gates, act, mix]
        ctx.save_for_backward(*saved)
        ctx.shapes = frames, kernel, [offset.shape[0] for offset in layers[1::PER_LAYER]]
        return from_tiles(skips, frames)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, ...]:
        frames, kernel, offsets = ctx.shapes
        toom = transforms(kernel, upstream.dtype)
        skips = to_tiles(upstream)
        *rows, hidden = skips.shape
        # side by side, as the 1×1 convolutions gave them: the residual's gradient, the skips'
        both = torch.cat([torch.zeros_like(skips), skips], -1)
        residual = both[..., :hidden]
        weight = skips.new_empty(len(toom.weight), 2 * hidden, hidden)
        d_product = skips.new_empty(len(toom.window), rows[1] * rows[2], 2 * hidden)
        d_taps = skips.new_empty(kernel, 2 * hidden, hidden)
        gradients: list[Tensor] = []
        saved = ctx.saved_tensors
        for layer in reversed(range(len(offsets))):
            gate, seen, gates, act, mix = saved[5 * layer : 5 * layer + 5]
            outputs = both.view(-1, 2 * hidden)[:, -len(mix) :]
            d_mix = (outputs.t() @ act)[..., None]
            d_bias = outputs.sum(0)
            d_act = outputs @ mix[..., 0]
            first, second = gates.chunk(2, 1)
            d_gates = torch.empty_like(gates)
            into_first, into_second = d_gates.chunk(2, 1)
            # tanh' = 4 σ (1 − σ), with σ the first half of the gates
            torch.mul(d_act, second, out=into_first)
            into_first.mul_(torch.addcmul(first, first, first, value=-1)).mul_(4)
            torch.mul(d_act, act, out=into_second)
            into_second.addcmul_(into_second, second, value=-1)
            _times(toom.output.t(), d_gates.view(*rows, 2 * hidden), out=d_product)
            # the second point of the transform, 1, weighs all outputs of a tile alike
            d_offset = d_product[1].view(*rows[1:], 2 * hidden).sum(1)
            if offsets[layer] == 1:
                d_offset = d_offset.sum(0, keepdim=True)
            _times(toom.weight, gate.flatten(0, 1).t(), out=weight)
            d_seen = torch.bmm(d_product, weight).view(-1, *rows[1:], hidden)
            d_weight = torch.bmm(d_product.transpose(1, 2), seen, out=weight)
            _times(toom.weight.t(), d_weight, out=d_taps)
            d_gate = d_taps.permute(1, 2, 0).contiguous()
            add_windows(residual, _times(toom.window.t(), d_seen))
            silence_after(residual, frames)
            gradients = [d_gate, d_offset, d_mix, d_bias, *gradients]
        return (from_tiles(residual, frames), *gradients)


def _times(matrix: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
    """(n, m), (m, ...) -> (n, ...)."""
    flat = None if out is None else out.view(len(matrix), -1)
    product = torch.mm(matrix, x.reshape(len(x), -1), out=flat)
    return product.view(-1, *x.shape[1:])

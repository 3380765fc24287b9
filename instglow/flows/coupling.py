"""Affine coupling, and the gated WaveNet that computes its shift and scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from instglow.errors import require
from instglow.flows.affine import per_number
from instglow.flows.bijection import Bijection
from instglow.flows.gated_layers import gated_layers
from instglow.flows.winograd import KERNELS


class GatedWaveNet(nn.Module):
    """WaveGlow's non-causal network of gated, dilated convolutions (Prenger et al., 2019).

    Args:
        inputs: channels in.
        outputs: channels out.
        hidden: channels of the residual stream.
        layers: gated layers; layer j has dilation `dilation_rate ** j`.
        kernel: frames that one convolution sees; odd.
        dilation_rate: 1 for none.
        condition: channels of a conditioning vector, the same at every frame; 0 for none. Every
            gated layer adds a linear map of it.

    Raises:
        ConfigError: for a size below 1, or an even kernel.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: int = 192,
        layers: int = 4,
        kernel: int = 5,
        dilation_rate: int = 1,
        condition: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (
            ("hidden", hidden),
            ("layers", layers),
            ("kernel", kernel),
            ("dilation_rate", dilation_rate),
        ):
            require(value >= 1, name, "at least 1", value)
        require(kernel % 2 == 1, "kernel", "odd", kernel)
        self.start = nn.Conv1d(inputs, hidden, 1)
        self.gates = nn.ModuleList(
            # the number, not padding="same": that takes a path several times slower on a CPU
            nn.Conv1d(
                hidden, 2 * hidden, kernel, dilation=dilation, padding=dilation * (kernel // 2)
            )
            for dilation in (dilation_rate**layer for layer in range(layers))
        )
        # the last layer feeds only the skip path: nobody reads its residual
        self.mixes = nn.ModuleList(
            nn.Conv1d(hidden, hidden if layer == layers - 1 else 2 * hidden, 1)
            for layer in range(layers)
        )
        self.end = nn.Conv1d(hidden, outputs, 1)
        # a coupling that starts as the identity is what makes a deep flow trainable
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)  # type: ignore[arg-type]
        # one map for all layers, as in WaveGlow: its output is cut into theirs
        self.conditioning = nn.Linear(condition, layers * 2 * hidden) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, inputs, frames), (batch, condition channels) -> (batch, outputs, frames)."""
        stream, shifts = self.start(x), self._shifts(condition)
        skips = self._in_one if self._learns_on_cpu(stream) else self._layer_by_layer
        return self.end(skips(stream, shifts))

    def _layer_by_layer(self, stream: Tensor, shifts: Sequence[Tensor | None]) -> Tensor:
        """(batch, hidden, frames) -> the sum of the skips, of the same shape."""
        skips = torch.zeros_like(stream)
        for gate, mix, shift in zip(self.gates, self.mixes, shifts, strict=True):
            gated = gate(stream) if shift is None else gate(stream) + shift
            filtered, gating = gated.chunk(2, 1)
            mixed = mix(torch.tanh(filtered) * torch.sigmoid(gating))
            if mixed.shape[1] == stream.shape[1]:
                skips = skips + mixed
            else:
                residual, skip = mixed.chunk(2, 1)
                stream, skips = stream + residual, skips + skip
        return skips

    def _in_one(self, stream: Tensor, shifts: Sequence[Tensor | None]) -> Tensor:
        """See `_layer_by_layer`: the same, faster where the weights want gradients too."""
        layers = []
        for (gate, mix), shift in zip(self._convolutions(), shifts, strict=True):
            assert gate.bias is not None
            assert mix.bias is not None
            offset = gate.bias[None] if shift is None else gate.bias + shift[..., 0]
            layers.append((gate.weight, offset, mix.weight, mix.bias))
        return gated_layers(stream, layers)

    def _learns_on_cpu(self, stream: Tensor) -> bool:
        return (
            torch.is_grad_enabled()
            and stream.device.type == "cpu"
            and stream.dtype in (torch.float32, torch.float64)
            and all(
                gate.weight.requires_grad
                and gate.dilation == (1,)
                and gate.kernel_size[0] in KERNELS
                for gate, _ in self._convolutions()
            )
        )

    def _convolutions(self) -> list[tuple[nn.Conv1d, nn.Conv1d]]:
        """Of each layer the gated convolution and the 1×1 convolution after the gate."""
        return cast(
            "list[tuple[nn.Conv1d, nn.Conv1d]]", list(zip(self.gates, self.mixes, strict=True))
        )

    def _shifts(self, condition: Tensor | None) -> Sequence[Tensor | None]:
        """What each layer adds before its gate: (batch, 2 · hidden, 1), or None for nothing."""
        layers = len(self.gates)
        if self.conditioning is None:
            assert condition is None, (
                "a condition is given, but the network has no condition channels"
            )
            return [None] * layers
        assert condition is not None, (
            "no condition is given, but the network has condition channels"
        )
        return self.conditioning(condition)[..., None].chunk(layers, 1)


class AffineCoupling(Bijection):
    """y₁ = m(x₀) + exp(s(x₀)) · x₁, y₀ = x₀, with x₀ the first half of the channels.

    With a condition, m and s depend on it too; the map stays invertible for each.

    Args:
        channels: even.
        bounded: s = log(10⁻⁶ + sigmoid(s′ + 2)) instead of s = s′, so that the forward map shrinks
            only; the authors' option `sigmoid_scale`.
        network: arguments of `GatedWaveNet`.

    Raises:
        ValueError: for an odd number of channels.
    """

    def __init__(self, channels: int, bounded: bool = False, **network: int) -> None:
        super().__init__()
        if channels % 2:
            raise ValueError(f"channels must be even, got {channels}")
        self.bounded = bounded
        self.network = GatedWaveNet(channels // 2, channels, **network)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(batch, channels, frames) -> the same shape, and (batch,) log|dy/dx|."""
        kept, changed = x.chunk(2, 1)
        return per_number(kept, changed, self._shift_and_log_scale(kept, condition))

    def inverse(self, y: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(batch, channels, frames) -> the same shape, and (batch,) log|dx/dy|."""
        kept, changed = y.chunk(2, 1)
        shift, log_scale = self._shift_and_log_scale(kept, condition).chunk(2, 1)
        return (
            torch.cat([kept, (changed - shift) * torch.exp(-log_scale)], 1),
            -log_scale.flatten(1).sum(1),
        )

    def _shift_and_log_scale(self, kept: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, channels / 2, frames) -> (batch, channels, frames), m before s."""
        # under autocast the network answers in half precision; the data stays in its own
        answer = self.network(kept, condition).to(kept.dtype)
        if not self.bounded:
            return answer
        shift, log_scale = answer.chunk(2, 1)
        return torch.cat([shift, torch.log(1e-6 + torch.sigmoid(log_scale + 2))], 1)

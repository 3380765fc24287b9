"""The training step written plainly: what `training_speed.py` compares InstGlow's with.

GlowTTS's decoder as it is usually written (Kim et al., 2020; the paper's model is this one), one
tensor operation after the other: channels in their natural order, viewed and permuted around every
1×1 convolution, halves sliced and concatenated, tanh and sigmoid apart. The two things in the
published code that cost time and change no number here are left out: masks of ones and weight
normalisation. It shares no code with instglow.flows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from instglow.families.glow import GlowPrior


class ActNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logs = nn.Parameter(torch.zeros(1, channels, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.bias + torch.exp(self.logs) * x, self.logs.sum() * x.shape[2]


class Conv1x1(nn.Module):
    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.eye(groups))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        batch, channels, frames = x.shape
        half = self.groups // 2
        x = x.view(batch, 2, channels // self.groups, half, frames).permute(0, 1, 3, 2, 4)
        x = x.contiguous().view(batch, self.groups, channels // self.groups, frames)
        z = nnf.conv2d(x, self.weight[:, :, None, None])
        z = z.view(batch, 2, half, channels // self.groups, frames).permute(0, 1, 3, 2, 4)
        stretch = torch.logdet(self.weight) * channels / self.groups * frames
        return z.contiguous().view(batch, channels, frames), stretch


class WaveNet(nn.Module):
    def __init__(self, hidden: int, layers: int, kernel: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.in_layers = nn.ModuleList(
            nn.Conv1d(hidden, 2 * hidden, kernel, padding=kernel // 2) for _ in range(layers)
        )
        self.res_skip_layers = nn.ModuleList(
            nn.Conv1d(hidden, 2 * hidden if layer < layers - 1 else hidden, 1)
            for layer in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        output = torch.zeros_like(x)
        last = len(self.in_layers) - 1
        for i, (in_layer, res_skip) in enumerate(
            zip(self.in_layers, self.res_skip_layers, strict=True)
        ):
            gates = in_layer(x)
            acts = torch.tanh(gates[:, : self.hidden]) * torch.sigmoid(gates[:, self.hidden :])
            both = res_skip(acts)
            if i < last:
                x = x + both[:, : self.hidden]
                output = output + both[:, self.hidden :]
            else:
                output = output + both
        return output


class Coupling(nn.Module):
    def __init__(self, channels: int, hidden: int, layers: int, kernel: int) -> None:
        super().__init__()
        self.start = nn.Conv1d(channels // 2, hidden, 1)
        self.wn = WaveNet(hidden, layers, kernel)
        self.end = nn.Conv1d(hidden, channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        half = x.shape[1] // 2
        x0, x1 = x[:, :half], x[:, half:]
        out = self.end(self.wn(self.start(x0)))
        m, logs = out[:, :half], out[:, half:]
        z = torch.cat([x0, m + torch.exp(logs) * x1], 1)
        return z, logs.sum((1, 2))


class PlainGlow(nn.Module):
    def __init__(self, like: GlowPrior) -> None:
        super().__init__()
        sizes = like.architecture
        self.like = [like]  # in a list, so that its parameters are not this module's
        channels = 2 * sizes["channels"]
        network = (sizes["hidden"], sizes["layers"], sizes["kernel"])
        self.flows = nn.ModuleList(
            layer
            for _ in range(sizes["steps"])
            for layer in (
                ActNorm(channels),
                Conv1x1(sizes["groups"]),
                Coupling(channels, *network),
            )
        )
        with torch.no_grad():
            for parameter, value in zip(self.parameters(), self.in_our_order(False), strict=True):
                parameter.copy_(value.view_as(parameter))

    def loss(self, magnitude: Tensor, generator: torch.Generator) -> Tensor:
        """(batch, bins, even frames) -> nats a dimension, noise as `GlowPrior.loss` draws it."""
        prior = self.like[0]
        data = magnitude[:, : prior.flow.channels]
        data = data + prior.noise * torch.randn(data.shape, generator=generator)
        batch, channels, frames = data.shape
        z = data.view(batch, channels, frames // 2, 2).permute(0, 3, 1, 2)
        z = z.reshape(batch, 2 * channels, frames // 2)
        logdet = torch.zeros(batch, dtype=z.dtype)
        for flow in self.flows:
            z, term = flow(z)
            logdet = logdet + term
        log_density = -0.5 * math.log(2 * math.pi) * z[0].numel() - 0.5 * (z**2).sum((1, 2))
        return -(log_density + logdet).mean() / z[0].numel()

    def in_our_order(self, gradients: bool) -> Iterator[Tensor]:
        """The prior's parameters, or their gradients, one for each of `self.parameters()`."""
        prior = self.like[0]
        bins = torch.arange(prior.flow.channels).view(-1, 2)
        # where the prior keeps each natural channel: it holds the even bins before the odd ones
        half = bins.T.flatten().argsort()
        both = torch.cat([half, half + len(half)])
        for step in prior.flow.steps:
            network = step.coupling.network
            ordered = [(step.actnorm.log_scale, both), (step.actnorm.bias, both)]
            ordered += [(step.conv1x1.weight, None), (network.start.weight, (slice(None), half))]
            ordered += [(network.start.bias, None)]
            for layers in (network.gates, network.mixes):
                ordered += [(tensor, None) for each in layers for tensor in each.parameters()]
            ordered += [(network.end.weight, both), (network.end.bias, both)]
            for parameter, order in ordered:
                tensor = parameter.grad if gradients else parameter.detach()
                yield tensor if order is None else tensor[order]

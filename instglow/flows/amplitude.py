"""Invertible compression of the magnitudes.

A linear prior and a compressed one are the same thing to a search. All are odd functions, so that a
flow over all real numbers has an image everywhere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from instglow.flows.bijection import Bijection


class Amplitude(Bijection):
    """An odd, strictly increasing function of each number."""


class Linear(Amplitude):
    """y = x: the paper's."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Any shape -> the same, and (batch,) zeros."""
        return x, x.new_zeros(x.shape[0])

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Any shape -> the same, and (batch,) zeros."""
        return self.forward(y)


class Power(Amplitude):
    """y = sign(x) |x|^exponent.

    Args:
        exponent: in (0, 1]; 0.5 makes a square-root amplitude of a linear one.

    Raises:
        ValueError: for an exponent out of that range.
    """

    def __init__(self, exponent: float = 0.5) -> None:
        super().__init__()
        if not 0 < exponent <= 1:
            raise ValueError(f"exponent must be above 0 and at most 1, got {exponent}")
        self.exponent = exponent

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Any shape -> the same, and (batch,) log|dy/dx|."""
        size = _away_from_zero(x)
        log_slope = math.log(self.exponent) + (self.exponent - 1) * size.log()
        return x.sign() * x.abs().pow(self.exponent), log_slope.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Any shape -> the same, and (batch,) log|dx/dy|."""
        steepness = 1 / self.exponent
        log_slope = math.log(steepness) + (steepness - 1) * _away_from_zero(y).log()
        # y · |y|^(steepness − 1): its gradient is smooth at zero, where that of sign(y) is not
        return y * y.abs().pow(steepness - 1), log_slope.flatten(1).sum(1)


def _away_from_zero(x: Tensor) -> Tensor:
    """|x|, but not so small that one number's infinite slope drowns those of all others."""
    return x.abs().clamp(min=1e-12)


class SymmetricLog(Amplitude):
    """y = sign(x) log(1 + |x| / floor): linear far below the floor, logarithmic far above.

    Args:
        floor: linear amplitude, above 0.

    Raises:
        ValueError: for a floor that is not above 0.
    """

    def __init__(self, floor: float = 0.1) -> None:
        super().__init__()
        if not 0 < floor < math.inf:
            raise ValueError(f"floor must be above 0 and finite, got {floor}")
        self.floor = floor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Any shape -> the same, and (batch,) log|dy/dx|."""
        size = x.abs()
        return x.sign() * torch.log1p(size / self.floor), -(self.floor + size).log().flatten(1).sum(
            1
        )

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Any shape -> the same, and (batch,) log|dx/dy|."""
        size = y.abs()
        log_slope = math.log(self.floor) + size
        return y.sign() * self.floor * torch.expm1(size), log_slope.flatten(1).sum(1)


def amplitude(spec: str) -> Amplitude:
    """The layer that a card names.

    >>> amplitude("power:0.5").exponent
    0.5

    Args:
        spec: "linear", "power:EXPONENT" or "log:FLOOR".

    Raises:
        ValueError: for anything else.
    """
    kind, _, number = spec.partition(":")
    if kind == "linear" and not number:
        return Linear()
    try:
        value = float(number)
    except ValueError:
        kind = ""
    if kind in {"power", "log"}:
        return (Power if kind == "power" else SymmetricLog)(value)
    raise ValueError(f"amplitude must be 'linear', 'power:EXPONENT' or 'log:FLOOR', got {spec!r}")

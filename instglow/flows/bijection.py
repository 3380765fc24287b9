"""The protocol of an invertible layer."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Bijection(nn.Module, ABC):
    """An invertible map of (batch, channels, frames) tensors.

    The logarithm of the absolute determinant of the Jacobian is called `ladj`; it keeps the batch.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data x -> y towards the latent, and (batch,) log|dy/dx|."""

    @abstractmethod
    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Latent side y -> x towards the data, and (batch,) log|dx/dy|."""

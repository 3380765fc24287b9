"""What a supervised network must offer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch.nn.functional as nnf
from torch import Tensor, nn

from instglow.errors import ConfigError

SHORTEST = 8192
"""No network is given fewer samples: each needs some for its windows and strides."""


def of_any_length(separate: Callable[[Tensor], Tensor], mixture: Tensor) -> Tensor:
    """(..., samples) -> (..., samples), with silence after what is too short for a network."""
    samples = mixture.shape[-1]
    return separate(nnf.pad(mixture, (0, max(0, SHORTEST - samples))))[..., :samples]


class Network(nn.Module, ABC):
    """A mono mixture in, one waveform for each source out.

    A subclass is constructed as `Kind(sources, sample_rate, **architecture)`: with the weights,
    that is all there is to a network.

    Args:
        sources: names of what it separates, in the order of its output.
        sample_rate: Hz, of the mixture and of the stems.
        architecture: sizes; plain values.

    Raises:
        ConfigError: without sources, or with one twice.
    """

    name: ClassVar[str]
    """Its key in `instglow.rivals.networks.NETWORKS`."""

    def __init__(self, sources: Sequence[str], sample_rate: int, **architecture: Any) -> None:
        super().__init__()
        if not sources or len(set(sources)) < len(sources) or sample_rate < 1:
            raise ConfigError(
                f"sources must be distinct names and sample_rate above 0, got {list(sources)} and "
                f"{sample_rate}"
            )
        self.sources = list(sources)
        self.sample_rate = sample_rate
        self.architecture = architecture

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, samples) full scale ±1 -> (batch, sources, samples); of any length."""
        return of_any_length(self.stems, mixture)

    @abstractmethod
    def stems(self, mixture: Tensor) -> Tensor:
        """The same, of at least `SHORTEST` samples."""

    def loss(self, solos: Tensor) -> Tensor:
        """(batch, sources, samples) full scale ±1, of which the sum is the mixture -> scalar.

        By default the mean absolute error of the waveforms (Défossez et al., 2019).
        """
        return nnf.l1_loss(self(solos.sum(1)), solos)

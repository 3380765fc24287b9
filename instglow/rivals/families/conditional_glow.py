"""MusicGlow, the paper's baseline: one Glow, conditioned on the instrument."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, ClassVar

from torch import Tensor, nn

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError
from instglow.families.glow import GlowPrior
from instglow.flows.glow import Glow


class ConditionalGlowPrior(GlowPrior):
    """One set of weights for several instruments; `of` chooses the one that it is a prior of.

    As built, it is a prior of the first. It is trained on `BandData`, whose `sources` must be the
    same instruments in the same order: a batch tells them apart by position alone.

    Args:
        frontend: the spectrogram it models.
        instruments: that it knows, each different; the names of the stems it can give.
        embedding: numbers that are learnt to stand for an instrument; every coupling sees them.
        **glow: see `GlowPrior`.

    Raises:
        ConfigError: for no instruments, the same one twice, or no numbers to tell them apart.
    """

    family: ClassVar[str] = "music-glow"
    flow: _GlowOf

    def __init__(
        self, frontend: Frontend, instruments: Sequence[str], embedding: int = 32, **glow: Any
    ) -> None:
        if not instruments or len(set(instruments)) < len(instruments):
            raise ConfigError(
                f"instruments must be distinct and at least one, got {list(instruments)}"
            )
        if embedding < 1:
            raise ConfigError(f"embedding must be at least 1, got {embedding}")
        if glow.get("denoiser") is not None:
            raise ConfigError(
                "a denoiser cannot tell instruments apart; leave it out of a music-glow prior"
            )
        super().__init__(frontend, **glow)
        self.instruments = list(instruments)
        self.flow = _GlowOf(len(instruments), embedding, **self._network())
        self.architecture = {
            "instruments": self.instruments,
            "embedding": embedding,
            **self.architecture,
        }

    def of(self, instrument: str) -> ConditionalGlowPrior:
        """The prior of one of `instruments`: a shallow copy, of the same weights."""
        if instrument not in self.instruments:
            raise ConfigError(
                f"unknown instrument {instrument!r}: this prior knows "
                f"{', '.join(self.instruments)}; name the stem after one of these"
            )
        return self._playing(self.instruments.index(instrument))

    def loss(self, magnitude: Tensor, *args: Any, **options: Any) -> dict[str, Tensor]:
        """(batch, instruments, bins, frames) solos -> see `GlowPrior.loss`; the mean over all.

        (batch, bins, frames) is taken for solos of the one instrument that `of` chose.
        """
        if magnitude.ndim == 3:
            return super().loss(magnitude, *args, **options)
        if magnitude.shape[1] != len(self.instruments):
            raise ConfigError(
                f"the data has {magnitude.shape[1]} instruments, the prior "
                f"{len(self.instruments)} ({', '.join(self.instruments)}); list the same ones in "
                "the same order as data.sources"
            )
        everyone = self._playing(*range(len(self.instruments)))
        return everyone.loss(magnitude.flatten(0, 1), *args, **options)

    def _playing(self, *positions: int) -> ConditionalGlowPrior:
        """A copy whose batches hold the instruments at these positions in turn."""
        chosen = copy(self)
        # a table of its own, so that the flow of this copy alone is exchanged
        chosen._modules = {**self._modules, "flow": self.flow.of(*positions)}
        return chosen


class _GlowOf(Glow):
    """A conditional Glow that knows the condition itself: to its callers, a Glow like any other.

    Args:
        instruments: how many it knows.
        embedding: numbers that stand for one.
        **network: see `Glow`.
    """

    def __init__(self, instruments: int, embedding: int, **network: Any) -> None:
        super().__init__(**network, condition=embedding)
        self.embedding = nn.Embedding(instruments, embedding)
        self.positions: tuple[int, ...] = (0,)

    def of(self, *positions: int) -> _GlowOf:
        """A shallow copy for batches that hold the instruments at these positions in turn."""
        chosen = copy(self)
        chosen.positions = positions
        return chosen

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `Glow.forward`; the condition is that of its instruments unless another is given."""
        return super().forward(x, self._condition(x) if condition is None else condition)

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `Glow.inverse`; the condition is that of its instruments unless another is given."""
        return super().inverse(z, self._condition(z) if condition is None else condition)

    def _condition(self, batch: Tensor) -> Tensor:
        """(batch, ...) -> (batch, embedding)."""
        turns, rest = divmod(len(batch), len(self.positions))
        assert not rest, f"{len(batch)} items are not {len(self.positions)} instruments in turn"
        return self.embedding.weight[list(self.positions)].repeat(turns, 1)

"""LQ-VAE: codes that average as sources mix, and what is likely to follow what in one source."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as nnf
from torch import Tensor

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError
from instglow.prior import Decoded, Space, Trainable
from instglow.rivals.families.lq_codec import Codec, CodeSequence

_COMMITMENT = 0.25


class LQVAEPrior(Trainable):
    """Mancusi et al. (2021), on spectrograms: a codec that all sources share, a prior for each.

    Theirs encodes waveforms, with networks that take days on a GPU. This one encodes square-rooted
    magnitudes, two frames a position, and takes minutes on a CPU: the method is the same, the
    figures are not theirs. The phase of the mixture has to do for what their decoder generates.

    It learns in two runs. "codec": to reconstruct solos and mixtures of two through the codebooks,
    and that the codes of two solos average to the code of half their mixture. "prior": the codec
    frozen (start from its weights), to predict each code of one source from those before it.

    The latent of a gradient search is what the decoder sees; the energy of both spaces is that of
    a Gaussian around each entry of the codebooks. `CodeSearch` searches the codes themselves.

    Args:
        frontend: the spectrogram it models.
        codebook: entries of each codebook.
        embedding: channels of the latent; each group of them has its own codebook.
        hidden: channels of the codec and of the recurrent network.
        groups: codes of one position.
        learns: "codec" or "prior".
        level: see `GlowPrior`.

    Raises:
        ConfigError: for groups that do not divide the embedding, or another `learns`.
    """

    family: ClassVar[str] = "lq-vae"
    stride: ClassVar[int] = 2
    """Frames of one position."""

    def __init__(
        self,
        frontend: Frontend,
        codebook: int = 256,
        embedding: int = 64,
        hidden: int = 256,
        groups: int = 4,
        learns: Literal["codec", "prior"] = "codec",
        level: float = 0.1,
    ) -> None:
        if learns not in ("codec", "prior"):
            raise ConfigError(f"learns must be 'codec' or 'prior', got {learns!r}")
        if groups < 1 or embedding % groups:
            raise ConfigError(
                f"groups must be at least 1 and divide the embedding, got {groups} and {embedding}"
            )
        super().__init__(frontend, locals())
        self.learns = learns
        # about the root mean square over the bins of noise at that level
        self.unit = (level or 0.1) * (0.375 * frontend.n_fft) ** 0.5
        self.codec = Codec(frontend.bins, codebook, embedding, hidden, groups)
        self.sequence = CodeSequence(codebook, embedding, hidden, groups)
        self.codec.requires_grad_(learns == "codec")
        self.sequence.requires_grad_(learns == "prior")
        self.train()

    def initial_latent(
        self, batch: int, frames: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """-> (batch, embedding, positions): the mean entry, but for a little noise."""
        mean = self.codebooks.mean(1).flatten()[:, None]  # (embedding, 1)
        shape = (batch, len(mean), -(-frames // self.stride))
        # drawn on the CPU, so that a seed means the same on every device
        return mean + 0.01 * torch.randn(shape, generator=generator).to(mean)

    def decode(self, latent: Tensor, frames: int, energy: Space | None = None) -> Decoded:
        """See `Prior.decode`; both spaces have one energy."""
        magnitude = self.unit * self.codec.decode(latent, frames).square()
        return Decoded(magnitude, self.codec.energy(latent) if energy else None)

    def train(self, mode: bool = True) -> LQVAEPrior:
        """See `torch.nn.Module.train`; a frozen codec stays as it was trained."""
        super().train(mode)
        self.codec.train(mode and self.learns == "codec")
        return self

    @property
    def codebooks(self) -> Tensor:
        """(groups, entries, channels of a group)."""
        return self.codec.codebook

    def codec_state(self) -> dict[str, Tensor]:
        """What two priors must have in common for their codes to mean the same."""
        return self.codec.state_dict()

    def codes(self, magnitude: Tensor) -> Tensor:
        """(batch, bins, frames) linear amplitude -> (batch, positions, groups) codes."""
        with torch.no_grad():
            return self.codec.nearest(self.codec.encode(self._compress(magnitude)))

    def decode_codes(self, codes: Tensor, frames: int) -> Tensor:
        """(batch, positions, groups) codes -> (batch, bins, frames) linear amplitude, >= 0."""
        return self.decode(self.codec.embed(codes), frames).magnitude

    def next_logits(self, history: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What may come next, of a source whose codes are known so far.

        Args:
            history: (samples, n) codes, position by position and in each group by group.
            state: what this returned for the first n − 1 of them; None where there are none.

        Returns:
            (samples, entries) log-probabilities up to a constant, and the state, (samples, ...).

        Raises:
            ConfigError: where nothing but the codec was trained.
        """
        if self.learns == "codec":
            raise ConfigError(
                "this prior is the codec alone: train one for each source with lq-vae.yaml, and "
                "separate with those"
            )
        return self.sequence.step(history, state)

    def loss(
        self, magnitude: Tensor, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Of the codec: errors of square roots, and of linearity; of a prior: nats a code.

        Args:
            magnitude: (batch, bins, frames) solos, or (batch, instruments, bins, frames), of which
                the codec takes a pair of every item.
            generator: of the pairs, their phases and the entries that start anew.

        Raises:
            ConfigError: for a prior whose codec was never trained.
        """
        if self.learns == "codec":
            return self._codec_loss(magnitude, generator)
        if not self.codec.usage.any():
            raise ConfigError(
                "a prior of codes needs a trained codec: train with lq-vae-codec.yaml first, and "
                "name the result as model.init"
            )
        return {"loss": self.sequence.loss(self.codes(magnitude.flatten(0, -3)))}

    def _codec_loss(
        self, magnitude: Tensor, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        solos, one, other = _pairs(magnitude, generator)
        # two recordings meet at any phase: |a + b·exp(iφ)|
        cosine = torch.rand(solos[one].shape, generator=generator, device=solos.device)
        cosine = (2 * torch.pi * cosine).cos()
        power = solos[one] ** 2 + solos[other] ** 2 + 2 * cosine * solos[one] * solos[other]
        half = power.clamp(min=0).sqrt() / 2
        data = self._compress(torch.cat([solos, half]))
        latent = self.codec.encode(data)
        if self.training:
            self.codec.revive(latent, generator)
        codes = self.codec.nearest(latent)
        embedded = self.codec.embed(codes)
        if self.training:
            self.codec.follow(latent, codes)
        through = latent + (embedded - latent).detach()  # straight through
        average = (through[one] + through[other]) / 2
        mixed, frames = through[len(solos) :], data.shape[-1]
        decoded = self.codec.decode(torch.cat([through, average]), frames)
        reconstruction = nnf.mse_loss(decoded[: len(data)], data)
        mixing = nnf.mse_loss(decoded[len(data) :], data[len(solos) :])
        commitment = nnf.mse_loss(latent, embedded.detach())
        linearity = nnf.mse_loss(average, mixed)
        return {
            "loss": reconstruction + mixing + _COMMITMENT * commitment + linearity,
            "reconstruction": reconstruction.detach(),
            "linearity": linearity.detach(),
        }

    def _compress(self, magnitude: Tensor) -> Tensor:
        return (magnitude / self.unit).sqrt()


def _pairs(magnitude: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
    """-> (solos, bins, frames), and the numbers of the two solos of each mixture, (mixtures,)."""
    device = magnitude.device
    if magnitude.ndim == 3 or magnitude.shape[1] == 1:
        solos = magnitude.flatten(0, -3)
        numbers = torch.arange(len(solos), device=device)
        return solos, numbers, numbers.roll(1)
    batch, instruments = magnitude.shape[:2]
    items = torch.arange(batch, device=device)
    one = torch.randint(instruments, (batch,), generator=generator, device=device)
    further = torch.randint(1, instruments, (batch,), generator=generator, device=device)
    other = (one + further) % instruments
    return torch.cat([magnitude[items, one], magnitude[items, other]]), items, items + batch

"""InstGlow: a Glow of one instrument's magnitude spectrograms."""

from __future__ import annotations

import math
from functools import partial
from inspect import signature
from typing import Any, ClassVar

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from instglow.audio.frontend import Frontend
from instglow.devices import normal_noise
from instglow.errors import ConfigError, require
from instglow.families.denoiser import Denoiser
from instglow.flows.amplitude import amplitude as amplitude_layer
from instglow.flows.glow import Glow, standard_normal_energy
from instglow.prior import Decoded, Space, Trainable

_MOST_SOURCES = 5
_SOLOS = 0.3
"""Of the examples that a denoiser learns from where it is given mixtures, those without one."""
_FLOOR = 1e-8


class GlowPrior(Trainable):
    """The paper's prior, its sizes as defaults.

    Args:
        frontend: the spectrogram it models.
        steps, hidden, layers, kernel, dilation_rate, groups, bounded: see `Glow`.
        amplitude: "linear" as in the paper, "power:0.5" for square-rooted magnitudes, "log:FLOOR".
        channels: frequencies that the flow sees; 0 takes the largest even number of `bins`. Bins
            above are dropped and decode to zero (by default only the one at half the sample rate,
            which holds next to nothing). More channels than bins are padded with zeros: the layout
            of the authors' checkpoints, whose likelihood a constant makes unbounded.
        noise: standard deviation of the Gaussian noise added to the compressed magnitudes in
            training. Silence is a constant, so without noise its density has no bound.
        level: root mean square (full scale ±1) that solos are scaled to in training, and that a
            search scales the mixture by; 0 takes every recording as it is, as the paper does.
        denoiser: sizes of a `Denoiser` that is learnt beside the flow, on the same compressed
            magnitudes, for `denoise`; None for none, as in the paper.

    Raises:
        ConfigError: for sizes below 1, noise or a level below 0, or a denoiser's setting that does
            not exist.
        ValueError: for an amplitude, channels or groups that the layers of the flow refuse.
    """

    family: ClassVar[str] = "glow"

    def __init__(
        self,
        frontend: Frontend,
        steps: int = 12,
        hidden: int = 192,
        layers: int = 4,
        kernel: int = 5,
        dilation_rate: int = 1,
        groups: int = 4,
        bounded: bool = False,
        amplitude: str = "linear",
        channels: int = 0,
        noise: float = 0.01,
        level: float = 0.0,
        denoiser: dict[str, int] | None = None,
    ) -> None:
        channels = channels or frontend.bins // 2 * 2
        super().__init__(frontend, locals())
        require(0 <= noise < math.inf, "noise", "at least 0", noise)
        self.noise = noise
        self.amplitude = amplitude_layer(amplitude)
        self.flow = Glow(**self._network())
        self.denoiser = None if denoiser is None else Denoiser(channels, **_sizes(denoiser))

    def _network(self) -> dict[str, Any]:
        """The arguments of `Glow` among ours."""
        return {k: v for k, v in self.architecture.items() if k in signature(Glow).parameters}

    def initial_latent(
        self,
        batch: int,
        frames: int,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """-> (batch, channels, frames rounded up to even) zeros: the mode of the latent."""
        like = next(self.parameters())
        return like.new_zeros(batch, self.flow.channels, frames + frames % 2)

    def decode(self, latent: Tensor, frames: int, energy: Space | None = None) -> Decoded:
        """See `Prior.decode`; the magnitude can be negative where the data was near zero."""
        compressed, ladj = self.flow.inverse(latent)
        data, amplitude_ladj = self.amplitude.inverse(compressed)
        magnitude = self._to_bins(data)[..., :frames]
        if energy is None:
            return Decoded(magnitude, None)
        cost = standard_normal_energy(latent)
        # −log p(x) = ½‖z‖² + log|dx/dz|
        return Decoded(magnitude, cost + ladj + amplitude_ladj if energy == "data" else cost)

    def encode(self, magnitude: Tensor) -> Tensor:
        """(batch, bins, frames) -> latent (batch, channels, frames rounded up to even)."""
        return self.flow(self.amplitude(self._to_channels(magnitude))[0])[0]

    def log_prob(self, magnitude: Tensor) -> Tensor:
        """(batch, bins, frames) -> (batch,) nats; an odd last frame counts twice."""
        compressed, amplitude_ladj = self.amplitude(self._to_channels(self._even(magnitude)))
        return self._log_density(compressed) + amplitude_ladj

    @property
    def denoises(self) -> bool:
        """Whether it has a denoiser."""
        return self.denoiser is not None

    def denoise(
        self, magnitude: Tensor, noise: float, added: float, generator: torch.Generator
    ) -> Tensor:
        """See `Denoises.denoise`."""
        assert self.denoiser is not None, "no denoiser: see `can_denoise`"
        compressed, _ = self.amplitude(self._to_channels(magnitude))
        normal = normal_noise(compressed.shape[1:], generator, compressed)
        noisy = compressed + added * noise * self.denoiser.size * normal
        clean = self.denoiser(noisy, noisy.new_full(noisy.shape[:1], noise))
        return self._to_bins(self.amplitude.inverse(clean)[0]).clamp(min=0)

    def loss(
        self,
        magnitude: Tensor,
        generator: torch.Generator | None = None,
        mixture: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Of the flow, nats a dimension of the noisy compressed magnitudes, and bits a dimension of
        the data; of a denoiser its error. The loss is the sum. Of the two, one whose weights
        are frozen costs nothing in training. A denoiser that is given mixtures learns to find the
        solos in shares of them, as it meets them in a search.
        """
        magnitude = self._even(magnitude)
        compressed, _ = self.amplitude(self._to_channels(magnitude))
        terms: dict[str, Tensor] = {}
        if not self.training or _learns(self.flow):
            terms |= self._flow_loss(compressed, generator)
        if self.denoiser is not None and (not self.training or _learns(self.denoiser)):
            guess = None
            if mixture is not None:
                guess = partial(self._guess, magnitude, self._even(mixture), generator)
            terms["denoising"] = self.denoiser.loss(compressed, generator, guess)
        losses = [terms[name] for name in ("nats_per_dim", "denoising") if name in terms]
        return {"loss": torch.stack(losses).sum(), **terms}

    def _guess(
        self,
        magnitude: Tensor,
        mixture: Tensor,
        generator: torch.Generator | None,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """What annealing would hand a denoiser at each level of noise, compressed: more of an equal
        share of the mixture where there is much noise, more of the true share where there is
        little; for some the solo itself. See `Guess`."""
        batch, device = len(noise), noise.device
        sources = torch.randint(2, _MOST_SOURCES + 1, (batch,), generator=generator, device=device)
        spread = torch.randn(batch, generator=generator, device=device)
        unknown = (noise.clamp(max=1) * torch.exp(0.5 * spread)).clamp(max=1)[:, None, None]
        true_share = (magnitude / (mixture + _FLOOR)).clamp(max=1)
        share = torch.lerp(true_share, 1 / sources[:, None, None], unknown)
        is_clean = torch.rand(batch, generator=generator, device=device) < _SOLOS
        guess = torch.where(is_clean[:, None, None], magnitude, share * mixture)
        return self.amplitude(self._to_channels(guess))[0], is_clean

    def _flow_loss(
        self, compressed: Tensor, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        noise = torch.randn(compressed.shape, generator=generator, device=compressed.device)
        noisy = compressed + self.noise * noise
        log_density = self._log_density(noisy)
        # the change of variables back to linear amplitude, at the noisy point
        _, ladj = self.amplitude.inverse(noisy)
        dimensions = noisy[0].numel()
        return {
            "nats_per_dim": -log_density.mean() / dimensions,
            "bits_per_dim": (ladj - log_density).mean().detach() / (dimensions * math.log(2)),
        }

    def _log_density(self, compressed: Tensor) -> Tensor:
        latent, ladj = self.flow(compressed)
        constant = 0.5 * math.log(2 * math.pi) * latent[0].numel()
        return ladj - standard_normal_energy(latent) - constant

    def _even(self, magnitude: Tensor) -> Tensor:
        return nnf.pad(magnitude, (0, magnitude.shape[-1] % 2), mode="replicate")

    def _to_channels(self, magnitude: Tensor) -> Tensor:
        return nnf.pad(magnitude, (0, 0, 0, self.flow.channels - self.frontend.bins))

    def _to_bins(self, data: Tensor) -> Tensor:
        return nnf.pad(data, (0, 0, 0, self.frontend.bins - self.flow.channels))


def _sizes(denoiser: dict[str, int]) -> dict[str, int]:
    """The sizes of a denoiser, or a ConfigError that lists those it has."""
    known = [name for name in signature(Denoiser).parameters if name != "channels"]
    for name, size in denoiser.items():
        if name not in known:
            raise ConfigError(f"denoiser has no setting {name!r}; it has {', '.join(known)}")
        if not isinstance(size, int) or size < 1:
            raise ConfigError(f"denoiser: {name} must be a whole number above 0, got {size!r}")
    return denoiser


def _learns(part: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in part.parameters())

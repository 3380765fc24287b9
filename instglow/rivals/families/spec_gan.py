"""GAN-prior: a SpecGAN that draws the log-magnitudes of one instrument, a block of frames each."""

from __future__ import annotations

import itertools
import math
from typing import ClassVar

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError
from instglow.prior import Decoded, Prior, Space

_DEVIATIONS = 3.0
"""Log-magnitudes further from the mean of their bin are clipped, as in SpecGAN."""


class SpecGANPrior(Prior):
    """SpecGAN (Donahue et al., 2019) as the prior of Narayanaswamy et al. (2020).

    A vector of the latent, uniform on the cube [-1, 1], makes one block of frames. Blocks know
    nothing of each other: a note that sounds across their seam may jump there, and a search can
    only make it fit by the mixture. There is no encoder and no density. `AdversarialTraining`
    trains it.

    Args:
        frontend: the spectrogram it models; the bin at half the sample rate is dropped and decodes
            to zero.
        latent_size: numbers that make one block.
        width: channels before the last layer; the first has 2^(layers - 1) times as many.
        layers: of the generator, each of which doubles bins and frames.
        block: frames that one vector makes.
        floor: linear amplitude under which everything is silence.
        level: see `GlowPrior`.

    Raises:
        ConfigError: where bins or frames cannot be halved so often.
    """

    family: ClassVar[str] = "gan"

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        frontend: Frontend,
        latent_size: int = 100,
        width: int = 16,
        layers: int = 5,
        block: int = 128,
        floor: float = 1e-6,
        level: float = 0.0,
    ) -> None:
        super().__init__(frontend, locals())
        self.floor = floor
        self.latent_size = latent_size
        self.block = block
        self.channels = frontend.bins - 1
        if self.channels % 2**layers or block % 2**layers:
            raise ConfigError(
                f"n_fft must be a multiple of {2 ** (layers + 1)} and block of {2**layers}, for "
                f"each of the {layers} layers halves both, got {2 * self.channels} and {block}"
            )
        self.generator = Generator(latent_size, (self.channels, block), width, layers)
        self.register_buffer("mean", torch.zeros(self.channels))
        self.register_buffer("deviation", torch.ones(self.channels))

    def initial_latent(
        self, batch: int, frames: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """-> (batch, latent_size, blocks), drawn from the cube [-1, 1]."""
        shape = (batch, self.latent_size, -(-frames // self.block))
        # drawn on the CPU, so that a seed means the same on every device
        return (2 * torch.rand(shape, generator=generator) - 1).to(self.mean)

    def project(self, latent: Tensor) -> Tensor:
        """Onto the cube [-1, 1]: outside, the generator was never asked for anything."""
        return latent.clamp(-1, 1)

    def decode(self, latent: Tensor, frames: int, energy: Space | None = None) -> Decoded:
        """See `Prior.decode`; every latent of the cube is equally likely and costs nothing."""
        blocks = self.generator(latent.transpose(1, 2).flatten(0, 1))
        # the last block may be longer than what is asked for
        joined = blocks.unflatten(0, (len(latent), -1)).transpose(1, 2).flatten(2)[..., :frames]
        magnitude = nnf.pad(self.denormalised(joined), (0, 0, 0, 1))
        return Decoded(magnitude, latent.new_zeros(len(latent)) if energy else None)

    def measure(self, magnitude: Tensor) -> None:
        """Take mean and standard deviation of each bin from (..., bins, frames) linear amplitude.

        Raises:
            ConfigError: for fewer than two frames, which have no standard deviation.
        """
        logarithm = self._logarithm(magnitude).transpose(-1, -2).flatten(0, -2).double()
        if len(logarithm) < 2:
            raise ConfigError(
                f"measuring a standard deviation takes at least 2 frames, got {len(logarithm)}"
            )
        self.mean.copy_(logarithm.mean(0))
        # a bin that is always silent would be divided by zero
        self.deviation.copy_(logarithm.std(0).clamp(min=1e-3))

    def normalised(self, magnitude: Tensor) -> Tensor:
        """(..., bins, frames) linear amplitude -> (..., bins - 1, frames) in [-1, 1]."""
        scaled = (self._logarithm(magnitude) - self.mean[:, None]) / self.deviation[:, None]
        return (scaled / _DEVIATIONS).clamp(-1, 1)

    def denormalised(self, normalised: Tensor) -> Tensor:
        """(..., bins - 1, frames) in [-1, 1] -> linear amplitude, > 0."""
        return (_DEVIATIONS * normalised * self.deviation[:, None] + self.mean[:, None]).exp()

    def _logarithm(self, magnitude: Tensor) -> Tensor:
        return magnitude[..., :-1, :].clamp(min=self.floor).log()


class Generator(nn.Module):
    """Dense, then transposed 5 × 5 convolutions that double both sides each time.

    Args:
        latent_size: numbers that make one picture.
        size: bins and frames of it.
        width: channels before the last layer.
        layers: how often both sides double.
    """

    def __init__(self, latent_size: int, size: tuple[int, int], width: int, layers: int) -> None:
        super().__init__()
        self.start_shape = (width * 2 ** (layers - 1), *(side // 2**layers for side in size))
        channels, bins, frames = self.start_shape
        self.start = nn.Linear(latent_size, channels * bins * frames)
        _scaled(self.start, 1 / latent_size)
        outputs = [width * 2**i for i in reversed(range(layers - 1))] + [1]
        self.doublings = nn.ModuleList()
        for output in outputs:
            doubling = nn.ConvTranspose2d(channels, output, 5, 2, 2, output_padding=1)
            # a quarter of the 25 taps meet a number, and ReLU halves the power: without this gain
            # next to nothing of the latent would arrive, and the first epochs would go into that
            _scaled(doubling, 2 / (channels * 25 / 4))
            self.doublings.append(doubling)
            channels = output

    def forward(self, latent: Tensor) -> Tensor:
        """(batch, latent_size) -> (batch, bins, frames) in [-1, 1]."""
        picture = self.start(latent).view(-1, *self.start_shape)
        for doubling in self.doublings:
            picture = doubling(picture.relu())
        return picture[:, 0].tanh()


class Critic(nn.Module):
    """The generator's mirror image: how real a picture looks, without bound or unit.

    Args:
        size: bins and frames of the pictures.
        width: channels after the first layer.
        layers: how often both sides are halved.
    """

    def __init__(self, size: tuple[int, int], width: int, layers: int) -> None:
        super().__init__()
        channels = [1, *(width * 2**i for i in range(layers))]
        self.halvings = nn.ModuleList(
            nn.Conv2d(before, after, 5, 2, 2) for before, after in itertools.pairwise(channels)
        )
        area = size[0] * size[1] // 4**layers
        self.end = nn.Linear(channels[-1] * area, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """(batch, bins, frames) in [-1, 1] -> (batch,), higher for what looks real."""
        hidden = picture[:, None]
        for halving in self.halvings:
            hidden = nnf.leaky_relu(halving(hidden), 0.2)
        return self.end(hidden.flatten(1))[:, 0]


def _scaled(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, variance: float) -> None:
    """Fresh weights of that variance, no bias."""
    nn.init.normal_(layer.weight, std=math.sqrt(variance))
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)

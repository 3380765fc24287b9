"""Waveform ◀▶ magnitude and phase: the short-time Fourier transform that a prior was trained on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from instglow.errors import ConfigError

# Cards hold a frontend, and are listed in less time than torch takes to import.
if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Frontend:
    """A periodic-Hann short-time Fourier transform, centred frames, zeros beyond both ends.

    Args:
        sample_rate: Hz.
        n_fft: window and FFT length in samples; even.
        hop_length: samples between frames; at most half a window, so that it can be inverted.

    Raises:
        ConfigError: for numbers below 1, an odd n_fft, or a hop that is longer than half of it.
    """

    sample_rate: int = 22050
    n_fft: int = 1024
    hop_length: int = 256

    def __post_init__(self) -> None:
        if self.sample_rate < 1 or self.n_fft < 2 or self.n_fft % 2 or self.hop_length < 1:
            raise ConfigError(f"not a frontend: {self}; need positive numbers and an even n_fft")
        if 2 * self.hop_length > self.n_fft:
            raise ConfigError(
                f"hop_length {self.hop_length} is more than half of n_fft {self.n_fft}: "
                "such a spectrogram cannot be inverted; use a shorter hop"
            )

    @property
    def bins(self) -> int:
        """Frequencies from 0 to half the sample rate, both included."""
        return self.n_fft // 2 + 1

    def frames(self, samples: int) -> int:
        """Frames that a waveform of so many samples has."""
        return samples // self.hop_length + 1

    def segment(self, seconds: float) -> int:
        """-> samples of about so long that make an even number of frames: no squeeze pads them."""
        pairs = round(seconds * self.sample_rate / self.hop_length / 2)
        return (2 * max(1, pairs) - 1) * self.hop_length

    def spectrogram(self, wave: Tensor) -> Tensor:
        """(..., samples) full scale ±1 -> (..., bins, frames) complex."""
        from torchaudio import functional as F

        return F.spectrogram(
            wave,
            pad=0,
            window=self._window(wave),
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            win_length=self.n_fft,
            power=None,
            normalized=False,
            pad_mode="constant",
        )

    def magnitude(self, wave: Tensor) -> Tensor:
        """(..., samples) full scale ±1 -> (..., bins, frames) linear amplitude, >= 0."""
        return self.spectrogram(wave).abs()

    def waveform(self, spectrogram: Tensor, samples: int) -> Tensor:
        """(..., bins, frames) complex -> (..., samples); the inverse of `spectrogram`."""
        from torchaudio import functional as F

        return F.inverse_spectrogram(
            spectrogram,
            length=samples,
            pad=0,
            window=self._window(spectrogram.real),
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            win_length=self.n_fft,
            normalized=False,
        )

    def to_dict(self) -> dict[str, int]:
        """Plain values, as a card keeps them."""
        return asdict(self)

    def _window(self, like: Tensor) -> Tensor:
        import torch

        return torch.hann_window(self.n_fft, dtype=like.dtype, device=like.device)

"""From the magnitudes that a search found to stems that can be heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from instglow.audio.frontend import Frontend
from instglow.audio.resample import resample

_FLOOR = 1e-8


class Refinement(Protocol):
    """Makes stems of source magnitudes and the mixture; a frozen dataclass of plain values."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __call__(
        self, sources: Tensor, mixture: Tensor, sample_rate: int, frontend: Frontend
    ) -> Tensor:
        """Stems of the mixture's rate, channels and length.

        Args:
            sources: (batch, sources, bins, frames) linear amplitude on the frontend's grid, of the
                mixture's channels pooled (root mean square).
            mixture: (batch, channels, samples) full scale ±1.
            sample_rate: of the mixture, Hz.
            frontend: that the priors share.

        Returns:
            (batch, sources, channels, samples).
        """
        ...


def pooled_magnitude(spectrogram: Tensor) -> Tensor:
    """(..., channels, bins, frames) complex -> (..., bins, frames) root mean square.

    Not the magnitude of a mono mix-down, where what is out of phase between channels cancels.
    """
    return spectrogram.abs().square().mean(-3).sqrt()


@dataclass(frozen=True)
class MixturePhase:
    """The generated magnitudes with the mixture's phase, as in the paper.

    Nothing makes the stems sum to the mixture, and nothing above half the frontend's rate is left.
    """

    def __call__(
        self, sources: Tensor, mixture: Tensor, sample_rate: int, frontend: Frontend
    ) -> Tensor:
        """See `Refinement`."""
        analysed = resample(mixture, sample_rate, frontend.sample_rate)
        spectrogram = frontend.spectrogram(analysed)  # (batch, channels, bins, frames)
        # a channel gets its part of what was pooled; of one channel, this is its phase alone
        phase = spectrogram / pooled_magnitude(spectrogram).clamp(min=_FLOOR)[:, None]
        stems = frontend.waveform(sources[:, :, None] * phase[:, None], analysed.shape[-1])
        return resample(stems, frontend.sample_rate, sample_rate)[..., : mixture.shape[-1]]


@dataclass(frozen=True)
class RatioMask:
    """Every bin of the mixture is shared out in proportion to the generated magnitudes.

    The stems sum to the mixture, at its own rate and up to its highest frequency: the masks are
    interpolated onto a spectrogram of the mixture as it came.

    Args:
        power: 1 shares out amplitude, 2 energy.
    """

    power: float = 1.0

    def __call__(
        self, sources: Tensor, mixture: Tensor, sample_rate: int, frontend: Frontend
    ) -> Tensor:
        """See `Refinement`."""
        native = native_frontend(frontend, sample_rate)
        spectrogram = native.spectrogram(mixture)  # (batch, channels, native bins, native frames)
        loudness = sources.abs().pow(self.power) + _FLOOR
        masks = self._extend(loudness / loudness.sum(1, keepdim=True), loudness, native, frontend)
        seconds_per_frame = native.hop_length / native.sample_rate
        position = seconds_per_frame * frontend.sample_rate / frontend.hop_length
        masks = _interpolate(masks, position, spectrogram.shape[-1])
        return native.waveform(masks[:, :, None] * spectrogram[:, None], mixture.shape[-1])

    def _extend(
        self, masks: Tensor, loudness: Tensor, native: Frontend, frontend: Frontend
    ) -> Tensor:
        """(batch, sources, bins, frames) -> (batch, sources, native bins, frames)."""
        ratio = native.sample_rate / native.n_fft / (frontend.sample_rate / frontend.n_fft)
        wide = _interpolate(masks.transpose(2, 3), ratio, native.bins).transpose(2, 3)
        # the resampling filter bends the top twentieth of the band, and the priors know nothing
        # above: there a source gets its share of the highest octave that is left
        top = int(0.95 * frontend.bins)
        known = int(top / ratio)
        if known < native.bins:
            octave = loudness[:, :, top // 2 : top].sum(2, keepdim=True)
            share = octave / octave.sum(1, keepdim=True)
            wide = torch.cat([wide[:, :, :known], share.expand(-1, -1, native.bins - known, -1)], 2)
        return wide


def native_frontend(frontend: Frontend, sample_rate: int) -> Frontend:
    """The frontend of a rate whose windows and hops last as long, to the nearest sample."""
    if sample_rate == frontend.sample_rate:
        return frontend
    scale = sample_rate / frontend.sample_rate
    n_fft = max(4, 2 * round(frontend.n_fft * scale / 2))
    return Frontend(sample_rate, n_fft, max(1, min(n_fft // 2, round(frontend.hop_length * scale))))


def _interpolate(masks: Tensor, step: float, count: int) -> Tensor:
    """Read the last axis at 0, step, 2 · step … `count` times, linearly; beyond the end, the end.

    Linear weights sum to 1, so masks that share out the mixture still do.
    """
    if step == 1 and count == masks.shape[-1]:
        return masks
    # double precision: three hours hold more frames than a float's 24 bits can place finely
    position = torch.arange(count, dtype=torch.float64) * step
    # and on the CPU, because MPS has no double precision
    position = position.clamp(max=masks.shape[-1] - 1)
    before = position.floor().long()
    after = (before + 1).clamp(max=masks.shape[-1] - 1)
    weight = (position - before).to(masks.dtype).to(masks.device)
    before, after = before.to(masks.device), after.to(masks.device)
    return torch.lerp(masks[..., before], masks[..., after], weight)

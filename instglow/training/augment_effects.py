"""Overdrive, room, pitch and speed of whole batches: what a training step has time for.

Resampling, convolution and phase vocoder are torchaudio's. What else it offers is too slow or too
rough: its `pitch_shift` takes longer than the rest of a step, its `overdrive` has one gain for a
batch and aliases.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
import torch.nn.functional as nnf
import torchaudio.functional as F
from scipy.fft import next_fast_len
from torch import Tensor

from instglow.audio.frontend import Frontend
from instglow.audio.resample import resample

_DECAY = (0.1, 0.4)  # seconds in which a room's sound falls by 60 dB: a booth, a living room
_REVERBERANT = (-15.0, -3.0)  # dB of all that the walls return, against the direct sound
_TAIL = 0.3  # seconds; cut at -45 dB or below

# A resampler's table has numerator × denominator entries. So many are quick to make, and miss no
# ratio by more than 1.7 cents.
_MOST_PARTS = 500

_VOCODER = Frontend(n_fft=1024, hop_length=256)


def soft_clip(wave: Tensor, lost: Tensor) -> Tensor:
    """Through an amplifier that presses the peaks and leaves soft sounds as they are.

    y = x / √(1 + (10^(lost / 10) − 1) x²) where the highest |x| is 1; odd, so it adds odd
    harmonics. Clipped at twice the sample rate, where they have room to fall; the spectrum's zeros
    take it there and back without a loss.

    Args:
        wave: (..., samples).
        lost: (...,) dB that the highest peak of each loses against soft sounds, >= 0.

    Returns:
        (..., samples) of the root mean square that each had.
    """
    samples = wave.shape[-1]
    finer = 2 * torch.fft.irfft(torch.fft.rfft(wave), 2 * samples)
    peak = finer.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(wave.dtype).tiny)
    bend = 10 ** (lost / 10) - 1
    clipped = finer * (1 + bend[..., None] * (finer / peak) ** 2).rsqrt()
    coarser = torch.fft.irfft(torch.fft.rfft(clipped)[..., : samples // 2 + 1], samples)
    return _as_loud(coarser, wave)


def reverberate(wave: Tensor, generator: torch.Generator, sample_rate: int) -> Tensor:
    """Each segment in a room of its own: noise that decays exponentially (Moorer, 1979).

    Image sources in a box would be truer in the beginning, and take much longer.

    Args:
        wave: (batch, ..., samples), the direct sound; what sounds on after its end is cut.
        generator: on the CPU; draws the decay, the strength and the reflections.
        sample_rate: Hz.

    Returns:
        (batch, ..., samples) of the root mean square that each channel had.
    """
    samples = wave.shape[-1]
    # an even length without large factors: its transform is much faster
    whole = 2 * next_fast_len(math.ceil((samples + _TAIL * sample_rate) / 2), real=True)
    length = whole - samples + 1
    decay, strength = (
        low + (high - low) * torch.rand(len(wave), 1, generator=generator)
        for low, high in (_DECAY, _REVERBERANT)
    )
    seconds = torch.arange(length) / sample_rate
    tail = torch.randn(len(wave), length, generator=generator) * 10 ** (-3 * seconds / decay)
    tail[:, 0] = 0
    response = 10 ** (strength / 20) * nnf.normalize(tail)
    response[:, 0] = 1
    response = response.reshape(len(wave), *(wave.ndim - 2) * [1], length)
    return _as_loud(F.fftconvolve(wave, response.to(wave))[..., :samples], wave)


def play(wave: Tensor, speed: float, pitch: float = 0.0) -> Tensor:
    """Played faster or slower, and moved in pitch at that tempo.

    Args:
        wave: (..., samples).
        speed: semitones, below 0 slower; pitch and formants move with it.
        pitch: semitones, added to what the speed makes of them; formants move with it.

    Returns:
        (..., as many samples; fewer where it is played faster and ends early).
    """
    ratio = nearest_ratio(speed + pitch)
    duration = float(ratio) * 2 ** (-speed / 12)  # before it is played so much faster
    source = _stretched(wave, duration) if pitch else wave
    return resample(source, ratio.numerator, ratio.denominator)[..., : wave.shape[-1]]


def nearest_ratio(semitones: float) -> Fraction:
    """-> how many times faster, with a denominator that a resampler's table has room for.

    >>> nearest_ratio(12), nearest_ratio(-12), nearest_ratio(0.5)
    (Fraction(2, 1), Fraction(1, 2), Fraction(281, 273))
    """
    return Fraction(2 ** (semitones / 12)).limit_denominator(_MOST_PARTS)


def _stretched(wave: Tensor, duration: float) -> Tensor:
    """(..., samples) -> (..., ceil(samples × duration)) of the same pitch, at the same level.

    torchaudio's vocoder lets the phases of neighbouring bins drift apart after an attack, which
    takes some of the level; this is made up for.
    """
    # zeros, so that the last frame reaches the new end
    spectrogram = _VOCODER.spectrogram(nnf.pad(wave, (0, _VOCODER.n_fft)))
    advance = torch.linspace(0, math.pi * _VOCODER.hop_length, _VOCODER.bins, device=wave.device)
    stretched = F.phase_vocoder(spectrogram, 1 / duration, advance.to(wave.dtype)[:, None])
    longer = _VOCODER.waveform(stretched, math.ceil(wave.shape[-1] * duration))
    return math.sqrt(duration) * _as_loud(longer, wave)


def _as_loud(changed: Tensor, wave: Tensor) -> Tensor:
    """(..., samples) changed -> the same at the root mean square that each had."""
    return nnf.normalize(changed, dim=-1) * wave.norm(dim=-1, keepdim=True)

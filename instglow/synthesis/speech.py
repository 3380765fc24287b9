"""What the WORLD vocoder finds in speech: pitch, spectral envelope, aperiodicity, syllables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks, resample_poly

from instglow.errors import DependencyError

FRAME = 0.005
"""Seconds between two frames of the vocoder."""


@dataclass(frozen=True)
class Syllable:
    """Frame numbers: a consonant up to `vowel`, the steady vowel up to `coda`, the rest."""

    start: int
    vowel: int
    coda: int
    end: int


@dataclass(frozen=True)
class Speech:
    """What the vocoder found in one recording, frames of `FRAME` seconds.

    Args:
        f0: (frames,) Hz, 0 where unvoiced.
        envelope: (frames, bins) natural logarithm of power.
        aperiodicity: (frames, bins) share of noise, 0 to 1.
        syllables: in the order spoken.
    """

    f0: np.ndarray
    envelope: np.ndarray
    aperiodicity: np.ndarray
    syllables: list[Syllable]

    @classmethod
    def join(cls, parts: Sequence[Speech], syllables: int) -> Speech:
        """One after another; the syllables again from the first if there are too few."""
        joined: list[Syllable] = []
        offset = 0
        for part in parts:
            joined += [
                Syllable(s.start + offset, s.vowel + offset, s.coda + offset, s.end + offset)
                for s in part.syllables
            ]
            offset += len(part.f0)
        return cls(
            np.concatenate([part.f0 for part in parts]),
            np.concatenate([part.envelope for part in parts]),
            np.concatenate([part.aperiodicity for part in parts]),
            (joined * (syllables // len(joined) + 1))[:syllables],
        )


def analyse(wave: np.ndarray, recorded_rate: int, sample_rate: int) -> Speech:
    """(samples,) at `recorded_rate` Hz -> what the vocoder finds in it at `sample_rate` Hz."""
    world = require_vocoder()
    divisor = math.gcd(recorded_rate, sample_rate)
    resampled = resample_poly(wave, sample_rate // divisor, recorded_rate // divisor)
    resampled = np.ascontiguousarray(resampled, dtype=np.float64)
    period = FRAME * 1000
    rough, times = world.dio(resampled, sample_rate, f0_floor=60, f0_ceil=500, frame_period=period)
    f0 = world.stonemask(resampled, rough, times, sample_rate)
    envelope = np.log(world.cheaptrick(resampled, f0, times, sample_rate) + 1e-12)
    aperiodicity = world.d4c(resampled, f0, times, sample_rate)
    frequencies = np.linspace(0, sample_rate / 2, envelope.shape[1])
    if recorded_rate < sample_rate:  # nothing was recorded up there: go on from the top octave
        top = 0.42 * recorded_rate
        above, octave = frequencies > top, (frequencies > 0.75 * top) & (frequencies <= top)
        slope = 1.5 * np.log2(frequencies[above] / top)
        envelope[:, above] = envelope[:, octave].mean(1, keepdims=True) - slope
        aperiodicity[:, above] = aperiodicity[:, octave].mean(1, keepdims=True)
    return Speech(f0, envelope, aperiodicity, _syllables(f0, envelope, frequencies))


def _syllables(f0: np.ndarray, envelope: np.ndarray, frequencies: np.ndarray) -> list[Syllable]:
    """A syllable is a hill of the voiced energy between 200 Hz and 3 kHz."""
    band = (frequencies > 200) & (frequencies < 3000)
    loud = 10 * np.log10(np.exp(envelope[:, band]).mean(1) + 1e-12)
    hill = np.where(f0 > 0, gaussian_filter1d(loud, 2), loud.min() - 30)
    least = np.quantile(hill, 0.95) - 25
    peaks = find_peaks(hill, height=least, distance=int(0.1 / FRAME), prominence=1.5)[0]
    longest = int(0.16 / FRAME)  # of the consonants on either side of a vowel: cuts pauses off
    syllables = []
    for number, peak in enumerate(peaks):
        before = peaks[number - 1] if number else max(0, peak - 2 * longest)
        after = peaks[number + 1] if number + 1 < len(peaks) else min(len(f0), peak + 2 * longest)
        start = before + int(np.argmin(loud[before:peak])) if number else before
        end = peak + int(np.argmin(loud[peak:after])) if number + 1 < len(peaks) else after
        steady = (hill > hill[peak] - 3) & (f0 > 0)
        vowel, coda = peak, peak + 1
        while vowel > start and steady[vowel - 1]:
            vowel -= 1
        while coda < end and steady[coda]:
            coda += 1
        if coda - vowel >= 4:
            syllables.append(
                Syllable(max(start, vowel - longest), vowel, coda, min(end, coda + longest))
            )
    return syllables


def require_vocoder() -> Any:
    """The module pyworld, or a DependencyError that says how to install it."""
    try:
        import pyworld
    except ImportError as error:
        raise DependencyError(
            "singing needs the vocoder pyworld: pip install 'instglow[render]'"
        ) from error
    return pyworld

"""Sounds of no instrument at all: what a prior learns to tell its own from."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cache

import torch
from torch import Tensor

from instglow.errors import ConfigError, require_seed

_PARTIALS = 30


@dataclass(frozen=True)
class Clutter:
    """Synthetic music around a solo, of timbres drawn at random.

    It stands for whatever else may play, and comes from no recording: a prior that learns to find
    its instrument in clutter has still heard that instrument alone. Half the timbres hold chords;
    a third are bursts of noise in some band, with or without the falling tone of a drum; the others
    are tones whose partials differ in strength, attack, decay, tuning and vibrato.

    Args:
        scenes: of one timbre each, made once; a segment hears pieces of one to `most` of them.
        seconds: of a scene.
        most: scenes at once.
        quietest, loudest: dB, of all clutter around a segment relative to the segment; uniform.
        seed: of the scenes.

    Raises:
        ConfigError: for no scenes, or levels that are not finite or in the wrong order.
    """

    scenes: int = 60
    seconds: float = 10.0
    most: int = 4
    quietest: float = -8.0
    loudest: float = 12.0
    seed: int = 0

    def __post_init__(self) -> None:
        numbers = asdict(self)
        for name in ("scenes", "seconds", "most"):
            if not 0 < numbers[name] < math.inf:
                raise ConfigError(f"clutter.{name} is {numbers[name]}; give more than 0")
        require_seed("clutter.seed", self.seed)
        if not -math.inf < self.quietest <= self.loudest < math.inf:
            raise ConfigError(
                f"clutter from {self.quietest} to {self.loudest} dB: the first level must be "
                "finite and at most the second"
            )

    def __call__(self, wave: Tensor, generator: torch.Generator, sample_rate: int) -> Tensor:
        """(batch, ..., samples) -> (batch, samples), at levels relative to each segment's.

        Args:
            wave: segments; all their channels hear the same clutter.
            generator: on the CPU; it decides all but the scenes.
            sample_rate: Hz.
        """
        bank = _bank(self.scenes, self.seconds, self.seed, sample_rate)
        batch, samples = len(wave), wave.shape[-1]
        heard = torch.zeros(batch, samples)
        moments = torch.arange(samples)
        for segment in heard:
            for _ in range(_whole(generator, 1, self.most)):
                start = _whole(generator, 0, bank.shape[1] - 1)
                piece = bank[_whole(generator, 0, len(bank) - 1)]
                segment += piece[(start + moments) % len(piece)] * _decibels(generator, 4.0)
        level = torch.rand(batch, 1, generator=generator)
        gain = 10 ** ((self.quietest + (self.loudest - self.quietest) * level) / 20)
        heard *= gain / _rms(heard).clamp(min=1e-6)
        return heard.to(wave) * _rms(wave.flatten(1))


@cache
def _bank(scenes: int, seconds: float, seed: int, sample_rate: int) -> Tensor:
    """-> (scenes, samples), each at the same level."""
    generator = torch.Generator().manual_seed(seed)
    made = [_scene(generator, seconds, sample_rate) for _ in range(scenes)]
    bank = torch.stack(made)
    return bank / _rms(bank).clamp(min=1e-6)


def _scene(generator: torch.Generator, seconds: float, sample_rate: int) -> Tensor:
    """-> (samples,) one timbre, at random times and pitches."""
    samples = max(1, round(seconds * sample_rate))
    scene = torch.zeros(samples)
    percussive = _draw(generator) < 0.3
    sounds = [_Burst(generator) for _ in range(3)] if percussive else [_Tone(generator)]
    chord = _whole(generator, 2, 4) if not percussive and _draw(generator) < 0.5 else 1
    centre = _between(generator, 50.0, 1200.0)
    beat = 1 / _between(generator, 0.8, 10.0)
    moment = 0.0
    while moment < seconds:
        start = round(moment * sample_rate)
        for _ in range(chord):
            sound = sounds[_whole(generator, 0, len(sounds) - 1)]
            hertz = centre * 2 ** (_whole(generator, -12, 12) / 12)
            lasts = min(3.0, 0.05 + beat * (0.5 + 2 * _draw(generator)))
            note = sound(generator, hertz, lasts, sample_rate)[: samples - start]
            scene[start : start + len(note)] += note * 10 ** (-6 * _draw(generator) / 20)
        moment += beat if _draw(generator) < 0.7 else beat / 2
    return scene


class _Tone:
    """Partials over a fundamental."""

    def __init__(self, generator: torch.Generator) -> None:
        order = torch.arange(1, _PARTIALS + 1)
        uneven = 10 ** (4 * torch.randn(_PARTIALS, generator=generator) / 20)
        self.strengths = order ** -(0.2 + 2.3 * _draw(generator)) * uneven
        if _draw(generator) < 0.2:
            self.strengths[1::2] *= 0.1  # hollow, as a clarinet
        # strings' stiffness: Fletcher, 1964
        self.stretched = order * (1 + _between(generator, 1e-6, 1e-3) * order**2).sqrt()
        self.decay = _between(generator, 0.08, 8.0) / (
            1 + _between(generator, 0.005, 0.5) * (self.stretched - 1)
        )
        self.attack = _between(generator, 0.001, 0.3)
        self.vibrato = 0.5 * _draw(generator) if _draw(generator) < 0.3 else 0.0  # semitones
        self.vibrato_hertz = 4 + 3 * _draw(generator)

    def __call__(
        self, generator: torch.Generator, hertz: float, seconds: float, sample_rate: int
    ) -> Tensor:
        """-> (samples,) one note."""
        moments = torch.arange(max(2, round(seconds * sample_rate))) / sample_rate
        bend = self.vibrato / 12 * torch.sin(2 * torch.pi * self.vibrato_hertz * moments)
        turns = torch.cumsum(hertz * 2**bend / sample_rate, 0)
        there = self.stretched * hertz < 0.475 * sample_rate
        phases = torch.rand(_PARTIALS, generator=generator)
        note = torch.zeros_like(moments)
        for number in there.nonzero()[:, 0].tolist():
            wave = torch.sin(2 * torch.pi * (self.stretched[number] * turns + phases[number]))
            note += self.strengths[number] * wave * torch.exp(-moments / self.decay[number])
        end = (seconds - moments).clamp(0, 0.03) / 0.03
        return note * (1 - torch.exp(-moments / self.attack)) * end


class _Burst:
    """Noise around a frequency, some with the falling tone of a drum."""

    def __init__(self, generator: torch.Generator) -> None:
        self.hertz = _between(generator, 80.0, 9000.0)
        self.octaves = 0.2 + 1.8 * _draw(generator)
        self.decay = _between(generator, 0.015, 0.6)
        self.tone = _between(generator, 40.0, 150.0) if _draw(generator) < 0.3 else 0.0

    def __call__(
        self, generator: torch.Generator, hertz: float, seconds: float, sample_rate: int
    ) -> Tensor:
        """-> (samples,) one stroke; it has no pitch to choose."""
        moments = torch.arange(max(2, round(seconds * sample_rate))) / sample_rate
        noise = torch.fft.rfft(torch.randn(len(moments), generator=generator))
        frequencies = torch.linspace(0, sample_rate / 2, len(noise)).clamp(min=20)
        distance = (frequencies / self.hertz).log2() / self.octaves
        stroke = torch.fft.irfft(noise * torch.exp(-0.5 * distance**2), n=len(moments))
        stroke = stroke / stroke.std().clamp(min=1e-6) * (1 - torch.exp(-moments / 0.001))
        if self.tone:
            falling = self.tone * (1 + 2 * torch.exp(-moments / 0.03))
            turns = torch.cumsum(falling / sample_rate, 0)
            stroke = 0.3 * stroke + 2 * torch.sin(2 * torch.pi * turns)
        return stroke * torch.exp(-moments / self.decay)


def _rms(wave: Tensor) -> Tensor:
    return wave.square().mean(-1, keepdim=True).sqrt()


def _draw(generator: torch.Generator) -> float:
    return float(torch.rand(1, generator=generator))


def _between(generator: torch.Generator, low: float, high: float) -> float:
    """Log-uniform."""
    return low * (high / low) ** _draw(generator)


def _whole(generator: torch.Generator, low: int, high: int) -> int:
    """Uniform, both ends included."""
    return int(torch.randint(low, high + 1, (1,), generator=generator))


def _decibels(generator: torch.Generator, deviation: float) -> float:
    """A gain."""
    return 10 ** (deviation * float(torch.randn(1, generator=generator)) / 20)

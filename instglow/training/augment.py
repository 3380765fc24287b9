"""Random changes to solo recordings, so that a prior learns an instrument and not its samples."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from instglow.errors import ConfigError
from instglow.training.augment_effects import play, reverberate, soft_clip


@dataclass(frozen=True)
class Augmentation:
    """How much recordings are changed: standard deviations of what is drawn, and one share.

    An amount of 0 changes nothing and draws nothing, so that a new effect leaves the draws of
    older settings as they were. All is drawn from the generator that is given, none from a
    global one: a run killed and resumed hears what a whole one would.

    Args:
        level: dB of gain, for each segment.
        speed: semitones that a batch is played faster or slower, pitch and formants with it.
        equaliser: dB at each of a row of points an octave apart, for each segment.
        pitch: semitones that a batch is moved at its tempo, formants with it. It costs four times
            what speed does and differs from it in tempo alone, which segments hardly show.
        room: share of the segments that sound in a room, 0 to 1; another room for each.
        drive: dB that an overdriven amplifier takes from the peaks of a segment.

    Raises:
        ConfigError: for an amount below 0 or not finite, or a share above 1.
    """

    level: float = 4.0
    speed: float = 0.0
    equaliser: float = 0.0
    pitch: float = 0.0
    room: float = 0.0
    drive: float = 0.0

    def __post_init__(self) -> None:
        for name, amount in asdict(self).items():
            if not (math.isfinite(amount) and amount >= 0):
                raise ConfigError(f"augmentation.{name} is {amount}; give 0 (off) or more")
        if self.room > 1:
            raise ConfigError(f"augmentation.room is {self.room}, a share; give 0 (off) to 1 (all)")

    def wave(self, wave: Tensor, generator: torch.Generator, sample_rate: int = 22050) -> Tensor:
        """(batch, ..., samples) -> as many or fewer samples, full scale ±1.

        In the order of a recording: amplifier, room, then tape. Amplifier and room keep the root
        mean square, so that `level` alone decides how levels spread. What is drawn for a segment is
        that of all its channels.

        Args:
            wave: segments.
            generator: on the CPU.
            sample_rate: Hz; how long a room sounds depends on it.
        """
        each = (len(wave), *(wave.ndim - 2) * [1])  # one draw for all channels
        gain = self.level * torch.randn(*each, 1, generator=generator)
        # a convolution in bfloat16 would add noise at -50 dB
        with torch.autocast(wave.device.type, enabled=False):
            if self.drive:
                lost = self.drive * torch.randn(*each, generator=generator).abs()
                wave = soft_clip(wave, lost.to(wave))
            if self.room:
                wave = self._in_rooms(wave, generator, sample_rate)
            pitch = self.pitch * float(torch.randn(1, generator=generator)) if self.pitch else 0.0
            speed = self.speed * float(torch.randn(1, generator=generator)) if self.speed else 0.0
            wave = play(wave, speed, pitch)
        return wave * 10 ** (gain / 20).to(wave)

    def magnitude(self, magnitude: Tensor, generator: torch.Generator) -> Tensor:
        """(batch, ..., bins, frames) -> the same, through an equaliser.

        Args:
            magnitude: of segments, linear amplitude; or their complex spectrogram.
            generator: on the CPU.
        """
        if not self.equaliser:
            return magnitude
        octave = torch.arange(magnitude.shape[-2], dtype=torch.float32).add(1).log2()
        points = self.equaliser * torch.randn(
            len(magnitude), int(octave[-1]) + 2, generator=generator
        )
        below = octave.floor().long()
        curve = torch.lerp(points[:, below], points[:, below + 1], octave - below)
        gain = 10 ** (curve / 20).to(magnitude)
        return magnitude * gain.reshape(len(gain), *(magnitude.ndim - 3) * [1], -1, 1)

    def _in_rooms(self, wave: Tensor, generator: torch.Generator, sample_rate: int) -> Tensor:
        chosen = torch.rand(len(wave), generator=generator) < self.room
        if not chosen.any():
            return wave
        changed = wave.clone()
        changed[chosen] = reverberate(wave[chosen], generator, sample_rate)
        return changed

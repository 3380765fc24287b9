"""Random changes to solo recordings, so that a prior learns an instrument and not its samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as nnf
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """Standard deviations of what is drawn; 0 changes nothing.

    Args:
        level: dB of gain, for each segment.
        speed: semitones that a batch is played faster or slower, pitch and formants with it.
        equaliser: dB at each of a row of points an octave apart, for each segment.
    """

    level: float = 4.0
    speed: float = 0.0
    equaliser: float = 0.0

    def wave(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        """(batch, samples) -> (batch, as many or fewer samples), full scale ±1.

        Args:
            wave: segments.
            generator: on the CPU.
        """
        gain = self.level * torch.randn(len(wave), 1, generator=generator)
        wave = wave * 10 ** (gain / 20).to(wave)
        if not self.speed:
            return wave
        semitones = self.speed * float(torch.randn(1, generator=generator))
        played = nnf.interpolate(wave[:, None], scale_factor=2 ** (-semitones / 12), mode="linear")
        return played[:, 0, : wave.shape[1]]

    def magnitude(self, magnitude: Tensor, generator: torch.Generator) -> Tensor:
        """(batch, bins, frames) linear amplitude -> the same, through an equaliser.

        Args:
            magnitude: of segments.
            generator: on the CPU.
        """
        if not self.equaliser:
            return magnitude
        octave = torch.arange(magnitude.shape[1], dtype=torch.float32).add(1).log2()
        points = self.equaliser * torch.randn(
            len(magnitude), int(octave[-1]) + 2, generator=generator
        )
        below = octave.floor().long()
        curve = torch.lerp(points[:, below], points[:, below + 1], octave - below)
        return magnitude * 10 ** (curve / 20).to(magnitude)[:, :, None]

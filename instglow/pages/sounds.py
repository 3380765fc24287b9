"""What a prior in training sounds like: its samples, and what it makes of held-out solos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torchaudio.functional as F
from torch import Tensor

from instglow.audio.frontend import Frontend
from instglow.prior import Encodes, ForInstruments, Prior
from instglow.separation.refine import pooled_magnitude
from instglow.training.base import PriorRun

TEMPERATURES = (0.5, 0.8, 1.0)
"""Standard deviations that the latent of a flow is drawn with; it learns to make it 1."""

_RANGE = 80.0
"""dB below the loudest point of a spectrogram that are black."""


class Sound(NamedTuple):
    """Something to listen to and to look at.

    Attributes:
        caption: below it.
        wave: (samples,), full scale ±1.
        magnitude: (bins, frames) linear amplitude, >= 0.
    """

    caption: str
    wave: Tensor
    magnitude: Tensor


@torch.no_grad()
def drawn(module: PriorRun, count: int, seconds: float) -> list[Sound]:
    """Samples of the prior, their phases by Griffin & Lim (1984); the same latents every time.

    Of a standard normal latent, a flow's, samples at each of `TEMPERATURES`. Of another, what a
    search starts from, which for a GAN is a draw.
    """
    found = []
    for name, prior in _parts(module).items():
        frontend = prior.frontend
        frames = frontend.frames(frontend.segment(seconds))
        for label, latent in _latents(prior, count, frames).items():
            magnitude = _number(prior.decode(latent, frames).magnitude)
            waves = _griffin_lim(magnitude, frontend)
            found += [
                Sound(f"{name}, {label}", *pair) for pair in zip(waves, magnitude, strict=True)
            ]
    return found


@torch.no_grad()
def rebuilt(module: PriorRun, wave: Tensor, count: int, seconds: float) -> list[Sound]:
    """Held-out segments, each before its reconstruction; none of a family without `encode`.

    Args:
        module: in training.
        wave: (batch, [instruments,] channels, samples) full scale ±1.
        count: of segments, at most, spread over the batch.
        seconds: of each, at most.
    """
    found = []
    parts = _parts(module)
    for position, (name, prior) in enumerate(parts.items()):
        if not isinstance(prior, Encodes):
            return []
        solos = wave[:, position] if wave.ndim == 4 and len(parts) > 1 else wave.flatten(0, -3)
        chosen = solos[torch.linspace(0, len(solos) - 1, min(count, len(solos))).round().long()]
        original = module.at_level(chosen)[..., : prior.frontend.segment(seconds)].float()
        spectrogram = prior.frontend.spectrogram(original)
        pooled = pooled_magnitude(spectrogram)
        latent = prior.encode(pooled)
        magnitude = _number(prior.decode(latent, spectrogram.shape[-1]).magnitude)
        phase = spectrogram[:, 0].angle().cpu()
        copy = prior.frontend.waveform(torch.polar(magnitude, phase), original.shape[-1])
        before, after = (original[:, 0].cpu(), pooled.cpu()), (copy, magnitude)
        for index in range(len(original)):
            label = f"{name} {index + 1}"
            found.append(Sound(label, *(part[index] for part in before)))
            found.append(Sound(f"{label}, reconstructed", *(part[index] for part in after)))
    return found


def media(sounds: Mapping[str, Sequence[Sound]], sample_rate: int) -> dict[str, Any]:
    """Key -> sounds, as what `WandbLogger.log_metrics` takes: each key's audio and spectrogram."""
    import wandb  # slow to import

    entries: dict[str, Any] = {}
    for key, group in sounds.items():
        if group:
            entries[f"{key}/audio"] = [
                # what is louder than full scale would be clipped
                wandb.Audio(
                    (s.wave / s.wave.abs().max().clamp(min=1)).numpy(), sample_rate, s.caption
                )
                for s in group
            ]
            entries[f"{key}/spectrogram"] = [
                wandb.Image(_picture(s.magnitude), caption=s.caption) for s in group
            ]
    return entries


def _parts(module: PriorRun) -> dict[str, Prior]:
    """Instrument -> its prior; a model of several has one for each."""
    prior = module.prior
    if not isinstance(prior, ForInstruments):
        return {module.name: prior}
    return {name: prior.of(name) for name in prior.instruments}


def _latents(prior: Prior, count: int, frames: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    start = prior.initial_latent(count, frames, random)
    noise = torch.randn(start.shape, generator=random).to(start)
    energy = prior.decode(noise, frames, "latent").energy
    assert energy is not None
    # the prior's own word on what its latent is
    if torch.allclose(energy, 0.5 * noise.square().flatten(1).sum(1), rtol=1e-3):
        return {f"temperature {one}": one * noise for one in TEMPERATURES}
    return {"start of a search": prior.project(start)}


def _number(magnitude: Tensor) -> Tensor:
    """(batch, bins, frames) of any sign -> on the CPU, >= 0 and finite: a flow may stray."""
    return magnitude.float().cpu().nan_to_num(posinf=0, neginf=0).abs()


def _griffin_lim(magnitude: Tensor, frontend: Frontend) -> Tensor:
    """(batch, bins, frames) -> (batch, samples); from phases of zero, so that nothing is drawn."""
    return F.griffinlim(
        magnitude,
        window=torch.hann_window(frontend.n_fft),
        n_fft=frontend.n_fft,
        hop_length=frontend.hop_length,
        win_length=frontend.n_fft,
        power=1.0,
        n_iter=32,
        momentum=0.99,
        length=None,
        rand_init=False,
    )


def _picture(magnitude: Tensor) -> np.ndarray:
    """(bins, frames) linear amplitude -> (bins, frames, 3) bytes, low frequencies at the bottom."""
    import matplotlib  # slow to import

    level = 20 * magnitude.clamp(min=1e-8).log10()
    bright = (1 + (level - level.max()) / _RANGE).clamp(min=0)
    return (255 * matplotlib.colormaps["magma"](bright.flip(0).numpy())[..., :3]).astype(np.uint8)

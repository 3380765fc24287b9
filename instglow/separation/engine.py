"""The engine: priors, a search and a refinement make stems of a mixture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from instglow.audio.chunks import Chunk, CrossFade, plan
from instglow.audio.frontend import Frontend
from instglow.audio.io import SILENCE
from instglow.audio.resample import resample
from instglow.errors import AudioError, ConfigError, FrontendMismatch
from instglow.prior import Prior
from instglow.separation.presets import Preset, preset
from instglow.separation.refine import pooled_magnitude
from instglow.separation.search import OnStep


@dataclass(frozen=True)
class SeparatedChunk:
    """One batch of chunks, taken apart.

    Attributes:
        stems: (batch, sources, channels, samples) full scale ±1.
        objective: (iterations, batch); empty where every chunk was silent.
    """

    stems: Tensor
    objective: Tensor


class SeparationEngine:
    """Takes mixtures apart with any set of priors that share a frontend.

    Args:
        priors: by the name of the stem, in the order of the stems.
        how: search and refinement, or the name of a preset.
        segment: seconds of the longest chunk, at most 60.
        overlap: seconds that neighbouring chunks share and fade over.

    Raises:
        ConfigError: for no priors, or a segment that is no length.
        FrontendMismatch: where two priors were trained on different spectrograms.
    """

    def __init__(
        self,
        priors: Mapping[str, Prior],
        how: Preset | str = "default",
        segment: float = 60.0,
        overlap: float = 1.0,
    ) -> None:
        if not 0 < segment <= 60:
            raise ConfigError(f"a segment of {segment} s is not above 0 and at most 60 s")
        if not 0 <= overlap < segment / 2:
            raise ConfigError(
                f"an overlap of {overlap} s is not between 0 and half a segment of {segment} s"
            )
        self.frontend = shared_frontend(priors)
        self.priors = {name: prior.freeze() for name, prior in priors.items()}
        self.how = preset(how) if isinstance(how, str) else how
        self.segment = segment
        self.overlap = overlap

    @property
    def stems(self) -> list[str]:
        """Names, in order."""
        return list(self.priors)

    def chunks(self, samples: int, sample_rate: int) -> list[Chunk]:
        """What a recording of that length is cut into."""
        longest = max(3, round(self.segment * sample_rate))
        return plan(samples, longest, max(1, round(self.overlap * sample_rate)))

    def to(self, device: str | torch.device) -> SeparationEngine:
        """Move the priors. -> itself."""
        for prior in self.priors.values():
            prior.to(device)
        return self

    def separate(
        self, mixture: Tensor, sample_rate: int, on_step: OnStep | None = None
    ) -> dict[str, Tensor]:
        """(samples,) or (channels, samples) full scale ±1 -> stems of that shape, by name.

        Args:
            mixture: any length and number of channels.
            sample_rate: Hz.
            on_step: told of the progress of each chunk's search.

        Raises:
            AudioError: for samples that are no numbers, none at all, or silence.
        """
        wave = check_mixture(mixture, sample_rate)
        batched = wave.reshape(-1, wave.shape[-1])[None]
        chunks = self.chunks(wave.shape[-1], sample_rate)
        fade = CrossFade(chunks)
        pieces = [
            fade.add(
                number,
                self.separate_chunk(
                    batched[..., chunk.start : chunk.stop], sample_rate, on_step
                ).stems[0],
            )
            for number, chunk in enumerate(chunks)
        ]
        stems = torch.cat(pieces, -1).view(len(self.priors), *wave.shape)
        return dict(zip(self.priors, stems, strict=True))

    def separate_chunk(
        self, mixture: Tensor, sample_rate: int, on_step: OnStep | None = None
    ) -> SeparatedChunk:
        """(batch, channels, samples) full scale ±1, at most a segment long -> stems.

        What one mixture of the batch gives does not depend on the others.
        """
        analysed = resample(mixture, sample_rate, self.frontend.sample_rate)
        magnitude = pooled_magnitude(self.frontend.spectrogram(analysed))  # (batch, bins, frames)
        # a search would lift silence out of the noise floor: share it out evenly instead
        heard = mixture.abs().amax((1, 2)) > SILENCE
        sources = magnitude[:, None].expand(-1, len(self.priors), -1, -1) / len(self.priors)
        objective = magnitude.new_zeros(0, len(magnitude))
        if heard.any():
            gain = self._gain(analysed[heard])
            found = self.how.search(
                list(self.priors.values()), magnitude[heard] * gain[:, None, None], on_step
            )
            sources = sources.clone()
            sources[heard] = found.magnitudes / gain[:, None, None, None]
            objective = magnitude.new_zeros(len(found.objective), len(magnitude))
            objective[:, heard] = found.objective
        with torch.no_grad():
            stems = self.how.refine(sources, mixture, sample_rate, self.frontend)
        return SeparatedChunk(stems, objective)

    def _gain(self, analysed: Tensor) -> Tensor:
        """(batch, channels, samples) -> (batch,) that brings each mixture to the priors' level.

        Sources at their training levels, uncorrelated, mix to the root of the sum of squares.
        """
        levels = [prior.level for prior in self.priors.values()]
        if not self.how.match_level or not all(levels):
            return analysed.new_ones(len(analysed))
        target = sum(level**2 for level in levels) ** 0.5
        rms = analysed.square().mean((1, 2)).sqrt()
        return target / rms.clamp(min=SILENCE)


def shared_frontend(priors: Mapping[str, Prior]) -> Frontend:
    """The frontend that all have; FrontendMismatch names two that differ, ConfigError none."""
    if not priors:
        raise ConfigError("no priors: name at least one, as in --priors bass,drums")
    first, *others = priors
    frontend = priors[first].frontend
    for name in others:
        other = priors[name].frontend
        if other != frontend:
            raise FrontendMismatch(
                f"prior {first!r} was trained at {_describe(frontend)}, {name!r} at "
                f"{_describe(other)}; retrain one of them or leave it out"
            )
    return frontend


def check_mixture(mixture: Tensor, sample_rate: int) -> Tensor:
    """The mixture as floating point, or an AudioError in one line."""
    if sample_rate < 1:
        raise AudioError(f"a sample rate of {sample_rate} Hz is none")
    if not mixture.is_floating_point():
        raise AudioError(f"samples of type {mixture.dtype} are not floating point, full scale ±1")
    if mixture.ndim not in (1, 2) or not mixture.numel():
        raise AudioError(
            f"a mixture of shape {tuple(mixture.shape)} is not (samples,) or (channels, samples)"
        )
    if not mixture.isfinite().all():
        raise AudioError("the mixture holds samples that are no numbers (NaN or infinite)")
    if float(mixture.abs().max()) <= SILENCE:
        raise AudioError("the mixture is silent: there is nothing to separate")
    return mixture.float()


def _describe(frontend: Frontend) -> str:
    return f"{frontend.sample_rate} Hz, n_fft {frontend.n_fft}, hop {frontend.hop_length}"

"""The engine: chunks of a mixture in, stems out. Every separation runs through its one loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from instglow.audio.chunks import Chunk, CrossFade, plan
from instglow.audio.io import SILENCE
from instglow.audio.resample import resample
from instglow.devices import is_out_of_memory
from instglow.errors import ConfigError, OutOfMemory, require
from instglow.prior import Prior, shared_frontend
from instglow.separation.presets import Preset
from instglow.separation.presets import preset as named
from instglow.separation.refine import pooled_magnitude

OnProgress = Callable[[float, Tensor | None], None]
"""Told of each iteration: the share of the work that is done, in (0, 1], and the objective of
`SearchResult` at this point, (batch,); None in a stage before the one that it is defined in. The
tensor is on the search's device: to read it is to wait for the device."""

_LONGEST = 60.0
_SHORTEST = 1.0
"""Seconds that a chunk is never cut below for want of memory."""

_log = logging.getLogger(__name__)


class Recording(Protocol):
    """A mixture that is read piece by piece, such as an `AudioFile`."""

    @property
    def samples(self) -> int:
        """Its length."""
        ...

    @property
    def sample_rate(self) -> int:
        """Hz."""
        ...

    def read(self, start: int, count: int) -> Tensor:
        """-> (channels, count) float32 full scale ±1."""
        ...


class Separated(NamedTuple):
    """One batch of chunks, taken apart.

    Attributes:
        stems: (batch, sources, channels, samples) full scale ±1.
        objective: (batch,) of the search's last iteration; NaN for a silent chunk.
    """

    stems: Tensor
    objective: Tensor


class Piece(NamedTuple):
    """What follows in the stems of a recording, and the chunk that completed it.

    Attributes:
        stems: (sources, channels, samples) full scale ±1.
        objective: of the chunk, as `Separated` has it.
    """

    stems: Tensor
    objective: float


class SeparationEngine:
    """Takes mixtures apart with any set of priors that share a frontend.

    Args:
        priors: by the name of the stem, in the order of the stems. They are copied: the caller's
            are neither moved nor frozen.
        preset: search and refinement, or the name of a preset.
        segment: seconds of the longest chunk, at least a window of the spectrogram, at most 60.
        overlap: seconds that neighbouring chunks share and fade over; by default 1, and a third of
            a segment shorter than 3 s.
        device: to search on.

    Raises:
        ConfigError: for no priors, an unknown preset, or a segment or overlap out of range.
        FrontendMismatch: where two priors were trained on different spectrograms.
    """

    def __init__(
        self,
        priors: Mapping[str, Prior],
        preset: Preset | str = "default",
        segment: float = _LONGEST,
        overlap: float | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.frontend = shared_frontend(priors)
        shortest = self.frontend.n_fft / self.frontend.sample_rate  # one window
        limits = f"at least {shortest:.3g} and at most {_LONGEST:g} seconds"
        require(shortest <= segment <= _LONGEST, "segment", limits, segment)
        self.overlap = min(1.0, segment / 3) if overlap is None else overlap
        limits = f"at least 0 and less than half the segment of {segment} seconds"
        require(0 <= self.overlap < segment / 2, "overlap", limits, overlap)
        # copied together: what priors share, their copies share
        self.priors = deepcopy(dict(priors))
        for prior in self.priors.values():
            prior.eval().requires_grad_(False).to(device)
        self.preset = named(preset) if isinstance(preset, str) else preset
        self.segment = segment
        self.device = torch.device(device)
        self._most = 2**31
        """Chunks that have memory side by side."""
        self._longest = segment
        """Seconds of a chunk that have."""

    @property
    def stems(self) -> list[str]:
        """Names, in order."""
        return list(self.priors)

    def chunks(self, samples: int, sample_rate: int) -> list[Chunk]:
        """What a recording of that length is cut into."""
        return _plan(samples, sample_rate, self.segment, self.overlap)

    def separate(
        self, recording: Recording, batch_size: int = 1, on_progress: OnProgress | None = None
    ) -> Iterator[Piece]:
        """A recording -> its stems, piece by piece, in the memory of one batch of chunks.

        Args:
            recording: of any length and number of channels.
            batch_size: chunks searched side by side; the stems do not depend on it.
            on_progress: told of progress.

        Raises:
            ConfigError: for a batch size below 1, or a search that diverged.
            OutOfMemory: where not even one short chunk has memory.
        """
        require(batch_size >= 1, "batch size", "at least 1", batch_size)
        chunks = self.chunks(recording.samples, recording.sample_rate)

        def batches() -> Iterator[Separated]:
            for first in range(0, len(chunks), batch_size):
                batch = [
                    recording.read(chunk.start, chunk.samples)
                    for chunk in chunks[first : first + batch_size]
                ]
                yield self.separate_batch(
                    torch.stack(batch).to(self.device),
                    recording.sample_rate,
                    _part(on_progress, first / len(chunks), len(batch) / len(chunks)),
                )

        yield from self.join(chunks, batches())

    def join(self, chunks: list[Chunk], batches: Iterable[Separated]) -> Iterator[Piece]:
        """Batches of chunks, in order -> the pieces of the recording, neighbours cross-faded.

        Raises:
            ConfigError: for a search that diverged.
        """
        fade = CrossFade(chunks)
        number = 0
        for batch in batches:
            if not batch.stems.isfinite().all():
                raise ConfigError(
                    "the search diverged (its stems are not finite): lower its learning rate, or "
                    f"the mixture's level if that is far above full scale; {self.preset.search}"
                )
            objectives = batch.objective.tolist()
            for stems, objective in zip(batch.stems, objectives, strict=True):
                yield Piece(fade.add(number, stems).cpu(), objective)
                number += 1

    def separate_batch(
        self, mixture: Tensor, sample_rate: int, on_progress: OnProgress | None = None
    ) -> Separated:
        """(batch, channels, samples) full scale ±1, at most a segment long -> stems.

        What one mixture of the batch gives does not depend on the others. Where memory does not
        suffice, the batch is halved, and then the chunks are, for all that follows too.

        Raises:
            OutOfMemory: where not even one short chunk has memory.
        """
        batch, _, samples = mixture.shape
        most = self._most
        if batch > most:
            parts = [
                self.separate_batch(
                    some,
                    sample_rate,
                    _part(on_progress, index * most / batch, len(some) / batch),
                )
                for index, some in enumerate(mixture.split(most))
            ]
            stems, objectives = zip(*parts, strict=True)
            return Separated(torch.cat(stems), torch.cat(objectives))
        if samples > max(3, round(self._longest * sample_rate)):
            return self._separate_in_parts(mixture, sample_rate, on_progress)
        try:
            return self._search(mixture, sample_rate, on_progress)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # here the error is gone, and with it what its frames held of the memory
        self._take_less(batch, samples / sample_rate, mixture.device)
        return self.separate_batch(mixture, sample_rate, on_progress)

    def _separate_in_parts(
        self, mixture: Tensor, sample_rate: int, on_progress: OnProgress | None
    ) -> Separated:
        """Chunks that are too long for the memory, as shorter ones that fade into each other."""
        overlap = min(self.overlap, self._longest / 3)
        chunks = _plan(mixture.shape[-1], sample_rate, self._longest, overlap)
        fade = CrossFade(chunks)
        stems, objectives = [], []
        for number, chunk in enumerate(chunks):
            part = self.separate_batch(
                mixture[..., chunk.start : chunk.stop],
                sample_rate,
                _part(on_progress, number / len(chunks), 1 / len(chunks)),
            )
            stems.append(fade.add(number, part.stems))
            objectives.append(part.objective)
        return Separated(torch.cat(stems, -1), torch.stack(objectives).nanmean(0))

    def _take_less(self, batch: int, seconds: float, device: torch.device) -> None:
        """Halve what is searched at once."""
        if batch > 1:
            self._most = batch // 2
            _log.warning("out of memory: going on with a batch size of %d", self._most)
        elif seconds > _SHORTEST:
            self._longest = max(_SHORTEST, min(self._longest, seconds) / 2)
            _log.warning("out of memory: going on with segments of %.3g s", self._longest)
        else:
            raise OutOfMemory(
                f"no memory on {device} for {seconds:.3g} s of the mixture; separate fewer "
                "stems, or on another device"
            )

    @torch.inference_mode(False)  # a search needs gradients
    def _search(
        self, mixture: Tensor, sample_rate: int, on_progress: OnProgress | None
    ) -> Separated:
        # an offset of the converter makes no sound, so no prior has to explain it
        centred = mixture - mixture.mean(-1, keepdim=True)
        analysed = resample(centred, sample_rate, self.frontend.sample_rate)
        magnitude = pooled_magnitude(self.frontend.spectrogram(analysed))  # (batch, bins, frames)
        # a search would lift silence out of the noise floor: share it out evenly instead
        sounds = centred.abs().amax((1, 2)) > SILENCE
        sources = magnitude[:, None].expand(-1, len(self.priors), -1, -1) / len(self.priors)
        objective = magnitude.new_full((len(magnitude),), torch.nan)
        if sounds.any():
            gain = self._gain(analysed[sounds])
            search = self.preset.search
            iterations = search.iterations

            def on_step(step: int, objective: Tensor | None) -> None:
                if on_progress:
                    on_progress(step / iterations, objective)

            found = search(
                list(self.priors.values()), magnitude[sounds] * gain[:, None, None], on_step
            )
            sources = sources.clone()
            sources[sounds] = found.magnitudes / gain[:, None, None, None]
            objective[sounds] = found.objective[-1]
        with torch.no_grad():
            stems = self.preset.refine(sources, mixture, sample_rate, self.frontend)
        return Separated(stems, objective)

    def _gain(self, analysed: Tensor) -> Tensor:
        """(batch, channels, samples) -> (batch,) that brings each mixture to the priors' level.

        Sources at their training levels, uncorrelated, mix to the root of the sum of squares.
        """
        levels = [prior.level for prior in self.priors.values()]
        if not self.preset.match_level or not all(levels):
            return analysed.new_ones(len(analysed))
        target = sum(level**2 for level in levels) ** 0.5
        rms = analysed.square().mean((1, 2)).sqrt()
        return target / rms.clamp(min=SILENCE)


def _plan(samples: int, sample_rate: int, segment: float, overlap: float) -> list[Chunk]:
    longest = max(3, round(segment * sample_rate))
    return plan(samples, longest, max(1, round(overlap * sample_rate)))


def _part(on_progress: OnProgress | None, start: float, share: float) -> OnProgress | None:
    """The same, told of a part of the work."""
    if on_progress is None:
        return None
    return lambda done, objective: on_progress(start + share * done, objective)

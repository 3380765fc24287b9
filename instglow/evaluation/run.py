"""Separates the songs of a dataset by one method and scores what comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from instglow.audio.io import SILENCE
from instglow.audio.stems import StemWriter
from instglow.data.songs import Excerpt, Song, SongSet, require_numbers
from instglow.errors import AudioError, ConfigError
from instglow.evaluation.bss import score
from instglow.evaluation.method import Method, Segment
from instglow.evaluation.results import SongResult, code, identity, key_of, load, save
from instglow.evaluation.summary import ALL

_SHORTEST = 1.0  # seconds: a frame of museval; a shorter rest of a song is left out

OnSegment = Callable[[str], None]
"""Told of each segment that is scored, new or from an earlier run: the song's name."""


@dataclass(frozen=True)
class Plan:
    """What is measured of a dataset, whatever the method.

    Args:
        songs: the dataset.
        out: folder of the results, `<out>/<method>/<song>.json`; those of an earlier run are kept.
        stems: to separate where a song has them; None for all that it has.
        segment: seconds that are separated and scored at once; the paper's minute.
        excerpt: seconds from the middle of each song; None for all of it.
        remix: the mixture is the sum of these stems alone, not of all that the song has.
        keep_audio: write the stems of each song's first segment into `<out>/<method>/<song>/`.
        museval: measure ISR, SIR and SAR too; see `score`.
    """

    songs: SongSet
    out: Path
    stems: tuple[str, ...] | None = None
    segment: float = 60.0
    excerpt: float | None = None
    remix: bool = False
    keep_audio: bool = False
    museval: bool = False

    def __post_init__(self) -> None:
        if not _SHORTEST <= self.segment <= 60:
            raise ConfigError(f"segments must last between 1 and 60 s, got {self.segment} s")
        if self.excerpt is not None and not _SHORTEST <= self.excerpt < math.inf:
            raise ConfigError(f"excerpts must last at least 1 s, got {self.excerpt} s")

    def chosen(self, song: Song) -> tuple[str, ...]:
        """The stems of a song that are separated."""
        return song.stems if self.stems is None else tuple(s for s in self.stems if s in song.stems)

    def cuts(self, song: Song) -> list[tuple[int, int]]:
        """Start and length in samples of each segment of a song."""
        length = song.samples
        if self.excerpt is not None:
            length = min(length, round(self.excerpt * song.sample_rate))
        first = (song.samples - length) // 2
        step = round(self.segment * song.sample_rate)
        shortest = min(length, round(_SHORTEST * song.sample_rate))
        cuts = [(first + start, min(step, length - start)) for start in range(0, length, step)]
        return [(start, count) for start, count in cuts if count >= shortest]

    def read(self, song: Song, start: int, count: int) -> Excerpt:
        """A segment, with its mixture as asked for and the true stems that it is the sum of.

        Raises:
            AudioError: for one that cannot be read, or holds what is no number.
        """
        excerpt = song.read(start, count)
        waves = {**excerpt.stems, "the mixture": excerpt.mixture}
        require_numbers(song.name, waves, start, song.sample_rate)
        if not self.remix:
            return excerpt
        stems = {name: excerpt.stems[name] for name in self.chosen(song)}
        return Excerpt(torch.stack(list(stems.values())).sum(0), stems)

    def audio(self, method: str, song: Song, stems: Sequence[str]) -> dict[str, Path]:
        """Where the stems of a song's first segment are kept."""
        return {name: self.out / method / song.name / f"{name}.wav" for name in stems}


def evaluate(
    method: Method, plan: Plan, on_segment: OnSegment = lambda _: None
) -> tuple[list[SongResult], dict[str, str]]:
    """Separate and score every song -> results in the order of the songs; song -> why skipped.

    Each segment's scores are written as they come, and kept by the next run with the same plan,
    files, code and method: a run that was killed goes on where it was.

    Raises:
        PriorNotFound, DependencyError: before anything is separated.
    """
    skipped = dict(plan.songs.skipped)
    results: dict[str, SongResult] = {}
    for song in plan.songs.songs:
        if not (stems := plan.chosen(song)):
            skipped[song.name] = f"it has none of the stems {', '.join(plan.stems or ())}"
            continue
        if ALL in stems:
            skipped[song.name] = f"a stem called {ALL!r} cannot be told from the row of all stems"
            continue
        try:
            key = _key(method, plan, song, stems)
        except AudioError as error:  # a file that is gone
            skipped[song.name] = str(error)
        else:
            results[song.name] = load(_path(plan, method, song), song.name, key)
    for song in plan.songs.songs:
        if song.name not in results:
            continue
        try:
            for number, (start, count) in enumerate(plan.cuts(song)):
                _measure(method, plan, song, results[song.name], start, count, first=not number)
                on_segment(song.name)
        except AudioError as error:
            skipped[song.name] = str(error)
            del results[song.name]
    return list(results.values()), skipped


def _measure(
    method: Method, plan: Plan, song: Song, result: SongResult, start: int, count: int, first: bool
) -> None:
    """Separate, score and keep a segment that an earlier run has not scored yet."""
    stems, name = plan.chosen(song), f"{start / song.sample_rate:.3f}"
    targets = plan.audio(method.name, song, stems) if plan.keep_audio and first else {}
    scored = result.segments.get(name)
    if scored and all(path.exists() for s, path in targets.items() if s in scored["scores"]):
        return
    excerpt = plan.read(song, start, count)
    segment = Segment(excerpt.mixture, song.sample_rate, excerpt.stems)
    silent = float(excerpt.mixture.abs().max()) <= SILENCE
    # nothing to separate, nothing to score: a search would lift it out of the noise floor
    nothing = dict.fromkeys(stems, torch.zeros_like(excerpt.mixture))
    found = nothing if silent else method.separate(segment, stems)
    if targets and found:
        _write({stem: targets[stem] for stem in found}, found, song.sample_rate)
    result.segments[name] = {
        "seconds": count / song.sample_rate,
        "scores": score(excerpt.stems, found, excerpt.mixture, song.sample_rate, plan.museval),
        "residual": residual(excerpt),
    }
    save(_path(plan, method, song), result)


def residual(excerpt: Excerpt) -> float | None:
    """How far a mixture is from the sum of its stems, in dB of the mixture; None for not at all."""
    mixture, stems = excerpt.mixture.double(), torch.stack(list(excerpt.stems.values()))
    rest = mixture - stems.double().sum(0)
    if rest.abs().max() <= SILENCE:
        return None
    # a silent mixture has no level: 0 dB, as all of what it should be is missing
    level = (mixture if mixture.abs().max() > SILENCE else rest).square().sum()
    return float(10 * (rest.square().sum() / level).log10())


def _write(paths: dict[str, Path], stems: Mapping[str, Tensor], sample_rate: int) -> None:
    channels = next(iter(stems.values())).shape[0]
    with StemWriter(paths, sample_rate, channels, subtype="FLOAT", overwrite=True) as writer:
        writer.write(dict(stems))


def _path(plan: Plan, method: Method, song: Song) -> Path:
    return plan.out / method.name / f"{song.name}.json"


def _key(method: Method, plan: Plan, song: Song, stems: Sequence[str]) -> str:
    return key_of(
        {
            "method": method.name,
            "settings": method.settings(stems),
            "files": identity(song.files),
            "code": code(type(method).__module__),
            "stems": list(stems),
            "segment": plan.segment,
            "excerpt": plan.excerpt,
            "remix": plan.remix,
            "museval": plan.museval,
        }
    )

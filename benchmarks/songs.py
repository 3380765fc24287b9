"""Songs whose true stems are known, the ways to take them apart, and the table of their scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from instglow import Registry, Separator
from instglow.audio.io import read
from instglow.evaluation.bss import median_over_frames, score
from instglow.separation.presets import PRESETS
from instglow.separation.refine import RatioMask
from instglow.separation.search import LatentSearch

SUFFIXES = (".flac", ".wav")
# A dictionary of spectra takes larger steps than a flow, and more of them; tuned on other songs.
NMF_PRESET = replace(
    PRESETS["default"],
    search=LatentSearch("kl", steps=100, learning_rate=0.1, relative=True, signed=False),
)


@dataclass(frozen=True)
class Song:
    """A mixture and what it is the sum of; each (channels, samples)."""

    name: str
    mixture: Tensor
    stems: dict[str, Tensor]
    sample_rate: int


def songs(folder: Path, seconds: float | None = None) -> list[Song]:
    """Every `<song>/` below a folder that holds a mixture and its stems, or the middle of each."""
    found = []
    for mixture in sorted(folder.glob("*/mixture.*")):
        if mixture.suffix not in SUFFIXES:
            continue
        wave, rate = read(mixture)
        stems = {
            path.stem: read(path)[0]
            for path in sorted(mixture.parent.iterdir())
            if path.suffix in SUFFIXES and path.stem != "mixture"
        }
        song = Song(mixture.parent.name, wave, stems, rate)
        found.append(song if seconds is None else middle(song, seconds))
    return found


def middle(song: Song, seconds: float) -> Song:
    """The middle of a song."""
    samples = song.mixture.shape[-1]
    length = min(samples, round(seconds * song.sample_rate))
    cut = slice((samples - length) // 2, (samples + length) // 2)
    stems = {name: stem[:, cut] for name, stem in song.stems.items()}
    return replace(song, mixture=song.mixture[:, cut], stems=stems)


Method = Callable[[Song], dict[str, Tensor]]


def registered(preset: object, suffix: str = "", registry: str | None = None) -> Method:
    """Separate with the priors that are called as the stems are, plus a suffix."""

    def method(song: Song) -> dict[str, Tensor]:
        names = [stem + suffix for stem in song.stems]
        separator = Separator.from_registry(names, preset, registry)
        found = separator.separate(song.mixture, song.sample_rate)
        return {name.removesuffix(suffix): stem for name, stem in found.items()}

    return method


def mixture_share(song: Song) -> dict[str, Tensor]:
    """Every stem an equal share of the mixture: what knowing nothing scores."""
    return {name: song.mixture / len(song.stems) for name in song.stems}


def ideal_ratio_mask(song: Song) -> dict[str, Tensor]:
    """The refinement with the true magnitudes: what no mask of this kind can exceed."""
    frontend = Registry.default().load(next(iter(song.stems))).frontend
    frontend = replace(frontend, sample_rate=song.sample_rate)
    true = torch.stack([frontend.magnitude(stem.mean(0)) for stem in song.stems.values()])
    stems = RatioMask()(true[None], song.mixture[None], song.sample_rate, frontend)[0]
    return dict(zip(song.stems, stems, strict=True))


METHODS: dict[str, Method] = {
    "mixture / N": mixture_share,
    "NMF priors": registered(NMF_PRESET, "-nmf"),
    "Glow priors, preset paper": registered("paper"),
    "Glow priors, preset default": registered("default"),
    "ideal ratio mask": ideal_ratio_mask,
}


def sdr(song: Song, estimates: dict[str, Tensor]) -> dict[str, float]:
    """Global SDR in dB of every stem that is not silent."""
    scores = {name: score(true, estimates[name]).sdr for name, true in song.stems.items()}
    return {name: value for name, value in scores.items() if value is not None}


def museval_median(song: Song, estimates: dict[str, Tensor]) -> float:
    """museval's usual figure, over the stems that are not silent."""
    heard = [name for name, true in song.stems.items() if true.abs().max() > 0]
    true, found = (
        torch.stack([stems[name] for name in heard]) for stems in (song.stems, estimates)
    )
    return median_over_frames(true, found, song.sample_rate)


def table(rows: dict[str, dict[str, float]], stems: list[str]) -> str:
    """Method -> stem -> SDR, as Markdown with a mean over all."""
    lines = [
        "| SDR in dB | " + " | ".join(stems) + " | mean |",
        "|---|" + "---:|" * (len(stems) + 1),
    ]
    for method, values in rows.items():
        cells = [f"{values[stem]:.2f}" if stem in values else "–" for stem in stems]
        mean = math.fsum(values.values()) / len(values)
        lines.append(f"| {method} | " + " | ".join([*cells, f"{mean:.2f}"]) + " |")
    return "\n".join(lines)

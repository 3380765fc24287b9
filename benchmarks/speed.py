"""`make speed`: seconds of a separation against seconds of music, written into docs/speed.md.

    python benchmarks/speed.py --seconds 1 --rounds 1 --songs 1 --write FILE   # a trial

Every row is measured in turn with the first one (A B A B), so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch
from provenance import sign

from instglow import Registry
from instglow.api import load_priors
from instglow.data.songs import Excerpt, Song, SongSet
from instglow.evaluation.bounds import MixtureShare
from instglow.evaluation.run import Plan, evaluate
from instglow.separation.annealing import AnnealedSearch, Annealing
from instglow.separation.presets import PRESETS
from instglow.separation.search import LatentSearch

BAND = ("bass", "drums", "guitar", "piano")
STEPS = 3

HEADER = """# Speed

Written by `make speed`. One iteration of each stage with the four shipped priors of the band on
{machine}; the median of {rounds} interleaved rounds. Preset `fast` is {fast} iterations of
annealing, `default` {start} of them and {latent} of the latent search; relative to {longest:g} s
chunks.

| chunk | annealing, s a step | latent search, s a step | a minute, `fast` | `default` | relative |
|---|---:|---:|---:|---:|---:|
"""


SCORING = """
Scoring by `instglow evaluate`, separation apart: {songs} songs of one minute, 44.1 kHz stereo, four
stems (global SDR, SDR of frames, SI-SDR, each also of the mixture): {seconds:.0f} s.
"""


class Noise(Song):
    """A minute of noise in four stems, drawn anew at each reading."""

    stems = BAND
    sample_rate = 44100
    samples = 60 * 44100
    files = ()

    def __init__(self, number: int) -> None:
        self.name, self.number = f"noise {number}", number

    def read(self, start: int, count: int) -> Excerpt:
        generator = torch.Generator().manual_seed(self.number)
        waves = 0.1 * torch.randn(len(BAND), 2, count, generator=generator)
        return Excerpt(waves.sum(0), dict(zip(BAND, waves, strict=True)))


def scoring(count: int) -> str:
    songs = SongSet("noise", [Noise(number) for number in range(count)])
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        evaluate(MixtureShare(), Plan(songs, Path(folder)))
        seconds = time.perf_counter() - started
    return SCORING.format(songs=count, seconds=seconds)


def iteration(priors: list, mixture: torch.Tensor) -> tuple[float, float]:
    """Seconds of one of annealing, and of one of the latent search."""
    taken = []
    for search in (Annealing(steps=STEPS), LatentSearch(steps=STEPS, signed=False)):
        started = time.perf_counter()
        search(priors, mixture)
        taken.append((time.perf_counter() - started) / STEPS)
    return taken[0], taken[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the longest chunk")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--songs", type=int, default=10, help="to score, of a minute each")
    arguments = parser.parse_args()
    priors = [
        prior.eval().requires_grad_(False)
        for prior in load_priors(BAND, Registry.default()).values()
    ]
    frontend = priors[0].frontend
    mixtures = {
        seconds: torch.rand(
            1, frontend.bins, frontend.frames(round(seconds * frontend.sample_rate))
        )
        for seconds in (arguments.seconds / part for part in (1, 2, 6))
    }
    for mixture in mixtures.values():
        iteration(priors, mixture)
    taken: dict[float, list[tuple[float, float]]] = {seconds: [] for seconds in mixtures}
    for _ in range(arguments.rounds):
        for seconds, mixture in mixtures.items():
            taken[seconds].append(iteration(priors, mixture))
    fast, default = PRESETS["fast"].search, PRESETS["default"].search
    assert isinstance(default, AnnealedSearch)
    start = default.annealing.iterations
    machine = f"{os.cpu_count()} CPU cores ({platform.machine()}), torch {torch.__version__}"
    text = HEADER.format(
        machine=machine,
        rounds=arguments.rounds,
        fast=fast.iterations,
        start=start,
        latent=default.steps,
        longest=arguments.seconds,
    )
    reference = 0.0
    for seconds, pairs in taken.items():
        annealing, descent = (statistics.median(column) for column in zip(*pairs, strict=True))
        quick = annealing * fast.iterations * 60 / seconds
        whole = (annealing * start + descent * default.steps) * 60 / seconds
        reference = reference or whole
        text += (
            f"| {seconds:g} s | {annealing:.2f} | {descent:.2f} | {quick:.0f} s | {whole:.0f} s | "
            f"{whole / reference:.2f} |\n"
        )
    text += scoring(arguments.songs)
    arguments.write.write_text(text)
    sign(arguments.write)
    print(text)


if __name__ == "__main__":
    main()

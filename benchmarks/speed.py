"""`make speed`: seconds of a separation against seconds of music, written into docs/speed.md.

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

from instglow import Registry
from instglow.api import load_priors
from instglow.data.songs import Excerpt, Song, SongSet
from instglow.evaluation.bounds import MixtureShare
from instglow.evaluation.run import Plan, evaluate
from instglow.separation.presets import PRESETS
from instglow.separation.search import LatentSearch

BAND = ("bass", "drums", "guitar", "piano")
ROUNDS, STEPS = 3, 3

HEADER = """# Speed

Written by `make speed`. One iteration of the search with the four shipped priors of the band on
{machine}; the median of {rounds} interleaved rounds. A minute of music takes the preset's {steps}
iterations.

| chunk | seconds an iteration | a minute of music, preset default | relative to 60 s chunks |
|---|---:|---:|---:|
"""


SCORING = """
Scoring by `instglow evaluate`, separation apart: {songs} songs of one minute, 44.1 kHz stereo, four
stems (global SDR, museval's frames, SI-SDR, each also of the mixture), {jobs} processes:
{seconds:.0f} s.
"""
SONGS, JOBS = 10, 2


class Noise(Song):
    """A minute of noise in four stems, drawn anew at each reading."""

    stems = BAND
    sample_rate = 44100
    samples = 60 * 44100

    def __init__(self, number: int) -> None:
        self.name, self.number = f"noise {number}", number

    def read(self, start: int, count: int) -> Excerpt:
        generator = torch.Generator().manual_seed(self.number)
        waves = 0.1 * torch.randn(len(BAND), 2, count, generator=generator)
        return Excerpt(waves.sum(0), dict(zip(BAND, waves, strict=True)))


def scoring() -> str:
    songs = SongSet("noise", [Noise(number) for number in range(SONGS)])
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        evaluate(MixtureShare(), Plan(songs, Path(folder), jobs=JOBS))
        seconds = time.perf_counter() - started
    return SCORING.format(songs=SONGS, jobs=JOBS, seconds=seconds)


def iteration(priors: list, mixture: torch.Tensor) -> float:
    search = LatentSearch(steps=STEPS, signed=False)
    started = time.perf_counter()
    search(priors, mixture)
    return (time.perf_counter() - started) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, required=True)
    arguments = parser.parse_args()
    priors = [prior.freeze() for prior in load_priors(BAND, Registry.default()).values()]
    frontend = priors[0].frontend
    mixtures = {
        seconds: torch.rand(1, frontend.bins, frontend.frames(seconds * frontend.sample_rate))
        for seconds in (60, 30, 10)
    }
    for mixture in mixtures.values():
        iteration(priors, mixture)
    taken: dict[int, list[float]] = {seconds: [] for seconds in mixtures}
    for _ in range(ROUNDS):
        for seconds, mixture in mixtures.items():
            taken[seconds].append(iteration(priors, mixture))
    steps = PRESETS["default"].search.steps
    machine = f"{os.cpu_count()} CPU cores ({platform.machine()}), torch {torch.__version__}"
    text = HEADER.format(machine=machine, rounds=ROUNDS, steps=steps)
    minute = statistics.median(taken[60])
    for seconds, values in taken.items():
        median = statistics.median(values)
        whole = median * steps * 60 / seconds
        ratio = median * 60 / seconds / minute
        text += f"| {seconds} s | {median:.2f} | {whole:.0f} s | {ratio:.2f} |\n"
    text += scoring()
    arguments.write.write_text(text)
    print(text)


if __name__ == "__main__":
    main()

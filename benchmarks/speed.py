"""`make speed`: seconds of a separation against seconds of music, written into docs/speed.md.

Every row is measured in turn with the first one (A B A B), so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from pathlib import Path

import torch

from instglow import Registry
from instglow.api import load_priors
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
    arguments.write.write_text(text)
    print(text)


if __name__ == "__main__":
    main()

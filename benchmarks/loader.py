"""`make loader`: what training waits for its data, with and without cache, into docs/loader.md."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import soundfile
import torch
import yaml
from lightning.pytorch import Callback, Trainer
from provenance import sign

from instglow.audio.frontend import Frontend
from instglow.cli.train import configs
from instglow.data.cache import Cache
from instglow.data.datamodule import SoloData
from instglow.data.loading import load
from instglow.data.segments import Gate
from instglow.data.solo import SoloFolder
from instglow.families.glow import GlowPrior
from instglow.training.module import PriorTraining

RATE, FILES, SECONDS = 44100, 10, 60  # of the recordings made for it
BATCH, SEGMENT = 8, 2.0
DRAWN = 800  # segments, to time the loader alone
WORKERS = (0, 1, 2)

HEADER = """# Loading

Written by `make loader`. {files} recordings of {seconds} s (flac, 44.1 kHz stereo), batches of
{batch} segments of {segment:g} s, the prior of `guitar.yaml` on {device}.
{machine}, load average {load:.1f} when it began.

Before the first step, all recordings are decoded, resampled and checked for silence; with a cache,
only once. A minute of music takes

| | seconds |
|---|---:|
| without a cache, in every run | {none:.3f} |
| with a cache, in the first run | {cold:.3f} |
| with a cache, in every later run | {warm:.3f} |

Then the segments a second that the loader gives when nothing else is asked for, those that training
takes, and the share of its time (the median of {steps} steps) that it waits for the next batch. The
files of the cache were in the system's memory.

| cache | workers | loader, segments a second | training, segments a second | waiting |
|---|---:|---:|---:|---:|
"""


class Stopwatch(Callback):
    """Seconds of each step, and of the waits between them; the first step of all is not counted."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.waits: list[float] = []
        self.ended = 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        self.began = time.perf_counter()
        if self.ended:
            self.waits.append(self.began - self.ended)

    def on_train_batch_end(self, *_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self.ended:
            self.steps.append(now - self.began)
        self.ended = now


def make_recordings(folder: Path) -> None:
    """Noise in stereo: to a decoder as hard as music, or harder."""
    for number in range(FILES):
        generator = torch.Generator().manual_seed(number)
        wave = 0.1 * torch.randn(SECONDS * RATE, 2, generator=generator).clamp(-3, 3)
        soundfile.write(folder / f"{number:02}.flac", wave.numpy(), RATE)


def training() -> PriorTraining:
    settings = yaml.safe_load((configs() / "instrument.yaml").read_text())["model"]
    options = dict(settings["prior"]["init_args"])
    return PriorTraining("guitar", GlowPrior(Frontend(**options.pop("frontend")), **options))


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def starts(source: SoloFolder, cache: Path, sample_rate: int) -> dict[str, float]:
    """Seconds for a minute of music."""

    def start(folder: Path | None) -> float:
        kept = Cache(folder) if folder else None
        samples = round(SEGMENT * sample_rate)
        taken = seconds(lambda: load(source, ("train",), sample_rate, samples, Gate(), kept))
        return taken / (FILES * SECONDS / 60)

    start(None)  # the first call of all loads what later ones use
    return {"none": start(None), "cold": start(cache), "warm": start(cache)}


def row(source: SoloFolder, cache: str | None, workers: int, steps: int) -> str:
    data = SoloData(source, SEGMENT, BATCH, DRAWN, workers=workers, cache=cache)
    watch = Stopwatch()
    trainer = Trainer(
        devices=1,
        max_steps=steps + 1,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch],
    )
    trainer.fit(training(), data)
    batches = iter(data.train_dataloader())
    next(batches)  # the workers are up
    alone = (DRAWN - BATCH) / seconds(lambda: list(batches))
    step, wait = statistics.median(watch.steps), statistics.median(watch.waits)
    return (
        f"| {'yes' if cache else 'no'} | {workers} | {alone:.0f} | {BATCH / (step + wait):.0f} "
        f"| {100 * wait / (step + wait):.1f} % |\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    load_average = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as place:
        folder, cache = Path(place) / "recordings", Path(place) / "cache"
        folder.mkdir()
        make_recordings(folder)
        source = SoloFolder(str(folder))
        text = HEADER.format(
            files=FILES,
            seconds=SECONDS,
            batch=BATCH,
            segment=SEGMENT,
            steps=arguments.steps,
            device=torch.cuda.get_device_name() if torch.cuda.is_available() else "the CPU",
            machine=f"{os.cpu_count()} CPU cores ({platform.machine()}), "
            f"torch on {torch.get_num_threads()} of them, version {torch.__version__}",
            load=load_average,
            **starts(source, cache, training().sample_rate),
        )
        for kept in (None, str(cache)):
            for workers in WORKERS:
                text += row(source, kept, workers, arguments.steps)
    arguments.write.write_text(text)
    sign(arguments.write)
    print(text)


if __name__ == "__main__":
    main()

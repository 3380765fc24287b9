"""`instglow separate SONG... --priors a,b,c`: songs in, stems out."""

from __future__ import annotations

import json
import math
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from instglow import __version__
from instglow.api import load_priors, parse_priors
from instglow.audio.io import AudioFile
from instglow.audio.stems import StemWriter
from instglow.cli.search_options import adapted
from instglow.devices import resolve, use_idle_cores
from instglow.errors import ConfigError, OutputError, require
from instglow.registry import Registry
from instglow.separation.engine import SeparationEngine
from instglow.separation.presets import preset

REPORT = "separation.json"
_SECONDS_TO_READ = 0.5


def run(arguments: Namespace) -> None:
    """Separate song by song, say where the stems are."""
    device = resolve(arguments.device)
    require(arguments.batch_size >= 1, "batch size", "at least 1", arguments.batch_size)
    if device.type == "cpu":
        use_idle_cores()
    named = parse_priors(arguments.priors)
    registry = Registry.default(arguments.registry)
    engine = SeparationEngine(
        load_priors(arguments.priors, registry),
        adapted(preset(arguments.preset), arguments),
        arguments.segment,
        arguments.overlap,
        device,
    )
    priors = {
        stem: {"prior": name, "sha256": registry.find(name).require_card().sha256}
        for stem, name in named.items()
    }
    _check_songs(arguments.songs, engine, arguments)
    for song in arguments.songs:
        about = {"instglow": __version__, "song": song.name, "priors": priors}
        report = _separate(song, engine, arguments, about)
        print(
            f"{song.name}: {', '.join(engine.stems)} in {_folder(song, arguments)} "
            f"({report['seconds']:.1f} s for "
            f"{report['song_seconds']:.1f} s of music, real-time factor "
            f"{report['real_time_factor']:.2f})"
        )
        if report["gain"] < 1:
            print(
                f"{song.name}: all stems {-20 * math.log10(report['gain']):.2f} dB quieter, since "
                f"{arguments.format} holds nothing above full scale"
            )


def _check_songs(songs: list[Path], engine: SeparationEngine, arguments: Any) -> None:
    """Refuse what cannot be separated or written before hours go into the first song."""
    folders = [_folder(song, arguments) for song in songs]
    there = [song for song in songs if song.exists()]
    for song, folder in zip(songs, folders, strict=True):
        if folders.count(folder) > 1:
            raise ConfigError(
                f"two songs are called {folder.name!r} and would share a folder; separate them "
                "into different ones with -o"
            )
        with AudioFile(song, _stream(arguments)) as opened:
            writer = _writer(song, opened, engine, arguments)
            for target in writer.paths.values():
                if any(target.exists() and target.samefile(other) for other in there):
                    raise OutputError(
                        f"{target} is a song to separate and would be replaced by a stem of it; "
                        "choose another folder as -o"
                    )
            opened.check()
            engine.chunks(opened.samples, opened.sample_rate)
            _say_what_is_odd(opened, arguments)


def _say_what_is_odd(song: AudioFile, arguments: Any) -> None:
    if song.streams > 1 and arguments.stream is None:
        others = " or ".join(str(number) for number in range(2, song.streams + 1))
        _say(f"{song.path}: {song.streams} sound streams, separating the first; --stream {others}")
    for what in song.damage:
        _say(f"{song.path}: {what}")


def _stream(arguments: Any) -> int:
    return 1 if arguments.stream is None else arguments.stream


def _say(what: str) -> None:
    print(f"instglow: {what}", file=sys.stderr)


def _folder(song: Path, arguments: Any) -> Path:
    """Of the stems; named as the song is, without its ending where that leaves a name."""
    named: bool = song.stem.strip(".") != ""  # the stem of `...wav` is `..`, the folder above
    return arguments.out / (song.stem if named else song.name)


def _writer(song: Path, opened: AudioFile, engine: SeparationEngine, arguments: Any) -> StemWriter:
    folder = _folder(song, arguments)
    report = folder / REPORT
    if report.exists() and not arguments.overwrite:
        raise OutputError(f"{report} exists; pass --overwrite, or another folder as -o")
    return StemWriter(
        {name: folder / f"{name}.{arguments.format}" for name in engine.stems},
        opened.sample_rate,
        opened.channels,
        subtype=_SUBTYPES[arguments.format],
        overwrite=arguments.overwrite,
        clip_mode=arguments.clip_mode,
        samples=opened.samples,
    )


def _separate(
    song: Path, engine: SeparationEngine, arguments: Any, about: dict[str, Any]
) -> dict[str, Any]:
    """-> the report, which begins with what is known of the separation before it starts."""
    with AudioFile(song, _stream(arguments)) as opened:
        started = time.perf_counter()
        writer = _writer(song, opened, engine, arguments)
        objectives: list[float | None] = []
        with writer, _Progress(song.name, engine, opened, arguments.quiet) as progress:
            for piece in engine.separate(opened, arguments.batch_size, progress.update):
                writer.write(dict(zip(engine.stems, piece.stems, strict=True)))
                objectives.append(None if math.isnan(piece.objective) else piece.objective)
            seconds = time.perf_counter() - started
            song_seconds = opened.samples / opened.sample_rate
            report = {
                **about,
                "preset": arguments.preset,
                **engine.preset.to_dict(),
                "sample_rate": opened.sample_rate,
                "channels": opened.channels,
                "samples": opened.samples,
                "stream": _stream(arguments),
                "damage": opened.damage,
                "gain": writer.gain,
                "objective": objectives,
                "song_seconds": song_seconds,
                "seconds": seconds,
                "real_time_factor": seconds / song_seconds,
            }
            writer.add_text(_folder(song, arguments) / REPORT, json.dumps(report, indent=2) + "\n")
        return report


class _Progress:
    """A bar over all iterations of all chunks, with the objective and the time left."""

    def __init__(self, name: str, engine: SeparationEngine, song: AudioFile, quiet: bool) -> None:
        chunks = len(engine.chunks(song.samples, song.sample_rate))
        total = engine.preset.search.iterations * chunks
        self.bar = tqdm(
            total=total, desc=name, unit="it", disable=quiet, file=sys.stderr, leave=False
        )
        self.read = time.monotonic()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()

    def update(self, done: float, objective: Tensor | None) -> None:
        """See `OnProgress`."""
        self.bar.update(max(0, round(done * self.bar.total) - self.bar.n))
        # now and then: reading the objective waits for the device
        if objective is not None and time.monotonic() > self.read + _SECONDS_TO_READ:
            self.bar.set_postfix(objective=f"{float(objective.mean()):.4g}", refresh=False)
            self.read = time.monotonic()


_SUBTYPES = {"wav": "FLOAT", "flac": "PCM_24"}

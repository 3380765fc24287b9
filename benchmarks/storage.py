"""Priors stored otherwise, and what that changes in what they separate.

    python benchmarks/storage.py store FROM TO STORAGE NAME...    # folders of priors
    python benchmarks/storage.py compare FROM TO SONG... [--seconds S] [--preset P ...]

`compare` prints, stem by stem, the difference between what the priors of the two folders make of
the beginning of a song, in dB below the stem; and where the song's folder holds true stems, the
mean SDR with either. NAMEs are those of the priors in TO.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from instglow import Separator
from instglow.audio.io import read
from instglow.registry import Layer, Registry

BAND = ("bass", "drums", "guitar", "piano")


def store(source: Path, target: Path, storage: str, names: list[str]) -> None:
    found, made = Registry([Layer(source, "from")]), Registry([Layer(target, "to")])
    for name in names:
        card = found.find(name).require_card()
        made.add(
            name,
            found.load(name),
            licence=card.licence,
            trained_on=card.trained_on,
            training=card.training,
            bits_per_dim=card.bits_per_dim,
            replace=True,
            storage=storage,
        )
        print(name, (target / name / "weights.safetensors").stat().st_size, "bytes")
    (target / ".lock").unlink(missing_ok=True)


def decibels(signal: Tensor, noise: Tensor) -> float:
    return float(10 * torch.log10(signal.square().sum() / noise.square().sum()))


def compare(folders: list[Path], song: Path, seconds: float, start: float, preset: str) -> None:
    mixture, rate = read(song)
    span = slice(round(start * rate), round((start + seconds) * rate))
    names = [name for name in BAND if (folders[1] / name).is_dir()]
    stems = [
        Separator.from_registry(names, preset, folder).separate(mixture[:, span], rate)
        for folder in folders
    ]
    print(f"{song.parent.name}/{song.name}, {seconds:g} s, {preset}:")
    for name in names:
        before, after = (found[name] for found in stems)
        print(f"  {name}: {-decibels(before, after - before):.1f} dB")
    true = {name: song.with_name(f"{name}.flac") for name in names}
    waves = {name: read(path)[0][:, span] for name, path in true.items() if path.is_file()}
    if waves:
        means = [
            sum(decibels(wave, found[name] - wave) for name, wave in waves.items()) / len(waves)
            for found in stems
        ]
        print(f"  mean SDR {means[0]:.3f} dB before, {means[1]:.3f} dB after")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    step = actions.add_parser("store")
    step.add_argument("folders", type=Path, nargs=2)
    step.add_argument("storage")
    step.add_argument("names", nargs="+")
    step = actions.add_parser("compare")
    step.add_argument("folders", type=Path, nargs=2)
    step.add_argument("songs", type=Path, nargs="+")
    step.add_argument("--seconds", type=float, default=3)
    step.add_argument("--start", type=float, default=6)
    step.add_argument("--preset", nargs="+", default=["fast", "default"])
    arguments = parser.parse_args()
    if arguments.action == "store":
        store(*arguments.folders, arguments.storage, arguments.names)
        return
    for song in arguments.songs:
        for preset in arguments.preset:
            compare(arguments.folders, song, arguments.seconds, arguments.start, preset)


if __name__ == "__main__":
    main()

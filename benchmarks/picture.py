"""`make picture`: spectrograms of a separated song and its stems, for the README."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from provenance import sign
from torch import Tensor

from instglow import Registry, Separator
from instglow.data.datasets import open_dataset

EXAMPLES = Path(__file__).parents[1] / "examples"
HIGHEST = 5000.0  # Hz


def draw(axes: Axes, title: str, wave: Tensor, sample_rate: int) -> None:
    seconds = wave.shape[-1] / sample_rate
    frontend = Registry.default().load("piano").frontend
    magnitude = frontend.magnitude(wave.mean(0))
    decibels = 20 * magnitude.clamp(min=1e-4).log10()
    extent = (0, seconds, 0, frontend.sample_rate / 2000)
    axes.imshow(
        decibels, origin="lower", aspect="auto", extent=extent, vmin=-40, vmax=40, cmap="magma"
    )
    axes.set_ylim(0, HIGHEST / 1000)
    axes.set_title(title, fontsize=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=8.0, help="from the beginning of the song")
    arguments = parser.parse_args()
    (song,) = open_dataset(EXAMPLES).songs
    mixture, true = song.read(0, round(arguments.seconds * song.sample_rate))
    found = Separator.from_registry(song.stems).separate(mixture, song.sample_rate)
    figure, rows = plt.subplots(2, len(song.stems) + 1, figsize=(13, 4.6), sharex=True, sharey=True)
    for row, label, stems in ((0, "separated", found), (1, "true", true)):
        draw(rows[row][0], "mixture", mixture, song.sample_rate)
        rows[row][0].set_ylabel(f"{label}\nkHz")
        for axes, (name, stem) in zip(rows[row][1:], stems.items(), strict=True):
            draw(axes, name, stem, song.sample_rate)
    figure.supxlabel("seconds", fontsize=9)
    figure.tight_layout()
    figure.savefig(arguments.write, dpi=80)
    sign(arguments.write)


if __name__ == "__main__":
    main()

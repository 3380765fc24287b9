"""`make results`: SDR of every method on folders of songs, written into docs/results.md."""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from songs import METHODS, museval_median, sdr, songs, table

HEADER = """# Results

Written by `make results`. Global SDR, 10 log₁₀ ‖s‖² / ‖s − ŝ‖² over the whole stem, mean over
songs. No prior saw these songs, or the SoundFonts of the example, in training. Every song is
separated with one prior for each of its stems.
"""


def section(folder: Path, seconds: float) -> str:
    scores: dict[str, dict[str, list[float]]] = {name: {} for name in METHODS}
    medians: dict[str, list[float]] = {name: [] for name in METHODS}
    found = songs(folder, seconds)
    for song in found:
        for name, method in METHODS.items():
            estimates = method(song)
            for stem, value in sdr(song, estimates).items():
                scores[name].setdefault(stem, []).append(value)
            medians[name].append(museval_median(song, estimates))
            print(f"{folder.name}/{song.name}: {name}", flush=True)
    rows = {
        name: {stem: statistics.fmean(values) for stem, values in stems.items()}
        for name, stems in scores.items()
    }
    stems = sorted({stem for values in rows.values() for stem in values})
    museval = ", ".join(f"{name} {statistics.fmean(m):.2f}" for name, m in medians.items())
    return (
        f"## {folder.resolve().name}: {len(found)} songs, {seconds:g} s from the middle of each\n\n"
        f"{table(rows, stems)}\n\nmuseval's median over frames of one second: {museval}.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--write", type=Path, required=True)
    arguments = parser.parse_args()
    text = "\n".join(
        [HEADER, *(section(folder, arguments.seconds) for folder in arguments.folders)]
    )
    arguments.write.write_text(text)
    print(text)


if __name__ == "__main__":
    main()

"""`make results`: SDR of every method on folders of songs, written into docs/results.md."""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from songs import METHODS, sdr, songs, table

HEADER = """# Results

Written by `make results`. Global SDR, 10 log₁₀ ‖s‖² / ‖s − ŝ‖² over the whole stem, mean over
songs. No prior saw these songs, or the SoundFonts of the example, in training. Every song is
separated with one prior for each of its stems.
"""


def section(folder: Path) -> str:
    scores: dict[str, dict[str, list[float]]] = {name: {} for name in METHODS}
    found = songs(folder)
    for song in found:
        for name, method in METHODS.items():
            for stem, value in sdr(song, method(song)).items():
                scores[name].setdefault(stem, []).append(value)
            print(f"{folder.name}/{song.name}: {name}", flush=True)
    rows = {
        name: {stem: statistics.fmean(values) for stem, values in stems.items()}
        for name, stems in scores.items()
    }
    stems = sorted({stem for values in rows.values() for stem in values})
    return f"## {folder.name}: {len(found)} songs\n\n{table(rows, stems)}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--write", type=Path, required=True)
    arguments = parser.parse_args()
    text = "\n".join([HEADER, *(section(folder) for folder in arguments.folders)])
    arguments.write.write_text(text)
    print(text)


if __name__ == "__main__":
    main()

"""`make demo`: take the example song apart as a user would, and compare with its true stems."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from songs import METHODS, Song, sdr, songs, table

from instglow.audio.io import read
from instglow.cli.main import main as instglow

EXAMPLES = Path(__file__).parents[1] / "examples"


def separated_by_command(song: Song, priors: str, out: Path) -> Path:
    mixture = EXAMPLES / song.name / "mixture.flac"
    command = ["separate", str(mixture), "--priors", priors, "-o", str(out), "--overwrite"]
    print("$ instglow", *command[:-1], flush=True)
    if status := instglow(command):
        sys.exit(status)
    return out / "mixture"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--priors", required=True)
    parser.add_argument("--out", type=Path, default=Path("separated"))
    arguments = parser.parse_args()
    (song,) = songs(EXAMPLES)
    folder = separated_by_command(song, arguments.priors, arguments.out)
    rows = {name: sdr(song, METHODS[name](song)) for name in ("mixture / N", "NMF priors")}
    stems = {name: read(folder / f"{name}.wav")[0] for name in song.stems}
    rows["Glow priors"] = sdr(song, stems)
    rows["ideal ratio mask"] = sdr(song, METHODS["ideal ratio mask"](song))
    print(f"\n{table(rows, list(song.stems))}\n\nThe stems are in {folder}/")


if __name__ == "__main__":
    main()

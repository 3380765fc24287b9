"""`make new-instrument`: an instrument that nobody prepared, added by one command and measured.

    python benchmarks/new_instrument.py MIDI SOUNDFONTS --write docs/new-instrument.md

Strings are rendered (pieces and SoundFonts split as everywhere), `instglow add-prior` trains on
them beside copies of shipped priors, and songs of strings, bass and drums are taken apart.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from provenance import digest, sign

from instglow.synthesis.performance import INSTRUMENTS
from instglow.synthesis.rendered import render
from instglow.synthesis.split import read_split

ROOT = Path(__file__).resolve().parents[1]
NAME, BESIDE = "strings", ("bass", "drums")
STEMS = (*BESIDE, NAME)
MINUTES, SEED = 20.0, 0
METHODS = {
    "mixture-share": "mixture / 3",
    "instglow": "InstGlow, the three priors",
    "ideal-ratio-mask": "ideal ratio mask",
}
WORK = Path("data/new-instrument")


def instglow(*arguments: str, cwd: Path = Path()) -> None:
    subprocess.run([sys.executable, "-m", "instglow.cli.main", *arguments], check=True, cwd=cwd)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def prepare(midi: Path, soundfonts: Path) -> None:
    """Solos to learn from and songs to measure on, rendered once."""
    table = ROOT / "configs" / "rendered-split.yaml"
    pieces, banks = read_split(table, midi, soundfonts, "train", NAME)
    render(NAME, midi, soundfonts, WORK / "solos", MINUTES, SEED, banks, pieces)
    if not (WORK / "songs").exists():
        make = [sys.executable, str(ROOT / "benchmarks" / "make_example.py")]
        options = ["--split", "test", "--out", str(WORK / "songs"), "--instruments", *STEMS]
        subprocess.run([*make, str(midi), str(soundfonts), *options], check=True)


def add() -> float:
    """-> minutes that the command took, or had taken beside the same priors in an earlier call."""
    done = WORK / "added.json"
    beside = {f"prior {name}": digest(f"prior {name}", ROOT) for name in BESIDE}
    if done.exists() and (then := json.loads(done.read_text())).get("beside") == beside:
        return float(then["minutes"])
    for folder in ("priors", "runs"):  # of an earlier call
        shutil.rmtree(WORK / folder, ignore_errors=True)
    for name in BESIDE:
        shutil.copytree(ROOT / "priors" / name, WORK / "priors" / name)
    before, started = digests(WORK / "priors"), time.perf_counter()
    instglow("add-prior", NAME, "--data", "solos", "--registry", "priors", cwd=WORK)
    minutes = (time.perf_counter() - started) / 60
    assert before.items() <= digests(WORK / "priors").items(), "another prior's file changed"
    done.write_text(json.dumps({"minutes": minutes, "beside": beside}) + "\n")
    return minutes


def measure(method: str) -> tuple[int, list[float]]:
    """-> how many songs, and the mean SDR of each of the stems, then of all."""
    written = WORK / "scores" / f"{method}.json"
    instglow(
        *("evaluate", str(WORK / "songs"), "--priors", ",".join(STEMS), "--method", method),
        *("--registry", str(WORK / "priors"), "--out", str(WORK / "scores")),
        *("--json", str(written), "--quiet"),
    )
    report = json.loads(written.read_text())
    scores = [report["summary"][stem]["mean_sdr"] for stem in (*STEMS, "all")]
    return len(report["songs"]), scores


def page(minutes: float, found: dict[str, tuple[int, list[float]]]) -> str:
    programs = ", ".join(str(program) for program in INSTRUMENTS[NAME].sounds)
    songs, _ = next(iter(found.values()))
    figures = "\n".join(
        f"| {METHODS[method]} | {' | '.join(f'{score:.2f}' for score in scores)} |"
        for method, (_, scores) in found.items()
    )
    return f"""# An instrument that nobody prepared

Written by `make new-instrument`. `instglow add-prior {NAME} --data DIR` was given {MINUTES:.0f}
minutes of rendered strings (General MIDI programs {programs}) and took {minutes:.1f} minutes on
{os.cpu_count()} cores. The files of the other priors stayed as they were, to the byte.

Then {songs} songs of bass, drums and strings, of pieces and SoundFonts that no prior had heard,
were taken apart: SDR in dB, mean over songs.

| | {" | ".join(STEMS)} | mean |
|---|{"---|" * (len(STEMS) + 1)}
{figures}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("midi", type=Path)
    parser.add_argument("soundfonts", type=Path)
    parser.add_argument("--write", type=Path, required=True)
    arguments = parser.parse_args()
    prepare(arguments.midi, arguments.soundfonts)
    minutes = add()
    arguments.write.write_text(page(minutes, {method: measure(method) for method in METHODS}))
    sign(arguments.write)


if __name__ == "__main__":
    main()

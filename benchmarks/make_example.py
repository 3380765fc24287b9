"""Songs with known stems: all parts of one MIDI piece in one window of time.

    python benchmarks/make_example.py MIDI SOUNDFONTS                       # examples/song
    python benchmarks/make_example.py MIDI SOUNDFONTS --split dev --out DIR # mixtures to measure on

MIDI holds `freedoom/`, SOUNDFONTS one folder per bank. Nothing here listens to a separation:
windows are chosen by the notes alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from instglow.errors import InstGlowError
from instglow.synthesis.performance import (
    INSTRUMENTS,
    Part,
    Sound,
    parts_of,
    perform,
    soundfont_name,
)
from instglow.synthesis.pieces import Pieces, read_midi
from instglow.synthesis.rendered import (
    MIN_NOTES,
    MIN_SOUNDING,
    draw_sound,
    find_soundfonts,
    sounding,
)
from instglow.synthesis.split import SPLITS, read_split

SAMPLE_RATE = 22050
PEAK = 0.95
ROOT = Path(__file__).resolve().parent.parent
SPLIT_TABLE = ROOT / "configs" / "rendered-split.yaml"
BAND = ("bass", "drums", "guitar", "piano")

# Of the two test pieces with all four instruments at once, the one where they play for longer.
EXAMPLE_PIECE = "freedoom/d_e3m4.mid"
EXAMPLE_START, EXAMPLE_SECONDS = 10.28, 20.6  # 12 bars
EXAMPLE_TRANSPOSE = -1  # semitones; but for the drums
# One part of the piece for each stem, and the SoundFont that plays it; as in the test mixture.
EXAMPLE_PARTS = {
    "bass": (9, "MuseScore_General_v0.2/035"),
    "drums": (0, "FluidR3_GM/128"),
    "guitar": (8, "FluidR3_GM/028"),
    "piano": (1, "FluidR3_GM/004"),
}

Wave = NDArray[np.float32]


@dataclass(frozen=True)
class Song:
    """All parts of one piece, by instrument."""

    piece: str
    parts: dict[str, list[Part]]

    @property
    def seconds(self) -> float:
        ends = [n.end for parts in self.parts.values() for p in parts for n in p.track.notes]
        return max(ends, default=0.0)

    def notes(self, instrument: str, start: float, seconds: float) -> int:
        return sum(part.notes(start, seconds) for part in self.parts[instrument])

    def best_window(self, instruments: Sequence[str], seconds: float) -> tuple[int, int, float]:
        """(instruments that play, notes of the quietest of them, start), of the best window."""
        windows = []
        for start in np.arange(0, max(1.0, self.seconds - seconds), 2.0):
            notes = [self.notes(name, start, seconds) for name in instruments]
            playing = [count for count in notes if count >= MIN_NOTES]
            windows.append((len(playing), min([*playing, 40], default=0), -float(start)))
        playing_most, fewest, start = max(windows)
        return playing_most, fewest, -start


def read_song(pieces: Pieces, piece: str) -> Song:
    parts = parts_of(piece, pieces.tracks(piece))
    return Song(
        piece,
        {
            name: [part for part in parts if part.program in programs.parts]
            for name, programs in INSTRUMENTS.items()
        },
    )


def loudness(wave: Wave) -> float:
    """Root mean square of the 50 ms blocks within 40 dB of the loudest."""
    block = SAMPLE_RATE // 20
    energy = (wave[: len(wave) // block * block].reshape(-1, block) ** 2).mean(axis=1)
    return float(np.sqrt(energy[energy > energy.max() * 1e-4].mean()))


def write_song(folder: Path, stems: dict[str, Wave], decibels: dict[str, float]) -> None:
    """Stems at the given loudness and mixture.flac, the sum of them to the last bit."""
    levelled = {n: w / loudness(w) * 10 ** (decibels[n] / 20) for n, w in stems.items()}
    peak = max(float(np.abs(wave).max()) for wave in (sum(levelled.values()), *levelled.values()))
    integers = {
        name: np.round(wave * (PEAK * 32767 / peak)).astype(np.int16)
        for name, wave in levelled.items()
    }
    total = np.sum([wave.astype(np.int32) for wave in integers.values()], axis=0)
    folder.mkdir(parents=True, exist_ok=True)
    for name, wave in {**integers, "mixture": total.astype(np.int16)}.items():
        soundfile.write(
            folder / f"{name}.flac", wave, SAMPLE_RATE, subtype="PCM_16", compression_level=1.0
        )


def make_example(midi_dir: Path, soundfont_dir: Path, out: Path) -> None:
    """The song that this repository ships."""
    parts = {
        part.number: part for part in parts_of(EXAMPLE_PIECE, read_midi(midi_dir / EXAMPLE_PIECE))
    }
    stems = {}
    for name, (track, soundfont) in EXAMPLE_PARTS.items():
        sound = Sound(
            soundfont_dir / f"{soundfont}.sf3",
            transpose=0 if name == "drums" else EXAMPLE_TRANSPOSE,
            reverb=40,
        )
        stems[name] = perform(parts[track], EXAMPLE_START, EXAMPLE_SECONDS, sound, SAMPLE_RATE)
        print(f"{name:8} sounds in {sounding(stems[name], SAMPLE_RATE):.0%} of the time")
    write_song(out, stems, dict.fromkeys(BAND, 0.0))


def make_mixtures(
    midi_dir: Path,
    soundfont_dir: Path,
    out: Path,
    split: str,
    instruments: Sequence[str],
    count: int,
    seconds: float,
    seed: int,
) -> None:
    """`count` songs of a split, one a piece, those first in which most instruments play."""
    pieces, _ = read_split(SPLIT_TABLE, midi_dir, soundfont_dir, split, instruments[0])
    there = Pieces(midi_dir, pieces)
    songs = [read_song(there, piece) for piece in there.names]
    there.report()
    ranked = sorted(
        ((song.best_window(instruments, seconds), song) for song in songs),
        key=lambda pair: (-pair[0][0], -pair[0][1], pair[1].piece),
    )
    for (_, _, start), song in ranked[:count]:
        rng = np.random.default_rng([seed, zlib.crc32(song.piece.encode())])
        key = int(rng.integers(-3, 4))  # one for the whole song
        stems: dict[str, Wave] = {}
        sheet: dict[str, Any] = {"piece": song.piece, "start": start, "stems": {}}
        lent: set[int] = set()
        for name in instruments:
            _, banks = read_split(SPLIT_TABLE, midi_dir, soundfont_dir, split, name)
            fonts = find_soundfonts(soundfont_dir, name, banks)
            for parts, begin in candidates(song, songs, name, start, seconds, lent, instruments):
                sounds = [draw_sound(part, fonts, name, rng) for part in parts]
                if name != "drums":
                    sounds = [replace(sound, transpose=key) for sound in sounds]
                waves = [
                    perform(part, begin, seconds, sound, SAMPLE_RATE)
                    for part, sound in zip(parts, sounds, strict=True)
                ]
                wave = np.sum(waves, axis=0)
                if sounding(wave, SAMPLE_RATE) >= MIN_SOUNDING:
                    break
            else:
                raise SystemExit(f"no part for '{name}' in {song.piece} or any piece of {split}")
            stems[name] = wave
            lent |= {part.number for part in parts if part.piece == song.piece}
            decibels = float(rng.uniform(-4, 4))
            sheet["stems"][name] = {
                "piece": parts[0].piece,
                "start": begin,
                "parts": [part.number for part in parts],
                "part_programs": [part.program for part in parts],
                "soundfonts": [soundfont_name(sound.soundfont) for sound in sounds],
                "transpose": [sound.transpose for sound in sounds],
                "decibels": round(decibels, 2),
            }
        folder = out / Path(song.piece).stem
        write_song(folder, stems, {name: sheet["stems"][name]["decibels"] for name in instruments})
        (folder / "song.json").write_text(json.dumps(sheet, indent=1) + "\n")


def candidates(
    song: Song,
    songs: Sequence[Song],
    name: str,
    start: float,
    seconds: float,
    lent: set[int],
    instruments: Sequence[str],
) -> list[tuple[list[Part], float]]:
    """(parts, start) for a stem, in order of preference.

    Its own parts; else another of the same song's parts, so that the stems stay in one harmony;
    else the parts of another piece.
    """
    own = [p for p in song.parts[name] if p.notes(start, seconds)]
    found = [(own, start)] if song.notes(name, start, seconds) >= MIN_NOTES else []
    if name not in ("drums", "bass") and "other" not in instruments:
        free = [p for p in song.parts["other"] if p.number not in lent]
        free.sort(key=lambda part: -part.notes(start, seconds))
        found += [([p], start) for p in free if p.notes(start, seconds) >= MIN_NOTES]
    for other in songs:
        playing, _, begin = other.best_window([name], seconds)
        if playing and other is not song:
            chosen = [p for p in other.parts[name] if p.notes(begin, seconds)]
            found.append((chosen, begin))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("midi", type=Path)
    parser.add_argument("soundfonts", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "examples" / "song")
    parser.add_argument("--split", choices=SPLITS)
    parser.add_argument("--instruments", nargs="+", default=list(BAND), choices=list(INSTRUMENTS))
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        if options.split is None:
            make_example(options.midi, options.soundfonts, options.out)
        else:
            make_mixtures(
                options.midi,
                options.soundfonts,
                options.out,
                options.split,
                options.instruments,
                options.count,
                options.seconds,
                options.seed,
            )
    except InstGlowError as error:
        print(f"make_example: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()

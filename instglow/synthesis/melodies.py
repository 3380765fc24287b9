"""Melodies to sing: the top lines of MIDI files, and walks on scales where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from instglow.synthesis.pieces import Pieces

SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10))
"""Semitones above the tonic: major, minor, pentatonic, blues."""

SHORTEST, LONGEST = 0.1, 3.0
"""Seconds of one note."""

COMPASS = 9
"""Semitones that a singer goes above and below the middle of the range."""


@dataclass(frozen=True)
class Note:
    """One note of a melody.

    Args:
        start: seconds.
        end: seconds; the next note starts here or later.
        pitch: MIDI number, fractions for tuning: 69 is 440 Hz.
        tied: sung on the vowel of the note before, without a new syllable.
    """

    start: float
    end: float
    pitch: float
    tied: bool = False


class Melodies:
    """Draws melodies.

    Args:
        midi_dir: MIDI files, also in folders below; None for walks on scales alone.
        pieces: paths of the files to use, relative to `midi_dir`; None for all.

    Attributes:
        pieces: the MIDI files; None without.

    Raises:
        DataError: there are no MIDI files, or not those.
        DependencyError: pretty_midi is missing.
    """

    def __init__(self, midi_dir: Path | None, pieces: Sequence[str] | None = None) -> None:
        self.pieces = Pieces(midi_dir, pieces) if midi_dir else None
        self._lines: dict[str, list[list[Note]]] = {}

    @property
    def names(self) -> list[str]:
        """Of the MIDI files drawn from."""
        return self.pieces.names if self.pieces else []

    def draw(self, seconds: float, middle: float, rng: np.random.Generator) -> list[Note]:
        """About `seconds` of notes within `COMPASS` semitones of `middle` (MIDI number)."""
        notes: list[Note] = []
        if self.names and rng.random() < 0.6:
            lines = self._read(self.names[rng.integers(len(self.names))])
            if lines:
                notes = _excerpt(lines[rng.integers(len(lines))], seconds, rng)
        if not notes:
            notes = _walk(seconds, rng)
        shift = round(middle - float(np.median([note.pitch for note in notes])))
        tuning = rng.normal(0, 0.15)
        folded = [replace(note, pitch=_fold(note.pitch + shift, middle) + tuning) for note in notes]
        return _tie(_breathe(folded, seconds, rng), rng)

    def _read(self, name: str) -> list[list[Note]]:
        """The top line of every instrument that can be sung; none if the file is unreadable."""
        if name not in self._lines:
            assert self.pieces
            parts = [part for part in self.pieces.tracks(name) if not part.is_drum]
            lines = [_top_line(part.notes) for part in parts]
            self._lines[name] = [
                line for line in lines if len(line) > 15 and len({n.pitch for n in line}) > 3
            ]
        return self._lines[name]


def _top_line(notes: Sequence[Any]) -> list[Note]:
    """The highest of the notes that start together; each lasts until the next at most."""
    line: list[Note] = []
    for note in sorted(notes, key=lambda n: (n.start, -n.pitch)):
        if line and note.start - line[-1].start < SHORTEST / 2:
            continue
        if line and note.start < line[-1].end:
            if note.pitch < line[-1].pitch - 7:  # accompaniment under a held note
                continue
            line[-1] = replace(line[-1], end=note.start)
        if note.end > note.start:
            line.append(Note(note.start, note.end, note.pitch))
    return line


def _excerpt(line: list[Note], seconds: float, rng: np.random.Generator) -> list[Note]:
    """Part of a line at a tempo to sing, short notes left out, long rests shortened."""
    chosen = line[rng.integers(max(1, len(line) - 12)) :]
    median = float(np.median([b.start - a.start for a, b in pairwise(line)]))
    tempo = rng.uniform(0.24, 0.6) / max(median, 0.02)
    notes: list[Note] = []
    now, before, rest = 0.0, chosen[0].start, rng.uniform(0.3, 1.0)
    while now < seconds:
        for note in chosen:
            gap = (note.start - before) * tempo
            length = (note.end - note.start) * tempo
            before = note.end
            if gap < 0.15 and notes:  # legato
                notes[-1] = replace(notes[-1], end=now + gap)
            now += min(gap, rest)
            if length >= SHORTEST or not notes:
                length = min(max(length, SHORTEST), LONGEST)
                notes.append(Note(now, now + length, note.pitch))
                now += length
            else:
                now += length
                notes[-1] = replace(notes[-1], end=now)
            if now >= seconds:
                break
        before = chosen[0].start
    return notes


def _walk(seconds: float, rng: np.random.Generator) -> list[Note]:
    """Phrases of steps and a few leaps on one scale, each ending with a long note."""
    scale = SCALES[rng.integers(len(SCALES))]
    beat, degree = rng.uniform(0.28, 0.6), 0
    notes: list[Note] = []
    now = rng.uniform(0, 0.8)
    while now < seconds:
        phrase = int(rng.integers(5, 12))
        for place in range(phrase):
            step = rng.choice([-2, -1, -1, 0, 1, 1, 2, 3, -4, 4])
            degree = int(np.clip(degree + step, -len(scale), len(scale)))
            beats = rng.choice([0.5, 0.5, 1, 1, 1, 1.5, 2]) if place + 1 < phrase else 3
            octave, index = divmod(degree, len(scale))
            length = min(beat * beats, LONGEST)
            notes.append(Note(now, now + length, 60 + 12 * octave + scale[index]))
            now += length
        now += beat * rng.choice([0.5, 1, 2])
    return notes


def _fold(pitch: float, middle: float) -> float:
    """The same tone in the octave that can be sung."""
    while pitch > middle + COMPASS:
        pitch -= 12
    while pitch < middle - COMPASS:
        pitch += 12
    return pitch


def _breathe(notes: list[Note], seconds: float, rng: np.random.Generator) -> list[Note]:
    """A rest after a dozen notes at most; the end is cut at `seconds`."""
    breathed: list[Note] = []
    delay, since, patience = 0.0, 0, rng.integers(6, 13)
    for note in notes:
        moved = replace(note, start=note.start + delay, end=note.end + delay)
        since += 1
        if breathed and moved.start - breathed[-1].end > 0.25:
            since = 0
        elif since > patience:
            pause = rng.uniform(0.25, 0.7)
            moved = replace(moved, start=moved.start + pause, end=moved.end + pause)
            delay, since, patience = delay + pause, 0, rng.integers(6, 13)
        if moved.start > seconds - 0.4:
            break
        breathed.append(replace(moved, end=min(moved.end, seconds - 0.1)))
    return breathed


def _tie(notes: list[Note], rng: np.random.Generator) -> list[Note]:
    """Some notes are sung on one vowel, the short ones mostly."""
    tied = [notes[0]]
    for before, note in pairwise(notes):
        likely = 0.6 if note.end - note.start < 0.18 else 0.12
        joined = note.start - before.end < 0.02 and note.pitch != before.pitch
        tied.append(replace(note, tied=bool(joined and rng.random() < likely)))
    return tied

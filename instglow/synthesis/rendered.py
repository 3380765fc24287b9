"""MIDI files × SoundFonts -> solo recordings of one instrument, where no real ones are at hand.

A prior learns only the timbres that it hears. Therefore a part is cut into passages of 20 to 30
seconds, and each passage is played with a newly drawn SoundFont, program, room and key.
"""

from __future__ import annotations

import hashlib
import json
import math
import reprlib
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from instglow.errors import DataError, require
from instglow.files import as_output_error, replacing, write_text
from instglow.synthesis.performance import (
    Part,
    Sound,
    parts_of,
    perform,
    programs_of,
    soundfont_name,
)
from instglow.synthesis.pieces import Pieces

SECONDS = (20.0, 30.0)
"""The shortest and the longest passage."""
MIN_NOTES = 8
"""A passage with fewer is mostly rests."""
MIN_SOUNDING = 0.5
"""A recording must sound for this share of its time."""
_MAX_DROPPED = 200  # passages in a row that do not sound, before we give up


def sounding(wave: NDArray[np.float32], sample_rate: int) -> float:
    """(samples,) -> share of its 50 ms blocks within 40 dB of the loudest; 0 for silence."""
    block = sample_rate // 20
    blocks = wave[: len(wave) // block * block].reshape(-1, block).astype(np.float64)
    energy = (blocks**2).mean(axis=1)
    loudest = energy.max(initial=0.0)
    return float((energy > loudest * 1e-4).mean()) if loudest > 1e-8 else 0.0


def draw_sound(
    part: Part, soundfonts: Sequence[Path], instrument: str, rng: np.random.Generator
) -> Sound:
    """A SoundFont of the instrument, a key up to 3 semitones away, reverb and chorus on or off."""
    programs = programs_of(instrument)
    chosen = list(soundfonts)
    if rng.random() < programs.nearest:
        closest = min(programs.sounds, key=lambda program: abs(program - part.program))
        chosen = [path for path in chosen if int(path.stem) == closest] or chosen
    return Sound(
        soundfont=chosen[rng.integers(len(chosen))],
        transpose=0 if part.track.is_drum else int(rng.integers(-3, 4)),
        reverb=int(rng.integers(20, 128)) * int(rng.integers(2)),
        chorus=int(rng.integers(20, 128)) * int(rng.integers(2)),
    )


def find_soundfonts(
    soundfont_dir: Path, instrument: str, banks: Sequence[str] | None = None
) -> list[Path]:
    """Files <bank>/NNN.sf3 of an instrument's sounds, in order; DataError if there is none.

    `banks` names folders or single files without their ending ("FluidR3_GM/004"); None: all.
    """
    programs = programs_of(instrument).sounds
    folders = sorted(soundfont_dir.iterdir()) if soundfont_dir.is_dir() else []
    files = [folder / f"{program:03}.sf3" for folder in folders for program in programs]
    if banks is not None:
        files = [f for f in files if f.parent.name in banks or soundfont_name(f) in banks]
    if not (found := [path for path in files if path.is_file()]):
        which = "" if banks is None else f" ({', '.join(banks)})"
        raise DataError(
            f"no SoundFont <bank>/NNN.sf3 of '{instrument}' in {soundfont_dir}{which}; add a bank"
        )
    return found


def render(
    instrument: str,
    midi_dir: Path,
    soundfont_dir: Path,
    out_dir: Path,
    minutes: float,
    seed: int,
    banks: Sequence[str] | None = None,
    pieces: Sequence[str] | None = None,
    sample_rate: int = 22050,
    synthesiser: str = "rustysynth",
) -> dict[str, Any]:
    """Write solo recordings <number>.flac (16 bit, mono) and manifest.json; return the manifest.

    The same arguments give the same recordings. What an earlier call has written is kept, so a
    call with more minutes extends it. The folders right below `midi_dir` take turns, and in each
    of them the pieces: neither a large collection nor a long piece drowns the rest.

    Args:
        instrument: a key of `INSTRUMENTS`.
        midi_dir: folder of .mid files, at any depth.
        soundfont_dir: folder of banks, each a folder of files NNN.sf3 (128.sf3: the drum kit).
        out_dir: made when missing.
        minutes: how much to have in the end; the last passage may exceed it.
        seed: of every draw.
        banks: names of banks ("FluidR3_GM") or single SoundFonts ("FluidR3_GM/004"); None: all.
        pieces: paths relative to `midi_dir`; None: all.
        sample_rate: Hz.
        synthesiser: a key of `SYNTHESISERS`.

    Raises:
        ConfigError: for an instrument or a synthesiser that is none, or no minutes.
        DataError: where there is too little to render, or `out_dir` holds other recordings.
        DependencyError: where what renders is not installed.
    """
    require(0 < minutes < math.inf, "minutes of recordings", "above 0 and finite", minutes)
    soundfonts = find_soundfonts(soundfont_dir, instrument, banks)
    songs = Pieces(midi_dir, pieces)
    request = {
        "instrument": instrument,
        "seed": seed,
        "sample_rate": sample_rate,
        "soundfonts": [soundfont_name(path) for path in soundfonts],
        "pieces": hashlib.sha256("\n".join(songs.names).encode()).hexdigest()[:16],
        "synthesiser": synthesiser,
    }
    manifest = _manifest(out_dir, request)
    done = {entry["number"]: entry for entry in manifest["recordings"]}
    key = [seed, zlib.crc32(instrument.encode())]
    passages = _passages(songs, instrument, np.random.default_rng(key))
    seconds, refused = 0.0, 0
    for number, (part, start, length) in enumerate(passages):
        path = out_dir / f"{number:05}.flac"
        if number not in manifest["dropped"] and not (number in done and path.is_file()):
            rng = np.random.default_rng([*key, number])
            sound = draw_sound(part, soundfonts, instrument, rng)
            peak = 0.9 * 10 ** (-rng.uniform(0, 6) / 20)
            wave = perform(part, start, length, sound, sample_rate, synthesiser)
            if sounding(wave, sample_rate) < MIN_SOUNDING:
                manifest["dropped"].append(number)
            else:
                write_flac(path, wave * (peak / np.abs(wave).max()), sample_rate)
                done[number] = _entry(number, part, start, length, sound, peak)
            manifest["recordings"] = [done[n] for n in sorted(done)]
            manifest["skipped"] = songs.unreadable
            write_text(out_dir / "manifest.json", json.dumps(manifest, indent=1) + "\n")
        seconds += done[number]["seconds"] if number in done else 0.0
        refused = 0 if number in done else refused + 1
        if seconds >= 60 * minutes:
            songs.report()
            return manifest
        if refused > _MAX_DROPPED:
            break
    songs.report()
    raise DataError(
        f"only {seconds / 60:.1f} of {minutes:g} minutes of '{instrument}' in {midi_dir} "
        f"(MIDI files: {len(songs.names)}, unreadable: {len(songs.unreadable)}) have {MIN_NOTES} "
        f"notes in {SECONDS[0]:g} s and sound; add MIDI files"
    )


def write_flac(path: Path, wave: NDArray[np.float32], sample_rate: int) -> None:
    """(samples,) full scale ±1 -> 16-bit mono FLAC; under its name only once it is complete."""
    with as_output_error(path, soundfile.SoundFileError), replacing(path) as beside:
        soundfile.write(beside, wave, sample_rate, format="FLAC", subtype="PCM_16")


def _passages(
    songs: Pieces, instrument: str, rng: np.random.Generator
) -> Iterator[tuple[Part, float, float]]:
    """(part, start, seconds) without end, unless no piece has a passage."""
    queues: dict[tuple[str, ...], deque[str]] = {}
    for index in rng.permutation(len(songs.names)):
        name = songs.names[index]
        queues.setdefault(Path(name).parts[:-1][:1], deque()).append(name)
    parts: dict[str, list[Part]] = {}
    waiting: dict[str, list[tuple[Part, float, float]]] = {}
    while any(queues.values()):
        for queue in queues.values():
            while queue:
                piece = queue.popleft()
                if piece not in parts:
                    parts[piece] = parts_of(piece, songs.tracks(piece), instrument)
                if not waiting.get(piece):
                    waiting[piece] = [cut for part in parts[piece] for cut in _cut(part, rng)]
                    rng.shuffle(waiting[piece])
                if waiting[piece]:
                    queue.append(piece)
                    yield waiting[piece].pop()
                    break


def _cut(part: Part, rng: np.random.Generator) -> Iterator[tuple[Part, float, float]]:
    """Passages of a part from the onset of a note on, with enough notes; rests are left out."""
    onsets = np.array(sorted(note.start for note in part.track.notes))
    end = float(max(note.end for note in part.track.notes))
    shortest, longest = SECONDS
    time = rng.uniform(0, np.clip(end - onsets[0] - shortest, 0, shortest)) + onsets[0] - 1e-6
    while len(later := onsets[onsets >= time]):
        start = float(later[0])
        seconds = min(rng.uniform(shortest, longest), end - start)
        if seconds >= shortest and part.notes(start, seconds) >= MIN_NOTES:
            yield part, start, seconds
        time = start + seconds


def _entry(
    number: int, part: Part, start: float, seconds: float, sound: Sound, peak: float
) -> dict[str, Any]:
    """One recording in the manifest."""
    return {
        "number": number,
        "piece": part.piece,
        "part": part.number,
        "part_program": part.program,
        "start": round(start, 3),
        "seconds": round(seconds, 3),
        "bank": sound.soundfont.parent.name,
        "program": int(sound.soundfont.stem),
        "transpose": sound.transpose,
        "reverb": sound.reverb,
        "chorus": sound.chorus,
        "peak": round(peak, 3),
    }


def _manifest(out_dir: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The manifest of an earlier call with the same request, or a new one."""
    manifest = earlier_manifest(out_dir, "request", request, ("recordings", "dropped"))
    return manifest or {"request": request, "recordings": [], "dropped": [], "skipped": {}}


def earlier_manifest(
    out_dir: Path, key: str, request: dict[str, Any], others: Sequence[str]
) -> dict[str, Any]:
    """The manifest of an earlier call, {} without one; the folder is made.

    Args:
        out_dir: of the recordings.
        key: under which it keeps what was asked for.
        request: what is asked for now; it must be the same.
        others: keys that it has besides.

    Raises:
        DataError: for a damaged manifest, or one of another request.
        OutputError: for a folder that cannot be made.
    """
    path = out_dir / "manifest.json"
    with as_output_error(out_dir):
        out_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return {}
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        # before there was a choice
        before = {"synthesiser": "fluidsynth", **manifest[key]}
        _ = [manifest[other] for other in others]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error!r}); remove {out_dir} and try again") from error
    for name, value in request.items():
        if before.get(name) != value:
            raise DataError(
                f"{out_dir} was made with {name} {reprlib.repr(before.get(name))}, asked for is "
                f"{reprlib.repr(value)}; use another folder or remove this one"
            )
    return manifest

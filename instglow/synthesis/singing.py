"""Speech recordings × melodies -> solo singing, where no recordings of singers may be used."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from scipy.signal import fftconvolve

from instglow.errors import DataError, require
from instglow.files import write_text
from instglow.synthesis.melodies import Melodies, Note
from instglow.synthesis.rendered import earlier_manifest, write_flac
from instglow.synthesis.speech import Speech, analyse, require_vocoder
from instglow.synthesis.vocalist import Singer, sing_line

SECONDS = (20.0, 30.0)
"""The shortest and the longest passage."""


def sing(
    speech_dir: Path,
    midi_dir: Path | None,
    out_dir: Path,
    minutes: float,
    seed: int,
    sample_rate: int = 22050,
    pieces: Sequence[str] | None = None,
) -> list[Path]:
    """Sing passages of 20 to 30 s into `out_dir`: `<number>.flac`, 16 bit mono, `manifest.json`.

    Every passage depends on `seed` and its number alone: a run that was interrupted goes on where
    it stopped, and asking for more minutes adds passages to those there.

    Args:
        speech_dir: recordings of speech (.wav, .flac); those of one folder are one voice.
        midi_dir: melodies; None for walks on scales alone.
        out_dir: made where missing.
        minutes: of singing, all passages together.
        seed: same seed, same singing.
        sample_rate: Hz.
        pieces: paths of the MIDI files to use, relative to `midi_dir`; None for all.

    Returns:
        The passages, old and new.

    Raises:
        ConfigError: no minutes.
        DataError: no speech, no melodies, or `out_dir` holds singing made otherwise.
        DependencyError: pyworld or pretty_midi is missing.
    """
    require(0 < minutes < math.inf, "minutes of singing", "above 0 and finite", minutes)
    require_vocoder()
    melodies = Melodies(midi_dir, pieces)
    recordings = _recordings(speech_dir)
    settings = {
        "seed": seed,
        "sample_rate": sample_rate,
        "speech": {folder.name: len(files) for folder, files in recordings.items()},
        "pieces": melodies.names,
    }
    manifest = earlier_manifest(out_dir, "settings", settings, ("passages",))
    entries = manifest.get("passages", {})
    paths: list[Path] = []
    total = 0.0
    while total < 60 * minutes:
        number = len(paths)
        rng = np.random.default_rng([seed, number])
        seconds = round(rng.uniform(*SECONDS), 2)
        path = out_dir / f"{number:05}.flac"
        if path.name not in entries or not path.exists():
            wave, entry = _passage(recordings, melodies, seconds, sample_rate, rng)
            write_flac(path, wave, sample_rate)
            entries[path.name] = {"seconds": seconds, **entry}
            manifest = {"settings": settings, "passages": entries}
            write_text(out_dir / "manifest.json", json.dumps(manifest, indent=2) + "\n")
        paths.append(path)
        total += seconds
    if melodies.pieces:
        melodies.pieces.report()
    return paths


def _passage(
    recordings: dict[Path, list[Path]],
    melodies: Melodies,
    seconds: float,
    sample_rate: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, dict[str, Any]]:
    """(samples,) and what to say about it in the manifest."""
    files = [path for paths in recordings.values() for path in paths]
    voice = recordings[files[rng.integers(len(files))].parent]  # who said more sings more
    order = [voice[i] for i in rng.permutation(len(voice))]
    first, used = _speech(order, 1, sample_rate)
    spoken = 69 + 12 * np.log2(np.median(first.f0[first.f0 > 0]) / 440)
    middle = float(spoken + rng.uniform(2, 13))
    notes = melodies.draw(seconds, middle, rng)
    syllables = sum(not note.tied for note in notes)
    speech, used = _speech(order, syllables, sample_rate)
    singer = Singer.draw(rng)
    wave = sing_line(speech, notes, seconds, singer, rng, sample_rate)
    second = None
    if rng.random() < 0.15:
        second = int(rng.choice([0, 0, 3, 4, -5, -12, 7]))
        late = rng.uniform(0.0, 0.03)
        moved = [
            Note(n.start + late, n.end + late, n.pitch + second + rng.normal(0, 0.05), n.tied)
            for n in notes
        ]
        other = replace(singer, formants=singer.formants * rng.uniform(0.96, 1.04))
        voice_two = sing_line(speech, moved, seconds, other, rng, sample_rate)
        wave = wave + 10 ** (rng.uniform(-9, -2) / 20) * voice_two
    reverberation = None
    if rng.random() < 0.5:
        reverberation = round(rng.uniform(0.25, 1.4), 2)
        wave = _reverberate(wave, reverberation, rng.uniform(-20, -9), sample_rate, rng)
    wave = wave * 0.9 * 10 ** (-rng.uniform(0, 6) / 20) / (np.abs(wave).max() + 1e-9)
    entry = {
        "voice": voice[0].parent.name,
        "speech": [path.name for path in used],
        "notes": len(notes),
        "middle": round(middle, 1),
        "formants": round(singer.formants, 3),
        "second_voice": second,
        "reverberation": reverberation,
    }
    return wave, entry


def _speech(order: list[Path], syllables: int, sample_rate: int) -> tuple[Speech, list[Path]]:
    """So many syllables of the recordings, from the first on; again if there are too few."""
    found: list[Speech] = []
    used: list[Path] = []
    count = 0
    for path in order:
        try:
            wave, rate = soundfile.read(path, always_2d=True)
        except (soundfile.LibsndfileError, OSError) as error:
            raise DataError(f"cannot read the speech {path}: {error}") from error
        if len(wave) < rate // 2:
            continue
        speech = analyse(wave.mean(1), rate, sample_rate)
        if speech.syllables:
            found.append(speech)
            used.append(path)
            count += len(speech.syllables)
        if count >= syllables:
            break
    if not found:
        raise DataError(
            f"no syllable in the {len(order)} recordings of {order[0].parent}; "
            "speech of half a second and more is needed"
        )
    return Speech.join(found, syllables), used


def _reverberate(
    wave: np.ndarray, seconds: float, decibels: float, rate: int, rng: np.random.Generator
) -> np.ndarray:
    """A room of noise that dies away by 60 dB in so many seconds, so loud beside the voice."""
    time = np.arange(int(seconds * rate)) / rate
    room = rng.standard_normal(len(time)) * np.exp(-6.9 * time / seconds)
    room = np.convolve(room, [0.3, 0.4, 0.3])  # walls swallow the highest tones
    wet = fftconvolve(np.pad(wave, (int(rng.uniform(0.002, 0.025) * rate), 0)), room)[: len(wave)]
    return wave + wet * 10 ** (decibels / 20) * wave.std() / (wet.std() + 1e-12)


def _recordings(speech_dir: Path) -> dict[Path, list[Path]]:
    """Folder -> its recordings; a folder is a voice."""
    voices: dict[Path, list[Path]] = {}
    for path in sorted(speech_dir.rglob("*")):
        if path.suffix.lower() in {".wav", ".flac"}:
            voices.setdefault(path.parent, []).append(path)
    if not voices:
        raise DataError(f"{speech_dir} holds no speech; put .wav or .flac files there")
    return voices

"""`make synthesisers`: what plays MIDI as FluidSynth does, without a library of the system.

    python benchmarks/synthesisers.py SOUNDFONTS [--write docs/synthesisers.md]

Every synthesiser plays the same notes with the same SoundFonts; FluidSynth is the measure. symusic
(0.5.8: 0.6.0 raises for every score) and tinysoundfont (install it without its dependencies, which
have no wheel) are measured where they are installed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
from provenance import sign

from instglow.errors import InstGlowError
from instglow.synthesis.performance import Part, Sound, perform
from instglow.synthesis.synthesisers import DRUM_KIT, RATE, SYNTHESISERS, Events, channel

PROGRAMS = (0, 4, 25, 27, 30, 33, 36, 40, 48, 56, 65, 73, 81, DRUM_KIT)
NOTES = {True: (36, 38, 42, 49), False: (43, 55, 64, 76)}  # drums or not
LOUD, SOFT = 100, 50  # velocities
HELD, APART = 1.0, 1.5  # seconds
LIMIT = 20.0  # seconds that a SoundFont may take
MODEL_RATE = 22050  # Hz; what a prior hears
PACKAGES = {
    "fluidsynth": "pyfluidsynth",
    "rustysynth": "midirenderer",
    "symusic": "symusic",
    "tinysoundfont": "tinysoundfont",
}
MODULES = {**PACKAGES, "fluidsynth": "fluidsynth"}


def symusic(events: Events, seconds: float, soundfont: Path) -> np.ndarray:
    from symusic import Note, Score, Synthesizer, Track

    number = int(soundfont.stem)
    score, track = Score(RATE // 2), Track("", number % DRUM_KIT, number == DRUM_KIT)
    sounding: dict[int, tuple[int, int]] = {}
    for moment, message in events:
        tick = round(moment * RATE)
        if message.type == "note_on":
            sounding[message.note] = tick, message.velocity
        elif message.type == "note_off" and message.note in sounding:
            start, velocity = sounding.pop(message.note)
            track.notes.append(Note(start, tick - start, message.note, velocity))
    score.tracks.append(track)
    wave = np.asarray(Synthesizer(str(soundfont), RATE, 0).render(score, True), np.float32)
    return padded(wave.T, seconds)


def tinysoundfont(events: Events, seconds: float, soundfont: Path) -> np.ndarray:
    import tinysoundfont as library

    synth, number, on = library.Synth(samplerate=RATE), int(soundfont.stem), channel(soundfont)
    font = synth.sfload(str(soundfont))
    drums = number == DRUM_KIT
    synth.program_select(on, font, 128 if drums else 0, 0 if drums else number, drums)
    play: dict[str, Callable[[Any], object]] = {
        "control_change": lambda m: synth.control_change(on, m.control, m.value),
        "pitchwheel": lambda m: synth.pitchbend(on, m.pitch + 8192),
        "note_on": lambda m: synth.noteon(on, m.note, m.velocity),
        "note_off": lambda m: synth.noteoff(on, m.note),
    }
    blocks, now = [], 0
    for moment, message in [*events, (seconds, None)]:
        if (samples := round(moment * RATE) - now) > 0:
            blocks.append(np.frombuffer(synth.generate(samples), np.float32).copy())
            now += samples
        if message is not None:
            play[message.type](message)
    return np.concatenate(blocks).reshape(-1, 2)


def padded(wave: np.ndarray, seconds: float) -> np.ndarray:
    """(samples, 2), cut or filled with silence."""
    samples = round(seconds * RATE)
    return np.pad(wave[:samples], ((0, max(0, samples - len(wave))), (0, 0)))


def phrase(drums: bool) -> Part:
    track = pretty_midi.Instrument(0, is_drum=drums)
    for number, (pitch, velocity) in enumerate(
        (pitch, velocity) for pitch in NOTES[drums] for velocity in (LOUD, SOFT)
    ):
        start = number * APART
        track.notes.append(pretty_midi.Note(velocity, pitch, start, start + HELD))
    return Part("", 0, track)


def play(name: str, soundfont: Path, pipe: Any) -> None:
    part = phrase(soundfont.stem == f"{DRUM_KIT}")
    before = time.process_time()
    try:
        wave = perform(part, 0.0, len(part.track.notes) * APART, Sound(soundfont), MODEL_RATE, name)
    except InstGlowError as error:
        pipe.send(str(error))
    else:
        pipe.send((wave, time.process_time() - before))


def played(name: str, soundfont: Path) -> tuple[np.ndarray, float] | str:
    """Wave and CPU seconds, or what went wrong; in a process of its own, which may hang or die."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=play, args=(name, soundfont, there)
    )
    process.start()
    there.close()
    try:
        if not here.poll(LIMIT):
            return f"more than {LIMIT:g} s"
        found: tuple[np.ndarray, float] | str = here.recv()
        return found
    except EOFError:
        return "an error of the package"
    finally:
        process.kill()
        process.join()


def decibels(wave: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(wave, dtype=np.float64)) + 1e-12))


def cents(wave: np.ndarray, reference: np.ndarray) -> float:
    """How far one spectrum must be moved along a logarithmic axis to lie on the other."""
    frequencies = np.geomspace(60, 8000, 8192)

    def spectrum(samples: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 16))
        axis = np.arange(len(power)) * MODEL_RATE / (1 << 16)
        values = np.sqrt(np.interp(frequencies, axis, power))
        return values - values.mean()

    step = 1200 * np.log2(8000 / 60) / 8191
    match = np.correlate(spectrum(wave), spectrum(reference), "full")
    reach, middle = round(1300 / step), len(frequencies) - 1
    return float(np.argmax(match[middle - reach : middle + reach + 1]) - reach) * step


def measures(wave: np.ndarray, reference: np.ndarray, drums: bool) -> dict[str, list[float]]:
    """Differences from the reference, note by note."""
    found: dict[str, list[float]] = defaultdict(list)
    second, apart = MODEL_RATE, round(APART * MODEL_RATE)
    pairs = [
        (wave[start : start + apart], reference[start : start + apart])
        for start in range(0, len(reference), apart)
    ]
    for (loud, true), (soft, soft_true) in zip(pairs[::2], pairs[1::2], strict=True):
        if decibels(true) < -70:  # this SoundFont has no such note
            continue
        found["level"].append(decibels(loud) - decibels(true))
        found["velocity"].append(decibels(loud) - decibels(soft))
        found["velocity of FluidSynth"].append(decibels(true) - decibels(soft_true))
        if not drums:
            body = slice(second // 20, second)
            found["pitch"].append(abs(cents(loud[body], true[body])))
            parts = slice(second // 20, second // 4), slice(3 * second // 4, second)
            decay, decay_true = (
                decibels(one[parts[1]]) - decibels(one[parts[0]]) for one in (loud, true)
            )
            if decay_true > -40:
                found["decay"].append(decay - decay_true)
    return found


def table(fonts: Sequence[Path], names: Sequence[str]) -> tuple[int, str]:
    """How many SoundFonts FluidSynth plays, and what the others make of those."""
    columns = "synthesiser|fails|pitch within 10 cents|level, spread|velocity 50 to 100"
    columns += "|decay, spread|CPU s per minute"
    lines = [f"| {columns.replace('|', ' | ')} |", "|---" * 7 + "|"]
    found: dict[str, dict[str, list[float]]] = {n: defaultdict(list) for n in names}
    fails: dict[str, int] = defaultdict(int)
    compared = 0
    for font in fonts:
        reference = played("fluidsynth", font)
        if isinstance(reference, str):
            continue
        compared += 1
        drums = font.stem == f"{DRUM_KIT}"
        for name in names:
            result = reference if name == "fluidsynth" else played(name, font)
            if isinstance(result, str):
                fails[name] += 1
                print(name, font, result, flush=True)
                continue
            for key, values in measures(result[0], reference[0], drums).items():
                found[name][key] += values
            found[name]["cpu"].append(result[1] * 60 * MODEL_RATE / len(result[0]))
    for name in names:
        of = {key: np.array(values) for key, values in found[name].items()}
        cells = [
            f"{name} ({PACKAGES[name]} {metadata.version(PACKAGES[name])})",
            f"{fails[name]} of {compared}",
            f"{100 * np.mean(of['pitch'] < 10):.0f} %",
            f"{spread(of['level']):.1f} dB",
            f"{np.median(of['velocity']):.1f} dB",
            f"{spread(of['decay']):.1f} dB",
            f"{np.mean(of['cpu']):.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return compared, "\n".join(lines)


def spread(values: np.ndarray) -> float:
    """Median distance from the median."""
    return float(np.median(np.abs(values - np.median(values))))


TEXT = """# What plays MIDI

Written by `make synthesisers SOUNDFONTS=folder`: {count} SoundFonts (.sf3) of {banks} banks, notes
of {held:g} s at two velocities, dry, heard as a prior hears them (mono, {rate} Hz). FluidSynth, a
library of the operating system, is the measure: *pitch* and the *spreads* (median distance from the
median difference) compare with it note by note. A constant difference in level does not matter, as
every recording is brought to a level of its own. Whoever needs more than {limit:g} s for one
SoundFont fails.

{table}

RustySynth plays all SoundFonts, at FluidSynth's pitch, with its levels and decays, and comes in a
wheel of half a megabyte: it is the default (`synthesiser: rustysynth`). It reads no .sf3, so their
Vorbis samples are decoded first (`instglow/synthesis/soundfont.py`), which is most of its time. It
ignores the modulators that a few SoundFonts define for themselves. symusic gives every velocity one
level; tinysoundfont halves their range and cannot be declared as a dependency, as what it needs has
no wheel.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("soundfonts", type=Path, help="folder of banks")
    parser.add_argument("--write", type=Path, help="Markdown file")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # threads and fork
    SYNTHESISERS.update(symusic=symusic, tinysoundfont=tinysoundfont)
    names = [name for name in PACKAGES if util.find_spec(MODULES[name])]
    banks = sorted(path for path in arguments.soundfonts.iterdir() if path.is_dir())
    fonts = [bank / f"{n:03}.sf3" for bank in banks for n in PROGRAMS]
    fonts = [font for font in fonts if font.is_file()]
    compared, lines = table(fonts, names)
    text = TEXT.format(
        count=compared, banks=len(banks), held=HELD, rate=MODEL_RATE, table=lines, limit=LIMIT
    )
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
        sign(arguments.write)


if __name__ == "__main__":
    main()

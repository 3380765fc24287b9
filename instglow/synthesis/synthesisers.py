"""What plays a part with a SoundFont: RustySynth out of a wheel, or FluidSynth where it is."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from instglow.errors import DataError, DependencyError
from instglow.synthesis.soundfont import SoundFont

RATE = 48000
"""Hz that is played at. Samples are read without a low-pass: at a lower rate they would alias."""

DRUM_KIT = 128
"""The number that a drum kit's SoundFont file has, beyond the 128 programs."""

Events = Sequence[tuple[float, Any]]
"""Seconds from the beginning, and a `mido.Message`; in the order of time."""


def channel(soundfont: Path) -> int:
    """The channel that a SoundFont NNN.sf3 is played on: the tenth for drums, as ever in MIDI."""
    return 9 if int(soundfont.stem) == DRUM_KIT else 0


def rustysynth(events: Events, seconds: float, soundfont: Path) -> NDArray[np.float32]:
    """Play events with the preset of a SoundFont NNN.sf3 -> (samples, 2), full scale ±1, at `RATE`.

    Raises:
        DataError: for a SoundFont that cannot be read or lacks the preset.
        DependencyError: where midirenderer is not installed.
    """
    import mido  # comes with pretty_midi, without which there are no events

    try:
        import midirenderer
    except ImportError as error:
        raise DependencyError(
            "rendering MIDI needs midirenderer: pip install 'instglow[render]'"
        ) from error
    font = SoundFont.read(soundfont)
    if _preset(soundfont) not in font.presets:
        raise _no_preset(soundfont)
    # 120 beats a minute, where no tempo is said: a tick is a sample
    song, track = mido.MidiFile(ticks_per_beat=RATE // 2), mido.MidiTrack()
    song.tracks.append(track)
    _, program = _preset(soundfont)
    track.append(mido.Message("program_change", channel=channel(soundfont), program=program))
    now = 0
    for time, message in [*events, (seconds, mido.MetaMessage("end_of_track"))]:
        track.append(message.copy(time=round(time * RATE) - now))
        now = round(time * RATE)
    written = io.BytesIO()
    song.save(file=written)
    try:
        played = midirenderer.render_wave_from(font.content, written.getvalue())
    except BaseException as error:
        # a panic of Rust's is no Exception, so that only its name tells it from an interrupt
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise DataError(
            f"cannot play SoundFont {soundfont}: {error}; replace or remove it"
        ) from error
    wave, rate = soundfile.read(io.BytesIO(played), dtype="float32")
    assert rate == RATE, rate
    stereo: NDArray[np.float32] = wave
    return stereo


def fluidsynth(events: Events, seconds: float, soundfont: Path) -> NDArray[np.float32]:
    """As `rustysynth`, by FluidSynth, a library of the operating system, and pyfluidsynth."""
    try:
        import fluidsynth as library
    except ImportError as error:  # pyfluidsynth without the library raises it too
        raise DependencyError(
            "the synthesiser 'fluidsynth' needs pyfluidsynth and the FluidSynth library (Debian: "
            "apt install libfluidsynth3; macOS: brew install fluid-synth); 'rustysynth' needs none"
        ) from error
    synth = library.Synth(gain=0.5, samplerate=float(RATE))
    try:
        font = synth.sfload(str(soundfont))
        if font < 0 or synth.program_select(channel(soundfont), font, *_preset(soundfont)) != 0:
            raise _no_preset(soundfont)
        play = {
            "control_change": lambda m: synth.cc(m.channel, m.control, m.value),
            "pitchwheel": lambda m: synth.pitch_bend(m.channel, m.pitch),
            "note_on": lambda m: synth.noteon(m.channel, m.note, m.velocity),
            "note_off": lambda m: synth.noteoff(m.channel, m.note),
        }
        blocks, now = [], 0
        for time, message in [*events, (seconds, None)]:
            if (samples := round(time * RATE) - now) > 0:
                blocks.append(synth.get_samples(samples))
                now += samples
            if message is not None:
                play[message.type](message)
    finally:
        synth.delete()
    return np.concatenate(blocks).reshape(-1, 2).astype(np.float32) / np.float32(32768)


SYNTHESISERS: dict[str, Callable[[Events, float, Path], NDArray[np.float32]]] = {
    "rustysynth": rustysynth,
    "fluidsynth": fluidsynth,
}


def _preset(soundfont: Path) -> tuple[int, int]:
    """Bank and program."""
    number = int(soundfont.stem)
    return (128, 0) if number == DRUM_KIT else (0, number)


def _no_preset(soundfont: Path) -> DataError:
    bank, program = _preset(soundfont)
    return DataError(
        f"SoundFont {soundfont} cannot be read or has no preset {program} in bank {bank}; "
        "replace or remove it"
    )

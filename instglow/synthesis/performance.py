"""Parts of MIDI files, and how they are played with a SoundFont."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio.functional as F
from numpy.typing import NDArray

from instglow.errors import ConfigError
from instglow.synthesis.synthesisers import DRUM_KIT, RATE, SYNTHESISERS, Events, channel

_LEAD_IN = 2.0  # s played before a passage and thrown away, so that tails and held notes are heard
# Channel volume, pan and effect sends are chosen here; bank selects and resets would undo the
# choice of the SoundFont.
_IGNORED_CONTROLS = {0, 7, 10, 32, 91, 93, *range(120, 128)}
_TO_GENERAL_MIDI = {22: 42, 26: 46, 58: 43}  # hi-hat edges and tom rim of an electronic kit


@dataclass(frozen=True)
class Programs:
    """What an instrument is in General MIDI (programs from 0).

    Args:
        parts: programs of the parts that the instrument plays.
        sounds: programs of the SoundFonts that it is played with.
        nearest: how often a part keeps the sound nearest to its own program; else any is drawn.
    """

    parts: frozenset[int]
    sounds: tuple[int, ...]
    nearest: float = 0.0


_PITCHED = {
    "piano": Programs(frozenset(range(6)), tuple(range(6))),
    "guitar": Programs(frozenset(range(24, 32)), tuple(range(24, 31))),
    # Parts of a synthesiser's bass (38, 39) are bass lines too; only their sounds are left out.
    "bass": Programs(frozenset(range(32, 40)), tuple(range(32, 38))),
}
_VOICES = {52, 53, 54, 85}
_SOUND_EFFECTS = set(range(120, 128))
INSTRUMENTS: dict[str, Programs] = {
    **_PITCHED,
    "drums": Programs(frozenset({DRUM_KIT}), (DRUM_KIT,)),
    "other": Programs(
        frozenset(range(128)).difference(
            _VOICES, _SOUND_EFFECTS, *(programs.parts for programs in _PITCHED.values())
        ),
        (40, 42, 48, 52, 56, 61, 65, 68, 73, 80, 81, 88),
        nearest=0.5,
    ),
    # parts of `other` too: whoever has a prior of strings calls what is left the other one
    "strings": Programs(frozenset(range(40, 52)) - {46, 47}, (40, 42, 48)),
}


@dataclass(frozen=True)
class Part:
    """One track of a MIDI file.

    Args:
        piece: the file's path, relative to the folder of MIDI files.
        number: of the track, from 0.
        track: a `pretty_midi.Instrument`, times in seconds.
    """

    piece: str
    number: int
    track: Any

    @property
    def program(self) -> int:
        """General MIDI program from 0, or `DRUM_KIT`."""
        return DRUM_KIT if self.track.is_drum else int(self.track.program)

    def notes(self, start: float, seconds: float) -> int:
        """How many notes begin in [start, start + seconds)."""
        return sum(start <= note.start < start + seconds for note in self.track.notes)


@dataclass(frozen=True)
class Sound:
    """How a part is played.

    Args:
        soundfont: file NNN.sf3 with the preset of program NNN (128: the drum kit).
        transpose: semitones up; drums ignore it.
        reverb: effect send, 0 (off) to 127.
        chorus: effect send, 0 (off) to 127.
    """

    soundfont: Path
    transpose: int = 0
    reverb: int = 0
    chorus: int = 0


def soundfont_name(soundfont: Path) -> str:
    """Bank and program, as in "FluidR3_GM/004"."""
    return f"{soundfont.parent.name}/{soundfont.stem}"


def programs_of(instrument: str) -> Programs:
    """What an instrument is; ConfigError that lists the known ones if it is none of them."""
    if instrument not in INSTRUMENTS:
        raise ConfigError(f"instrument '{instrument}' is none of {', '.join(INSTRUMENTS)}")
    return INSTRUMENTS[instrument]


def parts_of(piece: str, tracks: Sequence[Any], instrument: str | None = None) -> list[Part]:
    """Those of a piece's tracks that have notes and, if one is named, are of an instrument.

    Raises:
        ConfigError: for an instrument that is none of `INSTRUMENTS`.
    """
    parts = [Part(piece, number, track) for number, track in enumerate(tracks) if track.notes]
    if instrument is None:
        return parts
    return [part for part in parts if part.program in programs_of(instrument).parts]


def perform(
    part: Part,
    start: float,
    seconds: float,
    sound: Sound,
    sample_rate: int = 22050,
    synthesiser: str = "rustysynth",
) -> NDArray[np.float32]:
    """Play [start, start + seconds) of a part -> (samples,) mono, within full scale ±1.

    Raises:
        ConfigError: for a synthesiser that is not in `SYNTHESISERS`.
        DataError: for a SoundFont that cannot be read.
        DependencyError: where the synthesiser is not installed.
    """
    if synthesiser not in SYNTHESISERS:
        raise ConfigError(f"no synthesiser {synthesiser!r}; choose from {', '.join(SYNTHESISERS)}")
    for volume in (100, 32):
        events = _events(part, start, seconds, sound, volume)
        stereo = SYNTHESISERS[synthesiser](events, _LEAD_IN + seconds, sound.soundfont)
        if np.abs(stereo).max(initial=0.0) < 32000 / 32768:  # louder ones have clipped
            break
    mono = torch.from_numpy(stereo.mean(axis=1))
    mono = F.resample(mono, RATE, sample_rate, lowpass_filter_width=32, rolloff=0.95)
    wave: NDArray[np.float32] = mono.numpy()[round(_LEAD_IN * sample_rate) :]
    wave = wave[: round(seconds * sample_rate)]
    # A cut through a sounding note clicks: 10 ms of fade at either end.
    ramp = np.linspace(0, 1, sample_rate // 100, dtype=np.float32)
    return wave * np.concatenate([ramp, np.ones(len(wave) - 2 * len(ramp), np.float32), ramp[::-1]])


def _events(part: Part, start: float, seconds: float, sound: Sound, volume: int) -> Events:
    """What happens in the lead-in and the passage, in time, all earlier controls first."""
    from mido import Message

    begin, length = start - _LEAD_IN, _LEAD_IN + seconds
    track, on = part.track, channel(sound.soundfont)

    def control(number: int, value: int) -> Any:
        return Message("control_change", channel=on, control=number, value=value)

    # seconds from the lead-in's start, rank among simultaneous ones, message
    events: list[tuple[float, int, Any]] = [
        (0.0, -1, control(number, value))
        for number, value in ((7, volume), (91, sound.reverb), (93, sound.chorus))
    ]
    events += [
        (change.time - begin, 0, control(change.number, change.value))
        for change in track.control_changes
        if change.number not in _IGNORED_CONTROLS
    ]
    events += [
        (bend.time - begin, 0, Message("pitchwheel", channel=on, pitch=bend.pitch))
        for bend in track.pitch_bends
    ]
    for note in track.notes:
        pitch = note.pitch + sound.transpose
        if track.is_drum:
            pitch = _TO_GENERAL_MIDI.get(note.pitch, note.pitch)
        if note.start >= begin and 0 <= pitch <= 127:
            beaten = Message("note_on", channel=on, note=pitch, velocity=note.velocity)
            events.append((note.start - begin, 2, beaten))
            events.append((note.end - begin, 1, Message("note_off", channel=on, note=pitch)))
    # What was set before still holds; the sort is stable, so settings keep their order.
    events = [(max(0.0, time), rank, message) for time, rank, message in events if time < length]
    events.sort(key=lambda event: event[:2])
    return [(time, message) for time, _, message in events]

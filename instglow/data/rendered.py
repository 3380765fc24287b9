"""MIDI files × SoundFonts -> solo recordings of one instrument, where no real ones are at hand.

A prior learns only the timbres that it hears. Therefore a part is cut into passages of 20 to 30
seconds, and each passage is played with a newly drawn SoundFont, program, room and key.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import torchaudio.functional as F
import yaml
from numpy.typing import NDArray

from instglow.errors import ConfigError, DataError, DependencyError

SECONDS = (20.0, 30.0)  # shortest and longest passage
MIN_NOTES = 8  # a passage with fewer is mostly rests
MIN_SOUNDING = 0.5  # share of a passage's 50 ms blocks within 40 dB of its loudest one
DRUM_KIT = 128  # the number that a drum kit's SoundFont file has, beyond the 128 programs
_LEAD_IN = 2.0  # s played before a passage and thrown away: tails and held notes are heard
_MAX_DROPPED = 200  # passages in a row that the gate may refuse before we give up
# Channel volume, pan and effect sends are drawn here; bank selects and resets would undo the choice
# of the SoundFont.
_IGNORED_CONTROLS = {0, 7, 10, 32, 91, 93, *range(120, 128)}
_TO_GENERAL_MIDI = {22: 42, 26: 46, 58: 43}  # rims and hi-hat edges of an electronic kit


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
    # Parts for synth bass (38, 39) are bass lines too, but their sounds belong to no acoustic class.
    "bass": Programs(frozenset(range(32, 40)), tuple(range(32, 38))),
}
_VOICES = {52, 53, 54, 85}
_EFFECTS = set(range(120, 128))
INSTRUMENTS: dict[str, Programs] = {
    **_PITCHED,
    "drums": Programs(frozenset({DRUM_KIT}), (DRUM_KIT,)),
    "other": Programs(
        frozenset(range(128)).difference(_VOICES, _EFFECTS, *(p.parts for p in _PITCHED.values())),
        (40, 42, 48, 52, 56, 61, 65, 68, 73, 80, 81, 88),
        nearest=0.5,
    ),
}


@dataclass(frozen=True)
class Part:
    """One track of a MIDI file: the piece's path, the track's number, a pretty_midi Instrument."""

    piece: str
    number: int
    track: Any

    @property
    def program(self) -> int:
        """General MIDI program from 0, or `DRUM_KIT`."""
        return DRUM_KIT if self.track.is_drum else int(self.track.program)

    def onsets(self, start: float, end: float) -> int:
        """How many notes begin in [start, end) seconds."""
        return sum(start <= note.start < end for note in self.track.notes)


@dataclass(frozen=True)
class Sound:
    """How a part is played: SoundFont file, semitones up, effect sends from 0 (off) to 127."""

    soundfont: Path
    transpose: int = 0
    reverb: int = 0
    chorus: int = 0


def read_parts(midi_dir: Path, piece: str, instrument: str) -> list[Part]:
    """The parts of an instrument in the file `midi_dir`/`piece`; DataError if it is malformed."""
    try:
        import pretty_midi
    except ImportError as error:
        raise _missing("pretty_midi") from error
    wanted = _instrument(instrument).parts
    try:
        tracks = pretty_midi.PrettyMIDI(str(midi_dir / piece)).instruments
    except Exception as error:  # its parser raises whatever a malformed file leads it into
        raise DataError(f"cannot read MIDI file {midi_dir / piece}: {error!r}; repair it") from error
    parts = [Part(piece, number, track) for number, track in enumerate(tracks)]
    return [part for part in parts if part.track.notes and part.program in wanted]


def perform(
    part: Part, start: float, seconds: float, sound: Sound, sample_rate: int = 22050
) -> NDArray[np.float32]:
    """Play [start, start + seconds) of a part -> (samples,) mono, at most full scale ±1."""
    try:
        import fluidsynth
    except ImportError as error:  # pyfluidsynth is there, but not the library: an ImportError too
        raise _missing("pyfluidsynth with the FluidSynth library") from error
    # Samples of 44.1 kHz alias when the synthesiser reads them slower; so it runs at their rate.
    rate = sample_rate * math.ceil(44100 / sample_rate)
    for gain in (0.5, 0.05):
        synth = fluidsynth.Synth(gain=gain, samplerate=float(rate))
        try:
            stereo = _play(synth, _events(part, start, seconds, sound), sound, rate)
        finally:
            synth.delete()
        if np.abs(stereo).max(initial=0.0) < 32000 / 32768:  # louder ones have clipped
            break
    mono = torch.from_numpy(stereo.mean(axis=1))
    mono = F.resample(mono, rate, sample_rate, lowpass_filter_width=32, rolloff=0.95)
    wave = mono.numpy()[round(_LEAD_IN * sample_rate) :][: round(seconds * sample_rate)]
    ramp = np.linspace(0, 1, sample_rate // 100, dtype=np.float32)
    return wave * np.concatenate([ramp, np.ones(len(wave) - 2 * len(ramp), np.float32), ramp[::-1]])


def sounding(wave: NDArray[np.float32], sample_rate: int) -> float:
    """(samples,) -> share of its 50 ms blocks within 40 dB of the loudest; 0 for silence."""
    block = sample_rate // 20
    blocks = wave[: len(wave) // block * block].reshape(-1, block).astype(np.float64)
    energy = (blocks**2).mean(axis=1)
    loudest = energy.max(initial=0.0)
    return float((energy > loudest * 1e-4).mean()) if loudest > 1e-8 else 0.0


def read_split(
    table: Path, midi_dir: Path, soundfont_dir: Path, split: str, instrument: str
) -> tuple[list[str], list[str]]:
    """Pieces and SoundFonts of "train", "dev" or "test" by a table: `pieces`, `banks` of `render`."""
    if split not in ("train", "dev", "test"):
        raise ConfigError(f"split '{split}' is none of train, dev, test")
    _instrument(instrument)
    rules = yaml.safe_load(table.read_text())
    pieces: list[str] = []
    for folder, rule in rules["pieces"].items():
        if instrument not in rule.get("instruments", [instrument]):
            continue
        if "table" in rule:
            with (midi_dir / folder / rule["table"]).open(newline="") as file:
                rows = [r for r in csv.DictReader(file) if r[rule["split"]] == rule["names"][split]]
            pieces += [f"{folder}/{row[rule['file']]}" for row in rows]
        else:
            turn = {rule["test"]: "test", rule["dev"]: "dev"}
            names = enumerate(sorted(_midi_files(midi_dir / folder)))
            chosen = [n for i, n in names if turn.get(i % rule["every"], "train") == split]
            pieces += [f"{folder}/{name}" for name in chosen]
    held = rules.get("banks-of", {}).get(instrument, rules["banks"])
    kept_back = {*held["dev"], *held["test"]}
    names = sorted(path.name for path in soundfont_dir.iterdir() if path.is_dir())
    banks = held[split] if split in held else [name for name in names if name not in kept_back]
    left_out = rules.get("leave-out", {}).get(split, [])
    fonts = [_name(path) for path in find_soundfonts(soundfont_dir, instrument, banks)]
    return pieces, [font for font in fonts if font not in left_out]


def draw_sound(
    part: Part, soundfonts: Sequence[Path], instrument: str, rng: np.random.Generator
) -> Sound:
    """A SoundFont of the instrument, a key up to 3 semitones away, reverb and chorus on or off."""
    keys = _instrument(instrument)
    chosen = list(soundfonts)
    if rng.random() < keys.nearest:
        closest = min(keys.sounds, key=lambda program: abs(program - part.program))
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
    programs = _instrument(instrument).sounds
    folders = sorted(soundfont_dir.iterdir()) if soundfont_dir.is_dir() else []
    files = [folder / f"{program:03}.sf3" for folder in folders for program in programs]
    wanted = [f for f in files if banks is None or f.parent.name in banks or _name(f) in banks]
    if not (found := [path for path in wanted if path.is_file()]):
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
    """
    soundfonts = find_soundfonts(soundfont_dir, instrument, banks)
    names = sorted(_midi_files(midi_dir) if pieces is None else pieces)
    request = {
        "instrument": instrument,
        "seed": seed,
        "sample_rate": sample_rate,
        "soundfonts": [_name(path) for path in soundfonts],
        "pieces": hashlib.sha256("\n".join(names).encode()).hexdigest()[:16],
    }
    manifest = _manifest(out_dir, request)
    done = {entry["number"]: entry for entry in manifest["recordings"]}
    key = [seed, zlib.crc32(instrument.encode())]
    passages = _passages(midi_dir, names, instrument, np.random.default_rng(key), manifest)
    seconds, refused = 0.0, 0
    for number, (part, start, length) in enumerate(passages):
        path = out_dir / f"{number:05}.flac"
        if number not in manifest["dropped"] and not (number in done and path.is_file()):
            rng = np.random.default_rng([*key, number])
            sound = draw_sound(part, soundfonts, instrument, rng)
            peak = 0.9 * 10 ** (-rng.uniform(0, 6) / 20)
            wave = perform(part, start, length, sound, sample_rate)
            if sounding(wave, sample_rate) < MIN_SOUNDING:
                manifest["dropped"].append(number)
            else:
                write_flac(path, wave * (peak / np.abs(wave).max()), sample_rate)
                done[number] = _entry(number, part, start, length, sound, peak)
            manifest["recordings"] = [done[n] for n in sorted(done)]
            _write_json(out_dir / "manifest.json", manifest)
        seconds += done[number]["seconds"] if number in done else 0.0
        refused = 0 if number in done else refused + 1
        if seconds >= 60 * minutes:
            return manifest
        if refused > _MAX_DROPPED:
            break
    raise DataError(
        f"only {seconds / 60:.1f} of {minutes:g} minutes of '{instrument}' in {midi_dir} "
        f"({len(names)} pieces, {len(manifest['skipped'])} malformed) have {MIN_NOTES} notes in "
        f"{SECONDS[0]:g} s and sound; add MIDI files"
    )


def write_flac(path: Path, wave: NDArray[np.float32], sample_rate: int) -> None:
    """(samples,) full scale ±1 -> 16-bit mono FLAC; under its name only once it is complete."""
    partial = path.with_name(f".{path.name}.partial")
    soundfile.write(partial, wave, sample_rate, format="FLAC", subtype="PCM_16")
    partial.replace(path)


def _passages(
    midi_dir: Path,
    pieces: Sequence[str],
    instrument: str,
    rng: np.random.Generator,
    manifest: dict[str, Any],
) -> Iterator[tuple[Part, float, float]]:
    """(part, start, seconds) without end, unless no piece has a passage; notes malformed files."""
    queues: dict[str, deque[str]] = {}
    for index in rng.permutation(len(pieces)):
        queues.setdefault(pieces[index].split("/")[0], deque()).append(pieces[index])
    parts: dict[str, list[Part]] = {}
    waiting: dict[str, list[tuple[Part, float, float]]] = {}
    while any(queues.values()):
        for queue in queues.values():
            while queue:
                piece = queue.popleft()
                if piece not in parts:
                    try:
                        parts[piece] = read_parts(midi_dir, piece, instrument)
                    except DataError as error:
                        manifest["skipped"][piece] = str(error)
                        continue
                if not waiting.get(piece):
                    waiting[piece] = [cut for part in parts[piece] for cut in _cut(part, rng)]
                    rng.shuffle(waiting[piece])
                if waiting[piece]:
                    queue.append(piece)
                    yield waiting[piece].pop()
                    break


def _cut(part: Part, rng: np.random.Generator) -> Iterator[tuple[Part, float, float]]:
    """Passages of a part, each from the onset of a note on, with enough notes; rests are left out."""
    onsets = np.array(sorted(note.start for note in part.track.notes))
    end = float(max(note.end for note in part.track.notes))
    shortest, longest = SECONDS
    time = rng.uniform(0, np.clip(end - onsets[0] - shortest, 0, shortest)) + onsets[0] - 1e-6
    while len(later := onsets[onsets >= time]):
        start = float(later[0])
        seconds = min(rng.uniform(shortest, longest), end - start)
        if seconds >= shortest and part.onsets(start, start + seconds) >= MIN_NOTES:
            yield part, start, seconds
        time = start + seconds


def _events(part: Part, start: float, seconds: float, sound: Sound) -> list[tuple[float, int, Any]]:
    """(seconds from the lead-in's start, order, (method of the synth, two arguments)), in time."""
    begin, end = start - _LEAD_IN, start + seconds
    events: list[tuple[float, int, Any]] = []
    for control in part.track.control_changes:
        if control.number not in _IGNORED_CONTROLS:
            events.append((control.time - begin, 0, ("cc", control.number, control.value)))
    for bend in part.track.pitch_bends:
        events.append((bend.time - begin, 0, ("pitch_bend", bend.pitch)))
    for note in part.track.notes:
        drum = part.track.is_drum
        pitch = _TO_GENERAL_MIDI.get(note.pitch, note.pitch) if drum else note.pitch + sound.transpose
        if begin <= note.start < end and 0 <= pitch <= 127:
            events.append((note.start - begin, 2, ("noteon", pitch, note.velocity)))
            events.append((note.end - begin, 1, ("noteoff", pitch)))
    # What was set before the lead-in still holds; stable, so that controls keep their order.
    events = [(max(0.0, time), order, call) for time, order, call in events]
    return sorted(
        (event for event in events if event[0] < _LEAD_IN + seconds), key=lambda event: event[:2]
    ) + [(_LEAD_IN + seconds, 3, None)]


def _play(
    synth: Any, events: list[tuple[float, int, Any]], sound: Sound, rate: int
) -> NDArray[np.float32]:
    """Events -> (samples, 2) full scale ±1."""
    program = int(sound.soundfont.stem)
    drums = program == DRUM_KIT
    channel = 9 if drums else 0
    font = synth.sfload(str(sound.soundfont))
    preset = (128, 0) if drums else (0, program)
    if font < 0 or synth.program_select(channel, font, *preset) != 0:
        raise DataError(f"no preset {preset} (bank, program) in SoundFont {sound.soundfont}")
    synth.cc(channel, 91, sound.reverb)
    synth.cc(channel, 93, sound.chorus)
    blocks, now = [], 0
    for time, _, call in events:
        if (samples := round(time * rate) - now) > 0:
            blocks.append(synth.get_samples(samples))
            now += samples
        if call is not None:
            getattr(synth, call[0])(channel, *call[1:])
    return np.concatenate(blocks).reshape(-1, 2).astype(np.float32) / 32768


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
    path = out_dir / "manifest.json"
    out_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return {"request": request, "recordings": [], "dropped": [], "skipped": {}}
    manifest: dict[str, Any] = json.loads(path.read_text())
    for name, value in request.items():
        if (before := manifest["request"][name]) != value:
            raise DataError(
                f"{out_dir} was rendered with {name} {before}, now {value} is asked for; "
                "use another folder or remove this one"
            )
    return manifest


def _write_json(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(path)


def _name(soundfont: Path) -> str:
    return f"{soundfont.parent.name}/{soundfont.stem}"


def _midi_files(folder: Path) -> list[str]:
    """Paths of the MIDI files below a folder, relative to it, sorted."""
    files = [p for p in folder.rglob("*") if p.suffix.lower() in (".mid", ".midi")]
    return sorted(path.relative_to(folder).as_posix() for path in files)


def _instrument(name: str) -> Programs:
    if name not in INSTRUMENTS:
        raise ConfigError(f"instrument '{name}' is none of {', '.join(INSTRUMENTS)}")
    return INSTRUMENTS[name]


def _missing(what: str) -> DependencyError:
    return DependencyError(
        f"rendering MIDI needs {what}; pip install 'instglow[render]' and install FluidSynth "
        "(Debian: apt install libfluidsynth3; macOS: brew install fluid-synth)"
    )

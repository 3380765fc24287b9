"""Synthesised singing: the melody is heard, the consonants stay, a seed gives one result."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import pyworld
import soundfile
from scipy.signal import lfilter
from soundfonts import odd_key

from instglow.errors import DataError, DependencyError
from instglow.synthesis import singing
from instglow.synthesis.melodies import COMPASS, Melodies, Note
from instglow.synthesis.singing import sing
from instglow.synthesis.speech import FRAME, Speech, Syllable, analyse
from instglow.synthesis.synthesised import Sung
from instglow.synthesis.vocalist import Singer, lay, pitch_curve, sing_line

RATE = 16000
STEADY = Singer(breath=0.05, vibrato=(5.0, 15.0), glide=0.04)


def formant(wave: np.ndarray, frequency: float, bandwidth: float = 90) -> np.ndarray:
    radius = np.exp(-np.pi * bandwidth / RATE)
    return lfilter(
        [1 - radius], [1, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2], wave
    )


def spoken(syllables: int, pitch: float, seed: int) -> np.ndarray:
    """A burst of noise, then pulses through two formants, so many times."""
    rng = np.random.default_rng(seed)
    parts = [np.zeros(RATE // 5)]
    for _ in range(syllables):
        parts.append(0.05 * rng.standard_normal(int(0.07 * RATE)))
        samples = int(rng.uniform(0.16, 0.24) * RATE)
        f0 = pitch * np.linspace(1.1, 0.9, samples)
        pulses = np.diff(np.floor(np.cumsum(f0) / RATE), prepend=0.0)
        vowel = formant(formant(pulses, rng.uniform(350, 750)), rng.uniform(1000, 2000))
        parts.append(0.3 * vowel / np.abs(vowel).max() * np.hanning(samples) ** 0.5)
    wave = np.concatenate([*parts, np.zeros(RATE // 5)])
    return wave + 1e-4 * rng.standard_normal(len(wave))


@pytest.fixture(scope="module")
def speech() -> Speech:
    return analyse(spoken(12, 120, seed=0), RATE, 22050)


@pytest.fixture
def speech_dir(tmp_path: Path) -> Path:
    for voice, pitch in (("low", 110), ("high", 200)):
        folder = tmp_path / "speech" / voice
        folder.mkdir(parents=True)
        for number in range(2):
            soundfile.write(folder / f"{number}.wav", spoken(8, pitch, seed=number), RATE)
    return tmp_path / "speech"


@pytest.fixture
def short_passages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(singing, "SECONDS", (4.0, 5.0))


def scale(tied: bool = False) -> list[Note]:
    pitches = [48, 50, 52, 55, 53, 60]
    return [Note(0.5 + 0.6 * i, 1.1 + 0.6 * i, p, tied and i == 2) for i, p in enumerate(pitches)]


def test_every_vowel_spoken_is_one_syllable(speech: Speech) -> None:
    assert 11 <= len(speech.syllables) <= 13
    for syllable in speech.syllables:
        assert syllable.start <= syllable.vowel < syllable.coda <= syllable.end


@pytest.mark.parametrize("seed", range(3))
def test_the_fundamental_follows_the_melody(speech: Speech, seed: int) -> None:
    notes = scale()
    wave = sing_line(speech, notes, 4.5, STEADY, np.random.default_rng(seed), 22050)
    f0, times = pyworld.harvest(wave, 22050, f0_floor=70, f0_ceil=600)
    cents = []
    for note in notes:
        settled = (times > note.start + 0.1) & (times < note.end - 0.1) & (f0 > 0)
        assert settled.sum() > 20
        cents.append(1200 * np.log2(f0[settled] / 440) - 100 * (note.pitch - 69))
    assert np.mean(np.abs(np.concatenate(cents)) < 50) > 0.9


def test_consonants_stay_unvoiced_and_the_rest_is_silent(speech: Speech) -> None:
    wave = sing_line(speech, scale(), 4.5, STEADY, np.random.default_rng(0), 22050)
    burst = wave[int(0.39 * 22050) : int(0.44 * 22050)]  # before the first vowel, at 0.5 s
    vowel = wave[int(0.7 * 22050) : int(0.9 * 22050)]
    silence = wave[: int(0.2 * 22050)]
    assert burst.std() > 30 * silence.std()
    crossings = [np.mean(np.diff(np.signbit(part)) != 0) for part in (burst, vowel)]
    assert crossings[0] > 3 * crossings[1]


def test_nothing_is_sung_above_what_was_recorded_but_noise_and_overtones(speech: Speech) -> None:
    wave = sing_line(speech, scale(), 4.5, STEADY, np.random.default_rng(0), 22050)
    power = np.abs(np.fft.rfft(wave)) ** 2
    frequencies = np.fft.rfftfreq(len(wave), 1 / 22050)
    assert power[frequencies > 10500].sum() < 0.01 * power.sum()
    assert power[(frequencies > 8000) & (frequencies < 10000)].sum() > 1e-8 * power.sum()


def test_a_note_starts_with_its_vowel_and_the_consonant_keeps_its_speed() -> None:
    syllables = [Syllable(10, 20, 40, 46), Syllable(50, 64, 80, 90)]
    notes = [Note(0.5, 1.5, 60), Note(1.5, 2.5, 62)]
    source = lay(notes, syllables, int(3 / FRAME))
    begin, second = int(0.5 / FRAME), int(1.5 / FRAME)
    np.testing.assert_allclose(source[begin - 10 : begin], np.arange(10, 20))
    np.testing.assert_allclose(source[second - 14 : second], np.arange(50, 64))
    assert source[begin] == 20
    assert source[second] == 64
    assert (source[: begin - 10] == -1).all()
    assert (source[int(2.5 / FRAME) :] == -1).all()


def test_a_tied_note_goes_on_with_the_vowel() -> None:
    syllables = [Syllable(10, 20, 40, 46), Syllable(50, 64, 80, 90)]
    source = lay([Note(0.5, 1.0, 60), Note(1.0, 1.5, 62, tied=True)], syllables, int(2 / FRAME))
    sung = source[source >= 0]
    assert (np.diff(sung) >= 0).all()
    assert sung.max() < 46


def test_notes_shorter_than_their_consonants_are_still_in_order() -> None:
    syllables = [Syllable(100 * i, 100 * i + 30, 100 * i + 40, 100 * i + 70) for i in range(20)]
    notes = [Note(0.1 * i, 0.1 * (i + 1), 60) for i in range(20)]
    sung = lay(notes, syllables, int(2.5 / FRAME))
    assert (np.diff(sung[sung >= 0]) >= 0).all()


def test_vibrato_sets_in_late() -> None:
    singer = Singer(vibrato=(5.5, 60.0))
    f0 = pitch_curve([Note(0, 3, 60)], int(3 / FRAME), singer, np.random.default_rng(0))
    cents = 1200 * np.log2(f0 / 261.63)
    assert cents[int(1 / FRAME) :].std() > 2 * cents[int(0.05 / FRAME) : int(0.25 / FRAME)].std()


@pytest.mark.parametrize("seed", range(20))
def test_walks_can_be_sung(seed: int) -> None:
    check_melody(Melodies(None).draw(10, 57, np.random.default_rng(seed)), 10, 57)


@pytest.mark.parametrize("seed", range(20))
def test_melodies_of_midi_files_can_be_sung(tmp_path: Path, seed: int) -> None:
    write_midi(tmp_path / "a.mid")
    (tmp_path / "damaged.mid").write_bytes(b"MThd nothing")
    melodies = Melodies(tmp_path)
    assert melodies.names == ["a.mid", "damaged.mid"]
    check_melody(melodies.draw(10, 57, np.random.default_rng(seed)), 10, 57)


def check_melody(notes: list[Note], seconds: float, middle: float) -> None:
    assert notes
    assert not notes[0].tied
    assert all(note.end - note.start > 0.05 for note in notes)
    assert all(a.end <= b.start + 1e-6 for a, b in pairwise(notes))
    assert notes[-1].end <= seconds
    assert all(abs(note.pitch - middle) < COMPASS + 1 for note in notes)
    assert sum(note.end - note.start for note in notes) > 0.4 * seconds


def write_midi(path: Path) -> None:
    midi, lead = pretty_midi.PrettyMIDI(), pretty_midi.Instrument(program=80)
    for i in range(40):
        for pitch in (60 + i % 7, 48):
            lead.notes.append(pretty_midi.Note(90, pitch, 0.25 * i, 0.25 * i + 0.2))
    midi.instruments.append(lead)
    midi.write(str(path))


@pytest.mark.usefixtures("short_passages")
def test_a_seed_gives_one_result_and_an_interrupted_run_goes_on(
    speech_dir: Path, tmp_path: Path
) -> None:
    whole = sing(speech_dir, None, tmp_path / "whole", 0.2, seed=3)
    assert [path.name for path in whole] == ["00000.flac", "00001.flac", "00002.flac"]
    begun = sing(speech_dir, None, tmp_path / "begun", 0.05, seed=3)
    written = begun[0].stat().st_mtime_ns
    (tmp_path / "begun" / ".00001.flac.part").write_bytes(b"killed here")
    resumed = sing(speech_dir, None, tmp_path / "begun", 0.2, seed=3)
    assert resumed[0].stat().st_mtime_ns == written
    assert [p.read_bytes() for p in resumed] == [p.read_bytes() for p in whole]
    texts = [(tmp_path / name / "manifest.json").read_text() for name in ("whole", "begun")]
    assert texts[0] == texts[1]
    assert not list((tmp_path / "begun").glob(".*.part"))
    other = sing(speech_dir, None, tmp_path / "other", 0.05, seed=4)
    assert other[0].read_bytes() != whole[0].read_bytes()


@pytest.mark.usefixtures("short_passages")
def test_an_odd_key_signature_does_not_end_the_singing(
    speech_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd_key(tmp_path / "midi" / "odd.mid")
    assert len(sing(speech_dir, tmp_path / "midi", tmp_path / "out", 0.01, seed=0)) == 1
    said = capsys.readouterr().err
    assert "passed over 1 of 1 MIDI files" in said
    assert "odd.mid (KeySignatureError" in said


@pytest.mark.usefixtures("short_passages")
def test_passages_are_16_bit_mono_and_the_manifest_names_the_voice(
    speech_dir: Path, tmp_path: Path
) -> None:
    for path in sing(speech_dir, None, tmp_path / "out", 0.2, seed=0, sample_rate=16000):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        entry = json.loads((path.parent / "manifest.json").read_text())["passages"][path.name]
        assert entry["seconds"] == pytest.approx(info.duration, abs=1e-3)
        assert entry["voice"] in {"low", "high"}
        assert 0.9 * 10 ** (-6 / 20) - 1e-3 <= np.abs(soundfile.read(path)[0]).max() <= 0.9 + 1e-3


def test_errors_say_what_to_do(speech_dir: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"empty holds no speech; put \.wav or \.flac"):
        sing(empty, None, tmp_path / "out", 0.1, seed=0)
    with pytest.raises(DataError, match=r"empty holds no MIDI file; put \.mid files there"):
        sing(speech_dir, empty, tmp_path / "out", 0.1, seed=0)
    with pytest.raises(DataError, match=r"has no 'b\.mid'; choose from its 0 files"):
        sing(speech_dir, empty, tmp_path / "out", 0.1, seed=0, pieces=["b.mid"])
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("short_passages")
def test_singing_made_otherwise_is_not_mixed(speech_dir: Path, tmp_path: Path) -> None:
    sing(speech_dir, None, tmp_path / "out", 0.01, seed=0)
    with pytest.raises(DataError, match=r"was made with seed 0, asked for is 1; use another"):
        sing(speech_dir, None, tmp_path / "out", 0.01, seed=1)
    (tmp_path / "out" / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"manifest\.json is damaged \("):
        sing(speech_dir, None, tmp_path / "out", 0.01, seed=0)


def test_silence_is_no_speech(tmp_path: Path) -> None:
    folder = tmp_path / "speech"
    folder.mkdir()
    soundfile.write(folder / "0.wav", np.zeros(RATE), RATE)
    with pytest.raises(DataError, match="no syllable in the 1 recordings of"):
        sing(folder, None, tmp_path / "out", 0.1, seed=0)


def test_a_missing_vocoder_is_named(
    speech_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyworld", None)
    with pytest.raises(DependencyError, match=r"pyworld: pip install 'instglow\[render\]'"):
        sing(speech_dir, None, tmp_path / "out", 0.1, seed=0)


@pytest.mark.usefixtures("short_passages")
def test_pieces_that_are_kept_back_are_not_sung_in_training(
    speech_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "midi" / "songs").mkdir(parents=True)
    for name in "abc":
        write_midi(tmp_path / "midi" / "songs" / f"{name}.mid")
    (tmp_path / "split.yaml").write_text(
        "pieces: {songs: {every: 3, test: 0, dev: 1}}\nbanks: {dev: [], test: []}\n"
    )
    (speech_dir / "low").rename(speech_dir / "train")
    source = Sung(
        str(speech_dir),
        str(tmp_path / "out"),
        midi=str(tmp_path / "midi"),
        minutes=0.01,
        split=str(tmp_path / "split.yaml"),
    )
    assert len(list(source.recordings("train", RATE))) == 1
    manifest = json.loads((tmp_path / "out" / "vocals" / "train" / "manifest.json").read_text())
    assert manifest["settings"]["pieces"] == ["songs/c.mid"]

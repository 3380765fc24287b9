"""What holds of every synthesiser, and of SoundFonts in either format."""

import importlib.util

import mido
import numpy as np
import pretty_midi
import pytest
from soundfonts import tone, write_soundfont

from instglow.errors import DataError
from instglow.synthesis import synthesisers
from instglow.synthesis.performance import Part, Sound, perform
from instglow.synthesis.soundfont import SoundFont
from instglow.synthesis.synthesisers import RATE, SYNTHESISERS


def installed(name: str) -> bool:
    try:
        return name != "fluidsynth" or bool(importlib.import_module("fluidsynth"))
    except ImportError:  # of the package, or of the library that it looks for
        return False


every = pytest.mark.parametrize("play", [name for name in SYNTHESISERS if installed(name)])


def played(font, play, pitch=69, velocity=100, seconds=1.0, held=0.8, **settings):
    part = pretty_midi.Instrument(0, is_drum=font.stem == "128")
    part.notes = [pretty_midi.Note(velocity, pitch, 0.0, held)]
    return perform(Part("p", 0, part), 0.0, seconds, Sound(font, **settings), 22050, play)


def level(wave):
    return 20 * np.log10(np.sqrt(np.mean(wave**2)) + 1e-9)


def frequency(wave):
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 1 << 18))
    return np.argmax(power) * 22050 / (1 << 18)


@every
@pytest.mark.parametrize("ending", ["sf2", "sf3"])
def test_pitch_level_decay_and_length(tmp_path, play, ending):
    font = write_soundfont(tmp_path / f"000.{ending}", tone(decay=0.4))
    wave = played(font, play)
    assert len(wave) == 22050
    assert frequency(wave) == pytest.approx(440, rel=2e-3)
    assert frequency(played(font, play, pitch=76)) == pytest.approx(659.26, rel=2e-3)
    early, late = wave[2205:6615], wave[6615:11025]  # 0.2 s apart
    assert level(early) - level(late) == pytest.approx(8.7 * 0.2 / 0.4, abs=0.3)
    softer = level(wave) - level(played(font, play, velocity=50))
    assert 6 < softer < 14  # 40 log10(100 / 50) = 12 dB in the standard's curve
    assert level(wave[-1102:-300]) < level(wave) - 30  # the key is up


@every
def test_loud_parts_do_not_clip(tmp_path, play):
    square = np.sign(tone().astype(np.float64)) * 32767
    font = write_soundfont(tmp_path / "000.sf2", square.astype(np.int16))
    part = pretty_midi.Instrument(0)
    part.notes = [pretty_midi.Note(127, 69, 0.0, 0.8) for _ in range(12)]
    part.notes += [pretty_midi.Note(127, 57 + n, 0.0, 0.8) for n in range(12)]
    wave = perform(Part("p", 0, part), 0.0, 0.5, Sound(font), 22050, play)
    assert 0 < np.abs(wave).max() < 0.99


@every
def test_drums_are_played_with_the_kit(tmp_path, play):
    font = write_soundfont(tmp_path / "128.sf3")
    assert frequency(played(font, play)) == pytest.approx(440, rel=2e-3)


@pytest.mark.parametrize("ending", ["sf2", "sf3"])
@pytest.mark.parametrize("loop", [(0, 0), (300, 200), (200, 1 << 20)])
def test_a_loop_that_is_none_is_not_played(tmp_path, ending, loop):
    wave = tone(seconds=0.2, decay=9.0)
    font = write_soundfont(tmp_path / f"000.{ending}", wave, loop=loop)
    heard = played(font, "rustysynth")
    assert level(heard[1000:3000]) > -40
    assert level(heard[6000:17000]) < -80  # the key is still down


@every
def test_reverberation_is_heard_after_the_note(tmp_path, play):
    font = write_soundfont(tmp_path / "000.sf3", tone(seconds=0.2))
    dry, wet = (played(font, play, reverb=amount, held=0.1)[-4410:] for amount in (0, 120))
    assert level(wet) > level(dry) + 10


@every
def test_a_soundfont_that_cannot_be_played_is_named(tmp_path, play):
    wrong = write_soundfont(tmp_path / "005.sf3", program=3)
    with pytest.raises(DataError, match=r"005\.sf3 cannot be read or has no preset 5 in bank 0"):
        played(wrong, play)


def test_chunks_without_their_padding_are_found(tmp_path):
    fonts = [
        SoundFont.read(write_soundfont(tmp_path / f"{padded}" / "000.sf3", padded=padded))
        for padded in (True, False)
    ]
    assert fonts[0] == fonts[1]
    assert fonts[0].presets == {(0, 0)}


@pytest.mark.parametrize("ending", ["sf2", "sf3"])
def test_a_damaged_soundfont_is_named(tmp_path, ending):
    font = write_soundfont(tmp_path / f"000.{ending}")
    whole = font.read_bytes()
    for content in (b"", whole[:40], whole[: len(whole) // 2], whole[:-20], b"RIFX" + whole[4:]):
        font.write_bytes(content)
        with pytest.raises(DataError, match=r"cannot read SoundFont .*000\.sf\d: .*; replace or"):
            SoundFont.read(font)


def test_a_panic_is_the_soundfonts_and_an_interrupt_the_users(tmp_path, monkeypatch):
    font = write_soundfont(tmp_path / "000.sf3")
    panic = type("PanicException", (BaseException,), {})("index out of bounds")
    for raised, expected, words in (
        (panic, DataError, r"cannot play SoundFont .*000\.sf3: index out of bounds"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ):

        def fail(*arguments, raised=raised):
            raise raised

        monkeypatch.setattr("midirenderer.render_wave_from", fail)
        with pytest.raises(expected, match=words):
            synthesisers.rustysynth([], 0.1, font)


def test_what_is_played_lasts_as_long_as_asked(tmp_path):
    font = write_soundfont(tmp_path / "000.sf3")
    on = mido.Message("note_on", note=69, velocity=90)
    for seconds in (0.25, 1.0):
        assert synthesisers.rustysynth([(0.1, on)], seconds, font).shape == (seconds * RATE, 2)

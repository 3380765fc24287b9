import json
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile
from soundfonts import odd_key, write_soundfont

from instglow.errors import ConfigError, DataError, DependencyError, OutputError
from instglow.synthesis import rendered
from instglow.synthesis.performance import INSTRUMENTS, Part, Sound, parts_of, perform
from instglow.synthesis.pieces import Pieces, read_midi
from instglow.synthesis.rendered import MIN_NOTES, draw_sound, find_soundfonts, render, sounding
from instglow.synthesis.split import SPLITS, read_split

TABLE = Path(__file__).resolve().parents[2] / "configs" / "rendered-split.yaml"
RATE = 22050


def track(program: int, pitches: list[int], seconds: float = 0.5, drums: bool = False):
    part = pretty_midi.Instrument(program, is_drum=drums)
    part.notes = [
        pretty_midi.Note(100, pitch, number * seconds, (number + 0.9) * seconds)
        for number, pitch in enumerate(pitches)
    ]
    return part


def write_midi(path: Path, *tracks) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    song = pretty_midi.PrettyMIDI()
    song.instruments.extend(tracks)
    song.write(str(path))


@pytest.fixture
def midi(tmp_path):
    folder = tmp_path / "midi"
    scale = [60, 62, 64, 65, 67, 69, 71, 72] * 15  # 60 s
    write_midi(folder / "songs" / "a.mid", track(0, scale), track(33, [n - 24 for n in scale]))
    write_midi(
        folder / "songs" / "b.mid", track(1, scale[::-1]), track(0, [36, 38] * 60, drums=True)
    )
    (folder / "songs" / "torn.mid").write_bytes(b"MThd\x00\x00")
    odd_key(folder / "songs" / "odd key.mid")
    return folder


@pytest.fixture
def one_bank(tmp_path):
    """A folder with a single bank of pianos, so that what is drawn is known."""
    write_soundfont(tmp_path / "fonts" / "bank" / "000.sf3")
    return tmp_path / "fonts"


@pytest.fixture
def short_passages(monkeypatch):
    monkeypatch.setattr(rendered, "SECONDS", (5.0, 7.0))


def audio(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.flac"))}


@pytest.mark.usefixtures("short_passages")
def test_the_same_seed_gives_the_same_recordings_and_another_seed_others(midi, one_bank, tmp_path):
    for name, seed in (("first", 3), ("again", 3), ("else", 4)):
        render("piano", midi, one_bank, tmp_path / name, minutes=0.2, seed=seed)
    assert audio(tmp_path / "first") == audio(tmp_path / "again") != {}
    assert audio(tmp_path / "first") != audio(tmp_path / "else")


def test_recordings_are_16_bit_mono_within_their_level_and_as_the_manifest_says(
    midi, one_bank, tmp_path, capsys
):
    manifest = render("piano", midi, one_bank, tmp_path / "out", minutes=0.7, seed=0)
    assert manifest == json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert sorted(manifest["skipped"]) == ["songs/odd key.mid", "songs/torn.mid"]
    assert sum(entry["seconds"] for entry in manifest["recordings"]) >= 0.7 * 60
    said = capsys.readouterr().err
    assert "passed over 2 of 4 MIDI files" in said
    assert "songs/odd key.mid (KeySignatureError" in said
    assert {entry["piece"] for entry in manifest["recordings"]} == {"songs/a.mid", "songs/b.mid"}
    for entry in manifest["recordings"]:
        path = tmp_path / "out" / f"{entry['number']:05}.flac"
        wave, rate = soundfile.read(path)
        assert (wave.ndim, rate, soundfile.info(path).subtype) == (1, RATE, "PCM_16")
        assert len(wave) / rate == pytest.approx(entry["seconds"], abs=0.01)
        assert 20 <= entry["seconds"] <= 30
        assert np.abs(wave).max() == pytest.approx(entry["peak"], abs=1e-3)
        assert 0.45 <= entry["peak"] <= 0.9


@pytest.mark.usefixtures("short_passages")
def test_a_longer_call_keeps_what_is_there_and_equals_one_long_call(midi, one_bank, tmp_path):
    render("piano", midi, one_bank, tmp_path / "grown", minutes=0.08, seed=0)
    first = next((tmp_path / "grown").glob("*.flac"))
    before = first.stat().st_mtime_ns
    grown = render("piano", midi, one_bank, tmp_path / "grown", minutes=0.4, seed=0)
    assert first.stat().st_mtime_ns == before
    assert grown == render("piano", midi, one_bank, tmp_path / "once", minutes=0.4, seed=0)
    assert audio(tmp_path / "grown") == audio(tmp_path / "once")

    first.unlink()  # as an interrupted call leaves it
    render("piano", midi, one_bank, tmp_path / "grown", minutes=0.4, seed=0)
    assert audio(tmp_path / "grown") == audio(tmp_path / "once")
    assert not list((tmp_path / "grown").glob(".*"))


def test_recordings_of_before_there_was_a_choice_are_fluidsynths(midi, one_bank, tmp_path):
    render("piano", midi, one_bank, tmp_path / "out", minutes=0.1, seed=0)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    del manifest["request"]["synthesiser"]
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="with synthesiser 'fluidsynth', asked for is 'rustysynth'"):
        render("piano", midi, one_bank, tmp_path / "out", minutes=0.1, seed=0)


def test_a_folder_is_not_mixed_with_another_request(midi, one_bank, tmp_path):
    render("piano", midi, one_bank, tmp_path / "out", minutes=0.1, seed=0)
    with pytest.raises(DataError, match="was made with seed 0, asked for is 1; use another"):
        render("piano", midi, one_bank, tmp_path / "out", minutes=0.1, seed=1)


@pytest.mark.parametrize("text", ["", "[]", '{"request": {}}'])
def test_a_damaged_manifest_is_named(midi, one_bank, tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json is damaged \(.*\); remove "):
        render("piano", midi, one_bank, tmp_path, minutes=0.1, seed=0)


def test_a_folder_that_cannot_be_made_is_refused(midi, one_bank, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        OutputError, match=r"cannot write .*file/out \(Not a directory\); make room"
    ):
        render("piano", midi, one_bank, tmp_path / "file" / "out", minutes=0.1, seed=0)


@pytest.mark.parametrize("minutes", [0, -1, math.nan, math.inf])
def test_minutes_that_come_to_no_end_or_to_nothing_are_refused(midi, one_bank, tmp_path, minutes):
    with pytest.raises(ConfigError, match="minutes of recordings must be above 0 and finite, got"):
        render("piano", midi, one_bank, tmp_path, minutes=minutes, seed=0)


def test_transposition_moves_the_pitch_and_leaves_drums_alone(one_bank):
    font = one_bank / "bank" / "000.sf3"

    def pitch(semitones: int) -> float:
        part = Part("p", 0, track(0, [69]))
        wave = perform(part, 0.0, 0.5, Sound(font, transpose=semitones), RATE)
        power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 1 << 17))
        return float(np.argmax(power) * RATE / (1 << 17))

    assert 12 * np.log2(pitch(3) / pitch(0)) == pytest.approx(3, abs=0.1)
    assert pitch(0) == pytest.approx(440, rel=0.01)

    rng = np.random.default_rng(0)
    drums = Part("p", 0, track(0, [36], drums=True))
    piano = Part("p", 0, track(0, [60]))
    assert {draw_sound(drums, [font], "drums", rng).transpose for _ in range(50)} == {0}
    assert {draw_sound(piano, [font], "piano", rng).transpose for _ in range(200)} == {
        *range(-3, 4)
    }


def test_a_note_held_into_the_passage_is_heard_and_the_ends_do_not_click(one_bank):
    font = one_bank / "bank" / "000.sf3"
    part = Part("p", 0, track(0, [60], seconds=4.0))
    wave = perform(part, 0.3, 1.0, Sound(font), RATE)  # 0.3 s after its onset
    assert len(wave) == RATE
    assert wave[0] == wave[-1] == 0
    assert np.abs(wave[:4410]).max() > 1e-3


def test_a_soundfont_without_its_preset_is_named(one_bank):
    wrong = one_bank / "bank" / "005.sf3"
    wrong.symlink_to(one_bank / "bank" / "000.sf3")
    with pytest.raises(DataError, match=r"005\.sf3 cannot be read or has no preset 5 in bank 0"):
        perform(Part("p", 0, track(0, [60])), 0.0, 0.5, Sound(wrong), RATE)


def test_the_gate_measures_the_share_of_time_with_sound():
    tone = np.sin(np.arange(4 * RATE) * 0.1).astype(np.float32)
    assert sounding(tone, RATE) == 1
    assert sounding(np.zeros(RATE, np.float32), RATE) == 0
    quarter = np.where(np.arange(4 * RATE) < RATE, tone, 0.001 * tone)
    assert sounding(quarter, RATE) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    "tracks", [[(0, [60] * (MIN_NOTES - 1), 3.0)], [(0, [60] * 20, 0.5)]], ids=["sparse", "short"]
)
def test_sparse_and_short_parts_give_no_passage(tmp_path, tracks):
    write_midi(tmp_path / "midi" / "a.mid", *[track(*arguments) for arguments in tracks])
    (tmp_path / "fonts" / "bank").mkdir(parents=True)
    (tmp_path / "fonts" / "bank" / "000.sf3").touch()
    with pytest.raises(DataError, match=r"only 0.0 of 1 minutes of 'piano' in .* add MIDI files"):
        render("piano", tmp_path / "midi", tmp_path / "fonts", tmp_path / "out", 1, 0)


def test_every_part_belongs_to_one_instrument_and_voices_to_none(midi):
    # strings are taken out of the other ones
    apart = {name: programs for name, programs in INSTRUMENTS.items() if name != "strings"}
    assert INSTRUMENTS["strings"].parts < INSTRUMENTS["other"].parts
    owners = Counter(p for programs in apart.values() for p in programs.parts)
    assert set(owners.values()) == {1}
    assert not {52, 53, 54, 85} & set(owners)
    pieces = Pieces(midi)
    two, one = ((name, pieces.tracks(name)) for name in ("songs/b.mid", "songs/a.mid"))
    assert [part.number for part in parts_of(*two, "drums")] == [1]
    assert [part.program for part in parts_of(*one)] == [0, 33]


@pytest.fixture
def collection(tmp_path):
    """Twenty freedoom pieces, three groove performances and four banks, all of them empty files."""
    for number in range(20):
        path = tmp_path / "midi" / "freedoom" / f"d_{number:02}.mid"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    groove = tmp_path / "midi" / "groove"
    groove.mkdir()
    rows = "".join(f"{split}.mid,{split}\n" for split in ("train", "validation", "test"))
    (groove / "info.csv").write_text("midi_filename,split\n" + rows)
    held = ("FluidR3_GM", "Live_HQ_Natural_SoundFont_GM_V2.5.1", "Alexs_gm_v1.3", "Airfont_330")
    for bank in held:
        for program in (0, 4, 33, 128):
            path = tmp_path / "fonts" / bank / f"{program:03}.sf3"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return tmp_path


@pytest.mark.parametrize("instrument", ["piano", "bass", "drums"])
def test_no_piece_and_no_soundfont_is_in_two_splits(collection, instrument):
    halves = [
        read_split(TABLE, collection / "midi", collection / "fonts", split, instrument)
        for split in SPLITS
    ]
    for kind in (0, 1):
        every = [name for half in halves for name in half[kind]]
        assert len(every) == len(set(every))
        assert all(half[kind] for half in halves)
    assert sum(len(half[0]) for half in halves) == (23 if instrument == "drums" else 20)


def test_the_split_rule(collection):
    def pieces(split: str, instrument: str = "drums") -> list[str]:
        return read_split(TABLE, collection / "midi", collection / "fonts", split, instrument)[0]

    assert pieces("test") == [*(f"freedoom/d_{n:02}.mid" for n in (0, 8, 16)), "groove/test.mid"]
    assert pieces("dev") == [
        *(f"freedoom/d_{n:02}.mid" for n in (1, 9, 17)),
        "groove/validation.mid",
    ]
    singing = read_split(TABLE, collection / "midi", None, "dev", "vocals")
    assert singing == (pieces("dev", "bass"), [])
    assert pieces("dev", "bass") == [f"freedoom/d_{n:02}.mid" for n in (1, 9, 17)]
    _, fonts = read_split(TABLE, collection / "midi", collection / "fonts", "train", "piano")
    # Airfont_330/004 has the samples of a test bank.
    assert fonts == ["Airfont_330/000", "Alexs_gm_v1.3/000", "Alexs_gm_v1.3/004"]
    _, fonts = read_split(TABLE, collection / "midi", collection / "fonts", "dev", "drums")
    assert fonts == ["Alexs_gm_v1.3/128"]


def test_a_bank_or_a_single_soundfont_can_be_named(collection):
    def names(banks: list[str] | None) -> list[str]:
        found = find_soundfonts(collection / "fonts", "piano", banks)
        return [f"{path.parent.name}/{path.stem}" for path in found]

    assert names(["FluidR3_GM"]) == ["FluidR3_GM/000", "FluidR3_GM/004"]
    assert names(["FluidR3_GM/004"]) == ["FluidR3_GM/004"]
    assert len(names(None)) == 8


def test_mistakes_are_named(collection, midi, tmp_path, monkeypatch):
    fonts = collection / "fonts"
    with pytest.raises(ConfigError, match="'kazoo' is none of piano, guitar, bass, drums, other"):
        render("kazoo", midi, fonts, tmp_path / "out", 1, 0)
    with pytest.raises(
        DataError, match=r"no SoundFont <bank>/NNN.sf3 of 'guitar' in .* add a bank"
    ):
        render("guitar", midi, fonts, tmp_path / "out", 1, 0)
    with pytest.raises(DataError, match=r"of 'piano' in .* \(Casio\); add a bank"):
        render("piano", midi, fonts, tmp_path / "out", 1, 0, banks=["Casio"])
    with pytest.raises(ConfigError, match="split 'exam' is none of train, dev, test"):
        read_split(TABLE, collection / "midi", fonts, "exam", "piano")
    with pytest.raises(DataError, match="cannot read the split"):
        read_split(tmp_path / "none.yaml", collection / "midi", fonts, "dev", "piano")
    (tmp_path / "odd.yaml").write_text("pieces: 3\n")
    with pytest.raises(ConfigError, match="is no table of splits"):
        read_split(tmp_path / "odd.yaml", collection / "midi", fonts, "dev", "piano")
    with pytest.raises(DataError, match=r"cannot read MIDI file .*torn\.mid"):
        read_midi(midi / "songs" / "torn.mid")
    monkeypatch.setitem(sys.modules, "midirenderer", None)
    with pytest.raises(DependencyError, match=r"midirenderer: pip install 'instglow\[render\]'"):
        render("piano", midi, fonts, tmp_path / "out", 1, 0)
    monkeypatch.setitem(sys.modules, "fluidsynth", None)
    with pytest.raises(DependencyError, match=r"FluidSynth library .*; 'rustysynth' needs none"):
        render("piano", midi, fonts, tmp_path / "else", 1, 0, synthesiser="fluidsynth")
    with pytest.raises(ConfigError, match="'casio'; choose from rustysynth, fluidsynth"):
        render("piano", midi, fonts, tmp_path / "other", 1, 0, synthesiser="casio")
    monkeypatch.setitem(sys.modules, "pretty_midi", None)
    with pytest.raises(DependencyError, match="needs pretty_midi"):
        render("piano", midi, fonts, tmp_path / "out", 1, 0)

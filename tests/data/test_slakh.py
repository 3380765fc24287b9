import re

import pytest
import soundfile
import torch
import yaml

from instglow.data.slakh import SlakhInstrument, slakh_songs
from instglow.errors import DataError

RATE = 8000
TRACK = {  # stem -> class and constant value; a multiple of 1/64 is exact in 16 bits
    "S00": ("Bass", 1 / 64),
    "S01": ("Drums", 2 / 64),
    "S02": ("Guitar", 4 / 64),
    "S03": ("Guitar", 8 / 64),
    "S04": ("Strings (continued)", 16 / 64),
    "S05": ("Piano", 0.0),
}


def make_track(folder, stems=None, suffix="flac"):
    stems = TRACK if stems is None else stems
    (folder / "stems").mkdir(parents=True)
    metadata = {
        name: {"inst_class": kind, "is_drum": kind == "Drums", "audio_rendered": True}
        for name, (kind, _) in stems.items()
    }
    (folder / "metadata.yaml").write_text(yaml.safe_dump({"UUID": "0", "stems": metadata}))
    for name, (_, value) in stems.items():
        wave = torch.full((2 * RATE,), value).numpy()
        soundfile.write(folder / "stems" / f"{name}.{suffix}", wave, RATE)
    soundfile.write(folder / f"mix.{suffix}", torch.full((2 * RATE,), 0.9).numpy(), RATE)


def edit(folder, name, **changes):
    path = folder / "metadata.yaml"
    metadata = yaml.safe_load(path.read_text())
    metadata["stems"][name].update(changes)
    path.write_text(yaml.safe_dump(metadata))


@pytest.fixture
def track(tmp_path):
    folder = tmp_path / "test" / "Track01877"
    make_track(folder)
    return folder


@pytest.mark.parametrize("suffix", ["flac", "wav"])
def test_sub_mixes_by_class_and_their_sum(tmp_path, suffix):
    make_track(tmp_path / "test" / "Track01877", suffix=suffix)
    make_track(tmp_path / "train" / "Track00001", suffix=suffix)
    songs = slakh_songs(tmp_path)
    assert (songs.name, songs.skipped) == ("Slakh2100 test", {})
    (song,) = songs.songs
    assert (song.name, song.sample_rate, song.samples) == ("Track01877", RATE, 2 * RATE)
    assert song.stems == ("bass", "drums", "guitar", "piano")
    excerpt = song.read(RATE, 100)
    values = {"bass": 1 / 64, "drums": 2 / 64, "guitar": 12 / 64, "piano": 0.0}  # no strings
    for stem, value in values.items():
        torch.testing.assert_close(excerpt.stems[stem], torch.full((1, 100), value))
    torch.testing.assert_close(excerpt.mixture, torch.full((1, 100), 15 / 64))


def test_the_folder_of_a_split_itself(tmp_path, track):
    songs = slakh_songs(track.parent, "train")
    assert songs.name == "Slakh2100 test"
    assert [song.name for song in songs.songs] == ["Track01877"]


def test_stems_that_were_never_rendered_are_absent(tmp_path, track):
    for name in ("S00", "S02"):
        (track / "stems" / f"{name}.flac").unlink()
        edit(track, name, audio_rendered=False)
    songs = slakh_songs(tmp_path)
    assert songs.skipped == {}
    (song,) = songs.songs
    assert song.stems == ("drums", "guitar", "piano")
    torch.testing.assert_close(song.read(0, 1).stems["guitar"], torch.full((1, 1), 8 / 64))


def test_babyslakh_says_of_no_stem_that_it_was_rendered(tmp_path, track):
    """What was rendered has a loudness there; its missing file is not silence."""
    for name in TRACK:
        edit(track, name, audio_rendered=False, integrated_loudness=-21.5)
    make_track(track.with_name("Track01878"))
    (track / "stems" / "S03.flac").unlink()
    songs = slakh_songs(tmp_path)
    assert [song.name for song in songs.songs] == ["Track01878"]
    assert "stems/S03 (guitar) is neither there" in songs.skipped["Track01877"]


@pytest.mark.parametrize("said", [True, False])
def test_a_stem_that_ought_to_be_there_leaves_the_song_out(tmp_path, track, said):
    make_track(track.with_name("Track01878"))
    if not said:
        metadata = (track / "metadata.yaml").read_text()
        (track / "metadata.yaml").write_text(metadata.replace("audio_rendered", "unknown"))
    (track / "stems" / "S03.flac").unlink()
    songs = slakh_songs(tmp_path)
    assert [song.name for song in songs.songs] == ["Track01878"]
    reason = "stems/S03 (guitar) is neither there as flac nor as wav"
    assert songs.skipped == {"Track01877": reason}


def test_a_missing_stem_of_a_class_that_is_dropped_does_not_matter(tmp_path, track):
    (track / "stems" / "S04.flac").unlink()
    assert slakh_songs(tmp_path).skipped == {}


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (b"stems:\n  S00: {inst_class: Bass", r"metadata.yaml: not YAML, line \d"),
        (b"stems: \xff\xfe", "metadata.yaml: not YAML"),
        (b"", "metadata.yaml: not a list of stems"),
        (b"stems: 3", "metadata.yaml: not a list of stems"),
        (b"stems: {S00: {is_drum: false}}", "metadata.yaml: not a list of stems"),
        (b"stems: {S00: {inst_class: Organ}}", "none of its stems is bass, drums, guitar, piano"),
        (None, "metadata.yaml: No such file"),
    ],
)
def test_broken_metadata_leaves_the_song_out(tmp_path, track, metadata, reason):
    make_track(track.with_name("Track01878"))
    (track / "metadata.yaml").unlink()
    if metadata is not None:
        (track / "metadata.yaml").write_bytes(metadata)
    songs = slakh_songs(tmp_path)
    assert [song.name for song in songs.songs] == ["Track01878"]
    assert re.match(reason, songs.skipped["Track01877"])
    assert "\n" not in songs.skipped["Track01877"]


def test_no_slakh(tmp_path):
    with pytest.raises(DataError, match="looked for validation/TrackNNNNN and TrackNNNNN"):
        slakh_songs(tmp_path, "validation")


def levels(source: SlakhInstrument) -> list[list[int]]:
    recordings = source.recordings("train", RATE)
    return [recording.decoded(RATE).wave.unique().tolist() for recording in recordings]


def test_an_instrument_is_the_sum_of_its_stems_in_each_track_that_has_it(tmp_path):
    for number in (1, 3):
        make_track(tmp_path / "train" / f"Track{number:05}")
    edit(tmp_path / "train" / "Track00003", "S04", inst_class="Organ")
    guitar, organ = (SlakhInstrument(str(tmp_path), name) for name in ("Guitar", "organ"))
    assert levels(guitar) == 2 * [[round(32767 * 12 / 64)]]
    assert levels(organ) == [[round(32767 * 16 / 64)]]


@pytest.mark.parametrize(
    "reason", ["metadata.yaml: not a list of stems", "stems/S02 (guitar) is nei"]
)
def test_what_is_wrong_with_a_track_breaks_the_instruments_recording_alone(tmp_path, reason):
    track = tmp_path / "train" / "Track00001"
    make_track(track)
    if "S02" in reason:
        (track / "stems" / "S02.flac").unlink()
        assert len(levels(SlakhInstrument(str(tmp_path), "bass"))) == 1
    else:
        (track / "metadata.yaml").write_text("stems: 3")
    with pytest.raises(DataError, match=re.escape(f"Track00001: {reason}")):
        levels(SlakhInstrument(str(tmp_path), "guitar"))


def test_an_instrument_or_a_split_that_is_not_there(tmp_path):
    make_track(tmp_path / "train" / "Track00001")
    source = SlakhInstrument(str(tmp_path), "oboe")
    with pytest.raises(DataError, match=r"'oboe' in the 1 tracks .*: bass, drums, guitar, pia"):
        list(source.recordings("train", RATE))
    with pytest.raises(DataError, match="looked for validation/TrackNNNNN"):
        list(source.recordings("held-out", RATE))

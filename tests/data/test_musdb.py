import shutil

import av
import numpy as np
import pytest
import soundfile
import torch
from encoding import encode

from instglow.audio.io import AudioFile, read
from instglow.data.musdb import MusdbStem, musdb_songs
from instglow.errors import AudioError, DataError

RATE = 44100
STEMS = ("vocals", "drums", "bass", "other")
STREAMS = ("mixture", "drums", "bass", "other", "vocals")  # as MUSDB18's documentation has them
TONES = {"drums": 200, "bass": 300, "other": 500, "vocals": 800}  # Hz
SAMPLES = 2 * RATE + 17  # no multiple of a packet of AAC
PACKET = 1024

# musdb itself runs these two programs; what reads in its place is tested everywhere
READERS = ["PyAV", "musdb"] if shutil.which("ffmpeg") and shutil.which("ffprobe") else ["PyAV"]


@pytest.fixture(params=READERS)
def reader(request, monkeypatch):
    """What reads a .stem.mp4."""
    if request.param == "PyAV":
        monkeypatch.setattr(shutil, "which", lambda _: None)


@pytest.fixture
def musdb_hq(tmp_path):
    """Two songs to train on, one of musdb's own validation songs; stem k is a constant k / 10."""
    for song in ("A - One", "B - Two", "Actions - One Minute Smile"):
        folder = tmp_path / "train" / song
        folder.mkdir(parents=True)
        for number, stem in enumerate((*STEMS, "mixture"), 1):
            wave = torch.full((44100, 2), number / 10).numpy()
            soundfile.write(folder / f"{stem}.wav", wave, 44100)
    return tmp_path


def tones():
    """(samples, 2) of each stream; the right channel is half as loud, so channels do not swap."""
    time = np.arange(SAMPLES) / RATE
    waves = {
        stem: 0.1 * np.sin(2 * np.pi * hertz * time)[:, None] * [1.0, 0.5]
        for stem, hertz in TONES.items()
    }
    return waves | {"mixture": sum(waves.values())}


def make_hq(folder):
    folder.mkdir(parents=True)
    for stem, wave in tones().items():
        soundfile.write(folder / f"{stem}.wav", wave, RATE)


def make_mp4(path, streams=STREAMS):
    """The tones as the streams of one file of AAC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waves = tones()
    encode(
        path,
        *(torch.from_numpy(np.ascontiguousarray(waves[name].T)).float() for name in streams),
        bit_rate=256_000,
        format="mp4",
    )


def loudest(wave):
    """(samples,) -> Hz of its strongest tones, as many as are within 20 dB of the first."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    peaks = (spectrum[1:-1] > spectrum[:-2]) & (spectrum[1:-1] >= spectrum[2:])
    strong = peaks & (spectrum[1:-1] > spectrum.max() / 10)
    return {round((bin + 1) * RATE / len(wave) / 10) * 10 for bin in np.flatnonzero(strong)}


@pytest.fixture(scope="module")
def musdb18(tmp_path_factory):
    """One song in both layouts: root of MUSDB18, root of MUSDB18-HQ."""
    root = tmp_path_factory.mktemp("musdb")
    make_hq(root / "hq" / "test" / "A - One")
    make_mp4(root / "mp4" / "test" / "A - One.stem.mp4")
    return root / "mp4", root / "hq"


def waves(source, split):
    return [recording.decoded(22050).wave / 32767 for recording in source.recordings(split, 22050)]


def test_the_stem_of_every_song_by_musdbs_split(musdb_hq):
    source = MusdbStem(str(musdb_hq), "bass")
    train, held_out = waves(source, "train"), waves(source, "held-out")
    assert (len(train), len(held_out)) == (2, 1)
    for wave in train + held_out:
        assert wave.shape == (1, 22050)
        torch.testing.assert_close(
            wave[0, 5000:17000], torch.full((12000,), 0.3), atol=1e-3, rtol=0
        )


@pytest.mark.usefixtures("reader")
def test_the_stem_of_a_file_of_streams(musdb18, tmp_path):
    (path,) = (musdb18[0] / "test").iterdir()
    (tmp_path / "train").mkdir()
    for song in ("A - One", "Actions - One Minute Smile"):
        (tmp_path / "train" / f"{song}.stem.mp4").symlink_to(path)
    source = MusdbStem(str(tmp_path), "other")
    (train,), (held_out,) = (source.recordings(split, RATE) for split in ("train", "held-out"))
    assert train.files[0].stem < held_out.files[0].stem
    assert loudest(train.decoded(RATE).wave[0, RATE // 2 : RATE * 3 // 2].numpy()) == {
        TONES["other"]
    }


def test_an_incomplete_musdb_says_which_split_has_no_song(musdb_hq):
    shutil.rmtree(musdb_hq / "train" / "Actions - One Minute Smile")
    with pytest.raises(DataError, match=r"no song of musdb's validation split in .*train"):
        list(MusdbStem(str(musdb_hq), "bass").recordings("held-out", 22050))


def test_no_such_folder_or_stem(tmp_path):
    with pytest.raises(DataError, match="looked for its folder 'train'"):
        list(MusdbStem(str(tmp_path), "bass").recordings("train", 22050))
    with pytest.raises(DataError, match="no stem 'guitar'"):
        MusdbStem(str(tmp_path), "guitar")


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("layout", ["mp4", "hq"])
def test_every_stem_is_the_stem_of_its_name(musdb18, layout):
    root = musdb18[0] if layout == "mp4" else musdb18[1]
    songs = musdb_songs(root)
    assert songs.name == {"mp4": "MUSDB18 test", "hq": "MUSDB18-HQ test"}[layout]
    assert songs.skipped == {}
    (song,) = songs.songs
    assert (song.name, song.stems, song.sample_rate) == ("A - One", tuple(sorted(STEMS)), RATE)
    assert abs(song.samples - SAMPLES) < (PACKET if layout == "mp4" else 1)
    excerpt = song.read(RATE // 2, RATE)  # AAC begins and ends with what is no pure tone
    assert set(excerpt.stems) == set(STEMS)
    for stem, wave in excerpt.stems.items():
        assert wave.shape == (2, RATE)
        assert loudest(wave[0].numpy()) == {TONES[stem]}
    assert loudest(excerpt.mixture[0].numpy()) == set(TONES.values())
    # the same moment of every stream; AAC at this rate is off by less than 0.01
    true = torch.from_numpy(tones()["mixture"][RATE // 2 : RATE // 2 + RATE].T).float()
    for wave in (excerpt.mixture, sum(excerpt.stems.values())):
        torch.testing.assert_close(wave, true, atol=0.01, rtol=0)


def decoded(root, layout):
    """(channels, samples) of the mixture and each stem, as musdb reads them where it can."""
    if "musdb" in READERS:
        import musdb

        (track,) = musdb.DB(str(root), subsets="test", is_wav=layout == "hq").tracks
        waves = {stem: track.targets[stem].audio for stem in STEMS} | {"mixture": track.audio}
        return {name: torch.from_numpy(wave.T).float() for name, wave in waves.items()}
    (song,) = (root / "test").iterdir()
    if layout == "hq":
        return {name: read(song / f"{name}.wav")[0] for name in STREAMS}
    waves = {}
    for number, name in enumerate(STREAMS):
        with av.open(str(song)) as container:
            frames = [frame.to_ndarray() for frame in container.decode(audio=number)]
        waves[name] = torch.from_numpy(np.concatenate(frames, 1)).mul(2**15).round() / 2**15
    return waves


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("layout", ["mp4", "hq"])
def test_excerpts_are_parts_of_what_musdb_reads(musdb18, layout):
    root = musdb18[0] if layout == "mp4" else musdb18[1]
    whole = decoded(root, layout)
    (song,) = musdb_songs(root).songs
    for start, count in ((0, song.samples), (12345, 6789), (song.samples - 1, 1)):
        excerpt = song.read(start, count)
        for name, wave in (excerpt.stems | {"mixture": excerpt.mixture}).items():
            part = whole[name][:, start : start + count]
            # releases of FFmpeg add up in another order, so a value between two may go either way
            torch.testing.assert_close(wave, part, atol=2**-15, rtol=0)
            assert (wave != part).float().mean() < 0.01


@pytest.mark.usefixtures("reader")
def test_files_that_are_no_songs_of_musdb18_are_left_out(musdb18, tmp_path):
    mp4, _ = musdb18
    folder = tmp_path / "test"
    shutil.copytree(mp4 / "test", folder)
    make_mp4(folder / "Two streams.stem.mp4", STREAMS[:2])
    whole = (folder / "A - One.stem.mp4").read_bytes()
    (folder / "Cut.stem.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "._A - One.stem.mp4").write_bytes(b"macOS")
    songs = musdb_songs(tmp_path)
    assert [song.name for song in songs.songs] == ["A - One"]
    assert set(songs.skipped) == {"Two streams.stem.mp4", "Cut.stem.mp4"}
    assert "2 audio streams, 5 needed" in songs.skipped["Two streams.stem.mp4"]
    assert "not a recording that FFmpeg can read" in songs.skipped["Cut.stem.mp4"]
    assert not any("\n" in reason for reason in songs.skipped.values())


@pytest.mark.usefixtures("reader")
def test_a_file_that_goes_away_after_all(musdb18, tmp_path):
    shutil.copytree(musdb18[0] / "test", tmp_path / "test")
    (song,) = musdb_songs(tmp_path).songs
    (tmp_path / "test" / "A - One.stem.mp4").unlink()
    with pytest.raises(AudioError, match=r"A - One\.stem\.mp4: .*; (copy|convert) it "):
        song.read(0, 100)


def test_hq_needs_every_file_and_no_program(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    make_hq(tmp_path / "test" / "A - One")
    make_hq(tmp_path / "test" / "B - Two")
    (tmp_path / "test" / "B - Two" / "bass.wav").unlink()
    songs = musdb_songs(tmp_path)
    assert [song.name for song in songs.songs] == ["A - One"]
    assert "bass.wav: no such file" in songs.skipped["B - Two"]


def test_an_excerpt_does_not_read_the_whole_song(tmp_path, monkeypatch):
    make_hq(tmp_path / "test" / "A - One")
    (song,) = musdb_songs(tmp_path).songs
    counts = []
    whole = AudioFile.read
    monkeypatch.setattr(
        AudioFile,
        "read",
        lambda file, start, count: counts.append(count) or whole(file, start, count),
    )
    song.read(RATE, 100)
    assert counts == [100] * len(STREAMS)


def test_no_such_part_or_song(tmp_path):
    with pytest.raises(DataError, match="no part 'valid': train and test"):
        musdb_songs(tmp_path, "valid")
    with pytest.raises(DataError, match="looked for its folder 'test'"):
        musdb_songs(tmp_path)
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match=r"no songs .*\*\.stem\.mp4"):
        musdb_songs(tmp_path)

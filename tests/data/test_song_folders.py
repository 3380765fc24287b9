import math
import re

import pytest
import soundfile
import torch

from instglow.data.datasets import open_dataset
from instglow.data.song_folders import folder_songs
from instglow.errors import AudioError, DataError

RATE = 8000


def noise(seed, samples=2 * RATE, channels=2):
    return torch.randn(channels, samples, generator=torch.Generator().manual_seed(seed)) / 10


def write(path, wave, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave.T.numpy(), rate, subtype="PCM_24")


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_parts_of_the_files_and_of_their_sum(tmp_path, suffix):
    bass, drums = noise(1), noise(2)
    write(tmp_path / "B" / f"bass.{suffix}", bass)
    write(tmp_path / "B" / f"Drums.{suffix.upper()}", drums)
    (tmp_path / "B" / f"._bass.{suffix}").write_bytes(b"macOS")
    (tmp_path / ".cache").mkdir()
    songs = folder_songs(tmp_path)
    assert (songs.name, songs.skipped) == (tmp_path.name, {})
    (song,) = songs.songs
    assert (song.name, song.stems, song.sample_rate) == ("B", ("bass", "drums"), RATE)
    assert song.samples == 2 * RATE
    for start, count in ((0, song.samples), (12345, 67), (song.samples - 1, 1)):
        excerpt = song.read(start, count)
        part = slice(start, start + count)
        assert set(excerpt.stems) == {"bass", "drums"}
        torch.testing.assert_close(excerpt.stems["bass"], bass[:, part], atol=1e-6, rtol=0)
        torch.testing.assert_close(excerpt.stems["drums"], drums[:, part], atol=1e-6, rtol=0)
        torch.testing.assert_close(excerpt.mixture, (bass + drums)[:, part], atol=1e-6, rtol=0)


def test_a_mixture_of_its_own(tmp_path):
    write(tmp_path / "A" / "bass.wav", noise(1))
    write(tmp_path / "A" / "mixture.flac", noise(2))
    (song,) = folder_songs(tmp_path).songs
    excerpt = song.read(10, 20)
    assert song.stems == ("bass",)
    torch.testing.assert_close(excerpt.mixture, noise(2)[:, 10:30], atol=1e-6, rtol=0)
    torch.testing.assert_close(excerpt.stems["bass"], noise(1)[:, 10:30], atol=1e-6, rtol=0)


def test_ends_that_differ_a_little_are_cut(tmp_path):
    late = 2 * RATE + RATE // 20  # 0.05 s more
    write(tmp_path / "A" / "bass.wav", noise(1, late))
    write(tmp_path / "A" / "drums.wav", noise(2))
    (song,) = folder_songs(tmp_path).songs
    assert song.samples == 2 * RATE
    excerpt = song.read(0, song.samples)
    both = noise(1, late)[:, : 2 * RATE] + noise(2)
    torch.testing.assert_close(excerpt.mixture, both, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("file", "wave", "rate", "reason"),
    [
        ("drums.wav", noise(2, RATE), RATE // 2, "bass.wav has 8000 Hz, drums.wav has 4000"),
        ("drums.wav", noise(2, channels=1), RATE, "bass.wav has 2 channels, drums.wav has 1"),
        (
            "drums.flac",
            noise(2, 2 * RATE + RATE // 20 + 1),
            RATE,
            r"drums.flac lasts 2.050 s, bass.wav 2.000 s",
        ),
        ("mixture.wav", noise(2, RATE), RATE, "bass.wav lasts 2.000 s, mixture.wav 1.000 s"),
        ("bass.flac", noise(2), RATE, "bass.flac and bass.wav are one stem"),
    ],
    ids=["rate", "channels", "length", "mixture", "twice"],
)
def test_files_that_do_not_fit_leave_the_song_out(tmp_path, file, wave, rate, reason):
    write(tmp_path / "Bad" / "bass.wav", noise(1))
    write(tmp_path / "Bad" / file, wave, rate)
    write(tmp_path / "Good" / "bass.wav", noise(1))
    songs = folder_songs(tmp_path)
    assert [song.name for song in songs.songs] == ["Good"]
    assert list(songs.skipped) == ["Bad"]
    assert reason in songs.skipped["Bad"]
    assert "\n" not in songs.skipped["Bad"]


def test_broken_and_empty_songs_are_left_out(tmp_path):
    write(tmp_path / "Z" / "bass.wav", noise(1))
    write(tmp_path / "A" / "bass.wav", noise(1))
    write(tmp_path / "Broken" / "bass.wav", noise(1))
    (tmp_path / "Broken" / "drums.wav").write_bytes(b"no audio at all")
    write(tmp_path / "Mixture only" / "mixture.wav", noise(1))
    (tmp_path / "Empty").mkdir()
    songs = folder_songs(tmp_path)
    assert [song.name for song in songs.songs] == ["A", "Z"]
    assert "drums.wav" in songs.skipped.pop("Broken")
    nothing = "no stems: looked for <stem>.wav, its files are: "
    assert songs.skipped == {"Empty": nothing + "none", "Mixture only": nothing + "mixture.wav"}


def test_a_file_damaged_after_its_start(tmp_path):
    path = tmp_path / "A" / "bass.flac"
    write(path, noise(1))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    (song,) = folder_songs(tmp_path).songs
    assert math.isfinite(song.read(0, 100).mixture.sum())
    with pytest.raises(AudioError, match=r"bass\.flac: cannot be read beyond"):
        song.read(0, song.samples)


def test_a_file_shorter_than_its_header_says_leaves_the_song_out(tmp_path):
    for name in ("A", "Cut"):
        write(tmp_path / name / "bass.wav", noise(1))
    cut = tmp_path / "Cut" / "bass.wav"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    songs = folder_songs(tmp_path)
    assert [song.name for song in songs.songs] == ["A"]
    assert re.search(r"bass\.wav: ends at .* s, its header says .* s; copy", songs.skipped["Cut"])


def test_a_folder_without_songs(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*absent"):
        folder_songs(tmp_path / "absent")
    (tmp_path / "A").mkdir()
    with pytest.raises(DataError, match=r"no songs in .*<song>/<stem>"):
        folder_songs(tmp_path)
    (tmp_path / "A" / "bass.wav").write_bytes(b"no audio at all")
    with pytest.raises(DataError, match=r"none of its 1 songs can be used; 'A': .*bass\.wav"):
        folder_songs(tmp_path)


@pytest.mark.parametrize("stem", ["drums.mp3", "drums.ogg", "mixture.mp3", "mixture.ogg"])
def test_every_format_that_separate_reads_is_a_stem_or_the_mixture(tmp_path, stem):
    bass, drums = noise(1), noise(2)
    write(tmp_path / "A" / "bass.wav", bass)
    if stem.startswith("mixture"):
        write(tmp_path / "A" / "drums.wav", drums)
    wave = bass + drums if stem.startswith("mixture") else drums
    soundfile.write(tmp_path / "A" / stem, wave.T.numpy(), RATE)
    (song,) = folder_songs(tmp_path).songs
    assert song.stems == ("bass", "drums")
    excerpt = song.read(RATE // 2, RATE)  # its codec changes the sound, not what and where it is
    lossy = excerpt.mixture if stem.startswith("mixture") else excerpt.stems["drums"]
    true = wave[:, RATE // 2 : RATE // 2 + RATE]
    assert (lossy - true).norm() < 0.75 * true.norm()
    torch.testing.assert_close(excerpt.stems["bass"], bass[:, RATE // 2 :][:, :RATE])


def folder_of(tmp_path, **waves):
    for name, wave in waves.items():
        write(tmp_path / "A" / f"{name}.wav", wave)
    songs = folder_songs(tmp_path)
    assert songs.skipped == {}
    return songs.songs[0]


@pytest.mark.parametrize("name", ["mix", "Mixdown", "my song, final"])
def test_a_mixture_of_another_name_is_no_stem(tmp_path, name):
    bass, drums, guitar = noise(1), noise(2), noise(3)
    song = folder_of(
        tmp_path, bass=bass, drums=drums, guitar=guitar, **{name: bass + drums + guitar}
    )
    assert song.stems == ("bass", "drums", "guitar")
    assert song.note == f"{name}.wav is a mixture, not a stem: taken for that of the song"
    torch.testing.assert_close(
        song.read(0, 99).mixture, (bass + drums + guitar)[:, :99], atol=1e-6, rtol=0
    )


def test_a_second_mixture_is_left_out(tmp_path):
    bass, drums = noise(1), noise(2)
    both = bass + drums
    song = folder_of(tmp_path, bass=bass, drums=drums, mixture=both, master=0.97 * both)
    assert song.stems == ("bass", "drums")
    assert song.note == "master.wav is a mixture, not a stem: left out beside mixture.wav"


def test_equal_and_silent_stems_are_stems(tmp_path):
    bass, silence = noise(1), torch.zeros(2, 2 * RATE)
    song = folder_of(tmp_path, bass=bass, drums=bass, guitar=silence, piano=silence)
    assert song.stems == ("bass", "drums", "guitar", "piano")
    assert song.note == ""


def test_files_of_other_names(tmp_path):
    bass, kick, snare = noise(1), noise(2), noise(3)
    for number, song in enumerate(("A", "B")):
        write(tmp_path / song / f"0{number} - Bass (DI).wav", bass)
        write(tmp_path / song / "Kick.wav", kick)
        write(tmp_path / song / "SNARE.wav", snare)
        write(tmp_path / song / "talkback.wav", noise(4))
    write(tmp_path / "B" / "Master [v2].wav", noise(5))
    write(tmp_path / "C" / "flute.wav", noise(6))
    names = {
        "bass": ["?? - Bass (DI)"],
        "drums": ["kick", "snare"],
        "piano": ["*keys*"],
        "mixture": ["Master [v2]"],
    }
    songs = folder_songs(tmp_path, names)
    assert list(songs.skipped) == ["C"]
    assert "no stems: looked for ?? - Bass (DI), kick, snare" in songs.skipped["C"]
    for song, mixture in zip(songs.songs, (bass + kick + snare, noise(5)), strict=True):
        assert song.stems == ("bass", "drums")
        excerpt = song.read(5, 100)
        torch.testing.assert_close(
            excerpt.stems["drums"], (kick + snare)[:, 5:105], atol=1e-6, rtol=0
        )
        torch.testing.assert_close(excerpt.mixture, mixture[:, 5:105], atol=1e-6, rtol=0)
    assert open_dataset(tmp_path, names=names).songs[0].stems == ("bass", "drums")


def tone(seconds, rate, frequency=300):
    wave = 0.2 * torch.sin(2 * torch.pi * frequency * torch.arange(round(seconds * rate)) / rate)
    return wave[None]


def test_aligned_files_are_padded_upmixed_and_resampled(tmp_path):
    long = tone(2.0, RATE).expand(2, -1)
    write(tmp_path / "A" / "bass.wav", long)
    write(tmp_path / "A" / "drums.wav", tone(1.0, RATE // 2, 500), RATE // 2)
    assert "export them alike, or evaluate with --align" in folder_songs_refused(tmp_path)
    (song,) = folder_songs(tmp_path, align=True).songs
    assert (song.sample_rate, song.samples) == (RATE, 2 * RATE)
    whole = song.read(0, song.samples)
    assert whole.mixture.shape == (2, 2 * RATE)
    expected = tone(1.0, RATE, 500).expand(2, -1)
    middle = slice(200, RATE - 200)  # a filter rings where a tone begins and ends
    torch.testing.assert_close(
        whole.stems["drums"][:, middle], expected[:, middle], atol=1e-3, rtol=0
    )
    assert not whole.stems["drums"][:, RATE + 200 :].abs().gt(1e-3).any()
    torch.testing.assert_close(whole.stems["bass"], long, atol=1e-6, rtol=0)
    part = song.read(RATE - 50, 100)
    for stem, wave in whole.stems.items():
        torch.testing.assert_close(part.stems[stem], wave[:, RATE - 50 : RATE + 50])


def test_aligned_songs_have_the_rate_of_their_mixture(tmp_path):
    write(tmp_path / "A" / "bass.wav", tone(1.0, RATE))
    write(tmp_path / "A" / "mixture.wav", tone(1.0, RATE // 2), RATE // 2)
    (song,) = folder_songs(tmp_path, align=True).songs
    assert (song.sample_rate, song.samples) == (RATE // 2, RATE // 2)
    excerpt = song.read(200, 3000)
    torch.testing.assert_close(excerpt.stems["bass"], excerpt.mixture, atol=1e-3, rtol=0)


def folder_songs_refused(folder):
    with pytest.raises(DataError) as error:
        folder_songs(folder)
    return str(error.value)


def test_stereo_cannot_be_aligned_with_surround(tmp_path):
    write(tmp_path / "A" / "bass.wav", noise(1))
    write(tmp_path / "A" / "drums.wav", noise(2, channels=4))
    with pytest.raises(DataError, match=r"bass.wav has 2 channels, another file 4"):
        folder_songs(tmp_path, align=True)

"""Songs of odd names, formats and states: the stems lie where they belong and keep its time."""

import json
import sys
from pathlib import Path

import pytest
import soundfile
import torch
from encoding import encode

from instglow import Frontend, Registry
from instglow.audio import stems
from instglow.audio.io import AudioFile, read
from instglow.cli.main import main
from instglow.families.nmf import NMFPrior
from instglow.registry import Layer

RATE = 8000
no_bytes = pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode here")


@pytest.fixture
def world(tmp_path, monkeypatch) -> Path:
    """The working directory, with priors hum and hiss."""
    monkeypatch.chdir(tmp_path)
    registry = Registry([Layer(tmp_path / "registry", "")])
    for seed, name in enumerate(("hum", "hiss")):
        torch.manual_seed(seed)
        registry.add(name, NMFPrior(Frontend(RATE, 256, 64), atoms=4), licence="CC0")
    return tmp_path


def noise(channels: int = 2, samples: int = 4000, level: float = 0.1) -> torch.Tensor:
    """(channels, samples)."""
    generator = torch.Generator().manual_seed(0)
    return level * torch.randn(channels, samples, generator=generator)


def separate(*arguments: object) -> int:
    options = ("--registry", "registry", "--priors", "hum,hiss", "--steps", 2, "--quiet")
    return main([str(argument) for argument in ("separate", *arguments, *options)])


def total(folder: Path, suffix: str = "wav") -> torch.Tensor:
    return sum(read(folder / f"{name}.{suffix}")[0] for name in ("hum", "hiss"))


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("...wav", "...wav"),
        ("..wav", "..wav"),
        (".wav", ".wav"),
        ("...", "..."),
        ("a..wav", "a."),
        ("-y.wav", "-y"),
        ("a:b %d\n.wav", "a:b %d\n"),
        pytest.param("\udcff\udce9.wav", "\udcff\udce9", marks=no_bytes),
        pytest.param("\udcff.mp3", "\udcff", marks=no_bytes),
    ],
)
def test_a_song_of_an_odd_name_stays_in_its_folder(world, name, folder):
    soundfile.write(world / "song", noise().T.numpy(), RATE, format="WAV")
    (world / "song").rename(world / name)
    before = set(world.iterdir())
    assert separate(f"./{name}") == 0
    assert separate(f"./{name}", "--format", "flac", "--overwrite") == 0
    assert set(world.iterdir()) - before == {world / "separated"}
    assert [path.name for path in (world / "separated").iterdir()] == [folder]
    files = {path.name for path in (world / "separated" / folder).iterdir()}
    assert files >= {"hum.wav", "hiss.wav", "separation.json"}


def test_songs_that_would_share_a_folder(world, capsys):
    for name in ("..wav", "..wav.flac"):
        soundfile.write(world / name, noise().T.numpy(), RATE, format="WAV")
    assert separate("..wav", "..wav.flac") == 2
    assert "two songs are called '..wav' and would share a folder" in capsys.readouterr().err


def test_flac_above_full_scale_is_one_gain_for_all_stems(world, capsys):
    song = noise(level=1.0)
    soundfile.write(world / "song.wav", song.T.numpy(), RATE, "FLOAT")
    assert separate("song.wav", "--format", "flac") == 0
    folder = world / "separated" / "song"
    gain = json.loads((folder / "separation.json").read_text())["gain"]
    assert 0 < gain < 1
    decibels = -20 * torch.log10(torch.tensor(gain))
    assert f"song.wav: all stems {decibels:.2f} dB quieter, since flac" in capsys.readouterr().out
    torch.testing.assert_close(total(folder, "flac"), gain * song, atol=2**-21, rtol=0)
    peaks = [read(folder / f"{name}.flac")[0].abs().max() for name in ("hum", "hiss")]
    assert max(peaks) == pytest.approx(1, abs=2**-22)
    assert {path.name for path in folder.iterdir()} >= {"hum.flac", "hiss.flac", "separation.json"}
    assert not list(folder.rglob("*.floats"))


def test_flac_below_full_scale_and_clamped(world, capsys):
    soundfile.write(world / "soft.wav", noise().T.numpy(), RATE, "FLOAT")
    soundfile.write(world / "loud.wav", noise(level=1.0).T.numpy(), RATE, "FLOAT")
    assert separate("soft.wav", "loud.wav", "--format", "flac", "--clip-mode", "clamp") == 0
    assert separate("soft.wav", "--format", "flac", "--overwrite") == 0
    assert "quieter" not in capsys.readouterr().out
    torch.testing.assert_close(
        total(world / "separated" / "soft", "flac"), noise(), atol=2**-21, rtol=0
    )


@pytest.mark.parametrize(
    ("channels", "rate", "message"),
    [
        (9, RATE, "hum.flac: .flac cannot hold 9 channels at 8000 Hz; use .wav"),
        (1, 700_000, "hum.flac: .flac cannot hold 1 channels at 700000 Hz; use .wav"),
        (1, RATE, "hum.flac: .flac holds at most 4100 samples, not 4200; use .wav"),
    ],
)
def test_what_flac_cannot_hold_is_refused_before_the_first_song(
    world, capsys, monkeypatch, channels, rate, message
):
    monkeypatch.setitem(stems._MOST_SAMPLES, "FLAC", 4100)
    soundfile.write(world / "good.wav", noise().T.numpy(), RATE)
    soundfile.write(world / "bad.wav", noise(channels, 4200).T.numpy(), rate)
    assert separate("good.wav", "bad.wav", "--format", "flac") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"instglow: separated/bad/{message}\n"
    assert not (world / "separated").exists()
    monkeypatch.undo()


@pytest.mark.parametrize("how", ["cut", "hole"])
def test_damage_is_said_and_stems_keep_the_songs_time(world, capsys, how):
    if how == "cut":
        song = world / "song.wav"
        soundfile.write(song, noise(samples=8000).T.numpy(), RATE)
        song.write_bytes(song.read_bytes()[:20_000])
        expected = "song.wav: ends at 0.624 s, its header says 1.000 s"
    else:
        song = encode(world / "song.opus", noise(samples=192_000), rate=48000, bit_rate=256_000)
        content = song.read_bytes()
        middle, tenth = len(content) // 2, len(content) // 10
        song.write_bytes(content[:middle] + bytes(tenth) + content[middle + tenth :])
        expected = "song.opus: no sound can be decoded from 2.014 to"
    assert separate(song.name) == 0
    assert f"instglow: {expected}" in capsys.readouterr().err
    with AudioFile(song) as file:
        wave = file.read(0, file.samples)
    folder = world / "separated" / "song"
    torch.testing.assert_close(total(folder), wave, atol=1e-5, rtol=0)
    if how == "hole":
        assert wave.shape == (2, 192_000)
    (damage,) = json.loads((folder / "separation.json").read_text())["damage"]
    assert f"{song.name}: {damage}".startswith(expected)


def test_a_film_whose_sound_starts_late_and_has_two_streams(world, capsys):
    first, second = noise(samples=4000), noise(samples=6000, level=0.05)
    encode(world / "a.mkv", first, second, rate=RATE, codec="flac", late=0.5, film=True)
    assert separate("a.mkv") == 0
    said = capsys.readouterr().err
    assert said == "instglow: a.mkv: 2 sound streams, separating the first; --stream 2\n"
    late = total(world / "separated" / "a")
    assert late[:, :3900].abs().max() < 1e-6
    torch.testing.assert_close(late[:, 4000:8000], first, atol=2**-14, rtol=0)
    assert separate("a.mkv", "--stream", 2, "--overwrite") == 0
    assert capsys.readouterr().err == ""
    torch.testing.assert_close(
        total(world / "separated" / "a")[:, 4000:10_000], second, atol=2**-14, rtol=0
    )
    assert separate("a.mkv", "--stream", 3, "--overwrite") == 2
    assert "a.mkv: no sound stream 3: it has 2, counted from 1" in capsys.readouterr().err

import errno
import gc
import math
import os
import re
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import soundfile
import torch

from instglow.audio import io
from instglow.audio.io import AudioFile, read
from instglow.audio.resample import resample
from instglow.audio.stems import StemWriter, write
from instglow.errors import AudioError, ConfigError, DependencyError, OutputError

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg not installed")


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def sine(hertz: float, rate: int, samples: int) -> torch.Tensor:
    time = torch.arange(samples, dtype=torch.float64) / rate
    return torch.sin(2 * math.pi * hertz * time).float()


def decibels(error: torch.Tensor) -> float:
    return 20 * math.log10(float(error.abs().max()) + 1e-20)


def encode(source: Path, target: Path, *options: str) -> Path:
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(source), *options, str(target)]
    subprocess.run(command, check=True)
    return target


@pytest.fixture
def temporary_files(tmp_path, monkeypatch):
    """The folder that decoded files go to."""
    folder = tmp_path / "decoded"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


# Reading


@pytest.mark.parametrize(
    ("name", "subtype", "step"),
    [
        ("a.wav", "FLOAT", 0.0),
        ("a.wav", "PCM_24", 2**-23),
        ("a.wav", "PCM_16", 2**-15),
        ("a.flac", "PCM_24", 2**-23),
    ],
)
def test_what_is_written_is_read_back(tmp_path, name, subtype, step):
    wave = noise(2, 5000)
    write(tmp_path / name, wave, 44100, subtype)
    again, rate = read(tmp_path / name)
    assert rate == 44100
    assert again.dtype == torch.float32
    assert (again - wave).abs().max() <= step
    with AudioFile(tmp_path / name) as file:
        assert (file.sample_rate, file.channels, file.samples) == (44100, 2, 5000)
        for start, count in [(4990, 10), (0, 1), (100, 0), (1234, 3000)]:
            assert torch.equal(file.read(start, count), again[:, start : start + count])


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "options", "rate"),
    [
        ("cbr.mp3", ["-b:a", "192k"], 44100),
        ("vbr.mp3", ["-q:a", "4"], 44100),
        ("headless.mp3", ["-q:a", "4", "-write_xing", "0"], 44100),
        ("a.ogg", [], 44100),
        ("a.opus", [], 48000),
        ("a.m4a", [], 44100),
        ("a.wma", [], 44100),
        ("mono.mp3", ["-ac", "1"], 44100),
        ("-y.mp3", [], 44100),
        ("film:1.mkv", ["-c:a", "flac"], 44100),
    ],
)
def test_seeks_exactly_in_what_is_compressed(tmp_path, temporary_files, name, options, rate):
    wave = torch.stack([sine(440, 44100, 88200), sine(441, 44100, 88200)]) * 0.5
    write(tmp_path / "a.wav", wave, 44100)
    path = encode(tmp_path / "a.wav", tmp_path / name, *options)
    with AudioFile(path) as file:
        assert len(list(temporary_files.iterdir())) == 1
        assert file.sample_rate == rate
        assert file.channels == (1 if "mono" in name else 2)
        exact = {"cbr.mp3", "vbr.mp3", "a.ogg", "a.opus", "film:1.mkv"}
        slack = 0 if name in exact else 4096
        assert abs(file.samples - 2 * rate) <= slack
        whole = file.read(0, file.samples)
        loudest = -3 if "mono" in name else -6  # ffmpeg adds up two sides at -3 dB each
        assert decibels(whole[:, 5000:-5000]) == pytest.approx(loudest, abs=0.6)
        for start in [file.samples - 600, 50_000, 1, 0, 30_000, file.samples - 1]:
            count = min(1000, file.samples - start)
            assert torch.equal(file.read(start, count), whole[:, start : start + count])
        if name in exact and rate == 44100 and "mp3" in name:  # the encoder's delay is gone
            assert decibels(whole[:, 5000:-5000] - wave[:, 5000:-5000]) < -30
    assert not list(temporary_files.iterdir())


@needs_ffmpeg
def test_a_flac_from_a_pipe_has_a_length(tmp_path, temporary_files):
    write(tmp_path / "a.wav", noise(1, 5000), 8000)
    piped = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(tmp_path / "a.wav"), "-f", "flac", "pipe:"],
        capture_output=True,
        check=True,
    )
    (tmp_path / "a.flac").write_bytes(piped.stdout)
    with AudioFile(tmp_path / "a.flac") as file:
        assert file.samples == 5000


@needs_ffmpeg
def test_what_was_decoded_goes_away_unclosed_too(tmp_path, temporary_files):
    write(tmp_path / "a.wav", noise(1, 5000), 8000)
    path = encode(tmp_path / "a.wav", tmp_path / "a.mp3")
    file = AudioFile(path)
    assert len(list(temporary_files.iterdir())) == 1
    del file
    gc.collect()
    assert not list(temporary_files.iterdir())


# Recordings that are none


def refused(path: Path, error: type[Exception] = AudioError) -> str:
    with pytest.raises(error) as caught:
        AudioFile(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_no_such_file(tmp_path):
    assert refused(tmp_path / "a.wav") == "no such file; check the spelling"
    (tmp_path / "b").touch()
    assert refused(tmp_path / "b" / "a.wav") == "no such file; check the spelling"


def test_a_folder_a_pipe_and_nothing(tmp_path):
    assert refused(tmp_path) == "a folder, not a recording; name the files in it"
    os.mkfifo(tmp_path / "pipe")
    assert "a pipe or device, not a file" in refused(tmp_path / "pipe")
    (tmp_path / "a.wav").touch()
    assert refused(tmp_path / "a.wav") == "empty (0 bytes); copy or export it again"


def test_a_name_too_long(tmp_path):
    assert refused(tmp_path / ("a" * 300)) == f"{os.strerror(errno.ENAMETOOLONG)}; check the path"


def test_no_permission(tmp_path, monkeypatch):
    write(tmp_path / "a.wav", noise(1, 10), 8000)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read all there is
    assert refused(tmp_path / "a.wav") == "no permission to read it; change that with chmod"


def test_no_samples(tmp_path):
    soundfile.SoundFile(tmp_path / "a.wav", "w", 8000, 1, "PCM_16").close()
    assert refused(tmp_path / "a.wav") == "holds no samples; check how it was exported"


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.raw", "a.txt"])
def test_not_audio(tmp_path, temporary_files, name):
    (tmp_path / name).write_text("no sound at all " * 100)
    message = refused(tmp_path / name)
    # ffmpeg shows a .txt as a film of letters, which has no sound
    assert message == "holds no audio; name a recording" or re.fullmatch(
        r"not a recording that ffmpeg can read \(.+\); convert it to wav or flac", message
    )
    assert not list(temporary_files.iterdir())


@needs_ffmpeg
def test_a_film_without_sound(tmp_path, temporary_files):
    path = tmp_path / "a.mkv"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=d=0.2:s=16x16", str(path)], check=True
    )
    assert refused(path) == "holds no audio; name a recording"


def test_a_playlist_is_not_followed(tmp_path):
    path = tmp_path / "a.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n")
    assert refused(path) == "a playlist, not a recording; name the files in it"


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg"])
def test_mp3_and_ogg_need_no_ffmpeg(tmp_path, temporary_files, monkeypatch, name):
    wave = 0.5 * torch.sin(torch.arange(44100) * 0.05)
    soundfile.write(tmp_path / name, wave.numpy(), 44100)
    monkeypatch.setenv("PATH", "")
    with AudioFile(tmp_path / name) as file:
        assert abs(file.samples - 44100) < 2500
        piece = file.read(20000, 1000)
        whole = file.read(0, file.samples)
    assert torch.equal(piece, whole[:, 20000:21000])
    assert abs(float(whole.square().mean() / wave.square().mean()) - 1) < 0.1
    assert not list(temporary_files.iterdir())


def test_ffmpeg_missing(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"something")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "not installed; install it (apt install ffmpeg" in refused(
        tmp_path / "a.m4a", DependencyError
    )


@pytest.mark.parametrize(
    ("complaint", "message"),
    [
        (
            "Error writing trailer: No space left on device",
            "no room to decode it in {folder}; make",
        ),
        (
            "[mov] moov atom not found\nfile:{path}: Invalid data",
            "can read (Invalid data); convert",
        ),
        ("", "can read (no reason given); convert it"),
    ],
)
def test_ffmpeg_fails(tmp_path, temporary_files, monkeypatch, complaint, message):
    path = tmp_path / "a.m4a"
    path.write_bytes(b"something")
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{complaint.format(path=path)}\nEND\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    assert message.format(folder=temporary_files) in refused(path)
    assert not list(temporary_files.iterdir())


def test_a_flac_cut_short_says_where(tmp_path):
    write(tmp_path / "a.flac", noise(1, 80_000), 8000, "PCM_16")
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 2])
    with AudioFile(tmp_path / "a.flac") as file:
        with pytest.raises(AudioError, match=r"a.flac: cannot be read beyond .* s of 10.000 s"):
            file.check()
        file.read(0, 100)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_check_says_where_it_is_not_a_number(tmp_path, monkeypatch, value):
    monkeypatch.setattr(io, "_BLOCK", 1000)
    wave = noise(2, 8000)
    wave[1, 6000] = value
    write(tmp_path / "a.wav", wave, 8000)
    with (
        AudioFile(tmp_path / "a.wav") as file,
        pytest.raises(AudioError, match=r"a.wav: not a number or infinite at 0.750 s; export it"),
    ):
        file.check()


@pytest.mark.parametrize(("peak", "level"), [(0.0, "-inf"), (1e-7, "-140")])
def test_check_refuses_silence(tmp_path, peak, level):
    write(tmp_path / "a.wav", torch.full((2, 100), peak), 8000)
    with (
        AudioFile(tmp_path / "a.wav") as file,
        pytest.raises(AudioError, match=rf"a.wav: silent \(peak {level} dBFS, at least -120 dBFS"),
    ):
        file.check()


def test_check_passes_one_quiet_click_and_reads_in_blocks(tmp_path, monkeypatch):
    wave = torch.zeros(2, 5000)
    wave[0, 4999] = -1e-5
    write(tmp_path / "a.wav", wave, 8000)
    monkeypatch.setattr(io, "_BLOCK", 2000)
    counts = []
    whole = AudioFile.read
    monkeypatch.setattr(
        AudioFile, "read", lambda self, start, n: counts.append(n) or whole(self, start, n)
    )
    with AudioFile(tmp_path / "a.wav") as file:
        file.check()
    assert counts == [1000] * 5


# Resampling

RATES = [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 192000]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("target", [22050, 44100])
def test_a_tone_below_the_cut_off_survives(rate, target):
    samples = rate // 4 + 1
    hertz = 0.4 * min(rate, target)
    resampled = resample(sine(hertz, rate, samples), rate, target)
    assert resampled.shape == (-(-samples * target // rate),)
    edge = len(resampled) // 10
    expected = sine(hertz, target, len(resampled))
    assert decibels((resampled - expected)[edge:-edge]) < -80


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate > 22050])
def test_a_tone_above_the_cut_off_dies(rate):
    resampled = resample(sine(11_500, rate, rate // 4), rate, 22050)
    edge = len(resampled) // 10
    assert decibels(resampled[edge:-edge]) < -90  # torchaudio's default leaves -9 dB


@pytest.mark.parametrize(("rate", "target"), [(44101, 22050), (22050, 44101), (11127, 22050)])
def test_odd_rates_are_as_good_and_need_no_giant_filter(rate, target):
    samples = rate // 4
    wave = torch.stack([sine(hertz, rate, samples) for hertz in (1000, 4000, 11_500)])
    resampled = resample(wave, rate, target)
    assert resampled.dtype == torch.float32
    assert resampled.shape == (3, math.ceil(samples * target / rate))
    expected = [sine(hertz, target, resampled.shape[-1]) for hertz in (1000, 4000)]
    assert decibels((resampled[:2] - torch.stack(expected))[:, 500:-500]) < -90
    if rate > target:
        assert decibels(resampled[2, 500:-500]) < -100


@pytest.mark.parametrize("samples", [0, 1, 2, 1001, 11_184_811])
def test_length_is_exact(samples):
    # torchaudio alone is a sample short at the last: it computes 2^24 + 0.5 in float32
    assert resample(torch.zeros(samples), 2, 3).shape == ((3 * samples + 1) // 2,)


def test_equal_rates_change_nothing():
    wave = noise(2, 3, 100)
    assert resample(wave, 44100, 44100) is wave
    assert resample(wave, 2, 1).shape == (2, 3, 50)


def test_rates_must_be_positive():
    with pytest.raises(ConfigError, match="cannot resample 0 Hz to 22050 Hz"):
        resample(noise(10), 0, 22050)


# Writing


@pytest.fixture
def small_disk():
    """A function that limits how many bytes a file may hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def targets(folder: Path) -> dict[str, Path]:
    return {stem: folder / f"{stem}.wav" for stem in ("bass", "drums")}


def test_pieces_are_appended_and_published_together(tmp_path):
    paths = targets(tmp_path / "new" / "song")
    stems = {"bass": noise(2, 1000), "drums": -noise(2, 1000)}
    with StemWriter(paths, 44100, 2) as writer:
        for start, stop in [(0, 1), (1, 700), (700, 700), (700, 1000)]:
            writer.write({stem: wave[:, start:stop] for stem, wave in stems.items()})
            assert not any(path.exists() for path in paths.values())
    assert sorted(paths["bass"].parent.iterdir()) == sorted(paths.values())
    for stem, path in paths.items():
        assert torch.equal(read(path)[0], stems[stem])
        assert path.read_bytes()[:4] == b"RIFF"  # RF64 is for what no plain wav can hold


def test_full_scale_is_clipped_in_integers_and_kept_in_floats(tmp_path):
    wave = torch.tensor([[2.0, -2.0, 0.5]])
    for subtype in ["PCM_16", "PCM_24", "FLOAT"]:
        write(tmp_path / "a.wav", wave, 8000, subtype)
        expected = wave if subtype == "FLOAT" else wave.clamp(-1, 1)
        torch.testing.assert_close(read(tmp_path / "a.wav")[0], expected, atol=2**-15, rtol=0)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_everything_as_it_was(tmp_path, error):
    old = targets(tmp_path / "old")
    write(old["bass"], noise(1, 10), 8000)
    before = old["bass"].read_bytes()
    waves = {"bass": noise(1, 99), "drums": noise(1, 99)}

    def fail(paths):
        with StemWriter(paths, 8000, 1, overwrite=True) as writer:
            writer.write(waves)
            raise error

    for paths in (old, targets(tmp_path / "new" / "song")):
        with pytest.raises(error):
            fail(paths)
    assert old["bass"].read_bytes() == before
    assert sorted(tmp_path.rglob("*")) == sorted([tmp_path / "old", old["bass"]])


def test_a_created_folder_that_is_in_use_stays(tmp_path):
    def fail():
        with StemWriter(targets(tmp_path / "a" / "b"), 8000, 1):
            (tmp_path / "a" / "notes").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", tmp_path / "a" / "notes"]


def test_an_existing_target_is_refused_before_anything_is_written(tmp_path):
    paths = targets(tmp_path)
    paths["drums"].write_text("mine")
    with pytest.raises(OutputError, match=r"drums.wav exists already; use --overwrite or another"):
        StemWriter(paths, 8000, 1)
    assert list(tmp_path.iterdir()) == [paths["drums"]]
    with StemWriter(paths, 8000, 1, overwrite=True) as writer:
        writer.write({"bass": noise(1, 10), "drums": noise(1, 10)})
    assert torch.equal(read(paths["drums"])[0], noise(1, 10))


def test_a_target_that_appears_meanwhile_is_not_overwritten(tmp_path):
    paths = targets(tmp_path)
    with pytest.raises(OutputError, match="exists already"), StemWriter(paths, 8000, 1):
        paths["drums"].write_text("mine")
    assert list(tmp_path.iterdir()) == [paths["drums"]]


def test_no_permission_to_write(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match=rf"^{tmp_path}: no permission to write there; choose"):
        StemWriter(targets(tmp_path / "a" / "b"), 8000, 1)


def test_a_file_where_a_folder_is_due_and_the_reverse(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file is a file, not a folder; choose another folder"):
        StemWriter(targets(tmp_path / "file" / "song"), 8000, 1)
    (tmp_path / "bass.wav").mkdir()
    with pytest.raises(OutputError, match=r"bass.wav is a folder; remove it or choose another"):
        StemWriter(targets(tmp_path), 8000, 1, overwrite=True)


def test_disk_full(tmp_path, small_disk):
    def fill(paths):
        with StemWriter(paths, 8000, 2) as writer:
            for _ in range(10):
                writer.write({"bass": noise(2, 5000), "drums": noise(2, 5000)})

    small_disk(100_000)
    with pytest.raises(OutputError, match=r"^cannot write .*bass.wav \(.+\); make room or choose"):
        fill(targets(tmp_path / "song"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "subtype", "text"),
    [
        ("a.mp3", "PCM_16", "cannot write '.mp3' files; use .wav or .flac"),
        ("a.flac", "FLOAT", ".flac cannot hold FLOAT samples; use PCM_24 or PCM_16, or .wav"),
        ("a.wav", "LOUD", ".wav cannot hold LOUD samples; use PCM_24 or PCM_16"),
    ],
)
def test_formats_that_cannot_be(tmp_path, name, subtype, text):
    with pytest.raises(OutputError) as caught:
        write(tmp_path / name, noise(1, 10), 8000, subtype)
    assert str(caught.value) == f"{tmp_path / name}: {text}"

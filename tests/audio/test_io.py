import errno
import gc
import math
import os
import re
import resource
import tempfile
import tracemalloc
from pathlib import Path

import pytest
import soundfile
import torch
from encoding import encode

from instglow.audio import io
from instglow.audio.decode import Decoder
from instglow.audio.io import AudioFile, read
from instglow.audio.resample import resample
from instglow.audio.stems import StemWriter, write
from instglow.errors import AudioError, ConfigError, OutputError


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def sine(hertz: float, rate: int, samples: int) -> torch.Tensor:
    time = torch.arange(samples, dtype=torch.float64) / rate
    return torch.sin(2 * math.pi * hertz * time).float()


def decibels(error: torch.Tensor) -> float:
    return 20 * math.log10(float(error.abs().max()) + 1e-20)


def made(path: Path, wave: torch.Tensor, rate: int = 44100, **settings) -> Path:
    """By PyAV; by libsndfile where the bit rate is to vary."""
    if path.name == "vbr.mp3":
        best = {"bitrate_mode": "VARIABLE", "compression_level": 0.0}
        soundfile.write(path, wave.T.numpy(), rate, **best)
        return path
    return encode(path, wave, rate=rate, **settings)


@pytest.fixture
def temporary_files(tmp_path, monkeypatch):
    """The folder that decoded files go to."""
    folder = tmp_path / "decoded"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def lag(wave: torch.Tensor, reference: torch.Tensor) -> int:
    """Samples by which the first channel of a wave comes later than the reference."""
    size = wave.shape[1] + reference.shape[1]
    spectra = [torch.fft.rfft(signal[0], size) for signal in (wave, reference)]
    return int(torch.fft.irfft(spectra[0] * spectra[1].conj(), size).argmax())


@pytest.fixture
def small_disk():
    """A function that limits how many bytes a file may hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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


@pytest.mark.parametrize(
    ("name", "rate", "settings"),
    [
        ("cbr.mp3", 44100, {"bit_rate": 192_000}),
        ("vbr.mp3", 44100, {}),
        ("headless.mp3", 44100, {"options": {"write_xing": "0"}, "bit_rate": 192_000}),
        ("a.opus", 48000, {"bit_rate": 192_000}),
        ("a.m4a", 44100, {"bit_rate": 192_000}),
        ("a.wma", 44100, {"bit_rate": 192_000}),
        ("mono.mp3", 44100, {"bit_rate": 96_000}),
        ("-y.mp3", 44100, {"bit_rate": 192_000}),
        ("http:a.mp3", 44100, {"bit_rate": 192_000}),
        ("film:1.mkv", 44100, {"codec": "flac", "film": True}),
    ],
)
def test_seeks_exactly_in_what_is_compressed(tmp_path, temporary_files, name, rate, settings):
    wave = noise(1 if name == "mono.mp3" else 2, rate)
    path = made(tmp_path / name, wave, rate=rate, **settings)
    with AudioFile(path) as file:
        assert len(list(temporary_files.iterdir())) == 1
        assert (file.sample_rate, file.channels) == (rate, len(wave))
        assert (file.streams, file.damage) == (1, [])
        headless = name in ("headless.mp3", "a.m4a", "a.wma")  # nothing says where padding starts
        assert abs(file.samples - rate) <= (4096 if headless else 0)
        whole = file.read(0, file.samples)
        assert float(whole.square().mean() / wave.square().mean()) == pytest.approx(1, abs=0.25)
        for start in [file.samples - 600, 20_000, 1, 0, 10_000, file.samples - 1]:
            count = min(1000, file.samples - start)
            assert torch.equal(file.read(start, count), whole[:, start : start + count])
        if not headless:  # the encoder's delay is gone
            assert lag(whole, wave) == 0
    assert not list(temporary_files.iterdir())


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg"])
def test_the_same_samples_as_libsndfile_decodes(tmp_path, name):
    wave = noise(2, 30_000)
    soundfile.write(tmp_path / name, wave.T.numpy(), 44100)
    other, _ = soundfile.read(tmp_path / name, dtype="float32")
    torch.testing.assert_close(
        read(tmp_path / name)[0].T, torch.from_numpy(other), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("codec", "step"),
    [("pcm_u8", 2**-7), ("pcm_s16le", 2**-15), ("pcm_s32le", 2**-24), ("pcm_f64le", 2**-24)],
)
def test_samples_of_every_type_are_full_scale(tmp_path, codec, step):
    wave = noise(2, 3000).clamp(-1, 1)
    again, _ = read(encode(tmp_path / "a.mkv", wave, codec=codec))
    torch.testing.assert_close(again, wave, atol=step, rtol=0)


def test_a_flac_from_a_pipe_has_a_length(tmp_path, temporary_files):
    write(tmp_path / "a.flac", noise(1, 5000), 8000, "PCM_16")
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] &= 0xF0  # the low 36 bits here count samples
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    with AudioFile(tmp_path / "a.flac") as file:
        assert file.samples == 5000


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wav_from_a_pipe_or_a_recorder_that_was_switched_off(tmp_path, size):
    write(tmp_path / "a.wav", noise(2, 5000), 8000, "PCM_16")
    content = bytearray((tmp_path / "a.wav").read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = size.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    with AudioFile(tmp_path / "a.wav") as file:
        assert (file.samples, file.damage) == (5000, [])


def test_tags_in_an_old_encoding(tmp_path):
    path = encode(tmp_path / "a.mp3", noise(1, 5000), bit_rate=64_000)
    tag = b"TIT2\0\0\0\x05\0\0\x03caf\xe9"  # says that it is UTF-8, and is Latin-1
    path.write_bytes(b"ID3\x03\0\0\0\0\0" + bytes([len(tag)]) + tag + path.read_bytes())
    assert read(path)[0].shape == (1, 5000)


def test_what_was_decoded_goes_away_unclosed_too(tmp_path, temporary_files):
    file = AudioFile(encode(tmp_path / "a.mp3", noise(1, 5000), bit_rate=64_000))
    assert len(list(temporary_files.iterdir())) == 1
    del file
    gc.collect()
    assert not list(temporary_files.iterdir())


def test_decoding_needs_no_more_memory_for_a_longer_file(tmp_path):
    peaks = []
    for minutes in (1, 4):
        path = encode(tmp_path / "a.mkv", noise(1, 60 * minutes * 8000), rate=8000, codec="flac")
        tracemalloc.start()
        assert sum(len(block) for _, block in Decoder(path)) == 60 * minutes * 8000
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
    assert peaks[1] < 1e6


# Time


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.ts"])
def test_sound_that_starts_after_the_picture_keeps_its_time(tmp_path, name):
    wave = noise(2, 22050)
    late = read(encode(tmp_path / name, wave, late=0.5, film=True))[0]
    assert lag(late, wave) == pytest.approx(22050, abs=45)  # a clock can be of milliseconds
    assert not late[:, :20_000].any()


def damaged(path: Path, how: str) -> Path:
    """A tenth of the file, in its middle, is missing or makes no sense; or its second half."""
    content = path.read_bytes()
    middle, tenth = len(content) // 2, len(content) // 10
    patch = {
        "zeros": bytes(tenth),
        "noise": bytes(torch.randint(256, (tenth,), dtype=torch.uint8).tolist()),
        "gone": b"",
    }
    end = b"" if how == "cut" else patch[how] + content[middle + tenth :]
    path.write_bytes(content[:middle] + end)
    return path


@pytest.mark.parametrize("how", ["zeros", "noise", "gone"])
@pytest.mark.parametrize("name", ["a.opus", "a.mkv", "a.ts", "a.wma"])
def test_a_hole_is_silence_and_what_follows_keeps_its_time(tmp_path, name, how):
    wave = noise(2, 4 * 48000)
    clusters = {"codec": "flac", "options": {"cluster_time_limit": "200"}}
    settings = clusters if name == "a.mkv" else {"bit_rate": 256_000}
    path = encode(tmp_path / name, wave, rate=48000, **settings)
    whole, _ = read(path)
    with AudioFile(damaged(path, how)) as file:
        what = file.damage[0]
        start, stop = map(float, re.search(r"from ([\d.]+) to ([\d.]+) s", what).groups())
        assert 1 < start < stop < 4
        assert file.samples == pytest.approx(whole.shape[1], abs=50)
        again = file.read(0, file.samples)
        hole = again[:, round(start * 48000) : round(stop * 48000)]
        assert not hole[:, 50:-50].any()
        with pytest.raises(AudioError, match=r"no sound can be decoded from .*; copy or export"):
            file.refuse_damage()
    if stop < 3.7:
        assert lag(again[:, -9600:], whole[:, -9600:]) in (*range(50), *range(19150, 19200))


@pytest.mark.parametrize("how", ["zeros", "noise", "gone"])
@pytest.mark.parametrize("name", ["cbr.mp3", "vbr.mp3", "headless.mp3", "a.aac"])
def test_a_hole_of_unknown_length_is_refused(tmp_path, temporary_files, name, how):
    options = {"write_xing": "0"} if name == "headless.mp3" else {}
    path = made(tmp_path / name, noise(2, 2 * 44100), options=options, bit_rate=192_000)
    message = refused(damaged(path, how))
    assert re.fullmatch(
        r"damaged at (0\.9|1\.0)\d\d s, and nothing tells how much is missing there; copy or .*",
        message,
    )
    assert not list(temporary_files.iterdir())


def test_joined_recordings_are_no_damage(tmp_path):
    """With the tags of the second between them, or a clock that starts again."""
    for name in ("a.mp3", "a.ogg"):
        wave = noise(2, 30_000)
        soundfile.write(tmp_path / name, wave.T.numpy(), 44100)
        part = (tmp_path / name).read_bytes()
        tag = b"ID3\x04\0\0\0\0\0\x23TIT2\0\0\0\x19\0\0\x03" + 24 * b"x"
        (tmp_path / name).write_bytes(part + (tag if name == "a.mp3" else b"") + part)
        with AudioFile(tmp_path / name) as file:
            assert file.damage == []
            assert file.samples == pytest.approx(60_000, abs=4000)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_16"),
        ("a.wav", "FLOAT"),
        ("a.aiff", "PCM_24"),
        ("a.au", "PCM_16"),
        ("a.w64", "PCM_16"),
        ("a.rf64", "FLOAT"),
        ("a.mp3", None),
    ],
)
def test_a_file_shorter_than_its_header_says_is_named(tmp_path, name, subtype):
    values = noise(2, 80_000).T.numpy()
    soundfile.write(tmp_path / name, values, 8000, subtype)
    with AudioFile(tmp_path / name) as file:
        assert (file.samples, file.damage) == (80_000, [])
    with AudioFile(damaged(tmp_path / name, "cut")) as file:
        seconds = file.samples / 8000
        assert seconds == pytest.approx(5, abs=0.2)
        (what,) = file.damage
        pattern = rf"ends at {seconds:.3f} s, its header says (9\.9|10\.)\d+ s"
        assert re.fullmatch(pattern, what)


def test_a_stream_of_several(tmp_path):
    first, second = noise(2, 5000), -0.5 * noise(2, 6000)
    path = encode(tmp_path / "a.mkv", first, second, codec="flac")
    for stream, wave in ((1, first), (2, second)):
        with AudioFile(path, stream) as file:
            assert (file.streams, file.damage) == (2, [])
            torch.testing.assert_close(file.read(0, file.samples), wave, atol=2**-14, rtol=0)
    write(tmp_path / "a.wav", first, 8000)
    for recording, number in ((path, 0), (path, 3), (tmp_path / "a.wav", 2)):
        with pytest.raises(AudioError, match=rf"no sound stream {number}: it has [12], counted"):
            AudioFile(recording, number)


def test_sound_that_changes_its_rate(tmp_path):
    parts = [
        encode(tmp_path / f"{rate}.ts", noise(2, rate), rate=rate, codec="mp2").read_bytes()
        for rate in (44100, 48000)
    ]
    (tmp_path / "a.ts").write_bytes(b"".join(parts))
    assert re.fullmatch(
        r"changes from 44100 Hz × 2 to 48000 Hz × 2 at .* s; cut it there",
        refused(tmp_path / "a.ts"),
    )


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


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.raw", "a.txt"])
def test_not_audio(tmp_path, temporary_files, name):
    (tmp_path / name).write_text("no sound at all " * 100)
    message = refused(tmp_path / name)
    # FFmpeg shows a .txt as a film of letters, which has no sound
    assert message == "holds no audio; name a recording" or re.fullmatch(
        r"not a recording that FFmpeg can read \(.+\); convert it to wav or flac", message
    )
    assert not list(temporary_files.iterdir())


def test_a_film_without_sound(tmp_path, temporary_files):
    film = encode(tmp_path / "a.mkv", film=True)
    assert refused(film) == "holds no audio; name a recording"


def test_a_playlist_is_not_followed(tmp_path):
    path = tmp_path / "a.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n")
    assert refused(path) == "a playlist, not a recording; name the files in it"


def test_no_room_to_decode(tmp_path, temporary_files, small_disk):
    path = encode(tmp_path / "a.mp3", noise(2, 44100), bit_rate=192_000)
    small_disk(100_000)
    assert refused(path) == (
        f"no room to decode it in {temporary_files}; make room or set TMPDIR elsewhere"
    )
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

import errno
import hashlib
import json
import multiprocessing
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import soundfile
import torch

from instglow.audio.io import read
from instglow.data.cache import Cache
from instglow.data.recording import Decoded, Recording
from instglow.data.segments import levels
from instglow.errors import AudioError

RATE = 8000


def noise(seed: int, samples: int = 4000) -> torch.Tensor:
    return torch.rand(samples, generator=torch.Generator().manual_seed(seed)) - 0.5


def write(path: Path, seed: int) -> Path:
    soundfile.write(path, noise(seed).numpy(), RATE, subtype="FLOAT")
    return path


def logged(path: Path, log: Path) -> Recording:
    """Of a file, with a line in a log for every decoding, whatever process does it."""

    def decode():
        with log.open("a") as file:
            file.write(f"{path.name}\n")
        return read(path)

    return Recording((path,), decode)


@pytest.fixture(autouse=True)
def one_thread():
    """A fork has none of its parent's OpenMP threads, and waits for ever for those it needs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    path.touch()
    return path


@pytest.fixture
def recordings(tmp_path, log):
    return [logged(write(tmp_path / f"{seed}.wav", seed), log) for seed in range(3)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def decoded(log: Path) -> list[str]:
    """Names of what was decoded since the last time."""
    lines = log.read_text().split()
    log.write_text("")
    return lines


def entries(folder: Path) -> list[Path]:
    return sorted(path.with_suffix(".npy") for path in folder.rglob("*.json"))


def is_recording(decoded: Decoded, seed: int) -> bool:
    expected = Decoded.of(noise(seed))
    return torch.equal(decoded.wave, expected.wave) and decoded.digest == expected.digest


def test_what_was_decoded_once_is_not_decoded_again(folder, recordings, log):
    for _ in range(2):
        cache = Cache(folder)
        found = [cache.fetch(recording, RATE) for recording in recordings]
        assert all(is_recording(one, seed) for seed, one in enumerate(found))
        assert cache.trouble is None
    assert decoded(log) == ["0.wav", "1.wav", "2.wav"]


def test_rates_and_stems_of_one_file_are_entries_of_their_own(folder, recordings, log):
    cache = Cache(folder)
    for recording in (recordings[0], replace(recordings[0], stem="bass")):
        assert cache.fetch(recording, RATE).wave.shape == (1, 4000)
        assert cache.fetch(recording, RATE // 2).wave.shape == (1, 2000)
    assert len(decoded(log)) == len(entries(folder)) == 4


def test_channels_that_differ_are_kept(folder, tmp_path, log):
    wave = torch.stack([noise(0), noise(1)])
    soundfile.write(tmp_path / "stereo.wav", wave.T.numpy(), RATE, subtype="FLOAT")
    recording = logged(tmp_path / "stereo.wav", log)
    for _ in range(2):
        assert torch.equal(Cache(folder).fetch(recording, RATE).wave, Decoded.of(wave).wave)
    assert len(decoded(log)) == 1


def test_levels_are_measured_once(folder, recordings, monkeypatch):
    decoded, others = (Cache(folder).fetch(one, RATE) for one in recordings[:2])
    measured = Cache(folder).levels(decoded, 100)
    assert torch.equal(measured, levels(decoded.wave, 100))
    monkeypatch.setattr("instglow.data.cache.levels", lambda *_: torch.tensor([9.0]))
    assert torch.equal(Cache(folder).levels(decoded, 100), measured)
    for other in (Cache(folder).levels(others, 100), Cache(folder).levels(decoded, 200)):
        assert other.tolist() == [9.0]
    for path in folder.rglob("*-100.npy"):
        path.write_bytes(path.read_bytes()[:50])
    assert Cache(folder).levels(decoded, 100).tolist() == [9.0]


def test_a_later_run_reads_a_sample_of_a_long_entry(folder, tmp_path, log, monkeypatch):
    path = tmp_path / "long.wav"
    soundfile.write(path, noise(0, 50 * RATE).numpy(), RATE)
    Cache(folder).fetch(logged(path, log), RATE)
    read, digest = [], hashlib.sha256
    monkeypatch.setattr(
        hashlib, "sha256", lambda content: read.append(len(content)) or digest(content)
    )
    Cache(folder).fetch(logged(path, log), RATE)
    assert sum(read) < 0.1 * path.stat().st_size
    assert len(decoded(log)) == 1


def cut_to(size, path):
    os.truncate(path, size)


def torn(path):
    """As a power cut leaves it: the right size and time, but the last pages were never written."""
    status = path.stat()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 4096))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flip(where, path):
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        *(partial(cut_to, size) for size in (0, 1, 100, 128, 7000, 8126)),
        *(partial(flip, where) for where in (3, 70, 128, -1)),
        torn,
        Path.unlink,
        lambda path: path.with_suffix(".json").unlink(),
        lambda path: path.with_suffix(".json").write_text("{"),
        lambda path: path.with_suffix(".json").write_text("[]"),
        lambda path: path.with_suffix(".json").write_bytes(b"\xff"),
    ],
)
def test_a_damaged_entry_is_made_again(folder, recordings, log, harm):
    cache = Cache(folder)
    cache.fetch(recordings[1], RATE)
    (entry,) = entries(folder)
    harm(entry)
    assert is_recording(cache.fetch(recordings[1], RATE), 1)
    assert is_recording(Cache(folder).fetch(recordings[1], RATE), 1)
    assert len(decoded(log)) == 2


def test_a_changed_file_is_read_again_in_place_of_the_old(folder, recordings, log):
    cache = Cache(folder)
    before = cache.fetch(recordings[0], RATE)
    path = recordings[0].files[0]
    status = path.stat()
    write(path, 7)  # of the same size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert is_recording(cache.fetch(recordings[0], RATE), 7)
    assert is_recording(before, 0)  # a run that has it mapped keeps it
    assert len(entries(folder)) == 1


def test_a_broken_recording_leaves_nothing(folder, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    for name in ("a.wav", "gone.wav"):
        with pytest.raises(AudioError, match=name):
            Cache(folder).fetch(Recording.of_file(tmp_path / name), RATE)
    assert entries(folder) == []
    assert list(folder.rglob("*.part")) == []


def test_the_entry_is_an_npy_file_with_a_note(folder, recordings):
    np = pytest.importorskip("numpy")
    Cache(folder).fetch(recordings[2], RATE)
    (entry,) = entries(folder)
    note = json.loads(entry.with_suffix(".json").read_text())
    assert is_recording(Decoded(torch.from_numpy(np.load(entry)), note["digest"]), 2)
    assert note["source"]["files"][0]["path"] == str(recordings[2].files[0].resolve())


fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@fork
def test_processes_that_fill_it_at_once_share_the_work(folder, recordings, log):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()

    def fill():
        barrier.wait()
        waves = [Cache(folder).fetch(recording, RATE) for recording in recordings]
        results.put(all(is_recording(wave, seed) for seed, wave in enumerate(waves)))

    processes = [context.Process(target=fill) for _ in range(2)]
    for process in processes:
        process.start()
    assert [results.get(timeout=30) for _ in processes] == [True, True]
    for process in processes:
        process.join(30)
    assert sorted(decoded(log)) == ["0.wav", "1.wav", "2.wav"]


@fork
@pytest.mark.parametrize("renamed", [0, 1])
def test_a_killed_run_leaves_nothing_broken_and_the_next_goes_on(
    folder, recordings, log, renamed, monkeypatch
):
    """The second entry is cut short before its first or its second file is renamed."""
    replace_file, done = Path.replace, []

    def killed(path, target):
        if len(done) == 2 + renamed:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(target)
        return replace_file(path, target)

    def fill():
        monkeypatch.setattr(Path, "replace", killed)
        for recording in recordings:
            Cache(folder).fetch(recording, RATE)

    process = multiprocessing.get_context("fork").Process(target=fill)
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert decoded(log) == ["0.wav", "1.wav"]
    waves = [Cache(folder).fetch(recording, RATE) for recording in recordings]
    assert all(is_recording(wave, seed) for seed, wave in enumerate(waves))
    assert decoded(log) == ["1.wav", "2.wav"]
    assert list(folder.rglob("*.part")) == []


def test_a_folder_that_cannot_be_written_costs_only_memory(recordings, tmp_path):
    cache = Cache(tmp_path / "0.wav")  # a file
    assert is_recording(cache.fetch(recordings[1], RATE), 1)
    assert isinstance(cache.trouble, OSError)


def test_a_full_disk_costs_only_memory(folder, recordings, monkeypatch, log):
    def full(path, content):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    cache = Cache(folder)
    assert is_recording(cache.fetch(recordings[1], RATE), 1)
    assert "No space" in str(cache.trouble)
    assert decoded(log) == ["1.wav"]
    assert list(folder.rglob("*.part")) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_entries_are_mapped_without_a_file_kept_open(folder, recordings):
    cache = Cache(folder)
    before = len(list(Path("/proc/self/fd").iterdir()))
    waves = [cache.fetch(recording, RATE) for recording in recordings]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    maps = Path("/proc/self/maps").read_text()
    assert all(str(entry) in maps for entry in entries(folder))
    assert waves


def test_the_folder_that_a_configuration_names(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Cache.named(None) is None
    assert Cache.named("here").folder == Path("here")
    if sys.platform.startswith("linux"):
        assert Cache.named("user").folder == tmp_path / "instglow" / "recordings"

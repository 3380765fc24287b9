"""One vocabulary of devices, and one line for a device that is not there."""

import pytest
import torch

from instglow import devices
from instglow.cli.main import main
from instglow.devices import available, is_out_of_memory, resolve, trainer_options
from instglow.errors import ConfigError


@pytest.fixture
def machine(monkeypatch):
    """Sets how many CUDA devices this machine has, and whether it has MPS."""

    def has(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return has


@pytest.mark.parametrize(
    ("has", "name", "device"),
    [
        ({}, "auto", "cpu"),
        ({"mps": True}, "auto", "mps"),
        ({"cuda": 2}, "auto", "cuda"),
        ({"cuda": 2}, "cpu", "cpu"),
        ({"cuda": 2}, "cuda:1", "cuda:1"),
        ({"mps": True}, "mps", "mps"),
        ({"cuda": 1}, torch.device("cuda:0"), "cuda:0"),
    ],
)
def test_names_of_devices(machine, has, name, device):
    machine(**has)
    assert resolve(name) == torch.device(device)


@pytest.mark.parametrize(
    ("has", "name", "says"),
    [
        ({}, "cuda", "no device 'cuda' on this machine; there are: auto, cpu"),
        ({"mps": True}, "cuda", "no device 'cuda' on this machine; there are: auto, cpu, mps"),
        (
            {"cuda": 1},
            "cuda:1",
            "no device 'cuda:1' on this machine; there are: auto, cpu, cuda, cuda:0",
        ),
        ({}, "gpu", "no device 'gpu' on this machine; there are: auto, cpu"),
        ({}, "", "no device '' on this machine; there are: auto, cpu"),
    ],
)
def test_what_is_not_there_is_refused_naming_what_is(machine, has, name, says):
    machine(**has)
    with pytest.raises(ConfigError) as error:
        resolve(name)
    assert str(error.value) == says


def test_everything_available_resolves(machine):
    machine(cuda=2, mps=True)
    assert available() == ["auto", "cpu", "cuda", "cuda:0", "cuda:1", "mps"]
    for name in available():
        resolve(name)


def test_what_lightning_is_told():
    assert trainer_options(torch.device("cpu")) == {"accelerator": "cpu", "devices": 1}
    assert trainer_options(torch.device("cuda:1")) == {"accelerator": "cuda", "devices": [1]}


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"), True),
        (MemoryError(), True),
        (RuntimeError("shape '[2, 3]' is invalid"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_which_errors_are_for_want_of_memory(error, is_one):
    assert is_out_of_memory(error) is is_one


@pytest.mark.parametrize(
    "command",
    [
        "separate song.wav --priors bass",
        "evaluate songs",
        "likelihood bass solos",
        "add-prior lute --data solos",
        "fit --config guitar.yaml --config nmf.yaml",
    ],
)
def test_every_command_that_computes_knows_the_same_devices(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*command.split(), "--device", "cuda:99"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("instglow: no device 'cuda:99' on this machine; there are: auto, cpu")


@pytest.fixture
def threads(monkeypatch) -> list[int]:
    """What the number of threads is set to; torch would take four."""
    counts: list[int] = []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr("torch.get_num_threads", lambda: 4)
    monkeypatch.setattr("torch.set_num_threads", counts.append)
    return counts


@pytest.mark.parametrize(
    ("user", "nice", "system", "idle", "waiting", "expected"),
    [
        (0, 0, 0, 80, 0, 4),  # quiet: as many as torch would take
        (40, 10, 10, 20, 0, 2),  # six of eight busy
        (20, 20, 20, 10, 10, 2),  # who waits for a disk leaves the core alone
        (70, 5, 5, 0, 0, 1),
        (1, 0, 0, 79, 0, 4),
    ],
)
def test_threads_are_those_that_find_a_core(
    tmp_path, monkeypatch, threads, user, nice, system, idle, waiting, expected
):
    ticks = tmp_path / "stat"
    ticks.write_text("cpu 100 100 100 100 100 0 0 0 0 0\ncpu0 1 1 1\n")
    passed = [100 + n for n in (user, nice, system, idle, waiting)]
    later = " ".join(map(str, passed))
    monkeypatch.setattr(devices, "_TICKS", ticks)
    monkeypatch.setattr("time.sleep", lambda seconds: ticks.write_text(f"cpu {later} 0 0 0 0 0\n"))
    devices.use_idle_cores()
    assert threads == [expected]


def test_a_number_of_threads_that_the_user_set_stands(monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    devices.use_idle_cores(0.01)
    assert threads == []


def test_a_system_that_does_not_tell_is_left_alone(tmp_path, monkeypatch, threads):
    monkeypatch.setattr(devices, "_TICKS", tmp_path / "none")
    devices.use_idle_cores(0.01)
    assert threads == []

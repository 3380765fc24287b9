"""One vocabulary of devices, and one line for a device that is not there."""

import pytest
import torch

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

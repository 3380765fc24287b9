"""Where to compute: one vocabulary for every command and for the Python interface."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instglow.errors import ConfigError


def available() -> list[str]:
    """The names that `resolve` takes on this machine."""
    names = ["auto", "cpu"]
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def resolve(name: str | torch.device = "auto") -> torch.device:
    """The device of that name; "auto" is the first CUDA device, else MPS, else the CPU.

    Raises:
        ConfigError: for another name, or a device that this machine lacks.
    """
    there = available()
    if str(name) == "auto":
        return torch.device(next(one for one in ("cuda", "mps", "cpu") if one in there))
    if str(name) not in there:
        raise ConfigError(f"no device {str(name)!r} on this machine; there are: {', '.join(there)}")
    return torch.device(name)


def normal_noise(shape: Sequence[int], generator: torch.Generator | None, like: Tensor) -> Tensor:
    """Normal numbers where and as `like` is, drawn on the CPU: a seed means the same everywhere.

    Nothing waits for the device: they go there from pinned memory, by a copy of its own.
    """
    drawn = torch.randn(shape, generator=generator, pin_memory=like.device.type == "cuda")
    return drawn.to(like, non_blocking=True)


def trainer_options(device: torch.device) -> dict[str, Any]:
    """The options of a Lightning Trainer that computes on this device alone."""
    return {
        "accelerator": device.type,
        "devices": 1 if device.index is None else [device.index],
    }


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch raised this for want of memory, on whichever device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # MPS, the CPU and CUDA's libraries raise a bare RuntimeError
    signs = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in signs)


def use_idle_cores(seconds: float = 0.1) -> None:
    """Let torch compute with as many threads as the machine has idle cores, at least one.

    A search is thousands of small operations, and its threads wait for each other after each. Where
    another program has one of the cores, they wait for that too: ten times as long as one thread
    takes by itself. Whoever has set OMP_NUM_THREADS is obeyed, and systems other than Linux, which
    do not tell, are left alone.

    Args:
        seconds: to watch the machine for.
    """
    if "OMP_NUM_THREADS" in os.environ or not _TICKS.exists():
        return
    before = _ticks()
    time.sleep(seconds)
    passed = [after - start for after, start in zip(_ticks(), before, strict=True)]
    if sum(passed):
        idle = (passed[_IDLE] + passed[_WAITING]) / sum(passed)
        cores = round(idle * (os.cpu_count() or 1))
        torch.set_num_threads(max(1, min(torch.get_num_threads(), cores)))


_TICKS = Path("/proc/stat")
_IDLE, _WAITING = 3, 4


def _ticks() -> list[int]:
    """Of all cores since the machine started, by what they did: proc(5)."""
    return [int(word) for word in _TICKS.read_text().splitlines()[0].split()[1:9]]

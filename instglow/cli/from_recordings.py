"""`instglow add-prior NAME --data DIR`: a new prior from a folder of recordings, by one command.

It is `instglow fit` with the choices made: sizes from `configs/`, as many steps as fit into the
minutes given, no dashboards, and a folder of its own in which an interrupted run is found again.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml

from instglow.audio.frontend import Frontend
from instglow.cli import train
from instglow.data.solo import SoloFolder
from instglow.errors import ConfigError, PriorExists
from instglow.prior import Trainable
from instglow.registry import Registry
from instglow.registry.runs import RUNS, next_number

UNFINISHED = "adding"
"""Folder below `runs/NAME/` of a run that is not registered yet."""
ORDER = "order.yaml"
"""In that folder: what was asked for, as `instglow fit` reads it."""

INSTRUMENTS = ("bass", "drums", "guitar", "other", "piano", "vocals")
"""Those with a file of their own in `configs/`."""

FEWEST, MOST, MOST_FROM_ANOTHER = 200, 6000, 2000
"""Steps. A prior that starts from another's weights is there sooner, and forgets less."""
RATE_FROM_ANOTHER = 5e-4
"""Learning rate that does not wipe out what the other prior knows."""
EPOCH = 250
"""Steps between two measurements on the recordings held out; an interrupted run loses no more."""
SECONDS, BATCH, GPU_BATCH = 2.0, 8, 32
PATIENCE = 8
"""Measurements without a new best after which a run ends early."""
TRIALS, OVERHEAD = 4, 1.35
"""Steps that are timed, and what a run takes besides: augmentation, Adam, measuring."""


@dataclass(frozen=True)
class Order:
    """What `add-prior --data` was asked for.

    Args:
        name: of the prior.
        data: folder of its recordings.
        init: the prior to start from.
        minutes: to train for, about.
        device: as Lightning names accelerators.
        registry: folder to register in; None for the first that can be written.
        licence, trained_on: for the card.
        replace: whether a prior of that name may be replaced.
    """

    name: str
    data: Path
    init: str | None
    minutes: float
    device: str
    registry: Path | None
    licence: str
    trained_on: tuple[str, ...]
    replace: bool

    def __post_init__(self) -> None:
        if not 0 < self.minutes < math.inf:
            raise ConfigError(f"--minutes {self.minutes} is no time to train in; give 1 or more")


def train_prior(order: Order) -> None:
    """Train and register; go on with an interrupted run of the same order.

    Raises:
        DataError: for a folder without recordings.
        PriorExists: for a name that is taken.
        ConfigError: for an `init` that does not fit, or an unfinished run of another order.
    """
    recordings = len(list(SoloFolder(str(order.data)).everything()))
    taken = Registry.default(order.registry).destination().folder(order.name)
    if taken and not order.replace:
        raise PriorExists(
            f"prior {order.name!r} is registered already in {taken}: pass --replace to replace it "
            "when training ends, or choose another name"
        )
    folder = Path(RUNS) / order.name / UNFINISHED
    checkpoint = folder / "last.ckpt"
    steps = _ordered_steps(folder, order) or _affordable_steps(order)
    print(
        f"training {order.name!r} on {recordings} recordings in {order.data}"
        + (f", starting from {order.init!r}" if order.init else "")
        + (f", going on in {folder}" if checkpoint.is_file() else "")
        + f": at most {steps} steps, which may take {order.minutes:g} minutes",
        flush=True,
    )
    written = _write(folder / ORDER, _configuration(order, steps, folder))
    configurations = ("--config", str(_base(order)), "--config", str(written))
    train.run([*configurations, *_from(checkpoint)], "instglow fit")
    folder.rename(next_number(folder.parent))


def _from(checkpoint: Path) -> list[str]:
    return ["--ckpt_path", str(checkpoint)] if checkpoint.is_file() else []


def _ordered_steps(folder: Path, order: Order) -> int | None:
    """How many steps an unfinished run of this order was to have; None where there is none."""
    if not (folder / "last.ckpt").is_file():
        return None
    before = yaml.safe_load((folder / ORDER).read_text())
    steps = int(before["trainer"]["max_steps"])
    now = _configuration(order, steps, folder)
    for option, section, key in (("data", "data", "source"), ("init", "model", "init")):
        if before[section][key] != now[section][key]:
            raise ConfigError(
                f"the unfinished run in {folder} has another --{option} "
                f"({before[section][key]}, not {now[section][key]}): give that to go on with it, "
                "or delete the folder"
            )
    return steps


def _affordable_steps(order: Order) -> int:
    """As many as fit into the minutes, from the time of a few on this machine."""
    prior, gpu = _prior(order), _on_gpu(order)
    device = "cuda" if gpu else "cpu"
    prior.to(device).train()
    samples = prior.frontend.segment(SECONDS)
    wave = 0.1 * torch.randn(GPU_BATCH if gpu else BATCH, samples, device=device)
    magnitude = prior.frontend.magnitude(wave)
    for trial in range(TRIALS + 1):
        if trial == 1:  # the first also allocates and initialises
            started = time.perf_counter()
        loss = prior.loss(magnitude)["loss"]
        loss.backward()
        loss.item()  # waits for a GPU
    each = OVERHEAD * (time.perf_counter() - started) / TRIALS
    most = MOST_FROM_ANOTHER if order.init else MOST
    return min(most, max(FEWEST, round(60 * order.minutes / each)))


def _prior(order: Order) -> Trainable:
    """A prior as the one to train, its weights random."""
    described = _described(order)
    module, _, name = described["class_path"].rpartition(".")
    arguments = dict(described["init_args"])
    frontend = Frontend(**arguments.pop("frontend"))
    prior: Trainable = getattr(import_module(module), name)(frontend, **arguments)
    return prior


def _described(order: Order) -> dict[str, Any]:
    """`class_path` and `init_args` of the prior to train: those of `init`, or of our configs."""
    if order.init is None:
        described: dict[str, Any] = yaml.safe_load(_base(order).read_text())["model"]["prior"]
        return described
    other = Registry.default(order.registry).load(order.init)
    if not isinstance(other, Trainable):
        raise ConfigError(
            f"prior {order.init!r} is of the family {other.family!r}, which is not trained from "
            "recordings; name another as --init, or none"
        )
    return {
        "class_path": _path_of(type(other)),
        "init_args": {"frontend": other.frontend.to_dict(), **other.architecture},
    }


def _base(order: Order) -> Path:
    """Our configuration of the instrument, or that of any."""
    own = train.configs() / f"{order.name}.yaml"
    return own if order.name in INSTRUMENTS else train.configs() / "instrument.yaml"


def _configuration(order: Order, steps: int, folder: Path) -> dict[str, Any]:
    """The order as a configuration of `instglow fit`, on top of that of its base."""
    batch = GPU_BATCH if _on_gpu(order) else BATCH
    registry = str(order.registry) if order.registry else None
    rate = {"learning_rate": RATE_FROM_ANOTHER} if order.init else {}
    solos = {"folder": str(order.data.resolve())}
    return {
        "model": {
            "instrument": order.name,
            "prior": _described(order),
            "init": order.init,
            "registry": registry,
            **rate,
        },
        "data": {
            "source": {"class_path": _path_of(SoloFolder), "init_args": solos},
            "seconds": SECONDS,
            "batch_size": batch,
            "segments_per_epoch": EPOCH * batch,
        },
        "trainer": {
            "max_steps": steps,
            "max_epochs": -(-steps // EPOCH),  # for the progress shown
            "accelerator": order.device,
            "devices": 1,
            "logger": False,
            "enable_model_summary": False,
        },
        "early_stop": {"patience": PATIENCE},
        "checkpoint": {"folder": str(folder)},
        "publish": {
            "replace": order.replace,
            "registry": registry,
            "licence": order.licence,
            "trained_on": [{"name": t, "licence": order.licence} for t in order.trained_on],
        },
    }


def _write(path: Path, values: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def _path_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _on_gpu(order: Order) -> bool:
    return order.device in ("auto", "gpu") and torch.cuda.is_available()

"""`instglow add-prior NAME --data DIR`: a new prior from a folder of recordings, by one command.

It is `instglow fit` with the choices made: sizes from `configs/`, as many steps as fit into the
minutes given, no dashboards, and an interrupted run is found again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from operator import getitem
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout

from instglow.audio.frontend import Frontend
from instglow.data.cache import USER, Cache
from instglow.data.loading import counted, load
from instglow.data.segments import Gate
from instglow.data.solo import SoloFolder, Split
from instglow.devices import resolve, trainer_options
from instglow.errors import ConfigError, OutputError
from instglow.files import write_text
from instglow.prior import ForInstruments, Prior, Trainable, can_denoise
from instglow.registry import Registry
from instglow.registry.runs import RUNS, next_number
from instglow.training.configs import class_path, configs

Fit = Callable[[list[str]], None]

RECIPE = "recipe.yaml"
"""In the folder of a run that is not registered yet: the configuration that `fit` reads."""
LAST = "last.ckpt"

INSTRUMENTS = ("bass", "drums", "guitar", "other", "piano", "vocals")
"""Those with a file of their own in `configs/`."""

EPOCH = 250
"""Steps between two measurements on the recordings held out; an interrupted run loses no more."""
MOST, MOST_FROM_ANOTHER = 24, 8
"""Epochs. A prior that starts from another's weights is there sooner, and forgets less."""
RATE_FROM_ANOTHER = 5e-4
"""Learning rate that does not wipe out what the other prior knows."""
SECONDS, BATCH, GPU_BATCH = 2.0, 8, 32
PATIENCE = 4
"""Measurements without a new best after which a run ends early."""
TRIALS, OVERHEAD = 4, 1.35
"""Steps that are timed, and what a run takes besides: augmentation, Adam, measuring."""


@dataclass(frozen=True)
class Request:
    """What `add-prior --data` was asked for.

    Args:
        name: of the prior.
        data: folder of its recordings.
        init: the prior to start from.
        minutes: to train for, about.
        device: to train on, for `instglow.devices.resolve`.
        registry: folder to register in; None for the first that can be written.
        licence, trained_on: for the card.
        replace: whether a prior of that name may be replaced.

    Raises:
        ConfigError: for no minutes, or a device that this machine lacks.
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
        resolve(self.device)

    @property
    def looked_up(self) -> Path | None:
        """Where `init` is looked for first; a registry that is yet to be made holds nothing."""
        return self.registry if self.registry and self.registry.is_dir() else None

    @property
    def base(self) -> Path:
        """Our configuration of the instrument, or that of any."""
        name = self.name if self.name in INSTRUMENTS else "instrument"
        return configs() / f"{name}.yaml"

    @property
    def on_gpu(self) -> bool:
        """Whether it will be trained on a GPU of CUDA."""
        return resolve(self.device).type == "cuda"


def train_prior(request: Request, fit: Fit) -> None:
    """Train and register; go on with an interrupted run of the same request.

    Args:
        request: what was asked for.
        fit: `instglow fit` with these words after it.

    Raises:
        DataError: for a folder without recordings that can be used.
        PriorExists: for a name that is taken.
        ConfigError: for an `init` that does not fit, an unfinished run of another request, or one
            that runs now.
        OutputError: where no run can be kept.
    """
    if not request.replace:
        Registry.default(request.registry).require_free(
            request.name, "pass --replace to replace it when training ends, or choose another name"
        )
    prior = _prior(request)
    recordings, hours = _recordings(request, prior.frontend)
    runs = Path(RUNS) / request.name
    try:
        runs.mkdir(parents=True, exist_ok=True)
        alone = FileLock(runs / ".lock", timeout=0).acquire()
    except Timeout:
        raise ConfigError(
            f"another add-prior trains {request.name!r} in {runs} now; wait for it, or work in "
            "another folder"
        ) from None
    except OSError as error:
        raise OutputError(
            f"cannot write {runs}: {error.strerror}; work in a folder that can be written to"
        ) from error
    with alone:
        _run(request, prior, runs, recordings, hours, fit)


def _recordings(request: Request, frontend: Frontend) -> tuple[str, float]:
    """What can be trained on and what will be held out, in words, and hours to train on."""
    rate, samples = frontend.sample_rate, frontend.segment(SECONDS)
    both: tuple[Split, ...] = ("train", "held-out")
    source, cache = SoloFolder(str(request.data)), Cache.named(USER)
    segments, _ = load(source, both, rate, samples, Gate(), cache)
    train, held_out = (counted(s.recordings, s.total / rate) for s in segments.values())
    return f"{train}, {held_out} held out", segments["train"].total / rate / 3600


def _run(
    request: Request, prior: Trainable, runs: Path, recordings: str, hours: float, fit: Fit
) -> None:
    print(
        f"training {request.name!r} on {recordings}, in {request.data}"
        + (f", starting from {request.init!r}" if request.init else ""),
        flush=True,
    )
    if unfinished := _unfinished(request, prior, runs):
        folder, epochs = unfinished
        print(f"going on with {folder}, planned for {epochs * EPOCH} steps at most", flush=True)
        resume = ["--ckpt_path", str(folder / LAST)]
    else:
        epochs, minutes = _affordable(request, prior)
        print(f"at most {epochs * EPOCH} steps, about {minutes:.0f} minutes", flush=True)
        folder, resume = next_number(runs), []
    configuration = _configuration(request, prior, epochs, folder, hours)
    write_text(folder / RECIPE, yaml.safe_dump(configuration, sort_keys=False))
    configurations = ["--config", str(request.base), "--config", str(folder / RECIPE)]
    fit([*configurations, *resume])
    (folder / RECIPE).unlink()


def _unfinished(request: Request, prior: Prior, runs: Path) -> tuple[Path, int] | None:
    """The folder of an interrupted run that can be gone on with, and its epochs.

    Raises:
        ConfigError: for one of another request, or one whose checkpoint is damaged.
    """
    for path in runs.glob(f"*/{RECIPE}"):
        if not (path.parent / LAST).is_file():
            path.unlink()  # it came to no checkpoint
            continue
        before = yaml.safe_load(path.read_text())
        epochs: int = before["trainer"]["max_epochs"]
        now = _configuration(request, prior, epochs, path.parent)
        for what, (*sections, key) in (
            ("--data", ("data", "source", "init_args", "folder")),
            ("--init", ("model", "init")),
            ("configuration of the prior", ("model", "prior")),
        ):
            there, here = (reduce(getitem, sections, values)[key] for values in (before, now))
            if there != here:
                raise ConfigError(
                    f"the unfinished run in {path.parent} has another {what} ({there}, not {here}):"
                    " give that to go on with it, or delete the folder"
                )
        try:
            torch.load(path.parent / LAST, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # torch raises a dozen types for a damaged file
            raise ConfigError(
                f"the unfinished run in {path.parent} has a damaged {LAST}; delete the folder"
            ) from error
        return path.parent, epochs
    return None


def _affordable(request: Request, prior: Trainable) -> tuple[int, float]:
    """Epochs that fit into the minutes, from the time of a few steps on this machine, and minutes
    that they will take."""
    device = resolve(request.device)
    prior.to(device).train()
    samples = prior.frontend.segment(SECONDS)
    wave = 0.1 * torch.randn(GPU_BATCH if request.on_gpu else BATCH, samples, device=device)
    magnitude = prior.frontend.magnitude(wave)
    started = 0.0
    for trial in range(TRIALS + 1):
        if trial == 1:  # the first also allocates and initialises
            started = time.perf_counter()
        loss = prior.loss(magnitude)["loss"]
        loss.backward()
        loss.item()  # waits for a GPU
    each = EPOCH * OVERHEAD * (time.perf_counter() - started) / TRIALS / 60
    most = MOST_FROM_ANOTHER if request.init else MOST
    epochs = max(1, round(min(most, request.minutes / each)))
    return epochs, epochs * each


def _prior(request: Request) -> Trainable:
    """The prior to start from, or one as our configuration has it, its weights random."""
    if request.init:
        other = Registry.default(request.looked_up).load(request.init)
        if not isinstance(other, Trainable) or isinstance(other, ForInstruments):
            raise ConfigError(
                f"prior {request.init!r} is of the family {other.family!r}, which does not learn "
                "one instrument from its recordings; name another as --init, or none"
            )
        return other
    described = yaml.safe_load((configs() / "instrument.yaml").read_text())["model"]["prior"]
    module, _, name = described["class_path"].rpartition(".")
    arguments = dict(described["init_args"])
    prior: Trainable = getattr(import_module(module), name)(
        Frontend(**arguments.pop("frontend")), **arguments
    )
    return prior


def _configuration(
    request: Request, prior: Prior, epochs: int, folder: Path, hours: float = 0.0
) -> dict[str, Any]:
    """The request as a configuration of `instglow fit`, on top of that of its base."""
    batch = GPU_BATCH if request.on_gpu else BATCH
    frontend = {"frontend": prior.frontend.to_dict()}
    solos = {"folder": str(request.data.resolve())}
    known = len(request.trained_on) == 1  # of several names nobody knows which hours are whose
    return {
        "model": {
            "instrument": request.name,
            "prior": {
                "class_path": class_path(type(prior)),
                "init_args": {**frontend, **prior.architecture},
            },
            "init": request.init,
            "registry": str(request.looked_up.resolve()) if request.looked_up else None,
            **({"learning_rate": RATE_FROM_ANOTHER} if request.init else {}),
            **({} if can_denoise(prior) else {"clutter": None}),
        },
        "data": {
            "source": {"class_path": class_path(SoloFolder), "init_args": solos},
            "seconds": SECONDS,
            "batch_size": batch,
            "segments_per_epoch": EPOCH * batch,
        },
        "trainer": {
            "max_steps": epochs * EPOCH,
            "max_epochs": epochs,  # for the progress shown
            **trainer_options(resolve(request.device)),
            "logger": False,
            "enable_model_summary": False,
        },
        "early_stop": {"patience": PATIENCE},
        "checkpoint": {"folder": str(folder)},
        "publish": {
            "replace": request.replace,
            "registry": str(request.registry.resolve()) if request.registry else None,
            "licence": request.licence,
            "trained_on": [
                {"name": t, "hours": round(hours, 4) if known else None, "licence": request.licence}
                for t in request.trained_on
            ],
        },
    }

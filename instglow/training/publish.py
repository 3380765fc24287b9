"""From a training checkpoint to a registered prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError, InstGlowError, RegistryError, WeightsError
from instglow.families import family
from instglow.prior import Prior
from instglow.registry import Registry, Source, validate_name
from instglow.registry.model_card import confusion
from instglow.registry.runs import RUNS, newest_run
from instglow.registry.weights import Storage
from instglow.training.discrimination import measured_others


def publish(
    checkpoint: Path,
    registry: Registry,
    name: str,
    *,
    replace: bool = False,
    trained_on: Sequence[Source] = (),
    licence: str = "unstated",
    storage: Storage = "float16",
) -> Path:
    """Register the prior of a checkpoint that `instglow fit` wrote -> the prior's folder.

    Prints a line where the prior finds another instrument likelier than its own.

    Raises:
        WeightsError: for a file that is no such checkpoint.
        RegistryError: as `Registry.add`.
    """
    prior, about = load_checkpoint(checkpoint)
    bits = bits_per_dim(about)
    folder = registry.add(
        name,
        prior,
        licence=licence,
        trained_on=trained_on,
        training=about.get("training", {}),
        bits_per_dim=bits,
        replace=replace,
        storage=storage,
    )
    if doubt := confusion(name, bits):
        print(doubt)
    return folder


def bits_per_dim(about: dict[str, Any]) -> dict[str, float]:
    """What a run recorded -> held-out bits per dimension, the own instrument's first; finite ones.

    Without a figure on the own instrument there is none.
    """
    scores = about.get("scores", {})
    own = scores.get("held-out/bits_per_dim", math.nan)
    if not math.isfinite(own):
        return {}
    others = {name: bits for name, bits in measured_others(scores) if math.isfinite(bits)}
    return {about["instrument"]: own, **others}


def load_checkpoint(checkpoint: Path) -> tuple[Prior, dict[str, Any]]:
    """A Lightning checkpoint of `PriorTraining` -> the prior and what the run recorded.

    Read with `weights_only`, so nothing in it is executed.
    """
    try:
        loaded = read_checkpoint(checkpoint)
        about = loaded["instglow"]
        prior = family(about["family"])(Frontend(**about["frontend"]), **about["architecture"])
        state = {
            key.removeprefix("prior."): tensor
            for key, tensor in loaded["state_dict"].items()
            if key.startswith("prior.")
        }
        prior.load_state_dict(state)
    except InstGlowError:
        raise
    except Exception as error:  # keys, shapes or values of another program's
        raise _not_ours(checkpoint, error) from error
    return prior, about


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """What is in a Lightning checkpoint, its tensors mapped from the file.

    Raises:
        WeightsError: for no file, or one that holds no weights.
    """
    if not checkpoint.is_file():
        raise WeightsError(f"no checkpoint {str(checkpoint)!r}; `instglow fit` writes some")
    try:
        if not is_zipfile(checkpoint):
            raise ValueError("no zip archive, or cut short")
        loaded = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        loaded["state_dict"]
    except Exception as error:  # torch raises a dozen types for a damaged file
        raise _not_ours(checkpoint, error) from error
    return loaded


def _not_ours(checkpoint: Path, error: Exception) -> WeightsError:
    reason = str(error).strip().split("\n")[0]
    return WeightsError(
        f"{checkpoint} is not a checkpoint of `instglow fit` ({reason}); name another"
    )


def newest_checkpoint(instrument: str, root: Path) -> Path:
    """The best checkpoint of the newest run of an instrument.

    Args:
        instrument: a prior's name.
        root: folder that has `runs/`.

    Raises:
        RegistryError: that says how to make one.
    """
    checkpoint = newest_run(validate_name(instrument), root)
    if checkpoint is None:
        raise RegistryError(
            f"no training run of {instrument!r} in {root / RUNS}: train it with "
            f"`instglow fit --config {instrument}.yaml`, or name a file with --checkpoint"
        )
    return checkpoint


def source_from(values: dict[str, Any]) -> Source:
    """A card's source from a configuration's mapping, or a ConfigError."""
    try:
        return Source(**{"hours": None, "licence": "unstated", **values})
    except TypeError as error:
        raise ConfigError(
            f"publish.trained_on: {values} is not name, hours, licence, note"
        ) from error

"""A card and a file of weights ◀▶ a prior."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import instglow
from instglow.errors import CardError, InstGlowError, WeightsError
from instglow.families import family
from instglow.prior import Prior
from instglow.registry.card import CARD, PriorCard, plain
from instglow.registry.weights import Storage, digest, fill, pack, unpack


def restore(folder: Path, card: PriorCard) -> Prior:
    """The prior of a folder, on the CPU and in evaluation mode.

    Raises:
        RegistryError: for a family that is not installed.
        CardError: for an architecture that does not suit the family.
        WeightsError: for weights that are missing, damaged or of another architecture.
    """
    prior = _build(family(card.family), card, str(folder / CARD))
    path = folder / card.weights
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be read: {error.strerror}; fetch or add the prior again"
        ) from error
    fill(prior, unpack(content, card.sha256, str(path)), str(path))
    return prior.eval()


def weights_and_card(
    name: str, prior: Prior, storage: Storage, **about: Any
) -> tuple[bytes, PriorCard]:
    """What the folder of a prior is to hold.

    Args:
        name: of the prior.
        prior: in the form its family builds, so before `freeze`.
        storage: see `pack`.
        about: further fields of the card.

    Raises:
        CardError, WeightsError: for what could not be read back.
    """
    where = f"prior {name!r}"
    weights = pack(prior, name, storage)
    fields = {
        **about,
        **{key: plain(about[key], where, key) for key in ("training", "bits_per_dim")},
        "architecture": plain(prior.architecture, where, "architecture"),
    }
    card = PriorCard(
        name=name,
        family=prior.family,
        frontend=prior.frontend,
        sha256=digest(weights),
        storage=storage,
        instglow=instglow.__version__,
        parameters=sum(parameter.numel() for parameter in prior.parameters()),
        **fields,
    )
    # what cannot be read back must not be written, let alone replace what can
    read = PriorCard.from_yaml(card.to_yaml(), where)
    fill(_build(type(prior), read, where), unpack(weights, read.sha256, where), where)
    return weights, card


def _build(kind: type[Prior], card: PriorCard, where: str) -> Prior:
    try:
        # fresh weights are about to be overwritten: they must not move the caller's random numbers
        with torch.random.fork_rng(devices=[]):
            return kind(card.frontend, **card.architecture)
    except (TypeError, ValueError, RuntimeError, InstGlowError) as error:
        reason = " ".join(str(error).split())
        raise CardError(
            f"{where}: field 'architecture' does not suit family {card.family!r}: {reason}; "
            "correct the card or add the prior again"
        ) from error

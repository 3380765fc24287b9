"""Tensors of a prior ◀▶ the bytes of a safetensors file. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as nnf
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor, nn

from instglow.errors import WeightsError

Storage = Literal["float32", "float16", "int7"]
"""In what floating numbers are stored; see `pack`."""

_GROUP = 32
_LARGE = 4096
_SCALE, _SHAPE = ":scale", ":shape"


def pack(prior: nn.Module, name: str, storage: Storage = "float32") -> bytes:
    """The state of a prior as a safetensors file.

    Args:
        prior: whose state.
        name: for errors.
        storage: of floating numbers. A tensor that float16 cannot hold stays in
            float32. "int7" stores large matrices in groups of 32 numbers, and the rest in float16:
            KEY (rows, groups, bytes) holds integers of 7 bits, KEY:scale (rows, groups) what they
            are multiplied by, KEY:shape what the whole is. Whatever is stored, float32 is loaded.

    Raises:
        WeightsError: for NaN or infinity.
    """
    stored: dict[str, Tensor] = {}
    for key, tensor in prior.state_dict().items():
        # a clone of its own memory: safetensors refuses views and tensors that share storage
        own = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        if own.is_floating_point() and not own.isfinite().all():
            raise WeightsError(
                f"prior {name!r}: tensor '{key}' holds NaN or infinity; its training diverged, "
                "so take an earlier checkpoint"
            )
        stored |= _stored(key, own, storage)
    return safetensors_torch.save(stored)


def unpack(content: bytes, sha256: str, where: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, if it is the one that the card speaks of.

    The hash is compared before the content is looked at. Floating numbers come back in float32.
    """
    found = digest(content)
    if found != sha256:
        raise WeightsError(
            f"{where}: the card says sha256 {sha256[:12]}, the file has {found[:12]}; "
            "it is damaged or another one: fetch or add the prior again"
        )
    try:
        tensors = safetensors_torch.load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"{where}: no safetensors file: {reason}; fetch or add the prior again"
        ) from error
    try:
        return {key: _loaded(key, tensors) for key in tensors if not key.endswith((_SCALE, _SHAPE))}
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            f"{where}: integers without scale or shape ({error}); fetch or add the prior again"
        ) from error


def fill(prior: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Copy the tensors into the prior, which must have exactly these, in these shapes."""
    wanted = prior.state_dict()
    remedy = "the card's architecture or the file is wrong: fetch or add the prior again"
    for key, tensor in wanted.items():
        if key not in tensors:
            raise WeightsError(
                f"{where}: tensor '{key}' of shape {tuple(tensor.shape)} is missing; {remedy}"
            )
        if tensors[key].shape != tensor.shape:
            raise WeightsError(
                f"{where}: tensor '{key}' has shape {tuple(tensors[key].shape)}, the architecture "
                f"has {tuple(tensor.shape)}; {remedy}"
            )
    for key, tensor in tensors.items():
        if key not in wanted:
            raise WeightsError(
                f"{where}: tensor '{key}' of shape {tuple(tensor.shape)} has no place in the "
                f"architecture; {remedy}"
            )
    prior.load_state_dict(tensors, assign=True)  # copying takes as long as reading them


def digest(content: bytes) -> str:
    """SHA-256 in 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _stored(key: str, tensor: Tensor, storage: Storage) -> dict[str, Tensor]:
    if not tensor.is_floating_point() or storage == "float32":
        return {key: tensor}
    if storage.startswith("int") and tensor.ndim > 1 and tensor.numel() >= _LARGE:
        codes, scale = _to_integers(tensor, int(storage[3:]))
        return {key: codes, key + _SCALE: scale, key + _SHAPE: torch.tensor(tensor.shape)}
    half = tensor.half()
    return {key: half if half.isfinite().all() else tensor}


def _loaded(key: str, tensors: dict[str, Tensor]) -> Tensor:
    tensor = tensors[key]
    if tensor.dtype == torch.uint8 and key + _SCALE in tensors:
        return _from_integers(tensor, tensors[key + _SCALE], tensors[key + _SHAPE].tolist())
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _to_integers(matrix: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """(rows, ...) -> (rows, groups, bytes) uint8, most significant bits first, and their scales."""
    rows = matrix.flatten(1)
    groups = nnf.pad(rows, (0, -rows.shape[1] % _GROUP)).unflatten(1, (-1, _GROUP))
    top = 2 ** (bits - 1) - 1
    best = best_error = torch.tensor(math.inf)
    # a little less than the largest number as full scale can make the error of the others smaller
    for full in (1.0, 0.96, 0.92, 0.88):
        scale = (groups.abs().amax(-1, keepdim=True) * full / top).half().clamp(min=1e-7)
        whole = (groups / scale.float()).round().clamp(-top, top)
        error = (whole * scale.float() - groups).square().sum(-1, keepdim=True)
        better = error < best_error
        best = torch.where(better, torch.cat([whole, scale.float()], -1), best)
        best_error = torch.where(better, error, best_error)
    codes = (best[..., :-1] + top).to(torch.uint8).numpy()
    narrow = np.packbits(
        np.unpackbits(codes[..., None], axis=-1)[..., -bits:].reshape(*codes.shape[:2], -1), axis=-1
    )
    return torch.from_numpy(narrow), best[..., -1].half()


def _from_integers(codes: Tensor, scale: Tensor, shape: list[int]) -> Tensor:
    bits = codes.shape[2] * 8 // _GROUP
    ones = np.unpackbits(codes.numpy(), axis=-1).reshape(*codes.shape[:2], _GROUP, bits)
    whole = np.packbits(ones, axis=-1)[..., 0] >> (
        8 - bits
    )  # packbits fills up with zeros at the end
    top = 2 ** (bits - 1) - 1
    rows = ((torch.from_numpy(whole).float() - top) * scale.float()[..., None]).flatten(1)
    return rows[:, : math.prod(shape[1:])].reshape(shape)

"""Tensors of a prior ◀▶ the bytes of a safetensors file. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor, nn

from instglow.errors import WeightsError


def pack(prior: nn.Module, name: str, half: bool = False) -> bytes:
    """The state of a prior as a safetensors file; `half` stores floating numbers in 16 bits."""
    return safetensors_torch.save(
        {key: _stored(tensor, half, name, key) for key, tensor in prior.state_dict().items()}
    )


def unpack(content: bytes, sha256: str, where: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, if it is the one that the card speaks of.

    The hash is compared before the content is looked at. 16-bit numbers come back in 32 bits.
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
    narrow = (torch.float16, torch.bfloat16)
    return {
        key: tensor.float() if tensor.dtype in narrow else tensor for key, tensor in tensors.items()
    }


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
    prior.load_state_dict(tensors)


def digest(content: bytes) -> str:
    """SHA-256 in 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _stored(tensor: Tensor, half: bool, name: str, key: str) -> Tensor:
    # a clone of its own memory: safetensors refuses views and tensors that share storage
    own = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    if not own.is_floating_point():
        return own
    if not own.isfinite().all():
        raise WeightsError(
            f"prior {name!r}: tensor '{key}' holds NaN or infinity; its training diverged, "
            "so take an earlier checkpoint"
        )
    if not half:
        return own
    narrow = own.half()
    if not narrow.isfinite().all():
        raise WeightsError(
            f"prior {name!r}: tensor '{key}' holds {own.abs().max():.3g}, more than 16 bits can "
            "say (65504); store it without half precision"
        )
    return narrow

"""Checkpoints as the paper's authors publish them: `G_<step>.pth` beside `config.json`.

Their channels after the squeeze interleave neighbouring bins, ours hold the even bins first; a
permutation of the weights makes up for it, so that the latents are the same numbers.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError, WeightsError
from instglow.families.glow import GlowPrior

_MODEL_KEYS = {
    "hidden_channels": "hidden",
    "n_blocks_dec": "steps",
    "kernel_size_dec": "kernel",
    "dilation_rate": "dilation_rate",
    "n_block_layers": "layers",
    "n_split": "groups",
    "sigmoid_scale": "bounded",
}


def load_authors(folder: Path) -> GlowPrior:
    """The newest `G_*.pth` of a folder with its `config.json`, as one of our priors.

    Raises:
        ConfigError: for a missing or strange configuration.
        WeightsError: for a missing or damaged checkpoint, or one that does not fit.
    """
    prior = _build(_configuration(folder / "config.json"))
    checkpoint = _newest(folder)
    try:
        loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types for a damaged file
        raise WeightsError(
            f"{checkpoint} is not a checkpoint of plain tensors, or damaged; get it anew"
        ) from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("model"), dict):
        raise WeightsError(f"{checkpoint} has no state dict under 'model'")
    _copy(prior, loaded["model"], checkpoint)
    return prior.eval()


def _configuration(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(
            f"cannot read {path} ({getattr(error, 'strerror', None) or _first_line(error)}); the "
            "authors' checkpoints come with one"
        ) from error
    wanted = {
        "model": [*_MODEL_KEYS, "n_sqz"],
        "data": ["n_ipt_channels", "filter_length", "hop_length", "win_length", "sampling_rate"],
    }
    for section, keys in wanted.items():
        values = config.get(section) if isinstance(config, dict) else None
        values = values if isinstance(values, dict) else {}
        missing = [key for key in keys if key not in values]
        if missing:
            raise ConfigError(f"{path} lacks {', '.join(missing)} under {section!r}")
        whole = [key for key in keys if key != "sigmoid_scale"]
        strange = [key for key in whole if type(values[key]) is not int]
        if strange:
            raise ConfigError(f"{path}: {strange[0]} is {values[strange[0]]!r}, not a whole number")
    return config


def _build(config: dict[str, Any]) -> GlowPrior:
    model, data = config["model"], config["data"]
    if model["n_sqz"] != 2 or data["win_length"] != data["filter_length"]:
        raise ConfigError(
            f"n_sqz {model['n_sqz']} and a window of {data['win_length']} samples in an FFT of "
            f"{data['filter_length']}: only n_sqz 2 and equal lengths can be imported"
        )
    architecture = {ours: model[theirs] for theirs, ours in _MODEL_KEYS.items()}
    architecture["bounded"] = bool(architecture["bounded"])
    try:
        return GlowPrior(
            Frontend(data["sampling_rate"], data["filter_length"], data["hop_length"]),
            **architecture,
            channels=data["n_ipt_channels"],
        )
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"the configuration makes no model: {_first_line(error)}") from error


def _newest(folder: Path) -> Path:
    numbered = {
        int(match[1]): path
        for path in folder.glob("G_*.pth")
        if (match := re.fullmatch(r"G_(\d+)\.pth", path.name))
    }
    if not numbered:
        raise WeightsError(f"no checkpoint G_<step>.pth in {folder}")
    return numbered[max(numbered)]


def _copy(prior: GlowPrior, tensors: dict[str, Tensor], where: Path) -> None:
    flow = prior.flow
    theirs = {name: value for name, value in tensors.items() if name.startswith("decoder.flows.")}
    remedy = "take the config.json of the same training"
    bias = theirs.get("decoder.flows.0.bias")
    if isinstance(bias, Tensor) and bias.numel() != 2 * flow.channels:
        raise WeightsError(
            f"{where}: n_ipt_channels is {bias.numel() // 2}, the configuration says "
            f"{flow.channels}; {remedy}"
        )
    half = _interleaved(flow.channels)
    both = torch.cat([half, half + flow.channels])
    wanted: dict[str, Tensor] = {}
    for number in range(len(flow.steps)):
        actnorm, conv, coupling = (f"decoder.flows.{3 * number + i}." for i in range(3))
        ours = f"flow.steps.{number}."
        wanted[ours + "actnorm.initialized"] = torch.tensor(True)
        wanted[ours + "actnorm.log_scale"] = _get(theirs, actnorm + "logs", where)[0, both]
        wanted[ours + "actnorm.bias"] = _get(theirs, actnorm + "bias", where)[0, both]
        wanted[ours + "conv1x1.weight"] = _get(theirs, conv + "weight", where)
        network = ours + "coupling.network."
        wanted[network + "start.weight"] = _folded(theirs, coupling + "start", where)[:, half]
        wanted[network + "start.bias"] = _get(theirs, coupling + "start.bias", where)
        wanted[network + "end.weight"] = _get(theirs, coupling + "end.weight", where)[both]
        wanted[network + "end.bias"] = _get(theirs, coupling + "end.bias", where)[both]
        for layer in range(prior.architecture["layers"]):
            for mine, name in (("gates", "in_layers"), ("mixes", "res_skip_layers")):
                source = f"{coupling}wn.{name}.{layer}"
                wanted[f"{network}{mine}.{layer}.weight"] = _folded(theirs, source, where)
                wanted[f"{network}{mine}.{layer}.bias"] = _get(theirs, source + ".bias", where)
    state = prior.state_dict()
    for name, tensor in wanted.items():
        if tensor.shape != state[name].shape:
            raise WeightsError(
                f"{where}: {name} is {tuple(tensor.shape)}, the configuration says "
                f"{tuple(state[name].shape)}; {remedy}"
            )
    if theirs:
        raise WeightsError(
            f"{where} holds {min(theirs)}, which the configuration has no place for; {remedy}"
        )
    prior.load_state_dict(wanted)


def _interleaved(channels: int) -> Tensor:
    """(channels,) where our i-th channel of a half stands in theirs: even bins, then odd ones."""
    return torch.cat([torch.arange(0, channels, 2), torch.arange(1, channels, 2)])


def _folded(theirs: dict[str, Tensor], name: str, where: Path) -> Tensor:
    """Weight normalisation undone: w = g · v / ‖v‖ per output channel."""
    gain, direction = (_get(theirs, f"{name}.weight_{part}", where) for part in "gv")
    return gain * direction / direction.norm(dim=(1, 2), keepdim=True)


def _get(theirs: dict[str, Tensor], name: str, where: Path) -> Tensor:
    tensor = theirs.pop(name, None)
    if not isinstance(tensor, Tensor):
        raise WeightsError(
            f"{where} lacks the tensor {name}; is the config.json that of this model?"
        )
    return tensor


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]

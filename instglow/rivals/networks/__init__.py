"""Networks that learn separation from mixtures and their stems: what the priors are compared with.

Each is found by name and imported when asked for, so that nobody pays for, or has to install, more
than is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from instglow.errors import ConfigError

if TYPE_CHECKING:
    from instglow.rivals.networks.base import Network

NETWORKS: dict[str, str] = {
    "wave-u-net": "instglow.rivals.networks.wave_u_net:WaveUNet",
    "conv-tasnet": "instglow.rivals.networks.torchaudio_models:ConvTasNet",
    "hdemucs": "instglow.rivals.networks.torchaudio_models:HDemucs",
    "openunmix": "instglow.rivals.networks.openunmix:OpenUnmix",
    "demucs": "instglow.rivals.networks.demucs:Demucs",
    "mask-net": "instglow.rivals.networks.mask_net:MaskNet",
}
"""Name, as configurations, checkpoints and --method have it -> where its class is."""


def network(name: str) -> type[Network]:
    """The class of that name; it is imported here, and not before.

    Raises:
        ConfigError: for an unknown name.
    """
    if name not in NETWORKS:
        raise ConfigError(f"unknown network {name!r}; choose one of {', '.join(NETWORKS)}")
    module, _, kind = NETWORKS[name].partition(":")
    found: type[Network] = getattr(import_module(module), kind)
    return found

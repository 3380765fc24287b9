"""Music source separation with independent, per-instrument generative priors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instglow.api import Separator
    from instglow.audio.frontend import Frontend
    from instglow.prior import (
        Decoded,
        Denoises,
        Encodes,
        ForInstruments,
        HasDensity,
        Prior,
        Trainable,
    )
    from instglow.registry import Registry

__version__ = "0.1.0"

__all__ = [
    "Decoded",
    "Denoises",
    "Encodes",
    "ForInstruments",
    "Frontend",
    "HasDensity",
    "Prior",
    "Registry",
    "Separator",
    "Trainable",
    "__version__",
]

_HOMES = {
    "Decoded": "instglow.prior",
    "Denoises": "instglow.prior",
    "Encodes": "instglow.prior",
    "ForInstruments": "instglow.prior",
    "Frontend": "instglow.audio.frontend",
    "HasDensity": "instglow.prior",
    "Prior": "instglow.prior",
    "Registry": "instglow.registry",
    "Separator": "instglow.api",
    "Trainable": "instglow.prior",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: torch alone takes a second."""
    if name not in _HOMES:
        raise AttributeError(f"module 'instglow' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)

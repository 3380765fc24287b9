"""Options that change the search of a preset, for every command that searches."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import fields, replace

from instglow.errors import ConfigError
from instglow.separation.presets import Preset

_OPTIONS = ("steps", "learning_rate", "latent_weight", "seed")


def adapted(preset: Preset, arguments: Namespace) -> Preset:
    """The preset with what the options say, or a ConfigError for one that its search lacks."""
    changes = {
        name: getattr(arguments, name) for name in _OPTIONS if getattr(arguments, name) is not None
    }
    known = {field.name for field in fields(preset.search)}
    for name in sorted(changes.keys() - known):
        raise ConfigError(
            f"{type(preset.search).__name__} has no {name.replace('_', ' ')}; leave out "
            f"--{name.replace('_', '-')}, or choose another preset"
        )
    return replace(preset, search=replace(preset.search, **changes))

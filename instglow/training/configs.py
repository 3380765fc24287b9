"""The configurations that come with InstGlow and with installed packages, found by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import instglow
from instglow import plugins
from instglow.errors import ConfigError


def class_path(kind: type) -> str:
    """What a configuration calls a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def configs() -> Path:
    """The folder of the configurations that come with InstGlow."""
    package = Path(instglow.__file__).parent
    checkout = package.parent / "configs"
    return checkout if checkout.is_dir() else package / "configs"


def find_config(name: str) -> str:
    """The path of a configuration: in the working directory, among ours, or of a package.

    Raises:
        ConfigError: for one that is nowhere; it lists those that are.
    """
    if Path(name).is_file():
        return name
    folders = list(_folders())
    for folder in folders:
        if (folder / name).is_file():
            return str(folder / name)
    there = sorted(str(file.relative_to(f)) for f in folders for file in f.rglob("*.yaml"))
    raise ConfigError(
        f"no configuration {name!r}, and none of that name among ours: {', '.join(there)}"
    )


def _folders() -> Iterator[Path]:
    yield configs()
    for _, package in plugins.available("instglow.configs"):
        yield from map(Path, package.__path__)

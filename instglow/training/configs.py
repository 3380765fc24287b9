"""The configurations that come with InstGlow and with installed packages, found by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

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


def with_bases(name: str) -> list[str]:
    """The paths of a configuration and, before it, of what it names as its `base`, and so on.

    Raises:
        ConfigError: for one that is nowhere, or its own base.
    """
    path = find_config(name)
    found = [path]
    while base := _base(Path(path)):
        beside = Path(path).with_name(base)
        path = str(beside) if beside.is_file() else find_config(base)
        if path in found:
            raise ConfigError(f"{path} is its own base; leave that key out")
        found.insert(0, path)
    return found


def _base(path: Path) -> str | None:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return None  # the parser says what is wrong with it
    return content.get("base") if isinstance(content, dict) else None


def _folders() -> Iterator[Path]:
    yield configs()
    for _, package in plugins.available("instglow.configs"):
        yield from map(Path, package.__path__)

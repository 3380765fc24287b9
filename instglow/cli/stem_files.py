"""Which files are which stem, as `--stems` has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from instglow.errors import ConfigError


def stem_files(text: str) -> dict[str, list[str]]:
    """STEM=NAME,... or a YAML file -> stem -> names of its files without their endings.

    >>> stem_files("bass=01 - Bass (DI),drums=Kick,drums=Snare")
    {'bass': ['01 - Bass (DI)'], 'drums': ['Kick', 'Snare']}

    Raises:
        ConfigError: for what is neither.
    """
    if Path(text).suffix.lower() in (".yaml", ".yml"):
        return _of_file(Path(text))
    names: dict[str, list[str]] = {}
    for pair in text.split(","):
        stem, equals, name = (part.strip() for part in pair.partition("="))
        if not (stem and equals and name):
            raise ConfigError(
                f"--stems: {pair!r} is not STEM=NAME, as in bass='01 - Bass (DI)'; names with "
                "commas need a YAML file"
            )
        names.setdefault(_stem(stem), []).append(name)
    return names


def _stem(name: str) -> str:
    """In lower case, as stems are named by files; it becomes the name of a file."""
    if name.startswith(".") or set(name) & set("/\\"):
        raise ConfigError(f"--stems: {name!r} cannot be the name of a stem; use letters and digits")
    return name.lower()


def _of_file(path: Path) -> dict[str, list[str]]:
    try:
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise ConfigError(f"--stems {path}: cannot be read ({reason}); check the file") from None
    names = {
        stem: [name] if isinstance(name, str) else name
        for stem, name in (values.items() if isinstance(values, dict) else ())
    }
    for stem, wanted in names.items():
        if not (
            isinstance(stem, str)
            and isinstance(wanted, list)
            and wanted
            and all(isinstance(name, str) for name in wanted)
        ):
            raise ConfigError(
                f"--stems {path}: {stem!r} needs a name or a list of names, got {wanted!r}; put "
                "names that are numbers in quotes"
            )
    if not names:
        raise ConfigError(f"--stems {path}: no lines `stem: name` in it")
    return {_stem(stem): wanted for stem, wanted in names.items()}

"""What installed packages bring, found through their entry points and imported when asked for.

Groups: `instglow.families` (classes of priors), `instglow.presets` (a `Preset` each),
`instglow.methods` (of evaluation), `instglow.sources` (of solo recordings), `instglow.datasets`
(readers of songs with known stems), `instglow.callbacks` (of training), `instglow.outputs` (what a
command can write besides its figures), `instglow.configs` (packages that hold YAML files).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from instglow.errors import ConfigError, InstGlowError


def offered(group: str) -> dict[str, metadata.EntryPoint]:
    """Every entry point of a group, by name; nothing is imported."""
    return {point.name: point for point in sorted(metadata.entry_points(group=group))}


def load(group: str, name: str, error: type[InstGlowError] = ConfigError) -> Any:
    """What an entry point stands for; it is imported here, and not before.

    Args:
        group: "instglow.families", for instance.
        name: of the entry point.
        error: raised for a name that nobody offers, or whose package cannot be imported.
    """
    points = offered(group)
    what = group.rpartition(".")[2]
    if name not in points:
        near = difflib.get_close_matches(name, points)
        hint = f"near: {', '.join(near)}" if near else f"there are: {', '.join(points) or 'none'}"
        raise error(f"no {name!r} among the {what}; {hint}; is the package that brings it missing?")
    try:
        return points[name].load()
    except InstGlowError:
        raise
    except Exception as cause:  # the import of a third party's package can fail in any way
        reason = " ".join(str(cause).split())
        raise error(
            f"{name!r} of the {what} ({points[name].value}) cannot be imported: "
            f"{type(cause).__name__}: {reason}; repair or reinstall its package"
        ) from cause


def available(group: str) -> Iterator[tuple[str, Any]]:
    """Name and object of every entry point of a group whose module is there.

    Raises:
        ConfigError: for one that is there, and cannot be imported.
    """
    for name, point in offered(group).items():
        try:
            yield name, load(group, name)
        except InstGlowError as error:  # noqa: PERF203 - one package each
            cause = error.__cause__
            missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
            if not missing or not f"{point.module}.".startswith(f"{missing}."):
                raise  # not its own module, but one that it needs

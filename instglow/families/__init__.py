"""Families of priors, found through the entry points of installed packages."""

from __future__ import annotations

import difflib
from importlib import metadata

from instglow.errors import RegistryError
from instglow.prior import Prior

GROUP = "instglow.families"


def families() -> dict[str, metadata.EntryPoint]:
    """Every family that an installed package offers: its name -> its entry point."""
    return {point.name: point for point in sorted(metadata.entry_points(group=GROUP))}


def family(name: str) -> type[Prior]:
    """The class of priors of that name; it is imported here, and not before."""
    offered = families()
    if name not in offered:
        near = difflib.get_close_matches(name, offered)
        raise RegistryError(
            f"no family {name!r}; "
            + (f"near: {', '.join(near)}" if near else f"there are: {', '.join(offered) or 'none'}")
            + "; the package that brings it may have to be installed"
        )
    point = offered[name]
    try:
        found = point.load()
    except Exception as error:  # the import of a third party's package can fail in any way
        reason = " ".join(str(error).split())
        raise RegistryError(
            f"family {name!r} ({point.value}) cannot be imported: "
            f"{type(error).__name__}: {reason}; repair or reinstall its package"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Prior)):
        raise RegistryError(
            f"family {name!r} is {point.value}, which is no subclass of instglow.prior.Prior; "
            "correct the entry point of its package"
        )
    return found

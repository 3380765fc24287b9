"""Families of priors, found through the entry points of installed packages."""

from __future__ import annotations

from instglow import plugins
from instglow.errors import RegistryError
from instglow.prior import Prior

GROUP = "instglow.families"


def family(name: str) -> type[Prior]:
    """The class of priors of that name; it is imported here, and not before.

    Raises:
        RegistryError: for a name that no installed package offers, or that cannot be imported.
    """
    found = plugins.load(GROUP, name, RegistryError)
    if not (isinstance(found, type) and issubclass(found, Prior)):
        raise RegistryError(
            f"family {name!r} is {plugins.offered(GROUP)[name].value}, which is not a subclass of "
            "instglow.prior.Prior; correct the entry point of its package"
        )
    return found

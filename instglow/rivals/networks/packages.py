"""Packages that only some of the networks need."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from instglow.errors import DependencyError


def package(module: str) -> ModuleType:
    """A module of an optional package.

    Raises:
        DependencyError: that says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise DependencyError(
            f"{module.partition('.')[0]} cannot be imported ({error}): "
            'pip install "instglow[baselines]"'
        ) from error

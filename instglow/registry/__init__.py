"""The registry of priors: cards, weights and the folders that hold them."""

from instglow.registry.card import PriorCard, Source, validate_name
from instglow.registry.layer import Layer
from instglow.registry.store import Entry, Registry

__all__ = ["Entry", "Layer", "PriorCard", "Registry", "Source", "validate_name"]

"""Separation with registered priors, as a method to evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from instglow.api import Separator, load_priors
from instglow.evaluation.method import Segment
from instglow.registry import Registry
from instglow.separation.presets import Preset


class SourceOnly:
    """Priors that were each trained on one instrument alone, and a search over their latents.

    Args:
        name: of the method.
        preset: how to search and refine.
        preset_name: what the preset is called.
        registry: where the priors are.
        chosen: stem -> prior; other stems follow `naming`.
        naming: the prior of a stem, "{stem}-nmf" for instance.
        device: where to search.
    """

    def __init__(
        self,
        name: str,
        preset: Preset,
        preset_name: str,
        registry: Registry,
        chosen: dict[str, str] | None = None,
        naming: str = "{stem}",
        device: torch.device | str = "cpu",
    ) -> None:
        self.name = name
        self.preset = preset
        self.preset_name = preset_name
        self.registry = registry
        self.chosen = chosen or {}
        self.naming = naming
        self.device = device
        self._separators: dict[tuple[str, ...], Separator] = {}

    def prior(self, stem: str) -> str:
        """The name of the prior that generates a stem."""
        return self.chosen.get(stem) or self.naming.format(stem=stem)

    def settings(self, stems: Sequence[str]) -> dict[str, Any]:
        """See `Method`.

        Raises:
            PriorNotFound: where a stem has no prior.
        """
        return {
            "priors": {stem: self._about(self.prior(stem)) for stem in stems},
            **self.preset.to_dict(),
        }

    def separate(self, segment: Segment, stems: Sequence[str]) -> dict[str, Tensor]:
        """See `Method`.

        Raises:
            PriorNotFound: where a stem has no prior.
        """
        if tuple(stems) not in self._separators:
            priors = load_priors([f"{stem}={self.prior(stem)}" for stem in stems], self.registry)
            self._separators[tuple(stems)] = Separator(priors, self.preset, device=self.device)
        return self._separators[tuple(stems)].separate(segment.mixture, segment.sample_rate)

    def _about(self, name: str) -> dict[str, Any]:
        card = self.registry.find(name).require_card()
        return {
            "prior": name,
            "sha256": card.sha256,
            "trained_on": [source.name for source in card.trained_on],
            "licence": [card.licence],
        }

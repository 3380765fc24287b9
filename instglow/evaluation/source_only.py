"""Separation with registered priors, as a method to evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from instglow.api import load_priors
from instglow.evaluation.method import Segment
from instglow.registry import Registry
from instglow.separation.engine import SeparationEngine
from instglow.separation.presets import Preset
from instglow.separation.search import OnStep


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
        on_step: told of the progress of each search.
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
        on_step: OnStep | None = None,
    ) -> None:
        self.name = name
        self.preset = preset
        self.preset_name = preset_name
        self.registry = registry
        self.chosen = chosen or {}
        self.naming = naming
        self.device = device
        self.on_step = on_step
        self._engines: dict[tuple[str, ...], SeparationEngine] = {}

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
            "search": {"kind": type(self.preset.search).__name__, **asdict(self.preset.search)},
            "refine": repr(self.preset.refine),
            "match_level": self.preset.match_level,
        }

    def separate(self, segment: Segment, stems: Sequence[str]) -> dict[str, Tensor]:
        """See `Method`.

        Raises:
            PriorNotFound: where a stem has no prior.
        """
        engine = self._engine(tuple(stems))
        found = engine.separate(segment.mixture.to(self.device), segment.sample_rate, self.on_step)
        return {name: stem.cpu() for name, stem in found.items()}

    def _engine(self, stems: tuple[str, ...]) -> SeparationEngine:
        if stems not in self._engines:
            priors = load_priors([f"{stem}={self.prior(stem)}" for stem in stems], self.registry)
            self._engines[stems] = SeparationEngine(priors, self.preset).to(self.device)
        return self._engines[stems]

    def _about(self, name: str) -> dict[str, Any]:
        card = self.registry.find(name).require_card()
        return {
            "prior": name,
            "sha256": card.sha256,
            "trained_on": [source.name for source in card.trained_on],
            "licence": [card.licence],
        }

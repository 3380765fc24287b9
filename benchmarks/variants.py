"""`make variants`: what each choice in training and in the search is worth, on the dev songs.

    python benchmarks/variants.py SONGS... --write docs/variants.md

Trains what a variant needs (`runs/variants/`), separates the middle of every song, and keeps the
scores (`evaluations/variants.json`), so that another call does only what is new. SONGS: folders of
<song>/<stem>.flac; songs of more than the band are remixed from its stems.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

import torch
from provenance import sign
from torch import Tensor
from torchmetrics.functional.audio import signal_noise_ratio

from instglow.api import Separator, load_priors
from instglow.data.song_folders import folder_songs
from instglow.families.glow import GlowPrior
from instglow.registry import Layer, Registry
from instglow.separation.annealing import AnnealedSearch
from instglow.separation.presets import PRESETS, Preset

BAND = ("bass", "drums", "guitar", "piano")
RUNS, SCORES = Path("runs/variants"), Path("evaluations/variants.json")
SECONDS, MOST_SONGS = 3.0, 8
STEPS = 900

QUIET = ("--model.clutter", "null")
PLAIN = ("--model.augmentation.room", "0", "--model.augmentation.drive", "0", *QUIET)
TRAININGS: dict[str, Sequence[str]] = {
    # `instglow fit` of the denoisers alone, beside the shipped flows
    "speed and equaliser": PLAIN,
    "also rooms, and drive for guitar and bass": QUIET,
    "also clutter for bass and drums": (),
}


def searches() -> dict[str, Preset]:
    """Settings of the search, all with the shipped priors."""
    default = PRESETS["default"]
    search = default.search
    assert isinstance(search, AnnealedSearch)

    def changed(**changes: object) -> Preset:
        return replace(default, search=replace(search, **changes))

    def annealed(**changes: object) -> Preset:
        annealing = replace(search.annealing, **changes)
        return replace(default, search=replace(search, annealing=annealing))

    return {
        "default": default,
        "start at the prior's mode, no annealing": changed(trust=0.0),
        "trust 0.5 in the start": changed(trust=0.5),
        "annealing from noise 8": annealed(highest=8.0),
        "annealing alone, preset `fast`": PRESETS["fast"],
    }


def train(name: str, options: Sequence[str]) -> Path:
    """-> the registry of a variant's priors, each trained unless it is there."""
    folder = RUNS / name.replace(" ", "-").replace(",", "")
    flows = Registry([Layer(RUNS / "flows", "flows")])
    for stem in BAND:
        if (folder / "priors" / stem).exists():
            continue
        if not (RUNS / "flows" / stem).exists():
            flows.add(stem, flow_of(stem), licence="MIT")
        command = [
            *(sys.executable, "-m", "instglow.cli.main", "fit"),
            *("--config", f"{stem}.yaml", "--config", "cpu.yaml", *options),
            *("--trainer.max_steps", str(STEPS), "--trainer.logger", "false"),
            *("--data.segments_per_epoch", str(8 * STEPS), "--averaging.decay", "0.995"),
            *("--model.init", stem, "--model.registry", str(RUNS / "flows")),
            *("--model.frozen", "[flow]"),
            *("--checkpoint.folder", str(folder / "runs" / stem)),
            *("--publish.registry", str(folder / "priors")),
        ]
        subprocess.run(command, check=True)
    return folder / "priors"


def flow_of(stem: str) -> GlowPrior:
    """The shipped prior without its denoiser."""
    whole = Registry.default().load(stem)
    alone = GlowPrior(whole.frontend, **{**whole.architecture, "denoiser": None})
    kept = alone.state_dict().keys()
    alone.load_state_dict({k: v for k, v in whole.state_dict().items() if k in kept})
    return alone


def excerpts(folder: Path) -> list[tuple[dict[str, Tensor], int]]:
    """The middle of each song -> true stems of the band, and their rate."""
    found = []
    for song in folder_songs(folder).songs[:MOST_SONGS]:
        count = min(song.samples, round(SECONDS * song.sample_rate))
        _, stems = song.read((song.samples - count) // 2, count)
        chosen = {name: stems[name].reshape(-1) for name in BAND if name in stems}
        found.append((chosen, song.sample_rate))
    return found


def score(preset: Preset, registry: Registry, folder: Path) -> float:
    """-> mean SDR in dB over songs and stems."""
    figures = []
    for stems, sample_rate in excerpts(folder):
        separator = Separator(load_priors(list(stems), registry), preset)
        separated = separator.separate(torch.stack(list(stems.values())).sum(0), sample_rate)
        figures += [
            float(signal_noise_ratio(separated[name].double(), stem.double()))
            for name, stem in stems.items()
        ]
    return mean(figures)


class Table:
    """Scores that were found before and are kept, by what was measured."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self.scores = json.loads(SCORES.read_text()) if SCORES.exists() else {}

    def row(self, name: str, preset: Preset, registry: Path | None = None) -> str:
        weights = Registry.default(registry)
        hashes = "".join(weights.find(stem).require_card().sha256[:8] for stem in BAND)
        figures = []
        for folder in self.folders:
            key = f"{folder} {preset} {hashes} {SECONDS}"
            if key not in self.scores:
                self.scores[key] = score(preset, weights, folder)
                SCORES.parent.mkdir(parents=True, exist_ok=True)
                SCORES.write_text(json.dumps(self.scores, indent=1) + "\n")
            figures.append(f"{self.scores[key]:.2f}")
        print(name, *figures, flush=True)
        return f"| {name} | {' | '.join(figures)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("songs", nargs="+", type=Path)
    parser.add_argument("--write", type=Path, required=True)
    parser.add_argument("--training-only", action="store_true", help="no table of the search")
    arguments = parser.parse_args()
    table = Table(arguments.songs)
    head = f"| | {' | '.join(folder.name for folder in arguments.songs)} |"
    rule = f"|---|{'---|' * len(arguments.songs)}"
    by_training = [
        table.row(f"{name}; preset `{preset}`", PRESETS[preset], train(name, options))
        for name, options in TRAININGS.items()
        for preset in ("fast", "default")
    ]
    chosen = {} if arguments.training_only else searches()
    by_search = [table.row(name, preset) for name, preset in chosen.items()]
    search = ("## The search, with the shipped priors", "", head, rule, *by_search, "")
    arguments.write.write_text(
        "\n".join(
            (
                "# Variants",
                "",
                f"Written by `make variants`. Mean SDR in dB over songs and stems, {SECONDS:g} s "
                f"from the middle of at most {MOST_SONGS} songs of bass, drums, guitar and piano. "
                "No prior was trained on these songs, nor on the pieces and SoundFonts of rendered "
                "ones.",
                "",
                *(search if by_search else ()),
                f"## Training: denoisers of {STEPS} steps",
                "",
                *(head, rule, *by_training),
                "",
            )
        )
    )
    sign(arguments.write)


if __name__ == "__main__":
    main()

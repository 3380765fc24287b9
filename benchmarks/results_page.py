"""docs/results.md, out of the JSON files that `instglow evaluate` and `likelihood` wrote."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import torch

from instglow import Registry
from instglow.registry.layer import Layer

KINDS = {
    "bound": ("mixture", "mixture-share", "ideal-ratio-mask", "ideal-magnitude"),
    "source-only": (
        *("nmf", "gan-prior", "lq-vae", "musicglow", "paper", "paper-map", "fast", "instglow"),
    ),
    "full": ("wave-u-net", "conv-tasnet", "hdemucs", "openunmix", "demucs", "mask-net"),
}
KIND = {method: kind for kind, methods in KINDS.items() for method in methods}
LABELS = {
    "mixture": "mixture as every stem",
    "mixture-share": "mixture / N",
    "nmf": "NMF dictionaries",
    "gan-prior": "GAN-prior (SpecGAN)",
    "lq-vae": "LQ-VAE",
    "musicglow": "MusicGlow (one Glow for all)",
    "paper": "InstGlow-MLE, preset `paper`",
    "paper-map": "InstGlow-MAP, preset `paper-map`",
    "fast": "InstGlow, preset `fast`",
    "instglow": "**InstGlow, preset `default`**",
    "wave-u-net": "Wave-U-Net",
    "conv-tasnet": "Conv-TasNet",
    "hdemucs": "Hybrid Demucs",
    "openunmix": "Open-Unmix",
    "demucs": "Demucs",
    "mask-net": "convolutional mask network",
    "ideal-ratio-mask": "ideal ratio mask",
    "ideal-magnitude": "ideal magnitudes",
}
RUNS_OF = {"gan-prior": "guitar-gan", "lq-vae": "lq-vae-codec"}  # one of several of equal size

SECTIONS = (
    (
        "rendered",
        "Rendered, held out",
        "Pieces and SoundFonts that nothing was trained on, four sources. Settings of the search "
        "were chosen on other rendered songs; but those of its last stage, the latent search, in "
        "an earlier version on three-second pieces of these.",
    ),
    (
        "real-dev",
        "Real recordings",
        "Multitracks by real players; of each, the stems among the four sources, remixed. "
        "Songs hold two to four of these stems. Of two ways to augment the solos, one was chosen "
        "because it did better here ([variants](variants.md), [priors](priors.md)), "
        "and which denoisers learn in clutter with an eye on these songs.",
    ),
    (
        "real-dev-all",
        "Real recordings, whole mixtures",
        "The same songs with all their stems, vocals and others too, each with a prior: what no "
        "network above can do without training anew.",
    ),
    (
        "duo",
        "Two sources",
        "Drums and piano of the rendered songs remixed, because LQ-VAE takes two sources apart.",
    ),
    (
        "example",
        "The example song",
        "What `make demo` separates; one song.",
    ),
)

HEADER = """# Results

Written by `make results`; no figure here was typed. Global SDR as in the paper, in dB: museval's
(v4) ratio over the whole segment, mean over songs, with a bootstrap 95 % interval over songs in
brackets; then medians over songs, of the global SDR, of museval's figure (median over frames of one
second) and of SI-SDR; then the mean improvement over the mixture. No method saw these songs or, in
the rendered ones, their SoundFonts. "source-only" methods learn from solo recordings of one
instrument at a time; "full" ones from random mixtures of the same solos ({minutes:.0f} minutes of
each of bass, drums, guitar, piano; seed {seed}). Sizes are millions of parameters for all four
sources together; minutes are of one CPU core, spent on training all of a method. Everything is
small: hours of a GPU would change each row.
"""


def page(out: Path, runs: Path, minutes: float, seed: int) -> str:
    """The text.

    Args:
        out: folder of the evaluations.
        runs: folder of the training runs.
        minutes: of solos of each instrument that was trained on.
        seed: that they were rendered with.
    """
    parts = [HEADER.format(minutes=minutes, seed=seed)]
    for folder, title, text in SECTIONS:
        if reports := _reports(out / folder):
            parts.append(
                f"## {title}\n\n{text}\n\n{_table(reports, runs)}\n{_notes(folder, reports)}"
            )
    parts += [_gammas(out), _likelihood(out / "likelihood.json")]
    parts.append((Path(__file__).parent / "discussion.md").read_text())
    return "\n".join(part for part in parts if part)


def headline(out: Path) -> str:
    """The README's paragraph."""
    lines = []
    for folder, songs in (
        ("rendered", "rendered songs of four sources, with pieces and SoundFonts unheard before"),
        ("real-dev", "remixed real recordings of two to four of these sources"),
    ):
        reports = _reports(out / folder)
        mean = {m: one["summary"]["all"]["mean_sdr"] for m, one in reports.items()}
        networks = {method: value for method, value in mean.items() if KIND[method] == "full"}
        if "instglow" not in mean:
            continue
        best = max(networks, key=networks.__getitem__, default=None)
        row = {
            "an equal share of the mixture": mean.get("mixture-share"),
            "NMF dictionaries": mean.get("nmf"),
            "the paper's search": mean.get("paper"),
            "InstGlow's search with the same priors": mean["instglow"],
            f"the best network trained on mixtures of the same solos ({LABELS.get(best)})": (
                networks.get(best) if best else None
            ),
            "the ideal ratio mask": mean.get("ideal-ratio-mask"),
        }
        figures = ", ".join(
            f"{name} {value:.2f}" for name, value in row.items() if value is not None
        )
        count = len(reports["instglow"]["songs"])
        lines.append(f"On {count} {songs}, mean SDR in dB: {figures}.")
    text = (
        " ".join(lines)
        + " [All methods and figures](docs/results.md); a page to listen to, made by "
        "`make page`: [docs/listen/index.html](docs/listen/index.html)."
    )
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _reports(folder: Path) -> dict[str, dict[str, Any]]:
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    return {method: found[method] for method in LABELS if method in found}


def _table(reports: dict[str, dict[str, Any]], runs: Path) -> str:
    stems = sorted(
        {s for one in reports.values() for s in one["summary"]} - {"all", "accompaniment"}
    )
    head = [
        *("method", "kind", "size", "minutes", *stems, "mean SDR (95 %)"),
        *("median SDR", "median frames", "median SI-SDR", "mean SDRi"),
    ]
    lines = [f"| {' | '.join(head)} |", "|---|---|" + "---:|" * (len(head) - 2)]
    for method, one in reports.items():
        every = one["summary"]["all"]
        low_high = every["ci95"]
        interval = f" ({low_high[0]:.1f} … {low_high[1]:.1f})" if low_high else ""
        cells = [
            *(LABELS[method], KIND[method], *_cost(method, one, runs)),
            *(_number(one["summary"].get(stem), "mean_sdr") for stem in stems),
            _number(every, "mean_sdr") + interval,
            *(_number(every, f"median_{f}") for f in ("sdr", "sdr_frames", "si_sdr")),
            _number(every, "mean_sdr_i"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _number(row: dict[str, Any] | None, figure: str) -> str:
    return "–" if row is None or row[figure] is None else f"{row[figure]:.2f}"


def _cost(method: str, one: dict[str, Any], runs: Path) -> tuple[str, str]:
    """Millions of parameters and minutes of training, or dashes."""
    if KIND[method] == "bound":
        return "", ""
    names = set(one["priors"].values()) if one["priors"] else {method}
    recorded = [runs / name / "minutes.json" for name in names]
    if method == "lq-vae":
        recorded.append(runs / "lq-vae-codec" / "minutes.json")
    minutes = [json.loads(p.read_text())["cpu_minutes"] for p in recorded if p.exists()]
    spent = f"{sum(minutes):.0f}" if minutes else "shipped"
    return f"{_parameters(method, names, runs) / 1e6:.1f}", spent


def _parameters(method: str, names: set[str], runs: Path) -> int:
    if KIND[method] == "full":
        (checkpoint,) = sorted((runs / method).glob("*/best.ckpt"))[-1:]
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        return sum(tensor.numel() for tensor in state.values())
    registry = Registry([Layer(runs / "priors", "runs"), *Registry.default().layers])
    return sum(registry.find(name).require_card().parameters for name in names)


def _notes(folder: str, reports: dict[str, dict[str, Any]]) -> str:
    if folder not in ("rendered", "real-dev"):
        return ""
    missing = [LABELS[m] for m in LABELS if m not in reports and m != "lq-vae"]
    notes = ['LQ-VAE takes two sources apart: its row is under "Two sources".']
    if missing:
        notes.append(f"Not measured in this run: {', '.join(missing)}.")
    songs = next(iter(reports.values()))
    seconds = sum(song["seconds"] for song in songs["songs"])
    silent = sum(song["silent"] for song in songs["songs"])
    notes.append(
        f"{len(songs['songs'])} songs, {songs['excerpt']:g} s from the middle of each, "
        f"{seconds:.0f} s in all; {silent} silent stems left out."
    )
    return "\n" + " ".join(notes) + "\n"


def _gammas(out: Path) -> str:
    folders = sorted(out.glob("dev-gamma-*"), key=lambda path: float(path.name[10:]))
    found = [(folder.name[10:], one) for folder in folders for one in _reports(folder).values()]
    if not found:
        return ""
    rows = [f"| {gamma} | {_number(one['summary']['all'], 'mean_sdr')} |" for gamma, one in found]
    reports = [one for _, one in found]
    return (
        "## The weight of the prior in InstGlow-MAP\n\nMean SDR over "
        f"{reports[0]['excerpt']:g} s of each of {len(reports[0]['songs'])} other rendered songs "
        "(the development set); `paper-map` takes the best above 0. γ = 0 is InstGlow-MLE.\n\n"
        "| γ | mean SDR, dB |\n|---|---:|\n" + "\n".join(rows) + "\n"
    )


def _likelihood(path: Path) -> str:
    if not path.exists():
        return ""
    measured = json.loads(path.read_text())["bits_per_dim"]
    medians = {
        prior: {name: row["median"] for name, row in found.items()}
        for prior, found in measured.items()
    }
    instruments = sorted({name for row in medians.values() for name in row})
    lines = [
        f"| bits per dimension, median | {' | '.join(instruments)} |",
        "|---|" + "---:|" * len(instruments),
    ]
    for prior, row in medians.items():
        cells = [f"{row[name]:.2f}" if name in row else "–" for name in instruments]
        lines.append(f"| prior {prior} | {' | '.join(cells)} |")
    return (
        "## How likely each prior finds each instrument\n\nThe paper's Figure 2, on the true stems "
        "of the rendered songs; lower is likelier. Compare down a column: which prior likes these "
        "recordings best? ![box plots](likelihood.png)\n\n" + "\n".join(lines) + "\n"
    )

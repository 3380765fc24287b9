"""An evaluation on Weights & Biases: its table, and its best and worst songs to listen to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instglow.audio.io import read
from instglow.evaluation.report import rows
from instglow.evaluation.run import Plan


def log(reports: Sequence[Mapping[str, Any]], plan: Plan, project: str, folder: Path) -> None:
    """Log a run for every method; offline, where nobody is logged in.

    Args:
        reports: of `report`.
        plan: of the evaluation; with `keep_audio` songs are logged too.
        project: on Weights & Biases.
        folder: where its files go.
    """
    import wandb  # slow to import

    for one in reports:
        with wandb.init(
            project=project,
            dir=folder,
            job_type="evaluate",
            name=f"{one['method']} on {one['dataset']}",
            config={key: one[key] for key in ("dataset", "method", "preset", "priors", "instglow")},
        ) as run:
            lines = rows([one])
            data = [list(line.values()) for line in lines]
            run.log({"scores": wandb.Table(columns=list[str | int](lines[0]), data=data)})
            run.summary.update({f"summary/{k}": v for k, v in one["summary"].items()})
            for label, name in _extremes(one).items():
                run.log({f"audio/{label}": _listen(wandb, plan, one["method"], name)})


def _extremes(one: Mapping[str, Any]) -> dict[str, str]:
    """best and worst -> song, by the mean SDR of its stems."""
    means = {
        song["name"]: sum(values) / len(values)
        for song in one["songs"]
        if (values := [s["sdr"] for s in song["scores"].values() if s["sdr"] is not None])
    }
    if not means:
        return {}
    return {"best": max(means, key=means.__getitem__), "worst": min(means, key=means.__getitem__)}


def _listen(wandb: Any, plan: Plan, method: str, name: str) -> list[Any]:
    song = next(song for song in plan.songs.songs if song.name == name)
    paths = plan.audio(method, song, plan.chosen(song))
    waves = {stem: read(path) for stem, path in paths.items() if path.exists()}
    return [
        wandb.Audio(wave.mean(0).numpy(), sample_rate=rate, caption=f"{name}: {stem}")
        for stem, (wave, rate) in waves.items()
    ]

"""Where `instglow fit` leaves its checkpoints: `runs/<name>/<number>/{best,last}.ckpt`."""

from __future__ import annotations

from pathlib import Path

RUNS = "runs"


def newest_run(name: str, root: Path) -> Path | None:
    """The best checkpoint of the newest run of that name, or its last; None without a run.

    Args:
        name: of a prior or a network.
        root: folder that has `runs/`.
    """
    folder = root / RUNS / name
    checkpoints = [*folder.glob("*/best.ckpt"), *folder.glob("*/last.ckpt")]
    if not checkpoints:
        return None
    newest = max(checkpoints, key=lambda path: path.stat().st_mtime).parent
    best = newest / "best.ckpt"
    return best if best.is_file() else newest / "last.ckpt"


def next_number(folder: Path) -> Path:
    """The first of `<folder>/1`, `<folder>/2` … that does not exist."""
    number = 1
    while (folder / str(number)).exists():
        number += 1
    return folder / str(number)

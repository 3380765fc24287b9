"""The command line as a user types it, in a world without account, GPU, network or registry."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path


def environment(home: Path) -> dict[str, str]:
    """What a fresh user's shell has; `home` keeps what would go to the user's data folder."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("WANDB", "INSTGLOW", "XDG", "CUDA"))
    }
    return {**kept, "HOME": str(home), "CUDA_VISIBLE_DEVICES": "", "WANDB_MODE": "offline"}


def instglow(
    *arguments: object, cwd: Path, home: Path | None = None, status: int = 0, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run `instglow ARGUMENTS` in a folder, and check its exit status."""
    done = subprocess.run(
        [sys.executable, "-m", "instglow.cli.main", *map(str, arguments)],
        cwd=cwd,
        env={**environment(home or cwd), **env},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
    return done


def start(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    """The same, still running."""
    return subprocess.Popen(
        [sys.executable, "-m", "instglow.cli.main", *map(str, arguments)],
        cwd=cwd,
        env=environment(cwd),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_interrupts,
    )


def hears_interrupts() -> None:
    """Undo that a shell makes what runs in its background, and all its children, deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def complaint(*arguments: object, cwd: Path, **options: str) -> str:
    """The one line that a command refuses with, at exit status 2; no traceback, nothing printed."""
    done = instglow(*arguments, cwd=cwd, status=2, **options)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("instglow: ")
    assert done.stdout == ""
    return lines[0]

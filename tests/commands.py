"""The command line as a user types it, in a world without account, GPU, network or registry."""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

_FORKS = multiprocessing.get_context("forkserver")
# its socket lies there, and its name must be short: before a test moves its temporary files
multiprocessing.util.get_temp_dir()
_FORKS.set_forkserver_preload(
    ["instglow.cli.separate", "instglow.cli.evaluate", "instglow.cli.add_prior"]
)


def environment(home: Path) -> dict[str, str]:
    """What a fresh user's shell has; `home` keeps what would go to the user's data folder."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("WANDB", "INSTGLOW", "XDG", "CUDA"))
    }
    return {**kept, "HOME": str(home), "CUDA_VISIBLE_DEVICES": "", "WANDB_MODE": "offline"}


def instglow(
    *arguments: object,
    cwd: Path,
    home: Path | None = None,
    status: int = 0,
    fresh: bool = False,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """Run `instglow ARGUMENTS` in a folder, and check its exit status.

    A process of its own in either case: forked from one that has imported torch already, which
    saves seconds; `fresh` starts an interpreter as a shell would.
    """
    words = [*map(str, arguments)]
    variables = {**environment(home or cwd), **env}
    if fresh:
        done = subprocess.run(
            [sys.executable, "-m", "instglow.cli.main", *words],
            cwd=cwd,
            env=variables,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    else:
        done = _forked(words, cwd, variables)
    assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
    return done


def _forked(
    words: list[str], cwd: Path, variables: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = _FORKS.Process(target=_run, args=(words, str(cwd), variables, str(out), str(err)))
        process.start()
        process.join(600)
        assert process.exitcode is not None, f"still running: {words}"
        texts = [path.read_text() if path.exists() else "" for path in (out, err)]
        return subprocess.CompletedProcess(words, process.exitcode, *texts)


def _run(words: list[str], cwd: str, variables: dict[str, str], out: str, err: str) -> NoReturn:
    """In the forked process: become the command."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables)
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    sys.argv = ["instglow", *words]
    from instglow.cli.main import main

    sys.exit(main(words))


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

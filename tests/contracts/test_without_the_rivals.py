"""The product is whole without rivals, synthesis and pages: they reach it by entry points alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import instglow

ROOT = Path(__file__).parents[2]
REST = ("rivals", "synthesis", "pages")


@pytest.mark.slow
def test_a_copy_without_them_separates_and_scores_the_example(tmp_path):
    package = tmp_path / "package" / "instglow"
    shutil.copytree(Path(instglow.__file__).parent, package, ignore=shutil.ignore_patterns(*REST))
    shutil.copytree(ROOT / "configs", package.parent / "configs")
    environment = {
        **os.environ,
        "PYTHONPATH": str(package.parent),
        "INSTGLOW_PRIORS": str(ROOT / "priors"),
        "HOME": str(tmp_path),
        "CUDA_VISIBLE_DEVICES": "",
    }

    def run(*words: object) -> str:
        command = [sys.executable, "-m", "instglow.cli.main", *map(str, words)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    song = ROOT / "examples" / "song"
    stems = ("bass-nmf", "drums-nmf")
    run("separate", song / "mixture.flac", "--priors", ",".join(stems), "--preset", "nmf")
    assert all((tmp_path / "separated" / "mixture" / f"{stem}.wav").is_file() for stem in stems)
    printed = run("evaluate", ROOT / "examples", "--method", "mixture-share", "--seconds", "2")
    assert "mixture-share" in printed
    for command in ("evaluate", "likelihood"):
        assert "--page" not in run(command, "--help")
    code = f"import instglow; assert instglow.__file__.startswith({str(package)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)

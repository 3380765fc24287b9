"""What a user installs is whole: a wheel's priors and configurations are found from anywhere."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A wheel, unpacked as an installer does."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run([*map(str, build)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    assert wheel.stat().st_size < 36 * 2**20
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site-packages")
    return folder / "site-packages"


@pytest.mark.slow
def test_a_wheel_separates_from_an_empty_folder(installed, tmp_path):
    unwanted = ("INSTGLOW_PRIORS", "XDG_DATA_HOME")
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    environment |= {"PYTHONPATH": str(installed), "HOME": str(tmp_path / "home")}
    folder = tmp_path / "empty"
    folder.mkdir()

    def run(*words):
        done = subprocess.run(
            [sys.executable, "-m", "instglow.cli.main", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    shipped = {path.name for path in (ROOT / "priors").iterdir() if path.is_dir()}
    priors = json.loads(run("list-priors", "--json"))
    assert {prior["name"] for prior in priors} == shipped
    for prior in priors:
        assert prior["problem"] is None
        assert Path(prior["path"]).is_relative_to(installed)
    assert "instrument" in run("fit", "--help")  # a configuration
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    soundfile.write(folder / "noise.wav", noise, 22050)
    run("separate", "noise.wav", "--priors", "bass,drums", "--preset", "fast", "--steps", "1")
    assert {path.name for path in (folder / "separated" / "noise").iterdir()} == {
        *("bass.wav", "drums.wav", "separation.json")
    }

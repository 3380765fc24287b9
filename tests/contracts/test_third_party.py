"""A family of priors and a preset that another package brings take part in a separation."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy
import pytest
import soundfile

from instglow import plugins
from instglow.errors import ConfigError
from instglow.separation.presets import preset

pytest.importorskip("hatchling", reason="building the package needs it")

RATE = 8000
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "steady-priors"
version = "1.0"

[project.entry-points."instglow.families"]
constant-spectrum = "steady_priors:ConstantSpectrumPrior"

[project.entry-points."instglow.presets"]
steady = "steady_priors:STEADY"
"""
MODULE = '''
"""Sounds whose spectrum never changes."""

import torch

from instglow import Decoded, Prior
from instglow.separation.presets import Preset
from instglow.separation.refine import RatioMask
from instglow.separation.search import LatentSearch


class ConstantSpectrumPrior(Prior):
    """One learnt spectrum, louder or softer from frame to frame."""

    family = "constant-spectrum"

    def __init__(self, frontend, low=0):
        super().__init__(frontend, {"low": low})
        spectrum = torch.zeros(frontend.bins)
        spectrum[low:] = 1.0
        self.register_buffer("spectrum", spectrum)

    def initial_latent(self, batch, frames, generator=None):
        return torch.ones(batch, frames)

    def decode(self, latent, frames, energy=None):
        magnitude = self.spectrum[:, None] * latent[:, None, :frames].square()
        return Decoded(magnitude, 0.5 * latent.square().sum(1) if energy else None)


STEADY = Preset(LatentSearch(steps=30, learning_rate=0.1), RatioMask())
'''
REGISTER = f"""
import torch

from instglow import Frontend, Registry
from instglow.families import family
from instglow.families.nmf import NMFPrior
from instglow.registry import Layer

frontend = Frontend({RATE}, 256, 64)
registry = Registry([Layer(__import__("pathlib").Path("registry"), "")])
registry.add("hiss", family("constant-spectrum")(frontend, low=64), licence="CC0")
low = NMFPrior(frontend, atoms=2)
with torch.no_grad():
    low.logits[64:] = -20.0
registry.add("hum", low, licence="CC0")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A folder with a song, and the package, built and installed into `site`."""
    folder = tmp_path_factory.mktemp("third-party")
    package = folder / "package"
    package.mkdir()
    (package / "pyproject.toml").write_text(PROJECT)
    (package / "steady_priors.py").write_text(MODULE)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", folder / "site"]
    subprocess.run([*pip, *offline, package], check=True, capture_output=True, text=True)

    time = numpy.arange(RATE // 2) / RATE
    song = sum(0.2 * numpy.sin(2 * numpy.pi * hertz * time) for hertz in (500, 3000))
    soundfile.write(folder / "song.wav", song, RATE, "FLOAT")
    run(folder, "-c", REGISTER)
    return folder


def run(folder: Path, *arguments: object, installed: bool = True, status: int = 0) -> str:
    """Run Python with or without the package -> stdout, or stderr where it is to fail."""
    environment = {**os.environ, "HOME": str(folder / "home"), "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = str(folder / "site") if installed else ""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


def separate(*options: object) -> tuple[object, ...]:
    command = ("-m", "instglow.cli.main", "separate", "song.wav", "--registry", "registry")
    return (*command, "--priors", "hum,hiss", *options)


@pytest.mark.slow
def test_its_prior_separates_beside_one_of_ours_with_its_own_preset(project):
    printed = run(project, *separate("--preset", "steady"))
    assert printed.startswith("song.wav: hum, hiss in separated/song (")
    folder = project / "separated" / "song"
    song, _ = soundfile.read(project / "song.wav")
    stems = {name: soundfile.read(folder / f"{name}.wav")[0] for name in ("hum", "hiss")}
    numpy.testing.assert_allclose(sum(stems.values()), song, atol=1e-4)
    # only one of them can explain either tone
    for name, own, other in (("hum", 500, 3000), ("hiss", 3000, 500)):
        assert level(stems[name], own) > 10 * level(stems[name], other)
    report = json.loads((folder / "separation.json").read_text())
    assert report["priors"].keys() == stems.keys()
    assert report["preset"] == "steady"


def level(wave: numpy.ndarray, hertz: float) -> float:
    """The amplitude of a tone in the middle of a wave."""
    middle = wave[500:-500]
    time = numpy.arange(len(middle)) / RATE
    return 2 * abs(numpy.mean(middle * numpy.exp(-2j * numpy.pi * hertz * time)))


@pytest.mark.slow
def test_without_the_package_its_prior_is_one_line_that_says_what_is_missing(project):
    said = run(project, *separate("-o", "none"), installed=False, status=2)
    assert re.fullmatch(
        r"instglow: no 'constant-spectrum' among the families; there are: .*glow.*; is the package "
        r"that brings it missing\?\n",
        said,
    )
    assert not (project / "none").exists()


def test_what_an_entry_point_calls_a_preset_has_to_be_one(monkeypatch):
    monkeypatch.setattr(plugins, "offered", lambda group: {"loud": None})
    monkeypatch.setattr(plugins, "load", lambda group, name: 11)
    with pytest.raises(ConfigError, match=r"'loud' of an installed package .*Preset.* 11"):
        preset("loud")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("import no_such_dependency", "No module named 'no_such_dependency'; repair or reinstall"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_imported_is_one_line_and_what_is_not_there_is_none(
    module, message, monkeypatch, tmp_path
):
    (tmp_path / "broken_plugin.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    points = [EntryPoint("gone", "no_such_package.outputs:Page", "instglow.outputs")]
    monkeypatch.setattr(plugins, "offered", lambda group: {point.name: point for point in points})
    assert list(plugins.available("instglow.outputs")) == []
    points.append(EntryPoint("broken", "broken_plugin:Page", "instglow.outputs"))
    with pytest.raises(ConfigError, match=f"'broken' of the outputs .*{message}"):
        list(plugins.available("instglow.outputs"))

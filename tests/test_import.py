"""Who imports InstGlow pays for what is used: nothing heavy comes along unasked."""

import os
import subprocess
import sys

import pytest

import instglow
from instglow.cli.main import COMMANDS

TRAINING = {"lightning", "pytorch_lightning", "wandb", "musdb", "museval"}


def imported(code: str, tmp_path) -> set[str]:
    """Names of the modules that a fresh interpreter has after running the code."""
    environment = {key: value for key, value in os.environ.items() if key != "INSTGLOW_PRIORS"}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint('MODULES', *sys.modules)"],
        cwd=tmp_path,
        env={**environment, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return set(done.stdout.rsplit("MODULES ", 1)[1].split())


def test_the_package_itself_is_light(tmp_path):
    modules = imported("import instglow; instglow.__version__", tmp_path)
    assert "instglow" in modules
    assert not modules & {*TRAINING, "torch", "numpy"}


def test_a_separator_needs_no_training_framework(tmp_path):
    modules = imported("from instglow import Separator", tmp_path)
    assert "torch" in modules
    assert not modules & TRAINING


def test_separate_shows_its_bar_before_anything_that_it_may_not_need(tmp_path):
    modules = imported("import instglow.cli.separate", tmp_path)
    assert "torch" in modules
    assert not modules & {*TRAINING, "torchmetrics", "scipy.signal", "sympy", "torch._dynamo"}


def test_all_public_names_need_no_training_framework(tmp_path):
    modules = imported("from instglow import *; Registry, Prior, Trainable, Frontend", tmp_path)
    assert not modules & TRAINING


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        *(f"{command} --help" for command in COMMANDS),
        "list-priors",
        "show-prior bass",
        "show-prior bass --json",
    ],
)
def test_help_and_listings_answer_without_torch(tmp_path, words):
    code = f"from instglow.cli.main import main; assert main({words.split()!r}) == 0"
    assert not imported(code, tmp_path) & {*TRAINING, "torch", "numpy", "scipy", "soundfile"}


def test_a_wrong_option_is_refused_without_torch(tmp_path):
    code = "from instglow.cli.main import main; assert main(['separate', '--loud']) == 2"
    code = (
        f"import os, sys; sys.stderr = open(os.devnull, 'w'); {code}; sys.stderr = sys.__stderr__"
    )
    assert "torch" not in imported(code, tmp_path)


def test_a_command_names_what_it_does_not_import():
    from instglow import names
    from instglow.evaluation.catalogue import BOUNDS, method_names
    from instglow.separation.presets import PRESETS

    assert set(names.PRESETS) == set(PRESETS)
    assert set(names.METHODS) <= set(method_names())
    assert set(BOUNDS) < set(names.METHODS)


@pytest.mark.parametrize("name", instglow.__all__)
def test_public_names_resolve(name):
    found = getattr(instglow, name)
    assert found is not None
    assert getattr(found, "__doc__", None)


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'instglow' has no attribute 'Seperator'"):
        instglow.Seperator  # noqa: B018

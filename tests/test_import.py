"""Who imports InstGlow pays for what is used: nothing heavy comes along unasked."""

import os
import subprocess
import sys

import pytest

import instglow

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


def test_all_public_names_need_no_training_framework(tmp_path):
    modules = imported("from instglow import *; Registry, Prior, Trainable, Frontend", tmp_path)
    assert not modules & TRAINING


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], {*TRAINING, "torch"}),
        (["--version"], {*TRAINING, "torch"}),
        (["list-priors"], TRAINING),
    ],
)
def test_commands_that_neither_train_nor_separate_are_light(tmp_path, arguments, unwanted):
    code = f"from instglow.cli.main import main; assert main({arguments!r}) == 0"
    assert not imported(code, tmp_path) & unwanted


@pytest.mark.parametrize("name", instglow.__all__)
def test_public_names_resolve(name):
    found = getattr(instglow, name)
    assert found is not None
    assert getattr(found, "__doc__", None)


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'instglow' has no attribute 'Seperator'"):
        instglow.Seperator  # noqa: B018

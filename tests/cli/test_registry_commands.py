import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest
import torch

import instglow
from instglow.audio.frontend import Frontend
from instglow.cli.main import COMMANDS, Command, main
from instglow.errors import OutputError
from instglow.prior import Prior
from instglow.registry import Layer, Registry, store


class ToyPrior(Prior):
    family = "toy"

    def __init__(self, frontend, width=3):
        super().__init__(frontend, {"width": width})
        self.weight = torch.nn.Parameter(torch.zeros(width, frontend.bins))

    def initial_latent(self, batch, frames, generator=None):
        raise NotImplementedError

    def decode(self, latent, frames, energy=None):
        raise NotImplementedError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty working directory, no user data, nothing shipped."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INSTGLOW_PRIORS", raising=False)
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / "data")
    monkeypatch.setattr(store, "_shipped", lambda: tmp_path / "shipped")
    return tmp_path


def add(path, name, width=3):
    prior = ToyPrior(Frontend(8000, 64, 16), width)
    return Registry([Layer(path, "")]).add(name, prior, licence="CC0")


def table(text):
    return [re.split(r"\s{2,}", line) for line in text.splitlines()]


def test_list_priors_with_none(capsys):
    assert main(["list-priors"]) == 0
    assert capsys.readouterr().out == (
        "no priors yet; `instglow fit` trains one, `instglow add-prior` registers one\n"
    )
    assert main(["list-priors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_list_priors_prints_a_table(home, capsys):
    add(home / "mine", "bass", width=1000)
    add(home / "shipped", "bass")
    add(home / "shipped", "drums")
    (add(home / "data" / "priors", "guitar") / "card.yaml").write_text("format: 3\n")
    assert main(["list-priors", "--registry", "mine"]) == 0
    out = capsys.readouterr().out
    assert table(out) == [
        ["name", "family", "MB", "parameters", "frontend", "where", "hides"],
        [
            *("bass", "toy", "0.1", "33,000", "8000 Hz, 64/16", "--registry: mine/bass"),
            f"{home}/shipped/bass",
        ],
        ["drums", "toy", "0.0", "99", "8000 Hz, 64/16", f"shipped: {home}/shipped/drums", "-"],
        ["guitar", "broken", "-", "-", "-", f"user data: {home}/data/priors/guitar", "-"],
        [""],
        [
            f"guitar: {home}/data/priors/guitar/card.yaml: format 3 is newer than this InstGlow "
            "(format 2); upgrade"
        ],
    ]
    starts = [line.index("Hz") for line in out.splitlines()[1:3]]
    assert len(set(starts)) == 1  # columns are aligned


def test_list_priors_as_json_has_the_same_keys_for_all(home, capsys):
    good, broken = add(home / "data" / "priors", "bass"), add(home / "data" / "priors", "drums")
    (broken / "card.yaml").unlink()
    assert main(["list-priors", "--json"]) == 0
    bass, drums = json.loads(capsys.readouterr().out)
    assert bass == {
        "name": "bass",
        "family": "toy",
        "bytes": (good / "weights.safetensors").stat().st_size,
        "parameters": 99,
        "frontend": {"sample_rate": 8000, "n_fft": 64, "hop_length": 16},
        "path": str(good),
        "layer": "user data",
        "hides": [],
        "problem": None,
    }
    assert list(drums) == list(bass)
    assert drums["family"] is drums["bytes"] is drums["frontend"] is None
    assert drums["problem"].endswith(
        "cannot be read: No such file or directory; add the prior again"
    )


def test_show_prior(home, capsys):
    add(home / "mine", "bass")
    hidden = add(home / "shipped", "bass")
    assert main(["show-prior", "bass", "--registry", "mine"]) == 0
    where, hides, card = capsys.readouterr().out.split("\n", 2)
    assert (where, hides) == ("# --registry: mine/bass", f"# hides {hidden}")
    assert card == (home / "mine" / "bass" / "card.yaml").read_text()

    assert main(["show-prior", "--json", "bass"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == ["name", "path", "layer", "hides", "card"]
    assert (shown["path"], shown["layer"], shown["hides"]) == (str(hidden), "shipped", [])
    assert shown["card"]["architecture"] == {"width": 3}


def test_remove_prior_says_what_shows_again(home, capsys):
    mine, hidden = add(home / "mine", "bass"), add(home / "shipped", "bass")
    assert main(["remove-prior", "bass", "--registry", str(home / "mine")]) == 0
    assert capsys.readouterr().out == f"removed {mine}\nprior 'bass' is now {hidden}\n"
    assert not mine.exists()
    assert main(["remove-prior", "bass"]) == 2
    assert capsys.readouterr().err == (
        f"instglow: prior 'bass' is shipped with InstGlow ({hidden}) and cannot be removed; "
        "one of the same name added elsewhere hides it\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list-prior"], "no command 'list-prior'; did you mean list-priors?"),
        (["xyzzy"], "no command 'xyzzy'; see `instglow --help`"),
        (["--jobs"], "no command '--jobs'; see `instglow --help`"),
        (
            ["list-priors", "--jsn"],
            "unrecognized arguments: --jsn; see `instglow list-priors --help`",
        ),
        (
            ["show-prior"],
            "the following arguments are required: NAME; see `instglow show-prior --help`",
        ),
        (
            ["show-prior", "../x"],
            "'../x' is no name for a prior: use lower case letters, digits, '-' and '_', a letter "
            "or digit first, at most 64 characters",
        ),
        (
            ["remove-prior", "bass"],
            "no prior 'bass'; there are: none yet; `instglow add-prior bass` adds it once it is "
            "trained",
        ),
    ],
)
def test_a_mistake_is_one_line_and_status_2(arguments, message, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", f"instglow: {message}\n")


def test_show_prior_of_a_broken_card(home, capsys):
    (add(home / "data" / "priors", "bass") / "card.yaml").write_text("a: [\n")
    assert main(["show-prior", "bass"]) == 2
    assert capsys.readouterr().err.startswith(
        f"instglow: {home}/data/priors/bass/card.yaml: not YAML: "
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_the_overview_names_every_command(arguments, capsys):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: instglow COMMAND")
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.text)}$", out, re.MULTILINE)


def test_help_and_version(capsys):
    assert main(["show-prior", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: instglow show-prior")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"instglow {instglow.__version__}\n"


def run_with(monkeypatch, action):
    """Run a command whose `run` is the action -> the exit status."""
    module = types.ModuleType("command_of_this_test")
    module.run = action
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(COMMANDS, "act", Command(module.__name__, "act"))
    return main(["act", "--now"])


def raising(error):
    def run(argv, prog):
        raise error

    return run


def test_a_command_gets_its_arguments_and_gives_the_status(monkeypatch):
    seen = []
    assert run_with(monkeypatch, lambda argv, prog: seen.append((argv, prog))) == 0
    assert seen == [(["--now"], "instglow act")]
    assert run_with(monkeypatch, lambda argv, prog: 3) == 3


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (OutputError("no room in a\nb; make some"), 2, "instglow: no room in a b; make some\n"),
        (KeyboardInterrupt(), 130, "instglow: interrupted\n"),
        (BrokenPipeError(), 141, ""),
        (SystemExit(), 0, ""),
        (SystemExit(4), 4, ""),
        (SystemExit("gone"), 1, "gone\n"),
    ],
)
def test_how_a_command_can_end(monkeypatch, capsys, error, status, message):
    monkeypatch.setattr(os, "dup2", lambda *_: None)  # the true stdout belongs to pytest
    assert run_with(monkeypatch, raising(error)) == status
    assert capsys.readouterr().err == message


def test_a_bug_keeps_its_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        run_with(monkeypatch, raising(ZeroDivisionError()))


def test_sigterm_runs_finally_blocks_and_ends_with_143(monkeypatch):
    before, cleaned = signal.getsignal(signal.SIGTERM), []

    def run(argv, prog):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except Exception:
            pytest.fail("a command's own `except Exception` swallowed the signal")
        finally:
            cleaned.append(True)

    assert run_with(monkeypatch, run) == 143
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("leaves", [False, True])  # as Lightning does for a SIGTERM it heard of
def test_a_sigterm_that_python_drops_is_not_a_success(monkeypatch, leaves):
    class Unlucky(io.RawIOBase):
        def close(self):
            if not self.closed:
                super().close()
                signal.raise_signal(signal.SIGTERM)

    def run(argv, prog):
        Unlucky()  # freed at once; what is raised meanwhile is lost
        if leaves:
            raise SystemExit

    assert run_with(monkeypatch, run) == 143


def test_commands_run_in_threads_too(capsys):
    status = []
    thread = threading.Thread(target=lambda: status.append(main(["--version"])))
    thread.start()
    thread.join()
    assert status == [0]


def test_a_path_that_the_terminal_cannot_print_is_escaped(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert run_with(monkeypatch, lambda argv, prog: print("é\udcff")) == 0
    assert terminal.buffer.getvalue() == b"\\xe9\\udcff\n"


def in_a_new_process(code, **options):
    environment = {**os.environ, "PYTHONPATH": str(Path(instglow.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, **options
    )


def test_the_overview_imports_nothing_heavy_and_list_priors_no_training():
    code = """
import sys
from instglow.cli.main import main
main(["--help"])
assert "torch" not in sys.modules
main(["list-priors"])
heavy = {"lightning", "pytorch_lightning", "wandb", "musdb", "museval"} & sys.modules.keys()
assert not heavy, heavy
"""
    done = in_a_new_process(code, check=False)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_leaves_early_is_no_error():
    code = "import sys; from instglow.cli.main import main; sys.exit(main())"
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONPATH": str(Path(instglow.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")

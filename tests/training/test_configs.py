import pytest
import yaml

from instglow.cli.main import main
from instglow.cli.train_options import in_order
from instglow.errors import ConfigError
from instglow.training.configs import configs, with_bases


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Configurations with one base, which has one too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    for name, base in (("one", "all"), ("two", "all"), ("loop", "loop"), ("all", "cpu")):
        (tmp_path / "own" / f"{name}.yaml").write_text(f"base: {base}.yaml\n")
    return tmp_path


def test_a_base_comes_first_from_beside_the_file_or_from_ours(folder):
    assert with_bases("own/one.yaml") == [
        str(configs() / "cpu.yaml"),
        "own/all.yaml",
        "own/one.yaml",
    ]


def test_a_base_that_two_share_does_not_undo_what_the_first_changes(folder):
    words = in_order(["--config", "own/one.yaml", "-c", "own/two.yaml"])
    files = [str(configs() / "cpu.yaml"), "own/all.yaml", "own/one.yaml", "own/two.yaml"]
    assert words[1::2] == files
    assert set(words[::2]) <= {"--config", "-c"}


def test_what_is_no_base_is_refused(folder):
    with pytest.raises(ConfigError, match=r"own/loop\.yaml is its own base; leave that key out"):
        with_bases("own/loop.yaml")
    with pytest.raises(ConfigError, match="--base is for configuration files; name it as a first"):
        in_order(["--base", "guitar.yaml"])


def test_an_instrument_has_all_of_the_base_but_what_it_changes(capsys):
    base, drums = (settings(capsys, name) for name in ("instrument", "drums"))
    assert drums["prior"] == base["prior"]
    assert drums["prior"]["init_args"]["denoiser"]
    assert drums["augmentation"] == {**base["augmentation"], "room": 0.3}
    assert drums["augmentation"]["speed"] > 0


def settings(capsys, name):
    capsys.readouterr()
    words = ("--config", f"{name}.yaml", "--model.instrument", name, "--print_config")
    assert main(["fit", *words]) == 0
    return yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]

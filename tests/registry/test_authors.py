"""Golden data: what the authors' own code computes from two small checkpoints."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from instglow.cli.main import main
from instglow.errors import ConfigError, WeightsError
from instglow.flows.glow import standard_normal_energy
from instglow.registry import Registry
from instglow.registry.authors import load_authors
from instglow.separation.objective import kullback_leibler
from instglow.separation.search import LatentSearch

GOLDEN = Path(
    os.environ.get(
        "INSTGLOW_GOLDEN",
        Path(__file__).parents[3] / "shared" / "data" / "reference-checkpoint",
    )
)
pytestmark = pytest.mark.skipif(
    not (GOLDEN / "expected.npz").is_file(),
    reason="the authors' golden data are not here; name their folder in INSTGLOW_GOLDEN",
)


@pytest.fixture(scope="module")
def expected() -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / "expected.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="module")
def priors() -> dict[str, torch.nn.Module]:
    return {
        name: load_authors(GOLDEN / name).eval().requires_grad_(False) for name in ("alpha", "beta")
    }


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_decodes_and_encodes_as_the_authors_code(priors, expected, name):
    flow = priors[name].flow
    decoded, ladj = flow.inverse(expected["latent"])
    torch.testing.assert_close(decoded, expected[f"{name}_decoded"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ladj, expected[f"{name}_decode_logdet"], rtol=1e-4, atol=1e-2)
    encoded, ladj = flow(decoded)
    torch.testing.assert_close(encoded, expected[f"{name}_encoded"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ladj, expected[f"{name}_encode_logdet"], rtol=1e-4, atol=1e-2)


def test_the_command_registers_them(tmp_path, expected, capsys):
    folder = str(tmp_path / "priors")
    command = ["add-prior", "vocals", "--from-authors", str(GOLDEN / "alpha")]
    assert main([*command, "--registry", folder]) == 0
    assert "added prior 'vocals'" in capsys.readouterr().out
    prior = Registry.default(Path(folder)).load("vocals")
    decoded, _ = prior.flow.inverse(expected["latent"])
    torch.testing.assert_close(decoded, expected["alpha_decoded"], rtol=1e-4, atol=1e-4)
    # the bin of padding is neither asked of a mixture nor returned
    assert prior.decode(expected["latent"], 32).magnitude.shape == (1, 513, 32)


def authors_objective(magnitudes: torch.Tensor, priors, expected, weight: float, space: str):
    """Their formula, recomputed from source magnitudes (sources, 514, frames)."""
    mixture = expected["mixture"]
    divergence = kullback_leibler(mixture, magnitudes.sum(0)[:513].abs()).sum() / (514 * 32)
    energy = torch.zeros(())
    for prior, source in zip(priors.values(), magnitudes, strict=True):
        latent, ladj = prior.flow(source[None])
        # in data space −log p(x) = ½‖z‖² − log|dz/dx|
        cost = standard_normal_energy(latent) - (ladj if space == "data" else 0)
        energy = energy + cost[0] / latent.numel()
    return divergence + weight * energy


@pytest.mark.parametrize(
    ("golden", "weight", "space"),
    [
        ("search_mle", 0.0, "latent"),
        ("search_map_x", 0.05, "data"),
        ("search_map_z", 0.05, "latent"),
    ],
)
def test_searches_as_the_authors_code(priors, expected, golden, weight, space):
    search = LatentSearch(steps=20, learning_rate=0.01, latent_weight=weight, space=space)
    found = search(list(priors.values()), expected["mixture"][None]).magnitudes[0]
    # the last bin is padding, which a search neither sees nor returns
    theirs = expected[golden]
    ours = torch.cat([found, theirs[:, 513:]], 1)
    with torch.no_grad():
        wanted = authors_objective(theirs, priors, expected, weight, space)
        got = authors_objective(ours, priors, expected, weight, space)
    assert float(abs(got - wanted) / abs(wanted)) < 0.01
    assert float((found - theirs[:, :513]).norm() / theirs[:, :513].norm()) < 0.1


def test_the_masked_result_is_the_authors(priors, expected):
    found = LatentSearch(steps=20)(list(priors.values()), expected["mixture"][None]).magnitudes[0]
    masked = found * expected["mixture"] / found.sum(0).abs()
    theirs = expected["search_mle_wiener"][:, :513]
    # bins where the sum passes zero are noise in both: compare where it is well away from it
    steady = expected["search_mle"].sum(0)[:513].abs() > 0.2 * expected["mixture"]
    assert float((masked - theirs)[:, steady].norm() / theirs[:, steady].norm()) < 0.1
    assert float(steady.float().mean()) > 0.5


def test_a_checkpoint_and_configuration_that_do_not_fit_are_named(tmp_path):
    shutil.copy(GOLDEN / "alpha" / "G_7.pth", tmp_path)
    config = json.loads((GOLDEN / "alpha" / "config.json").read_text())
    config["model"]["hidden_channels"] = 24
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"start.weight is \(16, 514, 1\).*says \(24, 514, 1\)"):
        load_authors(tmp_path)
    del config["model"]["n_split"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="lacks n_split under 'model'"):
        load_authors(tmp_path)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("model", "n_blocks_dec", 1, r"holds decoder\.flows\.3\.bias, which the configuration has"),
        ("data", "n_ipt_channels", 600, "n_ipt_channels is 514, the configuration says 600"),
        ("data", "n_ipt_channels", 10, "n_ipt_channels is 514, the configuration says 10"),
        ("model", "hidden_channels", True, "hidden_channels is True, not a whole number"),
    ],
)
def test_a_configuration_of_another_training_is_refused(tmp_path, section, key, value, message):
    shutil.copy(GOLDEN / "alpha" / "G_7.pth", tmp_path)
    config = json.loads((GOLDEN / "alpha" / "config.json").read_text())
    config[section][key] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises((WeightsError, ConfigError), match=message):
        load_authors(tmp_path)


def test_a_damaged_checkpoint_is_named(tmp_path):
    shutil.copy(GOLDEN / "alpha" / "config.json", tmp_path)
    with pytest.raises(WeightsError, match=r"no checkpoint G_<step>\.pth"):
        load_authors(tmp_path)
    (tmp_path / "G_1.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError, match="not a checkpoint of plain tensors"):
        load_authors(tmp_path)

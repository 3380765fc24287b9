import hashlib
import importlib.metadata
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import get_args

import pytest
import torch
from killing import killed_at
from safetensors.torch import load_file, save_file

from instglow import plugins
from instglow.audio.frontend import Frontend
from instglow.errors import (
    CardError,
    InvalidName,
    OutputError,
    PriorExists,
    PriorNotFound,
    RegistryError,
    WeightsError,
)
from instglow.families import family
from instglow.prior import Decoded, Prior
from instglow.registry import Layer, Registry, Source
from instglow.registry import layer as layer_module
from instglow.registry.weights import Storage, pack

FRONTEND = Frontend(8000, 64, 16)
STORAGES = get_args(Storage)


class ToyPrior(Prior):
    family = "toy"

    def __init__(self, frontend, width=3, scale=1.0):
        if width < 1:
            raise ValueError(f"width is {width}; at least 1")
        super().__init__(frontend, {"width": width, "scale": scale})
        self.weight = torch.nn.Parameter(torch.randn(width, frontend.bins))
        self.shared = self.weight  # two names of one storage, which safetensors alone refuses
        self.register_buffer("steps", torch.tensor(7))

    def initial_latent(self, batch, frames, generator=None):
        return torch.zeros(batch, self.weight.shape[0], frames)

    def decode(self, latent, frames, energy=None):
        return Decoded(torch.einsum("bwt,wf->bft", latent, self.weight), None)


@pytest.fixture(autouse=True)
def toy_family(monkeypatch):
    points = importlib.metadata.EntryPoints(
        importlib.metadata.EntryPoint(name, value, "instglow.families")
        for name, value in [
            ("toy", f"{__name__}:ToyPrior"),
            ("absent", "no_such_package_at_all:Prior"),
            ("odd", "json:dumps"),
        ]
    )
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: points.select(group=group)
    )


@pytest.fixture
def registry(tmp_path):
    return Registry(
        [
            Layer(tmp_path / "first", "first"),
            Layer(tmp_path / "second", "second"),
            Layer(tmp_path / "shipped", "shipped", read_only=True),
        ]
    )


def add(registry, name="bass", width=3, **options):
    """Add a prior with fresh random weights -> the prior."""
    prior = ToyPrior(FRONTEND, width)
    registry.add(name, prior, licence="CC0", **options)
    return prior


def only(layer, *, read_only=False):
    return Registry([Layer(layer.path, layer.label, read_only)])


def assert_same(one, other):
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


def test_load_gives_back_what_was_added(registry):
    prior = add(registry, trained_on=[Source("ours", 2.0, "CC0")], training={"steps": (1, 2)})
    state = torch.random.get_rng_state()
    loaded = registry.load("bass")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert type(loaded) is ToyPrior
    assert not loaded.training
    assert loaded.frontend == FRONTEND
    assert loaded.architecture == prior.architecture
    assert_same(loaded, prior)
    card = registry.find("bass").require_card()
    assert card.parameters == 3 * 33
    assert card.training == {"steps": [1, 2]}
    weights = registry.find("bass").path / "weights.safetensors"
    assert card.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert sorted(p.name for p in registry.find("bass").path.iterdir()) == [
        *("README.md", "card.yaml", "weights.safetensors")
    ]
    assert (registry.find("bass").path / "README.md").read_text().startswith("# bass\n")


def test_half_precision_is_stored_in_16_bits_and_loaded_in_32(registry):
    prior = add(registry, storage="float16")
    stored = load_file(registry.find("bass").path / "weights.safetensors")
    assert stored["weight"].dtype == torch.float16
    assert stored["steps"].dtype == torch.int64
    loaded = registry.load("bass")
    assert loaded.weight.dtype == torch.float32
    assert torch.equal(loaded.weight, prior.weight.half().float())


def test_adding_leaves_the_prior_as_it_was(registry):
    prior = ToyPrior(FRONTEND)
    before = prior.weight.detach().clone()
    registry.add("bass", prior, licence="CC0", storage="int7")
    assert prior.training
    assert torch.equal(prior.weight, before)


def test_the_first_layer_hides_the_later_ones(registry, tmp_path):
    first, second, shipped = registry.layers
    for at in (shipped, second, first):
        prior = add(Registry([Layer(at.path, at.label)]))
    add(only(second), "drums")
    assert_same(registry.load("bass"), prior)
    bass, drums = registry.list()
    assert (bass.name, bass.layer, bass.path) == ("bass", "first", first.path / "bass")
    assert bass.hides == (second.path / "bass", shipped.path / "bass")
    assert (drums.name, drums.layer, drums.hides) == ("drums", "second", ())

    assert registry.remove("bass").hides[0] == second.path / "bass"
    assert registry.find("bass").path == second.path / "bass"
    registry.remove("bass")
    with pytest.raises(RegistryError) as caught:
        registry.remove("bass")
    assert str(caught.value) == (
        f"prior 'bass' is shipped with InstGlow ({shipped.path / 'bass'}) and cannot be removed; "
        "one of the same name added elsewhere hides it"
    )
    assert registry.find("bass").layer == "shipped"


def test_default_layers_in_order(tmp_path, monkeypatch):
    named, work = tmp_path / "named", tmp_path / "work"
    (work / "priors").mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setenv("INSTGLOW_PRIORS", str(named))
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / "data" / name)
    layers = Registry.default(tmp_path / "extra").layers
    assert [(layer.label, layer.path, layer.read_only) for layer in layers[:4]] == [
        ("--registry", tmp_path / "extra", False),
        ("$INSTGLOW_PRIORS", named, False),
        ("working directory", work / "priors", False),
        ("user data", tmp_path / "data" / "instglow" / "priors", False),
    ]
    assert (layers[4].label, layers[4].read_only) == ("shipped", True)

    monkeypatch.setenv("INSTGLOW_PRIORS", str(work / ".." / "work" / "priors"))
    labels = [layer.label for layer in Registry.default(Path("priors")).layers]
    assert labels == ["--registry", "user data", "shipped"]  # one folder counts once

    (work / "priors").rmdir()
    monkeypatch.setenv("INSTGLOW_PRIORS", "")
    assert [layer.label for layer in Registry.default().layers] == ["user data", "shipped"]


def test_shipped_priors_lie_in_the_package_or_beside_it_in_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr("instglow.__file__", str(tmp_path / "instglow" / "__init__.py"))
    assert Registry.default().layers[-1].path == tmp_path / "instglow" / "shipped"
    (tmp_path / "pyproject.toml").touch()
    assert Registry.default().layers[-1].path == tmp_path / "priors"


def test_writing_goes_to_the_first_writable_layer(tmp_path):
    (tmp_path / "file").write_text("")
    blocked = Layer(tmp_path / "file" / "priors", "blocked")
    free = Layer(tmp_path / "deep" / "new", "free")
    registry = Registry([Layer(tmp_path / "ro", "shipped", read_only=True), blocked, free])
    add(registry)
    assert registry.find("bass").path == free.path / "bass"
    with pytest.raises(RegistryError) as caught:
        add(Registry([blocked]))
    assert str(caught.value) == (
        f"cannot write to any of {blocked.path}; name a folder with --registry"
    )


def test_a_prior_that_would_be_hidden_at_once_is_refused(tmp_path):
    add(Registry([Layer(tmp_path / "a", "a")]))
    locked = Layer(tmp_path / "a", "a", read_only=True)
    with pytest.raises(PriorExists) as caught:
        add(Registry([locked, Layer(tmp_path / "b", "b")]), replace=True)
    assert str(caught.value) == (
        f"prior 'bass' in {tmp_path / 'a' / 'bass'} cannot be written to and would hide one added "
        f"to {tmp_path / 'b'}; choose another name"
    )


def test_a_prior_is_replaced_only_when_asked(registry):
    old = add(registry)
    with pytest.raises(PriorExists) as caught:
        add(registry)
    path = registry.layers[0].path
    assert str(caught.value) == (
        f"prior 'bass' is there already, in {path / 'bass'}; "
        "--replace puts the new one in its place"
    )
    assert_same(registry.load("bass"), old)
    new = add(registry, width=5, replace=True)
    assert_same(registry.load("bass"), new)
    assert sorted(p.name for p in path.iterdir()) == [".lock", "bass"]


def test_a_folder_that_holds_no_prior_is_left_alone(registry):
    song = registry.layers[0].path / "bass" / "song.wav"
    song.parent.mkdir(parents=True)
    song.write_text("sound")
    assert registry.list() == []
    with pytest.raises(RegistryError, match=r"bass is there and holds no prior; move it away$"):
        add(registry, replace=True)
    assert song.read_text() == "sound"


def test_an_unknown_name_is_answered_with_near_ones(registry):
    with pytest.raises(PriorNotFound) as caught:
        registry.find("bass")
    assert str(caught.value) == (
        "no prior 'bass'; there are: none yet; `instglow add-prior bass` adds it once it is trained"
    )
    add(registry, "guitar")
    add(registry, "drums")
    for call in (registry.find, registry.load, registry.remove):
        with pytest.raises(PriorNotFound) as caught:
            call("guitr")
        assert str(caught.value) == (
            "no prior 'guitr'; near: guitar; there are: drums, guitar; "
            "`instglow add-prior guitr` adds it once it is trained"
        )


@pytest.mark.parametrize("name", ["../x", "", "Guitar", "a/b", ".x", "."])
def test_a_path_is_no_name(registry, name, tmp_path):
    for call in (registry.find, registry.load, registry.remove, lambda name: add(registry, name)):
        with pytest.raises(InvalidName, match="is no name for a prior"):
            call(name)
    assert list(tmp_path.iterdir()) == []


def test_one_flipped_byte_is_noticed_before_the_file_is_parsed(registry, monkeypatch):
    add(registry)
    path = registry.find("bass").path / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr("safetensors.torch.load", lambda _: pytest.fail("parsed"))
    said, found = registry.find("bass").card.sha256, hashlib.sha256(content).hexdigest()
    with pytest.raises(WeightsError) as caught:
        registry.load("bass")
    assert str(caught.value) == (
        f"{path}: the card says sha256 {said[:12]}, the file has {found[:12]}; "
        "it is damaged or another one: fetch or add the prior again"
    )


def swap_weights(registry, content):
    """Put other weights in, with their hash in the card."""
    entry = registry.find("bass")
    if isinstance(content, dict):
        save_file(content, entry.path / "weights.safetensors")
    else:
        (entry.path / "weights.safetensors").write_bytes(content)
    card = entry.path / "card.yaml"
    found = hashlib.sha256((entry.path / "weights.safetensors").read_bytes()).hexdigest()
    card.write_text(card.read_text().replace(entry.card.sha256, found))


W, STEPS = torch.zeros(3, 33), torch.tensor(1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x04.", "no safetensors file: "),
        ({"weight": W, "steps": STEPS}, "tensor 'shared' of shape (3, 33) is missing; "),
        (
            {"weight": W.T.contiguous(), "shared": W, "steps": STEPS},
            "tensor 'weight' has shape (33, 3), the architecture has (3, 33); the card's "
            "architecture or the file is wrong: fetch or add the prior again",
        ),
        (
            {"weight": W, "shared": W.clone(), "steps": STEPS, "more": STEPS.clone()},
            "tensor 'more' of shape () has no place in the architecture; ",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(registry, content, message):
    add(registry)
    swap_weights(registry, content)
    with pytest.raises(WeightsError) as caught:
        registry.load("bass")
    assert f"weights.safetensors: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_weights(registry):
    add(registry)
    (registry.find("bass").path / "weights.safetensors").unlink()
    message = r"weights.safetensors: cannot be read: No such file .*; fetch or add the prior again"
    with pytest.raises(WeightsError, match=message):
        registry.load("bass")


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("width: 3", "width: 0", CardError, "does not suit family 'toy': width is 0; at least 1;"),
        ("width: 3", "deep: 3", CardError, "unexpected keyword argument 'deep'; correct the card"),
        (
            "family: toy",
            "family: tox",
            RegistryError,
            "no 'tox' among the families; near: toy; is the package that brings it missing?",
        ),
        ("name: bass", "name: cello", CardError, "field 'name' is 'cello', the folder is 'bass'"),
        ("format: 2", "format: 3", CardError, "format 3 is newer than this InstGlow (format 2)"),
    ],
)
def test_a_card_that_fits_nothing(registry, old, new, error, message):
    add(registry)
    card = registry.find("bass").path / "card.yaml"
    card.write_text(card.read_text().replace(old, new))
    with pytest.raises(error) as caught:
        registry.load("bass")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_broken_prior_does_not_break_the_list(registry):
    add(registry, "bass")
    add(registry, "drums")
    home = registry.layers[0].path
    (home / "bass" / "card.yaml").write_bytes(b"\xff")
    shutil.copytree(home / "drums", home / "My Drums")
    (home / "no-card").mkdir()
    (home / "no-card" / "weights.safetensors").write_bytes(b"")
    problems = {entry.name: entry.problem for entry in registry.list()}
    assert problems.keys() == {"My Drums", "bass", "drums", "no-card"}
    assert problems["drums"] is None
    assert problems["bass"] == f"{home}/bass/card.yaml: cannot be read: not UTF-8; " + (
        "add the prior again"
    )
    assert "'My Drums' is no name for a prior" in problems["My Drums"]
    assert "card.yaml: cannot be read: No such file or directory" in problems["no-card"]
    with pytest.raises(CardError, match="not UTF-8"):
        registry.load("bass")
    registry.remove("bass")
    registry.remove("no-card")


@pytest.mark.parametrize("storage", STORAGES)
def test_a_weight_that_is_no_number_is_not_stored(registry, storage):
    prior = ToyPrior(FRONTEND)
    prior.weight.data[0, 0] = float("nan")
    message = r"prior 'bass': tensor 'weight' holds NaN or infinity; its training diverged, so"
    with pytest.raises(WeightsError, match=message):
        registry.add("bass", prior, licence="CC0", storage=storage)


@pytest.mark.parametrize(("storage", "error"), [("float32", 0), ("float16", 3e-4), ("int7", 0.02)])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e5])  # float16 ends at 65504
def test_every_storage_gives_back_what_it_was_given(registry, storage, error, size):
    prior = ToyPrior(FRONTEND, width=130)  # 33 columns: no multiple of a group
    prior.weight.data.mul_(size)
    registry.add("bass", prior, licence="CC0", storage=storage)
    assert registry.find("bass").require_card().storage == storage
    loaded = registry.load("bass")
    assert loaded.weight.dtype == torch.float32
    assert (loaded.weight - prior.weight).norm() <= error * prior.weight.norm()
    assert loaded.steps.dtype == torch.int64


def test_integers_take_less_than_half_of_16_bits():
    sizes = [len(pack(torch.nn.Linear(64, 1000), "bass", storage)) for storage in STORAGES]
    assert sizes[1] < 0.51 * sizes[0]
    assert sizes[2] < 0.49 * sizes[1]  # 7 bits a number, and 16 for each 32 of them


def test_integers_without_their_scale_are_named(registry):
    content = {"weight": torch.zeros(3, 2, 28, dtype=torch.uint8), "weight:scale": W}
    add(registry)
    swap_weights(registry, content)
    with pytest.raises(WeightsError, match=r"integers without scale or shape \('weight:shape'\);"):
        registry.load("bass")


def test_a_prior_that_could_not_be_loaded_is_not_written(registry):
    prior = ToyPrior(FRONTEND)
    prior.register_buffer("folded", torch.zeros(2))  # as `freeze` of a family may leave it
    with pytest.raises(WeightsError, match="'folded' of shape \\(2,\\) has no place in the arch"):
        registry.add("bass", prior, licence="CC0")
    with pytest.raises(CardError, match="prior 'bass': field 'licence' is ''; it must be text"):
        registry.add("bass", ToyPrior(FRONTEND), licence="")
    assert registry.list() == []


def test_a_full_disk_leaves_the_old_prior(registry, monkeypatch):
    old = add(registry)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError) as caught:
        add(registry, replace=True)
    path = registry.layers[0].path
    assert str(caught.value) == (
        f"cannot write {path} (No space left on device); make room or choose another folder"
    )
    assert_same(registry.load("bass"), old)
    assert sorted(p.name for p in path.iterdir()) == [".lock", "bass"]


def test_a_folder_that_another_process_keeps_locked(registry, monkeypatch):
    path = registry.layers[0].path
    path.mkdir()
    monkeypatch.setattr(layer_module, "_PATIENCE", 0.01)
    with (
        layer_module.FileLock(path / ".lock"),
        pytest.raises(RegistryError, match=r"another process has been writing there for 0\.01 s"),
    ):
        add(registry)


def test_a_replacement_between_card_and_weights_is_read_again(registry, monkeypatch):
    add(registry)
    new = []
    read_bytes = Path.read_bytes

    def replace_first(path):
        if not new:
            new.append(None)
            new.append(add(registry, width=5, replace=True))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", replace_first)
    assert_same(registry.load("bass"), new[1])


FORK = multiprocessing.get_context("fork")


def test_a_kill_at_any_moment_of_a_replacement_leaves_the_old_prior_or_the_new(registry):
    old, new = ToyPrior(FRONTEND), ToyPrior(FRONTEND, 5)
    home = registry.layers[0].path
    outcomes, step = [], 0
    while True:
        step += 1
        shutil.rmtree(home, ignore_errors=True)
        registry.add("bass", old, licence="CC0")
        replace = lambda: registry.add("bass", new, licence="CC0", replace=True)  # noqa: E731
        if not killed_at(step, replace):
            break
        [entry] = registry.list()
        assert entry.problem is None
        loaded = registry.load("bass")
        outcomes.append(loaded.architecture["width"])
        assert_same(loaded, {3: old, 5: new}[outcomes[-1]])

        # the next writer, of whatever prior, tidies up and finishes what had begun
        add(registry, "drums")
        assert sorted(p.name for p in home.iterdir()) == [".lock", "bass", "drums"]
        after = registry.load("bass")
        assert_same(after, {3: old, 5: new}[after.architecture["width"]])
        assert after.architecture["width"] >= outcomes[-1]
        registry.remove("bass")
        assert [entry.name for entry in registry.list()] == ["drums"]
    assert outcomes == sorted(outcomes)  # first the old one for a while, then the new one
    assert outcomes.count(3) >= 6  # lock, folder, three files, two renames
    assert outcomes.count(5) >= 4  # deletion of the old one


def test_a_kill_at_any_moment_of_a_removal_leaves_the_prior_or_nothing(registry):
    home = registry.layers[0].path
    counts, step = [], 0
    while True:
        step += 1
        shutil.rmtree(home, ignore_errors=True)
        add(registry)
        if not killed_at(step, lambda: registry.remove("bass")):
            break
        counts.append(len(registry.list()))
        if counts[-1]:
            registry.load("bass")
        add(registry, replace=True)
        registry.load("bass")
    assert counts == sorted(counts, reverse=True)
    assert {0, 1} == set(counts)


def test_of_two_processes_that_add_at_once_one_wins(registry):
    widths = (3, 5)
    start = FORK.Barrier(len(widths))
    outcome = FORK.SimpleQueue()

    def child(width):
        prior = ToyPrior(FRONTEND, width)
        start.wait()
        try:
            registry.add("bass", prior, licence="CC0")
            outcome.put((width, "won"))
        except PriorExists:
            outcome.put((width, "lost"))

    processes = [FORK.Process(target=child, args=(width,)) for width in widths]
    for process in processes:
        process.start()
    results = {result: width for width, result in (outcome.get() for _ in widths)}
    for process in processes:
        process.join()
    assert set(results) == {"won", "lost"}
    assert registry.load("bass").architecture["width"] == results["won"]


def test_families_are_found_by_entry_point():
    assert set(plugins.offered("instglow.families")) == {"toy", "absent", "odd"}
    assert family("toy") is ToyPrior


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "glowworm",
            "no 'glowworm' among the families; there are: absent, odd, toy; is the package that "
            "brings it missing?",
        ),
        (
            "absent",
            "'absent' of the families (no_such_package_at_all:Prior) cannot be imported: "
            "ModuleNotFoundError: No module named 'no_such_package_at_all'; "
            "repair or reinstall its package",
        ),
        (
            "odd",
            "family 'odd' is json:dumps, which is not a subclass of instglow.prior.Prior; "
            "correct the entry point of its package",
        ),
    ],
)
def test_a_family_that_cannot_be_had(name, message):
    with pytest.raises(RegistryError) as caught:
        family(name)
    assert str(caught.value) == message

"""Generated documents say what they were made from; `make docs-check` finds those out of date."""

import ast
import re
import sys
from pathlib import Path

import pytest

import instglow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import api_page  # noqa: E402 a script beside the package, not a part of it
import provenance  # noqa: E402

CARD = "sha256: {sha256}\narchitecture: {{steps: 8}}\nframe: 1\nfrontend: {{n_fft: 1024}}\n"
TABLE = provenance.Document("make table", ("measure.py", "prior bass", "preset fast", "songs"))
PLOT = provenance.Document("make table", ("architecture bass",), shown_in="docs/table.md")
DOCUMENTS = {"docs/table.md": TABLE, "docs/plot.png": PLOT}
PICTURE = provenance.ROOT / "docs" / "likelihood.png"


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def tree(tmp_path) -> Path:
    """Two signed documents, and what they were made from."""
    put(tmp_path / "measure.py", "import os\n\nSECONDS = 3\n")
    put(tmp_path / "priors/bass/card.yaml", CARD.format(sha256="c4eb22d4" * 8))
    put(tmp_path / "songs/one/bass.flac", "a sound")
    put(tmp_path / "docs/table.md", "# Table\n\nWritten by `make table`.\n")
    (tmp_path / "docs/plot.png").write_bytes(PICTURE.read_bytes())
    sign(tmp_path)
    return tmp_path


def sign(tree: Path) -> None:
    for name in DOCUMENTS:
        provenance.sign(tree / name, tree, DOCUMENTS)


def check(tree: Path) -> tuple[list[str], list[str]]:
    return provenance.check(tree, DOCUMENTS)


def test_every_document_of_this_tree_is_what_its_command_would_write_or_says_that_it_is_not():
    wrong, _ = provenance.check()
    assert not wrong


def test_the_python_interface_and_the_model_cards_are_those_of_the_docstrings_and_cards():
    pages = provenance.derived()
    for name, text in pages.items():
        assert (provenance.ROOT / name).read_text() == text, f"{name}: run `make api`"
    for name in set(instglow.__all__) - {"__version__"}:
        assert f"\n### {name} ★\n" in pages["docs/api.md"]


def test_a_document_names_its_command_and_a_hash_of_each_input(tree):
    assert check(tree) == ([], [])
    line = (tree / "docs/table.md").read_text().splitlines()[-1]
    assert re.fullmatch(
        r"<sub>Made by `make table` from measure.py \w{8}, prior bass c4eb22d4, "
        r"preset fast \w{8}, songs \w{8}</sub>",
        line,
    )


@pytest.mark.parametrize(
    ("name", "text", "older"),
    [
        ("measure.py", "SECONDS = 4\n", "measure.py"),
        ("priors/bass/card.yaml", CARD.format(sha256="ab" * 32), "prior bass"),
        ("songs/one/bass.flac", "another sound", "songs"),
        ("songs/two/bass.flac", "one more", "songs"),
        ("measure.py", None, "measure.py"),
    ],
)
def test_a_document_older_than_what_it_shows_is_named_with_its_command(tree, name, text, older):
    if text:
        put(tree / name, text)
    else:
        (tree / name).unlink()
    assert check(tree)[0] == [f"docs/table.md: older than {older}; `make table` makes it again"]
    if text:
        sign(tree)
        assert check(tree) == ([], [])


def test_changed_settings_of_a_preset_make_a_document_old(tree, monkeypatch):
    from instglow.separation import presets

    monkeypatch.setitem(presets.PRESETS, "fast", presets.PRESETS["nmf"])
    assert "older than preset fast;" in check(tree)[0][0]


@pytest.mark.parametrize(
    "text",
    ['"""Of what it measures."""\nimport re\nfrom os import path\n\nSECONDS = 3\n', "SECONDS = 3"],
)
def test_a_script_that_only_imports_from_elsewhere_makes_nothing_old(tree, text):
    put(tree / "measure.py", text)
    assert check(tree) == ([], [])


def test_a_document_that_says_at_its_top_that_it_was_not_made_again_passes_and_is_listed(tree):
    put(tree / "priors/bass/card.yaml", CARD.format(sha256="ab" * 32).replace("8", "9"))
    assert len(check(tree)[0]) == 2
    provenance.keep(tree / "docs/table.md")
    assert (tree / "docs/table.md").read_text().splitlines()[2] == f"> **{provenance.NOTE}**"
    assert check(tree) == (
        [],
        [
            "docs/table.md: older than prior bass; it says so",
            "docs/plot.png: older than architecture bass; it says so",
        ],
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "missing"),
        ("# Table\n", "does not say what it was made from"),
        ("<sub>Made by `make page` from songs 01234567</sub>\n", "made by `make page`"),
    ],
)
def test_a_document_without_its_stamp_fails(tree, text, said):
    page = tree / "docs/table.md"
    page.unlink()
    if text:
        page.write_text(text)
    assert check(tree)[0] == [f"docs/table.md: {said}; `make table` makes it again"]


def test_a_generated_document_that_is_not_listed_fails(tree):
    put(tree / "docs/new.md", "Written by `make new`.\n")
    (said,) = check(tree)[0]
    assert said.startswith("docs/new.md: generated, but not among the documents")


def test_a_trial_in_another_place_is_not_signed(tmp_path):
    put(tmp_path / "speed.md", "# Speed\n")
    provenance.sign(tmp_path / "speed.md")
    assert (tmp_path / "speed.md").read_text() == "# Speed\n"


def test_a_picture_keeps_its_pixels_and_has_one_stamp(tree):
    image = pytest.importorskip("PIL.Image")
    before, after = image.open(PICTURE), image.open(tree / "docs/plot.png")
    assert before.tobytes() == after.tobytes()
    assert (tree / "docs/plot.png").read_bytes().count(b"Made by") == 1


def raised_by(function: ast.FunctionDef) -> set[str]:
    """What its own lines raise, by name."""
    nodes = list(ast.walk(function))
    raises = [node.exc for node in nodes if isinstance(node, ast.Raise)]
    names = {ast.unparse(one.func) for one in raises if isinstance(one, ast.Call)}
    calls = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
    return names - {"NotImplementedError"} | ({"ConfigError"} if "require" in calls else set())


@pytest.mark.parametrize("file", [file for files in api_page.SECTIONS.values() for file in files])
def test_docstrings_of_the_python_interface_name_every_exception(file):
    tree = ast.parse((provenance.ROOT / "instglow" / file).read_text())
    owners = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
    for owner in owners:
        for function in owner.body:
            if isinstance(function, ast.FunctionDef):
                made = function.name in ("__init__", "__post_init__")
                if function.name.startswith("_") and not made:
                    continue
                text = ast.get_docstring(owner if made else function) or ""
                missing = {name for name in raised_by(function) if name not in text}
                assert not missing, f"{file}: {owner} {function.name}: {missing}"

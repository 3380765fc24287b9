"""`make docs-check`: is every generated document made from what the tree holds now?

    python benchmarks/provenance.py                # check; exit status 1 names what is out of date
    python benchmarks/provenance.py sign FILE...   # after another program has written a document
    python benchmarks/provenance.py keep FILE...   # say at its top that it was not made again
    python benchmarks/provenance.py derive         # docs/api.md and the model cards of priors

A document carries its command and, for each input, eight hexadecimal digits: of a file, of a
prior's weights, of the settings of a preset. The package's own code is no input, for a refactoring
must not void a table that took hours.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import hashlib
import json
import re
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import api_page
import yaml

from instglow.errors import InstGlowError

ROOT = Path(__file__).resolve().parents[1]
BAND = ("bass", "drums", "guitar", "piano")
WEIGHTS = tuple(f"prior {name}" for name in BAND)
DICTIONARIES = tuple(f"prior {name}-nmf" for name in BAND)
SIZES = tuple(f"architecture {name}" for name in BAND)


@dataclass(frozen=True)
class Document:
    """A file that a command writes.

    Attributes:
        command: that writes it.
        inputs: "prior NAME" (its weights), "architecture NAME" (its sizes), "preset NAME" (its
            settings), or a file or folder.
        shown_in: a picture's page, whose note that it was not made again holds for the picture too.
    """

    command: str
    inputs: tuple[str, ...]
    shown_in: str = ""


RESULTS = (
    *("benchmarks/results.py", "configs/rendered-split.yaml"),
    *(f"preset {name}" for name in ("paper", "paper-map", "nmf", "fast", "default")),
    *(*WEIGHTS, "prior vocals", "prior other", *DICTIONARIES, "examples/song"),
)
DOCUMENTS = {
    "README.md": Document("make results", RESULTS),
    "docs/results.md": Document("make results", RESULTS),
    "docs/likelihood.png": Document("make results", WEIGHTS, shown_in="docs/results.md"),
    "docs/variants.md": Document(
        "make variants", ("benchmarks/variants.py", "preset fast", "preset default", *WEIGHTS)
    ),
    "docs/new-instrument.md": Document(
        "make new-instrument",
        (
            *("benchmarks/new_instrument.py", "configs/rendered-split.yaml", "preset default"),
            *("prior bass", "prior drums"),
        ),
    ),
    "docs/speed.md": Document(
        "make speed", ("benchmarks/speed.py", "preset fast", "preset default", *SIZES)
    ),
    "docs/training-speed.md": Document(
        "make training-speed",
        ("benchmarks/training_speed.py", "benchmarks/plain_glow.py"),
    ),
    "docs/loader.md": Document("make loader", ("benchmarks/loader.py", "configs/instrument.yaml")),
    "docs/synthesisers.md": Document("make synthesisers", ("benchmarks/synthesisers.py",)),
    "docs/separation.png": Document(
        "make picture",
        ("benchmarks/picture.py", "preset default", *WEIGHTS, "examples/song"),
        shown_in="README.md",
    ),
    "docs/listen/index.html": Document(
        "make page",
        (
            *("preset default", "preset paper", "preset nmf", *WEIGHTS, *DICTIONARIES),
            "examples/song",
        ),
    ),
}

STAMP = re.compile(r"Made by `(make [\w-]+)` from ((?:[\w ./-]+ [0-9a-f]{8}(?:, )?)+)")
NOTE = (
    "Not made again: what this was made from has changed since. It shows the priors and settings "
    "whose hashes its last line names."
)
HEADLINE = "<!-- headline"  # in the README, where only a paragraph is generated


def digest(source: str, root: Path) -> str:
    """Eight hexadecimal digits of one input as the tree holds it.

    Raises:
        FileNotFoundError: for a file, folder or prior that is not there.
        InstGlowError: for a preset that nobody brings.
    """
    kind, _, name = source.partition(" ")
    if kind == "preset":
        from instglow.separation.presets import preset

        return _of(json.dumps(dataclasses.asdict(preset(name)), sort_keys=True, default=str))
    if kind in ("prior", "architecture"):
        card = yaml.safe_load((root / "priors" / name / "card.yaml").read_text())
        if kind == "prior":
            return str(card["sha256"])[:8]
        return _of(json.dumps([card["architecture"], card["frontend"]], sort_keys=True))
    path = root / source
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    return _of("\n".join(f"{file.relative_to(path)} {_content(file)}" for file in files))


def _content(path: Path) -> str:
    """What counts in a file: neither comments of YAML nor a script's imports and docstring."""
    if path.suffix == ".yaml":
        return json.dumps(yaml.safe_load(path.read_text()), sort_keys=True, default=str)
    if path.suffix == ".py":
        text = path.read_text()
        kept = [
            node
            for node in ast.parse(text).body
            if not isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr))
        ]
        return "\n".join(ast.get_source_segment(text, node) or "" for node in kept)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def stamp(document: Document, root: Path) -> str:
    """The line that names a document's command and inputs."""
    inputs = ", ".join(f"{source} {digest(source, root)}" for source in document.inputs)
    return f"Made by `{document.command}` from {inputs}"


def sign(
    path: Path,
    root: Path = ROOT,
    documents: Mapping[str, Document] = DOCUMENTS,
    line: str | None = None,
) -> None:
    """Put the stamp into a document that was just written; a trial in another place gets none.

    Args:
        path: of the document.
        root: of the tree.
        documents: of the tree.
        line: the `stamp` of when it was measured; by default that of now.
    """
    name = _name(path, root)
    if name not in documents:
        return
    line = line or stamp(documents[name], root)
    if path.suffix == ".png":
        _sign_picture(path, line)
        return
    line = f"<sub>{line}</sub>" if re.match(r"docs/.*\.md$", name) else f"<!-- {line} -->"
    text = re.sub(rf"\n*(<sub>|<!-- ){STAMP.pattern}.*\n", "\n", path.read_text())
    if HEADLINE in text:
        path.write_text(text.replace("\n<!-- end -->", f"\n{line}\n<!-- end -->"))
    else:
        path.write_text(f"{text.rstrip()}\n\n{line}\n")


def _sign_picture(path: Path, line: str) -> None:
    """A tEXt chunk before the last one, in the place of an older one; no pixel is coded anew."""
    data, key = path.read_bytes(), b"tEXtDescription\0"
    if (old := data.find(key)) >= 0:
        length = int.from_bytes(data[old - 4 : old], "big")
        data = data[: old - 4] + data[old + 4 + length + 4 :]
    chunk = key + line.encode("latin-1")
    length, checksum = (len(chunk) - 4).to_bytes(4, "big"), zlib.crc32(chunk).to_bytes(4, "big")
    end = data.rindex(b"IEND") - 4
    path.write_bytes(data[:end] + length + chunk + checksum + data[end:])


def keep(path: Path, commit: str = "") -> None:
    """Say at the top of a document that it was not made again, and of which commit it is."""
    text = re.sub(rf"\n*(> \*\*|<p>){re.escape(NOTE)}.*\n+", "\n", path.read_text())
    said = f"{NOTE} It is of commit {commit}." if commit else NOTE
    html = path.suffix == ".html"
    start = text.find("<body>" if html else HEADLINE)
    after = text.index("\n", max(start, 0)) + 1
    note = f"<p>{said}</p>\n" if html else f"\n> **{said}**\n\n"
    path.write_text(f"{text[:after]}{note}{text[after:].lstrip()}")


def derived(root: Path = ROOT) -> dict[str, str]:
    """What is made from text alone, in a moment: name of the file -> what has to be in it."""
    from instglow.registry.card import PriorCard
    from instglow.registry.model_card import model_card

    pages = {"docs/api.md": api_page.page(root)}
    for path in sorted(root.glob("priors/*/card.yaml")):
        card = PriorCard.from_yaml(path.read_text(), path)
        pages[f"priors/{path.parent.name}/README.md"] = model_card(card)
    return pages


def check(
    root: Path = ROOT, documents: Mapping[str, Document] = DOCUMENTS
) -> tuple[list[str], list[str]]:
    """-> what is wrong, and what is out of date but says so; a line each."""
    wrong, kept = [], []
    for name, document in documents.items():
        fault = _fault(root / name, document, root)
        page = root / (document.shown_in or name)
        if not fault:
            continue
        if (root / name).exists() and page.exists() and NOTE.encode() in page.read_bytes():
            kept.append(f"{name}: {fault}; it says so")
        else:
            wrong.append(f"{name}: {fault}; `{document.command}` makes it again")
    pages = [path for kind in ("md", "png") for path in sorted((root / "docs").glob(f"*.{kind}"))]
    for path in pages:
        name = _name(path, root)
        generated = path.suffix == ".png" or b"Written by `make" in path.read_bytes()
        if generated and name not in documents and name != "docs/api.md":
            wrong.append(f"{name}: generated, but not among the documents of provenance.py")
    return wrong, kept


def _fault(path: Path, document: Document, root: Path) -> str:
    if not path.exists():
        return "missing"
    found = STAMP.search(path.read_bytes().decode("latin-1"))
    if not found:
        return "does not say what it was made from"
    if found[1] != document.command:
        return f"made by `{found[1]}`"
    then = dict(item.rsplit(" ", 1) for item in found[2].split(", ") if item)
    now = {source: _digest_if_there(source, root) for source in document.inputs}
    changed = [source for source in {**then, **now} if then.get(source) != now.get(source)]
    return f"older than {', '.join(changed)}" if changed else ""


def _digest_if_there(source: str, root: Path) -> str:
    try:
        return digest(source, root)
    except (OSError, InstGlowError):
        return ""


def _name(path: Path, root: Path) -> str:
    path = path.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "action", nargs="?", choices=("check", "sign", "keep", "derive"), default="check"
    )
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--commit", default="", help="that a document to keep was made at")
    arguments = parser.parse_args()
    for path in arguments.files:
        if arguments.action == "sign":
            sign(path)
        elif arguments.action == "keep":
            keep(path, arguments.commit)
    if arguments.action == "derive":
        for name, text in derived().items():
            (ROOT / name).write_text(text)
    if arguments.action != "check":
        return 0
    wrong, kept = check()
    wrong += [
        f"{name}: not what its docstrings or card say; `make api` makes it again"
        for name, text in derived().items()
        if not (ROOT / name).exists() or (ROOT / name).read_text() != text
    ]
    discussion = (ROOT / "benchmarks" / "discussion.md").read_text().strip()
    if discussion not in (ROOT / "docs" / "results.md").read_text():
        wrong.append("docs/results.md: does not end with the text of benchmarks/discussion.md")
    print(*kept, *wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

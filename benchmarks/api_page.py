"""docs/api.md, out of the docstrings: read, not imported, so that it is written in a moment."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

Definition = ast.ClassDef | ast.FunctionDef
ROOT = Path(__file__).resolve().parents[1]

HEADER = """# The Python interface

Written by `make api` from the docstrings. Names with a star are imported from `instglow` itself,
the others from the module given. What an installed package can bring, and under which entry points,
is in [extending.md](extending.md).
"""
SECTIONS = {
    # title -> files below instglow/, of which every public class and function is told
    "Separating": ("api.py",),
    "Settings of a separation": (
        *("separation/presets.py", "separation/search.py", "separation/annealing.py"),
        "separation/refine.py",
    ),
    "Priors": ("prior.py", "audio/frontend.py"),
    "The registry": ("registry/store.py", "registry/layer.py"),
    "Evaluation": ("evaluation/method.py", "data/songs.py", "data/datasets.py"),
    "Recordings to train on": ("data/solo.py", "data/recording.py"),
    "Outputs of the commands": ("cli/outputs.py",),
    "Errors": ("errors.py",),
}
EXAMPLE = re.compile(r"((?:^>>> .*\n?)(?:^\S.*\n?)*)", re.MULTILINE)
PARTS = re.compile(r"(Args|Attributes|Returns|Raises|Yields):$")


def page(root: Path = ROOT) -> str:
    public = _public_names(root)
    parts = [HEADER]
    for title, files in SECTIONS.items():
        parts.append(f"## {title}\n")
        for file in files:
            source = (root / "instglow" / file).read_text()
            module = f"instglow.{file.removesuffix('.py').replace('/', '.')}"
            for node in ast.parse(source).body:
                if isinstance(node, Definition) and not node.name.startswith("_"):
                    star = " ★" if node.name in public else ""
                    parts.append(f"### {node.name}{star}\n\n`{module}`\n")
                    parts += _told(node, source)
    return "\n".join(parts)


def _public_names(root: Path) -> set[str]:
    text = (root / "instglow" / "__init__.py").read_text()
    (names,) = re.findall(r"^__all__ = (\[.*?\])", text, re.DOTALL | re.MULTILINE)
    return set(ast.literal_eval(names))


def _told(node: Definition, source: str) -> Iterator[str]:
    yield f"```python\n{_signature(node, source)}\n```\n"
    if text := ast.get_docstring(node):
        yield _markdown(text)
    if not isinstance(node, ast.ClassDef):
        return
    for name, text in _attributes(node):
        yield f"- `{name}`: {_joined(text)}\n"
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and _is_told(method):
            yield f"#### {node.name}.{method.name}\n"
            yield from _told(method, source)


def _is_told(method: ast.FunctionDef) -> bool:
    text = ast.get_docstring(method) or ""
    hidden = method.name.startswith("_") and method.name != "__call__"
    return bool(text) and not hidden and not text.startswith("See `")


def _signature(node: Definition, source: str) -> str:
    """As it is written, with the decorators of a function and the constructor of a class."""
    lines = source.splitlines()
    if isinstance(node, ast.FunctionDef):
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        head = "\n".join(lines[first - 1 : node.body[0].lineno - 1])
        return textwrap.dedent(head).rstrip().removesuffix(":")
    head = ast.get_source_segment(source, node).splitlines()[0].rstrip(":")  # type: ignore[union-attr]
    made = [
        _signature(one, source)
        for one in node.body
        if isinstance(one, ast.FunctionDef) and one.name == "__init__"
    ]
    fields = [
        ast.get_source_segment(source, one) or ""
        for one in node.body
        if isinstance(one, ast.AnnAssign) and not ast.unparse(one.target).startswith("_")
    ]
    inside = textwrap.indent("\n".join([*fields, *made]), "    ")
    return f"{head}:\n{inside}" if inside else head


def _attributes(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Those with a text of their own below them."""
    for one, after in zip(node.body, node.body[1:], strict=False):
        if isinstance(one, ast.AnnAssign) and isinstance(after, ast.Expr):
            yield ast.unparse(one.target), str(ast.literal_eval(after.value))


def _markdown(text: str) -> str:
    """Sections of a docstring as lists, examples as code."""
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        if PARTS.match(line):
            inside = True
            lines += [f"{line.rstrip(':')}:", ""]
        elif inside and (entry := re.match(r"    (\S.*)$", line)):
            lines.append("- " + re.sub(r"^([\w.*]+(?:, [\w.*]+)*): ", r"`\1`: ", entry[1]))
        elif inside and line.startswith("     "):
            lines[-1] += f" {line.strip()}"
        else:
            inside = False
            lines.append(line)
    return EXAMPLE.sub(r"```python\n\1```\n", "\n".join(lines) + "\n")


def _joined(text: str) -> str:
    return " ".join(text.split())

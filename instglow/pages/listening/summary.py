"""The words above the songs: paragraphs, and the tables that an evaluation prints."""

from __future__ import annotations

import re
from html import escape


def summary_html(text: str) -> str:
    """Plain text -> HTML: blank lines between paragraphs; lines in bars are a Markdown table.

    >>> summary_html("a < b\\n\\n| SDR | all |\\n|---|---:|\\n| glow | 3.1 |").count("<td>")
    1
    """
    parts = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    return "\n".join(_table(part) or f"<p>{escape(part)}</p>" for part in parts)


def _table(text: str) -> str | None:
    """A header, a line of dashes and rows, all between bars; None for anything else."""
    lines = [line.strip() for line in text.splitlines()]
    if len(lines) < 2 or not all(line.startswith("|") for line in lines):
        return None
    if not re.fullmatch(r"[|:\- ]+", lines[1]):
        return None
    header, *rows = (
        [escape(cell.strip()) for cell in line.strip("|").split("|")]
        for line in [lines[0], *lines[2:]]
    )
    head = "".join(f'<th scope="col">{cell}</th>' for cell in header)
    body = "\n".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    return (
        f'<div class="figures"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )

"""The text of the listening page. Every name in it is the user's, and is escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template

from instglow.pages.listening.spectrogram import HEIGHT, HIGHEST, RANGE, WIDTH
from instglow.pages.listening.summary import summary_html

GENERATOR = '<meta name="generator" content="InstGlow listening page">'

_SCORES = {"sdr": "SDR", "si_sdr": "SI-SDR", "sdr_i": "improvement", "sdr_frames": "frames"}


@dataclass(frozen=True)
class Cell:
    """Something to hear.

    Attributes:
        label: what the reader sees above it: the method; may be empty.
        description: what it is, said without the table around it.
        audio: link to the recording, relative to the page; None where there is none.
        picture: link to its spectrogram; None where there is no recording.
        scores: in dB, as in `Estimates`.
        reason: why there is no recording.
    """

    label: str
    description: str
    audio: str | None = None
    picture: str | None = None
    scores: Mapping[str, float | None] | None = None
    reason: str = ""


@dataclass(frozen=True)
class Section:
    """One song.

    Attributes:
        anchor: to jump to; a name of `FileNames`.
        song: its title.
        mixture: what every method separated.
        columns: headings.
        rows: by stem, a cell for each column.
    """

    anchor: str
    song: str
    mixture: Cell
    columns: Sequence[str]
    rows: Mapping[str, Sequence[Cell]]


def page(title: str, summary: str, sections: Sequence[Section]) -> str:
    """All of index.html; the summary as in `summary_html`."""
    return Template(_resource("template.html")).substitute(
        generator=GENERATOR,
        title=escape(title),
        style=_resource("style.css"),
        script=_resource("page.js"),
        summary=summary_html(summary),
        contents=_contents(sections),
        kilohertz=f"{HIGHEST / 1000:g}",
        range=f"{RANGE:g}",
        sections="\n".join(map(_section, sections)) or "<p>No songs.</p>",
    )


def _resource(name: str) -> str:
    return (resources.files("instglow.pages.listening") / name).read_text(encoding="utf-8")


def _contents(sections: Sequence[Section]) -> str:
    if len(sections) < 2:
        return ""
    links = (f'<li><a href="#{s.anchor}">{escape(s.song)}</a></li>' for s in sections)
    return f'<nav aria-label="Songs"><ul>{"".join(links)}</ul></nav>'


def _section(section: Section) -> str:
    # Explicit roles: a screen reader does not take what CSS lays out as blocks for a table.
    count = max(1, len(section.columns))
    columns = "".join(
        f'<th scope="col" role="columnheader">{escape(column)}</th>' for column in section.columns
    )
    mixture = _row("mixture", [section.mixture], span=count)
    rows = "\n".join(_row(stem, cells) for stem, cells in section.rows.items())
    return f"""<section id="{section.anchor}" aria-labelledby="{section.anchor}-title">
<h2 id="{section.anchor}-title">{escape(section.song)}</h2>
<div class="wide">
<table role="table" aria-labelledby="{section.anchor}-title" style="--columns: {count}">
<thead role="rowgroup"><tr role="row"><th scope="col" role="columnheader">stem</th>{columns}</tr>
</thead>
<tbody role="rowgroup">
{mixture}
{rows}
</tbody>
</table>
</div>
</section>"""


def _row(name: str, cells: Sequence[Cell], span: int = 1) -> str:
    heading = f'<th scope="row" role="rowheader">{escape(name)}</th>'
    return f'<tr role="row">{heading}\n{"".join(_cell(cell, span) for cell in cells)}</tr>'


def _cell(cell: Cell, span: int) -> str:
    spanned = f' colspan="{span}"' if span > 1 else ""
    # The column's heading says the label to a screen reader.
    label = f'<p class="method" aria-hidden="true">{escape(cell.label)}</p>' if cell.label else ""
    if cell.audio is None or cell.picture is None:
        body = f'<p class="none">{escape(cell.reason)}</p>'
    else:
        what = escape(cell.description)
        body = (
            f'<div class="picture"><img src="{escape(cell.picture)}" alt="Spectrogram: {what}" '
            f'width="{WIDTH}" height="{HEIGHT}" loading="lazy"></div>'
            # without the menu of rarely used things, Chromium has room for the time line
            '<audio controls controlslist="nodownload noplaybackrate" preload="none" '
            f'src="{escape(cell.audio)}" aria-label="{what}">'
            f'<a href="{escape(cell.audio)}">{what}</a></audio>'
        )
    return f'<td role="cell"{spanned}>{label}{body}{_scores(cell.scores or {})}</td>\n'


def _scores(scores: Mapping[str, float | None]) -> str:
    shown = [(key, name, scores[key]) for key, name in _SCORES.items() if key in scores]
    if not shown:
        return ""
    terms = (
        f'<div class="{key}"><dt>{name}</dt><dd>{_decibels(key, value)}</dd></div>'
        for key, name, value in shown
    )
    return f'<dl class="scores">{"".join(terms)}</dl>'


def _decibels(key: str, value: float | None) -> str:
    if value is None or math.isnan(value):
        return '<span title="no score">–</span>'
    text = f"{value:+.1f}" if key == "sdr_i" else f"{value:.1f}"
    text = text.replace("-", "−").replace("inf", "∞")  # signs that a screen reader says
    return f"{text}\N{NO-BREAK SPACE}dB" if key == "sdr" else text

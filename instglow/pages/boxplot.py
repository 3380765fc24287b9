"""The likelihood of solos as box plots: the paper's Figure 2."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instglow.errors import OutputError
from instglow.evaluation.likelihood import LikelihoodTable
from instglow.files import as_output_error, check_writable, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = {".png", ".pdf", ".svg"}

# Okabe & Ito's colours, which the colour-blind tell apart
_OWN, _LIKELIER, _OTHER = "#0072B2", "#D55E00", "#8C8C8C"
_LABELS = {
    _OWN: "the prior's own instrument",
    _LIKELIER: "another, at least as likely",
    _OTHER: "another instrument",
}
_OWN_MEDIAN: dict[str, Any] = {"color": _OWN, "linewidth": 0.8, "linestyle": (0, (4, 3))}
_PANEL = (2.4, 2.5)  # inches


def check_target(path: Path, overwrite: bool = False) -> None:
    """An OutputError for a file that cannot be a plot, or is there already."""
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(sorted(FORMATS))
        raise OutputError(f"{path}: cannot write a plot as '{path.suffix}'; use one of {known}")
    check_writable(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; pass --overwrite, or name another file")


def write_boxplot(table: LikelihoodTable, path: Path, title: str = "") -> None:
    """One panel for each prior, one box for each instrument, into a .png, .pdf or .svg file.

    A box spans the quartiles, its whiskers the segments within 1.5 times their distance; those
    beyond are points. The dashed line is the median of the prior's own instrument.

    Raises:
        OutputError: where it cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    drawn = BytesIO()
    draw(table, title).savefig(drawn, format=kind, dpi=200)
    with as_output_error(path), replacing(path) as beside:
        beside.write_bytes(drawn.getvalue())


def draw(table: LikelihoodTable, title: str = "") -> Figure:
    """The figure, not yet in a file; it needs no display."""
    from matplotlib.figure import Figure  # half a second that hardly any command needs
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    rows = math.ceil(len(table.values) / 4)
    columns = math.ceil(len(table.values) / rows)
    width = max(columns * _PANEL[0], 2.4 * _PANEL[0])  # the legend needs that much
    figure = Figure(figsize=(width, rows * _PANEL[1] + 0.7), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    used: set[str] = set()
    for axes, prior in zip(panels, table.values, strict=False):
        used |= _panel(axes, table, prior)
    for axes in panels[len(table.values) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(table.values) - columns) : len(table.values)]:
        axes.tick_params(labelbottom=True)  # the last of its column, in a row that is not full
    figure.supylabel("bits per dimension (lower is likelier)", fontsize=9)
    if title:
        figure.suptitle(title, fontsize=10)
    handles: list[Any] = [
        Patch(facecolor=_pale(colour), edgecolor=colour, label=label)
        for colour, label in _LABELS.items()
        if colour in used
    ]
    if _OWN in used:
        handles.append(Line2D([], [], **_OWN_MEDIAN, label="median of its own"))
    labels = 4 if columns > 2 else 2  # as many as there is room for
    figure.legend(
        handles=handles, loc="outside lower center", ncols=labels, fontsize=8, frameon=False
    )
    return figure


def _panel(axes: Axes, table: LikelihoodTable, prior: str) -> set[str]:
    """Draw the boxes of one prior -> the colours that they have."""
    likelier = {row.instrument for row in table.not_discriminative() if row.prior == prior}
    used = set()
    for position, instrument in enumerate(table.instruments):
        values = table.values[prior].get(instrument)
        if values is None:
            continue
        colour = _OWN if instrument == prior else _LIKELIER if instrument in likelier else _OTHER
        used.add(colour)
        line: dict[str, Any] = {"color": colour, "linewidth": 0.9}
        axes.boxplot(
            [values],
            positions=[position],
            widths=0.62,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": _pale(colour), "edgecolor": colour, "linewidth": 0.9},
            medianprops={**line, "linewidth": 1.8},
            whiskerprops=line,
            capprops=line,
            flierprops={
                "marker": "o",
                "markersize": 2.2,
                "markerfacecolor": colour,
                "markeredgecolor": "none",
            },
        )
    if prior in table.values[prior]:
        own = table.median(prior, prior)
        axes.axhline(own, **_OWN_MEDIAN, zorder=0)
    axes.set_title(f"prior {prior}", fontsize=9, fontweight="bold")
    axes.set_xlim(-0.6, len(table.instruments) - 0.4)
    axes.set_xticks(range(len(table.instruments)), table.instruments, rotation=40, ha="right")
    axes.tick_params(labelsize=8, length=2.5)
    axes.grid(axis="y", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return used


def _pale(colour: str) -> tuple[str, float]:
    return colour, 0.25

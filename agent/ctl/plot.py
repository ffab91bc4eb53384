"""Draws a timeline (:mod:`agent.ctl.timeline`) as a PNG, with matplotlib.

The same data give the same picture, whatever the machine's own settings are.  The colours are those
of Okabe and Ito, which people tell apart who do not see all colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from agent.ctl.timeline import Bar, Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MISSING: Final = "pictures need matplotlib: pip install 'ofagent[plot]'"

WIDTH: Final = 1600
HEIGHT: Final = 900
"""Of the picture, in pixels."""

DPI: Final = 100

COLORS: Final = {
    "add": "#009e73",
    "modify": "#56b4e9",
    "delete": "#e69f00",
    "refused": "#d55e00",
    "barrier": "#0072b2",
    "waiting": "#999999",
    "moves": "#cc79a7",
    "busy": "#666666",
    "answer": "#000000",
}

MAX_ANSWERS: Final = 100
"""Answers of barriers are drawn across the hardware's work unless there are more."""

NARROW: Final = 4
"""Pixels of a bar that is narrow."""

MAX_NAME: Final = 28
"""Characters of a connection's name, of which the end tells most."""

SETTINGS: Final[Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.axisbelow": True,
    "hatch.linewidth": 0.8,
}


class PlotError(Exception):
    """No picture can be made."""


def check() -> None:
    """Look for what is needed.

    :raises PlotError: when it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise PlotError(MISSING) from None


def draw(timeline: Timeline, title: str, file: BinaryIO) -> None:
    """Write a picture.

    :param file: where to.
    :raises PlotError: see :func:`check`.
    """
    check()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor="white")
        figure.suptitle(title, x=0.012, y=0.975, ha="left", fontsize=16)
        figure.text(0.012, 0.918, summary(timeline), fontsize=11, color="#444444")
        barriers = max(1, len(timeline.connections))
        heights = [1 + 0.45 * barriers, 2 + 0.3 * min(timeline.rows, 8), 2, 1.5, 1.2]
        axes = figure.subplots(
            5,
            sharex=True,
            gridspec_kw={
                "height_ratios": heights, "left": 0.15, "right": 0.985, "top": 0.855,
                "bottom": 0.065, "hspace": 0.32,
            },
        )  # fmt: skip
        _barriers(axes[0], timeline)
        _operations(axes[1], timeline)
        _waiting(axes[2], timeline)
        rate = len(timeline.moves) / timeline.span
        _parts(axes[3], [rate * count for count in timeline.moves], timeline.span, "moves")
        _name(axes[3], "entries moved, a second")
        _parts(axes[4], [100 * share for share in timeline.busy], timeline.span, "busy")
        _name(axes[4], "busy, percent of the time")
        axes[4].set_ylim(0, 105)
        axes[4].set_yticks([0, 50, 100])
        for one in axes:
            one.set_xlim(0, timeline.span)
            one.grid(axis="x", color="#dddddd", linewidth=0.8)
        axes[4].set_xlabel("seconds")
        _legend(figure, timeline)
        figure.savefig(file, format="png", metadata={"Software": None})


def summary(timeline: Timeline) -> str:
    """It in numbers."""
    done = len(timeline.operations)
    busy = sum(timeline.busy) / len(timeline.busy)
    return (
        f"{done:,} operations and {sum(timeline.moves):,.0f} moves of entries in "
        f"{timeline.span:,.1f} s; busy {busy:.0%} of the time; {len(timeline.barriers):,} barriers"
    )


def _name(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=11, pad=4)


def _bars(axes: Axes, bars: Sequence[Bar], kind: str, height: float, span: float) -> None:
    """Those of one kind, each in its row; one that is not over is hatched."""
    from matplotlib.collections import PolyCollection

    wide = span * NARROW / WIDTH
    for is_open in (False, True):
        found = [bar for bar in bars if bar.kind == kind and bar.open is is_open]
        if found:
            corners = [
                [
                    (bar.begin, bar.row - height / 2),
                    (bar.begin, bar.row + height / 2),
                    (bar.end, bar.row + height / 2),
                    (bar.end, bar.row - height / 2),
                ]
                for bar in found
            ]
            # What is wide is parted from its neighbours by an edge, what is narrow is seen by it.
            edges = [
                "white" if kind != "refused" and bar.end - bar.begin > wide else COLORS[kind]
                for bar in found
            ]
            axes.add_collection(
                PolyCollection(
                    corners,
                    facecolors=COLORS[kind],
                    edgecolors="white" if is_open else edges,
                    # The few that are refused shall not be lost among the many that are not.
                    linewidths=2.0 if kind == "refused" else 0.5,
                    hatch="////" if is_open else None,
                )
            )


def _barriers(axes: Axes, timeline: Timeline) -> None:
    _name(axes, "barriers, from their turn until they are answered")
    _bars(axes, timeline.barriers, "barrier", 0.6, timeline.span)
    answered = [bar for bar in timeline.barriers if not bar.open]
    axes.vlines(
        [bar.end for bar in answered],
        [bar.row - 0.4 for bar in answered],
        [bar.row + 0.4 for bar in answered],
        colors=COLORS["answer"],
        linewidth=1.2,
    )
    names = [
        name if len(name) <= MAX_NAME else "…" + name[1 - MAX_NAME :]
        for name in timeline.connections
    ]
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(max(1, len(names)) - 0.4, -0.6)
    if not names:
        _nothing(axes, "no barriers")


def _operations(axes: Axes, timeline: Timeline) -> None:
    for kind in ("add", "modify", "delete", "refused"):
        _bars(axes, timeline.operations, kind, 0.8, timeline.span)
    answers = [bar.end for bar in timeline.barriers if not bar.open]
    if len(answers) <= MAX_ANSWERS:
        axes.vlines(answers, -0.6, timeline.rows - 0.4, colors=COLORS["answer"], linewidth=0.8,
                    linestyles="dotted")  # fmt: skip
    axes.set_ylim(timeline.rows - 0.4, -0.6)
    axes.set_yticks([])
    _name(axes, f"operations in the hardware, up to {timeline.rows} at once")
    if not timeline.operations:
        _nothing(axes, "no operations")


def _waiting(axes: Axes, timeline: Timeline) -> None:
    times, counts = zip(*timeline.waiting, strict=True)
    axes.fill_between(times, counts, step="post", color=COLORS["waiting"], linewidth=0)
    axes.set_ylim(0, 1.1 * max(1, *counts))
    _name(axes, "operations that wait for the hardware")


def _parts(axes: Axes, parts: Sequence[float], span: float, kind: str) -> None:
    """Amounts in equal parts of the time."""
    width = span / len(parts)
    times = [number * width for number in range(len(parts) + 1)]
    axes.fill_between(times, [*parts, parts[-1]], step="post", color=COLORS[kind], linewidth=0)
    axes.set_ylim(0, 1.1 * max(1e-9, *parts) if any(parts) else 1)


def _nothing(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="#888888")


def _legend(figure: Any, timeline: Timeline) -> None:
    """What the colours mean, with how many there are of each."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(
            facecolor=COLORS[kind],
            label=f"{kind} ({sum(bar.kind == kind for bar in timeline.operations)})",
        )
        for kind in ("add", "modify", "delete", "refused")
    ]
    handles.append(Patch(facecolor=COLORS["barrier"], label="barrier waits"))
    handles.append(
        Line2D([], [], color=COLORS["answer"], marker="|", linestyle="", markersize=12,
               markeredgewidth=1.5, label="its answer")
    )  # fmt: skip
    handles.append(Patch(facecolor="white", edgecolor="#888888", hatch="////", label="not over"))
    figure.legend(
        handles=handles, loc="upper right", bbox_to_anchor=(0.99, 0.975), ncols=len(handles),
        frameon=False, fontsize=10, handlelength=1.2, columnspacing=1.4,
    )  # fmt: skip

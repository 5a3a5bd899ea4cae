"""Two pictures: four figures that matter most as bars, and every load as dots."""

from __future__ import annotations

import math

from bench.peers import CACHETUNNEL, PEERS
from bench.results import Results
from bench.svg import Drawing
from bench.table import number

OTHERS = [peer for peer in PEERS if peer is not CACHETUNNEL and not peer.is_limit]


def caption(results: Results) -> str:
    """Where the figures come from."""
    machine = results.machine
    dates = sorted({results.entry(load)["date"] for load in results.loads()})
    return (
        f"{dates[-1]}, {machine['processor']}, {machine['processors']} processors shared by load, "
        f"Redis {machine['versions']['redis-server']} and tunnel"
    )


# --- bars -----------------------------------------------------------------------------------------

PANELS = (
    ("get-50", "cpu_us", "CPU of a GET", "µs of the tunnel's own, 50 clients; less is better"),
    ("get-1000", "rate", "GETs a second", "1,000 clients; more is better"),
    ("connect-50", "rate", "New connections a second", "each with a PING; more is better"),
    ("idle-2000", "memory_kib", "Memory of an idle connection", "KiB, 2,000 of them; less is better"),
)
BARS = [CACHETUNNEL, *(peer for peer in OTHERS if peer.name != "socat")]
PANEL_WIDTH, PANEL_HEIGHT, MARGIN = 410, 178, 20
LABEL_WIDTH, BAR_WIDTH, BAR_HEIGHT, BAR_STEP = 100, 235, 18, 26


def _panel(drawing: Drawing, left: float, top: float, results: Results, panel: tuple) -> None:
    load, figure, title, subtitle = panel
    values = [(peer, results.median(load, peer.name, figure)) for peer in BARS]
    longest = max((value or 0 for _, value in values), default=0) or 1
    drawing.text(left, top + 16, title, "ink title")
    drawing.text(left, top + 34, subtitle, "muted small")
    for row, (peer, value) in enumerate(values):
        y = top + 50 + row * BAR_STEP
        is_own = peer is CACHETUNNEL
        drawing.text(left, y + 14, peer.title, "ink bold" if is_own else "ink")
        if value is None:
            continue
        width = value / longest * BAR_WIDTH
        drawing.bar(left + LABEL_WIDTH, y, width, BAR_HEIGHT, "own" if is_own else "other")
        drawing.text(left + LABEL_WIDTH + width + 7, y + 14, number(value),
                     "ink bold" if is_own else "muted")


def draw_summary(results: Results) -> str:
    """The four panels."""
    width = 2 * PANEL_WIDTH + 3 * MARGIN
    height = 2 * PANEL_HEIGHT + MARGIN + 26
    drawing = Drawing(width, height, "cachetunnel beside nginx, HAProxy and stunnel")
    for index, panel in enumerate(PANELS):
        left = MARGIN + index % 2 * (PANEL_WIDTH + MARGIN)
        top = MARGIN + index // 2 * PANEL_HEIGHT
        _panel(drawing, left, top, results, panel)
    drawing.text(MARGIN, height - 12, caption(results), "muted small")
    return str(drawing)


# --- dots -----------------------------------------------------------------------------------------

UP_TO_BEST, FROM_BEST = (0.3, 0.5, 0.7, 1.0, 1.3), (0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
COLUMNS = (
    ("rate", "rate", "more is better →", UP_TO_BEST),
    ("p99_ms", "p99 latency", "← less is better", FROM_BEST),
    ("cpu_us", "own CPU", "← less is better", FROM_BEST),
)
ROW_HEIGHT, TITLE_WIDTH, COLUMN_WIDTH, COLUMN_GAP, HEAD_HEIGHT = 28, 265, 225, 24, 92


def _position(ratio: float, ticks: tuple) -> float:
    """On a logarithmic axis; what lies beyond is drawn at its end."""
    low, high = math.log(ticks[0]), math.log(ticks[-1])
    share = (math.log(ratio) - low) / (high - low)
    return min(max(share, 0), 1) * COLUMN_WIDTH


def _grid(drawing: Drawing, left: float, bottom: float, column: tuple) -> None:
    _, title, direction, ticks = column
    drawing.text(left, HEAD_HEIGHT - 40, title, "ink bold")
    drawing.text(left + COLUMN_WIDTH, HEAD_HEIGHT - 40, direction, "muted small", "end")
    for tick in ticks:
        x = left + _position(tick, ticks)
        drawing.line(x, HEAD_HEIGHT - 8, x, bottom, "muted" if tick == 1.0 else "line")
        drawing.text(x, HEAD_HEIGHT - 16, f"{tick:g}", "muted small", "middle")


def _dots(drawing: Drawing, left: float, y: float, results: Results, load: str,
          column: tuple) -> None:
    figure, _, _, ticks = column
    best = results.best_peer(load, figure)
    for peer in [*reversed(OTHERS), CACHETUNNEL]:
        value = results.median(load, peer.name, figure)
        if value and best:
            is_own = peer is CACHETUNNEL
            drawing.dot(left + _position(value / best, ticks), y, 6.5 if is_own else 4.5,
                        "own" if is_own else peer.name)


def _legend(drawing: Drawing) -> None:
    x = MARGIN
    for peer in [CACHETUNNEL, *OTHERS]:
        is_own = peer is CACHETUNNEL
        drawing.dot(x + 6, MARGIN + 4, 6.5 if is_own else 4.5, "own" if is_own else peer.name)
        drawing.text(x + 18, MARGIN + 9, peer.title, "ink bold" if is_own else "ink")
        x += 46 + 7.4 * len(peer.title)
    drawing.text(x + 10, MARGIN + 9, "1 is the best of the others; beyond the ends: at the ends",
                 "muted small")


def draw_loads(results: Results) -> str:
    """Every load, each figure as a share of the best peer's."""
    loads = [load for load in results.loads() if results.best_peer(load, "rate")]
    bottom = HEAD_HEIGHT + len(loads) * ROW_HEIGHT
    width = MARGIN + TITLE_WIDTH + len(COLUMNS) * (COLUMN_WIDTH + COLUMN_GAP) + MARGIN / 2
    drawing = Drawing(width, bottom + 34, "every load, relative to the best of the others")
    _legend(drawing)
    for index, column in enumerate(COLUMNS):
        left = MARGIN + TITLE_WIDTH + index * (COLUMN_WIDTH + COLUMN_GAP)
        _grid(drawing, left, bottom, column)
        for row, load in enumerate(loads):
            _dots(drawing, left, HEAD_HEIGHT + (row + 0.5) * ROW_HEIGHT, results, load, column)
    for row, load in enumerate(loads):
        drawing.text(MARGIN, HEAD_HEIGHT + (row + 0.5) * ROW_HEIGHT + 4.5,
                     results.entry(load)["title"])
    drawing.text(MARGIN, bottom + 24, caption(results), "muted small")
    return str(drawing)

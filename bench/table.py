"""Medians as tables, for a terminal and for Markdown alike."""

from __future__ import annotations

from bench.peers import PEERS
from bench.results import Results

COLUMNS = (
    ("rate", "per second"),
    ("p50_ms", "p50, ms"),
    ("p99_ms", "p99, ms"),
    ("p999_ms", "p99.9, ms"),
    ("cpu_us", "own CPU, µs"),
    ("memory_kib", "memory, KiB"),
)


def number(value: float | None) -> str:
    """Three significant digits, and thousands apart."""
    if value is None:
        return ""
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _ratios(results: Results, load: str) -> list[str]:
    """cachetunnel's figures as shares of the best peer's."""
    cells = []
    for figure, _ in COLUMNS:
        own = results.median(load, "cachetunnel", figure)
        best = results.best_peer(load, figure)
        cells.append(f"{own / best:.2f}" if own is not None and best else "")
    return ["cachetunnel : best peer", *cells]


def _rows(results: Results, load: str) -> list[list[str]]:
    rows = []
    for peer in PEERS:
        values = [results.median(load, peer.name, figure) for figure, _ in COLUMNS]
        if any(value is not None for value in values):
            title = f"({peer.title})" if peer.is_limit else peer.title
            rows.append([title, *map(number, values)])
    return rows + [_ratios(results, load)]


def _align(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("| " + " | ".join(cells) + " |")
    rule = "|" + "|".join(
        ("-" * (width + 2)) if i == 0 else ("-" * (width + 1) + ":")
        for i, width in enumerate(widths)
    ) + "|"
    return [lines[0], rule, *lines[1:]]


def _drop_empty_columns(rows: list[list[str]]) -> list[list[str]]:
    used = [i for i in range(len(rows[0])) if i == 0 or any(row[i] for row in rows[1:])]
    return [[row[i] for i in used] for row in rows]


def render(results: Results, loads: list[str]) -> str:
    """A table for each load."""
    parts = []
    for load in loads:
        entry = results.entry(load)
        header = ["", *(title for _, title in COLUMNS)]
        rows = _drop_empty_columns([header, *_rows(results, load)])
        rounds = results.rounds(load)
        parts.append(f"### {entry['title']}\n\n" + "\n".join(_align(rows))
                     + f"\n\n{entry['date']}, commit {entry['commit']}, "
                     + (f"medians of {rounds} rounds" if rounds > 1 else "one round"))
    return "\n\n".join(parts)

"""A little of SVG, enough for our charts, and readable on light and on dark ground."""

from __future__ import annotations

from html import escape

# Each colour on light and on dark ground.
COLOURS = {
    "ink": ("#1f2328", "#e6edf3"),
    "muted": ("#59636e", "#9198a1"),
    "line": ("#d1d9e0", "#3d444d"),
    "own": ("#0969da", "#4493f8"),
    "other": ("#afb8c1", "#6e7681"),
    "nginx": ("#1a7f37", "#3fb950"),
    "haproxy": ("#8250df", "#ab7df8"),
    "stunnel": ("#bc4c00", "#f0883e"),
    "socat": ("#818b98", "#768390"),
}
FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


def _rules(which: int) -> str:
    return "".join(f".{name}{{--c:{pair[which]}}}" for name, pair in COLOURS.items())


STYLE = (
    _rules(0)
    + "@media (prefers-color-scheme: dark){" + _rules(1) + "}"
    + "text,rect,circle,path{fill:var(--c)}line{stroke:var(--c)}"
    + f"text{{font-family:{FONT};font-size:13px;font-variant-numeric:tabular-nums}}"
    + ".title{font-size:15px;font-weight:600}.small{font-size:11.5px}.bold{font-weight:600}"
)


class Drawing:
    """Shapes are added; the whole is asked for as text. Classes name colours and sizes."""

    def __init__(self, width: float, height: float, description: str) -> None:
        self._head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'width="{width:g}" height="{height:g}" role="img">'
            f"<title>{escape(description)}</title><style>{STYLE}</style>"
        )
        self._shapes: list[str] = []

    def text(self, x: float, y: float, text: str, classes: str = "ink", anchor: str = "") -> None:
        """A line of text, its baseline at y."""
        where = f' text-anchor="{anchor}"' if anchor else ""
        self._shapes.append(
            f'<text x="{x:g}" y="{y:g}" class="{classes}"{where}>{escape(text)}</text>'
        )

    def bar(self, x: float, y: float, width: float, height: float, classes: str) -> None:
        """A bar from the left."""
        self._shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height:g}" rx="3" '
            f'class="{classes}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, classes: str = "line") -> None:
        """A thin line."""
        self._shapes.append(
            f'<line x1="{x1:.1f}" y1="{y1:g}" x2="{x2:.1f}" y2="{y2:g}" class="{classes}"/>'
        )

    def dot(self, x: float, y: float, radius: float, classes: str) -> None:
        """A disc."""
        self._shapes.append(f'<circle cx="{x:.1f}" cy="{y:g}" r="{radius:g}" class="{classes}"/>')

    def __str__(self) -> str:
        return "\n".join([self._head, *self._shapes, "</svg>"]) + "\n"

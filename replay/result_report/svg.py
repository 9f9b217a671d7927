"""Pieces of SVG as text; whatever is written in them is escaped."""

from collections.abc import Iterable
from html import escape

from replay.result_report.report import Floats


def text(x: float, y: float, content: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def line(start: tuple[float, float], end: tuple[float, float], style: str) -> str:
    (x1, y1), (x2, y2) = start, end
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def bar(x: float, y: float, width: float, height: float, style: str, said: str) -> str:
    """A rectangle that says what it is when pointed at."""
    shape = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{style}" {shape}><title>{escape(said)}</title></rect>'


def polyline(x: Floats, y: Floats, style: str) -> str:
    return f'<path class="{style}" d="M{_points(x, y)}"/>' if len(x) else ""


def area(x: Floats, y: Floats, base: float, style: str) -> str:
    """What lies between a line and a horizontal base."""
    if not len(x):
        return ""
    return f'<path class="{style}" d="M{x[0]:.1f} {base:.1f} {_points(x, y)} {x[-1]:.1f} {base:.1f}Z"/>'


def signs(x: Floats, y: Floats, shape: str, style: str) -> str:
    """The same small shape, a path relative to its point, at many points."""
    if not len(x):
        return ""
    places = "".join(f"M{a:.1f} {b:.1f}{shape}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return f'<path class="{style}" d="{places}"/>'


def uprights(x: Floats, low: Floats, high: Floats, style: str) -> str:
    """Vertical strokes between two heights, each at least a pixel long."""
    if not len(x):
        return ""
    strokes = zip(x.tolist(), low.tolist(), high.tolist(), strict=True)
    return f'<path class="{style}" d="{"".join(f"M{a:.1f} {max(b, c + 1):.1f}V{c:.1f}" for a, b, c in strokes)}"/>'


def picture(
    name: str,
    size: tuple[float, float],
    title: str,
    description: str,
    parts: Iterable[str],
    style: str = "chart",
    beneath: Iterable[str] = (),
) -> str:
    """An SVG of its own, with what a screen reader says of it; `name` is its id on the page.

    A script may draw all parts anew, but not what is beneath them.
    """
    width, height = size
    return (
        f'<svg id="{name}" class="{style}" viewBox="0 0 {width:.0f} {height:.0f}" role="img"'
        f' aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>'
        f'<g class="plot">{"".join(parts)}</g>{"".join(beneath)}</svg>'
    )


def clip(name: str, left: float, top: float, right: float, bottom: float) -> str:
    """A frame that a script may draw within."""
    shape = f'x="{left:.0f}" y="{top:.0f}" width="{right - left:.0f}" height="{bottom - top:.0f}"'
    return f'<clipPath id="{name}"><rect {shape}/></clipPath>'


def _points(x: Floats, y: Floats) -> str:
    return " ".join(f"{a:.1f} {b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))

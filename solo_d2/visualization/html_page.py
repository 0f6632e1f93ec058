"""The parts of a self-contained HTML page: pictures are inside it, curves are SVG; nothing is loaded."""

import base64
import html
import io
import os
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from solo_d2.utils.atomic_file import write_text

from .pictures import SHEET_QUALITY

_STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 1400px; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; } td, th { padding: .2em .8em; border-bottom: 1px solid #ccc; }
td, th { text-align: left; } pre { background: #f4f4f4; padding: .8em; white-space: pre-wrap; }
.row { display: flex; flex-wrap: wrap; gap: 1em; } figure { margin: 0 0 1em; max-width: 100%; }
figcaption { font-size: 14px; } img { max-width: 100%; display: block; }
"""
_COLORS = ("#0b66c3", "#c35a0b", "#2a8f3c", "#8f2a7a")
_SIDE, _MARGIN = 320, 45  # pixels of a plot and of the space for its numbers


def figure(picture: np.ndarray, caption: str) -> str:
    """Returns a picture, RGB uint8 (H, W, 3), with its caption."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=SHEET_QUALITY)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    text = html.escape(caption)
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def row(parts: Sequence[str]) -> str:
    """Returns parts next to each other, as many as fit."""
    return f'<div class="row">{"".join(parts)}</div>'


def table(rows: Sequence[Sequence[str]]) -> str:
    """Returns a table whose first row is its head."""
    lines = []
    for number, cells in enumerate(rows):
        kind = "td" if number else "th"
        lines.append("".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in cells))
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def code(text: str) -> str:
    """Returns text as it is typed."""
    return f"<pre>{html.escape(text)}</pre>"


def paragraph(text: str) -> str:
    """Returns a paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def curves(lines: Mapping[str, Sequence[float]], across: str, up: str) -> str:
    """Draws curves of values in [0, 1] over evenly spaced positions in [0, 1].

    Args:
        lines: At least two values per curve, by name.
        across: What the horizontal axis shows.
        up: What the vertical axis shows.
    """
    whole = _SIDE + 2 * _MARGIN
    parts = [
        f'<svg viewBox="0 0 {whole} {whole}" width="{whole}" height="{whole}" font-size="13">',
        f'<rect x="{_MARGIN}" y="{_MARGIN}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#999"/>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = _place(tick, tick)
        parts.append(f'<text x="{x}" y="{whole - _MARGIN + 16}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{_MARGIN - 6}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    parts.append(f'<text x="{whole / 2}" y="{whole - 8}" text-anchor="middle">{html.escape(across)}</text>')
    parts.append(f'<text x="{_MARGIN}" y="{_MARGIN - 26}">{html.escape(up)}</text>')
    for number, (name, values) in enumerate(lines.items()):
        color = _COLORS[number % len(_COLORS)]
        places = [_place(at / (len(values) - 1), float(value)) for at, value in enumerate(values)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        x = _MARGIN + number * _SIDE / len(lines)
        parts.append(f'<text x="{x:.0f}" y="{_MARGIN - 8}" fill="{color}">{html.escape(name)}</text>')
    return "".join([*parts, "</svg>"])


def write_page(path: str | os.PathLike, title: str, sections: Mapping[str, str]) -> None:
    """Writes the page atomically.

    Args:
        path: The file.
        title: Plain text.
        sections: HTML by heading, which is plain text.
    """
    name = html.escape(title)
    head = f'<head><meta charset="utf-8"><title>{name}</title><style>{_STYLE}</style></head>'
    body = (f"<h2>{html.escape(heading)}</h2>\n{content}\n" for heading, content in sections.items())
    write_text(path, [f"<!doctype html>\n<html>{head}<body><h1>{name}</h1>\n", *body, "</body></html>\n"])


def _place(x: float, y: float) -> tuple[float, float]:
    return _MARGIN + x * _SIDE, _MARGIN + (1 - y) * _SIDE

import base64
import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from solo_d2.visualization.html_page import code, curves, figure, paragraph, row, table, write_page


def test_a_page_needs_no_other_file_and_shows_text_as_it_is(tmp_path):
    picture = np.full((40, 60, 3), 200, np.uint8)
    sections = {
        "A & B": paragraph("<script>") + code("a < b"),
        "Pictures": row([figure(picture, 'a "quoted" <name>.jpg')]),
        "Numbers": table([("class", "AP"), ("<fig>", "1.0")]),
    }
    write_page(tmp_path / "new" / "page.html", "Title <1>", sections)
    text = (tmp_path / "new" / "page.html").read_text()
    assert "<script>" not in text and "&lt;script&gt;" in text and "<h2>A &amp; B</h2>" in text
    assert "http" not in text and "<h1>Title &lt;1&gt;</h1>" in text and "<td>&lt;fig&gt;</td>" in text
    data = text.split("data:image/jpeg;base64,")[1].split('"')[0]
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert decoded.shape == (40, 60, 3) and abs(int(decoded[0, 0, 0]) - 200) < 3


@pytest.mark.parametrize("count", [2, 101])
def test_curves_go_through_their_values(count):
    values = np.linspace(1, 0, count).tolist()
    drawing = ET.fromstring(curves({"falls": values, "flat": [0.5] * count}, "recall", "precision <1>"))
    first, second = [
        np.array([[float(n) for n in pair.split(",")] for pair in line.get("points").split()])
        for line in drawing.iter("polyline")
    ]
    frame = next(drawing.iter("rect"))
    left, top, side = (float(frame.get(key)) for key in ("x", "y", "width"))
    assert first[0].tolist() == [left, top] and first[-1].tolist() == [left + side, top + side]
    assert (second[:, 1] == top + side / 2).all() and len(second) == count
    assert {"falls", "flat", "recall", "precision <1>"} <= {text.text for text in drawing.iter("text")}

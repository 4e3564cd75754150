"""Pages: names are escaped, thumbnails contain their frames, nothing is loaded."""

import base64
import html.parser
import io
import re

import numpy as np
import pytest
from PIL import Image

from mas import files, pages

HOSTILE = [
    '<script>alert("1")</script>',
    "\"><img src=x onerror='alert(1)'>",
    "</style></title><script>alert(1)</script>",
    "--><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "&lt;script&gt; & co",
    "a\x00b\x1b[31m\udce9\u202egpj.exe",
    "=cmd|' /C calc'!A0.avi",
    "$title ${body} {0} %s",
]


class Reader(html.parser.HTMLParser):
    """Parses a page like a browser: elements with their attributes, and the text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [given for name, given in self.elements if name == tag]


def decoded(address):
    """The image of a data URI in a src or in a style."""
    data = re.search(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", address).group(1)
    return Image.open(io.BytesIO(base64.b64decode(data)))


def flat(value, height=30, width=40):
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_escaped_everywhere(name, tmp_path):
    frame = flat(90)
    card = pages.card(pages.still(frame, name), pages.bold(name), name, title=name)
    loop = pages.card(pages.moving([frame] * 2, 5, name), name)
    table = pages.table([name], [[name, pages.link(name, name)]])
    page = pages.page(name, name, pages.row(name, [card, loop], note=name, small=name), table)
    files.write(tmp_path / "page.html", page)
    found = Reader((tmp_path / "page.html").read_bytes().decode("utf-8"))
    plain = Reader(pages.page("n", "n", pages.row("n", [card, loop], "n", "n"), table))
    assert [tag for tag, _ in found.elements] == [tag for tag, _ in plain.elements]
    assert not {"script", "svg", "iframe", "object", "link"} & {tag for tag, _ in found.elements}
    assert not [key for _, given in found.elements for key in given if key.startswith("on")]
    shown = re.sub("[\x00\x1b\udce9\u202e]", "\ufffd", name)
    assert found.text.count(shown) >= 10
    assert found.all("img")[0]["alt"] == found.all("i")[0]["aria-label"] == shown
    (address,) = (given["href"] for given in found.all("a"))
    assert re.fullmatch(r"\./[A-Za-z0-9%_.~/-]+", address)


def test_page_loads_no_external_resources():
    page = pages.page("T", "words", pages.row("R", [pages.card(pages.still(flat(1)))]))
    found = Reader(page)
    metas = found.all("meta")
    assert metas[0] == {"charset": "utf-8"}
    policy = next(m["content"] for m in metas if "Policy" in m.get("http-equiv", ""))
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert "script" not in policy and "width=device-width" in str(metas)
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert not re.search("https?://|//[a-z]|@import|<link|<script", page)
    assert all(given["src"].startswith("data:") for given in found.all("img"))
    assert "<p>words</p>" in page and page.count("<h1>T</h1>") == 1
    assert "</style" not in pages.page("T", style="</style><b>").split("<style>")[1].split("<b>")[0]


def test_still_thumbnail_keeps_shape_and_colour():
    frame = np.zeros((300, 400, 3), np.uint8)
    frame[..., 0] = 200
    (given,) = Reader(pages.still(frame, "red", width=128)).all("img")
    picture = decoded(given["src"])
    assert (picture.format, picture.size) == ("JPEG", (128, 96))
    assert (given["width"], given["height"], given["alt"]) == ("128", "96", "red")
    np.testing.assert_allclose(np.asarray(picture)[50, 60], [200, 0, 0], atol=4)
    assert decoded(pages.data_uri(pages.jpeg(flat(9), 128))).size == (40, 30), "not enlarged"


@pytest.mark.parametrize(("frames", "kept"), [(1, 1), (2, 2), (16, 16), (24, 16), (64, 16)])
def test_loop_shows_frames_in_order_at_clip_rate(frames, kept):
    clip = np.stack([flat(3 * number) for number in range(frames)])
    (given,) = Reader(pages.moving(clip, rate=8, name="walk")).all("i")
    strip = np.asarray(decoded(given["style"]))
    assert strip.shape == (30, kept * 40, 3)
    values = strip[15, 20::40, 0].astype(int)
    expected = [3 * (number * frames // kept) for number in range(kept)]
    np.testing.assert_allclose(values, expected, atol=2)
    assert "aspect-ratio:40/30" in given["style"] and given["role"] == "img"
    assert f"background-size:{kept}00% 100%" in given["style"]
    played = re.search(
        r"animation:play ([0-9.]+)s steps\((\d+),jump-none\) infinite", given["style"]
    )
    if frames == 1:
        assert played is None
    else:
        assert float(played[1]) == frames / 8 and int(played[2]) == kept


def test_loop_respects_reduced_motion():
    page = pages.page("T", pages.moving([flat(1), flat(2)], 5))
    rule = (
        r"@media \(prefers-reduced-motion: reduce\) \{ \.loop \{ animation: none !important; \} \}"
    )
    assert re.search(rule, page) and "@keyframes play" in page


def test_loop_rejects_no_frames_or_no_rate():
    with pytest.raises(ValueError, match="rate must be .* 0. Received: rate=0"):
        pages.moving([flat(1)], 0)
    with pytest.raises(ValueError, match="frames must be .* 1. Received: frames=0"):
        pages.moving([], 5)


@pytest.mark.parametrize("name", [*HOSTILE, "-1", "+a", "@a", "'=a", "''-", "'tis", "", "walk/a b"])
def test_csv_cell_is_not_a_formula_and_reads_back(name):
    assert not re.match("[=+@\t\r-]", pages.cell(name))
    assert pages.cell_text(pages.cell(name)) == name


def test_cards_and_rows_have_expected_parts():
    card = pages.card(pages.still(flat(5)), "one", "two", kind="right", title="t")
    assert card.startswith('<figure class="right" title="t"><img ')
    assert card.endswith("<figcaption>one<br>two</figcaption></figure>")
    row = pages.row("Cluster 3", [card, card], "odd ones last", small="9 clips")
    assert row.startswith("<section><h2>Cluster 3<small>9 clips</small></h2><p class=")
    assert row.count("<figure") == 2
    assert pages.row("", []) == '<section><div class="cards"></div></section>'

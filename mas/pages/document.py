"""Pages, rows of cards and tables, in one style."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence

from mas.pages.markup import Markup, element, escape, join

# The page loads no other file and runs no script: pictures and styles are embedded.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)

_PAGE = string.Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light; --line: #d9dde3; --faint: #5b6470; }
* { box-sizing: border-box; }
body { font: 14px/1.45 system-ui, sans-serif; color: #1d2329; background: #fff;
  max-width: 1280px; margin: 0 auto; padding: 20px 24px 40px; }
h1 { font-size: 22px; line-height: 1.25; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 16px; margin: 0; overflow-wrap: anywhere; }
p { margin: 0 0 8px; max-width: 75ch; overflow-wrap: anywhere; }
a { color: #0b5cad; }
.note, figcaption, h2 small { color: var(--faint); }
h2 small { font-weight: normal; font-size: 14px; margin-left: 6px; }
section { border-top: 1px solid var(--line); padding: 14px 0 10px; }
.cards { display: grid; gap: 10px; margin-top: 8px;
  grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)); }
figure { margin: 0; border: 1px solid var(--line); border-radius: 6px; overflow: hidden;
  background: #fff; }
figure img, figure .loop { display: block; width: 100%; height: auto; background-color: #eef0f3; }
figcaption { padding: 4px 7px 6px; font-size: 12px; line-height: 1.35; overflow-wrap: anywhere;
  max-height: 11em; overflow-y: auto; }
figcaption b { color: #1d2329; }
figure.query { border: 3px solid #0b5cad; }
figure.right { border: 3px solid #2a8a3a; }
figure.wrong { border: 3px solid #c9302c; }
.blank { display: grid; aspect-ratio: 4 / 3; place-items: center; background: #eef0f3;
  color: var(--faint); font-size: 12px; }
.loop { background-repeat: no-repeat; background-position: 0 0; }
@keyframes play { from { background-position: 0 0; } to { background-position: 100% 0; } }
code { font-size: 12.5px; background: #f2f4f6; padding: 1px 4px; border-radius: 4px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 8px 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--faint); font-weight: 600; }
@media (max-width: 600px) { body { padding: 14px 12px 30px; }
  .cards { grid-template-columns: repeat(auto-fill, minmax(108px, 1fr)); gap: 8px; } }
@media (prefers-reduced-motion: reduce) { .loop { animation: none !important; } }
$style
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")


def page(title: str, *body: object, style: str = "") -> str:
    """Makes a whole page.

    Args:
        title: heading of the page and title of the browser window.
        *body: `Markup`; other text becomes a paragraph.
        style: more CSS rules; must be trusted text.

    Returns:
        A self-contained HTML page that forbids scripts.
    """
    parts = (part if isinstance(part, Markup) else element("p", part) for part in body)
    return _PAGE.substitute(
        policy=POLICY,
        title=escape(title),
        style=style.replace("</", "<\\/"),
        body="\n".join(parts),
    )


def card(picture: Markup, *caption: object, kind: str | None = None, title: str = "") -> Markup:
    """Makes a card: a picture with a caption.

    Args:
        picture: what `still` or `moving` returned.
        *caption: lines of the caption; text is escaped.
        kind: "query", "right" or "wrong" for a blue, green or red frame; or a class of the page's
            own style.
        title: tooltip.
    """
    lines = join(caption, Markup("<br>"))
    below = element("figcaption", lines) if lines else ""
    return element("figure", picture, below, class_=kind, title=title or None)


def row(title: object, cards: Iterable[Markup], note: object = "", small: object = "") -> Markup:
    """Puts cards side by side, wrapped to the width of the page.

    Args:
        title: heading; "" for none.
        cards: what `card` returned.
        note: paragraph below the heading.
        small: text in smaller letters after the heading.
    """
    after = element("small", small) if small else ""
    head = element("h2", title, after) if title else ""
    said = element("p", note, class_="note") if note else ""
    return element("section", head, said, element("div", join(cards, "\n"), class_="cards"))


def table(header: Sequence[object], lines: Iterable[Sequence[object]]) -> Markup:
    """Makes a table; each cell is `Markup`, or text, which is escaped."""
    head = element("tr", *(element("th", name) for name in header))
    body = (element("tr", *(element("td", part) for part in line)) for line in lines)
    return element("div", element("table", head, join(body, "\n")), class_="scroll")

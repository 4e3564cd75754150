"""Text into html and csv: whatever the name of a file or a class holds, it stays text."""

from __future__ import annotations

import html
import re
import urllib.parse
from collections.abc import Iterable

# Control characters, bytes that were no UTF-8 (surrogates), and marks that turn the direction of
# the text after them: a name with one could look like another.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)
_EMPTY = ("br", "img", "meta", "wbr")  # elements without an end
_FORMULA = re.compile("'*[=+@\t\r-]")  # what a spreadsheet takes for a formula, quoted or not


class Markup(str):
    """Text that is html already; other text is escaped wherever html is built."""

    __slots__ = ()


def escape(text: object) -> Markup:
    """Html that shows a text as it is; html stays as it is.

    >>> escape("<b> & co"), escape(Markup("<b>bold</b>"))
    ('&lt;b&gt; &amp; co', '<b>bold</b>')
    """
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNSEEN.sub("\ufffd", str(text))))


def plain(name: str) -> str:
    """A name in one line of UTF-8, what cannot be seen replaced by U+FFFD."""
    return re.sub("[\t\n]", "\ufffd", _UNSEEN.sub("\ufffd", name))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Parts in a row, each escaped unless it is html; so is what stands between them."""
    return Markup(escape(between).join(map(escape, parts)))


def element(tag: str, *content: object, **attributes: object) -> Markup:
    """An element of html.

    >>> element("p", "1 < 2", element("br"), class_="note")
    '<p class="note">1 &lt; 2<br></p>'

    Args:
        tag: its name.
        *content: text, which is escaped, or `Markup`.
        **attributes: values are escaped; None leaves one out. `class_` is class, `aria_label` is
            aria-label. Names come from the program.
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    end = "" if tag in _EMPTY else f"{join(content)}</{tag}>"
    return Markup(f"<{tag}{given}>{end}")


def bold(text: object) -> Markup:
    """A text in bold."""
    return element("b", text)


def name_text(name: str) -> Markup:
    """A name that breaks behind / _ and -, where a line is too short for it.

    >>> name_text("walk/ann_1")
    'walk/<wbr>ann_<wbr>1'
    """
    return join(re.split("(?<=[/_-])(?=.)", name), Markup("<wbr>"))


def link(path: str, text: object) -> Markup:
    """A link to a file beside the page, or below its folder.

    >>> link("javascript:alert(1)", "here")
    '<a href="./javascript%3Aalert%281%29">here</a>'
    """
    quoted = urllib.parse.quote(path, errors="surrogateescape")
    return element("a", text, href=f"./{quoted}")


def cell(name: str) -> str:
    """A name as a csv file holds it, so that no spreadsheet takes it for a formula.

    >>> cell("=1+1"), cell("walk/daria")
    ("'=1+1", 'walk/daria')
    """
    return f"'{name}" if _FORMULA.match(name) else name


def cell_text(text: str) -> str:
    """The name that `cell` wrote.

    >>> cell_text(cell("=1+1")), cell_text("'tis")
    ('=1+1', "'tis")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def time_text(seconds: float) -> str:
    """A time in a video, to the tenth of a second.

    >>> time_text(9.96), time_text(75), time_text(3661.5)
    ('0:10.0', '1:15.0', '1:01:01.5')
    """
    minutes, tenths = divmod(round(seconds * 10), 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{tenths / 10:04.1f}"

"""Safe text for HTML and csv: names of files and classes are escaped."""

from __future__ import annotations

import html
import re
import urllib.parse
from collections.abc import Iterable

# Control characters, bytes that are not UTF-8 (surrogates), and marks that change the direction of
# text: with them, one name could look like another.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)
_EMPTY = ("br", "img", "meta", "wbr")  # elements without an end tag
_FORMULA = re.compile("'*[=+@\t\r-]")  # a spreadsheet reads such text as a formula, quoted or not


class Markup(str):
    """HTML text; any other text is escaped when it becomes part of a page."""

    __slots__ = ()


def escape(text: object) -> Markup:
    """Escapes text for HTML; `Markup` is returned unchanged.

    >>> escape("<b> & co"), escape(Markup("<b>bold</b>"))
    ('&lt;b&gt; &amp; co', '<b>bold</b>')
    """
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNSEEN.sub("\ufffd", str(text))))


def plain(name: str) -> str:
    """Makes a name one line of UTF-8, with U+FFFD for invisible characters."""
    return re.sub("[\t\n]", "\ufffd", _UNSEEN.sub("\ufffd", name))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Joins parts with a separator; each is escaped unless it is `Markup`."""
    return Markup(escape(between).join(map(escape, parts)))


def element(tag: str, *content: object, **attributes: object) -> Markup:
    """Makes an HTML element.

    >>> element("p", "1 < 2", element("br"), class_="note")
    '<p class="note">1 &lt; 2<br></p>'

    Args:
        tag: name of the element.
        *content: `Markup`, or text, which is escaped.
        **attributes: attributes; values are escaped, and None leaves an attribute out. `class_`
            is class, `aria_label` is aria-label. Names must be trusted.
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    end = "" if tag in _EMPTY else f"{join(content)}</{tag}>"
    return Markup(f"<{tag}{given}>{end}")


def bold(text: object) -> Markup:
    """Makes text bold."""
    return element("b", text)


def name_text(name: str) -> Markup:
    """Lets a long name break after / _ and -.

    >>> name_text("walk/ann_1")
    'walk/<wbr>ann_<wbr>1'
    """
    return join(re.split("(?<=[/_-])(?=.)", name), Markup("<wbr>"))


def link(path: str, text: object) -> Markup:
    """Links to a file in the page's folder or below it.

    >>> link("javascript:alert(1)", "here")
    '<a href="./javascript%3Aalert%281%29">here</a>'
    """
    quoted = urllib.parse.quote(path, errors="surrogateescape")
    return element("a", text, href=f"./{quoted}")


def cell(name: str) -> str:
    """Quotes a name for a csv file, so that no spreadsheet reads it as a formula.

    >>> cell("=1+1"), cell("walk/daria")
    ("'=1+1", 'walk/daria')
    """
    return f"'{name}" if _FORMULA.match(name) else name


def cell_text(text: str) -> str:
    """Undoes `cell`.

    >>> cell_text(cell("=1+1")), cell_text("'tis")
    ('=1+1', "'tis")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def time_text(seconds: float) -> str:
    """Formats a time in a video, to a tenth of a second.

    >>> time_text(9.96), time_text(75), time_text(3661.5)
    ('0:10.0', '1:15.0', '1:01:01.5')
    """
    minutes, tenths = divmod(round(seconds * 10), 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{tenths / 10:04.1f}"

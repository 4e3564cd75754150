"""Self-contained HTML pages: the parts that all pages of this project share.

    markup.py      safe text for HTML and csv
    pictures.py    still and moving thumbnails
    document.py    pages, rows of cards, tables

    loop = pages.moving(frames, rate=25)
    cards = [pages.card(loop, pages.name_text("walk/daria_walk"), "at 0:01.5")]
    files.write("found.html", pages.page("Found", pages.row("Query", cards)))

A page needs neither a network connection nor a script, and its security policy forbids both.
"""

from mas.pages.document import card, page, row, table
from mas.pages.markup import (
    Markup,
    bold,
    cell,
    cell_text,
    element,
    escape,
    join,
    link,
    name_text,
    plain,
    time_text,
)
from mas.pages.pictures import blank, data_uri, jpeg, moving, still

__all__ = [
    "Markup",
    "blank",
    "bold",
    "card",
    "cell",
    "cell_text",
    "data_uri",
    "element",
    "escape",
    "jpeg",
    "join",
    "link",
    "moving",
    "name_text",
    "page",
    "plain",
    "row",
    "still",
    "table",
    "time_text",
]

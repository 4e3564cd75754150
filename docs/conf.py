"""Settings of Sphinx: `sphinx-build -W --keep-going -b html docs BUILD`."""

import json
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import mas  # noqa: E402

project = "mas"
author = "the authors of mas"
release = version = mas.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown", ".ipynb": "markdown"}  # `show` makes a notebook Markdown
html_theme = "furo"
html_title = f"mas {release}"
smartquotes_action = "D"  # dashes alone: quotes belong to values
html_show_sourcelink = html_copy_source = False

myst_heading_anchors = 4  # the anchors that code hosts give to headings

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings have types and shapes
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes as a list: several classes have the same
napoleon_use_rtype = False  # what is returned is prose, and names no classes

# Pages outside this folder, and the page that shows each of them.
SHOWN = {
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
    "lists": "data_lists/README.md",
}
SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields|Examples?|Note):$")


def show(app, name, text):
    """Puts a page from outside this folder in its place, and points links to where it is shown."""
    if name in SHOWN:
        text[0] = (ROOT / SHOWN[name]).read_text("utf-8")
        text[0] = re.sub(r"\]\((\.\./)?docs/", "](", text[0])
    if str(app.env.doc2path(name)).endswith(".ipynb"):
        text[0] = "\n\n".join(parts_of_notebook(json.loads(text[0])))
    up = "../" * name.count("/")
    for page, file in SHOWN.items():
        for there in (file, f"{up}../{file}"):
            text[0] = text[0].replace(f"]({there}", f"]({up}{page}.md")


def parts_of_notebook(notebook):
    """The cells of a notebook and what they show, as parts of a Markdown page."""
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"
        for output in cell.get("outputs", ()):
            data = output.get("data", {"text/plain": output.get("text")})
            if "image/png" in data:
                yield f"![What the cell shows](data:image/png;base64,{data['image/png']})"
            else:
                yield f"```text\n{''.join(data['text/plain']).rstrip()}\n```"


def as_text(app, what, name, thing, options, lines):
    """Marks the blocks of code in a docstring, and escapes what reST would take for markup."""
    parts, section, code, example = [["", False]], False, False, False  # [text, is it code]
    for line in lines:
        example = bool(line) and (example or line.startswith(">>>"))
        if line and not line.startswith("    "):
            section, code = bool(SECTION.match(line)), False
        elif line and not section and not code:
            code = True
            parts.append(["\n::\n\n", True])
        if parts[-1][1] != (code or example):
            parts.append(["", code or example])
        parts[-1][0] += f"{line}\n"
    lines[:] = "".join(text if raw else escaped(text) for text, raw in parts).split("\n")


def escaped(text):
    """Text without markup, except single backticks, which mean code: reST doubles them."""
    parts = re.split(r"`([^`]+)`", text)
    parts[1::2] = [f"``{part}``" for part in parts[1::2]]
    parts[::2] = [re.sub(r"([*|\\]|_\b)", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def setup(app):
    """Connects the functions above."""
    app.connect("source-read", show)
    app.connect("autodoc-process-docstring", as_text, priority=100)

"""What the documents show runs as it stands, and the tables in them are those of the code."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


def blocks(path):
    """The Python blocks of a document."""
    return re.findall(r"^```python\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_page_of_the_api_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "api"}
    for number, block in enumerate(blocks(ROOT / "docs" / "api.md")):
        exec(compile(block, f"docs/api.md, block {number}", "exec"), names)

"""What the documents show runs as it stands, and the tables in them are those of the code."""

import importlib.util
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]


def blocks(path):
    """The Python blocks of a document."""
    return re.findall(r"^```python\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_page_of_the_api_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = {"__name__": "api"}
    for number, block in enumerate(blocks(ROOT / "docs" / "api.md")):
        exec(compile(block, f"docs/api.md, block {number}", "exec"), names)
    assert "Received: size=200" in str(names["refused"])


def test_the_page_of_the_settings_is_that_of_the_code():
    spec = importlib.util.spec_from_file_location("settings", ROOT / "docs" / "settings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text("utf-8") == module.page()  # else run docs/settings.py

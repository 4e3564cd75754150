"""The commands and the Python of the documents run, and their tables match the code."""

import csv
import importlib
import json
import re

import dataset_folders
import documents
import pytest
from documents import ROOT

from mas import lists
from mas.cli.flags import HelpWanted

# In the order in which a reader meets them: each finds what those before it left.
PAGES = ("start", "prepare", "methods", "evaluate", "predict", "pictures", "run_folder", "own")
PAGES += ("backends", "search")
# Parts of messages that docs/troubleshooting.md quotes.
QUOTED = (
    *("without cv2.optflow", "needs Ray", "failed; see", "shorter than one clip", "matches none"),
    *("a data set keeps its settings", "not an address", "contain optical flow", "must be finite"),
    *("was started with other settings", "is running", "Reducing batch"),
)
NOTEBOOK = ROOT / "docs" / "walkthrough.ipynb"
# README's Python, at little cost.
SMALLER = (
    ("frames=16, size=56, resize=(85, 64)", "frames=8, size=32, resize=(44, 32)"),
    ("size=(85, 64)", "size=(44, 32)"),
    ("width=0.25", "width=0.125"),
    ("epochs=20", "epochs=1"),
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder with videos, as a reader of the pages has it."""
    folder = tmp_path_factory.mktemp("reader")
    documents.write_videos(folder)
    return folder


@pytest.fixture
def reader(workspace, monkeypatch):
    """Changes to the workspace, with a separate cache."""
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("XDG_CACHE_HOME", str(workspace / "cache"))
    return workspace


@pytest.mark.slow
def test_readme_commands_and_code_run(reader, caplog):
    """Its commands for the reader's own videos fit together."""
    caplog.set_level("INFO")
    documents.run(ROOT / "README.md", SMALLER)
    assert (reader / "runs" / "actions" / "confusion.png").is_file()
    said = "mas finetune --init=runs/mine --data=data/mine --recipe=finetune_small --train_list"
    assert said in caplog.text  # the recipe that README shows


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_page_runs(reader, name):
    documents.run(ROOT / "docs" / f"{name}.md")


@pytest.mark.slow
def test_data_sets_page_runs(tmp_path, monkeypatch):
    """On a few videos of each data set, in its own folders."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PWD", str(tmp_path))
    dataset_folders.write(tmp_path)
    documents.run(ROOT / "docs" / "datasets.md")
    found = {
        path.stem: [entry.label for entry in lists.read(path, "video,label")]
        for path in [*tmp_path.glob("data/*.txt"), tmp_path / "all.txt"]
        if not path.stem.endswith("_classes")
    }
    assert found == dataset_folders.LABELS_OF


@pytest.mark.slow
def test_sorting_page_runs(reader):
    """The reader names the clusters between the first two blocks."""
    (_, sort), (_, use), (_, code) = documents.blocks(ROOT / "docs" / "sort.md")
    documents.run_commands(sort, "sort.md, block 1")
    path = reader / "sorted" / "names.csv"
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    with path.open("w", encoding="utf-8", newline="") as file:
        named = [[row[0], "ab"[number % 2], *row[2:]] for number, row in enumerate(rows)]
        csv.writer(file).writerows([header, *named])
    documents.run_commands(use, "sort.md, block 2")
    names = {}
    exec(compile(code.replace("=10", "=3"), "sort.md, block 3", "exec"), names)
    assert {entry.label for entry in names["entries"]} == {0, 1}
    assert (reader / "named_test_classes.txt").read_text("utf-8").split() == ["a", "b"]
    assert (reader / "runs" / "named" / "confusion.png").is_file()


def test_api_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = documents.run(ROOT / "docs" / "api.md")
    assert "Received: size=200" in str(names["refused"])


def test_shown_commands_parse():
    """With --help, flags and recipes are checked first: this covers commands that no test runs."""
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "data_lists" / "README.md"]
    found = [words for page in pages for words in documents.shown(page)]
    assert len(found) > 200
    for name, *words in found:
        words = [word for word in words if word != "--flagfile=runs/mine/flags.txt"]  # not here
        with pytest.raises(HelpWanted):
            importlib.import_module(f"mas.cli.{name}").run([*words, "--help"])


@pytest.mark.parametrize("message", QUOTED)
def test_troubleshooting_quotes_real_messages(message):
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    assert message in page
    assert any(message in file.read_text("utf-8") for file in ROOT.glob("mas/**/*.py"))


@pytest.mark.slow
def test_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = documents.run_notebook(NOTEBOOK)
    losses = names["run"].metrics["loss"]
    assert losses[-1] < losses[0] / 2
    assert names["page"].is_file() and len(names["hits"]) == 6


def test_notebook_has_outputs_without_machine_details():
    cells = documents.code_cells(NOTEBOOK)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    pictures = [output for output in outputs if "image/png" in output.get("data", ())]
    assert len(pictures) == 3, "python docs/notebook.py stores them"
    assert all(output.get("name", "stdout") == "stdout" for output in outputs)
    assert not any(output.get("metadata") for output in outputs + cells)
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    assert notebook["metadata"] == documents.load(ROOT / "docs" / "notebook.py").METADATA
    text = re.sub("[A-Za-z0-9+/]{200,}", "", json.dumps(notebook))  # without the pictures
    assert not re.search(r"/(home|root|tmp|usr|Users)\b|\\u001b|Traceback", text)


def test_settings_page_is_up_to_date():
    module = documents.load(ROOT / "docs" / "settings.py")
    assert module.PAGE.read_text("utf-8") == module.page()  # else run docs/settings.py


def test_package_description_has_absolute_links(monkeypatch):
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    setup = documents.load(ROOT / "setup.py")
    text = setup.page("[a](docs/start.md) ![b](docs/b.png) [c](https://c) [d](#d)", "https://x/y")
    assert text == (
        "[a](https://x/y/blob/main/docs/start.md) ![b](https://x/y/raw/main/docs/b.png) "
        "[c](https://c) [d](#d)"
    )
    assert setup.page("see [a `b`](docs/start.md).\n\n![c](docs/c.png)\n", "") == "see a `b`.\n\n\n"
    whole = setup.page((ROOT / "README.md").read_text("utf-8"), "https://x/y")
    assert not re.findall(r"\]\((?!https?://|#)", whole)

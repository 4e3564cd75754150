"""Targets of the documents exist: files, headings, recipes, commands and their flags."""

import importlib
import math
import re
import shlex
import sys

import documents
import pytest
from documents import ROOT

from mas import tasks
from mas.cli import COMMANDS, recipes
from mas.cli.flags import HelpWanted

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "data_lists").glob("*.md"),
    ]
)
RECIPES = {file.stem for file in recipes.folder().glob("*.flags")}
METHODS = "mas|sts|pace|vtdl|dsm|moco|finetune|retrieval|similarity|scenes"
# What stands for something else: no command that could be checked.
PLACEHOLDER = re.compile(
    r"--flagfile=|--(recipe|task)=([A-Z]|\w+:)|\.\.\.|^mas \w+ [A-Z]+$|^mas \w+ KIND"
)


def named(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_have_targets(page):
    for link in documents.links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in documents.headings(target), f"{link} is no heading"


def test_links_and_headings_are_found(tmp_path):
    page = tmp_path / "page.md"
    text = (
        "# A `b`: c\n\n[x](gone.md#top), `[y](code.md)`\n\n```\n# no\n[z](code.md)\n```\n# A b c\n"
    )
    page.write_text(text, "utf-8")
    assert documents.links(page) == ["gone.md#top"]
    assert documents.headings(page) == ["a-b-c", "a-b-c-1"]


def commands(page):
    """All `mas` commands on a page, in code blocks or inline."""
    text = re.sub(r" *\\\n *", " ", page.read_text("utf-8"))
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    lines = re.findall(r"^    .*", text, re.MULTILINE) + blocks.splitlines()
    lines += re.findall(r"`(mas [^`\n]*)`", text)
    for line in lines:
        line = re.split(r"\s#\s| (?:[|>;]|2>|&&)", line.strip().removeprefix("$ "))[0].strip()
        known = re.match(r"mas ([a-z]+)", line)
        if known and known[1] in COMMANDS and not PLACEHOLDER.search(line):
            yield line.rstrip("'")


def refused(line):
    """The reason why a command rejects its flags; empty if it accepts them."""
    name, *arguments = shlex.split(line)[1:]
    try:
        importlib.import_module(f"mas.cli.{name}").run([*arguments, "--help"])
    except HelpWanted:  # comes after every flag was found and its value checked
        return ""
    except Exception as error:
        return str(error)
    return "shows no help"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_accept_flags_shown_on_pages(page):
    wrong = [f"{line}: {why}" for line in dict.fromkeys(commands(page)) if (why := refused(line))]
    assert not wrong, "\n".join(wrong)


def test_wrong_flag_on_page_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("    mas train --recipe=mas_ucf101_c3d \\\n        --dato=x  # why\n", "utf-8")
    (line,) = commands(page)
    assert "dato" in refused(line)
    assert not refused(line.replace("dato", "data"))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_recipes_named_on_pages_exist(page):
    text = page.read_text("utf-8")
    found = set(re.findall(r"(?:--recipe=|mas recipes )([a-z]\w+)", text))
    if page.parent.name == "reproduce":  # a name of that form is a recipe, a task or a run
        found |= set(re.findall(rf"`((?:{METHODS})_\w+)`", text)) - set(tasks.TASKS)
        found -= set(re.findall(r"--run=runs/(\w+)", text))
    assert found <= RECIPES


COST = re.compile(
    r"^\| (.+) \| ([\d,]+(?: x [\d,.]+)+) \| ([\d,.]+) \| ([\d,.]+) \|$", re.MULTILINE
)


@pytest.mark.parametrize("name", ["mas", "sts", "pace", "vtdl", "dsm"])
def test_costs_follow_from_their_factors(name):
    rows = COST.findall((ROOT / "docs" / "reproduce" / f"{name}.md").read_text("utf-8"))
    assert rows
    for step, factors, petaflops, hours in rows:
        numbers = [float(number.replace(",", "")) for number in factors.split(" x ")]
        cost = math.prod(numbers) / 1e6
        assert float(petaflops.replace(",", "")) == pytest.approx(cost, rel=0.005, abs=0.5), step
        assert float(hours.replace(",", "")) == pytest.approx(cost / 36, rel=0.02, abs=0.5), step
        for recipe in set(re.findall(r"`(\w+)`", step)) & RECIPES:  # forwards, of one clip
            told = recipes.read(recipes.path(recipe)).cost
            assert f"{numbers[-2]} GFLOPs" in told, f"{step}: {told}"
            assert "epochs" in step or f"{int(numbers[0])} epochs" in told, f"{step}: {told}"


def test_docstrings_become_markup(monkeypatch):
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    lines = [
        "A `b_",
        "c`, *d.",
        "",
        ">>> _ = f(*x)",
        "",
        "    x_ = 1",
        "",
        "Args:",
        "    **k: `l`.",
    ]
    documents.load(ROOT / "docs" / "conf.py").as_text(None, "function", "", None, None, lines)
    text = "\n".join(line for line in lines if line)
    head, code = "A ``b_\nc``, \\*d.", ">>> _ = f(*x)\n::\n    x_ = 1"
    assert text == f"{head}\n{code}\nArgs:\n    \\*\\*k: ``l``."

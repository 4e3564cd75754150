"""Files about the project: version, changelog, citation, hooks."""

import re

from documents import ROOT

import mas


def text(name):
    return (ROOT / name).read_text("utf-8")


def test_version_matches_changelog_and_citation():
    (version, date) = re.search(r"^## (\S+) \((\S+)\)$", text("CHANGELOG.md"), re.M).groups()
    assert version == mas.__version__
    assert re.search(r"^version: (\S+)$", text("CITATION.cff"), re.M)[1] == version
    assert re.search(r"^date-released: (\S+)$", text("CITATION.cff"), re.M)[1] == date


def test_hooks_equal_ci_checks():
    tools = re.findall(r"^ +entry: (.+)$", text(".pre-commit-config.yaml"), re.M)
    checks = text(".ci/run").split('"== style and types"')[1].split("echo")[0]
    checks = checks[checks.index("ruff") :].replace(" --check", "")
    assert [tool.replace("--force-exclude", ".") for tool in tools] == checks.split("\n")[:3]

"""Settings: checks, text and documentation follow from the fields; flags made of settings."""

import dataclasses
import math

import numpy as np
import pytest

from mas import forms
from mas.checks import Settings, check_choice, check_range, option
from mas.cli.flags import Flags, HelpWanted, UsageError
from mas.settings import Clip, Network, Optimisation, Plan
from mas.tasks import VTDL


@dataclasses.dataclass(frozen=True)
class Some(Settings):
    """One setting of each type."""

    whole: int = option(3, "A whole number. In full.", least=1, most=9)
    number: float = option(0.5, "A number.", above=0, below=2)
    switch: bool = option(True, "A switch.")
    word: str = option("a", "A word: a or b.", choices=("a", "b"), alias="old")
    maybe: int = option(None, "Perhaps.", form=forms.INTEGER, free=True)
    several: tuple[int, ...] = option((1, 2), "Several.", choices=(1, 2, 3))
    size: tuple[int, int] = option((4, 2), "A size.", form=forms.SIZE, advanced=True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"whole": 0}, "whole must be at least 1 and at most 9. Received: whole=0."),
        (
            {"whole": 2.0},
            "whole must be a whole number at least 1 and at most 9. Received: whole=2.0.",
        ),
        ({"whole": True}, "whole=True"),
        ({"number": 0}, "number must be above 0 and below 2. Received: number=0."),
        ({"number": math.nan}, "number=nan"),
        ({"number": "1"}, "number='1'"),
        ({"switch": 1}, "switch must be true or false. Received: switch=1."),
        ({"word": "c"}, r"word must be one of \['a', 'b'\]. Received: word='c'."),
        ({"maybe": "x"}, "maybe must be a whole number, or None. Received: maybe='x'."),
        ({"several": (1, 4)}, r"several must be one or more of \[1, 2, 3\]. Received: several=\(1"),
        ({"size": (4, 0)}, r"size must be \(width, height\) .* Received: size=\(4, 0\)."),
    ],
)
def test_rejects_invalid_values(settings, words):
    with pytest.raises(ValueError, match=words):
        Some(**settings)


def test_values_are_converted_and_texts_round_trip():
    found = Some(np.int64(4), 1, several=2, size=[8, 6], maybe=7)
    assert dataclasses.astuple(found) == (4, 1.0, True, "a", 7, (2,), (8, 6))
    assert found.texts() == {
        "whole": "4", "number": "1", "switch": "true", "word": "a", "maybe": "7", "several": "2",
        "size": "8x6",
    }  # fmt: skip
    assert Some.parsed(found.texts()) == found and Some.parsed({"old": "b"}).word == "b"
    assert "maybe" not in Some().texts() and Some.parsed({"maybe": "none"}) == Some()
    for number in (0.1, 1 / 3, 1e-30, 1e6, 0.005):
        text = forms.NUMBER.text(number)
        assert forms.NUMBER.convert(forms.NUMBER.parse(text)) == number
    with pytest.raises(ValueError, match="whole.*whole='many'"):
        Some.parsed({"whole": "many"})


def test_docstrings_follow_fields():
    line = "whole: A whole number. In full. Must be at least 1 and at most 9 (default: 3)."
    assert line in " ".join(Some.__doc__.split()) and "(default: None)" in Some.__doc__
    assert max(map(len, Some.__doc__.splitlines())) <= 100
    for kind in (Network, Clip, Optimisation, Plan, VTDL):
        assert all(f"{name}: " in kind.__doc__ for name in kind.options())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Clip(size=64, resize=(85, 48)), "size.*48.*resize=85x48.*size=64"),
        (lambda: Network("vgg"), "backbone.*r3d_18.*backbone='vgg'"),
        (lambda: Network(width=math.inf), "width.*above 0.*width=inf"),
        (lambda: Optimisation(decay_epochs=(5, 5)), r"decay_epochs.*ascend.*\(5, 5\)"),
        (lambda: Optimisation(decay_epochs=()), r"decay_epochs=\(\)"),
        (lambda: check_choice("what", 1, [2]), r"what must be one of \[2\]. Received: what=1."),
        (lambda: check_range("what", "x", least=0), "what.*at least 0.*what='x'"),
        (lambda: check_range("what", math.nan, most=1), "what.*at most 1.*what=nan"),
    ],
)
def test_training_settings(make, words):
    with pytest.raises(ValueError, match=words):
        make()
    assert Clip(16, 56, (85, 64)).shape("flow") == (15, 56, 56, 2)


# ---- flags ---------------------------------------------------------------------------------------


def flags(*arguments):
    found = Flags("mas try", "Tries.", recipes=lambda name, command: f"{name}.flags")
    found.add(Some, "some", whole=5)
    found.option("list", None, "A list.", group="data", alias="names")
    found.elsewhere(["jitter"], "--task=pace")
    return found, found.parse(arguments, others=2)


@pytest.mark.parametrize(
    "typed",
    [
        ["--whole=7", "--flagfile=file.flags"],
        ["--flagfile=file.flags", "--whole=7"],
        ["--whole", "7", "--flagfile", "file.flags"],
        ["--whole=7", "--recipe=file"],
        ["--flagfile=nested.flags", "--whole=7"],
        ["--flagfile=named.flags"],
    ],
)
def test_typed_flags_override_flag_files_in_any_order(tmp_path, monkeypatch, typed):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.flags").write_text("# whole\n--whole=2\n--old=b\n--noswitch\n--names=x y\n")
    (tmp_path / "nested.flags").write_text("--flagfile=file.flags\n--whole=6\n")
    (tmp_path / "named.flags").write_text("--whole=7\n--recipe=file\n")
    found, rest = flags(*typed)
    assert found.make(Some) == Some(7, word="b", switch=False) and rest == []
    assert found.list == "x y" and found.given("list") and not found.given("size")
    assert found.make(Some, whole=1).whole == 1


def test_defaults_and_given_values_are_distinguished():
    found, rest = flags("--several=3,1", "a", "--size=6x4", "b")
    assert found.make(Some) == Some(5, several=(3, 1), size=(6, 4)) and rest == ["a", "b"]
    assert found.values(Some, only_given=True) == {"several": (3, 1), "size": (6, 4)}
    assert found.last(["--old=b", "--whole", "2", "--whole=4"], "whole", "?") == "4"
    found.require("size")
    with pytest.raises(UsageError, match="mas try needs --list and --maybe"):
        found.require("list", "size", "maybe")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--whole=0", r"whole must be at least 1 and at most 9. Received: whole=0."),
        ("--whole=many", "whole.*whole='many'"),
        ("--switch=often", "switch must be true or false. Received: .*switch=often"),
        ("--old=c", "word must be one of.*word='c'"),
        ("--whloe=3", "'whloe'. Did you mean: whole.*mas try --help"),
        ("--jitter=true", "--jitter belongs to --task=pace. See mas try --help."),
        ("--nojitter", "--jitter belongs to --task=pace"),
        ("--flagfile=none.flags", "--flagfile=none.flags cannot be read: No such file"),
        ("--recipe=none", "--recipe=none cannot be read"),
    ],
)
def test_wrong_command_line_is_reported(argument, words):
    with pytest.raises((UsageError, ValueError), match=words):
        flags(argument)


def test_rejects_duplicate_flag_names():
    found, _ = flags()
    with pytest.raises(UsageError, match="--whole is taken by mas try"):
        found.option("whole", 3, "Again.", group="other")


def test_short_help_omits_advanced_flags(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(HelpWanted) as short:
        flags("--help")
    with pytest.raises(HelpWanted) as full:
        flags("--helpfull")
    short, full = str(short.value), str(full.value)
    assert "  --whole           A whole number. (5)" in short and "In full" not in short
    assert "  --word            A word: a, b. (a)" in short and "--size" not in short
    assert "In full" in full and "--size            A size. (4x2)" in full
    assert max(map(len, full.splitlines())) <= 80


@pytest.mark.parametrize(("name", "value"), [("momentum", 1.0), ("learning_rate", 0.0)])
def test_exclusive_bound_is_checked(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .* Received: {name}={value}"):
        Optimisation(**{name: value})

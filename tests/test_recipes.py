"""Recipes: flag files that their scripts understand, and that say what the paper says."""

import pathlib
import re
import shlex

import pytest
from absl import flags

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECIPES = {path.stem: path for path in sorted((ROOT / "recipes").glob("*.flags"))}

# CVPR 2019, section 4.1 (epochs, rates, batch) and section 3.4 (clips); momentum and weight decay
# are the authors' code's.
OPTIMISER = {"batch": 30, "epochs": 20, "decay_factor": 0.1}
OPTIMISER |= {"momentum": 0.9, "l2": 0.005, "decay": "fc"}
CLIP = {"frames": 16, "resize": "171x128", "size": 112, "clips": "consecutive"}
UCF101 = {"learning_rate": 0.001, "decay_epochs": "5", **OPTIMISER}
KINETICS = {"learning_rate": 0.0005, "decay_epochs": "7", **OPTIMISER}
PAPER = {
    "mas_ucf101_c3d": {**UCF101, **CLIP, "task": "mas", "backbone": "c3d", "preset": "bgr255"},
    "mas_kinetics400_c3d": {**KINETICS, **CLIP, "task": "mas", "backbone": "c3d"},
    "finetune_ucf101_c3d": UCF101,
    "finetune_hmdb51_c3d": UCF101,
}
# T-PAMI 2021, the authors' code.
STS = {"batch": 4, "epochs": 18, "learning_rate": 0.0005, "decay_epochs": "6", "decay_factor": 0.1}
STS |= {"momentum": 0.9, "l2": 0.005, "decay": "all", "head": "pooled", "preset": "bgr255"}
STS |= {"task": "mas", "option": ["appearance_weight=0.1"]}
PAPER |= {
    f"sts_ucf101_{name}": {**STS, **CLIP, "backbone": name}
    for name in ("c3d_bn", "r3d_10", "r2plus1d_10")
}
LONG = {"frames": 64, "resize": "256x256", "size": 224, "clips": "consecutive"}
PAPER["sts_kinetics400_s3d_g"] = {**STS, **LONG, "backbone": "s3d_g"}
PAPER["finetune_ucf101_r3d_10"] = {**UCF101, "decay": "all"}
# ECCV 2020, the authors' code: its epoch shows every video ten times.
PACE = {
    "epochs": 180,
    "learning_rate": 0.001,
    "decay_epochs": "60",
    "decay_factor": 0.1,
    "batch": 30,
}
PACE |= {"momentum": 0.9, "l2": 0.005, "decay": "all", "batch": 30}
PACE |= {"head": "pooled", "preset": "bgr255"}
PACE |= {"task": "pace", "paces": "1,2,3,4", "loop": "wrap", "jitter": True}
PACE |= {"jitter_per_frame": True, "bias_rate": 1.0}
ANYWHERE = {"clips": "anywhere"}
PAPER |= {
    f"pace_ucf101_{name}": {**PACE, **CLIP, **ANYWHERE, "backbone": name}
    for name in ("c3d_bn", "r3d_10", "r2plus1d_10")
}
PAPER["pace_kinetics400_s3d_g"] = {**PACE, **LONG, **ANYWHERE, "backbone": "s3d_g", "batch": 32}
PAPER["pace_kinetics400_s3d_g"] |= {"epochs": 18, "decay_epochs": "6"}
PAPER["pace_contrast_ucf101_r2plus1d_10"] = {
    **{**PAPER["pace_ucf101_r2plus1d_10"], "task": "pace_contrast", "contrast": "same_context"},
    **{"class_weight": "1", "contrast_weight": "0.1"},
}
PAPER["finetune_ucf101_pace"] = {
    **{**UCF101, "learning_rate": 0.003, "epochs": 180, "decay_epochs": "60", "decay": "all"},
    **{"clips": "anywhere", "jitter": True, "dropout": 0, "test_clips": 10},
}
# Table 4, split 1, in percent: what stands in the header as published.
PUBLISHED = {
    "mas_ucf101_c3d": ("58.8 %", "32.6 %"),
    "mas_kinetics400_c3d": ("61.2 %", "33.4 %"),
    "finetune_ucf101_c3d": ("45.4 %", "58.8 %", "61.2 %"),
    "finetune_hmdb51_c3d": ("19.7 %", "32.6 %", "33.4 %"),
    "sts_kinetics400_s3d_g": ("89.0 %", "62.0 %"),
    "pace_ucf101_r2plus1d_10": ("75.9 %", "35.9 %"),
    "pace_contrast_ucf101_r2plus1d_10": ("75.9 %", "35.9 %"),
    "finetune_ucf101_pace": ("75.9 %", "77.1 %"),
}
PUBLISHED |= {name: () for name in PAPER if name not in PUBLISHED}

SOURCES = {"sts": ("T-PAMI 2021", "authors' code"), "pace": ("ECCV 2020", "authors' code")}


def header(path):
    return [line[1:] for line in path.read_text("utf-8").splitlines() if line.startswith("#")]


def commands(path):
    """[(script, arguments)] of the command lines in a recipe's header, in their order."""
    lines = "\n".join(line.strip() for line in header(path) if line.startswith("   "))
    lines = re.sub(r"\$\{?part\}?", "train", lines.replace("\\\n", " "))  # a loop's variable
    found = []
    for words in map(shlex.split, lines.splitlines()):
        if words[:2] == ["python", "-m"]:
            found.append((words[2].replace(".", "/") + "/__main__.py", words[3:]))
        elif words[0] == "python":
            found.append((words[1], words[2:]))
    return found


def test_there_are_recipes():
    assert set(PAPER) == set(PUBLISHED) < set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_the_commands_of_the_header_are_understood(script, name, monkeypatch):
    """All of them parse, the recipe within the last one; an unknown flag or value raises."""
    monkeypatch.chdir(ROOT)
    *before, (path, arguments) = commands(RECIPES[name])
    for other, words in before:
        with script(other, *words):
            pass
    assert path in ("train.py", "finetune.py")
    recipe = f"--flagfile=recipes/{name}.flags"
    assert recipe in arguments or (path, arguments) == ("train.py", [])
    with script(path, *arguments, *([] if arguments else [recipe])):
        assert flags.FLAGS.run == f"runs/{name}"
        for flag, value in PAPER.get(name, {}).items():
            assert flags.FLAGS[flag].value == value, flag


@pytest.mark.parametrize("name", RECIPES)
def test_the_header_says_where_the_numbers_come_from(name):
    text = " ".join(" ".join(header(RECIPES[name])).split())
    assert "Numbers: " in text
    assert ("Numbers: our own" in text) == (name not in PAPER)
    if name in PAPER:
        method = "pace" if "pace" in name else name.partition("_")[0]
        assert all(words in text for words in SOURCES.get(method, ("section 4.1",)))
        published = text[text.index("Published") :]
        assert tuple(re.findall(r"\d+\.\d+ %", published)) == PUBLISHED[name]


@pytest.mark.parametrize("name", PAPER)
def test_published_recipes_state_their_numbers(name):
    """In the file itself, so that another default changes nothing."""
    stated = re.findall(r"^--(\w+)=", RECIPES[name].read_text("utf-8"), re.MULTILINE)
    assert set(PAPER[name]) <= set(stated) and len(set(stated)) == len(stated)


def test_the_quick_start_reads_its_recipe(script):
    """And no other call does; flags of the user's own come after the recipe's, so they count."""
    recipe = f"--flagfile={RECIPES['sample']}"
    with script("train.py") as module:
        for given in ([], ["--epochs=2"]):
            assert module._arguments(["train.py", *given]) == ["train.py", recipe, *given]
        for given in (["--data=x"], ["--data", "x"], ["-flagfile=x"], ["--help"]):
            assert module._arguments(["train.py", *given]) == ["train.py", *given]


@pytest.mark.parametrize("line", ["--learning_rat=0.1", "--decay=everything", "--epochs=0"])
def test_a_wrong_line_would_be_found(script, tmp_path, line):
    (tmp_path / "wrong.flags").write_text(line + "\n")
    with pytest.raises(flags.Error):
        with script("train.py", f"--flagfile={tmp_path / 'wrong.flags'}"):
            pass

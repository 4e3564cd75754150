"""Recipes: flag files that their scripts understand, and that say what the paper says."""

import pathlib
import re
import shlex

import pytest
from absl import flags

from mas import cli, tasks

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
# VTDL (arXiv 2008.02129) and DSM (AAAI 2021): the authors' code, options and scripts.
SGD = {"learning_rate": 0.003, "bias_rate": 1.0, "decay_epochs": "120,160,200", "decay_factor": 0.1}
SGD |= {"momentum": 0.9, "l2": 0.0001, "decay": "all", "preset": "standard"}
SGD |= {"initializer": "published"}
WIDE = {"resize": "340x256", "size": 224, "clips": "anywhere", "flip": False}
VIEWS = {"frames": 16, "stride": "4", "window": "128", "loop": "wrap", "min_offset": "2"}
VIEWS |= {"rotation": "10", "colours": "one", "per_sample": False, "negative": "intra"}
VIEWS |= {"embedding": "128", "backbone": "i3d", **SGD, **WIDE}
QUEUE = {"loss": "softmax", "temperature": "0.07", "key_momentum": "0.999", "key_norm": "batch"}
VTDL = {"task": "vtdl", "mixup": "0.1", "unused": "0", "epochs": 240, **VIEWS, **QUEUE}
PUSH = {"spatial": "push", "disturbed": "anchor", "temporal": "shift", "mixup": "0", "unused": "1"}
DSM = {"task": "dsm", "queue": "3569", "epochs": 10, "batch": 4, **PUSH, **VIEWS, **QUEUE}
MOCO = {**VIEWS, **QUEUE, "task": "moco", "unused": "1", "queue": "3569", "epochs": 10, "batch": 4}
MOCO |= {"negative": "inter", "key_norm": "initial"}
PAPER |= {
    "vtdl_ucf101_i3d": {**VTDL, "batch": 8, "queue": "5000"},
    "vtdl_ucf101_r2plus1d_10": {**VTDL, "batch": 8, "queue": "5000", "backbone": "r2plus1d_10"},
    "vtdl_ucf101_r3d_18": {**VTDL, "batch": 8, "queue": "5000", "backbone": "r3d_18"},
    "vtdl_hmdb51_i3d": {**VTDL, "batch": 16, "queue": "3569"},
    "vtdl_kinetics400_i3d": {**VTDL, "batch": 10, "queue": "12500"},
    "dsm_hmdb51_i3d": DSM,
    "dsm_ucf101_i3d": {**DSM, "frames": 32, "batch": 3, "epochs": 100},
    "dsm_kinetics400_i3d": {**DSM, "batch": 256, "epochs": 200},
    "dsm_diving48_i3d": {**DSM, "batch": 8},
    "dsm_something_i3d": {**DSM, "batch": 48, "negative": "inter"},
    "dsm_triplet_ucf101_r3d_18": {
        **{**PUSH, **VIEWS, "task": "dsm_triplet", "backbone": "r3d_18", "epochs": 100, "batch": 4},
        **{"margin": "0.5", "intra_weight": "1", "inter_weight": "1", "order": "reverse"},
    },
    "moco_ucf101_i3d": MOCO,
    "moco_diving48_i3d": MOCO,
}
PAPER["dsm_paper_ucf101_i3d"] = {
    **{**PAPER["dsm_ucf101_i3d"], "spatial": "tps", "disturbed": "positive"},
    **{"temporal": "flow", "mixup": "0.3"},
}
TUNED = {**WIDE, "frames": 64, "head": "convolved", "dropout": 0.5, "augmentation": "basic"}
TUNED |= {"batch": 4, "learning_rate": 0.001, "bias_rate": 1.0, "decay_factor": 0.3, "epochs": 45}
TUNED |= {"decay_epochs": "10,20,25,30,35,40", "momentum": 0.9, "l2": 1e-8, "decay": "all"}
PAPER |= {
    "finetune_ucf101_vtdl": {**TUNED, "learning_rate": 0.0005},
    "finetune_hmdb51_vtdl": TUNED,
    "finetune_diving48_dsm": TUNED,
    "finetune_something_dsm": {**TUNED, "batch": 6},
}
# In percent, what stands in the header as published: of MAS, Table 4, split 1.
PUBLISHED = {
    "mas_ucf101_c3d": ("58.8 %", "32.6 %"),
    "mas_kinetics400_c3d": ("61.2 %", "33.4 %"),
    "finetune_ucf101_c3d": ("45.4 %", "58.8 %", "61.2 %"),
    "finetune_hmdb51_c3d": ("19.7 %", "32.6 %", "33.4 %"),
    "sts_kinetics400_s3d_g": ("89.0 %", "62.0 %"),
    "pace_ucf101_r2plus1d_10": ("75.9 %", "35.9 %"),
    "pace_contrast_ucf101_r2plus1d_10": ("75.9 %", "35.9 %"),
    "finetune_ucf101_pace": ("75.9 %", "77.1 %"),
    # The authors' READMEs: of VTDL, the rows of its ablation on UCF101 and HMDB51.
    "vtdl_ucf101_i3d": (
        *("60.3 %", "22.6 %", "63.3 %", "26.2 %"),
        *("72.7 %", "41.2 %", "82.3 %", "52.9 %"),
    ),
    "vtdl_hmdb51_i3d": ("52.9 %", "41.2 %", "52.7 %"),
    "dsm_hmdb51_i3d": ("52.5 %",),
    "dsm_ucf101_i3d": ("74.8 %", "52.5 %", "47.9 %", "29.6 %"),
    "dsm_triplet_ucf101_r3d_18": ("70.7 %", "48.5 %"),
    "moco_ucf101_i3d": ("62.3 %", "36.5 %"),
    "finetune_ucf101_vtdl": (
        *("60.3 %", "63.3 %", "72.7 %", "82.3 %"),
        *("47.9 %", "62.3 %", "70.7 %", "74.8 %"),
    ),
    "finetune_hmdb51_vtdl": (
        *("22.6 %", "26.2 %", "41.2 %", "52.9 %"),
        *("29.6 %", "36.5 %", "48.5 %", "52.5 %"),
    ),
}
PUBLISHED |= {name: () for name in PAPER if name not in PUBLISHED}

SOURCES = {
    "sts_": ("T-PAMI 2021", "authors' code"),
    "pace": ("ECCV 2020", "authors' code"),
    "vtdl": ("arXiv 2008.02129", "authors' code"),
    "dsm": ("AAAI 2021", "authors' code"),
    "moco": ("DSM (AAAI 2021)", "authors' code"),
}


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
    """All of them parse, the recipe within the last one; what its task refuses raises, too."""
    monkeypatch.chdir(ROOT)
    *before, (path, arguments) = commands(RECIPES[name])
    for other, words in before:
        with script(other, *words):
            pass
    assert path in ("train.py", "finetune.py")
    recipe = f"--flagfile=recipes/{name}.flags"
    assert recipe in arguments or (path, arguments) == ("train.py", [])
    with script(path, *arguments, *([] if arguments else [recipe])) as module:
        assert flags.FLAGS.run == f"runs/{name}"
        for flag, value in PAPER.get(name, {}).items():
            assert flags.FLAGS[flag].value == value, flag
        if path == "train.py":
            tasks.task(flags.FLAGS.task, module._options(), **cli.network_options())


@pytest.mark.parametrize("name", RECIPES)
def test_the_header_says_where_the_numbers_come_from(name):
    text = " ".join(" ".join(header(RECIPES[name])).split())
    assert "Numbers: " in text
    assert ("Numbers: our own" in text) == (name not in PAPER)
    if name in PAPER:
        methods = [method for method in SOURCES if method in name]
        sources = SOURCES[methods[0]] if methods else ("section 4.1",)
        assert all(words in text for words in sources)
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

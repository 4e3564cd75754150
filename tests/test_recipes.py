"""Recipes load, their commands are understood, and their numbers are those of the papers."""

import importlib
import re
import shlex
import shutil

import numpy as np
import pytest
import scipy.io

from mas import cli, tasks
from mas.cli import evaluate, finetune, recipes, train
from mas.cli.flags import HelpWanted, UsageError
from mas.evaluate import PROTOCOLS, pairs
from mas.features import Sampling
from mas.settings import Clip, Network, Optimisation, Plan

FILES = {path.stem: path for path in sorted(recipes.folder().glob("*.flags"))}

# MAS: CVPR 2019, section 4.1 (epochs, rates, batch) and section 3.4 (clips); momentum and weight
# decay are the authors' code's.
CLIP = "frames=16 resize=171x128 size=112 "
MAS = "batch=30 epochs=20 learning_rate=0.001 decay_epochs=5 decay_factor=0.1 momentum=0.9 "
MAS += "l2=0.005 decay=fc "
WHOLE = f"{CLIP}sampling=consecutive preset=bgr255 task=mas "
# STS (T-PAMI 2021) and pace (ECCV 2020): the authors' code; pace's epoch has every video ten times.
STS = "batch=4 epochs=18 learning_rate=0.0005 decay_epochs=6 decay_factor=0.1 momentum=0.9 "
STS += "l2=0.005 decay=all head=pooled appearance_weight=0.1 last_batch=keep "
STS += "colour=mode scale=numbers extra_flow=true negate_u=false journal=true "
LONG = "frames=64 resize=256x256 size=224 "
PACE = "epochs=180 learning_rate=0.001 decay_epochs=60 decay_factor=0.1 batch=30 momentum=0.9 "
PACE += "l2=0.005 decay=all bias_rate=1 head=pooled preset=bgr255 sampling=anywhere task=pace "
PACE += "paces=1,2,3,4 loop=wrap jitter=true jitter_per_frame=true jitter_bgr=true last_batch=keep "
# VTDL (arXiv 2008.02129) and DSM (AAAI 2021): the authors' code, options and scripts.
WIDE = "resize=340x256 size=224 sampling=anywhere flip=false "
VIEWS = f"{WIDE}frames=16 stride=4 window=128 loop=wrap min_offset=2 rotation=10 colours=one "
VIEWS += "per_sample=false negative=intra embedding=128 backbone=i3d learning_rate=0.003 "
VIEWS += "bias_rate=1 decay_epochs=120,160,200 decay_factor=0.1 momentum=0.9 l2=0.0001 decay=all "
VIEWS += "preset=standard initializer=published "
QUEUE = f"{VIEWS}loss=softmax temperature=0.07 key_momentum=0.999 key_norm=batch "
VTDL = f"{QUEUE}task=vtdl mixup=0.1 unused=0 epochs=240 batch=8 queue=5000 "
PUSH = "spatial=push disturbed=anchor temporal=shift mixup=0 unused=1 "
DSM = f"{QUEUE}{PUSH}task=dsm queue=3569 epochs=10 batch=4 "
MOCO = f"{QUEUE}task=moco unused=1 queue=3569 epochs=10 batch=4 negative=inter key_norm=initial "
TRIPLET = "task=dsm_triplet margin=0.5 intra_weight=1 inter_weight=1 order=reverse "
TUNED = f"{WIDE}frames=64 head=convolved dropout=0.5 augmentation=basic batch=4 epochs=45 "
TUNED += "learning_rate=0.001 bias_rate=1 decay_epochs=10,20,25,30,35,40 decay_factor=0.3 "
TUNED += "momentum=0.9 l2=1e-08 decay=all test_clips=10 last_batch=keep unused=0 "
C3D = "frames=16 size=112 resize=171x128 head=pooled dropout=0 unused=1 "
PACED = "learning_rate=0.003 epochs=180 decay_epochs=60 decay=all sampling=anywhere jitter=true "
PACED += "dropout=0 test_clips=10 last_batch=keep "
# What is evaluated without fine-tuning.
FOUND = "random=false seed=0 static=false "
LAST = f"{FOUND}pooling=pool5 C=1 stride=1 "
NEAREST = f"{FOUND}clips=10 top=1,5,10,20,50 "
# What stands in each file, in the order in which later words count more.
PUBLISHED = {
    "mas_ucf101_c3d": f"{MAS}{WHOLE}backbone=c3d",
    "mas_kinetics400_c3d": f"{MAS}{WHOLE}backbone=c3d learning_rate=0.0005 decay_epochs=7",
    "finetune_ucf101_c3d": f"{MAS}dropout=0.5 test_clips=0",
    "finetune_hmdb51_c3d": f"{MAS}dropout=0.5 test_clips=0",
    "sts_ucf101_c3d_bn": f"{WHOLE}{STS}backbone=c3d_bn",
    "sts_ucf101_r3d_10": f"{WHOLE}{STS}backbone=r3d_10",
    "sts_ucf101_r2plus1d_10": f"{WHOLE}{STS}backbone=r2plus1d_10",
    "sts_kinetics400_s3d_g": f"{WHOLE}{STS}{LONG}backbone=s3d_g last_batch=drop",
    "finetune_ucf101_r3d_10": f"{MAS}decay=all dropout=0 test_clips=0",
    "pace_ucf101_c3d_bn": f"{CLIP}{PACE}backbone=c3d_bn",
    "pace_ucf101_r3d_10": f"{CLIP}{PACE}backbone=r3d_10",
    "pace_ucf101_r2plus1d_10": f"{CLIP}{PACE}backbone=r2plus1d_10",
    "pace_kinetics400_s3d_g": f"{PACE}{LONG}backbone=s3d_g batch=32 epochs=18 decay_epochs=6 "
    "last_batch=drop",
    "pace_contrast_ucf101_r2plus1d_10": f"{CLIP}{PACE}backbone=r2plus1d_10 task=pace_contrast "
    "contrast=same_context class_weight=1 contrast_weight=0.1",
    "finetune_hmdb51_r3d_10": f"{MAS}decay=all dropout=0 test_clips=0",
    "finetune_ucf101_sts_s3d_g": f"{MAS}decay=all dropout=0 test_clips=10 batch=4",
    "finetune_hmdb51_sts_s3d_g": f"{MAS}decay=all dropout=0 test_clips=10 batch=4",
    "finetune_ucf101_pace": f"{MAS}{PACED}",
    "finetune_hmdb51_pace": f"{MAS}{PACED}",
    "finetune_ucf101_pace_s3d_g": f"{MAS}{PACED}batch=32 last_batch=drop",
    "finetune_hmdb51_pace_s3d_g": f"{MAS}{PACED}batch=32 last_batch=drop",
    "vtdl_ucf101_i3d": VTDL,
    "vtdl_ucf101_r2plus1d_10": f"{VTDL}backbone=r2plus1d_10 initializer=xavier",
    "vtdl_ucf101_r3d_18": f"{VTDL}backbone=r3d_18",
    "vtdl_hmdb51_i3d": f"{VTDL}batch=16 queue=3569",
    "vtdl_kinetics400_i3d": f"{VTDL}batch=10 queue=12500",
    "dsm_ucf101_i3d": f"{DSM}frames=32 batch=3 epochs=100",
    "dsm_paper_ucf101_i3d": f"{DSM}frames=32 batch=3 epochs=100 spatial=tps disturbed=positive "
    "temporal=flow mixup=0.3",
    "dsm_hmdb51_i3d": DSM,
    "dsm_kinetics400_i3d": f"{DSM}batch=256 epochs=200",
    "dsm_kinetics400_r3d_34": f"{DSM}batch=256 epochs=200 backbone=r3d_34",
    "dsm_diving48_i3d": f"{DSM}batch=8",
    "dsm_something_i3d": f"{DSM}batch=48 negative=inter",
    "dsm_something_r3d_18": f"{DSM}batch=48 negative=inter backbone=r3d_18",
    "dsm_ucf101_r3d_18": f"{DSM}epochs=100 backbone=r3d_18",
    "dsm_ucf101_c3d_bn": f"{DSM}epochs=100 backbone=c3d_bn size=112 resize=171x128 "
    "initializer=xavier",
    "dsm_triplet_ucf101_r3d_18": f"{VIEWS}{PUSH}{TRIPLET}backbone=r3d_18 epochs=100 batch=4",
    "moco_ucf101_i3d": MOCO,
    "moco_diving48_i3d": MOCO,
    "finetune_ucf101_vtdl": f"{TUNED}learning_rate=0.0005",
    "finetune_ucf101_vtdl_r3d_18": f"{TUNED}learning_rate=0.0005 dropout=0",
    "finetune_ucf101_vtdl_r2plus1d_10": f"{TUNED}learning_rate=0.0005 dropout=0 head=pooled",
    "finetune_hmdb51_vtdl": TUNED,
    "finetune_ucf101_dsm": f"{TUNED}unused=1",
    "finetune_hmdb51_dsm": f"{TUNED}unused=1 epochs=100 decay_epochs=30,50,65,80,90,95",
    "finetune_ucf101_dsm_c3d_bn": f"{TUNED}{C3D}",
    "finetune_hmdb51_dsm_c3d_bn": f"{TUNED}{C3D}",
    "finetune_ucf101_dsm_r3d_34": f"{TUNED}unused=1 frames=16 dropout=0",
    "finetune_hmdb51_dsm_r3d_34": f"{TUNED}unused=1 frames=16 dropout=0",
    "finetune_diving48_dsm": f"{TUNED}unused=1",
    "finetune_diving48_moco_ucf101": f"{TUNED}unused=1",
    "finetune_something_dsm": f"{TUNED}batch=6 unused=1",
    "finetune_something_dsm_r3d_18": f"{TUNED}batch=48 unused=1 frames=16 dropout=0",
    "similarity_aslan_mas": f"{LAST}allow_failures=true",
    "similarity_aslan_finetuned": f"{LAST}allow_failures=true",
    "similarity_aslan_sts": f"{LAST}allow_failures=true",
    "scenes_yupenn_mas": LAST,
    "retrieval_ucf101_dsm": f"{NEAREST}pooling=average",
    "retrieval_hmdb51_dsm": f"{NEAREST}pooling=average",
    "retrieval_ucf101_pace": f"{NEAREST}pooling=max stride=1",
    "retrieval_hmdb51_pace": f"{NEAREST}pooling=max stride=1",
}
# In percent: of MAS, Table 4, split 1; of VTDL and DSM, the authors' READMEs.
ACCURACIES = {
    "mas_ucf101_c3d": "58.8 32.6",
    "mas_kinetics400_c3d": "61.2 33.4",
    "finetune_ucf101_c3d": "45.4 58.8 61.2",
    "finetune_hmdb51_c3d": "19.7 32.6 33.4",
    "sts_kinetics400_s3d_g": "89.0 62.0",
    "pace_ucf101_r2plus1d_10": "75.9 35.9",
    "pace_contrast_ucf101_r2plus1d_10": "75.9 35.9",
    "finetune_ucf101_pace": "75.9 77.1",
    "finetune_hmdb51_pace": "35.9 36.6",
    "finetune_ucf101_sts_s3d_g": "89.0",
    "finetune_hmdb51_sts_s3d_g": "62.0",
    "vtdl_ucf101_i3d": "82.3 52.9",
    "vtdl_hmdb51_i3d": "52.9 41.2 52.7",
    "dsm_ucf101_i3d": "74.8 52.5 47.9 29.6",
    "dsm_hmdb51_i3d": "52.5",
    "dsm_triplet_ucf101_r3d_18": "70.7 48.5",
    "moco_ucf101_i3d": "62.3 36.5",
    "dsm_ucf101_c3d_bn": "16.8 8.2 70.3 40.5",
    "finetune_ucf101_vtdl": "60.3 63.3 72.7 82.3",
    "finetune_hmdb51_vtdl": "22.6 26.2 41.2 52.9",
    "finetune_ucf101_dsm": "47.9 62.3 70.7 74.8",
    "finetune_hmdb51_dsm": "29.6 36.5 48.5 52.5",
    "dsm_kinetics400_r3d_34": "78.2 52.8",
    "finetune_ucf101_dsm_r3d_34": "78.2",
    "finetune_hmdb51_dsm_r3d_34": "52.8",
    "finetune_ucf101_dsm_c3d_bn": "70.3",
    "finetune_hmdb51_dsm_c3d_bn": "40.5",
    "similarity_aslan_mas": "59.4 51.7 58.3",
    "similarity_aslan_finetuned": "62.3",
    "similarity_aslan_sts": "62.3",
    "scenes_yupenn_mas": "90.2",
    "retrieval_ucf101_dsm": "16.8 33.4 43.4 54.6 70.7",
    "retrieval_hmdb51_dsm": "8.2 25.9 38.1 52.0 75.0",
    "retrieval_ucf101_pace": "31.9 49.7 59.2 68.9 80.2",
    "retrieval_hmdb51_pace": "12.5 32.2 45.4 61.0 80.7",
}
VIDEOS = {"UCF101": "9,537", "HMDB51": "3,570", "a tenth": "23,464", "Kinetics-400": "240,000"}


def settings(command):
    """The task that a command trains, its plan, and all settings as texts."""
    _, name, *words = shlex.split(command)
    if name == "train":
        given, kind = train.flags(words)
    else:
        given, kind = finetune.flags(), tasks.Classify
    assert not given.parse(words)
    made = [given.make(part) for part in (kind, Network, Clip, Optimisation, Plan)]
    texts = {"run": given.run, "task": getattr(given, "task", "classify")}
    texts |= {"test_clips": str(getattr(given, "test_clips", 0))}
    for part in made:
        texts |= part.texts()
    return made[0].bound(made[2], made[1]), made[-1], texts


def evaluated(command):
    """All settings of an evaluation as texts; what it needs is given."""
    _, _, kind, *words = shlex.split(command)
    given = evaluate.flags(kind)
    assert not given.parse(words)
    given.require(*evaluate.KINDS[kind].needed, "model", "data")
    texts = {"run": given.output, "random": str(given.random).lower(), "seed": str(given.seed)}
    for part in (PROTOCOLS[kind], Sampling):
        texts |= given.make(part).texts()
    return texts


@pytest.mark.parametrize("name", FILES)
def test_recipe_loads_from_any_folder(name, monkeypatch, tmp_path):
    """All commands in its head parse, and the task accepts its settings."""
    monkeypatch.chdir(tmp_path)
    recipe = recipes.read(FILES[name])
    *before, last = recipe.commands
    for command in before:
        program, module, *words = shlex.split(command)
        if program == "mas":
            with pytest.raises(HelpWanted):  # once all other flags are understood
                importlib.import_module(f"mas.cli.{module}").run([*words, "--help"])
    assert f" --recipe={name}" in last
    if last.startswith("mas evaluate "):
        texts = evaluated(last)
    else:
        task, plan, texts = settings(last)
        task.check(plan.batch)
        task.check(min(plan.batch, 20))  # few videos
    assert texts["run"] == f"runs/{name}"
    expected = dict(word.split("=") for word in PUBLISHED.get(name, "").split())
    assert expected.items() <= texts.items()
    stated = re.findall(r"^--(\w+)", FILES[name].read_text("utf-8"), re.MULTILINE)
    assert {*expected} <= {*stated}  # so that another default changes nothing
    assert len({*stated}) == len(stated)


@pytest.mark.parametrize("name", FILES)
def test_head_states_data_cost_and_published_accuracy(name):
    recipe = recipes.read(FILES[name])
    measured = re.match(r"(\d+) epochs of (.*)", recipe.cost)
    if recipe.commands[-1].startswith("mas evaluate "):
        assert re.match(r"(ten|all overlapping 16-frame) clips of [\d,]+ ", recipe.cost)
    else:
        task, plan, _ = settings(recipe.commands[-1])
        assert ("with flow" in recipe.data) == ("flow" in task.inputs) or name.startswith("sample")
        assert int(measured[1]) == plan.epochs if measured else name.startswith("sample")
    for start, videos in VIDEOS.items():
        assert not recipe.data.startswith(start) or videos in recipe.cost
    found = re.findall(r"(\d+\.\d+) %", recipe.published)
    assert found == ACCURACIES.get(name, "").split()
    text = FILES[name].read_text("utf-8")
    assert ("Numbers: our own" in text) == (name not in PUBLISHED)
    assert recipe.published.startswith("none") or name in PUBLISHED


def test_command_lists_recipes_and_prints_one(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert recipes.run([]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows if row.split() and row.split()[0] in FILES] == [*FILES]
    row = next(row for row in rows if row.startswith("mas_ucf101_c3d "))
    assert "UCF101, train split 1" in row and "20 epochs" in row and "58.8 %" in row
    assert recipes.run(["sample"]) == 0
    assert capsys.readouterr().out == FILES["sample"].read_text("utf-8")
    with pytest.raises(ValueError, match="recipe.*mas_ucf101_c3d.*='mas_ucf101'"):
        recipes.path("mas_ucf101")


@pytest.mark.parametrize(
    ("command", "recipe", "whose"),
    [
        ("train", "retrieval_ucf101_dsm", "mas train; this one is for mas evaluate retrieval"),
        ("finetune", "mas_ucf101_c3d", "mas finetune; this one is for mas train"),
        ("evaluate scenes", "similarity_aslan_mas", "mas evaluate scenes; .*evaluate similarity"),
    ],
)
def test_rejects_recipe_of_other_command(command, recipe, whose):
    name, *kind = command.split()
    module = importlib.import_module(f"mas.cli.{name}")
    with pytest.raises(UsageError, match=f"recipe must be one for {whose}.*{recipe}"):
        module.run([*kind, f"--recipe={recipe}", "--data=x"])


def test_rejects_head_without_required_fact(tmp_path):
    (tmp_path / "x.flags").write_text(
        "# What.\n#\n# Data: some\n# Published: none\n#\n# Numbers: 1\n"
    )
    with pytest.raises(ValueError, match="x.flags.*Cost"):
        recipes.read(tmp_path / "x.flags")


# ---- each of them trains, on small data ----------------------------------------------------------

SMALL = "--frames=8 --resize=44x32 --size=32 --width=0.05 --epochs=1 --tensorboard_clips=0".split()
TINY = {"train": [*SMALL, "--batch=5"], "finetune": [*SMALL, "--batch=5", "--test_clips=2"]}


@pytest.fixture(scope="module")
def small(sample_data, tmp_path_factory):
    """A working folder with the sample's data and lists, and 12 of its videos as ASLAN."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "aslan" / "videos").mkdir(parents=True)
    rng, files = np.random.default_rng(0), sorted(sample_data.glob("videos/*/*"))
    for number, file in enumerate(files[:12], 1):
        shutil.copy(file, folder / "aslan" / "videos" / f"{number:04d}{file.suffix}")
    both = [(sample_data / f"{part}.txt").read_text("utf-8") for part in ("train", "test")]
    (folder / "all.txt").write_text("".join(both))
    rows = np.zeros(pairs.SHAPE, np.uint16)
    rows[:, :2] = rng.integers(1, 13, rows[:, :2].shape)
    rows[:300, 2] = 1
    scipy.io.savemat(folder / "aslan" / "View2.mat", {pairs.VARIABLE: rows})
    return folder, sample_data


def ran(name, small):
    """Runs a recipe, after the recipes it starts from; returns its run folder."""
    folder, sample = small
    output = folder / "runs" / name
    if output.is_dir():
        return output
    _, kind, *words = shlex.split(recipes.read(FILES[name]).commands[-1])
    words = [*words, f"--{'run' if kind != 'evaluate' else 'output'}={output}", *TINY.get(kind, ())]
    stated = FILES[name].read_text("utf-8")
    for flag, sign in (
        ("--queue=7", "--queue="),
        ("--size=24", "--rotation="),
        ("--size=24", "--augmentation=basic"),
        ("--clips=2", "\n--clips="),
    ):
        words += [flag] * (sign in stated)
    for place, word in enumerate(words):
        flag, _, value = word.partition("=")
        if flag in ("--init", "--model") and value != str(output):
            words[place] = f"{flag}={ran(value.removeprefix('runs/'), small)}"
        elif flag in ("--train_list", "--test_list", "--list", "--gallery", "--queries"):
            part = "test" if flag in ("--test_list", "--queries") else "train"
            words[place] = f"{flag}={sample / part}.txt"
            if name.startswith("scenes"):  # two videos of each class
                words[place] = f"{flag}={folder / 'all.txt'}"
        elif flag == "--data":
            aslan = folder / "aslan" / "videos"
            words[place] = f"--data={aslan if 'aslan' in name else sample / 'data'}"
        elif flag == "--aslan":
            words[place] = f"--aslan={folder / 'aslan'}"
    assert cli.main(kind, *words) == 0
    return output


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("sample")])
def test_recipe_runs(name, small, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    output = ran(name, small)
    written = {path.name for path in output.iterdir()}
    if name.startswith(("similarity", "scenes", "retrieval")):
        assert {f"{name.split('_')[0]}.{end}" for end in ("txt", "json")} <= written
    else:
        assert {"backbone.keras", "model.keras", "metrics.csv"} <= written
        assert ("scores.csv" in written) == name.startswith("finetune")


def test_paper_pages_name_all_recipes_and_accuracies():
    """Each recipe of a paper is on a page, and each published number in a table there."""
    pages = (recipes.folder().parent / "docs" / "reproduce").glob("*.md")
    text = "\n".join(page.read_text("utf-8") for page in pages)
    missing = [name for name in PUBLISHED if not re.search(rf"\b{name}\b", text)]
    assert not missing
    for name, numbers in ACCURACIES.items():
        missing = [n for n in numbers.split() if not re.search(rf"\| {re.escape(n)} \|", text)]
        assert not missing, f"{name}: {missing}"

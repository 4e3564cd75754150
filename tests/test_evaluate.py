"""The command `mas evaluate`, and the files that all protocols write."""

import json
import subprocess
import sys

import numpy as np
import pytest
from evaluating import evaluate, of, write_run

from mas import features
from mas.accuracy import of_choices
from mas.cli import evaluate as command
from mas.evaluate import Probe, report

VALUES, LABELS = [[1, 0], [0, 1], [3, 1], [1, 4]], [0, 1, 0, 1]
VIDEOS = ["run/ann", "walk/ann", "run/bob", "walk/bob"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """The folder for all output of a command."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stored(folder):
    """Features of four videos, and a file of their classes."""
    features.save(folder / "all.npz", of(VALUES, LABELS, VIDEOS))
    (folder / "classes.txt").write_text("run\nwalk\n")
    return folder / "all.npz"


# ---- results -------------------------------------------------------------------------------------


def test_numbers_are_written_as_valid_json(folder):
    numbers = {"a": np.float32(0.5), "b": np.array([1.0, np.nan]), 3: (np.int64(1), "x"), "n": None}
    numbers["c"] = of_choices(np.array([0, 1]), np.array([0, 0]), 2)
    report.write(folder / "new", "some", "What was done.", numbers)
    told = json.loads((folder / "new" / "some.json").read_text())
    counts = {"top1": 0.5, "top5": None, "per_class": [1, 0], "confusion": [[1, 0], [1, 0]]}
    expected = {"kind": "some", "paragraph": "What was done.", "a": 0.5, "b": [1.0, None]}
    expected |= {"3": [1, "x"], "n": None, "c": counts | {"mean_class": 0.5}}
    assert told == expected
    assert (folder / "new" / "some.txt").read_text() == "What was done.\n"
    assert len(list((folder / "new").iterdir())) == 2


def test_results_are_not_overwritten_silently(folder, stored, caplog):
    def probed(*settings):
        return Probe(*settings, groups="/(.*)")(videos=stored)

    linear, knn = probed("linear"), probed("knn")
    base = folder / "runs" / "evaluate_probe_x"
    assert report.vacant(base, linear) == base
    linear.write(base)
    assert report.vacant(base, linear) == base, "the same again"
    assert report.vacant(base, knn) == folder / "runs" / "evaluate_probe_x_2"
    (folder / "runs" / "evaluate_probe_x_2").mkdir()
    (folder / "runs" / "evaluate_probe_x_2" / "probe.json").write_text('{"kind": "probe"}')
    assert report.vacant(base, knn).name == "evaluate_probe_x_3", "of an earlier version"
    knn.write(base)
    assert "which had other settings" in caplog.text
    assert json.loads((base / "probe.json").read_text())["classifier"] == "knn"


def test_result_has_its_numbers_as_attributes(stored):
    result = Probe("knn", groups="/(.*)")(videos=stored)
    assert result.folds == {"ann": 1, "bob": 1} and result.top1 == 1, "of its Accuracy"
    assert repr(result) == "Result(probe: accuracy 1.0000)"
    with pytest.raises(AttributeError, match="recall"):
        result.recall  # noqa: B018


# ---- the command ---------------------------------------------------------------------------------


def test_features_file_records_how_they_were_made(run, sample_data, folder, caplog):
    (folder / "test.txt").write_text((sample_data / "test.txt").read_text())
    given = [f"--model={run}", f"--data={sample_data / 'data'}", "--list=test.txt", "--clips=1"]
    assert evaluate("features", *given, "--output=test.npz") == 0
    assert evaluate("features", *given, "--random", "--seed=5", "--output=new/b.npy") == 0
    found = features.load("test.npz")
    assert found.values.shape == (6, 32) and found.labels.tolist() == list(range(6))
    told = json.loads((folder / "test.npz.json").read_text())
    assert told["videos"] == found.videos and told["facts"] == found.facts
    text = (folder / "test.npz.txt").read_text()
    assert told["paragraph"] + "\n" == text and told["paragraph"] in caplog.text
    assert "Clips: 1 per video, evenly spaced, 16 frames of rgb, centre crop 32 x 32" in text
    assert (folder / "test.txt").read_text() == (sample_data / "test.txt").read_text()
    assert not np.allclose(np.load("new/b.npy"), found.values)
    assert "random initialisation, seed 5" in (folder / "new" / "b.npy.txt").read_text()


def test_two_probes_of_one_run_write_separate_folders(run, sample_data, folder, caplog):
    lists_of = [f"--{n}_list={sample_data / n}.txt" for n in ("train", "test")]
    given = [f"--model={run}", f"--data={sample_data / 'data'}", *lists_of, "--clips=1"]
    for _ in range(2):
        for name in ("linear", "knn"):
            assert evaluate("probe", *given, f"--classifier={name}") == 0
    told = [json.loads(path.read_text()) for path in sorted(folder.glob("runs/*/probe.json"))]
    assert [part["classifier"] for part in told] == ["linear", "knn"]
    assert {path.name for path in (folder / "runs").iterdir()} == {
        "evaluate_probe_small",
        "evaluate_probe_small_2",
    }
    assert "which had the same settings" in caplog.text
    names = (sample_data / "classes.txt").read_text().split()
    assert told[0]["classes"] == names and f"  {names[0]:5}" in caplog.text


def test_accepts_flag_file_and_features(folder, stored, caplog):
    (folder / "some.flags").write_text("--top=1,50\n--output=here\n")
    given = [
        "--flagfile=some.flags",
        f"--gallery={stored}",
        f"--queries={stored}",
        "--output=there",
    ]
    assert evaluate("retrieval", *given) == 0
    assert (folder / "there" / "neighbours.csv").is_file() and not (folder / "here").exists()
    assert "Reducing top to 3" in caplog.text and "100.0 at 1" in caplog.text
    assert evaluate("scenes", f"--list={stored}", "--C=10") == 0
    assert json.loads((folder / "runs/evaluate_scenes_all/scenes.json").read_text())["C"] == 10


def test_results_are_named_after_the_network(folder):
    (folder / "runs" / "mas_c3d").mkdir(parents=True)
    for name, flag, expected in (
        ("action", "--model=runs/mas_c3d", "action_mas_c3d"),
        ("probe", "--model=runs/mas_c3d/backbone.keras", "probe_mas_c3d"),
        ("retrieval", "--queries=some/test.npz", "retrieval_test"),
    ):
        given = command.flags(name)
        given.parse([flag, "--random"] if name == "probe" else [flag])
        random = "_random" if name == "probe" else ""
        assert command._folder(name, given) == f"runs/evaluate_{expected}{random}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["walk"], "KIND must be one of action, "),
        (["features", "--model=x", "--data=y"], "mas evaluate features needs --output"),
        (["features", "--output=z.npz", "--k=3"], "--k belongs to mas evaluate probe"),
        (["action", "--pooling=max"], "--pooling belongs to mas evaluate features or"),
        (["probe", "--train_list=x"], "--train_list and --test_list, or --list and --groups"),
        (["probe", "--list={npz}", "--groups=x", "--clips=3"], "Received: --clips"),
        (["probe", "--list=x.txt", "--groups=x"], "needs --model and --data"),
        (["similarity", "--aslan=x", "--list=x.txt"], "--list must be an .npz file"),
        (["similarity", "--aslan=x", "--list={npz}"], "aslan must be a folder that contains View2"),
        (["features", "{all}", "--model=gone"], "mas evaluate features takes one --model"),
        (
            ["features", "--model=gone", "--data=x", "--output=some.npz"],
            "model must be a finished run folder",
        ),
        (["features", "{all}", "--data=gone"], "data must be a folder that"),
        (["features", "{all}", "--list=gone.txt"], "gone.txt"),
        (["features", "{all}", "--list=some.npz"], "--list must be a list of videos"),
        (["features", "{all}", "--size=64"], "size must be at most 32"),
        (["features", "{all}", "--resize=keep"], "resize must be"),
        (["features", "{all}", "--output=some.mat"], "output must end in .npz or .npy"),
        (["features", "{all}", "--output={npz}/f.npz"], "output must be a writable folder"),
    ],
)
def test_rejects_wrong_flags_before_work_starts(
    run, sample_data, folder, stored, caplog, arguments, words
):
    everything = [f"--model={run}", f"--data={sample_data / 'data'}", "--output=some.npz"]
    before = set(folder.rglob("*"))
    given = [part for word in arguments for part in ([word] if word != "{all}" else everything)]
    assert evaluate(*(word.replace("{npz}", str(stored)) for word in given)) == 2
    assert words in caplog.text and set(folder.rglob("*")) == before


def test_help_is_short_and_imports_nothing_heavy(capsys):
    assert all(len(command.flags(name).help_text().splitlines()) <= 48 for name in command.KINDS)
    assert evaluate("--help") == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in command.KINDS)
    heavy = "tensorflow", "keras", "sklearn", "scipy", "matplotlib"
    code = (
        "import sys; from mas import cli; status = cli.main('evaluate', 'probe', '--help');"
        f"print(status, [name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []" and "--classifier" in done.stdout

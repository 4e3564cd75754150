"""Studies: commands run once, tables by hand, and a whole study on generated videos."""

import csv
import pathlib

import numpy as np
import pytest
from evaluating import of

from mas import cli, study
from mas.cli import study as command
from mas.lists import Entry

MEASURES = ("nearest", "whitened", "linear", "static")


def step(folder, name="one", *flags):
    """A quick command without output; the test writes the product."""
    return study.Step(name, ("recipes", *flags), folder / f"{name}.done")


def rows_of(folder):
    with open(folder / "steps.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_step_runs_until_product_exists(tmp_path, capfd):
    one = step(tmp_path)
    with pytest.raises(RuntimeError, match="one failed with status 0: mas recipes"):
        study.run([one], tmp_path, 1)  # ended well, and made nothing
    one.product.touch()
    study.run([one], tmp_path, 1)
    assert [(row["step"], row["status"]) for row in rows_of(tmp_path)] == [("one", "0")]
    assert study.cpu_seconds(tmp_path)["one"] > 0.05
    with pytest.raises(ValueError, match="same settings.*mas_small'.*'mas recipes'"):
        study.run([step(tmp_path, "one", "mas_small")], tmp_path, 1)


def test_steps_share_products(tmp_path, capfd):
    one = step(tmp_path)
    one.product.touch()
    study.run([study.Step("one", ("no_such",), one.product, shared=True)], tmp_path, 1)
    assert not (tmp_path / "steps.csv").exists()


def test_failing_command_ends_study(tmp_path, capfd):
    with pytest.raises(RuntimeError, match="two failed with status 2: mas recipes no_such"):
        study.run([step(tmp_path, "two", "no_such")], tmp_path, 1)
    assert "Received: recipe='no_such'" in capfd.readouterr().err
    assert rows_of(tmp_path)[0]["status"] == "2"


@pytest.mark.parametrize(
    "text", ["", "step,seconds\n", "step,seconds,cpu_seconds,status,command\na\n"]
)
def test_damaged_record_is_reported(tmp_path, text):
    (tmp_path / "steps.csv").write_text(text)
    with pytest.raises(ValueError, match="steps.csv must have the columns"):
        study.cpu_seconds(tmp_path)


def test_held_out_groups_rotate_with_seed():
    groups = list("aabbccdd")
    entries = [Entry(f"v{number}", 0) for number in range(8)]
    for seed, trained, tested in ((0, "ab", "cd"), (1, "bc", "da"), (3, "da", "bc")):
        for count in (1, 2):
            train, test = study.few(entries, groups, count, 2, seed)
            assert {groups[entries.index(entry)] for entry in train} == set(trained[:count])
            assert {groups[entries.index(entry)] for entry in test} == set(tested)
    with pytest.raises(ValueError, match="few must be fewer than the 4 groups.*few=4"):
        study.few(entries, groups, 1, 4)


def test_measures_of_features():
    values = [[x * 0.1, 10 + 5 * y] for y in (-0.9, -0.3, 0.3, 0.9) for x in (-1, 1)]
    videos = [f"{group}_{number}" for group in "abcd" for number in range(2)]
    clips, static = of(values, [0, 1] * 4, videos), of(np.ones((8, 2)), [0, 1] * 4, videos)
    found = study.measure(clips, static, "(.)_", 2)
    assert list(found) == ["nearest", "whitened", "linear", "static"] and found["whitened"] == 1
    assert found["static"] == 0.5  # all videos have the same static features


def test_table_by_hand(tmp_path):
    rows = [
        study.Row("mas", seed, weights, "whitened", share)
        for weights, shares in (("trained", (0.7, 0.8)), ("random", (0.5, 0.5)))
        for seed, share in enumerate(shares)
    ]
    rows.append(study.Row("moco", 0, "trained", "few 1", 0.25))
    rows.append(study.Row("moco", 0, "scratch", "few 1", 0.125))
    study.write(tmp_path, rows, {"mas": 90})
    assert (tmp_path / "results.md").read_text().splitlines() == [
        "| task | seeds | nearest neighbour, whitened | random | fine-tuned on 1 group | "
        "from scratch | CPU minutes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| `mas` | 2 | 75.0 ± 7.1 | 50.0 ± 0.0 |  |  | 1.5 |",
        "| `moco` | 1 |  |  | 25.0 | 12.5 |  |",
    ]
    assert (tmp_path / "results.csv").read_text().splitlines()[
        1
    ] == "mas,0,trained,whitened,0.700000"
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_study_of_generated_videos(sample_data, tmp_path, monkeypatch):
    short = ("--epochs=1", "--width=0.0625", "--size=32", "--resize=49x36", "--frames=8")
    recipe = command._recipe
    monkeypatch.setattr(command, "_recipe", lambda task: (*recipe(task), *short))
    monkeypatch.setattr(command, "FINETUNE", (*command.FINETUNE, "--epochs=1"))
    videos = next(path for path in pathlib.Path(sample_data).rglob("*.avi")).parents[1]
    output = tmp_path / "study"
    given = [f"--videos={videos}", r"--groups=_(\d+)", f"--output={output}", "--tasks=mas"]
    given += ["--seeds=0", "--few=1", "--whiten=4"]
    assert cli.main("study", *given) == 0
    with open(output / "results.csv", newline="") as file:
        found = {(r["weights"], r["measure"]): float(r["accuracy"]) for r in csv.DictReader(file)}
    assert set(found) == {
        *((w, m) for w in ("trained", "random") for m in MEASURES),
        ("trained", "few 1"),
        ("scratch", "few 1"),
    }
    before = (output / "steps.csv").read_bytes()
    assert cli.main("study", *given) == 0 and (output / "steps.csv").read_bytes() == before
    assert np.all([0 <= share <= 1 for share in found.values()])

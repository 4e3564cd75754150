"""Benchmarks fail where their targets are missed, and say so last; none of it is timed here."""

import re

import numpy as np
import pytest

KEPT = "Both targets are kept."


@pytest.fixture
def augment(script):
    with script("benchmarks/augment.py") as module:
        yield module


@pytest.fixture
def labels(script):
    with script("benchmarks/labels.py") as module:
        yield module


@pytest.fixture
def pipeline(script, sample_data):
    options = ["--seconds=0.3", "--resize=44x32", "--size=24"]
    with script("benchmarks/pipeline.py", f"--data={sample_data / 'data'}", *options) as module:
        yield module


def test_the_target_of_the_augmentations(augment):
    assert augment.missed({"decoding": 1, "affine": 2.0}) == []
    expected = ["affine takes 2.01 of the time of decoding, not at most 2.0"]
    assert augment.missed({"decoding": 1, "affine": 2.01, "insertion": 0.1}) == expected


def test_every_augmentation_is_measured(augment):
    named = " ".join(augment.functions())
    public = [name for name in augment.augment.__all__ if "_" in name and name.islower()]
    assert len(public) == 9 and all(name in named for name in [*public, "affine, shear"])


@pytest.mark.parametrize(("ratio", "status"), [(1e9, 0), (0, 1)])
def test_augmentations_end_with_their_verdict(augment, monkeypatch, capsys, ratio, status):
    sizes = {"CLIPS": 1, "FRAMES": 3, "SIZE": 16, "STORED": (22, 18), "ROUNDS": 1, "STREAM": 1}
    named = augment.functions()
    some = {name: named[name] for name in ("decoding", "nothing", "swap_frames", "rotate_and_crop")}
    values = {**sizes, "MOST_RATIO": ratio, "functions": lambda: some}
    for name, value in values.items():
        monkeypatch.setattr(augment, name, value)
    assert augment.main() == status
    _, head, *rows, last = capsys.readouterr().out.splitlines()
    assert head.split() == "ms a clip 1 thread 2 threads 1 thread / decoding".split()
    assert len(rows) == 4 and rows[0].startswith("decoding ")
    assert all(re.search(r" +\d+\.\d\d +\d+\.\d\d +\d+\.\d\d$", row) for row in rows)
    assert last == "The target is kept." if status == 0 else last.startswith("MISSED: decoding ")


def test_targets_of_the_labels(labels):
    assert labels.missed(20, 1.7) == []
    assert labels.missed(19.9, 1.7) == ["19.90 times as fast as the restatement, not 20"]
    assert labels.missed(60, 1.5) == ["1.50 times as many clips with two threads, not 1.7"]
    assert len(labels.missed(1, 1)) == 2


@pytest.mark.parametrize(("ratio", "sharing", "status"), [(0, 0, 0), (1e9, 0, 1), (0, 1e9, 1)])
def test_labels_end_with_their_verdict(labels, monkeypatch, capsys, ratio, sharing, status):
    sizes = {"CLIPS": 1, "FRAMES": 3, "SIZE": 16, "ROUNDS": 1, "STREAM": 2}
    for name, value in {**sizes, "LEAST_RATIO": ratio, "LEAST_SHARING": sharing}.items():
        monkeypatch.setattr(labels, name, value)
    assert labels.main() == status
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == KEPT if status == 0 else last.startswith("MISSED: ") and ", not 1000000" in last


def test_labels_that_differ_end_it(labels, monkeypatch):
    monkeypatch.setattr(labels, "CLIPS", 1)
    with pytest.raises(SystemExit, match="motion: 1 of 1 clips have different labels"):
        labels.compare("motion", lambda value: np.array([1]), lambda value: [2], [None])


# Seconds and MiB: the peaks of the first and of the last third count, the limits included.
MEMORY = {
    "flat": ([(0, 500), (2, 700), (5, 2000), (8, 700), (10, 700)], []),
    "as much as it may": ([(0, 500), (3, 700), (10, 750)], []),
    "a little more": ([(0, 500), (3, 700), (10, 751)], ["grew by 51 MiB, not at most 50"]),
    "a share of what is large": ([(0, 4000), (10, 4200)], []),
    "more than the share": ([(0, 4000), (10, 4201)], ["grew by 201 MiB, not at most 200"]),
    "later than the first third": ([(0, 500), (4, 700), (10, 700)], ["grew by 200 MiB"]),
    "a peak near the end": ([(0, 500), (7, 700), (10, 500)], ["grew by 200 MiB"]),
}


@pytest.mark.parametrize("name", MEMORY)
def test_targets_of_the_pipeline(pipeline, name):
    memory, expected = MEMORY[name]
    found = pipeline.missed(100, memory)
    assert len(found) == len(expected) and all(map(str.__contains__, found, expected))
    assert pipeline.missed(99.9, memory) == ["99.9 clips/s, not 100", *found]


@pytest.mark.parametrize(("rate", "growth", "status"), [(0, 1e9, 0), (1e9, 1e9, 1), (0, -1e9, 1)])
def test_the_pipeline_ends_with_its_verdict(pipeline, monkeypatch, capsys, rate, growth, status):
    limits = {"LEAST_RATE": rate, "MOST_GROWTH": growth, "MOST_SHARE": -1e9 if growth < 0 else 0}
    for name, value in limits.items():
        monkeypatch.setattr(pipeline, name, value)
    assert pipeline.main([]) == status
    first, *moments, total, last = capsys.readouterr().out.splitlines()
    assert first.startswith("12 clips in 12 videos") and len(moments) == 6
    assert " clips/s, peak " in total
    assert last == KEPT if status == 0 else last.startswith("MISSED: ")


def test_sources_tell_both_rates_and_their_ratio(
    script, sample_data, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = ["--seconds=0.05", "--resize=44x32", "--size=24"]
    paths = [f"--videos={sample_data / 'videos'}", f"--data={sample_data / 'data'}"]
    with script("benchmarks/sources.py", *paths, *options) as sources:
        sources.main([])
    files, prepared, _, ratio = capsys.readouterr().out.splitlines()
    assert re.match(r"video files +\d+\.\d clips/s ", files)
    assert re.match(r"prepared +\d+\.\d clips/s ", prepared)
    assert re.match(r"prepared / video files: \d+\.\d\d$", ratio)

"""Preparation in several parts gives the same data as one run."""

import fcntl
import json
import pathlib
import shutil

import preparing
import pytest
import video_files
from preparing import run_noise as run
from preparing import write_text, write_videos

from mas import files, lists, records
from mas.prepare import plan, workers


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(plan, "VIDEOS_PER_SHARD", 2)


@pytest.fixture
def extracted(monkeypatch):
    return preparing.watch(monkeypatch)


def test_failures_are_retried_after_finished_run_or_changed_file(tmp_path, extracted):
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, "a")
    write_text(videos, "bc")
    for tried in (["a", "b", "c"], ["b", "c"], []):
        extracted.clear()
        assert len(run(videos, output)) == 2
        assert extracted == tried
        if tried == ["b", "c"]:
            (output / "dataset.json").unlink()  # as if it had been killed
    (output / "dataset.json").unlink()
    write_videos(videos, "b")
    assert list(run(videos, output)) == [str(videos / "c.avi")]
    assert extracted == ["b"]
    (output / "dataset.json").unlink()
    (videos / "c.avi").chmod(0o600)
    write_videos(videos, "c")
    assert run(videos, output) == {}
    assert not (output / "failures.csv").exists()
    assert records.open_data(output).videos == ["a", "b", "c"]


def test_crash_is_retried_even_after_kill(tmp_path, extracted):
    """The worker may have been killed together with its parent."""
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, "a")
    run(videos, output)
    write_videos(videos, "b")
    rows = [(videos / "b.avi", f"{workers.CRASHED} (signal 9)")]
    files.write_csv(output / "failures.csv", ("path", "reason"), rows)
    (output / "dataset.json").unlink()
    assert run(videos, output) == {}
    assert extracted == ["a", "b"]


def test_failures_of_other_lists_stay_until_fixed_or_removed(tmp_path, extracted):
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, "ad")
    write_text(videos, "bce")

    def prepare_only(names):
        extracted.clear()
        failed = run(videos, output, list=[lists.Entry(name) for name in names])
        listed = [pathlib.Path(path).stem for path in records.open_data(output).failures]
        description = json.loads((output / "dataset.json").read_text())
        assert description["failures"] == len(listed)
        return "".join(pathlib.Path(path).stem for path in failed), "".join(listed)

    assert prepare_only("ab") == ("b", "b")
    assert prepare_only("cde") == ("ce", "bce")
    assert extracted == ["c", "d", "e"]
    assert prepare_only("a") == ("", "bce"), "nothing to do, and nothing forgotten"
    (videos / "c.avi").unlink()
    assert prepare_only("ad") == ("", "be"), "its file is gone"
    write_videos(videos, "b")
    assert prepare_only("d") == ("", "e"), "its file is another, of which nothing is known"
    assert prepare_only("abd") == ("", "e")
    assert prepare_only("de") == ("e", "e")
    write_videos(videos, "e")
    assert prepare_only("e") == ("", "")
    assert not (output / "failures.csv").exists()
    assert sorted(records.open_data(output).videos) == ["a", "b", "d", "e"]


def test_relative_and_absolute_folder_are_the_same(tmp_path, extracted, monkeypatch):
    """Otherwise, failures of one call would look like other files to the next."""
    write_text(tmp_path / "videos", "a")
    for folder, videos in ((tmp_path, "videos"), (tmp_path / "videos", ".")):
        monkeypatch.chdir(folder)
        assert list(run(videos, tmp_path / "data")) == [str(tmp_path / "videos/a.avi")]
        assert len(records.open_data(tmp_path / "data").failures) == 1


def test_data_set_keeps_its_shard_size(tmp_path, extracted, monkeypatch):
    """Another version may have another size; stored videos must not be lost or repeated."""
    videos, before, output = tmp_path / "videos", tmp_path / "before", tmp_path / "data"
    write_videos(videos, "abcef")
    write_text(videos, "d")
    run(videos, before)
    write_videos(videos, "dg")
    shutil.copytree(before, output)
    run(videos, output)
    assert records.open_data(output).videos == list("abcdefg")
    extracted.clear()
    monkeypatch.setattr(plan, "VIDEOS_PER_SHARD", 3)
    assert run(videos, before) == {} and video_files.tree(before) == video_files.tree(output)
    assert extracted == ["d", "g"]
    monkeypatch.setattr(plan, "VIDEOS_PER_SHARD", 64)  # what it was before it was recorded
    run(videos, tmp_path / "old")
    known = json.loads((tmp_path / "old" / "plan.json").read_text())
    assert known.pop("videos_per_shard") == 64
    (tmp_path / "old" / "plan.json").write_text(json.dumps(known))
    monkeypatch.setattr(plan, "VIDEOS_PER_SHARD", 2)
    write_videos(videos, "h")
    assert run(videos, tmp_path / "old") == {}
    assert records.open_data(tmp_path / "old").videos == list("abcdefgh")
    assert len(list((tmp_path / "old").glob("videos-*.tfrecord"))) == 1


def test_added_videos_come_last_and_finished_run_does_nothing(tmp_path, extracted):
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, "bcd")
    run(videos, output)
    first = (output / "videos-00000.tfrecord").stat().st_mtime_ns
    write_videos(videos, "ae")
    extracted.clear()
    run(videos, output)
    before = video_files.tree(output)
    assert run(videos, output) == {} and video_files.tree(output) == before
    assert extracted == ["a", "e"]
    assert records.open_data(output).videos == ["b", "c", "d", "a", "e"]
    assert (output / "videos-00000.tfrecord").stat().st_mtime_ns == first
    stored = json.loads((output / "dataset.json").read_text())
    assert (stored["videos"], stored["frames"]) == (5, 10)


def test_half_written_files_of_a_killed_run_are_removed(tmp_path, extracted):
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, "a")
    run(videos, output)
    before = video_files.tree(output)
    (output / "dataset.json").unlink()
    (output / "staging").mkdir()
    for name in ("plan.json.tmp", "failures.csv.tmp", "videos-00009.tfrecord.tmp"):
        (output / name).write_text("half")
    (output / "staging" / "0000000.npz.123.tmp").write_text("half")  # of version 0.1
    (output / "staging" / "0000000.npz.5f.part").write_text("half")
    (output / "staging" / "0000001.npz.5e.part" / "u").mkdir(parents=True)
    run(videos, output)
    assert video_files.tree(output) == before


def test_rejects_two_runs_at_once(tmp_path, extracted):
    write_videos(tmp_path / "videos", "a")
    (tmp_path / "data").mkdir()
    with open(tmp_path / "data" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError, match="running in .*data"):
            run(tmp_path / "videos", tmp_path / "data")
    assert extracted == []
    assert run(tmp_path / "videos", tmp_path / "data") == {}

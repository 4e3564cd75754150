"""Full disks and folders without write permission: one line, and the same call resumes."""

import errno
import os
import pathlib
import resource
import shutil
import subprocess
import sys

import numpy as np
import preparing
import pytest
import tensorflow as tf
import video_files
from preparing import run_noise as run

from mas import cli, files, locks, records
from mas.prepare import plan, sources, workers

LINE = r"[^\n]* cannot be written: No space left on device\.[^\n]*"


@pytest.fixture(autouse=True)
def inline(monkeypatch):
    monkeypatch.setattr(workers, "Pool", video_files.Inline)
    monkeypatch.setattr(plan, "VIDEOS_PER_SHARD", 2)


class Disk:
    """Simulates a disk that becomes full at the n-th change, in the middle of a write."""

    def __init__(self, patch, last):
        self.count, self.last = 0, last
        places = (
            *((pathlib.Path, name) for name in ("mkdir", "write_bytes", "touch")),
            *((os, "replace"), (np, "savez"), (tf.io.TFRecordWriter, "write")),
        )
        for owner, name in places:
            patch.setattr(owner, name, self.wrapped(getattr(owner, name), name))

    def wrapped(self, function, name):
        def change(*args, **options):
            self.count += 1
            if self.count < self.last:
                return function(*args, **options)
            if name == "write":
                raise tf.errors.ResourceExhaustedError(None, None, "x; No space left on device")
            if name == "write_bytes":
                function(args[0], args[1][: len(args[1]) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return change


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_full_disk_at_any_write_is_recoverable(tmp_path, monkeypatch, form):
    videos, output = tmp_path / "videos", tmp_path / "data"
    preparing.write_videos(videos, "abc")
    preparing.write_text(videos, "d")
    failed = run(videos, tmp_path / "undisturbed", form)
    expected = video_files.tree(tmp_path / "undisturbed")
    for last in range(1, 1000):
        shutil.rmtree(output, ignore_errors=True)
        with monkeypatch.context() as patch:
            disk = Disk(patch, last)
            try:
                run(videos, output, form)
            except (files.WriteError, RuntimeError) as error:
                assert str(output) in str(error) and "\n" not in str(error)
                assert "No space left on device" in str(error)
        if disk.count < last:
            break
        with pytest.raises((ValueError, FileNotFoundError)):
            records.open_data(output)
        assert run(videos, output, form) == failed and video_files.tree(output) == expected, last
    assert last > 15


def test_error_names_path_and_required_space(tmp_path, monkeypatch, caplog):
    videos, output = tmp_path / "videos", tmp_path / "data"
    preparing.write_videos(videos, "ab", frames=20)

    def full(file, **arrays):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        words = [f"--videos={videos}", f"--output={output}", "--flow=none", "--size=keep"]
        assert cli.main("prepare", *words) == 2
    (line,) = [text for text in caplog.messages if "cannot be written" in text]
    assert line.startswith(f"{output}/staging/0000000.npz.") and " It needs " in line
    assert " are available: free some space and try again." in line


def test_line_truncated_by_full_disk_is_ignored(tmp_path):
    """A partial row may have four fields and would look like a changed file."""
    whole = "video,file,bytes,changed\na,a.avi,12,1700000000000000001\n"
    path = tmp_path / sources.SOURCES
    for text in (whole, whole + "a,a.avi,12,17000", whole + "a,a.a"):
        path.write_text(text)
        assert sources.read(tmp_path) == {"a": ("a.avi", "12", "1700000000000000001")}


def test_unwritable_folder_is_reported(tmp_path, monkeypatch):
    videos = tmp_path / "videos"
    preparing.write_videos(videos, "a")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=f"output must be a folder. Received: {tmp_path}/file,"):
        run(videos, tmp_path / "file")
    with pytest.raises(files.WriteError, match="file/data cannot be written: Not a directory.$"):
        run(videos, tmp_path / "file" / "data")

    def refuse(path, *args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(pathlib.Path, "mkdir", refuse)
    with pytest.raises(files.WriteError, match="data cannot be written: Read-only file system.$"):
        run(videos, tmp_path / "data")


def test_second_process_is_rejected_at_once(tmp_path, monkeypatch, caplog):
    videos, output = tmp_path / "videos", tmp_path / "data"
    preparing.write_videos(videos, "a")
    output.mkdir()
    monkeypatch.setattr(cli, "load_frameworks", lambda: pytest.fail("nothing is loaded"))
    with locks.lock(output, "mas.prepare"):
        assert cli.main("prepare", f"--videos={videos}", f"--output={output}") == 2
    assert f"Another mas.prepare is running in {output}: process {os.getpid()} on " in caplog.text


COMMAND = """
import resource, sys
from mas import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(cli.main("prepare", *sys.argv[2:]))
"""


@pytest.mark.slow
def test_file_size_limit_is_reported(tmp_path):
    """Limits below the smallest file and the shard, in real workers: one line, no traceback."""
    videos, output = tmp_path / "videos", tmp_path / "data"
    preparing.write_videos(videos, "abc", frames=30)
    words = [f"--videos={videos}", "--flow=dis", "--size=keep", "--workers=1"]

    def command(limit, folder):
        command = [sys.executable, "-c", COMMAND, str(limit), *words, f"--output={folder}"]
        return subprocess.run(command, env=preparing.ENVIRONMENT, capture_output=True, text=True)

    assert command(resource.RLIM_INFINITY, tmp_path / "undisturbed").returncode == 0
    expected = video_files.tree(tmp_path / "undisturbed")
    sizes = sorted({len(content) for content in expected.values()})
    for limit in (sizes[0] // 2, sizes[-1] - 1):
        shutil.rmtree(output, ignore_errors=True)
        found = command(limit, output)
        assert found.returncode == 2 and "Traceback" not in found.stderr, found.stderr
        assert "cannot be written: File too large." in found.stderr.splitlines()[-1]
        assert str(output) in found.stderr.splitlines()[-1]
        assert command(resource.RLIM_INFINITY, output).returncode == 0
        assert video_files.tree(output) == expected, limit

"""On a Ray of this machine: tasks whose workers die; preparation, byte for byte the pool's."""

import os
import pathlib
import signal

import preparing
import pytest
import video_files
from test_prepare_resume import alive, needs_proc

from mas import cluster
from mas.prepare import progress

pytest.importorskip("ray", reason="needs Ray: pip install 'mas-video[cluster]'")


@pytest.fixture(scope="module")
def ray():
    """A Ray of two workers on this machine."""
    with cluster.connected("local", 2) as found:
        yield found


def test_a_node_that_cannot_take_part_ends_the_run_before_it_begins(ray):
    cluster.check_nodes(ray, cluster.needs({"mas": "mas"}))
    with pytest.raises(RuntimeError, match=r"1 of 1 Ray nodes.*: \S+ does not see /no/video"):
        cluster.check_nodes(ray, cluster.needs({}, ["/no/video"]))


def test_ray_leaves_the_handler_of_a_signal(ray):
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


# Tasks.


def run(ray, function, items, **options):
    tasks = cluster.Tasks(ray, function, **options)
    for item in items:
        tasks.submit(item)
    return list(tasks.finished())


def test_each_item_is_answered_once_with_its_news(ray):
    def count(item):
        for n in range(item):
            yield {"done": n}
        yield {"end": item}

    found = run(ray, count, [2, 0, 1], most=2)
    assert sorted((i, a["end"]) for i, a in found if "end" in a) == [(0, 0), (1, 1), (2, 2)]
    assert [a for i, a in found if i == 2] == [{"done": 0}, {"done": 1}, {"end": 2}]


def test_a_worker_that_dies_is_replaced_three_times(ray, tmp_path):
    """Killed from within, news or not; or it says that what it looks after has died."""

    def die(item):
        import os
        import pathlib

        name, lives = item
        path = pathlib.Path(tmp_path, name)
        tries = len(path.read_text()) if path.exists() else 0
        path.write_text("x" * (tries + 1))
        if tries < lives and name == "child":
            yield {"died": "signal 11"}
            return
        yield {"done": 1}
        if tries < lives:
            os.kill(os.getpid(), 9)
        yield {"end": tries}

    items = [("lives", 3), ("never", 9), ("child", 9), ("well", 0)]
    found = {item[0]: answer for item, answer in run(ray, die, items) if "done" not in answer}
    assert found == {
        "lives": {"end": 3},
        "never": {"died": "it was killed"},
        "child": {"died": "signal 11"},
        "well": {"end": 0},
    }
    assert {p.name: len(p.read_text()) for p in tmp_path.iterdir()} == {
        "lives": 4,
        "never": 4,
        "child": 4,
        "well": 1,
    }


def test_what_is_no_items_fault_ends_the_run(ray):
    def fail(item):
        if item == 1:
            raise OSError(28, "No space left on device")
        yield {"failed": "Nothing can be written."}

    with pytest.raises(RuntimeError, match="A worker failed: OSError: .*No space left"):
        run(ray, fail, [1])
    with pytest.raises(RuntimeError, match="Nothing can be written."):
        run(ray, fail, [2])


# Preparation.

SIZE = (48, 32)
OPTIONS = {"flow": "dis", "size": SIZE, "min_frames": 2}


def films(folder, count=5, frames=12):
    for n in range(count):
        video_files.write(folder / f"{n}.avi", video_files.moving(frames, (1, 0), seed=n))
    preparing.write_text(folder, ["bad"])
    return folder


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A long video among short ones, and one that is none."""
    folder = films(tmp_path_factory.mktemp("films"))
    images = video_files.moving(40, (1, 0), (64, 48))
    video_files.write(folder / "long.avi", video_files.np.tile(images, (50, 1, 1, 1)))
    return folder


@pytest.fixture(scope="module")
def expected(videos, tmp_path_factory):
    """What the pool makes of them."""
    output = tmp_path_factory.mktemp("pool") / "data"
    preparing.run(videos, output, **OPTIONS)
    return video_files.tree(output)


def processes(words):
    """Ids of the living processes whose command line holds some words."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if words in line and alive(int(path.parent.name)):
            found.append(int(path.parent.name))
    return found


@needs_proc
@pytest.mark.parametrize("victim", ["ray::carry_out", "extract.main()"])
def test_a_worker_that_is_killed_in_mid_work(ray, videos, expected, tmp_path, monkeypatch, victim):
    """The Ray worker, or the process that decodes for it: the bytes are the pool's all the same."""
    killed, note = [], progress.Progress.note

    def watch(self, job, answer):
        note(self, job, answer)
        if "done" in answer and not killed:
            killed.extend(processes(victim))
            for process in killed:
                os.kill(process, signal.SIGKILL)

    monkeypatch.setattr(progress.Progress, "note", watch)
    failed = preparing.run(videos, tmp_path / "data", engine="ray", **OPTIONS)
    assert killed and list(failed) == [str(videos / "bad.avi")]
    assert video_files.tree(tmp_path / "data") == expected

import csv
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import video_files

from mas import flow, prepare, records, video
from mas.prepare import workers

ROOT = pathlib.Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
CLIPS = {"right/a.avi": (2, 0), "right/b.mkv": (3, 0), "down/c.avi": (0, 2)}
FRAMES = 6


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Three lossless videos whose motion is known."""
    folder = tmp_path_factory.mktemp("videos")
    for name, shift in CLIPS.items():
        images = video_files.moving(FRAMES, shift, size=(64, 48), seed=len(name))
        images[..., 2] //= 2  # so that R G B and B G R differ
        video_files.write(folder / name, images, rate=12.5)
    return folder


@pytest.fixture
def inline(monkeypatch):
    monkeypatch.setattr(workers, "Pool", video_files.Inline)


def run(videos, output, count=2, **settings):
    settings = prepare.Settings(**{"size": (64, 48), "method": "dis", "min_frames": 5, **settings})
    return prepare.prepare(prepare.find_videos(videos), output, settings, count)


def jpeg(image):
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def pixels(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def failures(output):
    with open(output / "failures.csv", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


# What is stored.


@pytest.mark.parametrize("form", ["shards", "folders"])
@pytest.mark.parametrize("size", [(48, 40), None])
def test_stored_frames_and_flow(videos, tmp_path, inline, form, size):
    """Flow is that of grey frames of the stored size; a frame's flow leads to the next frame."""
    assert run(videos, tmp_path / "data", form=form, size=size) == {}
    data = records.open_data(tmp_path / "data")
    assert data.videos == ["down/c", "right/a", "right/b"]
    assert data.lengths.tolist() == [FRAMES] * 3 and data.has_flow
    estimate = flow.estimator("dis")
    for number, name in enumerate(data.videos):
        path = next(videos.glob(f"{name}.*"))
        images = list(video.frames(path, size))
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
        flows = [flow.encode(estimate(*pair)) for pair in zip(grey, grey[1:], strict=False)]
        rgb, u, v = data.read(number, range(FRAMES), range(FRAMES - 1))
        assert rgb == [jpeg(cv2.cvtColor(image, cv2.COLOR_RGB2BGR)) for image in images]
        assert u == [jpeg(code[..., 0]) for code in flows]
        assert v == [jpeg(code[..., 1]) for code in flows]


def test_stored_values_against_what_was_filmed(videos, tmp_path, inline):
    """From stored bytes back to the colours and the motion that the video was made of."""
    run(videos, tmp_path / "data")
    data = records.open_data(tmp_path / "data")
    assert data.sizes.tolist() == [[48, 64]] * 3
    for name, shift in CLIPS.items():
        images = video_files.moving(FRAMES, shift, size=(64, 48), seed=len(name))
        images[..., 2] //= 2
        number = data.videos.index(name.split(".")[0])
        rgb, u, v = data.read(number, range(FRAMES), range(FRAMES - 1))
        for file, image in zip(rgb, images, strict=True):
            assert np.abs(pixels(file)[..., ::-1].astype(float) - image).mean() < 4
        for files, expected in ((u, shift[0]), (v, shift[1])):
            for file in files:
                code = pixels(file)
                assert code.shape == (48, 64)
                assert np.median(flow.decode(code)[8:-8, 8:-8]) == pytest.approx(expected, abs=0.3)


def test_tvl1_is_the_default_and_what_opencv_computes(tmp_path, inline):
    path = tmp_path / "videos" / "x.avi"
    video_files.write(path, video_files.moving(3, (2, -1)))
    settings = prepare.Settings(size=video_files.SIZE, min_frames=3)
    assert settings.method == "tvl1"
    prepare.prepare({"x": path}, tmp_path / "data", settings)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in video.frames(path)]
    expected = cv2.optflow.DualTVL1OpticalFlow_create().calc(grey[1], grey[2], None)
    _, [u], [v] = records.open_data(tmp_path / "data").read(0, [], [1])
    assert (u, v) == tuple(jpeg(flow.encode(expected)[..., part]) for part in (0, 1))


def test_defaults_are_the_papers():
    assert prepare.Settings() == prepare.Settings("shards", (171, 128), "tvl1", 95, 16)


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_without_flow(videos, tmp_path, inline, form):
    run(videos, tmp_path / "data", form=form, method="none")
    data = records.open_data(tmp_path / "data")
    assert not data.has_flow
    assert len(data.read(0, range(FRAMES))[0]) == FRAMES
    assert not (tmp_path / "data" / records.FLOW_FOLDER).exists()


def test_workers_give_what_one_process_gives(videos, tmp_path, monkeypatch):
    """Real worker processes, two, one; and the files that a finished data set consists of."""
    outputs = [tmp_path / name for name in ("one", "two", "inline")]
    for count, output in enumerate(outputs, 1):
        if output.name == "inline":
            monkeypatch.setattr(workers, "Pool", video_files.Inline)
        assert run(videos, output, count) == {}
    found = [video_files.tree(output) for output in outputs]
    assert found[0] == found[1] == found[2]
    files = {"dataset.json", "plan.json", "videos-00000.csv", "videos-00000.tfrecord"}
    assert set(found[0]) == files
    assert json.loads(found[0]["dataset.json"]) == {
        "form": "shards",
        "size": [64, 48],
        "method": "dis",
        "quality": 95,
        "min_frames": 5,
        "videos": 3,
        "frames": 3 * FRAMES,
        "failures": 0,
    }


# What cannot be read.

REASONS = {
    "cut.avi": "truncated: .* of 40 declared frames can be decoded",
    "cut.mkv": "truncated: .* of 40 declared frames can be decoded",
    "cut.mp4": "truncated: .* bytes that the container declares are missing",
    "dangling.avi": "No such file or directory",
    "empty.avi": "the file is empty",
    "forbidden.avi": "Permission denied",
    "no_frames.avi": "holds no frame that can be decoded",
    "short.avi": "shorter than one clip: 4 frames, at least 5 wanted",
    "text.avi": "not a video that the decoder can open",
}


def bad_videos(folder):
    for name in ("cut.avi", "cut.mkv", "cut.mp4"):
        video_files.cut(video_files.write(folder / name, video_files.noise(40), "mp4v"), 0.5)
    video_files.write(folder / "no_frames.avi", video_files.noise(0))
    video_files.write(folder / "short.avi", video_files.noise(4))
    video_files.write(folder / "forbidden.avi", video_files.noise(5))
    (folder / "dangling.avi").symlink_to("gone.avi")
    (folder / "empty.avi").touch()
    (folder / "text.avi").write_text("no video\n")


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_every_bad_video_is_named_and_no_good_one_is_lost(tmp_path, inline, monkeypatch, form):
    bad_videos(tmp_path / "videos")
    for name in ("a.avi", "m.avi", "z.avi"):
        video_files.write(tmp_path / "videos" / name, video_files.noise(5))

    def opened(path, *args):  # root may read everything
        if pathlib.Path(path).name == "forbidden.avi":
            raise PermissionError(13, "Permission denied", path)
        return open(path, *args)

    monkeypatch.setattr(video, "open", opened, raising=False)
    found = run(tmp_path / "videos", tmp_path / "data", form=form)
    assert sorted(found) == [str(tmp_path / "videos" / name) for name in REASONS]
    for path, reason in found.items():
        assert re.fullmatch(REASONS[pathlib.Path(path).name], reason), (path, reason)
    header, *rows = failures(tmp_path / "data")
    assert header == ["path", "reason"] and dict(rows) == found and len(rows) == len(REASONS)
    data = records.open_data(tmp_path / "data")
    assert data.videos == ["a", "m", "z"]
    assert all(len(data.read(number, range(5))[0]) == 5 for number in range(3))
    stored = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert (stored["videos"], stored["frames"], stored["failures"]) == (3, 15, len(REASONS))


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_a_data_set_of_failures_alone(tmp_path, inline, form):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "text.avi").write_text("no video\n")
    assert len(run(tmp_path / "videos", tmp_path / "data", form=form)) == 1
    assert len(records.open_data(tmp_path / "data").videos) == 0


def test_a_name_that_is_not_utf8(tmp_path, inline):
    video_files.write(tmp_path / "videos" / "good.avi", video_files.noise(5))
    path = os.fsencode(tmp_path / "videos") + b"/caf\xe9.avi"
    os.link(tmp_path / "videos" / "good.avi", path)
    found = run(tmp_path / "videos", tmp_path / "data")
    assert found == {os.fsdecode(path): "its name is not UTF-8"}
    assert path in (tmp_path / "data" / "failures.csv").read_bytes()
    assert records.open_data(tmp_path / "data").videos == ["good"]


def test_an_error_that_nobody_foresaw_is_one_videos_failure(videos, tmp_path, inline, monkeypatch):
    decode = video.frames

    def fail(path, size):
        if path.endswith("a.avi"):
            raise MemoryError("too\nlarge")
        return decode(path, size)

    monkeypatch.setattr(video, "frames", fail)
    found = run(videos, tmp_path / "data")
    assert found == {str(videos / "right" / "a.avi"): "MemoryError: too large"}
    assert records.open_data(tmp_path / "data").videos == ["down/c", "right/b"]


# The workers.

FAKE = """
import json, os, signal, sys, time
for line in sys.stdin:
    job = json.loads(line)
    with open(job["log"], "a") as log:
        log.write(job["video"] + chr(10))
    if job["video"] == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if job["video"] == "fail":
        sys.exit("OSError: [Errno 28] No space left on device")
    time.sleep(job.get("seconds", 0))
    print(json.dumps({"frames": 1, "pid": os.getpid()}), flush=True)
"""


def fake_jobs(tmp_path, *names, **options):
    log = str(tmp_path / "log")
    return [{"video": name, "path": f"{name}.avi", "log": log, **options} for name in names]


def test_a_worker_that_crashes_is_replaced_and_its_video_named(tmp_path):
    pool = workers.Pool(1, [sys.executable, "-c", FAKE])
    answers = {}
    for job, answer in pool.run(fake_jobs(tmp_path, "a", "b", "crash", "c", "d")):
        answers[job["video"]] = answer
    assert answers.pop("crash") == {"error": "the decoder crashed (signal 11)"}
    pids = [answers[name].pop("pid") for name in "abcd"]
    assert answers == {name: {"frames": 1} for name in "abcd"}
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert (tmp_path / "log").read_text().split() == ["a", "b", "crash", "c", "d"]


def test_a_worker_that_fails_ends_the_run_with_its_last_words(tmp_path):
    pool = workers.Pool(2, [sys.executable, "-c", FAKE])
    jobs = fake_jobs(tmp_path, "fail", *"abcdefghijklmnopqrst", seconds=0.05)
    with pytest.raises(RuntimeError, match=r"failed on fail.avi: OSError: \[Errno 28\] No space"):
        list(pool.run(jobs))
    taken = (tmp_path / "log").read_text().split()
    time.sleep(0.3)
    assert len((tmp_path / "log").read_text().split()) <= len(taken) + 1 < 10


CRASHING = """
import ctypes
from mas.prepare import extract
run = extract.run
extract.run = lambda job: ctypes.string_at(0) if job["video"] == "b" else run(job)
extract.main()
"""


def test_a_crash_costs_its_video_alone_and_is_tried_again(tmp_path, monkeypatch):
    for name in ("a.avi", "b.avi", "c.avi"):
        video_files.write(tmp_path / "videos" / name, video_files.noise(5))
    command = [sys.executable, "-c", CRASHING]
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        pool = workers.Pool
        patch.setattr(workers, "Pool", lambda count: pool(count, command))
        found = run(tmp_path / "videos", tmp_path / "data")
    crashed = str(tmp_path / "videos" / "b.avi")
    assert found == {crashed: "the decoder crashed (signal 11)"}
    assert records.open_data(tmp_path / "data").videos == ["a", "c"]
    monkeypatch.setattr(workers, "Pool", video_files.Inline)
    assert run(tmp_path / "videos", tmp_path / "data") == {}
    run(tmp_path / "videos", tmp_path / "undisturbed")
    assert video_files.tree(tmp_path / "data") == video_files.tree(tmp_path / "undisturbed")


NOISY = """
import os
from mas.prepare import extract
def run(job):
    os.write(1, b"noise")
    print("noise", flush=True)
    return {"frames": job["n"]}
extract.run = run
extract.main()
"""


def test_a_worker_answers_lines_and_nothing_else_and_ends_with_its_input():
    pipe = subprocess.PIPE
    worker = subprocess.Popen(
        [sys.executable, "-c", NOISY], stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT
    )
    for n in (1, 2):
        worker.stdin.write(b'{"n": %d}\n' % n)
        worker.stdin.flush()
        assert json.loads(worker.stdout.readline()) == {"frames": n}
    rest, words = worker.communicate(timeout=20)
    assert (rest, worker.returncode) == (b"", 0)
    assert words.count(b"noise") == 4


def test_a_result_that_cannot_be_stored_ends_the_run(videos, tmp_path):
    """Nothing is wrong with the videos then, and none is called bad."""
    run(videos, tmp_path / "data", form="folders", method="none")
    (tmp_path / "data" / "dataset.json").unlink()
    (tmp_path / "data" / "jpegs_256" / "right" / "a").rename(tmp_path / "away")
    (tmp_path / "data" / "jpegs_256" / "right" / "a").write_text("in the way")
    with pytest.raises(RuntimeError, match="A worker failed on .*a.avi: NotADirectoryError"):
        run(videos, tmp_path / "data", form="folders", method="none")
    assert not (tmp_path / "data" / "failures.csv").exists()


# What is refused.


def test_other_settings_are_refused(videos, tmp_path, inline):
    run(videos, tmp_path / "data")
    before = video_files.tree(tmp_path / "data")
    for other in ({"size": None}, {"method": "none"}, {"quality": 90}, {"form": "folders"}):
        with pytest.raises(ValueError, match="must go on with the same. Received: "):
            run(videos, tmp_path / "data", **other)
    assert video_files.tree(tmp_path / "data") == before


def test_a_folder_of_something_else_is_refused(videos, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.tex").touch()
    for _ in range(2):
        with pytest.raises(ValueError, match="Received: .*data, which holds other files"):
            run(videos, tmp_path / "data")


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"form": "zip"}, r"form must be one of \['shards', 'folders'\]. Received: form='zip'"),
        ({"method": "farneback"}, "method must be one of .*'none'.*Received: method='farneback'"),
        ({"quality": 0}, "quality must be in 1..100. Received: quality=0."),
    ],
)
def test_settings_that_nobody_could_carry_out(setting, message):
    with pytest.raises(ValueError, match=message):
        prepare.Settings(**setting)


@pytest.mark.parametrize("text", ["", "171", "171x", "x128", "0x128", "-1x2", "171x128x3", "1.5x2"])
def test_sizes_that_are_none(text):
    with pytest.raises(ValueError, match=r"size must be WIDTHxHEIGHT in pixels, or keep. Rec"):
        prepare.parse_size(text)


def test_sizes():
    assert prepare.parse_size("340x256") == (340, 256)
    assert prepare.parse_size("keep") is None


# Finding videos.


def test_find_videos(tmp_path):
    for name in ("b/x.AVI", "a.mkv", "c.mp4", "c.avi", "d.e.webm", "readme.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = prepare.find_videos(tmp_path)
    names = {"a": "a.mkv", "b/x": "b/x.AVI", "c.avi": "c.avi", "c.mp4": "c.mp4", "d.e": "d.e.webm"}
    assert list(found.items()) == [(name, tmp_path / file) for name, file in names.items()]


def test_two_files_that_differ_only_in_extension_are_both_kept(tmp_path, inline):
    for seed, name in enumerate(("c.mkv", "c.avi")):
        video_files.write(tmp_path / "videos" / name, video_files.noise(5, seed))
    assert run(tmp_path / "videos", tmp_path / "data") == {}
    data = records.open_data(tmp_path / "data")
    assert data.videos == ["c.avi", "c.mkv"]
    assert data.read(0, [0])[0] != data.read(1, [0])[0]


def test_a_video_named_like_a_folder_of_others(tmp_path, inline):
    """In folders its frames and theirs would lie in one place, and one would be taken for done."""
    for name in ("walk.avi", "walk/x.avi"):
        video_files.write(tmp_path / "videos" / name, video_files.noise(5))
    with pytest.raises(ValueError, match="Received: 'walk' and 'walk/x'"):
        run(tmp_path / "videos", tmp_path / "folders", form="folders")
    assert run(tmp_path / "videos", tmp_path / "data") == {}
    assert records.open_data(tmp_path / "data").videos == ["walk", "walk/x"]


def test_lists_need_neither_opencv_nor_tensorflow():
    code = "import sys, mas.lists; sys.exit(bool({'cv2', 'tensorflow', 'numpy'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 0


# The command.


def command(*flags):
    """Runs mas.prepare; (exit status, what it said)."""
    words = [sys.executable, "-m", "mas.prepare", "--flow=dis", "--size=64x48", "--workers=1"]
    done = subprocess.run([*words, *flags], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_the_command_and_its_exit_status(videos, tmp_path):
    base = (f"--videos={videos}", f"--output={tmp_path / 'data'}", "--form=folders")
    status, text = command(*base)  # FRAMES is less than the default of 16
    assert status == 1
    for name in ("right/a.avi", "right/b.mkv", "down/c.avi"):
        assert f"{videos / name}: shorter than one clip: 6 frames, at least 16 wanted" in text
    assert f"3 videos failed; all are named in {tmp_path / 'data' / 'failures.csv'}." in text
    assert "holds 0 videos, 0 frames." in text and "Next:" not in text
    assert len(failures(tmp_path / "data")) == 4
    assert command(*base, "--allow_failures")[0] == 0
    status, text = command(*base, "--min_frames=6")
    assert status == 2
    assert "must go on with the same. Received: {" in text


def test_the_command_prepares_a_list(videos, tmp_path):
    (tmp_path / "list.txt").write_text("right/b 0\nright/a 0\n")
    base = (f"--videos={videos}", f"--output={tmp_path / 'data'}", "--min_frames=6")
    options = ("--flow=none", "--form=folders", f"--list={tmp_path / 'list.txt'}")
    status, text = command(*base, *options)
    assert status == 0
    assert f"{tmp_path / 'data'} holds 2 videos, 12 frames." in text
    assert f"Next: python train.py --data={tmp_path / 'data'}" in text
    assert records.open_data(tmp_path / "data").videos == ["right/a", "right/b"]
    (tmp_path / "list.txt").write_text("right/absent 0\n")
    status, text = command(*base, *options)
    assert status == 2
    assert "line 1: 'right/absent' matches none" in text


@pytest.mark.parametrize(
    "flags, status, message",
    [
        (["--size=171"], 2, "size must be WIDTHxHEIGHT in pixels, or keep. Received: size='171'."),
        (["--videos=absent"], 2, "videos must be an existing folder. Received: 'absent'."),
        (["more"], 1, "mas.prepare takes flags only. Received: ['more']."),
        (["--flow=farneback"], 1, "value should be one of <tvl1|dis|none>"),
    ],
)
def test_the_command_refuses(videos, tmp_path, flags, status, message):
    found, text = command(f"--videos={videos}", f"--output={tmp_path / 'data'}", *flags)
    assert (found, message in text) == (status, True), text
    assert not (tmp_path / "data").exists()

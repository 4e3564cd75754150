"""TV-L1 equals OpenCV's bit for bit, the fast form nearly; machine code is cached."""

import os
import pathlib
import platform
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
import video_files
from numba import njit

from mas import flow, video
from mas.flow import compiled, steps, tvl1, warping

ROOT = pathlib.Path(__file__).resolve().parents[1]
# What was measured. Another version may compute otherwise, as these do among each other.
KNOWN = ("4.10.", "4.11.", "4.12.", "4.13.", "4.14.", "5.0.")
MEASURED = cv2.__version__.startswith(KNOWN) and platform.machine() in ("x86_64", "AMD64")
CLIPS = {
    "weizmann/skip/ira_skip.avi": (171, 128),
    "mixed/v_SoccerJuggling_g23_c01.avi": (171, 128),
    "mixed/baseball.mp4": (171, 128),
    "mixed/basketball.mp4": (101, 75),
    "mixed/R6llTwEh07w.mp4": (340, 256),
}


def grey_pair(path, size):
    for number, frame in enumerate(video.frames(str(path), size)):
        if number == 10:
            first = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        elif number == 11:
            return first, cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    raise AssertionError(f"{path} has fewer than 12 frames")


@pytest.fixture(scope="module")
def real(shared):
    """{name: (two frames, OpenCV's flow)} of real clips."""
    estimate = flow.estimator("tvl1_opencv")
    pairs = {name: grey_pair(shared / "videos" / name, size) for name, size in CLIPS.items()}
    return {name: (pair, estimate(*pair)) for name, pair in pairs.items()}


@pytest.fixture(scope="module")
def exact():
    return flow.estimator("tvl1")


def check_equal(found, expected):
    """Checks equality bit for bit; for an untested version of OpenCV, closeness is enough."""
    if found.tobytes() == expected.tobytes():
        return
    difference = np.abs(found - expected)
    told = f"OpenCV {cv2.__version__} on {platform.machine()} computes TV-L1 otherwise: "
    told += f"{np.mean(found != expected):.1%} of values, {difference.mean():.4f} px in the mean"
    assert not MEASURED, told
    assert difference.mean() <= 0.02 and np.quantile(difference, 0.95) <= 0.05, told
    pytest.xfail(told)


@pytest.mark.parametrize("name", CLIPS)
def test_real_pairs_equal_opencv(real, exact, name):
    pair, expected = real[name]
    assert np.abs(expected).max() > 0.5  # something moves
    check_equal(exact(*pair), expected)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("size", "second"),
    [
        ((171, 128), "same"),
        ((64, 48), "black"),
        ((64, 48), "half black"),
        ((97, 61), "noise"),
        ((16, 16), "moved"),
        *(((20, height), "moved") for height in range(81, 87)),  # where rows of a pass move on
        ((17, 31), "moved"),
        ((5, 3), "noise"),
        ((2, 7), "noise"),
        ((2, 2), "noise"),  # of one row or column, OpenCV reads adjacent memory
    ],
)
def test_odd_pairs_equal_opencv(exact, size, second, large, monkeypatch):
    """No motion, no light, unrelated frames; sizes at the limits of fields, pyramids and pairs."""
    monkeypatch.setattr(tvl1, "LARGE", 0 if large else tvl1.LARGE)
    first, moved = video_files.moving(2, (1, -1), (max(size[0], 12), max(size[1], 12)))[..., 0]
    first, moved = (image[: size[1], : size[0]] for image in (first, moved))
    if second == "noise":
        first, moved = video_files.noise(2, size=size)[..., 0]
    elif second == "same":
        moved = first
    elif second == "black":
        first = moved = np.zeros_like(first)
    elif second == "half black":
        first, moved = first.copy(), moved.copy()
        first[:, size[0] // 2 :] = moved[:, size[0] // 2 :] = 0
    pair = np.ascontiguousarray(first), np.ascontiguousarray(moved)
    check_equal(exact(*pair), flow.estimator("tvl1_opencv")(*pair))


def test_own_warp_equals_opencv_warp(real, exact, monkeypatch):
    """If `warp` equals OpenCV's, OpenCV is not called; otherwise OpenCV warps."""
    pair, expected = real["mixed/basketball.mp4"]
    if cv2.__version__.startswith("5.0.") and compiled.HAS_FMA and MEASURED:
        assert warping.is_opencv()
    monkeypatch.setattr(warping, "is_opencv", lambda: False)
    check_equal(exact(*pair), expected)


def test_fast_tvl1_differs_no_more_than_opencv_versions(real):
    estimate = flow.estimator("tvl1_fast")
    found = [np.abs(estimate(*pair) - expected) for pair, expected in real.values()]
    assert any(difference.any() for difference in found)
    assert np.mean([difference.mean() for difference in found]) <= 0.02
    assert np.mean([np.quantile(difference, 0.95) for difference in found]) <= 0.05


def test_rounded_scale_lies_within_float32_bounds():
    """The float32 bounds hold at every magnitude, and are almost always equal."""

    @njit
    def count(xs, ys):
        doubts, wrong = 0, 0
        for x, y in zip(xs, ys):  # noqa: B905  (Numba knows no `strict`)
            least, most = steps._bounded_scale(x, y)
            scale, _ = steps.rounded_scale(x, y)
            doubts += least != most
            wrong += not least <= scale <= most
        return doubts, wrong

    random = np.random.default_rng(0)
    size = 200_000
    xs, ys = (random.normal(size=(2, size)) * 10.0 ** random.uniform(-30, 3, (2, size))).astype(
        np.float32
    )
    ys[:1000], xs[500:1500] = 0, 0
    whole = random.integers(-50, 50, (2, size)).astype(np.float32) / 64  # roots that are exact
    near = random.normal(size=(2, size)).astype(np.float32)
    for pair in ((xs, ys), whole, near):
        doubts, wrong = count(*pair)
        assert wrong == 0 and doubts < size / 1000
    assert count(np.float32([np.nan, np.inf]), np.float32([1, 1]))[0] >= 1


def double(x):
    return 2 * x


def hits():
    """How many times machine code of `double` was loaded: 0 or 1."""
    kept = compiled.entry(double, "float64(float64)")
    assert kept(3.0) == 6.0
    return sum(kept.stats.cache_hits.values())


def test_compiled_code_is_cached_once_in_writable_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new" / "home"))
    before = compiled.numba.config.CACHE_DIR
    assert hits() == 0 and hits() == 1 and not compiled.is_kept()
    (folder,) = (tmp_path / "new" / "home" / "mas").glob("numba-*")
    files = [*folder.rglob("*.nb?")]
    assert len(files) == 2 and compiled.numba.config.CACHE_DIR == before
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        assert hits() == 0  # damaged: compiled again
        file.write_bytes(content)
    assert hits() == 1
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert hits() == hits() == 0 and not compiled.is_kept()
    monkeypatch.setattr(compiled._CONFIG, "CACHE_DIR", str(tmp_path / "own"))
    assert hits() == 0 and hits() == 1 and any((tmp_path / "own").rglob("*.nbc"))


def test_concurrent_processes_share_cache(tmp_path):
    (tmp_path / "loops.py").write_text("def double(x):\n    return 2 * x\n")
    script = "import loops; from mas.flow import compiled as c; "
    script += "kept = c.entry(loops.double, 'float64(float64)'); assert kept(3.0) == 6.0; "
    script += "print(sum(kept.stats.cache_hits.values()))"
    paths = os.pathsep.join(map(str, (ROOT, tmp_path)))
    environment = {**os.environ, "PYTHONPATH": paths, "XDG_CACHE_HOME": str(tmp_path)}

    def start():
        command = [sys.executable, "-c", script]
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)

    for process in [start() for _ in range(3)]:
        assert process.communicate()[0] in ("0\n", "1\n") and not process.returncode
    assert start().communicate()[0] == "1\n"


def test_one_process_compiles_while_others_wait(tmp_path):
    order = []

    def second():
        with compiled._compile_lock(str(tmp_path)):
            order.append("second")

    with compiled._compile_lock(str(tmp_path)):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.1)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]

"""Benchmarks run, and fail if a target is missed; nothing is timed here."""

import dataclasses
import re

import numpy as np
import pytest

import mas

SIZES = {"CLIPS": 1, "FRAMES": 3, "SIZE": 16, "ROUNDS": 1, "STREAM": 2}


def constants(monkeypatch, module, **values):
    for name, value in values.items():
        monkeypatch.setattr(module, name, value)


def test_augmentations(script, monkeypatch, capsys):
    with script("benchmarks/augment.py") as augment:
        missed = augment.missed({"decoding": 1, "affine": 2.01, "insertion": 0.1})
        assert missed == ["affine takes 2.01 of the time of decoding, not at most 2.0"]
        named = augment.functions()
        public = [name for name in augment.augment.__all__ if "_" in name and name.islower()]
        every = [*public, "affine, shear"]
        assert len(public) >= 9 and all(name in " ".join(named) for name in every)
        some = {name: named[name] for name in ("decoding", "nothing", "swap_frames")}
        constants(monkeypatch, augment, **SIZES, STORED=(22, 18), functions=lambda: some)
        constants(monkeypatch, augment, MOST_RATIO=1e9)
        assert augment.main() == 0
    _, _, *rows, last = capsys.readouterr().out.splitlines()
    assert all(re.search(r" +\d+\.\d\d +\d+\.\d\d +\d+\.\d\d$", row) for row in rows)
    assert len(rows) == 3 and last == "The target is met."


def test_labels(script, monkeypatch, capsys):
    with script("benchmarks/labels.py") as labels:
        assert labels.missed(20, 1.7) == []
        assert labels.missed(19.9, 1.7) == ["19.90 times as fast as the restatement, not 20"]
        assert labels.missed(60, 1.5) == ["1.50 times as many clips with two threads, not 1.7"]
        constants(monkeypatch, labels, **SIZES, LEAST_RATIO=1e9, LEAST_SHARING=0)
        assert labels.main() == 1
        assert capsys.readouterr().out.splitlines()[-1].startswith("MISSED: ")
        with pytest.raises(SystemExit, match="motion: 1 of 1 clips have different labels"):
            labels.compare("motion", lambda value: np.array([1]), lambda value: [2], [None])


# Seconds and MiB: the peaks of the first and of the last third count, the limits included.
MEMORY = {
    "as much as it may": ([(0, 500), (3, 700), (5, 2000), (10, 750)], []),
    "a little more": ([(0, 500), (3, 700), (10, 751)], ["grew by 51 MiB, not at most 50"]),
    "a share of what is large": ([(0, 4000), (10, 4200)], []),
    "more than the share": ([(0, 4000), (10, 4201)], ["grew by 201 MiB, not at most 200"]),
    "later than the first third": ([(0, 500), (4, 700), (10, 700)], ["grew by 200 MiB"]),
    "a peak near the end": ([(0, 500), (7, 700), (10, 500)], ["grew by 200 MiB"]),
}


def test_pipeline(script, sample_data, monkeypatch, capsys):
    options = ["--seconds=0.3", "--resize=44x32", "--size=24"]
    with script("benchmarks/pipeline.py", f"--data={sample_data / 'data'}", *options) as pipeline:
        for name, (memory, expected) in MEMORY.items():
            slow, *found = pipeline.missed(99.9, memory)
            assert slow == "99.9 clips/s, not 100" and pipeline.missed(100, memory) == found
            assert len(found) == len(expected) and all(map(str.__contains__, found, expected)), name
        constants(monkeypatch, pipeline, LEAST_RATE=0, MOST_GROWTH=1e9)
        assert pipeline.main([]) == 0
    first, *moments, total, last = capsys.readouterr().out.splitlines()
    assert first.startswith("12 clips in 12 videos") and len(moments) == 6
    assert " clips/s, peak " in total and last == "Both targets are met."


def test_sources(script, sample_data, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = ["--seconds=0.05", "--resize=44x32", "--size=24"]
    paths = [f"--videos={sample_data / 'videos'}", f"--data={sample_data / 'data'}"]
    with script("benchmarks/sources.py", *paths, *options) as sources:
        sources.main([])
    files, prepared, _, ratio = capsys.readouterr().out.splitlines()
    assert re.match(r"video files +\d+\.\d clips/s ", files)
    assert re.match(r"prepared +\d+\.\d clips/s ", prepared)
    assert re.match(r"prepared / video files: \d+\.\d\d$", ratio)
    with script("benchmarks/sources.py", paths[0], "--opencv", *options) as sources:
        sources.main([])
    *_, ratio = capsys.readouterr().out.splitlines()
    assert re.match(r"video files / by OpenCV: \d+\.\d\d$", ratio)


def test_flow(script, sample_data, monkeypatch, capsys):
    with script("benchmarks/flow.py", f"--videos={sample_data / 'videos'}", "--pairs=2") as flow:
        found = {"tvl1_opencv": (1.5, 0, 0, True), "tvl1": (0.25, 0, 0, True)}
        assert flow.missed((171, 128), found) == []
        found["tvl1"] = (0.2525, 0.01, 0.02, False)
        assert [line.split(" at ")[0] for line in flow.missed((171, 128), found)] == [
            f"tvl1 is not OpenCV {flow.cv2.__version__}'s",
            "tvl1 is 5.94 times as fast as OpenCV",
        ]
        constants(monkeypatch, flow, SIZES=((44, 32),), ROUNDS=1, LEAST_RATIO=1e9)
        assert flow.main([]) == 1
    title, _, *rows, last = capsys.readouterr().out.splitlines()
    assert title.startswith("44 x 32, 2 pairs, OpenCV ")
    assert [row.split()[0] for row in rows] == [*flow.flow.METHODS]
    assert last.startswith("MISSED: ")


def test_flow_of_two_versions(script, sample_data, tmp_path, monkeypatch, capsys):
    kept = tmp_path / "flow.npz"
    options = [f"--videos={sample_data / 'videos'}", "--pairs=2", f"--keep={kept}"]
    with script("benchmarks/flow.py", *options) as flow:
        constants(monkeypatch, flow, SIZES=((44, 32),))
        assert flow.main([]) == 0
        with np.load(kept) as found:
            fields = found["fields"]
        np.savez(kept, version="4.x", fields=fields + np.float32(0.25))  # 1.6 codes
        assert flow.main([]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    start = f"OpenCV {flow.cv2.__version__} from 4.x, 2 pairs: mean 0.2500 px, 95 % 0.2500 px, 100"
    assert line.startswith(start)


def test_flow_sizes(script, sample_data, monkeypatch, capsys):
    with script("benchmarks/flow_size.py", f"--videos={sample_data / 'videos'}") as sizes:
        ways = {name: way for name, way in sizes.WAYS.items() if name != "flow_size=stored"}
        ways = {name: dataclasses.replace(way, flow="dis") for name, way in ways.items()}
        reference = dataclasses.replace(sizes.REFERENCE, flow="dis")
        constants(monkeypatch, sizes, WAYS=ways, REFERENCE=reference)
        names = [*sizes.prepare.find_videos(sample_data / "videos").values()][:2]
        monkeypatch.setattr(sizes.prepare, "find_videos", lambda root: dict(enumerate(names)))
        assert sizes.main([]) == 0
    first, _, faithful, again, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("2 clips of 2 videos, OpenCV ")
    assert re.match(r"flow_size=340x256 +100\.0 +100\.0 +100\.0 +100\.0 ", faithful)
    assert again.startswith("the same, flow as JPEG ")


def test_worker_rate(script, monkeypatch, tmp_path):
    """The rate covers the time in which both workers are busy: videos 3 to 5."""

    class Pool:
        def __init__(self, count):
            assert count == 2

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def run(self, jobs):
            assert [job["video"] for job in jobs] == ["a", "b", "a", "b", "a", "b"]
            for number, job in enumerate(jobs):
                clock.append(number)
                yield job, {"done": 3}
                yield job, {"frames": 10}

    clock = []
    with script("benchmarks/prepare.py", "--videos=nowhere") as prepare:
        constants(monkeypatch, prepare, EACH=3)
        monkeypatch.setattr(prepare.workers, "Pool", Pool)
        monkeypatch.setattr(prepare.time, "monotonic", lambda: 2.0 * len(clock))
        paths = [tmp_path / "a.avi", tmp_path / "b.avi"]
        assert prepare.rate(paths, prepare.prepare.Storage(), 2, tmp_path) == 30 / 6


def test_switches(script, sample_data, capsys):
    """Checks shares by hand, and that each line is printed for generated clips."""
    data = sample_data / "data"
    options = (f"--data={data}", "--clips=4", "--size=32", "--long=18")
    with script("benchmarks/switches.py", *options) as switches:
        labels = [[1, 0, 2], [3, 0, 6]]  # variances 1, 0, 4
        assert switches.share(labels, ("a_location", "b_location", "u_frame")) == 80
        assert switches.differing([[1, 2], [3, 4]], [[1, 3], [3, 5]]).tolist() == [0, 100]
        switches.main([])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0].split(":")[0] for line in lines[:5]] == [
        "colour=mode",
        "  all other labels",
        "journal",
        "extra_flow",
        "negate_u=false",
    ]
    assert lines[1].endswith("largest 0") and len(lines) == 5 + 6
    assert all(re.search(r"clips, scale=\w+: frames \d+$", line) for line in lines[5:])


def test_prediction(script, monkeypatch, capsys):
    with script("benchmarks/predict.py", "--minutes=0.04", "--size=32") as predict:
        measured = {"share": 0.9, "peak": 105.0}
        assert predict.missed({"peak": 100.0}, measured) == []
        assert predict.missed({"peak": 99.0}, measured | {"share": 0.89}) == [
            "0.89 of the network alone, not 0.9",
            "1.06 times the memory of the short video, not 1.05",
        ]
        constants(
            monkeypatch, predict, SHORT=0.02, SECONDS=0.01, BATCH=1, LEAST_SHARE=0, MOST_GROWTH=9
        )
        constants(monkeypatch, predict, WIDTH=0.0625)
        monkeypatch.setattr(predict, "in_a_process", predict.measure)
        assert predict.main([]) == 0
    _, short, long, last = capsys.readouterr().out.splitlines()
    assert short.startswith("0.02 minutes, 2 windows: ") and last == "The targets are met."
    assert long.startswith("0.04 minutes, 6 windows: ")


def test_search(script, monkeypatch, capsys, tmp_path):
    pytest.importorskip("faiss")
    with script("benchmarks/search.py") as search:
        assert search.missed(10**6, 512, 0.99, 1.5 * 10**6 * 1024) == []
        assert search.missed(10**5, 512, 9, 0) == []
        slow, large = search.missed(10**6, 512, 1.0, 1.6 * 10**6 * 1024)
        assert slow == "1000000 clips take 1.00 s a query, not below 1.0"
        assert large == "1000000 clips take 1.60 times the vectors, not 1.5"
        constants(monkeypatch, search, QUERIES=2, PER_VIDEO=600)
        constants(monkeypatch, search, elsewhere=lambda function, *given: function(*given))
        arguments = ["--clips=2100", "--width=8", f"--folder={tmp_path}"]
        assert search.main(arguments) == 0
        assert not list(tmp_path.iterdir())
        constants(monkeypatch, search, MILLION=1000, MOST_SECONDS=0)
        assert search.main(arguments) == 1
    rows = capsys.readouterr().out.splitlines()
    assert rows[-1].startswith("MISSED: 2100 clips take") and "The targets are met." in rows
    assert [row.split()[1] for row in rows].count("exact") == 2


def test_targets(script, sample_data, monkeypatch, capsys):
    with script("benchmarks/targets.py") as targets:
        data = targets.mas.open_data(sample_data / "data")
        found, videos = targets.statistics_of(data, stride=1)
        assert videos == data.videos and found["motion"].shape == (12, 10, 14)
        expected = _mean_appearance(data, data.videos[3])
        np.testing.assert_allclose(found["appearance"][3].mean(0), expected, rtol=1e-6)

        steps = np.tile([-1.0, 1.0], 5)[:, None]  # within a video; between videos 0 and 1
        half = np.arange(12)[:, None, None] % 2 + steps
        np.testing.assert_allclose(targets.between_videos(half), 0.2)
        known = {
            "motion": np.eye(6).repeat(2, 0)[:, None].repeat(10, 1),
            "appearance": np.zeros((12, 10, 2)),
        }
        monkeypatch.setattr(targets, "statistics_of", lambda *_: (known, videos))
        assert targets.main([f"--data={data.data}", r"--groups=_(\d+)"]) == 0
    first, *rows = capsys.readouterr().out.splitlines()
    assert first == "12 videos of 6 classes"
    assert rows[:2] == [
        "motion      100.0 % of the variance between videos",
        "appearance  0.0 % of the variance between videos",
    ]
    assert rows[2] == "motion      linear probe 100.0 %, nearest neighbour 100.0 %"
    assert rows[3].startswith("appearance  linear probe 16.7 %")


def _mean_appearance(data, video):
    """Mean labels of ten clips, read as for features."""
    clip = mas.Clip(16, 56, (85, 64))
    task = mas.features.Sampling(stride=1).task(clip, "rgb")
    examples = mas.clips.examples(data, [mas.lists.Entry(video, 0)], 16, how="uniform", count=10)
    geometry = mas.clips.Geometry(clip.resize, clip.size, random=False)
    reader = mas.clips.Reader(data, examples, task, geometry, shuffle=False)
    labels = [mas.statistics.appearance(x) for rgb, _ in reader.once(1) for x in rgb.numpy()]
    return np.mean(labels, axis=0)

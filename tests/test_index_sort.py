"""Clusters and near-duplicates of an index, their pages, and lists of named clusters."""

import csv
import json
import re

import numpy as np
import pytest

from mas import cli, index, lists, locks
from mas.index import clusters, duplicates, sort_pages, sorting
from mas.index.storage import CLIP, Video
from mas.lists import Entry

FRAMES = 8  # of a clip


def unit(values):
    values = np.asarray(values, np.float64)
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


def groups(sizes, width=6, noise=0.05, seed=0):
    """Clips near the axes: so many of each."""
    of = np.repeat(np.arange(len(sizes)), sizes)
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(of))
    return unit(np.eye(width)[of] + noise * draw.normal(size=(len(of), width)))[order], of[order]


def table(places):
    """Clips from (video, first frame)."""
    found = np.zeros(len(places), CLIP)
    found["video"], found["first"] = np.transpose(places)
    return found


def made_index(path, videos, vectors, places):
    """An open index that exists only in memory."""
    found = index.Index.__new__(index.Index)
    network = {"model": "runs/x", "weights": "loaded", "seed": None}
    found.path, found.videos = path, videos
    found.facts = {"network": network, "trained": {"task": "mas", "epochs": 3}}
    found.facts |= {"sampling": {}, "frames": FRAMES}
    found.unit = found.vectors = vectors
    found.clips, found.whitens = table(places), True
    return found


@pytest.fixture
def small(sample_data, tmp_path):
    """Two clips of each sample video; the direction of the vectors is the class."""
    from mas import records

    data = records.open_data(sample_data / "data")
    names = [video.split("/")[0] for video in data.videos]
    of = [sorted(set(names)).index(name) for name in names]
    videos = [
        Video(video, str(data.data), int(length), data.rate(number), 2)
        for number, (video, length) in enumerate(zip(data.videos, data.lengths, strict=True))
    ]
    places = [(number, first) for number in range(len(videos)) for first in (0, FRAMES)]
    draw = np.random.default_rng(0)
    axes = np.eye(len(set(names)))[np.repeat(of, 2)]
    vectors = unit(axes + 0.05 * draw.normal(size=axes.shape))
    return made_index(tmp_path / "index", videos, vectors, places)


# ---- clusters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [clusters.MOST_FITTED, 40])
def test_clusters_equal_groups_largest_first(monkeypatch, most):
    monkeypatch.setattr(clusters, "MOST_FITTED", most)
    monkeypatch.setattr(clusters, "BLOCK", 7)
    vectors, of = groups([10, 40, 20, 30])
    found = clusters.cluster(vectors, 4, seed=1)
    np.testing.assert_array_equal(found.labels, np.array([3, 0, 2, 1])[of])
    np.testing.assert_allclose(np.linalg.norm(found.centres, axis=1), 1, rtol=1e-6)
    expected = np.einsum("nd,nd->n", vectors.astype(float), found.centres[found.labels])
    np.testing.assert_allclose(found.cosines, expected, atol=1e-6)
    again = clusters.cluster(vectors, 4, seed=1)
    np.testing.assert_array_equal(again.labels, found.labels)
    np.testing.assert_array_equal(again.centres, found.centres)


@pytest.mark.parametrize(("batch", "unused"), [(8, "MiniBatchKMeans"), (7, "KMeans")])
def test_mini_batches_fit_more_clips_than_a_batch(monkeypatch, batch, unused):
    def fitting(*_, **__):
        raise AssertionError(unused)

    monkeypatch.setattr(clusters, "BATCH", batch)
    monkeypatch.setattr(f"sklearn.cluster.{unused}", fitting)
    vectors, _ = groups([5, 3])
    assert len(np.unique(clusters.cluster(vectors, 2).labels)) == 2


def test_equal_clips_give_fewer_clusters_and_too_many_are_rejected():
    vectors, _ = groups([3, 2], noise=0)
    found = clusters.cluster(vectors, 4)
    assert len(found) == 2 and np.bincount(found.labels).tolist() == [3, 2]
    for count in (0, 6):
        with pytest.raises(ValueError, match=rf"clusters must be in 1\.\.5.*clusters={count}"):
            clusters.cluster(vectors, count)


def test_typical_and_odd_clips_come_from_many_videos():
    cosines = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], np.float32)
    found = clusters.Clusters(np.zeros(6, int), cosines, np.eye(1))
    videos = np.array([1, 1, 2, 3, 3, 2])
    near, odd = found.shown(0, videos, 2, 2)
    assert (near.tolist(), odd.tolist()) == ([0, 2], [5, 4])
    near, odd = found.shown(0, videos, 4, 9)
    assert (near.tolist(), odd.tolist()) == ([0, 2, 3, 1], [5, 4])
    assert found.rows(0).tolist() == [0, 1, 2, 3, 4, 5]


# ---- near-duplicates -----------------------------------------------------------------------------


def slow_pairs(vectors, clips, least):
    """A loop over all pairs."""
    values = vectors.astype(np.float64)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    found = {}
    for a in range(len(values)):
        for b in range(a + 1, len(values)):
            same = clips["video"][a] == clips["video"][b]
            near = abs(int(clips["first"][a]) - int(clips["first"][b])) < FRAMES
            if values[a] @ values[b] >= least and not (same and near):
                found[a, b] = values[a] @ values[b]
    return found


@pytest.mark.parametrize("block", [3, 10, 64])
def test_pairs_equal_plain_loop(block):
    vectors, _ = groups([12, 9, 7], width=5, noise=0.1)
    draw = np.random.default_rng(3)
    clips = table(draw.integers(0, [4, 30], size=(28, 2)))
    expected = slow_pairs(vectors, clips, 0.97)
    assert 20 < len(expected) < 150
    found = duplicates.near_duplicates(vectors, clips, FRAMES, 0.97, block=block)
    assert found.total == len(expected)
    assert {(int(a), int(b)) for a, b, _ in found.found} == set(expected)
    for a, b, cosine in found.found:
        assert cosine == pytest.approx(expected[a, b], abs=1e-5)
    assert (np.diff(found.found["cosine"]) <= 0).all()
    few = duplicates.near_duplicates(vectors, clips, FRAMES, 0.97, most=5, block=block)
    assert few.total == len(expected)
    np.testing.assert_array_equal(few.found, found.found[:5])


def test_equal_clips_have_cosine_one_and_zero_clips_no_pairs():
    vectors = unit(np.random.default_rng(0).normal(size=(4, 64)))
    vectors = np.concatenate([vectors, vectors[:1], np.zeros((2, 64), np.float16)])
    clips = table([(number, 0) for number in range(7)])
    found = duplicates.near_duplicates(vectors, clips, FRAMES, 1)
    assert found.found.tolist() == [(0, 4, 1.0)]
    with pytest.raises(ValueError, match="duplicates must be .*duplicates=0"):
        duplicates.near_duplicates(vectors, clips, FRAMES, 0)


def test_copied_part_is_one_stretch():
    """Video 1 repeats video 0 from its second clip; video 0 repeats a clip."""
    base = unit(np.random.default_rng(0).normal(size=(5, 64)))
    base[4] = base[0]
    vectors = np.concatenate([base, base[1:4]])
    clips = table([(0, 8 * n) for n in range(5)] + [(1, 100 + 8 * n) for n in range(3)])
    pairs = duplicates.near_duplicates(vectors, clips, FRAMES, 0.99)
    long, short = duplicates.joined(pairs, clips, FRAMES)
    assert (long.firsts, long.ends, long.clips) == ((8, 100), (32, 124), 3)
    assert (short.firsts, short.ends, short.clips) == ((0, 32), (8, 40), 1)
    assert (short.a, short.b) == (0, 4) and long.cosine == pytest.approx(1)
    assert duplicates.joined(duplicates.Pairs(pairs.found[:0], 0), clips, FRAMES) == []


# ---- files and pages -----------------------------------------------------------------------------


def rows_of(path):
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def test_sort_writes_its_results(small, tmp_path):
    made = index.sort(small, tmp_path / "sorted", clusters=6, duplicates=0.9, typical=3, odd=1)
    assert len(made.clusters) == 6 and made.total > 6
    clips = rows_of(made.path / "clips.csv")
    assert [row["video"] for row in clips] == [small.video(row) for row in range(len(small))]
    assert [int(row["cluster"]) for row in clips] == made.clusters.labels.tolist()
    rate = small.videos[0].rate
    assert [float(clips[1][name]) for name in ("start", "end")] == [8 / rate, 16 / rate]
    copies = rows_of(made.path / "duplicates.csv")
    assert sum(int(row["clips"]) for row in copies) == made.total
    names = rows_of(made.path / "names.csv")
    assert sum(int(row["clips"]) for row in names) == len(small)
    assert {row["name"] for row in names} == {""}
    page = (made.path / "clusters.html").read_text()
    cards = int(sum(min(4, n) for n in np.bincount(made.clusters.labels)))
    assert page.count("<section>") == 6
    assert page.count("<figure") == page.count("data:image/jpeg") == cards
    assert page.count('class="odd"') == sum(n > 3 for n in np.bincount(made.clusters.labels))
    assert "no picture" not in page and "trained by mas" in page
    pairs = (made.path / "duplicates.html").read_text()
    assert pairs.count("<figure") == len(copies) and pairs.count('class="loop"') == 2 * len(copies)
    for text in (page, pairs):
        assert not re.search("https?://|<script|<link", text)
    state = json.loads((made.path / "sort.json").read_text())
    assert state["finished"] and state["settings"]["clusters"] == 6 and state["clips"] == len(small)


def test_thumbnails_have_fewer_frames_if_many(small, tmp_path, monkeypatch):
    monkeypatch.setattr(sorting, "MOST_IMAGES", 31)
    made = index.sort(small, tmp_path / "sorted", clusters=1, duplicates=0, typical=9, odd=1)
    page = (made.path / "clusters.html").read_text()
    assert page.count("steps(3,jump-none)") == page.count("<figure") == 10


def test_file_names_are_escaped(small, tmp_path):
    odd = ["<script>alert(1)</script>", "=cmd()", 'a"><img src=x>', "b\udce9\n\x1b"]
    for number, name in enumerate(odd):
        small.videos[number] = small.videos[number]._replace(video=name, data="gone")
    made = index.sort(small, tmp_path / "sorted", clusters=3, typical=9, duplicates=0.9)
    for page in made.path.glob("*.html"):
        text = page.read_bytes().decode("utf-8")
        assert "<script" not in text and "<img" not in text and "\x1b" not in text
    clips = rows_of(made.path / "clips.csv")
    assert [clips[2 * n]["video"] for n in range(4)] == [odd[0], "'=cmd()", odd[2], odd[3]]
    assert "no picture" in (made.path / "clusters.html").read_text()
    fill(made.path, {0: "one", 1: "two", 2: "three"})
    assert {entry.video for entry in lists.from_clusters(made.path)} >= set(odd)


def test_unfinished_folder_gives_no_list_and_is_overwritten(small, tmp_path, monkeypatch):
    folder = tmp_path / "sorted"
    with monkeypatch.context() as patch:
        patch.setattr(sort_pages, "clusters_page", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index.sort(small, folder, clusters=3)
    with pytest.raises(ValueError, match="clusters must be a folder that mas sort finished"):
        lists.from_clusters(folder)
    assert index.sort(small, folder, clusters=3, duplicates=0).copies == []
    assert "search for near-duplicates was skipped" in (folder / "duplicates.html").read_text()
    with pytest.raises(ValueError, match="fill in its column name. Received: 3 clusters"):
        lists.from_clusters(folder)


def test_names_and_other_files_are_not_overwritten(small, tmp_path):
    folder = index.sort(small, tmp_path / "sorted", clusters=3, duplicates=0).path
    fill(folder, {1: "run"})
    with pytest.raises(ValueError, match=r"names.csv away.*Received: names of 1 cluster\."):
        index.sort(small, folder, clusters=4)
    assert lists.cluster_names(folder) == {1: "run"}
    fill(folder, {1: "run"}, lambda text: text.replace("cluster,", "number,"))
    with pytest.raises(ValueError, match=r"names.csv:1: expected the columns .*move it away"):
        index.sort(small, folder, clusters=4)
    assert ",run," in (folder / "names.csv").read_text()
    (tmp_path / "other").mkdir()
    with locks.lock(tmp_path / "other", "mas sort"):
        with pytest.raises(RuntimeError, match="Another mas sort is running"):
            index.sort(small, tmp_path / "other", clusters=3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "clips.csv").touch()
    with pytest.raises(ValueError, match="output must be a new or empty folder"):
        index.sort(small, tmp_path / "mine")
    with pytest.raises(ValueError, match="clusters must be in 1..24.*clusters=99"):
        index.sort(small, tmp_path / "new", clusters=99)


# ---- named clusters ------------------------------------------------------------------------------


def fill(folder, names, change=lambda text: text):
    """Fills in names.csv as a user would."""
    rows = rows_of(folder / "names.csv")
    lines = [",".join(rows[0])]
    for row in rows:
        row["name"] = names.get(int(row["cluster"]), "")
        lines.append(",".join(f'"{part}"' if "," in part else part for part in row.values()))
    (folder / "names.csv").write_text(change("\n".join(lines) + "\n"), "utf-8")


def sorted_folder(folder, clips):
    """Writes a folder like mas sort; clips are (video, first frame, cluster)."""
    folder.mkdir()
    lines = [f"{video},{first},0,1,{cluster},0.5" for video, first, cluster in clips]
    (folder / "clips.csv").write_text("\n".join([",".join(lists.clusters.CLIP_FIELDS), *lines]))
    numbers = sorted({cluster for *_, cluster in clips})
    lines = [f"{number},,1,1,x at 0:00.0" for number in numbers]
    (folder / "names.csv").write_text("\n".join([",".join(lists.clusters.NAME_FIELDS), *lines]))
    (folder / "sort.json").write_text('{"finished": true}')
    return folder


CLIPS = [("a", 0, 0), ("a", 16, 0), ("a", 32, 2), ("b", 0, 1), ("b", 16, 3), ("c", 0, 2)]


def test_clips_of_named_clusters_become_a_list(tmp_path):
    folder = sorted_folder(tmp_path / "sorted", CLIPS)
    fill(folder, {0: "walk", 1: "run", 2: "walk"})
    assert lists.cluster_classes(folder) == ["run", "walk"]
    assert lists.from_clusters(folder) == [
        *(Entry("a", 1, 0), Entry("a", 1, 16), Entry("a", 1, 32)),
        *(Entry("b", 0, 0), Entry("c", 1, 0)),
    ]
    # Half of b is not more than half of it.
    assert lists.from_clusters(folder, "video") == [Entry("a", 1), Entry("c", 1)]
    with pytest.raises(ValueError, match="line must be one of .*line='frame'"):
        lists.from_clusters(folder, "frame")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text.replace(",", ";").replace("\n", "\r\n"),
        lambda text: text.replace(",", "\t"),
        lambda text: text + ",,,,\n\n",
        lambda text: "\n".join(",".join(line.split(",")[:2]) for line in text.splitlines()),
        lambda text: text.replace("cluster,name", '"Cluster","Name"'),
    ],
)
def test_names_are_read_as_spreadsheets_write_them(tmp_path, change):
    folder = sorted_folder(tmp_path / "sorted", CLIPS)
    fill(folder, {1: "päivä 1", 3: " b "}, change)
    assert lists.cluster_names(folder) == {1: "päivä 1", 3: "b"}


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("names.csv", "cluster,name", "number,name", r"names.csv:1: expected the columns.*number"),
        ("names.csv", "\n1,", "\nx,", r"names.csv:3: .*Received: 'x,run"),
        ("names.csv", "\n1,", "\n0,", r"names.csv:3: .*Received: '0,run"),
        ("names.csv", "run", "", "Received: 4 clusters, all without"),
        ("clips.csv", "first_frame", "start", "clips.csv:1: expected video,first_frame"),
        ("clips.csv", "a,16", "a,early", "clips.csv must be as .*a,early"),
        ("sort.json", "true", "false", "sort.json does not say"),
        ("sort.json", "{", "[", "sort.json must be JSON"),
    ],
)
def test_mismatches_are_reported(tmp_path, file, old, new, words):
    folder = sorted_folder(tmp_path / "sorted", CLIPS)
    fill(folder, {1: "run"})
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=words):
        lists.from_clusters(folder)


# ---- commands ------------------------------------------------------------------------------------


def test_commands_lead_from_index_to_list(small, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sorting.Index, "open", lambda path: small)
    options = ["--clusters=6", "--duplicates=0", "--seed=3"]
    assert cli.main("sort", "--index=index", "--output=sorted", *options) == 0
    assert "6 clusters" in caplog.text and "clusters.html" in caplog.text
    fill(tmp_path / "sorted", {0: "up", 2: "down"})
    given = ["from_clusters", "--clusters=sorted"]
    assert cli.main("lists", *given, "--output=list.txt") == 0
    assert "video,start,label" in caplog.text
    assert lists.read("list.txt", "sts") == sorted(
        lists.from_clusters("sorted"), key=lambda entry: (entry.video, entry.start)
    )
    assert lists.class_names_beside("list.txt") == ["down", "up"]
    assert cli.main("lists", *given, "--line=video", "--output=videos.txt") == 0
    assert lists.read("videos.txt") == lists.from_clusters("sorted", "video")
    assert cli.main("sort", "--index=index", "--output=sorted") == 2
    assert "must not contain filled-in names" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--index=none", "--output=o"], "none"),
        (["--output=o"], "--index"),
        (["--index=i", "--output=o", "--duplicates=2"], "duplicates=2"),
        (["--index=i", "--output=o", "--clusters=0"], "clusters=0"),
    ],
)
def test_bad_input_is_reported_in_one_line(tmp_path, monkeypatch, caplog, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert cli.main("sort", *arguments) == 2
    assert words in caplog.text and len(caplog.records) == 1
    assert not (tmp_path / "o").exists()


def test_benchmark_finds_copies(script, capsys):
    with script("benchmarks/sort.py", "--clips=1200,400", "--width=32") as sort:
        assert sort.main() == 0
        assert capsys.readouterr().out.splitlines()[-1] == "The targets are met."
        sort.MOST = -1000
        assert sort.main() == 1
        assert "MiB for 400 clips" in capsys.readouterr().out.splitlines()[-1]


def test_benchmark_of_methods_counts_clips_of_class(script, small, monkeypatch, capsys):
    labels, classes = np.array([0, 0, 0, 1, 1, -1]), np.array([0, 0, 1, 1, 1, 0])
    with script("benchmarks/clusters.py", "--index=x", "--clusters=6") as module:
        assert module.purity(labels, classes) == 4 / 6
        monkeypatch.setattr(module.Index, "open", lambda path: small)
        module.main()
    _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 6 and rows[0].endswith("6     0.00         1.000")


def test_benchmark_of_copies_compares_with_originals(script, tmp_path):
    frames = [np.full((32, 48, 3), 20 * number, np.uint8) for number in range(12)]
    vectors = unit([[1, 0], [0, 1], [1, 0], [1, 1]])
    videos = [Video("a", "", 16, 25, 2), Video("copy0_1", "", 16, 25, 2)]
    places = [(0, 0), (0, 8), (1, 0), (1, 8)]
    made = made_index(tmp_path, videos, vectors, places)
    with script("benchmarks/copies.py", "--index=x", "--videos=y") as copies:
        changed = copies.versions(frames)
        assert [len(found) for found, _ in changed.values()] == [12, 12, 12, 12, 10, 4]
        assert changed["two thirds of the size, crf 28"][0][0].shape == (20, 32, 3)
        copies.write(tmp_path / "a.mp4", frames, 23)
        (found,) = copies.cosines(made, {"copy0_1": ("a", "worse")}).values()
        assert found == pytest.approx([1, 0.5**0.5], abs=1e-3)
    from mas import video

    assert len(list(video.frames(tmp_path / "a.mp4"))) == 12

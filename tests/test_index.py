"""The index of clips: storage, search and errors, with hand-made vectors."""

import json
import math
import operator
import shutil
import sys
import types

import numpy as np
import pytest

from mas import cli, records
from mas.index import (
    DamagedIndexError,
    Index,
    approximate,
    building,
    fitting,
    report,
    searching,
    storage,
)

SPAN = 4  # frames of a clip


class Data:
    """A data set with known lengths only."""

    data, decoded, has_flow = "videos", True, False

    def __init__(self, lengths, rate=25.0):
        self.videos, self._rate = list(lengths), rate
        self.lengths = np.array(list(lengths.values()))

    def rate(self, number):
        return self._rate


def facts(digest="a" * 64):
    known = {"model": "m", "digest": digest, "weights": "loaded", "seed": None}
    sampling = {"how": "consecutive", "modality": "rgb", "fps": None}
    return {"network": known, "sampling": sampling, "frames": SPAN, "trained": {}}


def fill(root, data, values, whiten=0, monkeypatch=None, step=SPAN, known=None, stop=None):
    """Adds videos with the given features, {video: (clips, D)}; may stop midway."""
    root.mkdir(exist_ok=True)
    state = storage.start(root, known or facts())
    state["whiten"] = whiten

    def made(load, data, facts, numbers, failed):
        for count, number in enumerate(numbers):
            if count == stop:
                raise KeyboardInterrupt
            rows = np.asarray(values[data.videos[number]], np.float32)
            yield building.Made(number, np.arange(len(rows)) * step, rows)

    monkeypatch.setattr(building, "made", made)
    monkeypatch.setattr(building, "SAVE_EVERY", -1.0)
    building.extend(root, state, None, data)
    return Index.open(root)


def draw(seed, lengths, width=6):
    rng = np.random.default_rng(seed)
    return {video: rng.normal(size=(n // SPAN, width)) + 2 for video, n in lengths.items()}


LENGTHS = {"walk/ann": 12, "run/ann": 8, "run/bob": 20}


@pytest.fixture
def index(tmp_path, monkeypatch):
    return fill(tmp_path / "i", Data(LENGTHS), draw(0, LENGTHS), monkeypatch=monkeypatch)


def test_index_stores_features(index):
    values = np.concatenate(list(draw(0, LENGTHS).values()))
    assert [v.video for v in index.videos] == list(LENGTHS) and len(index) == 10
    assert index.clips["video"].tolist() == [0] * 3 + [1] * 2 + [2] * 5
    assert index.clips["first"].tolist() == [0, 4, 8, 0, 4, 0, 4, 8, 12, 16]
    np.testing.assert_allclose(index.seconds, index.clips["first"] / 25)
    np.testing.assert_allclose(
        index.features(slice(None)), values, atol=np.abs(values).max() / 2**11
    )
    units = values / np.linalg.norm(values, axis=1, keepdims=True)
    blocks = list(index.blocks(4))
    assert [first for first, _ in blocks] == [0, 4, 8]
    np.testing.assert_allclose(np.concatenate([b for _, b in blocks]), units, atol=2**-10)


@pytest.mark.parametrize("size", [1e-15, 1e15])
def test_features_of_any_scale_keep_precision(tmp_path, monkeypatch, size):
    values = {v: x * size for v, x in draw(0, LENGTHS).items()}
    found = fill(tmp_path / "i", Data(LENGTHS), values, monkeypatch=monkeypatch)
    wanted = np.concatenate(list(values.values()))
    np.testing.assert_allclose(
        found.features([0, 9]), wanted[[0, 9]], atol=np.abs(wanted).max() / 2**11
    )


def test_whitened_vectors_share_no_direction(tmp_path, monkeypatch):
    lengths = {f"v{n}": 40 for n in range(30)}
    found = fill(tmp_path / "i", Data(lengths), draw(1, lengths), 5, monkeypatch)
    assert found.unit.shape == (300, 5) and found.whitens
    raw = found.features(slice(None)).astype(float)
    centred = raw - raw.mean(0)
    _, sizes, turned = np.linalg.svd(centred, full_matrices=False)
    white = centred @ turned[:5].T / sizes[:5]
    white /= np.linalg.norm(white, axis=1, keepdims=True)
    unit = found.unit.astype(float)
    np.testing.assert_allclose(unit @ unit.T, white @ white.T, atol=4e-3)
    np.testing.assert_allclose(found.whitening(raw) @ unit.T, unit @ unit.T, atol=4e-3)


def test_whitening_keeps_at_most_rank_directions():
    values = np.zeros((9, 4))
    values[:, :2] = np.random.default_rng(0).normal(size=(9, 2))
    assert fitting.fit(values, 3).directions.shape == (2, 4)
    assert fitting.fit(values[:1], 3).directions.tolist() == np.eye(4).tolist()
    assert fitting.fit(np.ones((5, 4)), 3)(np.ones((1, 4))).tolist() == [[0.5] * 4]


def test_few_clips_keep_few_directions():
    """Two groups of three clips; with one direction per clip, all would be equally far apart."""
    rng = np.random.default_rng(0)
    values = np.repeat([[9.0] * 8, [-9.0] * 8], 3, axis=0) + rng.normal(size=(6, 8))
    found = fitting.fit(values, 32)
    assert found.directions.shape == (2, 8)
    cosines = found(values) @ found(values).T
    assert cosines[:3, :3].min() > cosines[:3, 3:].max()


def test_whitening_is_refitted_when_index_doubles(tmp_path, monkeypatch):
    root, lengths = tmp_path / "i", {f"v{n}": 40 for n in range(4)}
    known = draw(2, lengths)
    first = fill(root, Data({"v0": 40, "v1": 40}), known, 3, monkeypatch)
    kept = np.array(first.unit)
    second = fill(root, Data({v: 40 for v in ("v0", "v1", "v2")}), known, 3, monkeypatch)
    np.testing.assert_array_equal(second.unit[:20], kept)  # 30 clips of 20: as it was
    third = fill(root, Data(lengths), known, 3, monkeypatch)
    assert not np.array_equal(third.unit[:20], kept)  # 40: fitted again
    whole = fill(tmp_path / "whole", Data(lengths), known, 3, monkeypatch)
    np.testing.assert_array_equal(third.unit, whole.unit)
    assert sorted(p.name for p in root.iterdir() if "-" in p.name) == [
        "unit-1.f16",
        "whitening-1.f64",
    ]
    np.testing.assert_array_equal(first.unit, kept)  # an open one keeps its files


def test_killed_call_resumes_without_duplicates(tmp_path, monkeypatch, index):
    root, values = tmp_path / "k", draw(0, LENGTHS)
    with pytest.raises(KeyboardInterrupt):
        fill(root, Data(LENGTHS), values, monkeypatch=monkeypatch, stop=2)
    with pytest.raises(ValueError, match="an unfinished one; the same mas index command resumes"):
        Index.open(root)
    for name in storage.GROWING:  # what was on its way when it was killed
        with open(root / name, "ab") as file:
            file.write(b"half a line")
    found = fill(root, Data(LENGTHS), values, monkeypatch=monkeypatch)
    for path in index.path.iterdir():
        assert (root / path.name).read_bytes() == path.read_bytes() or path.name == ".lock"
    assert len(found) == len(index)
    again = fill(root, Data(LENGTHS), values, monkeypatch=monkeypatch)
    assert len(again) == len(index)


@pytest.mark.parametrize("name", ["videos.csv", "clips.bin", "notes.txt"])
def test_folder_with_other_files_is_left_alone(tmp_path, monkeypatch, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=f"index must be a folder that is new.*contains {name}"):
        fill(tmp_path, Data(LENGTHS), draw(0, LENGTHS), monkeypatch=monkeypatch)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "mine"}


def test_interrupted_call_without_clips_fixes_no_network(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path, Data(LENGTHS), draw(0, LENGTHS), monkeypatch=monkeypatch, stop=0)
    known = facts("b" * 64)
    found = fill(tmp_path, Data(LENGTHS), draw(0, LENGTHS), monkeypatch=monkeypatch, known=known)
    assert found.facts == known


def test_reader_sees_finished_part_while_index_grows(tmp_path, monkeypatch, index):
    more = LENGTHS | {"x": 16, "y": 8}
    values = draw(5, more)
    with pytest.raises(KeyboardInterrupt):
        fill(index.path, Data(more), values, monkeypatch=monkeypatch, stop=1)
    found = Index.open(index.path)
    assert len(found) == 10 and len(found.search(found.features([0]), 2)) == 2
    assert len(fill(index.path, Data(more), values, monkeypatch=monkeypatch)) == 16


def put(path, content):
    """Replaces a file that may be memory-mapped."""
    path.unlink()
    path.write_bytes(content)


def flipped(path):
    content = bytearray(path.read_bytes())
    for place in (0, len(content) // 2, len(content) - 2):
        other = bytearray(content)
        other[place] ^= 1
        yield bytes(other)
    yield bytes(content[:-2])
    yield b""


def test_whitening_may_change_while_index_is_opened(index, monkeypatch):
    read = fitting.read

    def late(*arguments):
        monkeypatch.setattr(fitting, "read", read)
        fitting.update(index.path, storage.read_state(index.path), 2)  # removes the earlier one
        return read(*arguments)

    monkeypatch.setattr(fitting, "read", late)
    assert Index.open(index.path).unit.shape == (10, 2)


def test_damage_of_each_file_is_reported(index):
    names = [p.name for p in index.path.iterdir() if p.name != ".lock"]
    assert len(names) == 6
    for name in names:
        path = index.path / name
        whole = path.read_bytes()
        for other in flipped(path):
            put(path, other)
            with pytest.raises(ValueError, match=name) as caught:
                Index.open(index.path)
            assert "Remove the folder" in str(caught.value) and "\n" not in str(caught.value)
        path.unlink()
        with pytest.raises((DamagedIndexError, FileNotFoundError), match=name):
            Index.open(index.path)
        path.write_bytes(whole)
    assert len(Index.open(index.path)) == 10


def test_rejects_other_versions_networks_and_clips(index, monkeypatch):
    def fails(change, match):
        with pytest.raises(ValueError, match=match):
            fill(index.path, Data(LENGTHS), {}, monkeypatch=monkeypatch, known=change)

    fails(facts("b" * 64), r"same network, with digest=aaa.*Received: digest=bbb")
    other = facts()
    other["sampling"]["how"] = "overlapping"
    fails(other, "how=consecutive. Received: how=overlapping")
    path = index.path / "index.json"
    state = json.loads(path.read_text())
    del state["crc32"]
    path.write_text(json.dumps(records.seal(state | {"version": 2})))
    with pytest.raises(ValueError, match="version 1.*Received: version=2"):
        Index.open(index.path)


@pytest.mark.parametrize("now", [12, 0])
def test_changed_video_is_reported_and_others_are_added(index, monkeypatch, now):
    data, values = Data(LENGTHS | {"run/ann": now, "new": 8}), {"new": np.ones((2, 6))}
    state, root = storage.start(index.path, facts()), index.path

    def made(load, data, facts, numbers, failed):
        assert [data.videos[number] for number in numbers] == ["new"]
        yield building.Made(numbers[0], np.array([0, SPAN]), values["new"])

    monkeypatch.setattr(building, "made", made)
    failures = building.extend(root, state, None, data)
    assert list(failures) == ["run/ann"]
    assert f"it has {now} frames, but had 8 when it was indexed" in failures["run/ann"]
    assert [video.video for video in Index.open(root).videos] == [*LENGTHS, "new"]


def test_names_are_not_spreadsheet_formulas(tmp_path, monkeypatch):
    names = ["=1+1", "'=1", "a,b", "-x\ny"]
    lengths = dict.fromkeys(names, 8)
    found = fill(tmp_path, Data(lengths), draw(0, lengths), monkeypatch=monkeypatch)
    assert [video.video for video in found.videos] == names
    assert (tmp_path / "videos.csv").read_text().splitlines()[1].startswith("'=1+1,")


def test_index_of_one_clip_is_not_whitened(tmp_path, monkeypatch):
    one = fill(tmp_path, Data({"a": 4}), draw(0, {"a": 4}), whiten=32, monkeypatch=monkeypatch)
    assert not one.whitens and "6 numbers, not whitened" in report.described(one)
    assert one.search("a:0") == [] and one.search(np.ones(6))[0].video == "a"


def test_exact_search_equals_plain_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(searching, "BLOCK", 7)
    lengths = {f"v{n}": 20 for n in range(9)}
    found = fill(tmp_path / "i", Data(lengths), draw(3, lengths), 4, monkeypatch)
    queries = found.whitening(np.random.default_rng(4).normal(size=(3, 6)) + 2)
    rows, values = searching.nearest(found, queries, 10)
    for query, row, value in zip(queries, rows, values, strict=True):
        plain = [sum(map(operator.mul, query, unit.astype(np.float32))) for unit in found.unit]
        wanted = sorted(range(len(plain)), key=lambda n: (-plain[n], n))[:10]
        assert row.tolist() == wanted
        np.testing.assert_allclose(value, [plain[n] for n in wanted], atol=1e-5)
    allowed = found.clips["video"] != 3
    masked, cosines = searching.nearest(found, queries, 50, allowed)
    assert (masked[:, :40] >= 0).all() and (masked[:, 40:] == -1).all()
    assert not np.isin(masked, np.flatnonzero(~allowed)).any() and np.isnan(cosines[:, 40:]).all()


def test_ties_keep_row_order():
    values = np.array([0.5, 0.9, 0.5, 0.9, 0.5, -np.inf], np.float32)
    assert searching.ranked(values, 4).tolist() == [1, 3, 0, 2]
    assert [row for row, _ in searching.in_order(values, 2)] == [1, 3, 0, 2, 4]


def stretches(rows, firsts, videos, top, frames=100):
    """(video, first, end, row, clips) of hits, for rows in order of cosine."""
    table = np.zeros(len(firsts), storage.CLIP)
    table["video"], table["first"] = videos, firsts
    known = [storage.Video(f"v{n}", "", frames, 10.0, 1) for n in range(max(videos) + 1)]
    index = types.SimpleNamespace(clips=table, videos=known, frames=SPAN)
    found = searching.hits(index, [(row, 1 - 0.01 * n) for n, row in enumerate(rows)], top)
    return [(h.video, h.first, h.end, h.row, h.clips) for h in found]


def test_overlapping_clips_merge_into_one_hit():
    firsts, videos = [0, 4, 9, 2, 0], [0, 0, 0, 0, 1]
    assert stretches([0, 1], firsts, videos, 5) == [("v0", 0, 8, 0, 2)]  # touch
    assert stretches([0, 2], firsts, videos, 5) == [("v0", 0, 4, 0, 1), ("v0", 9, 13, 2, 1)]
    assert stretches([0, 4], firsts, videos, 5) == [("v0", 0, 4, 0, 1), ("v1", 0, 4, 4, 1)]
    assert stretches([3, 0], firsts, videos, 5) == [("v0", 0, 6, 3, 2)]  # overlap
    # 10 to 14 and 0 to 4 are two, until 4 to 10 joins them; the nearest stays the hit's clip.
    assert stretches([1, 0, 2], [0, 10, 5], [0] * 3, 5) == [
        ("v0", 10, 14, 1, 1), ("v0", 0, 4, 0, 1), ("v0", 5, 9, 2, 1),
    ]  # fmt: skip
    assert stretches([1, 0, 2], [0, 8, 4], [0] * 3, 5) == [("v0", 0, 12, 1, 3)]
    # The first clip that would be one too many ends the search.
    assert stretches([0, 4, 1], firsts, videos, 1) == [("v0", 0, 4, 0, 1)]
    assert stretches([0, 1, 4], firsts, videos, 1) == [("v0", 0, 8, 0, 2)]
    assert stretches([0], [8], [0], 1, frames=10) == [("v0", 8, 10, 0, 1)]  # ends with its video


def test_indexed_clip_does_not_find_itself(index):
    query = index.query("bob:0.3")  # frame 8; the clip whose middle is nearest begins at 8
    assert query.row == 7
    found = index.search("bob:0.3")
    near = {(h.video, f) for h in found for f in range(h.first, h.end)}
    assert not near & {("run/bob", f) for f in range(4, 16)}
    assert {h.video for h in index.search(query, other_videos=True)} == {"walk/ann", "run/ann"}
    assert all(h.start_seconds == h.first / 25 for h in found)
    same = index.search(index.features([7]), 1)[0]
    assert (same.row, round(same.cosine, 2)) == (7, 1.0)


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("eve:1", "one of the data set's 3.*Received: video='eve'"),
        ("bob:-1", "SECOND is a number from 0"),
        ("bob:soon", "SECOND is a number from 0"),
        ("bob:nan", "SECOND is a number from 0"),
        ("bob:0.8", "a time below 0.8 seconds in run/bob. Received: query='bob:0.8'"),
        ("bob:1e308", "a time below 0.8 seconds in run/bob. Received: query='bob:1e308'"),
        (np.full(6, np.nan), "features that are finite numbers. Received: query=array.*nan"),
        (np.full(6, "a"), "features that are finite numbers. Received: query=array.*'a'"),
        ("nothing.mp4", "nothing.mp4, which is not a file"),
        (np.zeros(5), "features of 6 numbers"),
        (7, "query must be a video file"),
    ],
)
def test_rejects_bad_queries(index, query, match):
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        index.query(query)
    with pytest.raises(ValueError, match="top must be at least 1. Received: top=0"):
        index.search("bob:0", top=0)


def test_times_are_frames_without_known_rate(tmp_path, monkeypatch):
    found = fill(tmp_path / "i", Data(LENGTHS, 0.0), draw(0, LENGTHS), monkeypatch=monkeypatch)
    assert np.isnan(found.seconds).all() and found.query("bob:9").row == 7
    hit = found.search("bob:9", 1)[0]
    assert math.isnan(hit.start_seconds)
    assert report.span_text(hit) == f"frames {hit.first} to {hit.end - 1}"
    report.write(found, found.query("bob:9"), [hit], tmp_path / "out")
    line = (tmp_path / "out" / "found.csv").read_text().splitlines()[1].split(",")
    assert line[2:4] == ["", ""] and line[4] == str(hit.first)


def test_names_are_escaped_on_page_and_in_table(tmp_path, monkeypatch):
    name = '=1+1"><script>alert(1)</script>'
    lengths = {name: 12, "b": 8}
    found = fill(tmp_path / "i", Data(lengths), draw(0, lengths), monkeypatch=monkeypatch)
    query = found.query("b:0")
    table, page = report.write(found, query, found.search(query), tmp_path / "out")
    text = page.read_text()
    assert "<script" not in text and "&lt;script&gt;" in text and "default-src 'none'" in text
    assert "'=1+1" in table.read_text()


def test_commands_report_errors_in_one_line(tmp_path, index, caplog):
    def fails(*arguments):
        assert cli.main(*arguments) == 2
        return caplog.records[-1].getMessage()

    assert "index must be a folder written by mas index" in fails(
        "search", f"--index={tmp_path}", "--query=a:1"
    )
    assert "--start belongs to a video file" in fails(
        "search", f"--index={index.path}", "--query=bob:1", "--start=1"
    )
    assert "mas index needs --data" in fails("index", "--model=m", "--output=x")
    assert "model must be a finished run folder" in fails(
        "index", "--model=m", "--data=d", f"--output={tmp_path / 'new'}"
    )
    assert not (tmp_path / "new").exists()
    shutil.rmtree(index.path)
    assert str(index.path) in fails("search", f"--index={index.path}", "--query=bob:1")


def test_approximate_search_of_all_lists_is_exact(tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(approximate, "LEAST", 50)
    lengths = {f"v{n}": 40 for n in range(10)}
    found = fill(tmp_path / "i", Data(lengths), draw(6, lengths), 4, monkeypatch)
    for query in ("v3:0.5", found.features([7])):
        exact = found.search(query, 5)
        assert found.search(query, 5, approximate=True) == exact
    names = [f"lists-0-100{suffix}" for suffix in (".faiss", ".json")]
    for name in names:
        path = found.path / name
        whole = path.read_bytes()
        for other in flipped(path):
            put(path, other)
            with pytest.raises(ValueError, match=f"{name}.*\\."):
                approximate.opened(Index.open(found.path))
        put(path, whole)
    more = lengths | {"new": 40}
    grown = fill(found.path, Data(more), draw(6, more), 4, monkeypatch)
    assert grown.search("new:0", 3, approximate=True) == grown.search("new:0", 3)
    assert not any((found.path / name).exists() for name in names)


def test_rejects_approximate_search_of_few_clips(index, monkeypatch):
    pytest.importorskip("faiss")
    with pytest.raises(ValueError, match="approximate must be false for fewer than 2000 clips"):
        index.search("bob:0", approximate=True)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"pip install 'mas-video\[search\]'"):
        index.search("bob:0", approximate=True)


def test_share_of_neighbours_with_same_class(script, tmp_path, monkeypatch, capsys):
    """Two classes of two people; one clip of `b` looks like `a`."""
    a, b = [1.0, 0.1], [0.1, 1.0]
    values = {"a/ann_1": [a, a], "a/bob_1": [a], "b/ann_1": [b, a], "b/bob_1": [b]}
    lengths = {video: SPAN * len(rows) for video, rows in values.items()}
    found = fill(tmp_path / "i", Data(lengths), values, monkeypatch=monkeypatch)
    with script("benchmarks/neighbours.py") as neighbours:
        classes = np.array([found.video(row)[0] for row in range(len(found))])
        groups = neighbours.groups_of(found, r"/(\w+?)_")
        assert groups.tolist() == ["ann"] * 2 + ["bob"] + ["ann"] * 2 + ["bob"]
        near, first, chance = neighbours.shares(found.unit, classes, groups, 2)
        # Nearest of the other person: ann's find [a, b], bob's a two of a, bob's b one of each.
        assert near == pytest.approx((0.5 * 4 + 1 + 0.5) / 6) and first == pytest.approx(5 / 6)
        assert chance == pytest.approx(0.5)
        assert neighbours.main([f"--index={found.path}", "--whiten=0", "--top=2"]) == 0
    assert "nearest 2: 58.3 %, nearest: 83.3 %, by chance: 50.0 %" in capsys.readouterr().out

"""Data lists: bounds of numbers, columns, line ends, and files that are not text."""

import os
import re

import numpy as np
import pytest
from list_sources import refused, written

from mas import files, lists
from mas.lists import Entry

# Bounds.


BAD = ["1000000000", str(2**31), str(2**63), "9" * 5000, "0" * 30 + "5", "-1", "1.0", "4096"]


@pytest.mark.parametrize("label", BAD, ids=range(len(BAD)))
def test_labels_are_bounded(tmp_path, label):
    path = written(tmp_path / "list.txt", f"a 0\nb {label}\n")
    for classes in (None, ["x", "y"]):
        assert re.search(r"list\.txt:2: expected ", refused(lists.read, path, classes=classes))
    assert "list.txt:2: expected " in refused(lists.entries_of, path, "video,label", ["a", "b"])


def test_labels_may_reach_list_length(tmp_path):
    path = tmp_path / "list.txt"
    written(path, "".join(f"{n} {n}\n" for n in range(5000)))
    assert lists.read(path)[-1].label == 4999
    written(path, "".join(f"{n} {n + 1}\n" for n in range(5000)))
    assert "list.txt:5000: expected a label below 5000" in refused(lists.read, path)


@pytest.mark.parametrize("label", [10**9, 2**63, 10**5000, -2, 1.0, "1", None], ids=range(7))
def test_labels_of_entries_are_bounded(label):
    entries = [Entry("a", 0), Entry("b", label)]
    for classes in (None, ["x", "y"]):
        message = refused(lists.entries_of, entries, "video", ["a", "b"], "train", classes)
        assert message.startswith("train:2: expected a label ")
    assert lists.entries_of([Entry("a", np.int64(3))], "video", ["a"])[0].label == 3


@pytest.mark.parametrize("columns", ["mas", "video,frames"])
def test_starts_and_frames_are_bounded(tmp_path, columns):
    path = written(tmp_path / "list.txt", f"a 1\nb {2**31}\n")
    assert "list.txt:2: expected an integer" in refused(lists.read, path, columns)


# Columns.


@pytest.mark.parametrize(
    ("preset", "lines"),
    [
        ("vtdl", ["a 300 70", "b 120 3", "c 99 0"]),
        ("vtdl", ["a 300 70", "b 120 3"]),
        ("pace", ["a 70 300", "b 3 120"]),
        ("pace", ["a 0 300", "b 3 1"]),
        ("sts", ["a 1 70", "a 17 70", "b 1 3"]),
    ],
)
def test_extra_number_suggests_columns(tmp_path, preset, lines):
    path, available = written(tmp_path / "list.txt", "\n".join(lines)), ["x/a", "x/b", "x/c"]
    lists.entries_of(path, preset, available)
    order = " ".join(lists.PRESETS[preset])
    wanted = f"Name the columns: --columns={preset} ({order})."
    for columns in ("video,label", "video"):
        message = refused(lists.entries_of, path, columns, available)
        assert message.startswith(f"{path}: ") and message.endswith(wanted)
    written(path, "\n".join(re.sub("^[abc]", r"x/\g<0>.avi", line) for line in lines))
    message = refused(lists.read, path)
    assert f"{path}:1: " in message and message.endswith(wanted)


def test_extra_label_suggests_columns(tmp_path):
    path = written(tmp_path / "list.txt", "a 300\nb 120\n")
    assert "--columns=kinetics (video label)" in refused(
        lists.entries_of, path, "video", ["a", "b"]
    )
    written(path, "a 1\na 17\n")
    assert "--columns=mas (video start)" in refused(lists.entries_of, path, "video", ["a", "b"])
    written(path, "run 1 0\nrun 2 1\n")  # names that end in a number
    assert len(lists.entries_of(path, "video,label", ["run 1", "run 2"])) == 2


def test_names_are_read_from_numbered_list(tmp_path):
    path = written(tmp_path / "names.txt", "a b/1.avi 1\na b/2.avi 35\n")
    assert lists.read_names(path) == ["a b/1.avi", "a b/2.avi"]
    written(path, "./run/1 1\nx.avi\n")
    assert lists.read_names(path) == ["run/1 1", "x.avi"]


# Line ends, and what is no text.


LINES = ["bend/a b.avi 0", "", "  bend/c 0", "jack/d.mkv\t1 "]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("last", [0, 1])
def test_line_ends_and_byte_order_marks(tmp_path, end, mark, last):
    path = written(tmp_path / "list.txt", mark + end.join(LINES) + end * last)
    entries = lists.read(path)
    assert entries == [Entry("bend/a b", 0), Entry("bend/c", 0), Entry("jack/d", 1)]
    assert [entry.line for entry in entries] == [1, 3, 4]
    written(path, mark + end.join(["", "bend", "jack  ", ""]) + end * last)
    assert lists.class_names(path) == ["bend", "jack"]
    rows = ["label,youtube_id,time_start,time_end", "a,x,1,2", "", '"b, c",y,3,4']
    written(path, mark + end.join(rows) + end * last)
    assert lists.kinetics(path) == [Entry("x_000001_000002", 0), Entry("y_000003_000004", 1)]
    assert lists.kinetics_classes(path) == ["a", "b, c"]


READERS = {
    "read": lists.read,
    "names": lists.read_names,
    "class_names": lists.class_names,
    "kinetics": lists.kinetics,
    "diving48": lists.diving48,
    "diving48_classes": lists.diving48_classes,
    "something": lists.something,
    "entries_of": lambda path: lists.entries_of(path, "video,label", ["a"]),
}


@pytest.mark.parametrize("name", READERS)
def test_rejects_binary_file_by_name(tmp_path, name):
    reader = READERS[name]
    for content in (b"a 0\n\0", b"\x00\x00\x00\x20ftypisom" + bytes(range(256)), b"PK\3\4\0\0"):
        message = refused(reader, written(tmp_path / "x.bin", content))
        assert re.search(r"x\.bin:\d+: expected text in UTF-8. Received: byte 0x00", message)
    message = refused(reader, written(tmp_path / "x.bin", "a 0\n".encode("utf-16")))
    assert message.endswith("x.bin must be text in UTF-8. Received: UTF-16.")
    assert "x.bin:2: " in refused(reader, written(tmp_path / "x.bin", b"a 0\r\xff"))
    assert "x.bin" in refused(reader, written(tmp_path / "x.bin", b""))
    assert "gone.txt" in refused(reader, tmp_path / "gone.txt")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/zero")
    for file, kind in ((tmp_path, "folder"), (tmp_path / "fifo", "FIFO"), ("device", "device")):
        message = refused(reader, tmp_path / file)
        assert str(tmp_path / file) in message and f"a {kind}" in message


def test_rejects_json_file_as_list(tmp_path):
    path = written(tmp_path / "x.json", '[{"id":"78687"}]')
    for reader in (lists.read, lists.read_names):
        assert "x.json: expected lines " in refused(reader, path)


def test_rejects_huge_file_without_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_TEXT", 10)
    message = refused(lists.read, written(tmp_path / "x", "a 0\n" * 9))
    assert message.endswith("x must be text of at most 10 bytes. Received: 36 bytes.")


def test_long_lines_are_cut_in_messages(tmp_path):
    path = written(tmp_path / "x.txt", "a" * 200_000)
    assert "more characters" in refused(lists.read, path)
    written(path, "a 0\nlabel" + " 1" * 100_000 + "\n")
    assert "x.txt: " in refused(lists.entries_of, path, "video,label", ["b"])

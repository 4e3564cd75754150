"""Data lists: columns, lines, reading and writing."""

import dataclasses

import pytest

from mas import lists
from mas.lists import Entry

# Names as they stand in HMDB51, and worse.
ODD_NAMES = [
    "clap/#20_Rhythm_clap_u_nm_np1_fr_goo_0",
    "chew/Bubble_blowing_3!_chew_h_nm_np1_le_bad_0",
    "smile/show_your_smile_-)_smile_h_nm_np1_fr_med_0",
    "air drumming/a;b & c 'd' \"e\" $f 7",
    "péché/ñ.v2",
    "-egPJubR-CE_000010_000020",
]


@pytest.mark.parametrize(
    ("columns", "line", "expected"),
    [
        ("mas", "/d/jpegs_256/v_YoYo_g01_c01 17", Entry("/d/jpegs_256/v_YoYo_g01_c01", -1, 16)),
        ("sts", "YoYo/v_YoYo_g01_c01 1 100", Entry("YoYo/v_YoYo_g01_c01", 100, 0)),
        ("vtdl", "/a b/v_Punch_g05_c03 300 70", Entry("/a b/v_Punch_g05_c03", 70, None, 300)),
        ("pace", "Punch/v_Punch_g05_c03 70 300", Entry("Punch/v_Punch_g05_c03", 70, None, 300)),
        ("kinetics", "val_256/a/9EnSwbXxu5g.mp4.webm 0", Entry("val_256/a/9EnSwbXxu5g", 0)),
        ("video", "a b 3.AVI", Entry("a b 3")),
        ("video,label", "a\t \t7", Entry("a", 7)),
        (("video", "frames", "start", "label"), "a 9 8 7", Entry("a", 7, 7, 9)),
    ],
)
def test_reads_every_column_order(tmp_path, columns, line, expected):
    path = tmp_path / "list.txt"
    path.write_text(f"\n{line}\n")
    (entry,) = lists.read(path, columns)
    assert entry == expected and entry.line == 2
    assert len({entry, dataclasses.replace(entry, line=9)}) == 1


def test_reads_windows_line_ends_byte_order_mark_and_names_with_hash(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeff#1 first.avi 0\r\n\r\n  #2.mp4   1  \r\nlast 2".encode())
    entries = lists.read(path)
    assert entries == [Entry("#1 first", 0), Entry("#2", 1), Entry("last", 2)]
    assert [entry.line for entry in entries] == [1, 3, 4]


@pytest.mark.parametrize(
    ("columns", "bad"),
    [("kinetics", bad) for bad in ("x", "x -1", "x 1.0", "7", "x ٣", "x 1_0", "x +1")]
    + [("mas", "x 0"), ("vtdl", "x 0 1"), ("pace", "x 1 0"), ("sts", "x 1")],
)
def test_bad_line_is_reported(tmp_path, columns, bad):
    path = tmp_path / "list.txt"
    path.write_text(f"\n\n{bad}\n", encoding="utf-8")
    with pytest.raises(ValueError) as error:
        lists.read(path, columns)
    assert str(error.value).startswith(f"{path}:3: expected ")
    assert str(error.value).endswith(f"Received: {bad!r}")


def test_rejects_repeated_videos_and_names_both_lines(tmp_path):
    path = tmp_path / "list.txt"
    for names in (("a.avi", "a"), ("a", "./a.mp4"), ("a.avi", "a.avi")):
        path.write_text("{} 0\nb 0\n{} 1\n".format(*names))
        with pytest.raises(ValueError, match=r"1 repeated: lines 1 and 3: 'a'"):
            lists.read(path)
    path.write_text("a 1\nb 1\na 17\n")
    assert [entry.start for entry in lists.read(path, "mas")] == [0, 0, 16]
    path.write_text("a 1\nb 1\na 1\n")
    with pytest.raises(ValueError, match="lines 1 and 3: 'a'"):
        lists.read(path, "mas")


def test_list_distinguishes_files_of_one_stem(tmp_path):
    """As written by a user, by a builder, and as read back."""
    path, both = tmp_path / "list.txt", ["x/a.avi", "x/a.mkv", "x/b"]
    path.write_text("x/a.avi 0\na.mkv 0\nb.mp4 0\n")
    assert [entry.video for entry in lists.entries_of(path, "video,label", both)] == both
    for entries in (lists.folders(both), lists.resolve(lists.folders(both), both, "list")):
        lists.write(path, entries)
        assert path.read_text() == "x/a.avi 0\nx/a.mkv 0\nx/b 0\n"
        assert [(entry.video, entry.file) for entry in lists.read(path)] == [
            ("x/a", "x/a.avi"),
            ("x/a", "x/a.mkv"),
            ("x/b", None),
        ]
    (left,) = lists.split_by(lists.folders(both[:2]), exclude=r"\.mkv$")
    assert lists.entries_of([left], "video", both)[0].video == "x/a.avi"
    for known, listed, expected in (
        (["x/a", "x/a.mkv"], "x/a.avi", "x/a"),  # which came first
        (["x/a", "x/a.mkv"], "a.mkv", "x/a.mkv"),
        (["x/a", "x/a.mkv"], "a", "x/a"),
        (["x/a"], "a.mkv", "x/a"),
    ):
        path.write_text(f"{listed} 0\n")
        assert lists.entries_of(path, "video,label", known)[0].video == expected
        assert lists.find_video(listed, known) == expected
    path.write_text("a 0\n")
    with pytest.raises(ValueError, match="'a' matches 'x/a.avi'; 'x/a.mkv'"):
        lists.entries_of(path, "video,label", both)


def test_rejects_empty_lists_and_other_encodings(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(" \n\n")
    with pytest.raises(ValueError, match=r"list\.txt.* an empty list"):
        lists.read(path)
    path.write_bytes(b"a 0\nb\xe9 1\n")
    with pytest.raises(ValueError, match=r"list\.txt:2: .*0xe9"):
        lists.read(path)


@pytest.mark.parametrize("columns", ["label,video", "video,label,label", "video,class", ("mas",)])
def test_rejects_unknown_columns(columns):
    with pytest.raises(ValueError, match="columns must .*Received: columns="):
        lists.parse_columns(columns)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("./a//b.MP4", "a/b"),
        ("a/b.mp4.webm", "a/b"),
        ("/x/frames/v_1/", "/x/frames/v_1"),
        ("a/b.v2", "a/b.v2"),
        ("a.avi/b", "a.avi/b"),
        (".avi", ".avi"),
    ],
)
def test_video_id(path, expected):
    assert lists.video_id(path) == lists.video_id(expected) == expected


# Writing.


@pytest.mark.parametrize("columns", ["video", *lists.PRESETS, "video,label,start,frames"])
def test_written_lists_read_back_equal(tmp_path, columns):
    full = [Entry(name, i, i * 16, i + 30) for i, name in enumerate(ODD_NAMES)]
    names = lists.parse_columns(columns)
    blank = {"label": -1, "start": None, "frames": None}
    unset = {column: value for column, value in blank.items() if column not in names}
    entries = [dataclasses.replace(entry, **unset) for entry in full]
    path = tmp_path / "new" / "list.txt"
    lists.write(path, entries, columns)
    assert lists.read(path, columns) == entries
    assert [p.name for p in path.parent.iterdir()] == ["list.txt"]


def test_starts_are_written_one_based(tmp_path):
    lists.write(tmp_path / "list.txt", [Entry("a b", 3, start=0)], "sts")
    assert (tmp_path / "list.txt").read_bytes() == b"a b 1 3\n"


@pytest.mark.parametrize(
    ("entries", "columns", "message"),
    [
        ([Entry("a ", 0)], "video,label", "must read back unchanged.*'a '"),
        ([Entry("a.avi", 0)], "video,label", "must read back unchanged.*'a.avi'"),
        ([Entry("a 1\nb", 2)], "video,label", "must read back unchanged"),
        ([Entry("a\nb", 0)], "video,label", "expected \"video label\".*Received: 'a'"),
        ([Entry("a\nb")], "video", "must read back unchanged"),
        ([Entry("")], "video", "empty list"),
        ([Entry("b"), Entry("")], "video", "must read back unchanged.*''"),
        ([Entry("a\udcff", 0)], "video,label", "UTF-8"),
        ([Entry("a")], "video,label", "Received: 'a -1'"),
        ([Entry("a", 0)], "mas", "Received: 'a None'"),
        ([Entry("a", 0), Entry("a", 1)], "video,label", "lines 1 and 2: 'a'"),
        ([], "video", "empty list"),
    ],
)
def test_rejects_writing_unreadable_entries(tmp_path, entries, columns, message):
    path = tmp_path / "list.txt"
    path.write_text("before")
    with pytest.raises(ValueError, match=message):
        lists.write(path, entries, columns)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]

"""Data lists under seeded damage: each reader is right, or names the file in one line.

A second, simple reader in this file decides what is right.
"""

import csv
import json
import posixpath
import random
import re

import pytest
from list_sources import (
    DIVING48,
    DIVING48_VOCABULARY,
    KINETICS,
    SOMETHING,
)

from mas import cli, lists

NAMES = ["run/a b.avi", "run/c", "walk/é.v2", "walk/d.mp4.webm", "#x/e.mkv"]
LIST = "".join(f"{name} {label}\n" for label, name in enumerate(NAMES))
FRAMES = "".join(f"{name} {label + 90} {label}\n" for label, name in enumerate(NAMES))
CLASSES = "run\nair drumming\nwalk\nétude\n"
NUMBERED = "1 run\n2 air drumming\n3 walk\n"
SOMETHING_2 = (
    '[{"id":"78687","template":"Holding [something] next to [something]"},\n'
    '{"id":"42326","template":"Spreading [something] onto [something]"}]'
)
LABELS_2 = '{"Spreading something onto something":"1",\n"Holding something next to something":"0"}'
SPLIT = "#1!_(wave);_&_[x]_f_0.avi 1 \nb_wave.avi 2 \nc_wave.avi 0 \n"
HEADLESS = "run,---QUuC4vJs,000084,000094,train\nair drumming,---aQ-tA5_A,9.0,19,val\n"
UCF101 = lists.ucf101_classes()
TESTED = "".join(f"{name}/v_{name}_g01_c01.avi\n" for name in UCF101[20:36])
TRAINED = "".join(f"{line} {label}\n" for label, line in enumerate(TESTED.split(), 21))
VIDEO = "|".join(re.escape(extension) for extension in lists.VIDEO_EXTENSIONS)


# The second reading: each function gives what a file says, or fails.


def lines(data):
    text = data.decode("utf-8-sig")
    assert "\0" not in text
    found = [line.strip() for line in re.split("\r\n|\r|\n", text)]
    return [line for line in found if line]


def video(name):
    path = posixpath.normpath(name)
    match = re.fullmatch(rf"((?:.*/)?\.*[^/.][^/]*?)((?:{VIDEO})+)", path, flags=re.I | re.S)
    return match[1] if match else path


def numbered(data, count):
    pattern = r"(.*\S)" + r"\s+([0-9]+)" * count
    rows = [re.fullmatch(pattern, line) or re.fullmatch("", "x") for line in lines(data)]
    return [(row[1], *map(int, row.groups()[1:])) for row in rows]


def plain_list(data):
    return [(video(name), label, None) for name, label in numbered(data, 1)]


def list_of_frames(data):
    return [(video(name), label, frames) for name, frames, label in numbered(data, 2)]


def official_train(data):
    """With only a few lines left, the format cannot be recognised."""
    if not re.fullmatch(r".*\s\d+", lines(data)[0]):
        return official_test(data)
    found = [(name, label - 1, frames) for name, label, frames in plain_list(data)]
    return [found, plain_list(data)] if len(found) < 9 else found


def official_test(data):
    names = [re.search(r"v_(\w+)_g\d\d_c\d\d(\.\w+)*$", line)[1] for line in lines(data)]
    return [
        (video(line), UCF101.index(n), None) for line, n in zip(lines(data), names, strict=True)
    ]


def names_of(data):
    found = lines(data)
    bare = [re.sub(r"^[0-9]+\s+(?=\S)", "", name) for name in found]
    for first in (0, 1):
        if all(re.match(rf"0*{n}\s+\S", name) for n, name in enumerate(found, first)):
            return bare
    return found


def json_of(data):
    return json.loads(data.decode("utf-8-sig"))


def names_of_labels(data):
    if data.strip()[:1] not in (b"{", b"[", b'"', b"\xef"):
        return names_of(data)
    found = {int(label): name for name, label in json_of(data).items()}
    return [found[number] for number in range(len(found))]


def kinetics(data):
    rows = [next(csv.reader([line], strict=True)) for line in lines(data)]
    rows = [[field.strip() for field in row] for row in rows if any(map(str.strip, row))]
    places = [0, 1, 2, 3]
    if "youtube_id" in [field.lower() for field in rows[0]]:
        header = [field.lower() for field in rows.pop(0)]
        names = ["label", "youtube_id", "time_start", "time_end"]
        places = [header.index(name) if name in header else None for name in names]
    rows = [[None if p is None else row[p] for p in places] for row in rows]
    classes = sorted({row[0] for row in rows} - {None})
    return [
        (f"{name}_{int(float(start)):06d}_{int(float(end)):06d}", index(classes, label), None)
        for label, name, start, end in rows
    ]


def index(classes, label):
    return -1 if label is None else classes.index(label)


def something(data):
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{"):
        rows = [(row["id"], row.get("template")) for row in json_of(data)]
        rows = [(name, label and re.sub(r"[\[\]]", "", label)) for name, label in rows]
    else:
        rows = [(*map(str.strip, line.split(";", 1)), None)[:2] for line in lines(data)]
    assert all(re.fullmatch(r"\s*[-.\w]+\s*", name) for name, _ in rows)
    classes = sorted({label for _, label in rows} - {None})
    return [(name.strip(), index(classes, label), None) for name, label in rows]


def diving48(data):
    return [(row["vid_name"], row["label"], row["end_frame"]) for row in json_of(data)]


def diving48_classes(data):
    return ["-".join(words) for words in json_of(data)]


def split_file(data):
    rows = numbered(data, 1)
    return [(f"wave/{video(name)}", 0, None) for name, flag in rows if flag == 1]


# name: (content, reader, second reading)
READERS = {
    "list": (LIST, lists.read, plain_list),
    "frames": (FRAMES, lambda path: lists.read(path, "vtdl"), list_of_frames),
    "trainlist": (TRAINED, lists.read, official_train),
    "testlist": (TESTED, lists.read, official_test),
    "classes": (CLASSES, lists.class_names, names_of),
    "classInd": (NUMBERED, lists.class_names, names_of),
    "labels": (LABELS_2, lists.class_names, names_of_labels),
    "kinetics": (KINETICS, lists.kinetics, kinetics),
    "headless": (HEADLESS, lists.kinetics, kinetics),
    "something": (SOMETHING, lists.something, something),
    "something 2": (SOMETHING_2, lists.something, something),
    "diving48": (DIVING48, lists.diving48, diving48),
    "vocabulary": (DIVING48_VOCABULARY, lists.diving48_classes, diving48_classes),
    "hmdb51": (
        SPLIT,
        lambda path: lists.hmdb51(path.parent, 1, "train", [path.name.split("_test")[0]]),
        split_file,
    ),
}
FILES = {"hmdb51": "wave_test_split1.txt"}  # where the name of the file matters
PIECES = [b"\0", b"\r", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\xff", b"\xc3", b'"', b"'", b",", b";"]
PIECES += [
    b"[",
    b"]",
    b"{",
    b"}",
    b":",
    b" ",
    b"\t",
    b"\\",
    b"\\ud800",
    b"/",
    b"../",
    b".avi",
    b"#",
]
PIECES += [b"0", b"1", b"-1", b"1000000000", b"9223372036854775808", b"9" * 5000, b"1e9", b"NaN"]
PIECES += ["\u0663".encode(), "\u2028".encode(), "\u00a0".encode(), b"\x1b", b"a" * 200_000]


def damaged(data, rng):
    """Changes the bytes of a file one to three times."""
    for _ in range(rng.randint(1, 3)):
        place = rng.randint(0, len(data))
        end = min(len(data), place + rng.choice((1, 1, 2, 8, 30)))
        rows = data.split(b"\n")
        one, other = rng.randrange(len(rows)), rng.randrange(len(rows))
        kind = rng.randrange(8)
        if kind == 0 and data:
            place = min(place, len(data) - 1)
            flipped = bytes([data[place] ^ 1 << rng.randrange(8)])
            data = data[:place] + flipped + data[place + 1 :]
        elif kind == 1:
            data = data[:place] + data[end:]
        elif kind == 2:
            data = data[:end] + data[place:]
        elif kind == 3:
            data = data[:place]
        elif kind == 4:
            rows[one] = rows[other]
            data = b"\n".join(rows)
        elif kind == 5:
            numbers = list(re.finditer(rb"\d+", data))
            if numbers:
                chosen = rng.choice(numbers)
                data = data[: chosen.start()] + rng.choice(PIECES) + data[chosen.end() :]
        else:
            data = data[:place] + rng.choice(PIECES) + data[place:]
    return data


def read(path, reader):
    """The result of a reader as plain values, or its one-line error."""
    try:
        found = reader(path)
    except (ValueError, OSError) as error:
        message = str(error)
        assert path.name in message and len(message.splitlines()) == 1 and len(message) < 1500
        return None
    return [x if isinstance(x, str) else (x.video, x.label, x.frames) for x in found]


def second(reading, data):
    try:
        return reading(data)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, csv.Error):
        return None


def choices(right):
    """The allowed results."""
    return right if right and isinstance(right[0], list) else [right]


def check(name, folder, seeds):
    """Checks each damaged file against the second reader; returns how many were read."""
    content, reader, reading = READERS[name]
    path, taken = folder / FILES.get(name, "x.txt"), 0
    for seed in seeds:
        data = damaged(content.encode(), random.Random(f"{name} {seed}"))
        path.write_bytes(data)
        found = read(path, reader)
        if found is not None:
            assert found in choices(second(reading, data)), (seed, data[:500])
            taken += 1
    return taken


@pytest.mark.parametrize("name", READERS)
def test_damage_is_reported_or_harmless(tmp_path, name):
    assert 1 < check(name, tmp_path, range(60)) < 60, "the damage must matter, and not always"


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_heavy_damage_is_reported_or_harmless(tmp_path, name):
    check(name, tmp_path, range(60, 5000))


@pytest.mark.parametrize("name", READERS)
def test_line_ends_marks_and_blank_lines_change_nothing(tmp_path, name):
    content, reader, reading = READERS[name]
    path = tmp_path / FILES.get(name, "x.txt")
    expected = second(reading, content.encode())
    assert expected
    for end in ("\n", "\r\n", "\r", "\n \t\r\n"):
        for mark in ("", "\ufeff"):
            path.write_text(mark + content.replace("\n", end) + end, newline="")
            assert read(path, reader) in choices(expected), (end, mark)


@pytest.mark.parametrize(
    ("kind", "flag", "name"),
    [
        ("kinetics", "csv", "kinetics"),
        ("something", "csv", "something"),
        ("something", "json", "something 2"),
        ("diving48", "json", "diving48"),
        ("unlabelled", "names", "list"),
        ("fraction", "list", "list"),
        ("folders", "classes", "classes"),
    ],
)
def test_commands_report_damaged_files(tmp_path, monkeypatch, caplog, kind, flag, name):
    """The result is a readable list; or status 2, one line that names the file, and no list."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names").write_text("run/1.avi\nwalk/2.avi\n")
    others = {"fraction": ["--fraction=0.5"], "folders": ["--names=names"]}.get(kind, [])
    statuses = set()
    for seed in range(25):
        data = damaged(READERS[name][0].encode(), random.Random(f"{kind} {name} {seed}"))
        (tmp_path / "x.in").write_bytes(data)
        caplog.clear()
        status = cli.main("lists", kind, f"--{flag}=x.in", *others, "--output=y.txt")
        statuses.add(status)
        if status == 0:
            first = (tmp_path / "y.txt").read_text("utf-8").splitlines()[0]
            labelled = kind != "unlabelled" and first.rpartition(" ")[2].isdecimal()
            assert lists.read("y.txt", "video,label" if labelled else "video")
            (tmp_path / "y.txt").unlink()
        assert status in (0, cli.FAILED) and not (tmp_path / "y.txt").exists()
    assert statuses == {0, cli.FAILED}


def test_check_detects_wrong_reader(tmp_path, monkeypatch):
    """A reader that drops a line, and one that raises another error."""
    monkeypatch.setitem(READERS, "list", (LIST, lambda p: lists.read(p)[1:], plain_list))
    with pytest.raises(AssertionError):
        check("list", tmp_path, range(60))
    monkeypatch.setitem(READERS, "list", (LIST, lambda p: {}[p], plain_list))
    with pytest.raises(KeyError):
        check("list", tmp_path, range(60))

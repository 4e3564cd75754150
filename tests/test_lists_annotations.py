"""Data lists: Diving48 and Something-Something from their annotation files."""

import json

import pytest
from list_sources import DIVING48, DIVING48_VOCABULARY, SOMETHING, SOMETHING_LABELS

from mas import lists
from mas.lists import Entry

NAMES = ["Back-15som-05Twis-FREE", "Back-2som-NoTwis-TUCK", "Inward-Dive-NoTwis-PIKE"]


def test_diving48(tmp_path):
    (tmp_path / "V2.json").write_text(DIVING48)
    (tmp_path / "vocab.json").write_text(DIVING48_VOCABULARY)
    expected = [
        Entry("kzB6Zs3Ipyk_00000", 2, frames=81),
        Entry("-8Vy3dlHg2w_00003", 0, frames=192),
    ]
    assert lists.diving48(tmp_path / "V2.json") == expected
    assert lists.diving48_classes(tmp_path / "vocab.json") == NAMES
    assert lists.diving48(tmp_path / "V2.json", NAMES) == expected
    lists.write(tmp_path / "list.txt", expected, "vtdl")
    lines = "kzB6Zs3Ipyk_00000 81 2\n-8Vy3dlHg2w_00003 192 0\n"  # as the authors' list of DSM
    assert (tmp_path / "list.txt").read_text() == lines
    with pytest.raises(ValueError, match=r"V2.json, object 1: label must be in 0..1, .*: 2\."):
        lists.diving48(tmp_path / "V2.json", NAMES[:2])


@pytest.mark.parametrize(
    ("change", "received"),
    [
        ({"vid_name": ""}, "'vid_name': ''"),
        ({"vid_name": None}, "None"),
        ({"label": -1}, "-1"),
        ({"label": "2"}, "'2'"),
        ({"label": True}, "True"),
        ({"end_frame": 0}, "'end_frame': 0"),
    ],
)
def test_diving48_names_the_wrong_object(tmp_path, change, received):
    rows = json.loads(DIVING48)
    rows[1] |= change
    (tmp_path / "V2.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=f"V2.json, object 2: expected a vid_name.*{received}"):
        lists.diving48(tmp_path / "V2.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[\n{,}]", "x.json:2: expected json. Received: Expecting property name"),
        ("{}", r"x.json: expected a list. Received: dict\."),
        ("[[]]", r"x.json, (object|class) 1: expected .* Received: .*\[\]"),
        ('["Back"]', "x.json, (object|class) 1: expected .* Received: .*'Back'"),
    ],
)
def test_json_of_another_form_is_refused(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    for read in (lists.diving48, lists.diving48_classes):
        with pytest.raises(ValueError, match=message):
            read(tmp_path / "x.json")


def test_a_class_stands_in_the_vocabulary_once(tmp_path):
    (tmp_path / "vocab.json").write_text('[["Back", "Dive"], ["Inward"], ["Back", "Dive"]]')
    with pytest.raises(ValueError, match=r"vocab.json, class 3: .* no other class has. .*'Back'"):
        lists.diving48_classes(tmp_path / "vocab.json")


def test_something(tmp_path):
    """Labels are places in the official file, whose order is not the alphabet's."""
    path, labels = tmp_path / "train.csv", tmp_path / "labels.csv"
    path.write_text(SOMETHING)
    labels.write_text(SOMETHING_LABELS)
    videos = ["100218", "24413", "100218x"]
    names = lists.class_names(labels)
    assert names == SOMETHING_LABELS.splitlines()

    def labelled(*numbers):
        return [Entry(*pair) for pair in zip(videos, numbers, strict=True)]

    assert lists.something(path, names) == labelled(1, 2, 2)
    assert lists.something(path) == labelled(1, 0, 0)
    assert lists.something_classes(path) == [names[2], names[1]]
    path.write_text(SOMETHING.replace("\n", "\r\n"))
    assert lists.something(path, names) == labelled(1, 2, 2)


def test_something_without_labels(tmp_path):
    (tmp_path / "test.csv").write_text("100218\n24413\n")
    assert lists.something(tmp_path / "test.csv") == [Entry("100218"), Entry("24413")]
    assert lists.something(tmp_path / "test.csv", ["a"]) == [Entry("100218"), Entry("24413")]
    assert lists.something_classes(tmp_path / "test.csv") == []


@pytest.mark.parametrize("line", ["4", ";Moving", "4;", "4; "])
def test_something_names_the_wrong_line(tmp_path, line):
    (tmp_path / "train.csv").write_text(f"{SOMETHING}{line}\n")
    with pytest.raises(ValueError, match=f'train.csv:4: expected "ID;LABEL" on .*: {line!r}'):
        lists.something(tmp_path / "train.csv")
    (tmp_path / "train.csv").write_text(f"1\n2\n{SOMETHING}")
    with pytest.raises(ValueError, match="train.csv:3: .*'100218;Something falling"):
        lists.something(tmp_path / "train.csv")


def test_something_refuses_unknown_classes(tmp_path):
    (tmp_path / "train.csv").write_text(SOMETHING)
    with pytest.raises(ValueError, match=r"train.csv:2: label must be .* 2 classes.*'Moving some"):
        lists.something(tmp_path / "train.csv", SOMETHING_LABELS.splitlines()[:2])

"""Addresses such as gs://bucket/file are refused instead of paths, with advice."""

import os
import pathlib

import pytest

from mas import (
    checks,
    cli,
    evaluate,
    features,
    files,
    lists,
    networks,
    prepare,
    records,
    sample,
    video,
)
from mas.convert import conversion
from mas.evaluate import report
from mas.visualize import output

ADDRESS = "gs://bucket/some/file"
CALLS = {
    "videos": lambda path: prepare.prepare_videos(path, "data"),
    "output": lambda path: prepare.prepare_videos("videos", path, flow="none"),
    "list": lambda path: prepare.prepare_videos("videos", "data", list=path),
    "data": records.open_data,
    "source": lambda path: networks.file(path, "source"),
    "features": features.load,
    "classes": lists.class_names,
    "written features": features.check_output,
    "picture": lambda path: output.check(path, (".png",)),
    "report": report.writable,
    "checkpoint": lambda path: conversion.check_paths(path, "new.keras"),
    "converted": lambda path: conversion.check_paths("old.pth", path),
    "sample": sample.write,
    "video": lambda path: list(video.frames(path)),
    "aslan": evaluate.pairs.find,
    "any file": lambda path: files.write(path, "text"),
    "any table": lambda path: files.write_csv(path, ["a"], []),
    "any text": files.read_text,
}


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.avi").write_text("")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("form", [str, pathlib.Path])
@pytest.mark.parametrize("name", CALLS)
def test_library_rejects_address(name, form):
    with pytest.raises(ValueError, match="not an address: download or mount .*='gs:/+bucket/some"):
        CALLS[name](form(ADDRESS))
    assert not os.path.lexists("gs:")


@pytest.mark.parametrize(
    "words",
    [
        "prepare --videos=gs://b/x --output=data",
        "prepare --videos=videos --output=s3://b/x",
        "prepare --videos=videos --output=data --list https://example.org/list.txt",
        "train --data=gs://b/x",
        "train --data=videos --run=file:///tmp/x",
        "train --flagfile=gs://b/x",
        "finetune --data=videos --init=hdfs://b/x",
        "lists folders --videos=gs://b/x --output=all.txt",
        "lists folders --videos=videos --output=gs://b/x",
        "evaluate features --model=gs://b/x --data=videos --output=x.npz",
        "visualize statistics --data=videos --output=http://b/x.png",
        "convert --network=sts_r3d gs://b/x out.keras",
    ],
)
def test_commands_reject_address_in_one_line(words, caplog):
    assert cli.main(*words.split()) == 2
    (line,) = caplog.messages
    assert "not an address" in line and "://" in line
    assert sorted(os.listdir()) == ["videos"]


def test_existing_folder_named_like_address_is_accepted():
    os.makedirs("gs:/bucket")
    assert checks.path("data", ADDRESS) == pathlib.Path("gs:/bucket/some/file")
    for path in ("c:/x", "/data/a:/b", "16:9/x", "walk:run"):
        checks.local("path", path)

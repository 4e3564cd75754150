"""Videos and shortcuts for the tests of preparation."""

import csv
import os
import pathlib

import video_files

from mas import prepare, records
from mas.prepare import extract, workers

ROOT = pathlib.Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
CLIPS = {"right/a.avi": (2, 0), "right/b.mkv": (3, 0), "down/c.avi": (0, 2)}
FRAMES = 6


def film(folder):
    """Three lossless videos whose motion is known."""
    for name, shift in CLIPS.items():
        images = video_files.moving(FRAMES, shift, size=(64, 48), seed=len(name))
        images[..., 2] //= 2  # so that R G B and B G R differ
        video_files.write(folder / name, images, rate=12.5)
    return folder


def run(videos, output, workers=2, **options):
    options = {"size": (64, 48), "flow": "dis", "min_frames": 5, "progress": False, **options}
    return prepare.prepare_videos(videos, output, workers=workers, **options).failures


def run_noise(videos, output, form="shards", **options):
    return run(videos, output, form=form, size=video_files.SIZE, min_frames=2, **options)


def store(folder, prepared):
    """Prepares one video in folders."""
    records.stage_folders(prepared, folder / "part")
    records.place_folders(folder, prepared.video, folder / "part")


def failures(output):
    with open(output / "failures.csv", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def write_videos(folder, names, frames=2):
    for name in names:
        path = folder / f"{name}.avi"
        video_files.write(path, video_files.noise(frames, seed=ord(name[-1])))


def write_text(folder, names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.avi").write_text("no video\n")


def watch(monkeypatch):
    """Runs jobs in this process; returns the list of videos whose extraction began."""
    names, run = [], extract.run

    def counted(job):
        names.append(job["video"])
        return run(job)

    monkeypatch.setattr(workers, "Pool", video_files.Inline)
    monkeypatch.setattr(extract, "run", counted)
    return names

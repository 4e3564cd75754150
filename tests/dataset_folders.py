"""Small stand-ins for the data sets of docs/datasets.md: its trees and lists, a few videos each."""

import json
import shutil

import list_sources
import video_files

from mas import lists

KINETICS_HEADER = "label,youtube_id,time_start,time_end,split\n"
LABELS = ("Moving [something] up", "Holding [something]")

# The labels in each list of the page, in its order.
LABELS_OF = {
    **dict.fromkeys(("ucf101_train1", "ucf101_test1"), [0, 36]),
    **dict.fromkeys(("hmdb51_train1", "hmdb51_test1"), [*range(51)]),
    **dict.fromkeys(("k400_train", "k400_val"), [0, 1]),
    **dict.fromkeys(("diving48_train", "diving48_test"), [1]),
    **dict.fromkeys(("something_train", "something2_train"), [0]),
    **dict.fromkeys(("something_validation", "something2_validation"), [1]),
    **dict.fromkeys(("weizmann", "all"), [0, 0, 0, 1, 1, 1]),
    "weizmann_train": [0, 1],
    "weizmann_test": [0, 0, 1, 1],
}


def write(folder):
    """Writes all data sets into a folder, as the page shows them."""
    video = folder / "video.avi"
    video_files.write(video, video_files.noise(16, size=(32, 24)))

    def copies(names):
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(video, path)

    groups = ("g01_c01", "g08_c01")  # one of each part of split 1
    names = {"ApplyEyeMakeup": "ApplyEyeMakeup", "HandstandPushups": "HandStandPushups"}
    copies(f"UCF-101/{a}/v_{b}_{group}.avi" for a, b in names.items() for group in groups)
    copies(f"hmdb51/{name}" for name in _hmdb51(folder / "testTrainMulti_7030_splits"))
    _kinetics(folder, copies)
    _diving48(folder, copies)
    _something(folder, copies)
    actors = ("daria", "denis", "eli")
    for name in ("weizmann", "videos"):
        copies(f"{name}/{c}/{actor}_{c}.avi" for c in ("walk", "bend") for actor in actors)
    video.unlink()


def _hmdb51(splits):
    """Writes split 1; names its videos, one of each class for training and one for test."""
    splits.mkdir()
    for name in lists.class_names(list_sources.HMDB51):
        text = f"a#1_({name})_0.avi 1 \nb_{name}.avi 2 \nc_{name}.avi 0 \n"
        (splits / f"{name}_test_split1.txt").write_text(text)
        yield f"{name}/a#1_({name})_0.avi"
        yield f"{name}/b_{name}.avi"


def _kinetics(folder, copies):
    """A video of each class and part, and one that is no longer on YouTube."""
    for part in ("train", "val"):
        ids = {name: f"{name[0]}_{part[0]}-5678901" for name in ("abseiling", "yoga")}
        rows = (f"{name},{video},5,15,{part}\n" for name, video in ids.items())
        missing = f"yoga,missing45_1,0,10,{part}\n"
        (folder / f"{part}.csv").write_text(KINETICS_HEADER + "".join(rows) + missing)
        copies(f"kinetics/{part}/{name}/{ids[name]}_000005_000015.mp4" for name in ids)
    (folder / "kinetics" / "train" / "yoga" / "damaged_-12_000000_000010.mp4").touch()


def _diving48(folder, copies):
    (folder / "Diving48_vocab.json").write_text(list_sources.DIVING48_VOCABULARY)
    for part, name in (("train", "-0WDrKgC70c_00000"), ("test", "kzB6Zs3Ipyk_00000")):
        entry = {"vid_name": name, "label": 1, "start_frame": 0, "end_frame": 2}
        (folder / f"Diving48_V2_{part}.json").write_text(json.dumps([entry]))
        copies([f"rgb/{name}.mp4"])


def _something(folder, copies):
    """Version 1 as frames and csv, version 2 as videos and json."""
    plain = [label.replace("[", "").replace("]", "") for label in LABELS]
    (folder / "something-something-v1-labels.csv").write_text("\n".join(plain) + "\n")
    numbers = {name: str(number) for number, name in enumerate(plain)}
    (folder / "something-something-v2-labels.json").write_text(json.dumps(numbers))
    for video, part in enumerate(("train", "validation"), 1):
        text = f"{video};{plain[video - 1]}\n"
        (folder / f"something-something-v1-{part}.csv").write_text(text)
        entry = {"id": str(video), "label": "moving a pen", "template": LABELS[video - 1]}
        (folder / f"something-something-v2-{part}.json").write_text(json.dumps([entry]))
        copies([f"20bn-something-something-v2/{video}.webm"])
        frames = folder / "20bn-something-something-v1" / str(video)
        frames.mkdir(parents=True)
        for number, image in enumerate(video_files.noise(2), 1):
            video_files.cv2.imwrite(str(frames / f"{number:05d}.jpg"), image)

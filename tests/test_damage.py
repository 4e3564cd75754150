"""Damaged data are named or harmless: flipped bits, truncated and missing files."""

import json
import shutil

import cv2
import numpy as np
import pytest
from test_records import prepared, write

from mas import cli, records


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.with_name(f"{tmp_path.name}-cache")))


@pytest.fixture(scope="module", params=["shards", "folders"])
def stored(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored") / "data"
    data = write(folder, request.param)
    description = {"form": request.param, "method": "tvl1", "videos": 3, "frames": 20}
    known = {"checksums": True}
    if request.param == "shards":
        known["shards"] = {shard.stem: len(rows) for shard, rows in data.rows().items()}
    records.write_description(folder, description | known)
    return folder


def everything(folder):
    """Reads everything in a data set."""
    data, found = records.open_data(folder, flow=True), {}
    for number, video in enumerate(data.videos):
        count = int(data.lengths[number])
        images = data.read(number, range(count), range(count - 1))
        found[video] = images, data.rate(number)
    sizes = None if data.sizes is None else data.sizes.tolist()
    return data.videos, sizes, found, records.settings(data)


def outcome(folder, expected):
    """ "right", or "named" by one line with the folder's name; anything else fails."""
    try:
        found = everything(folder)
    except (ValueError, OSError) as error:
        assert str(folder) in str(error) and "\n" not in str(error), repr(error)
        return "named"
    assert found == expected, "a silent difference"
    return "right"


def files_of(folder):
    names = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != ".lock")
    assert len(names) > 3
    return names


def flipped(data, place, bit):
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


def test_every_flipped_bit_is_reported_or_harmless(stored, tmp_path):
    """Bits of images, of the rest of their record, of an index, and of dataset.json."""
    folder = shutil.copytree(stored, tmp_path / "data")
    expected, rng = everything(folder), np.random.default_rng(0)
    found = {"right": 0, "named": 0}
    for path in files_of(folder):
        data = path.read_bytes()
        count = 3 if path.suffix == ".jpg" else 100
        for place in rng.choice(len(data), min(len(data), count), replace=False):
            path.write_bytes(flipped(data, place, rng.integers(8)))
            result = outcome(folder, expected)
            found[result] += 1
            assert result == "named" or path.suffix != ".jpg"
        path.write_bytes(data)
    assert outcome(folder, expected) == "right"
    assert found["named"] > 4 * found["right"]


def test_check_reports_every_flipped_bit(stored, tmp_path):
    """Also in bytes that only other readers need."""
    folder, rng = shutil.copytree(stored, tmp_path / "data"), np.random.default_rng(1)
    assert records.check_data(folder).faults == ()
    wanted = 3 * 20 - 2 * 3
    assert records.check_data(folder).images == wanted
    for path in files_of(folder):
        data = path.read_bytes()
        count = 1 if path.suffix == ".jpg" else 4
        for place in rng.choice(len(data), min(count, len(data)), replace=False):
            path.write_bytes(flipped(data, place, rng.integers(8)))
            faults = records.check_data(folder).faults
            lines = [fault.line for fault in faults]
            same = outcome_of_table(path, data)
            assert lines or same, (path, place)
            assert all(str(folder) in line and "\n" not in line for line in lines)
        path.write_bytes(data)


def outcome_of_table(path, before):
    """Whether a changed text file still means the same: white space, the case of a number."""
    return path.suffix in (".csv", ".json") and path.read_bytes().split() != before.split()


def test_cut_and_lengthened_files(stored, tmp_path):
    folder, rng = shutil.copytree(stored, tmp_path / "data"), np.random.default_rng(2)
    expected = everything(folder)
    for path in files_of(folder):
        data = path.read_bytes()
        for length in {0, 1, len(data) // 2, len(data) - 1, *rng.integers(0, len(data), 4)}:
            path.write_bytes(data[:length])
            if length >= len(data):
                continue
            whole = path.name == "dataset.json" and length == len(data) - 1  # its line end
            if outcome(folder, expected) == "right":
                assert whole or path.suffix in (".csv", ".tfrecord") and length > len(data) - 5
        path.write_bytes(data + b"more")
        outcome(folder, expected)
        path.write_bytes(data)


def test_missing_files_are_reported_or_allowed(stored, tmp_path, caplog):
    folder = shutil.copytree(stored, tmp_path / "data")
    gone = folder / (
        "videos-00001.csv" if (folder / "videos-00001.csv").exists() else "jpegs_256/run"
    )
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(
        ValueError, match="(videos-00001|jpegs_256/run/ä).* And|(videos-00001|run/ä)"
    ):
        records.open_data(folder)
    assert records.check_data(folder).faults
    data = records.open_data(folder, allow_missing=True)
    assert sorted(data.videos) == ["walk/a", "walk/b c"] and "Left out: " in caplog.text
    assert data.read(data.videos.index("walk/a"), [2])[0] == [prepared("walk/a").rgb[2]]
    assert any("run" in path or "00001" in path for path in data.failures)


def test_data_set_must_match_its_description(tmp_path):
    """A shard is added, or removed with its index; a folder is added or emptied."""
    folder = tmp_path / "data"
    write(folder, "shards")
    known = {"form": "shards", "method": "tvl1", "shards": {"videos-00000": 2}, "checksums": True}
    records.write_description(folder, known | {"videos": 2, "frames": 8})
    with pytest.raises(ValueError, match=r"videos-00001.tfrecord must not exist: dataset.json"):
        records.open_data(folder)
    for path in folder.glob("videos-00000.*"):
        path.unlink()
    with pytest.raises(ValueError, match=r"videos-00000.tfrecord must exist.*And 1 more"):
        records.open_data(folder)
    folder = tmp_path / "folders"
    write(folder, "folders")
    records.write_description(folder, {"form": "folders", "method": "tvl1", "checksums": True})
    (folder / "jpegs_256" / "empty").mkdir()
    with pytest.raises(ValueError, match="jpegs_256/empty must contain frames named .*no file"):
        records.open_data(folder)
    shutil.copytree(folder / "jpegs_256" / "run" / "ä", folder / "jpegs_256" / "empty" / "x")
    with pytest.raises(ValueError, match="empty/x must have checksums in .*checksums/empty/x"):
        records.open_data(folder)


EARLIER = "video,frames,height,width,lengths_at,images_at\r\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [rows[0].replace("walk/a", "walk/b c"), rows[1].replace("walk/b c", "walk/a")],
        lambda rows: [rows[0].replace(",7,", ",6,"), rows[1]],
        lambda rows: [rows[0].replace(",7,", ",-7,"), rows[1]],
        lambda rows: [rows[0].replace(",7,", ",840000000000,"), rows[1]],
        lambda rows: [rows[0].replace(",32,48,", ",48,32,"), rows[1]],
        lambda rows: rows[::-1],
        lambda rows: rows[:1],
        lambda rows: [*rows, rows[1]],
        lambda rows: [rows[0], rows[1][:-4]],
    ],
)
@pytest.mark.parametrize("earlier", [False, True])
def test_wrong_index_is_detected(tmp_path, change, earlier):
    """An index of an earlier version, without checksums, is compared with the shard."""
    folder = tmp_path / "data"
    write(folder, "shards")
    index = folder / "videos-00000.csv"
    header, *rows = index.read_text().splitlines()
    if earlier:
        header, rows = EARLIER.strip(), [",".join(row.split(",")[:6]) for row in rows]
        index.write_text("\n".join([header, *rows]))
        assert outcome(folder, everything(folder)) == "right"
    expected = everything(folder)
    index.write_text("\n".join([header, *change(rows)]) + "\n")
    if change(rows) == rows[:1] and not earlier:
        known = {"form": "shards", "method": "tvl1", "videos": 3, "frames": 20}
        records.write_description(folder, known)
    assert outcome(folder, expected) == "named"


def test_data_of_earlier_versions_reads_the_same(stored, tmp_path):
    """Without checksums, in records, index, folders and dataset.json."""
    folder = shutil.copytree(stored, tmp_path / "data")
    expected = everything(folder)
    form = expected[-1]["form"]
    (folder / "dataset.json").write_text(json.dumps({"form": form, "method": "tvl1"}))
    shutil.rmtree(folder / "checksums", ignore_errors=True)
    for index in folder.glob("*.csv"):
        header, *rows = index.read_text().splitlines()
        rows = [",".join(row.split(",")[:6]) for row in rows]
        index.write_text("\n".join([EARLIER.strip(), *rows]))
    found = everything(folder)[2]
    assert {v: images for v, (images, _) in found.items()} == {
        v: images for v, (images, _) in expected[2].items()
    }
    rates = {rate for _, rate in found.values()}
    assert rates == (
        {12.5} if form == "shards" else {0.0}
    )  # that of folders lay with the checksums
    assert form == "shards" or not records.open_data(folder).verified


# The command.


@pytest.fixture
def command(monkeypatch, caplog):
    monkeypatch.setattr(cli, "load_frameworks", lambda: None)

    def run(*arguments):
        caplog.clear()
        return cli.main("prepare", "--check", *arguments), caplog.text

    return run


def test_command_checks_data(stored, tmp_path, command):
    status, said = command(f"--output={stored}")
    assert status == 0 and "data contains 3 videos, 54 images, all intact." in said
    folder = shutil.copytree(stored, tmp_path / "data")
    victim = next(p for p in files_of(folder) if p.suffix in (".jpg", ".tfrecord"))
    data = victim.read_bytes()
    victim.write_bytes(flipped(data, len(data) // 2, 3))
    status, said = command(f"--output={folder}")
    assert status == 2 and str(victim) in said and "found 1 fault in 3 videos" in said
    assert command(f"--output={folder / 'nowhere'}")[0] == 2


def test_foreign_frames_are_checked_by_decoding(tmp_path, command):
    image = cv2.imencode(".jpg", np.zeros((20, 30, 3), np.uint8))[1].tobytes()
    (tmp_path / "jpegs_256" / "a").mkdir(parents=True)
    for number in range(4):
        (tmp_path / "jpegs_256" / "a" / f"img_{number:05d}.jpg").write_bytes(image)
    status, said = command(f"--output={tmp_path}")
    assert status == 0 and "1 video, 4 images, all decodable; some have no checksums" in said
    (tmp_path / "jpegs_256" / "a" / "img_00002.jpg").write_bytes(image[: len(image) // 2])
    status, said = command(f"--output={tmp_path}")
    assert status == 2 and "img_00002.jpg: frame 2 of a must be a whole JPEG file" in said

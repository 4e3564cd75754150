"""The environment of a data set is recorded, and a call in another one warns."""

import json
import platform

import cv2
import preparing
import pytest
import video_files

from mas import lists, prepare, video
from mas.prepare import environment, workers

NOW = {
    "opencv": cv2.__version__,
    "decoder": video.decoder(),
    "flow": f"dis of OpenCV {cv2.__version__}",
    "instructions": environment.instructions(),
}


@pytest.fixture(autouse=True)
def inline(monkeypatch):
    monkeypatch.setattr(workers, "Pool", video_files.Inline)


def run(videos, output, names, **options):
    entries = [lists.Entry(name) for name in names]
    preparing.run(videos, output, list=entries, size=video_files.SIZE, min_frames=2, **options)


def recorded(output):
    files = (output / "plan.json", output / "dataset.json")
    plan, dataset = (json.loads(path.read_text())["made_with"] for path in files)
    assert plan == dataset
    return dataset


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_other_opencv_version_is_reported(tmp_path, caplog, monkeypatch, form):
    videos, output = tmp_path / "videos", tmp_path / "data"
    preparing.write_videos(videos, "abc")
    run(videos, output, "a", form=form)
    assert recorded(output) == [NOW]
    other = {**NOW, "opencv": "3.4.20", "instructions": "x86_64 SSE2"}
    monkeypatch.setattr(environment, "current", lambda method: other)
    run(videos, output, "a", form=form)  # nothing is prepared
    assert recorded(output) == [NOW] and "started with" not in caplog.text
    for names in ("ab", "abc"):
        caplog.clear()
        run(videos, output, names, form=form)
        assert recorded(output) == [NOW, other]
        (line,) = [text for text in caplog.messages if "started with" in text]
        old = f"{NOW['opencv']}, instructions={NOW['instructions']}."
        old = f"{output} was started with opencv={old}"
        new = "This call has opencv=3.4.20, instructions=x86_64 SSE2: "
        assert line == f"{old} {new}the same video may give different bytes."


def test_data_of_earlier_versions_gives_no_warning(tmp_path, caplog):
    videos, output = tmp_path / "videos", tmp_path / "data"
    preparing.write_videos(videos, "ab")
    run(videos, output, "a")
    plan = json.loads((output / "plan.json").read_text())
    known = {name: plan[name] for name in ("settings", "videos_per_shard", "videos")}
    (output / "plan.json").write_text(json.dumps(known))
    (output / "plan.copy.json").unlink(missing_ok=True)
    run(videos, output, "a")
    assert "made_with" not in json.loads((output / "dataset.json").read_text())
    run(videos, output, "ab")
    assert recorded(output) == [NOW] and "started with" not in caplog.text


def test_instruction_sets_match_processor(monkeypatch):
    monkeypatch.setattr(cv2, "getCPUFeaturesLine", lambda: "SSE2 *AVX2 *AVX512-SKX?")
    assert environment.instructions() == f"{platform.machine()} SSE2 AVX2"
    flows = [environment.current(method)["flow"] for method in ("tvl1", "tvl1_fast", "none")]
    assert flows[0] == "tvl1 of mas.flow 1" and ", Numba " in flows[1] and flows[2] == "none"
    assert prepare.Storage().recorded()["method"] == "tvl1"

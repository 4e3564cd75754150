"""The command `python -m mas.prepare`: flags, then calls into the package."""

import json
import pathlib
import sys

from absl import app, flags, logging

from mas import flow, lists, prepare, records

_VIDEOS = flags.DEFINE_string("videos", None, "Folder of video files, at any depth.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the prepared data set.", required=True)
_LIST = flags.DEFINE_string("list", None, "Prepare only the videos of this list.")
_COLUMNS = flags.DEFINE_string("columns", "video,label", "Columns of --list, or a preset's name.")
_FORM = flags.DEFINE_enum("form", "shards", list(records.READERS), "Stored form.")
_SIZE = flags.DEFINE_string("size", "171x128", "Stored WIDTHxHEIGHT in pixels, or `keep`.")
_FLOW = flags.DEFINE_enum("flow", "tvl1", [*flow.METHODS, "none"], "Optical flow method.")
_QUALITY = flags.DEFINE_integer("quality", 95, "JPEG quality of frames and flow, 1..100.", 1, 100)
_MIN_FRAMES = flags.DEFINE_integer("min_frames", 16, "Refuse videos with fewer frames.", 1)
_WORKERS = flags.DEFINE_integer("workers", None, "Worker processes; default: one a core.", 1)
_ALLOW = flags.DEFINE_bool("allow_failures", False, "Exit with 0 although some videos failed.")


def main(argv):
    """Prepares what the flags say; returns the exit status."""
    if len(argv) > 1:
        raise app.UsageError(f"mas.prepare takes flags only. Received: {argv[1:]}.")
    try:
        failures = _prepare()
    except (OSError, RuntimeError, ValueError) as error:
        logging.error("%s", error)
        return 2
    for path, reason in sorted(failures.items())[:10]:
        logging.error("%s: %s", path, reason)
    if failures:
        named = pathlib.Path(_OUTPUT.value, prepare.FAILURES)
        logging.error("%d videos failed; all are named in %s.", len(failures), named)
    stored = json.loads(pathlib.Path(_OUTPUT.value, records.DESCRIPTION).read_text("utf-8"))
    logging.info(
        "%s holds %d videos, %d frames.", _OUTPUT.value, stored["videos"], stored["frames"]
    )
    if stored["videos"]:
        logging.info("Next: python train.py --data=%s", _OUTPUT.value)
    return 1 if failures and not _ALLOW.value else 0


def _prepare():
    settings = prepare.Settings(
        form=_FORM.value,
        size=prepare.parse_size(_SIZE.value),
        method=_FLOW.value,
        quality=_QUALITY.value,
        min_frames=_MIN_FRAMES.value,
    )
    videos = prepare.find_videos(_VIDEOS.value)
    if _LIST.value:
        entries = lists.resolve(lists.read(_LIST.value, _COLUMNS.value), videos, _LIST.value)
        videos = {entry.video: videos[entry.video] for entry in entries}
    return prepare.prepare(videos, _OUTPUT.value, settings, _WORKERS.value)


if __name__ == "__main__":
    logging.set_verbosity(logging.INFO)
    sys.exit(app.run(main))

"""The command `python -m mas.prepare`: flags, then calls into the package."""

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
        data = _prepare()
    except (OSError, RuntimeError, ValueError) as error:
        logging.error("%s", error)
        return 2
    failures = data.failures
    for path, reason in sorted(failures.items())[:10]:
        logging.error("%s: %s", path, reason)
    if failures:
        named = pathlib.Path(_OUTPUT.value, records.FAILURES)
        logging.error("%s failed; see %s.", lists.counted(len(failures), "video"), named)
    videos = lists.counted(len(data.videos), "video")
    frames = lists.counted(int(data.lengths.sum()), "frame")
    logging.info("%s holds %s, %s.", _OUTPUT.value, videos, frames)
    if data.videos:
        logging.info("Next: python train.py --data=%s", _OUTPUT.value)
    return 1 if failures and not _ALLOW.value else 0


def _prepare():
    return prepare.prepare_videos(
        _VIDEOS.value,
        _OUTPUT.value,
        flow=_FLOW.value,
        size=prepare.parse_size(_SIZE.value),
        form=_FORM.value,
        quality=_QUALITY.value,
        min_frames=_MIN_FRAMES.value,
        list=_LIST.value,
        columns=_COLUMNS.value,
        workers=_WORKERS.value,
    )


if __name__ == "__main__":
    logging.set_verbosity(logging.INFO)
    sys.exit(app.run(main))

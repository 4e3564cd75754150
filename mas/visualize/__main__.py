"""The command `python -m mas.visualize`: a clip of a prepared video and its labels as a picture."""

import sys

from absl import app, flags, logging

from mas import cli, clips, records, tasks, visualize

_DATA = flags.DEFINE_string("data", None, "Prepared data set.", required=True)
_VIDEO = flags.DEFINE_string("video", None, "Id of the video; default: the first.")
_START = flags.DEFINE_integer("start", 0, "First frame, counted from 0.", 0)
_OUTPUT = flags.DEFINE_string("output", "statistics.png", "Picture to write.")


def main(argv):
    """Draws what the flags say; returns the exit status."""
    cli.quiet()
    if len(argv) > 1:
        raise app.UsageError(f"mas.visualize takes flags only. Received: {argv[1:]}.")
    try:
        data = records.open_data(_DATA.value)
        video = _VIDEO.value or data.videos[0]
        if video not in data.videos:
            raise ValueError(f"video must be an id of {_DATA.value}. Received: video={video!r}.")
        reader = _reader(data, data.videos.index(video))
        with cli.reading():
            clip = reader.clip(0, 0)
        title = f"{video}, frames {_START.value + 1} to {_START.value + 16}"
        picture = visualize.draw_statistics(clip["rgb"].numpy(), clip["flow"].numpy(), title)
        picture.savefig(_OUTPUT.value, dpi=100)
    except (OSError, ValueError) as error:
        return cli.fail(error)
    logging.info("Wrote %s.", _OUTPUT.value)
    return 0


def _reader(data, number):
    if _START.value + 16 > data.lengths[number]:
        raise ValueError(
            f"start must be in 0..{data.lengths[number] - 16}. Received: start={_START.value}."
        )
    examples = clips.Examples([number], [_START.value], [-1])
    return clips.Reader(data, examples, tasks.task("mas"), clips.Geometry(random=False))


if __name__ == "__main__":
    sys.exit(app.run(main))

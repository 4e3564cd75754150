"""Draws a picture: `python -m mas.visualize KIND ... --output=FILE`.

KIND is one of
    clip        a clip's frames beside its flow, as they lie (png) or as they move (gif)
    statistics  its motion boundaries and its labels
    attention   where a network looks, over its frames (png or gif)
    retrieval   a page (html) of queries and what `mas.evaluate retrieval` found for them
    embedding   features of videos on a plane, by t-SNE (png, or html with names)
    views       what a task shows its network of one clip

python -m mas.visualize statistics --data=DATA --video=ID
python -m mas.visualize attention --data=DATA --model=RUN --output=attention.gif
python -m mas.visualize retrieval --data=DATA --neighbours=FOLDER/neighbours.csv
python -m mas.visualize embedding --features=FILE.npz --classes=NAMES
python -m mas.visualize views --data=DATA --task=pace_contrast --paces=1,2,4
"""

import sys

import numpy as np
from absl import app, flags, logging

from mas import cli, clips, prepare, records, tasks, visualize, weights
from mas.evaluate import action, features
from mas.visualize import embedding, output, reading, retrieval

_OUTPUT = flags.DEFINE_string("output", None, "File to write; default: KIND.png or KIND.html.")
_DATA = flags.DEFINE_string("data", None, "Data set: prepared, or video files where no flow is.")
_VIDEO = flags.DEFINE_string("video", None, "Id of the video; default: the first.")
_START = flags.DEFINE_integer(
    "start", None, "First frame, counted from 0; default: 0, in views drawn by the task.", 0
)
_FRAMES = flags.DEFINE_integer("frames", 16, "Length of the clip.", 1, 300)
_SIZE = flags.DEFINE_integer(
    "size", 112, "Side of the centre (views: of any) square, in pixels.", 8
)
_RESIZE = flags.DEFINE_string("resize", "171x128", "WIDTHxHEIGHT of a frame before that crop.")
_RATE = flags.DEFINE_float(
    "rate", None, "Frames per second of a gif; default: the video's, or 25 if unknown.", 1, 100
)
_MODEL = flags.DEFINE_string("model", None, "attention: run folder or .keras file of a backbone.")
_NEIGHBOURS = flags.DEFINE_string("neighbours", None, "retrieval: csv file of mas.evaluate.")
_FEATURES = flags.DEFINE_string("features", None, "embedding: .npz file of mas.evaluate.")
_CLASSES = flags.DEFINE_string(
    "classes", None, "retrieval, embedding: class names, one a line, in the labels' order."
)
_MOST = flags.DEFINE_integer(
    "most",
    None,
    f"retrieval: queries shown (default {retrieval.MOST_QUERIES}); embedding: videos (default "
    f"{embedding.MOST_VIDEOS}).",
    1,
)
_PERPLEXITY = flags.DEFINE_float(
    "perplexity", embedding.PERPLEXITY, "embedding: neighbours that count, of t-SNE."
)
_SEED = flags.DEFINE_integer("seed", 0, "embedding, views: of everything random.", 0)
_TASK = flags.DEFINE_string("task", "mas", f"views: one of {', '.join(tasks.TASKS)}.")
_OPTION = flags.DEFINE_multi_string(
    "option", [], "views: FIELD=VALUE of the task; or --FIELD=VALUE. May be repeated."
)
_FIELDS = tuple(name for name in tasks.fields() if name not in flags.FLAGS)
for _name in _FIELDS:
    _boolean, _help = tasks.fields()[_name]
    (flags.DEFINE_boolean if _boolean else flags.DEFINE_string)(_name, None, f"views: {_help}")

_CLIP = ("video", "start", "frames", "size", "resize", "output")
_MOVING = (*output.FIGURES, ".gif")
# Of each kind: the flags that it needs, those that it may have, and how its output may end.
_FLAGS = {
    "clip": (("data",), (*_CLIP, "rate"), _MOVING),
    "statistics": (("data",), _CLIP, output.FIGURES),
    "attention": (("data", "model"), ("video", "start", "rate", "output"), _MOVING),
    "retrieval": (("data", "neighbours"), ("classes", "most", "output"), (".html",)),
    "embedding": (
        ("features",),
        ("classes", "most", "perplexity", "seed", "output"),
        (*output.FIGURES, ".html"),
    ),
    "views": (("data",), (*_CLIP, "seed", "task", "option", *_FIELDS), output.FIGURES),
}


def main(argv):
    """Draws what the flags say; returns the exit status."""
    cli.quiet()
    kind = _checked_kind(argv)
    suffixes = _FLAGS[kind][2]
    path = _OUTPUT.value or kind + suffixes[0]
    try:
        output.check(path, suffixes)
        with cli.reading():
            picture = _DRAW[kind](path)
        output.write(path, picture)
    except (OSError, ValueError) as error:
        return cli.fail(error)
    logging.info("Wrote %s.", path)
    return 0


def _checked_kind(argv):
    if len(argv) != 2 or argv[1] not in _FLAGS:
        raise app.UsageError(f"KIND must be one of {list(_FLAGS)}. Received: {argv[1:]}.")
    needed, optional, _ = _FLAGS[argv[1]]
    own = {flag.name for flag in flags.FLAGS.get_flags_for_module(sys.modules[__name__])}
    given = {name for name in own if flags.FLAGS[name].present}
    if given - {*needed, *optional} or set(needed) - given:
        raise app.UsageError(
            f"{argv[1]} needs {_dashed(needed)} and may have {_dashed(optional)}. "
            f"Received: {_dashed(sorted(given))}."
        )
    return argv[1]


def _dashed(names):
    return ", ".join(f"--{name}" for name in names) or "no flag"


def _geometry(random=False, size=None, resize=None):
    size, resize = size or _SIZE.value, prepare.parse_size(resize or _RESIZE.value)
    if resize is None:
        raise ValueError("resize must be WIDTHxHEIGHT. Received: resize=keep.")
    return clips.Geometry(resize, size, random=random)


def _read_clip(data, frames, geometry):
    """(clip, title)."""
    start = _START.value or 0
    clip = reading.clip(data, _VIDEO.value, start, frames, geometry)
    return clip, f"{clip['video']}, frames {start + 1} to {start + frames}"


def _rate(data, video):
    """Frames per second: of the flag, else of the video, else usual ones."""
    return _RATE.value or data.rate(data.videos.index(video)) or output.UNKNOWN_RATE


def _clip(path):
    data = records.open_data(_DATA.value)
    clip, title = _read_clip(data, _FRAMES.value, _geometry())
    if path.lower().endswith(".gif"):
        return visualize.animate_clip(clip["rgb"], clip.get("flow"), _rate(data, clip["video"]))
    return visualize.draw_clip(clip["rgb"], clip.get("flow"), title)


def _statistics(path):
    del path
    data = records.open_data(_DATA.value, flow=True)
    tasks.task("mas").check(_SIZE.value)
    clip, title = _read_clip(data, _FRAMES.value, _geometry())
    _check_flow(data, clip, "statistics")
    return visualize.draw_statistics(clip["rgb"], clip["flow"], title)


def _check_flow(data, clip, what):
    if "flow" not in clip:
        raise ValueError(
            f"{what} must have optical flow: prepare the videos with mas.prepare and --flow=tvl1 "
            f"or dis, and take 2 frames or more. Received: {data.data}, clips of "
            f"{len(clip['rgb'])} frames."
        )


def _attention(path):
    backbone = features.network(_MODEL.value)
    _, frames, size, _, channels = backbone.input_shape
    flow = channels == 2
    resize = weights.settings(_MODEL.value).get("resize", _RESIZE.default)
    data = records.open_data(_DATA.value, flow=flow)
    clip, title = _read_clip(data, frames + flow, _geometry(size=size, resize=resize))
    if flow:
        _check_flow(data, clip, "data of a network that sees flow")
    heat = visualize.attention(backbone, clip["flow" if flow else "rgb"])
    shown = (clip["rgb"], heat, clip.get("flow"))
    if path.lower().endswith(".gif"):
        return visualize.animate_attention(*shown, rate=_rate(data, clip["video"]))
    return visualize.draw_attention(*shown, title=f"{title}\nattention of {_MODEL.value}")


def _names(labels):
    """Names of the classes: of --classes, or their numbers."""
    return action.class_names(_CLASSES.value, max(labels))


def _retrieval(path):
    del path
    queries = visualize.read_neighbours(_NEIGHBOURS.value)
    names = _names([row.label for query in queries for row in (query, *query.found)])
    most = _MOST.value or retrieval.MOST_QUERIES
    shown = [queries[place] for place in _spread(len(queries), most)]
    if len(shown) < len(queries):
        logging.info("The page shows %d of %d queries (--most).", len(shown), len(queries))
    data = records.open_data(_DATA.value)
    videos = {row.video for query in shown for row in (query, *query.found)}
    thumbnails = {
        video: output.jpeg(reading.middle_frame(data, video), retrieval.WIDTH)
        for video in sorted(videos)
    }
    page = visualize.page(queries, shown, thumbnails, f"Retrieval: {_NEIGHBOURS.value}", names)
    return page.encode("utf-8", "surrogateescape")


def _spread(count, most):
    """Places, evenly spaced, of at most so many."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _embedding(path):
    known = features.load(_FEATURES.value)
    names = _names(known.labels)
    most, count = _MOST.value or embedding.MOST_VIDEOS, len(known.videos)
    chosen = np.arange(count)
    if count > most:
        chosen = np.sort(np.random.default_rng(_SEED.value).choice(count, most, replace=False))
        logging.info("%d of %d videos are drawn at random and shown (--most).", most, count)
    perplexity = visualize.bounded_perplexity(_PERPLEXITY.value, len(chosen))
    if perplexity < _PERPLEXITY.value:
        logging.info("perplexity %.1f, a third of the other videos.", perplexity)
    points = visualize.plane(known.values[chosen], perplexity, _SEED.value)
    title = f"t-SNE of {_FEATURES.value}: {len(chosen)} videos, perplexity {perplexity:.3g}"
    if path.lower().endswith(".html"):
        videos = [known.videos[place] for place in chosen]
        text = visualize.embedding_page(points, known.labels[chosen], videos, names, title)
        return text.encode("utf-8", "surrogateescape")
    return visualize.draw_embedding(points, known.labels[chosen], names, title)


def _views(path):
    del path
    given = [(name, flags.FLAGS[name].value) for name in _FIELDS]
    options = [f"{name}={value}" for name, value in given if value is not None]
    task = tasks.task(
        _TASK.value, [*_OPTION.value, *options], frames=_FRAMES.value, size=_SIZE.value
    )
    task.check(_SIZE.value)
    data = records.open_data(_DATA.value, flow="flow" in task.inputs)
    geometry = _geometry(random=True)
    x, y = reading.example(data, _VIDEO.value, _START.value, task, geometry, _SEED.value)
    if task.views is None:
        x = x[None]
    names = visualize.view_names(task, y, len(x))
    video = data.videos[reading.number(data, _VIDEO.value)]
    return visualize.draw_views(x, names, f"{task.name}: {video}, seed {_SEED.value}")


_DRAW = {
    "clip": _clip,
    "statistics": _statistics,
    "attention": _attention,
    "retrieval": _retrieval,
    "embedding": _embedding,
    "views": _views,
}

if __name__ == "__main__":
    sys.exit(app.run(main))

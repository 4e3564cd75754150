"""`mas visualize KIND`: draws clips, labels, attention, views, retrieval and embeddings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from absl import logging

from mas import accuracy, cli, forms, lazy, networks, pages, records, tasks, visualize
from mas.cli import training
from mas.cli.flags import Flags, UsageError
from mas.cli.kinds import split_kind
from mas.settings import Clip
from mas.visualize import embedding, output, retrieval

features = lazy.module("mas.features")


# name: (group, default, help, other arguments of `mas.checks.option`)
_OPTIONS: dict[str, tuple[str, Any, str, dict[str, Any]]] = {
    "data": ("data", None, "Prepared data set, or folder of videos.", {}),
    "video": ("data", None, "Id or file name of a video, by default the first.", {}),
    "start": (
        "data",
        None,
        "First frame, counted from 0, by default 0 (in views, drawn by the task).",
        {"form": forms.INTEGER, "least": 0},
    ),
    "features": ("data", None, ".npz file written by mas evaluate features.", {}),
    "neighbours": ("data", None, "neighbours.csv written by mas evaluate retrieval.", {}),
    "classes": (
        "data",
        None,
        "File of class names, one per line, by default the one next to the lists.",
        {},
    ),
    "model": ("network", None, "Run folder, or .keras file of a backbone.", {}),
    "frames": ("clip", 16, "Clip length in frames.", {"least": 1, "most": 300}),
    "perplexity": (
        "t-SNE",
        embedding.PERPLEXITY,
        "Perplexity, the effective number of neighbours.",
        {"above": 0},
    ),
    "seed": ("picture", 0, "Seed of all random choices.", {"least": 0}),
    "most": (
        "picture",
        None,
        f"Maximum number of queries (retrieval, by default {retrieval.MOST_QUERIES}) or videos "
        f"(embedding, by default {embedding.MOST_VIDEOS}) to show.",
        {"form": forms.INTEGER, "least": 1},
    ),
    "rate": (
        "picture",
        None,
        "Frames per second of a gif, by default the video's, or 25 if it is unknown.",
        {"form": forms.NUMBER, "least": 1, "most": 100},
    ),
}
_MEANS = {"data": "DATA", "features": "FILE.npz", "model": "RUN", "neighbours": "FILE.csv"}


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A kind of picture.

    Attributes:
        summary: what it shows.
        draw: function from the flags to a picture for `visualize.write`.
        needed: required flags.
        optional: optional flags, besides --output.
        suffixes: allowed file extensions, the default one first.
        clip: fields of `mas.Clip` that are flags.
        task: whether a task and its settings are flags.
    """

    summary: str
    draw: Callable[[Flags], Any]
    needed: tuple[str, ...]
    optional: tuple[str, ...]
    suffixes: tuple[str, ...] = output.FIGURES
    clip: tuple[str, ...] = ()
    task: bool = False


def flags(name: str, arguments: list[str]) -> Flags:
    """The flags of a kind; for views, they depend on the task in the arguments."""
    found = _own_flags(name, arguments)
    for other in [kind for kind in KINDS if kind != name]:
        theirs = {*_own_flags(other, []).defined}
        if KINDS[other].task:
            theirs.update(*(task.options() for task in tasks.TASKS.values()))
        found.elsewhere(sorted(theirs - {*found.defined}), f"mas visualize {other}")
    return found


def _own_flags(name, arguments):
    kind = KINDS[name]
    usage = " ".join(f"--{flag}={_MEANS[flag]}" for flag in kind.needed)
    found = Flags(f"mas visualize {name}", kind.summary, f"{usage} ...")
    for flag in (*kind.needed, *kind.optional):
        group, default, help, known = _OPTIONS[flag]
        found.option(flag, default, help, group=group, **known)
    if "data" in kind.needed:
        training.define_missing(found)
    found.add(Clip, "clip", skip=[n for n in Clip.options() if n not in kind.clip])
    if kind.task:
        _add_task(found, arguments)
    default, ends = name + kind.suffixes[0], " ".join(kind.suffixes)
    found.option("output", default, f"File to write, one of {ends}.", group="picture")
    return found


def _add_task(found, arguments):
    try:
        kind = tasks.kind(found.last(arguments, "task", "mas"))
    except ValueError as error:
        raise UsageError(f"--{error}") from None
    names = f"One of {', '.join(tasks.TASKS)}; or module:Class of a custom task."
    found.option("task", "mas", names, group="task")
    found.add(kind, "task")
    for other, task in tasks.TASKS.items():
        found.elsewhere([n for n in task.options() if n not in kind.options()], f"--task={other}")


def run(arguments: list[str]) -> int:
    """Draws a picture; returns the exit status."""
    summaries = {name: kind.summary for name, kind in KINDS.items()}
    name, arguments = split_kind("mas visualize", "Draws a picture.", summaries, arguments)
    given = flags(name, arguments)
    given.parse(training.without_options(given.ordered(arguments)))
    given.require(*KINDS[name].needed)
    output.check(given.output, KINDS[name].suffixes)
    visualize.write(given.output, KINDS[name].draw(given))
    return 0


def _is_animation(given):
    return given.output.lower().endswith(".gif")


def _open(given, flow=False):
    """Opens the data set, then loads TensorFlow, which decodes its clips."""
    data = records.open_data(given.data, flow, given.allow_missing)
    cli.load_frameworks()
    return data


def _read(given, data, **clip):
    """Reads (clip, title)."""
    start = given.start or 0
    found = visualize.read_clip(data, given.video, start, **clip)
    return found, f"{found['video']}, frames {start + 1} to {start + len(found['rgb'])}"


def _rate(given, data, video):
    """Frames per second: the flag, else the video's rate, else the default."""
    return given.rate or data.rate(data.videos.index(video)) or output.UNKNOWN_RATE


def _draw_clip(given):
    data = _open(given)
    clip, title = _read(given, data, frames=given.frames, size=given.size, resize=given.resize)
    if _is_animation(given):
        rate = _rate(given, data, clip["video"])
        return visualize.animate_clip(clip["rgb"], clip.get("flow"), rate)
    return visualize.draw_clip(clip["rgb"], clip.get("flow"), title)


def _draw_statistics(given):
    settings = given.make(Clip)
    tasks.Statistics().bound(settings).check()
    data = _open(given, flow=True)
    clip, title = _read(given, data, **settings.values())
    return visualize.draw_statistics(clip["rgb"], clip["flow"], title)


def _draw_attention(given):
    settings = networks.described(networks.file(given.model)).clip
    data = _open(given)
    backbone = networks.network(given.model)
    seen = "flow" if backbone.input_shape[-1] == 2 else "rgb"
    if seen == "flow":
        data = records.open_data(given.data, True, given.allow_missing)
    clip, title = _read(given, data, **settings.values())
    heat = visualize.attention(backbone, clip[seen])
    shown = (clip["rgb"], heat, clip.get("flow"))
    if _is_animation(given):
        return visualize.animate_attention(*shown, rate=_rate(given, data, clip["video"]))
    return visualize.draw_attention(*shown, title=f"{title}\nattention of {given.model}")


def _draw_views(given):
    task = given.make(tasks.kind(given.task)).bound(given.make(Clip))
    task.check()
    data = _open(given, flow="flow" in task.inputs)
    x, y, video = visualize.read_example(data, task, given.video, given.start, given.seed)
    views = x[None] if task.views is None else x
    names = visualize.view_names(task, y, len(views))
    return visualize.draw_views(views, names, f"{task.name}: {video}, seed {given.seed}")


def _draw_retrieval(given):
    queries = visualize.read_neighbours(given.neighbours)
    data = records.open_data(given.data, allow_missing=given.allow_missing)
    highest = max(row.label for query in queries for row in (query, *query.found))
    names = _class_names(given, given.neighbours, highest)
    shown = retrieval.spread(queries, given.most or retrieval.MOST_QUERIES)
    if len(shown) < len(queries):
        logging.info("Showing %d of %d queries (--most).", len(shown), len(queries))
    thumbnails = {
        video: pages.jpeg(visualize.middle_frame(data, video), retrieval.WIDTH)
        for video in sorted({row.video for query in shown for row in (query, *query.found)})
    }
    title = f"Retrieval: {given.neighbours}"
    return visualize.retrieval_page(queries, shown, thumbnails, title, names)


def _class_names(given, path, highest, facts=None):
    """Class names from --classes or next to the data; None without any."""
    if given.classes:
        return accuracy.class_names(given.classes, highest)
    return visualize.find_class_names(path, highest, facts)


def _draw_embedding(given):
    known = features.load(given.features)
    names = _class_names(given, given.features, max(known.labels), known.facts)
    most = given.most or embedding.MOST_VIDEOS
    chosen = embedding.sample_videos(len(known.videos), most, given.seed)
    if len(chosen) < len(known.videos):
        counts = (len(chosen), len(known.videos))
        logging.info("Showing a random choice of %d of %d videos (--most).", *counts)
    perplexity = visualize.bounded_perplexity(given.perplexity, len(chosen))
    if perplexity < given.perplexity:
        logging.info("Reducing perplexity to %.1f, a third of the other videos.", perplexity)
    points = visualize.tsne(known.values[chosen], perplexity, given.seed)
    labels = known.labels[chosen]
    title = f"t-SNE of {given.features}: {len(chosen)} videos, perplexity {perplexity:.3g}"
    if given.output.lower().endswith(".html"):
        videos = [known.videos[place] for place in chosen]
        return visualize.embedding_page(points, labels, videos, names, title)
    return visualize.draw_embedding(points, labels, names, title)


_PLACE, _CLIP = ("video", "start"), ("frames", "size", "resize")
KINDS = {
    "clip": _Kind(
        "A clip's frames and flow, as a picture (png) or an animation (gif).",
        _draw_clip,
        ("data",),
        (*_PLACE, "frames", "rate"),
        (*output.FIGURES, ".gif"),
        clip=("size", "resize"),
    ),
    "statistics": _Kind(
        "A clip's motion boundaries and its labels.",
        _draw_statistics,
        ("data",),
        _PLACE,
        clip=_CLIP,
    ),
    "attention": _Kind(
        "Where a network looks in a clip, as a picture (png) or an animation (gif).",
        _draw_attention,
        ("data", "model"),
        (*_PLACE, "rate"),
        (*output.FIGURES, ".gif"),
    ),
    "views": _Kind(
        "The views of a clip that a task gives to its network.",
        _draw_views,
        ("data",),
        (*_PLACE, "seed"),
        clip=_CLIP,
        task=True,
    ),
    "retrieval": _Kind(
        "A page of queries and their nearest videos.",
        _draw_retrieval,
        ("data", "neighbours"),
        ("classes", "most"),
        (".html",),
    ),
    "embedding": _Kind(
        "A t-SNE map of video features, as a picture or as a page that names each point.",
        _draw_embedding,
        ("features",),
        ("classes", "perplexity", "seed", "most"),
        (*output.FIGURES, ".html"),
    ),
}

"""Pages of predictions: one per video with thumbnails and classes over time, and an overview."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mas import pages
from mas.pages import Markup

ROW_SECONDS, MOST_ROWS = 30, 12  # length and number of strips; a longer video has longer strips
IN_ROW = 12  # thumbnails per strip
PICTURES = IN_ROW * MOST_ROWS  # thumbnails on a page, at most
MOST_SPANS, COLUMNS = 400, 1200  # most segments drawn per strip; columns to draw if there are more
MOST_SMALL, SMALL = 80, 240  # the same for the overview page
NAMED = 0.015  # share of a strip's length below which a bar has no room for its name
POINTS = 600  # of a strip's curve
MOST_CARDS = 24  # segments shown as loops
IN_LOOP = 16  # frames per loop
LOOP_SECONDS = 2.0  # longest duration of a loop
STILL, HALF = 128, 0.5  # width of a thumbnail in pixels; centre of a cell
# Hues are multiples of the golden angle, so consecutive classes have distant hues.
GOLDEN, LIGHT = 137.508, (40, 52, 31)

STYLE = """
.strip { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr; margin-top: 4px; }
.strip img { width: 100%; height: auto; display: block; }
.track { position: relative; height: 22px; background: #e6e9ed; overflow: hidden; }
.track i { position: absolute; top: 0; bottom: 0; overflow: hidden; color: #fff; font: 600 12px/22px
  system-ui, sans-serif; padding-left: 4px; white-space: nowrap; box-shadow: inset -1px 0 #fff8; }
.curve { display: block; width: 100%; height: 36px; background: #f5f6f8; }
.times { display: flex; justify-content: space-between; font-size: 12px; color: var(--faint); }
.strips section { border: 0; padding: 6px 0; }
.key { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 8px 0; }
.key span::before, b.class::before { content: ""; display: inline-block; width: 11px; height: 11px;
  margin-right: 5px; background: var(--colour); border-radius: 2px; }
.wide table { width: 100%; }
.wide td:nth-child(4) { width: 60%; min-width: 320px; }
"""


def colour(label: int) -> str:
    """CSS colour of a class, the same on every page.

    >>> colour(0), colour(1)
    ('hsl(0 62% 40%)', 'hsl(138 62% 52%)')
    """
    return f"hsl({round(label * GOLDEN) % 360} 62% {LIGHT[label % len(LIGHT)]}%)"


def of_video(
    found: dict[str, Any],
    pictures: Sequence[tuple[float, np.ndarray]],
    names: Sequence[str],
    shown: str,
    above: str,
) -> str:
    """Makes the page of a video.

    Args:
        found: content of its json file, and "track", a `segments.Track`.
        pictures: [(seconds, uint8 (h, w, 3))], thumbnails spread over the video.
        names: class names.
        shown: description of the network's input, in sentences.
        above: relative path of the overview page.

    Returns:
        A self-contained HTML page.
    """
    labels = {name: label for label, name in enumerate(names)}
    seconds, segments = found["seconds"], found["segments"]
    count = min(MOST_ROWS, max(1, math.ceil(seconds / ROW_SECONDS)))
    edges = np.linspace(0, seconds, count + 1)
    strips = [
        _strip(found, pictures, labels, float(start), float(end))
        for start, end in zip(edges[:-1], edges[1:], strict=True)
    ]
    remark = [pages.element("p", f"Remark: {found['remark']}.")] if found["remark"] else []
    return pages.page(
        found["video"],
        _likeliest(found),
        *remark,
        _key(segments, labels),
        pages.element("div", pages.join(strips, "\n"), class_="strips"),
        _cards(segments, pictures, labels),
        pages.element("p", _caution(shown), class_="note"),
        pages.element("p", pages.link(above, "All videos")),
        style=STYLE,
    )


def of_all(
    found: Iterable[dict[str, Any]],
    names: Sequence[str],
    described: dict[str, Any],
    failures: dict[str, str],
) -> str:
    """Makes the overview page, which lists all videos.

    Args:
        found: content of the json file of each video.
        names: class names.
        described: content of predict.json.
        failures: {path: reason} of the videos that failed.
    """
    labels = {name: label for label, name in enumerate(names)}
    lines = []
    for video in found:
        spans = _spans(video["segments"], 0.0, video["seconds"], MOST_SMALL, SMALL)
        name, share = video["classes"][0]
        lines.append(
            (
                pages.link(f"pages/{video['video']}.html", video["video"]),
                pages.time_text(video["seconds"]),
                pages.join((_class(name, labels), f" {share:.0%}")),
                _track(spans, 0.0, video["seconds"], labels),
                video["remark"],
            )
        )
    header = ("video", "length", "most likely class", "over time", "")
    table = pages.element("div", pages.table(header, lines), class_="wide")
    failed = [pages.table(("failed", "why"), sorted(failures.items()))] if failures else []
    title = f"Predictions of {described['model']}"
    note = pages.element("p", _caution(described["shown"]), class_="note")
    return pages.page(title, *failed, table, note, style=STYLE)


def _caution(shown):
    return (
        f"{shown} The network knows only the classes it was trained on, and assigns one of them to "
        "anything it sees. Probabilities are its own estimates: even high ones can be wrong on "
        "videos unlike the training videos."
    )


def _class(name, labels):
    return pages.element("b", name, class_="class", style=f"--colour:{colour(labels[name])}")


def _likeliest(found):
    """The most likely classes of the whole video, and its length."""
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found["classes"])
    length = pages.time_text(found["seconds"])
    return pages.element("p", pages.bold(shares), f" of the whole video, {length}.")


def _key(segments, labels):
    """Each class of the segments and its total time."""
    total: collections.Counter = collections.Counter()
    for part in segments:
        total[part["class"]] += part["end"] - part["start"]
    spans = [
        pages.element("span", f"{name} {seconds:.1f} s", style=f"--colour:{colour(labels[name])}")
        for name, seconds in total.most_common()
    ]
    return pages.element("div", pages.join(spans), class_="key")


def _strip(found, pictures, labels, start, end):
    """A strip of thumbnails with its classes and their probability below."""
    times = np.array([time for time, _ in pictures])
    stills = []
    for place in range(IN_ROW if len(times) else 0):
        time = start + (place + HALF) * (end - start) / IN_ROW
        nearest = int(np.abs(times - time).argmin())
        at = pages.time_text(times[nearest])
        stills.append(pages.still(pictures[nearest][1], at, STILL))
    return pages.element(
        "section",
        pages.element("div", pages.join(stills), class_="strip"),
        _track(_spans(found["segments"], start, end), start, end, labels),
        _curve(found["track"], found["seconds"], start, end),
        pages.element(
            "div",
            pages.element("span", pages.time_text(start)),
            pages.element("span", pages.time_text(end)),
            class_="times",
        ),
    )


def _spans(segments, start, end, most=MOST_SPANS, columns=COLUMNS):
    """[(class, start, end, title)] of the segments between two times."""
    found = []
    for part in segments:
        first, last = max(start, part["start"]), min(end, part["end"])
        if first < last:
            times = f"{pages.time_text(part['start'])} to {pages.time_text(part['end'])}"
            title = f"{part['class']}, {times}, {part['probability']:.0%}"
            found.append((part["class"], first, last, title))
    if len(found) <= most:
        return found
    width = (end - start) / columns
    starts = np.array([span[1] for span in found])
    places = np.searchsorted(starts, start + (np.arange(columns) + HALF) * width, "right") - 1
    kept = []
    for column, place in enumerate(places.tolist()):
        name, first, last, _ = found[max(0, place)]
        at = start + column * width
        if not first <= at + HALF * width < last:
            continue
        if kept and kept[-1][0] == name and abs(kept[-1][2] - at) < HALF * width:
            kept[-1] = (name, kept[-1][1], at + width, name)
        else:
            kept.append((name, at, at + width, name))
    return kept


def _track(spans, start, end, labels):
    """Coloured bars over time."""
    length = max(end - start, 1e-9)
    bars = [
        pages.element(
            "i",
            name if last - first > NAMED * length else "",
            title=title,
            style=(
                f"left:{100 * (first - start) / length:.3f}%;"
                f"width:{100 * (last - first) / length:.3f}%;background:{colour(labels[name])}"
            ),
        )
        for name, first, last, title in spans
    ]
    return pages.element("div", pages.join(bars), class_="track")


def _curve(track, seconds, start, end):
    """The probability of each window's most likely class, from 0 (bottom) to 1 (top)."""
    bounds, values = track.bounds(seconds), track.probabilities
    centres = (bounds[:-1] + bounds[1:]) / 2
    length = max(end - start, 1e-9)
    inside = (bounds[1:] > start) & (bounds[:-1] < end)
    centres, values = centres[inside], values[inside]
    parts = np.array_split(np.arange(len(values)), min(POINTS, max(1, len(values))))
    points = [
        (1000 * (centres[part].mean() - start) / length, 100 * (1 - values[part].mean()))
        for part in parts
        if len(part)
    ]
    if points:  # from edge to edge
        points = [(0.0, points[0][1]), *points, (1000.0, points[-1][1])]
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    line = {"fill": "none", "stroke": "#39424e", "stroke_width": "1.5"}
    drawn = pages.element("polyline", points=text, vector_effect="non-scaling-stroke", **line)
    box = {"viewBox": "0 -6 1000 112", "preserveAspectRatio": "none", "role": "img"}
    title = pages.element("title", "Probability of the most likely class, from 0 (bottom) to 1")
    return pages.element("svg", title, drawn, class_="curve", **box)


def _cards(segments, pictures, labels) -> Markup:
    """The longest segments as loops."""
    longest = sorted(segments, key=lambda part: part["start"] - part["end"])[:MOST_CARDS]
    cards = []
    for part in sorted(longest, key=lambda part: part["start"]):
        frames = [image for time, image in pictures if part["start"] <= time < part["end"]]
        if not frames:
            continue
        seconds = min(part["end"] - part["start"], LOOP_SECONDS)
        loop = pages.moving(frames, len(frames) / seconds, part["class"], most=IN_LOOP)
        times = f"{pages.time_text(part['start'])} to {pages.time_text(part['end'])}"
        below = f"{part['probability']:.0%} over {part['windows']} windows"
        cards.append(pages.card(loop, _class(part["class"], labels), times, below))
    note = f"The {len(cards)} longest of {len(segments)}." if len(cards) < len(segments) else ""
    return pages.row("Segments", cards, note) if cards else Markup("")

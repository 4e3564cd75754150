"""Maps of video features by t-SNE, coloured by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mas import lazy, pages
from mas.checks import check_range
from mas.visualize.classes import class_colours, class_name

if TYPE_CHECKING:
    from matplotlib import figure
    from sklearn import decomposition, manifold
else:
    decomposition = lazy.module("sklearn.decomposition")
    figure = lazy.module("matplotlib.figure")
    manifold = lazy.module("sklearn.manifold")

threadpoolctl = lazy.module("threadpoolctl")  # comes with scikit-learn

MOST_VIDEOS = 5000  # a minute or two on two cores
LEAST_VIDEOS = 5
PRINCIPAL = 50  # principal components kept: van der Maaten and Hinton, 2008, section 4.2
PERPLEXITY = 30.0  # the same section uses 40, and calls 5 to 50 usual
FEW = 500  # videos; with fewer, several threads are slower than one
MOST_NAMED = 30  # most classes in a legend

_STYLE = """svg { border: 1px solid var(--line); max-width: 100%; height: auto; }
circle:hover { stroke: black; stroke-width: 2; }
p span { display: inline-block; margin-right: 1em; }
"""


def bounded_perplexity(perplexity: float, videos: int) -> float:
    """Limits the perplexity to a third of the other videos.

    >>> bounded_perplexity(30, videos=31), bounded_perplexity(5, videos=31)
    (10.0, 5)

    Raises:
        ValueError: If it is not above 0, or there are fewer than `LEAST_VIDEOS` videos.
    """
    if videos < LEAST_VIDEOS:
        raise ValueError(f"features must be of {LEAST_VIDEOS} videos or more. Received: {videos}.")
    check_range("perplexity", perplexity, above=0)
    return min(perplexity, (videos - 1) / 3)


def tsne(values: np.ndarray, perplexity: float = PERPLEXITY, seed: int = 0) -> np.ndarray:
    """Computes t-SNE (van der Maaten and Hinton, 2008) of features with scikit-learn.

    Args:
        values: features, float (videos, D); if D is larger than `PRINCIPAL`, their principal
            components are used.
        perplexity: effective number of neighbours, reduced for few videos (`bounded_perplexity`).
        seed: seed of the principal components and the optimisation.

    Returns:
        float64 (videos, 2). Distances between distant groups mean little.

    Raises:
        ValueError: If there are too few videos, or the perplexity is not above 0.
    """
    perplexity = bounded_perplexity(perplexity, len(values))
    values = np.asarray(values, np.float64)
    if min(values.shape) > PRINCIPAL:
        values = decomposition.PCA(PRINCIPAL, random_state=seed).fit_transform(values)
    method = manifold.TSNE(2, perplexity=perplexity, random_state=seed, init="pca")
    with threadpoolctl.threadpool_limits(1 if len(values) < FEW else None):
        return method.fit_transform(values).astype(np.float64)


def sample_videos(count: int, most: int = MOST_VIDEOS, seed: int = 0) -> np.ndarray:
    """Draws at most `most` of `count` videos at random; returns their numbers in ascending order.

    >>> sample_videos(3), len(sample_videos(10000, most=4))
    (array([0, 1, 2]), 4)
    """
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def draw_embedding(
    points: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    names: Sequence[str] | None = None,
    title: str = "",
) -> figure.Figure:
    """Draws the map as a picture.

    Args:
        points: float (videos, 2).
        labels: int (videos,); -1, unlabelled, is grey.
        names: class names in label order; None shows label numbers.
        title: title of the picture.

    Returns:
        matplotlib.figure.Figure, with a legend for up to `MOST_NAMED` classes.
    """
    canvas = figure.Figure(figsize=(9, 7), layout="constrained")
    axis = canvas.add_subplot()
    for name, colour, chosen in _classes(labels, names):
        x, y = points[chosen].T
        axis.scatter(x, y, s=14, color=[colour], label=name)
    if len(np.unique(labels)) <= MOST_NAMED:
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    axis.set(xticks=[], yticks=[], title=title, aspect="equal")
    return canvas


def embedding_page(
    points: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    videos: Sequence[str],
    names: Sequence[str] | None = None,
    title: str = "",
    side: int = 800,
) -> str:
    """Makes a page of the map, on which hovering over a point shows its video.

    Args:
        points: float (videos, 2).
        labels: int (videos,); -1, unlabelled, is grey.
        videos: ids.
        names: class names in label order; None shows label numbers.
        title: title of the page.
        side: side of the map, in pixels.

    Returns:
        Self-contained HTML.
    """
    lowest, extent = points.min(0), max(float(np.ptp(points, axis=0).max()), 1e-9)
    places = 10 + (points - lowest) / extent * (side - 20)
    legend, circles = [], []
    for name, colour, chosen in _classes(labels, names):
        shade = "#{:02x}{:02x}{:02x}".format(*np.rint(255 * colour).astype(int))
        dot = pages.element("b", "\u25cf", style=f"color:{shade}")
        legend.append(pages.element("span", dot, f" {name}"))
        for place in chosen:
            x, y = (f"{part:.1f}" for part in (places[place, 0], side - places[place, 1]))
            said = pages.element("title", f"{videos[place]} ({name})")
            circles.append(pages.element("circle", said, cx=x, cy=y, r=5, fill=shade))
    box = {"width": side, "height": side, "viewBox": f"0 0 {side} {side}"}
    plane = pages.element("svg", pages.join(circles, "\n"), **box)
    return pages.page(title, pages.element("p", pages.join(legend, "\n")), plane, style=_STYLE)


def _classes(labels, names):
    """Yields (name, colour, rows) of each class with a video, in label order."""
    labels = np.asarray(labels)
    colours = class_colours(int(labels.max()) + 1)
    for label in np.unique(labels):
        colour = colours[label] if label >= 0 else np.full(3, 0.6)
        yield class_name(label, names), colour, np.flatnonzero(labels == label)

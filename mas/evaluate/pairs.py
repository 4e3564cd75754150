"""The pairs of ASLAN (View 2): read, and matched to the videos that are there."""

from __future__ import annotations

import collections
import io
import pathlib
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from mas import checks, files, lists
from mas.files import PathLike

FILE, VARIABLE = "View2.mat", "action_splits_pairs"
SHAPE = (600, 5, 10)  # pairs, columns, folds: the README of the data set
SAMPLES = 3697  # the same
Pairs = list[list[tuple[str, str, int]]]  # of each fold: two ids, and 1 for the same action


def find(aslan: PathLike) -> pathlib.Path:
    """The file of the pairs in a folder.

    Raises:
        FileNotFoundError: there is none.
    """
    path = checks.path("aslan", aslan) / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"aslan must be a folder that holds {FILE}. Received: aslan='{aslan}'."
        )
    return path


def count(missing: Sequence[tuple]) -> str:
    """How many pairs lack a video, and which videos."""
    videos = collections.Counter(video for _, _, absent in missing for video in absent)
    named = ", ".join(sorted(videos)[:5]) + (" and others" if len(videos) > 5 else "")
    pairs = lists.counted(len(missing), "pair")
    return f"{pairs} for want of {lists.counted(len(videos), 'video')}: {named}"


def read(path: PathLike) -> Pairs:
    """Reads the pairs of View 2.

    Args:
        path: View2.mat, with the variable `action_splits_pairs`, 600 x 5 x 10: of each pair and
            fold the two samples, whether they are the same, and their actions (not used).

    Returns:
        A list of 10 lists of 600 tuples (first, second, same): ids such as "0001", and 0 or 1.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not that file; names it and what came.
    """
    import scipy.io

    # What SciPy raises for bytes that it cannot read; NotImplementedError for version 7.3.
    unreadable = (scipy.io.matlab.MatReadError, NotImplementedError, OSError, TypeError)
    files.check_regular(path)
    content = pathlib.Path(path).read_bytes()
    try:
        held = scipy.io.loadmat(io.BytesIO(content), variable_names=[VARIABLE])
    except (*unreadable, ValueError, IndexError, zlib.error) as error:
        raise ValueError(
            f"{path} must be a MATLAB file below version 7.3. Received: {error}."
        ) from None
    table = held.get(VARIABLE)
    if table is None or table.shape != SHAPE or table.dtype.kind not in "iuf":
        received = "none" if table is None else f"{table.dtype} {table.shape}"
        raise ValueError(f"{path} must hold {VARIABLE}, numbers {SHAPE}. Received: {received}.")
    for column, least, most in ((0, 1, SAMPLES), (1, 1, SAMPLES), (2, 0, 1)):
        values = table[:, column]
        wrong = ~((values >= least) & (values <= most) & (values == np.floor(values)))
        if wrong.any():
            pair, fold = np.argwhere(wrong)[0]
            raise ValueError(
                f"{path}: column {column + 1} must hold whole numbers in {least}..{most}. "
                f"Received: {values[pair, fold]} in pair {pair + 1} of fold {fold + 1}."
            )
    rows = table[:, :3].transpose(2, 0, 1).astype(int).tolist()
    return [[(f"{one:04d}", f"{other:04d}", same) for one, other, same in fold] for fold in rows]


def present(pairs: Pairs, videos: Iterable[str]) -> tuple[Pairs, list[tuple]]:
    """Tells the pairs whose videos are there from the others.

    >>> present([[("0001", "0002", 1), ("0001", "0003", 0)]], ["avi/0001", "avi/0002"])
    ([[('avi/0001', 'avi/0002', 1)]], [(1, 2, ['0003'])])

    Args:
        pairs: of `read`.
        videos: ids; a video is known by the last part of its id, as in "avi/0001".

    Returns:
        (kept, missing): the pairs of each fold with the ids as in `videos`; and
        (fold, pair, names of the videos that are not there) of each other pair, counted from 1.

    Raises:
        ValueError: two videos have the name of one sample.
    """
    known: dict[str, str] = {}
    for video in videos:
        name = video.rsplit("/", 1)[-1]
        if known.setdefault(name, video) != video and name.isdecimal():
            raise ValueError(f"a sample must be there once. Received: {known[name]} and {video}.")
    kept: Pairs = []
    missing: list[tuple] = []
    for fold, these in enumerate(pairs, 1):
        kept.append([])
        for number, (first, second, same) in enumerate(these, 1):
            absent = [video for video in (first, second) if video not in known]
            if absent:
                missing.append((fold, number, absent))
            else:
                kept[-1].append((known[first], known[second], same))
    return kept, missing


def check(pairs: Pairs) -> None:
    """Refuses an empty fold, or folds that hold one kind of pairs alone, with a ValueError."""
    same = [[kind for *_, kind in fold] for fold in pairs]
    for number, kinds in enumerate(same, 1):
        others = [kind for n, part in enumerate(same, 1) if n != number for kind in part]
        if not len(kinds) or len(set(others)) < 2:
            raise ValueError(
                "each fold must hold pairs, and the others both kinds. Received: fold "
                f"{number} with {len(kinds)}, the others with {sum(others)} same of {len(others)}."
            )

"""Reads the pairs of ASLAN (View 2), and matches them with the available videos."""

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
SHAPE = (600, 5, 10)  # pairs, columns, folds, from the README of the data set
SAMPLES = 3697  # from the same README
Pairs = list[list[tuple[str, str, int]]]  # folds of pairs: two ids, and 1 for the same action


def find(aslan: PathLike) -> pathlib.Path:
    """Path of the file of pairs in a folder.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    path = checks.path("aslan", aslan) / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"aslan must be a folder that contains {FILE}. Received: aslan='{aslan}'."
        )
    return path


def count(missing: Sequence[tuple]) -> str:
    """Text with the number of pairs that lack a video, and the missing videos."""
    videos = collections.Counter(video for _, _, absent in missing for video in absent)
    named = ", ".join(sorted(videos)[:5]) + (" and others" if len(videos) > 5 else "")
    pairs = lists.counted(len(missing), "pair")
    return f"{pairs} with {lists.counted(len(videos), 'missing video')}: {named}"


def read(path: PathLike) -> Pairs:
    """Reads the pairs of View 2.

    Args:
        path: View2.mat, with the variable `action_splits_pairs`, 600 x 5 x 10: for each pair and
            fold, the two samples, whether they are the same, and their actions (not used).

    Returns:
        A list of 10 lists of 600 tuples (first, second, same): ids such as "0001", and 0 or 1.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file has other contents; the message names it.
    """
    import scipy.io

    # SciPy's errors for unreadable files; NotImplementedError for version 7.3.
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
        raise ValueError(f"{path} must contain {VARIABLE}, numbers {SHAPE}. Received: {received}.")
    for column, least, most in ((0, 1, SAMPLES), (1, 1, SAMPLES), (2, 0, 1)):
        values = table[:, column]
        wrong = ~((values >= least) & (values <= most) & (values == np.floor(values)))
        if wrong.any():
            pair, fold = np.argwhere(wrong)[0]
            raise ValueError(
                f"{path}: column {column + 1} must contain whole numbers in {least}..{most}. "
                f"Received: {values[pair, fold]} in pair {pair + 1} of fold {fold + 1}."
            )
    rows = table[:, :3].transpose(2, 0, 1).astype(int).tolist()
    return [[(f"{one:04d}", f"{other:04d}", same) for one, other, same in fold] for fold in rows]


def present(pairs: Pairs, videos: Iterable[str]) -> tuple[Pairs, list[tuple]]:
    """Separates the pairs with both videos available from the others.

    >>> present([[("0001", "0002", 1), ("0001", "0003", 0)]], ["avi/0001", "avi/0002"])
    ([[('avi/0001', 'avi/0002', 1)]], [(1, 2, ['0003'])])

    Args:
        pairs: pairs as returned by `read`.
        videos: ids of the available videos; the last part is the sample, as in "avi/0001".

    Returns:
        (kept, missing): kept has the complete pairs of each fold, with ids as in `videos`; missing
        has (fold, pair, names of the missing videos) for each other pair, counted from 1.

    Raises:
        ValueError: If two videos have the name of the same sample.
    """
    known: dict[str, str] = {}
    for video in videos:
        name = video.rsplit("/", 1)[-1]
        if known.setdefault(name, video) != video and name.isdecimal():
            raise ValueError(f"a sample must occur once. Received: {known[name]} and {video}.")
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
    """Raises ValueError for an empty fold, or if the other folds have only one kind of pairs."""
    same = [[kind for *_, kind in fold] for fold in pairs]
    for number, kinds in enumerate(same, 1):
        others = [kind for n, part in enumerate(same, 1) if n != number for kind in part]
        if not len(kinds) or len(set(others)) < 2:
            raise ValueError(
                "each fold must have pairs, the other folds pairs of both kinds. Received: fold "
                f"{number} with {lists.counted(len(kinds), 'pair')}; {sum(others)} of the "
                f"{len(others)} pairs in the others are the same."
            )

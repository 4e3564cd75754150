"""Named clusters of clips: the files of `mas sort`, and lists made from them.

    clips.csv   video, first_frame (from 0), start and end (seconds), cluster, cosine
    names.csv   cluster, name, clips, videos, example; the user fills in the names
    sort.json   settings of the run; {"finished": true}

names.csv may have been saved by a spreadsheet, with other separators, a byte order mark, or other
columns.
"""

from __future__ import annotations

import collections
import csv
import pathlib

from mas import files, pages
from mas.checks import check_choice
from mas.files import PathLike
from mas.lists import text
from mas.lists.entries import Entry, counted, some

CLIPS, NAMES, STATE = "clips.csv", "names.csv", "sort.json"
CLIP_FIELDS = ("video", "first_frame", "start", "end", "cluster", "cosine")
NAME_FIELDS = ("cluster", "name", "clips", "videos", "example")
LINES = ("clip", "video")  # units of a line in the list


def cluster_names(folder: PathLike) -> dict[int, str]:
    """Reads the names of the clusters that have a name.

    Args:
        folder: output folder of `mas sort`.

    Returns:
        {cluster number: name}.

    Raises:
        OSError: If there is no such file.
        ValueError: If no cluster has a name, or a line is invalid; names the file and the line.
    """
    found = all_names(folder)
    named = {cluster: name for cluster, name in found.items() if name}
    if not named:
        count = counted(len(found), "cluster")
        raise ValueError(
            f"{pathlib.Path(folder, NAMES)} must name a cluster: fill in its column name. "
            f"Received: {count}, all without."
        )
    return named


def all_names(folder: PathLike) -> dict[int, str]:
    """Reads names.csv as it is: {cluster number: name}, "" where there is none yet.

    Raises:
        OSError: If there is no such file.
        ValueError: If a line is invalid; names the file and the line.
    """
    path = pathlib.Path(folder, NAMES)
    numbered = text.lines(text.read(path))
    header = numbered[0][1] if numbered else ""
    between = max(",;\t", key=header.count)
    columns = [name.strip().strip('"').lower() for name in header.split(between)]
    if not {"cluster", "name"} <= set(columns):
        wanted, received = ",".join(NAME_FIELDS), text.shown(header)
        raise ValueError(f"{path}:1: expected the columns {wanted}. Received: {received}")
    found: dict[int, str] = {}
    for number, line in numbered[1:]:
        row = dict(zip(columns, next(csv.reader([line], delimiter=between)), strict=False))
        cluster, name = row.get("cluster", "").strip(), row.get("name", "").strip()
        if not any(row.values()):
            continue
        if not cluster.isdecimal() or int(cluster) in found:
            allowed = "a different cluster number on each line"
            raise ValueError(f"{path}:{number}: expected {allowed}. Received: {text.shown(line)}")
        found[int(cluster)] = pages.cell_text(name)
    return found


def cluster_classes(folder: PathLike) -> list[str]:
    """Returns the class names, sorted; clusters with the same name are one class.

    Raises:
        OSError, ValueError: See `cluster_names`.
    """
    return sorted(set(cluster_names(folder).values()))


def from_clusters(folder: PathLike, line: str = LINES[0]) -> list[Entry]:
    """Builds a list of the clips in named clusters, labelled by the names.

    Args:
        folder: output folder of `mas sort`, with names filled in in names.csv.
        line: "clip" gives an entry per clip, with its start; "video" gives an entry per video in
            which more than half of the clips have the same name.

    Returns:
        A list of Entry, ordered by video and time.

    Raises:
        OSError: If a file does not exist.
        ValueError: If the folder is unfinished, no cluster has a name, or a line is invalid.
    """
    check_choice("line", line, LINES)
    if not _finished(folder):
        received = f"{folder}, whose {STATE} does not say that mas sort finished"
        raise ValueError(f"clusters must be a folder that mas sort finished. Received: {received}.")
    named = cluster_names(folder)
    labels = {name: label for label, name in enumerate(sorted(set(named.values())))}
    clips = [(video, first, named.get(cluster)) for video, first, cluster in _clips(folder)]
    if line == "clip":
        return [Entry(video, labels[name], first) for video, first, name in clips if name]
    votes: dict[str, collections.Counter] = {}
    for video, _, name in clips:
        votes.setdefault(video, collections.Counter())[name] += 1
    winners = {video: count.most_common(1)[0] for video, count in votes.items()}
    return [
        Entry(video, labels[name])
        for video, (name, most) in winners.items()
        if name and 2 * most > votes[video].total()
    ]


def _finished(folder):
    try:
        return files.read_json(pathlib.Path(folder, STATE)).get("finished") is True
    except (FileNotFoundError, NotADirectoryError):
        return False


def _clips(folder):
    """Yields (video, first frame, cluster) for each line of clips.csv."""
    path = pathlib.Path(folder, CLIPS)
    header, *rows = files.read_csv(path, "surrogateescape") or [[]]
    if tuple(header) != CLIP_FIELDS:
        received = text.shown(",".join(header))
        raise ValueError(f"{path}:1: expected {','.join(CLIP_FIELDS)}. Received: {received}")
    wrong = [row for row in rows if len(row) != len(header) or not _numbers(row)]
    if wrong:
        received = some([text.shown(",".join(row)) for row in wrong], 1)
        raise ValueError(f"{path} must be as mas sort wrote it. Received: the line {received}")
    for video, first, _, _, cluster, _ in rows:
        yield pages.cell_text(video), int(first), int(cluster)


def _numbers(row):
    return row[1].isdecimal() and row[4].isdecimal()

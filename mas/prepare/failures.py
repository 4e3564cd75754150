"""OUTPUT/failures.csv: the videos that could not be prepared, and why."""

import csv
import os

from mas import files, records
from mas.prepare import workers

FAILURES = "failures.csv"


def read(root):
    """Rows (path, reason) of the file; [] if there is none. Names need not be UTF-8."""
    path = root / FAILURES
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [tuple(row) for row in csv.reader(file)][1:]


def write(root, failures):
    """Writes the file from a dict of path and reason; without failures there is none."""
    if failures:
        files.write_csv(root / FAILURES, ("path", "reason"), sorted(failures.items()))
    else:
        (root / FAILURES).unlink(missing_ok=True)


def interrupted(root, paths):
    """What an interrupted run has found out of these files need not be found out again.

    A crash may have been the interruption itself; a finished run's failures, and files that
    changed since, get another chance.
    """
    if (root / records.DESCRIPTION).is_file() or not (root / FAILURES).is_file():
        return {}
    then = (root / FAILURES).stat().st_mtime_ns
    return {
        path: reason
        for path, reason in read(root)
        if path in paths and not reason.startswith(workers.CRASHED)
        if os.path.exists(path) and os.stat(path).st_ctime_ns < then
    }


def others(root, paths):
    """Failures of other files than these, found by earlier calls, while the files stay as they are.

    Nothing is known of a file that changed since: its line goes, and a call about it tries it.
    """
    found = [(path, reason) for path, reason in read(root) if path not in paths]
    then = (root / FAILURES).stat().st_mtime_ns if found else 0
    return {path: reason for path, reason in found if not _changed(path, then)}


def _changed(path, then):
    """Whether a file is gone or another since that time, in ns; a dangling link stays the same."""
    try:
        return os.stat(path).st_ctime_ns > then
    except OSError:
        return not os.path.lexists(path)

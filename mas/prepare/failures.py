"""OUTPUT/failures.csv and damaged.csv: the videos that could not be prepared, or not in full."""

import os

from mas import files, records
from mas.prepare import workers


def write(root, failures, name=records.FAILURES):
    """Writes the file from a dict of path and reason; without any there is none."""
    if failures:
        files.write_csv(root / name, ("path", "reason"), sorted(failures.items()))
    else:
        (root / name).unlink(missing_ok=True)


def interrupted(root, paths):
    """What an interrupted run has found out of these files need not be found out again.

    A crash may have been the interruption itself; a finished run's failures, and files that
    changed since, get another chance.
    """
    finished = (root / records.DESCRIPTION).is_file() and not (root / records.UNFINISHED).exists()
    if finished or not (root / records.FAILURES).is_file():
        return {}
    then = (root / records.FAILURES).stat().st_mtime_ns
    return {
        path: reason
        for path, reason in records.read_failures(root).items()
        if path in paths and not reason.startswith((workers.CRASHED, workers.HUNG, workers.DIED))
        if os.path.exists(path) and os.stat(path).st_ctime_ns < then
    }


def others(root, paths):
    """Failures of other files than these, found by earlier calls, while the files stay as they are.

    Nothing is known of a file that changed since: its line goes, and a call about it tries it.
    """
    found = [
        (path, reason) for path, reason in records.read_failures(root).items() if path not in paths
    ]
    then = (root / records.FAILURES).stat().st_mtime_ns if found else 0
    return {path: reason for path, reason in found if not _changed(path, then)}


def _changed(path, then):
    """Whether a file is gone or another since that time, in ns; a dangling link stays the same."""
    try:
        return os.stat(path).st_ctime_ns > then
    except OSError:
        return not os.path.lexists(path)

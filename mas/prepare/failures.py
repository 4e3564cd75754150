"""OUTPUT/failures.csv and damaged.csv: videos that could not be prepared, or only in part."""

import os

from mas import files, records
from mas.prepare import workers


def write(root, failures, name=records.FAILURES):
    """Writes {path: reason} to the file; removes the file if empty."""
    if failures:
        files.write_csv(root / name, ("path", "reason"), sorted(failures.items()))
    else:
        (root / name).unlink(missing_ok=True)


def interrupted(root, paths):
    """Failures that an interrupted run recorded for these paths and that need no second try.

    Crashes are tried again, since the interruption may have caused them; so are files that changed
    and the failures of a finished run.
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
    """Failures of earlier calls for files other than these.

    A file that has changed since is dropped: the next call with it tries again.
    """
    found = [
        (path, reason) for path, reason in records.read_failures(root).items() if path not in paths
    ]
    then = (root / records.FAILURES).stat().st_mtime_ns if found else 0
    return {path: reason for path, reason in found if not _changed(path, then)}


def _changed(path, then):
    """Whether a file changed after `then` (ns) or is gone; a dangling link is unchanged."""
    try:
        return os.stat(path).st_ctime_ns > then
    except OSError:
        return not os.path.lexists(path)

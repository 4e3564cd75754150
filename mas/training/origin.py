"""Time, library versions and commit of a run."""

import datetime
import importlib.metadata
import pathlib
import platform
import subprocess


def now():
    """The current local time, in ISO format."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def versions():
    """Versions of Python and of the libraries that affect results."""
    names = ("mas-video", "tensorflow", "keras", "numpy", "opencv-contrib-python-headless", "numba")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit():
    """Commit of the checkout, with + for uncommitted changes; None outside a checkout."""
    try:
        command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
        folder = pathlib.Path(__file__).parent
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

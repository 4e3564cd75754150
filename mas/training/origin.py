"""When and with what a run was made: time, versions, commit."""

import datetime
import importlib.metadata
import pathlib
import platform
import subprocess


def now():
    """The time of day, as text."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def versions():
    """Versions of Python and the libraries that decide the numbers."""
    names = ("mas-video", "tensorflow", "keras", "numpy", "opencv-contrib-python-headless", "numba")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit():
    """The checkout's commit, with + if there are changes; None outside a checkout."""
    try:
        command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
        folder = pathlib.Path(__file__).parent
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

"""The commands, `mas COMMAND ...`. Only this package knows about flags.

A command is a module with `run(arguments)`, which returns the exit status, and an entry in
`COMMANDS`.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence

from absl import flags as absl_flags
from absl import logging

from mas.cli.flags import HelpWanted, UsageError

# name: what it does.
COMMANDS = {
    "train": "pre-train a network on unlabelled videos",
    "finetune": "train a classifier from a pre-trained network and test it",
    "prepare": "decode videos, and store their frames and optical flow",
    "lists": "build lists of videos and labels",
    "evaluate": "evaluate a network (action, retrieval, probe, ...) or write its features",
    "predict": "classify unlabelled videos of any length with a fine-tuned network",
    "visualize": "draw clips, labels, attention, views, retrieval and embeddings",
    "index": "extract features of all clips of many videos, for search and sort",
    "search": "find the clips of an index that are nearest to a query",
    "sort": "sort the clips of an index into clusters, and find near-duplicates",
    "convert": "convert a published checkpoint to a .keras file",
    "study": "compare the pretext tasks on your videos, with a small network",
    "recipes": "list the recipes, or print one",
}
RESUMED = ("train", "finetune", "prepare", "predict", "index", "study")  # by repeating the command
EXPECTED = (FloatingPointError, ImportError, OSError, RuntimeError, ValueError, UsageError)
FAILED, INTERRUPTED, TERMINATED = 2, 128 + signal.SIGINT, 128 + signal.SIGTERM


class _Terminated(BaseException):
    """The process received SIGTERM."""


def main(*arguments: str) -> int:
    """Runs `mas`; returns the exit status.

    Args:
        *arguments: a command and its arguments; by default those of the process.
    """
    given = list(arguments) or sys.argv[1:]
    if not given or given[0] in ("-h", "--help", "--helpfull", "help"):
        return _log(_overview()) if given else _log(_overview(), FAILED)
    if given[0] == "--version":
        return _log(importlib.import_module("mas").__version__)
    command = given[0]
    quiet()
    if command not in COMMANDS:
        return _fail(f"COMMAND must be one of {', '.join(COMMANDS)}. Received: {command!r}.")
    return _run(command, given[1:])


def of(command: str) -> int:
    """Runs a command with the arguments of the process: train.py, `python -m mas.COMMAND`."""
    return main(command, *sys.argv[1:])


def _run(command: str, arguments: Sequence[str]) -> int:
    earlier = signal.signal(signal.SIGTERM, _terminate)
    try:
        return importlib.import_module(f"mas.cli.{command}").run(list(arguments))
    except HelpWanted as text:
        return _log(str(text))
    except EXPECTED as error:
        return _fail(str(error), getattr(error, "status", FAILED))
    except KeyboardInterrupt:
        return _stopped(command, INTERRUPTED)
    except _Terminated:
        return _stopped(command, TERMINATED)
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _terminate(number, frame):
    raise _Terminated


def _stopped(command, status):
    """Exits at once, since threads of the input pipeline may still be running."""
    logging.error("stopped%s", "; the same command resumes" if command in RESUMED else "")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _log(text, status=0):
    sys.stdout.write(text + "\n")
    return status


def _fail(text, status=FAILED):
    """Logs an error in one line."""
    logging.error("%s", text.strip().splitlines()[0] if text.strip() else "failed")
    return status


def _overview():
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, text in COMMANDS.items()]
    hint = "Run mas COMMAND --help for the flags of a command."
    return "\n".join(["mas COMMAND --FLAG=VALUE ...", "", *lines, "", hint])


def load_frameworks() -> None:
    """Imports TensorFlow without its startup messages; call it after the flags are checked.

    TensorFlow prints about ten lines from C++ before logging can be configured, among them an error
    on machines without a GPU. They are shown if TF_CPP_MIN_LOG_LEVEL is set.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        importlib.import_module("tensorflow")
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    with open(os.devnull, "w") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            tensorflow = importlib.import_module("tensorflow")
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    tensorflow.get_logger().setLevel("ERROR")


def quiet() -> None:
    """Logs without absl's prefix, and hides messages of other packages below errors.

    TensorFlow also logs through absl, with a dozen lines for every file it saves.
    """
    absl_flags.FLAGS.mark_as_parsed()  # absl's own flags are not used; this avoids a warning
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler()
    handler.setFormatter(None)
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

    def wanted(record):
        error = record.levelno >= logging.converter.STANDARD_ERROR
        return error or os.path.abspath(record.pathname).startswith(package)

    for old in list(handler.filters):
        handler.removeFilter(old)
    handler.addFilter(wanted)

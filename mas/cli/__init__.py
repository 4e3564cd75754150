"""The commands: `mas COMMAND ...`, and the only room that knows flags.

A command is a module here with `run(arguments)`, which returns the exit status, and one line in
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
    "train": "pre-train a network on unlabelled video",
    "finetune": "train a classifier on a pre-trained network, and test it",
    "prepare": "decode videos, compute optical flow, store both",
    "lists": "build lists of videos and labels",
    "evaluate": "test a network: action, retrieval, probe and others; write its features",
    "predict": "a fine-tuned network on videos without labels, of any length",
    "visualize": "draw clips, labels, attention, views, retrieval and embeddings",
    "index": "features of the clips of many videos, to search and to sort",
    "search": "find the clips that are nearest to one",
    "sort": "sort the clips of an index into clusters, and find near-duplicates",
    "convert": "turn an authors' checkpoint into a .keras file",
    "study": "compare what the tasks teach a small network",
    "recipes": "list the recipes, or print one",
}
RESUMED = ("train", "finetune", "prepare", "predict", "index", "study")  # by the same command
EXPECTED = (FloatingPointError, ImportError, OSError, RuntimeError, ValueError, UsageError)
FAILED, INTERRUPTED, TERMINATED = 2, 128 + signal.SIGINT, 128 + signal.SIGTERM


class _Terminated(BaseException):
    """SIGTERM came."""


def main(*arguments: str) -> int:
    """Runs `mas`; returns the exit status.

    Args:
        *arguments: a command and what stands behind it; none takes those of the process.
    """
    given = list(arguments) or sys.argv[1:]
    if not given or given[0] in ("-h", "--help", "--helpfull", "help"):
        return _say(_overview()) if given else _say(_overview(), FAILED)
    if given[0] == "--version":
        return _say(importlib.import_module("mas").__version__)
    command = given[0]
    quiet()
    if command not in COMMANDS:
        return _fail(f"COMMAND must be one of {', '.join(COMMANDS)}. Received: {command!r}.")
    return _run(command, given[1:])


def of(command: str) -> int:
    """Runs one command on the arguments of the process: train.py, `python -m mas.COMMAND`."""
    return main(command, *sys.argv[1:])


def _run(command: str, arguments: Sequence[str]) -> int:
    earlier = signal.signal(signal.SIGTERM, _terminate)
    try:
        return importlib.import_module(f"mas.cli.{command}").run(list(arguments))
    except HelpWanted as text:
        return _say(str(text))
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
    """Ends the process at once: threads of the pipeline may still be at work."""
    logging.error("stopped%s", "; the same command resumes" if command in RESUMED else "")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _say(text, status=0):
    sys.stdout.write(text + "\n")
    return status


def _fail(text, status=FAILED):
    """Logs an error in one line."""
    logging.error("%s", text.strip().splitlines()[0] if text.strip() else "failed")
    return status


def _overview():
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, text in COMMANDS.items()]
    hint = "mas COMMAND --help shows the flags of a command."
    return "\n".join(["mas COMMAND --FLAG=VALUE ...", "", *lines, "", hint])


def load_frameworks() -> None:
    """Imports TensorFlow, once the flags are known to be right, without what it says of itself.

    It writes some ten lines from C++ before any logging is set up, an error among them on every
    machine without a GPU. Where TF_CPP_MIN_LOG_LEVEL is set, the user has chosen to see them.
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
    """Shows messages without absl's prefix, and below errors only this project's.

    TensorFlow logs through absl too, a dozen lines about every file that it saves.
    """
    absl_flags.FLAGS.mark_as_parsed()  # absl's own, of which none is used: else it warns
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

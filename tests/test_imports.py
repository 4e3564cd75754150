"""Who may import whom: one table, and no import upward."""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SCRIPTS = ("train.py", "finetune.py")  # and every `__main__.py`
TF, KERAS = "tensorflow", "keras"
TORCH, SAFETENSORS = "torch", "safetensors"  # of the extra `convert`: nothing else needs them
SKLEARN = "sklearn"  # for the classifiers of the evaluation

# The rooms of `mas`, bottom to top: a module imports its own room and those before it. The second
# column is which of the frameworks above the room may import. The third, where it stands, is all
# that the room may import besides Python's own: none of the other rooms.
ROOMS = {
    "lazy": ([], None),
    "checks": ([], None),
    "files": ([], None),
    "backbones": ([KERAS], [KERAS]),  # so that a network runs on Keras's other backends, too
    "settings": ([], None),
    "lists": ([], None),
    "video": ([], None),
    "flow": ([], None),
    "records": ([TF], None),
    "prepare": ([], None),
    "clips": ([TF], None),
    "augment": ([TF], None),
    "statistics": ([], ["cv2", "numba", "numpy"]),
    "heads": ([KERAS], None),
    "optimizers": ([KERAS], [KERAS]),
    "tasks": ([KERAS, TF], None),
    "export": ([KERAS, TF], None),
    "training": ([TF], None),
    "run_folder": ([TF], None),
    "weights": ([KERAS], None),
    "convert": ([TF, TORCH, SAFETENSORS], None),
    "evaluate": ([KERAS, TF, SKLEARN], None),
    "sample": ([], None),
    "visualize": ([SKLEARN], None),
    "cli": ([KERAS, TF], None),
    "scripts": ([], None),
}
ORDER = list(ROOMS)


def room_of(path):
    """The room of a source file, given below the root."""
    first, *rest = pathlib.PurePosixPath(path).with_suffix("").parts
    return rest[0] if first == "mas" and rest[-1] != "__main__" else "scripts"


def imported(source):
    """(line, dotted name) of everything that a source imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def wrong(room, name):
    """Why a module of a room must not import a name, or None."""
    frameworks, alone = ROOMS[room]
    top, _, rest = name.partition(".")
    below = rest.split(".")[0]
    if not top:
        return "a relative import"
    if f"{top}.py" in SCRIPTS:
        return "a script"
    if top == "mas":
        if below not in ROOMS or below == "scripts":
            return "no room of the table"
        if ORDER.index(below) > ORDER.index(room):
            return "upward"
        return "not alone" if alone is not None and below != room else None
    if top in (TF, KERAS, TORCH, SAFETENSORS, SKLEARN) and top not in frameworks:
        return "not its framework"
    outside = top not in sys.stdlib_module_names
    return "not alone" if alone is not None and outside and top not in alone else None


def problems(path, source):
    room = room_of(path)
    if room not in ROOMS:
        return [f"{path}: {room} is no room of the table"]
    return [
        f"{path}:{line}: {name}: {reason}"
        for line, name in imported(source)
        if (reason := wrong(room, name))
    ]


def test_no_module_imports_upward():
    paths = [*SCRIPTS, *sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("mas/*/*.py"))]
    paths += sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("mas/[!_]*.py"))
    found = [problem for p in paths for problem in problems(p, (ROOT / p).read_text("utf-8"))]
    assert not found, "\n" + "\n".join(found)
    assert {room_of(path) for path in paths} == set(ROOMS)


def test_the_package_itself_imports_nothing():
    assert not list(imported((ROOT / "mas" / "__init__.py").read_text("utf-8")))


@pytest.mark.parametrize(
    ("path", "source", "reason"),
    [
        ("mas/clips/reading.py", "from mas import tasks", "upward"),
        ("mas/clips/reading.py", "from mas import flow, tasks", "upward"),
        ("mas/clips/reading.py", "import mas.tasks.task", "upward"),
        ("mas/clips/reading.py", "from mas.tasks.task import Task", "upward"),
        ("mas/records/reading.py", "def f():\n    from mas import clips", "upward"),
        ("mas/flow.py", "from mas import records", "upward"),
        ("mas/statistics/motion.py", "from mas import clips", "not alone"),
        ("mas/statistics/motion.py", "import tensorflow as tf", "not its framework"),
        ("mas/backbones/plain3d.py", "import tensorflow as tf", "not its framework"),
        ("mas/backbones/plain3d.py", "from tensorflow import nn", "not its framework"),
        ("mas/backbones/plain3d.py", "import numpy as np", "not alone"),
        ("mas/backbones/plain3d.py", "from mas import lists", "upward"),
        ("mas/lists/entries.py", "from keras import ops", "not its framework"),
        ("mas/weights.py", "def f():\n    import torch", "not its framework"),
        ("mas/weights.py", "from safetensors.numpy import load_file", "not its framework"),
        ("mas/weights.py", "from mas import convert", "upward"),
        ("mas/heads.py", "from sklearn import svm", "not its framework"),
        ("mas/tasks/task.py", "from . import classify", "a relative import"),
        ("mas/tasks/task.py", "import train", "a script"),
        ("mas/prepare/__main__.py", "import mas.sticks", "no room of the table"),
        ("mas/sticks.py", "", "sticks is no room of the table"),
        ("train.py", "import finetune", "a script"),
    ],
)
def test_the_check_finds(path, source, reason):
    (found,) = problems(path, source)
    assert found.endswith(reason)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("train.py", "from mas import cli"),
        ("mas/lists/__main__.py", "from mas import cli, lists"),
        ("mas/convert/pickled.py", "def f():\n    import torch"),
        (
            "mas/tasks/mas.py",
            "import keras\nfrom mas.tasks.task import Task\nimport mas.heads",
        ),
        (
            "mas/backbones/plain3d.py",
            "import math\nimport keras\nfrom mas.backbones import initial",
        ),
        ("mas/statistics/motion.py", "import numpy.linalg\nfrom mas.statistics import regions"),
    ],
)
def test_the_check_lets_pass(path, source):
    assert not problems(path, source)

"""What each package may import: one fixed order; flags only in `mas/cli`."""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SCRIPTS = ("train", "finetune")  # and every `__main__.py`
FRAMEWORKS = ("tensorflow", "keras", "sklearn", "torch", "safetensors")
MOST_LINES = 300

# The packages (and single modules) of `mas`, bottom to top: each imports only itself and earlier
# ones. The value lists the frameworks that it may import; with "alone", it may import only these
# and nothing of `mas`.
PACKAGES = {
    "lazy": "",
    "forms": "",
    "checks": "",
    "files": "",
    "locks": "",
    "cluster": "",
    "backbones": "keras alone",  # so that a network runs on Keras's other backends, too
    "statistics": "cv2 numba numpy alone",
    "flow": "",
    "video": "",
    "pages": "",
    "settings": "",
    "lists": "",
    "accuracy": "",
    "records": "tensorflow",
    "clips": "tensorflow",
    "replicas": "tensorflow",
    "losses": "keras tensorflow",
    "augment": "tensorflow",
    "heads": "keras",
    "tasks": "keras tensorflow",
    "networks": "keras",
    "prepare": "",
    "sample": "",
    "convert": "keras tensorflow torch safetensors",
    "features": "keras tensorflow sklearn",
    "index": "sklearn",
    "training": "keras tensorflow",
    "visualize": "keras tensorflow sklearn",
    "evaluate": "keras tensorflow sklearn",
    "prediction": "tensorflow",
    "study": "",
    "mas": "",  # mas/__init__.py
    "cli": "keras tensorflow",
    "scripts": "",
}
ORDER = list(PACKAGES)


def package_of(path):
    """The package of a source file, given below the root."""
    first, *rest = pathlib.PurePosixPath(path).with_suffix("").parts
    if first != "mas" or rest[-1] == "__main__":
        return "scripts"
    return "mas" if rest == ["__init__"] else rest[0]


def imported(source):
    """(line, dotted name) of all imports of a source, also lazy ones and those in functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("lazy.module", "import_module")
        ):
            if isinstance(node.args[0], ast.Constant):
                yield node.lineno, node.args[0].value


def wrong(package, name):
    """Why a module of a package must not import a name, or None."""
    allowed = PACKAGES[package].split()
    alone = "alone" in allowed
    top, _, rest = name.partition(".")
    if not top:
        return "a relative import"
    if top in SCRIPTS:
        return "a script"
    if name.startswith("absl.") and rest.split(".")[0] in ("app", "flags"):
        return None if package == "cli" else "flags"
    if top == "mas":
        below = rest.split(".")[0] or "mas"
        if below not in PACKAGES or below == "scripts":
            return "not in the table"
        if ORDER.index(below) > ORDER.index(package):
            return "upward"
        return "not alone" if alone and below != package else None
    if top in FRAMEWORKS and top not in allowed:
        return "not its framework"
    return "not alone" if alone and top not in (*allowed, *sys.stdlib_module_names) else None


def problems(path, source):
    package = package_of(path)
    if package not in PACKAGES:
        return [f"{path}: {package} is not in the table"]
    reasons = [(line, name, wrong(package, name)) for line, name in imported(source)]
    return [f"{path}:{line}: {name}: {reason}" for line, name, reason in reasons if reason]


def sources():
    for path in [*ROOT.glob("*.py"), *ROOT.glob("mas/**/*.py")]:
        if path.name != "setup.py":
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")


def test_no_module_imports_upward():
    found = [problem for path, source in sources() for problem in problems(path, source)]
    assert not found, "\n" + "\n".join(found)
    assert {package_of(path) for path, _ in sources()} == set(PACKAGES)


def test_files_are_short():
    lengths = {path: source.count("\n") for path, source in sources()}
    assert {p: n for p, n in lengths.items() if n > MOST_LINES} == {}


@pytest.mark.parametrize(
    ("path", "source", "reason"),
    [
        ("mas/clips/reading.py", "from mas import flow, tasks", "upward"),
        ("mas/records/reading.py", "def f():\n    from mas.clips import Reader", "upward"),
        ("mas/tasks/task.py", "networks = lazy.module('mas.networks')", "upward"),
        ("mas/tasks/task.py", "import mas", "upward"),
        ("mas/statistics/motion.py", "from mas import lazy", "not alone"),
        ("mas/backbones/plain3d.py", "import numpy as np", "not alone"),
        ("mas/backbones/plain3d.py", "from tensorflow import nn", "not its framework"),
        ("mas/networks.py", "def f():\n    importlib.import_module('torch')", "not its framework"),
        ("mas/tasks/task.py", "from . import classify", "a relative import"),
        ("mas/tasks/task.py", "import train", "a script"),
        ("mas/evaluate/probe.py", "from absl import flags, logging", "flags"),
        ("mas/prepare/__main__.py", "import mas.sticks", "not in the table"),
        ("mas/sticks.py", "", "sticks is not in the table"),
        ("mas/cli/flags.py", "from absl import flags\nimport mas", None),
        ("mas/tasks/mas.py", "keras = lazy.module('keras')\nimport mas.heads", None),
        ("mas/backbones/plain3d.py", "import math\nfrom mas.backbones import initial", None),
        ("mas/statistics/motion.py", "import numpy.linalg", None),
    ],
)
def test_import_check_finds_violations(path, source, reason):
    found = problems(path, source)
    assert len(found) == (reason is not None) and all(row.endswith(reason) for row in found)

"""The tasks, by name. To add one, add its module, its test and a line here."""

from __future__ import annotations

import importlib

from mas.checks import check_choice, refuse
from mas.tasks.classify import Classify
from mas.tasks.dsm import DSM, DSMTriplet
from mas.tasks.moco import MoCo
from mas.tasks.pace import Pace
from mas.tasks.pace_contrast import PaceContrast
from mas.tasks.statistics import Statistics
from mas.tasks.task import Task
from mas.tasks.vtdl import VTDL

# Pretext tasks. Classification is used only for fine-tuning.
TASKS: dict[str, type[Task]] = {
    "mas": Statistics,
    "pace": Pace,
    "pace_contrast": PaceContrast,
    "moco": MoCo,
    "vtdl": VTDL,
    "dsm": DSM,
    "dsm_triplet": DSMTriplet,
}


def kind(name: str) -> type[Task]:
    """Returns the class of a task.

    >>> kind("vtdl").__name__
    'VTDL'

    Args:
        name: one of `TASKS`, or "module:Class" for a custom task.

    Raises:
        ValueError: If there is no such task.
    """
    if ":" not in name:
        check_choice("task", name, list(TASKS))
        return TASKS[name]
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (AttributeError, ImportError) as error:
        raise ValueError(
            f"task must be module:Class, in a module that can be imported. "
            f"Received: task={name!r}: {error}."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Task)):
        refuse("task", "module:Class of a subclass of mas.tasks.Task", name)
    return found


def name_of(task: Task) -> str:
    """Returns the name by which `kind` finds a task's class; module:Class for a custom task."""
    own = type(task)
    if own is Classify or TASKS.get(task.name) is own:
        return task.name
    return f"{own.__module__}:{own.__qualname__}"


def task(name: str | Task, **settings) -> Task:
    """Creates a task from its name and settings. A `Task` is returned unchanged.

    >>> task("pace", paces=(1, 2)).paces
    ('1', '2')

    Raises:
        ValueError: If the task or a setting is unknown, or a value is not allowed.
    """
    if isinstance(name, Task):
        return name
    if not isinstance(name, str):
        refuse("task", f"one of {list(TASKS)}, module:Class or a mas.tasks.Task", name)
    found = kind(name)
    for unknown in set(settings) - set(found.options()):
        refuse("setting", f"one of {sorted(found.options())} for task={name}", unknown)
    return found(**settings)


__all__ = [
    "DSM",
    "TASKS",
    "VTDL",
    "Classify",
    "DSMTriplet",
    "MoCo",
    "Pace",
    "PaceContrast",
    "Statistics",
    "Task",
    "kind",
    "name_of",
    "task",
]

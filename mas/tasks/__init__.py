"""The tasks by name: a new one is its file, its test and one line here."""

import dataclasses
import inspect
import re

from mas.tasks.classify import Classify
from mas.tasks.dsm import DSM, DSMTriplet
from mas.tasks.moco import MoCo
from mas.tasks.pace import Pace, PaceContrast
from mas.tasks.statistics import Statistics
from mas.tasks.task import Task
from mas.tasks.vtdl import VTDL

# What train.py offers; Classify belongs to finetune.py.
TASKS = {
    "mas": Statistics,
    "pace": Pace,
    "pace_contrast": PaceContrast,
    "moco": MoCo,
    "vtdl": VTDL,
    "dsm": DSM,
    "dsm_triplet": DSMTriplet,
}


def task(name, options=(), **common):
    """Makes a task.

    Args:
        name: one of `TASKS`.
        **common: values for fields that the task may have or not, such as `frames` and `width`;
            `options` cannot name these.
        options: strings `field=value` for fields of the task's dataclass; tuples are written with
            commas, booleans as true or false.

    Raises:
        ValueError: an unknown name, field, or a value of another type.
    """
    if name not in TASKS:
        raise ValueError(f"task must be one of {sorted(TASKS)}. Received: task={name!r}.")
    fields = {field.name: field for field in dataclasses.fields(TASKS[name])}
    if common.get("modality", "rgb") != "rgb" and "modality" not in fields:
        raise ValueError(f"modality must be rgb for task={name}. Received: {common['modality']!r}.")
    values = {key: value for key, value in common.items() if key in fields}
    for option in options:
        key, _, text = option.partition("=")
        if key not in fields or key in common:
            raise ValueError(
                f"option must be one of {sorted(set(fields) - set(common))} for task={name}. "
                f"Received: {option!r}."
            )
        values[key] = _parse(key, text, fields[key].default)
    return TASKS[name](**values)


def fields():
    """What `options` of all tasks can name: {field: (whether it is a boolean, help)}."""
    found = {}
    for name, kind in TASKS.items():
        for field in dataclasses.fields(kind):
            found.setdefault(field.name, []).append((name, kind, field.default))
    return {field: (isinstance(of[0][2], bool), _help(field, of)) for field, of in found.items()}


def _help(field, of):
    """Which tasks have the field, its defaults, and the words on it in a docstring."""
    names = ", ".join(name for name, *_ in of)
    defaults = {}
    for name, _, default in of:
        defaults.setdefault(_written(default), []).append(name)
    if len(defaults) == 1:
        (said,) = defaults
    else:
        said = "; ".join(
            f"{default} of {', '.join(having)}" for default, having in defaults.items()
        )
    for _, kind, _ in of:
        for base in kind.__mro__:  # a method's docstring leaves out what it shares
            text = (inspect.getdoc(base) or "").partition("Attributes:")[2]
            words = re.search(rf"^ +{field}: (.+?)(?=^ +\w+: |\Z)", text, re.DOTALL | re.MULTILINE)
            if words:
                return f"Of {names}: {' '.join(words[1].split())} (default: {said})"
    return f"Of {names}: (default: {said})"


def _parse(key, text, default):
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(default, tuple):
            return tuple(type(default[0])(part) for part in text.split(",") if part)
        return type(default)(text)
    except (KeyError, ValueError):
        raise ValueError(
            f"option {key} must be written like {key}={_written(default)}. Received: {text!r}."
        ) from None


def _written(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()


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
    "fields",
    "task",
]

"""Settings and data that must be unchanged when a run is resumed."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import keras
import numpy as np

from mas import checks, clips, files, records
from mas.training.checkpoints import ADVICE


class Recorded:
    """The settings of a training as text, in one table.

    Args:
        *parts: `mas.checks.Settings`.
        **others: {name: text} of further settings, such as the task's name.

    Raises:
        ValueError: If two parts have a setting of the same name.
    """

    def __init__(self, *parts, **others):
        """See the class."""
        self.texts: dict[str, str] = dict(others)
        self._options: dict[str, checks.Option] = {}
        self._defaults: dict[str, str] = {}
        for part in parts:
            derived = getattr(part, "derived", ())
            for name, known in part.options().items():
                if name in derived:
                    continue
                if name in self.texts or name in self._options:
                    raise ValueError(
                        f"a task's settings must have names of their own. Received: {name!r}, "
                        "a setting of every training."
                    )
                self._options[name] = known
            self.texts |= {n: text for n, text in part.texts().items() if n not in derived}
            self._defaults |= _default_texts(part)

    def differences(self, earlier):
        """Fixed settings that differ from an earlier run, as [(name, text now, text then)].

        Args:
            earlier: {name: [text]} from its flags.txt.
        """
        earlier = dict(earlier)
        for option in earlier.pop("option", []):  # --option=FIELD=VALUE of earlier versions
            name, _, text = option.partition("=")
            earlier[name] = [text]
        found = []
        for name, known in self._options.items():
            if known.free:
                continue
            texts = earlier.get(name) or earlier.get(known.alias) or [self._defaults.get(name)]
            then, now = _normal(known, texts[-1]), self.texts.get(name)
            if then != now:
                found.append((name, now, then))
        for name in ("task", "seed"):
            then = earlier.get(name, [self.texts.get(name)])[-1]
            if then != self.texts.get(name):
                found.append((name, self.texts.get(name), then))
        return found


def _default_texts(part):
    try:
        return type(part)().texts()
    except TypeError:  # a setting without a default
        return {}


def _normal(known, text):
    """The text in the format that this version writes."""
    try:
        return None if text is None else known.form.text(known.form.convert(known.form.parse(text)))
    except (KeyError, TypeError, ValueError):
        return text


def read_flags(path):
    """Reads {name: [text]} from a flags.txt, with one text per occurrence of the flag.

    Raises:
        ValueError: If a line is not a flag; the message names file and line, and says what to do.
    """
    found: dict[str, list[str]] = {}
    for number, line in enumerate(files.read_text(path, "surrogateescape").split("\n"), 1):
        name, _, value = line.removeprefix("--").partition("=")
        if line and not (line.startswith("--") and name.isidentifier() and "\0" not in value):
            raise ValueError(f"{path}:{number} must be a flag. Received: {line[:60]!r}. {ADVICE}")
        if line:
            found.setdefault(name, []).append(value)
    return found


def identity(reader: clips.Reader, **lists: Any) -> dict[str, Any]:
    """Digests of a run's inputs, to detect changes under the same paths.

    Args:
        reader: reader of the training examples.
        **lists: other inputs: paths, entries of a list, or a keras.Model; None for unset ones.
    """
    data, examples = reader.data, reader.examples
    summary = hashlib.sha256("\n".join(data.videos[n] for n in examples.videos).encode())
    for numbers in (data.lengths[examples.videos], examples.starts, examples.labels):
        summary.update(np.asarray(numbers, "<i8").tobytes())
    digests = {f"{name}_sha256": _digest(source) for name, source in lists.items()}
    facts = {"data": records.settings(data), "clips": len(examples)}
    return {**facts, **_attributes(reader.task), "clips_sha256": summary.hexdigest(), **digests}


def _attributes(task):
    """Simple attributes of a custom task that are not settings."""
    plain = (str, int, float, bool, tuple, list, type(None))
    others = {n: v for n, v in vars(task).items() if n not in (*task.options(), "clip", "network")}
    kept = {n: v for n, v in others.items() if isinstance(v, plain) and not n.startswith("_")}
    return {"attributes": {n: repr(v) for n, v in sorted(kept.items())}} if kept else {}


def _digest(source):
    if source is None or isinstance(source, str | os.PathLike):
        return files.digest(source)
    text = _structure(source) if isinstance(source, keras.Model) else repr(list(source))
    return hashlib.sha256(text.encode()).hexdigest()


def _structure(network):
    """A network as JSON with numbered layers: Keras's names depend on the whole process."""
    text = network.to_json()
    for number, part in enumerate(_parts(network)):
        text = text.replace(json.dumps(part.name), f'"{number}"')
    return text


def _parts(network):
    yield network
    for part in getattr(network, "operations", network.layers):
        yield from _parts(part) if isinstance(part, keras.Model) else [part]

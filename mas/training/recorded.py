"""What must be the same when a run is resumed: its settings as texts, and its data."""

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
    """The settings of a training as texts, in one table.

    Args:
        *parts: `mas.checks.Settings`.
        **others: {name: text} of what is no part's setting, such as the task's name.

    Raises:
        ValueError: two parts have a setting of one name.
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
                        "which is a setting of every training."
                    )
                self._options[name] = known
            self.texts |= {n: text for n, text in part.texts().items() if n not in derived}
            self._defaults |= _default_texts(part)

    def differences(self, earlier):
        """[(name, text now, text then)] of settings that must not change when a run is resumed.

        Args:
            earlier: {name: [text]} of a flags.txt.
        """
        earlier = dict(earlier)
        for option in earlier.pop("option", []):  # as --option=FIELD=VALUE
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
    """A text as it is written today."""
    try:
        return None if text is None else known.form.text(known.form.convert(known.form.parse(text)))
    except (KeyError, TypeError, ValueError):
        return text


def read_flags(path):
    """{name: [text]} of a flags.txt, several where a flag may be repeated.

    Raises:
        ValueError: a line is no flag; names the file, the line and the way out.
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
    """What a run is trained on: digests that tell when it changes under the same paths.

    Args:
        reader: of the training.
        **lists: what was read beside the data: paths, lines of a list, or a network of the user's
            own; None for what was not given.
    """
    data, examples = reader.data, reader.examples
    summary = hashlib.sha256("\n".join(data.videos[n] for n in examples.videos).encode())
    for numbers in (data.lengths[examples.videos], examples.starts, examples.labels):
        summary.update(np.asarray(numbers, "<i8").tobytes())
    digests = {f"{name}_sha256": _digest(source) for name, source in lists.items()}
    facts = {"data": records.settings(data), "clips": len(examples)}
    return {**facts, **_attributes(reader.task), "clips_sha256": summary.hexdigest(), **digests}


def _attributes(task):
    """What a task of the user's own keeps beside its settings, as far as JSON can hold it."""
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
    """A network as JSON, its layers by number: Keras counts their names over a whole process."""
    text = network.to_json()
    for number, part in enumerate(_parts(network)):
        text = text.replace(json.dumps(part.name), f'"{number}"')
    return text


def _parts(network):
    yield network
    for part in getattr(network, "operations", network.layers):
        yield from _parts(part) if isinstance(part, keras.Model) else [part]

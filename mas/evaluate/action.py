"""Action recognition: tests fine-tuned networks on whole videos, and on clips without motion."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mas import accuracy, features, files, lazy, lists, networks
from mas.checks import Settings, option, refuse
from mas.evaluate import inputs, report
from mas.evaluate.inputs import Classes, Inputs
from mas.evaluate.report import Result
from mas.features import Sampling, extraction, means

tf = lazy.module("tensorflow")


@dataclasses.dataclass(frozen=True)
class Action(Settings):
    """Classifies videos by the mean of their clips' class probabilities.

        mas.evaluate.Action(static=True)(tuned, data, "test.txt").static.top1

    The scores of several classifiers, such as one on RGB and one on flow, are averaged.

        mas.evaluate.Action()([rgb, flow], data, "test.txt").alone

    >>> Action(static=True).static
    True
    """

    static: bool = option(
        False, "Test again without motion: with the middle frame of each clip repeated."
    )

    def __call__(
        self,
        source: networks.Source | Sequence[networks.Source],
        data: Any,
        videos: str | os.PathLike | Sequence[lists.Entry],
        *,
        sampling: Sampling | None = None,
        columns: str = "video,label",
        classes: Classes = None,
    ) -> Result:
        """Tests one or several classifiers.

        Args:
            source: `mas.Run` or run folder of `mas.finetune`; or its model.keras, or another .keras
                file with the output "logits"; or several of them.
            data: result of `mas.prepare_videos` or `mas.open_data`, or the folder.
            videos: labelled videos: path of a list, or `lists.Entry`.
            sampling: which clips of a video to use; by default ten.
            columns: columns of the list, or the name of a preset.
            classes: names in label order, or a file of them; by default the run's, or those next to
                the list.

        Returns:
            A `Result` whose accuracy is top-1, with `normal` (a `mas.accuracy.Accuracy`), `static`
            (the same, if tested), `classes` and `facts`. With several sources also `alone`
            ({source: top-1}), and `facts` is a list.

        Raises:
            FileNotFoundError: If a source, the data or the list does not exist.
            ValueError: If a source is not a classifier, a label is not one of its classes, or the
                sources have different classes.
        """
        if videos is None:
            refuse("videos", "a list of labelled videos", videos)
        sources = [source] if isinstance(source, str | os.PathLike) else list(source)
        if not sources:
            refuse("source", "one or more classifiers", source)
        path = os.fspath(videos) if isinstance(videos, str | os.PathLike) else None
        members = [_member(one, data, sampling, columns, classes, path) for one in sources]
        names = members[0].names
        for member in members:
            if member.names != names:
                allowed = f"classifiers of the same {len(names)} classes"
                refuse("source", allowed, [str(one) for one in sources])
        found = {
            static: [_scored(member, videos, columns, static) for member in members]
            for static in (False, True)[: 1 + self.static]
        }
        return self._result(found, members, videos, path)

    def _result(self, found, members, videos, path):
        fused = {kind: _fused(parts) for kind, parts in found.items()}
        results: dict[str, Any] = {
            "static" if static else "normal": accuracy.of_scores(part.values, part.labels)
            for static, part in fused.items()
        }
        tables = {
            "static/scores.csv" if static else "scores.csv": accuracy.score_table(
                part.videos, part.labels, part.values
            )
            for static, part in fused.items()
        }
        facts = [
            part.facts | member.facts() for part, member in zip(found[False], members, strict=True)
        ]
        names, made = members[0].names, members[0].made
        numbers: dict[str, Any] = {**results, "classes": names, "list": path}
        numbers |= {"data": str(made.data.data), "facts": facts if len(facts) > 1 else facts[0]}
        numbers["settings"] = made.settings(self, videos=videos)
        if len(members) > 1:
            numbers["settings"]["model"] = [fact["model"] for fact in facts]
            numbers["alone"] = {
                fact["model"]: accuracy.of_scores(part.values, part.labels).top1
                for fact, part in zip(facts, found[False], strict=True)
            }
        text = _paragraph(results, facts, path, numbers.get("alone"))
        matrices = {"": (results["normal"], names)}
        matrices |= {"static": (results["static"], names)} if self.static else {}
        return Result("action", results["normal"].top1, text, numbers, matrices, tables)


class _Member(NamedTuple):
    """A classifier with its file, class names and inputs."""

    source: networks.Source
    path: pathlib.Path
    model: Any
    names: list[str]
    made: Inputs

    def facts(self):
        """Facts on the network and its weights."""
        network = networks.described(self.path).network
        known = {"network": network.backbone if network else self.model.name}
        known |= {"model": os.fspath(self.source), "weights": "loaded"}
        return known | {"digest": files.digest(self.path)}


def _member(source, data, sampling, columns, classes, beside):
    made = Inputs(source, data, sampling, columns=columns)
    path, model = classifier(source)
    names = _names(classes, path, model.output["logits"].shape[-1], beside)
    return _Member(source, path, model, names, made)


def _scored(member, videos, columns, static):
    data, name = member.made.data, videos if isinstance(videos, str | os.PathLike) else "videos"
    entries = lists.entries_of(videos, columns, data.videos, "videos") or []
    _check_labels(os.fspath(name), entries, member.names)
    chosen = member.made.sampling
    chosen = dataclasses.replace(chosen, static=static or chosen.static)
    return scores(member.model, member.path, data, entries, chosen)


def _fused(parts: Sequence[means.Means]) -> means.Means:
    """Averages the scores of several classifiers, for the videos that all of them scored."""
    if len(parts) == 1:
        return parts[0]
    rows = [{video: row for row, video in enumerate(part.videos)} for part in parts]
    videos = [video for video in parts[0].videos if all(video in known for known in rows)]
    values = [p.values[[known[v] for v in videos]] for p, known in zip(parts, rows, strict=True)]
    labels = parts[0].labels[[rows[0][video] for video in videos]]
    return means.Means(videos, labels, np.mean(values, 0), parts[0].facts)


def classifier(source: networks.Source) -> tuple[pathlib.Path, Any]:
    """Loads the classifier of a fine-tuned run.

    Args:
        source: run folder, or .keras file with the output "logits".

    Returns:
        (path, keras.Model).

    Raises:
        FileNotFoundError: If there is no such network, or the run is unfinished.
        ValueError: As `networks.load`; also if the network is not a classifier.
    """
    path = networks.file(source, "source")
    path = path.with_name(networks.MODEL) if pathlib.Path(source).is_dir() else path
    model = networks.load(path)
    if not isinstance(model.output, dict) or "logits" not in model.output:
        raise ValueError(
            "source must be a classifier, as mas.finetune writes it. "
            f"Received: source='{path}', without the output logits."
        )
    return path, model


def scores(
    model: Any,
    path: pathlib.Path,
    data: Any,
    entries: Sequence[lists.Entry],
    sampling: Sampling,
) -> means.Means:
    """Computes the mean class probabilities of each video.

    Args:
        model: network returned by `classifier`.
        path: file of the network.
        data: an opened data set.
        entries: list entries with the ids of the data set.
        sampling: which clips to use.
    """
    modality, known = features.modality_of(path)
    task = sampling.task(known, modality, features.stride_of(path))
    extraction.check_shape(model, task)

    def probabilities(clips):
        return tf.nn.softmax(model(clips, training=False)["logits"])

    function = extraction.compiled(probabilities, task)
    source = means.values_here(function, data, sampling, task)
    return means.over_clips(source, data, entries, sampling, task)


def _names(classes, path, count, beside):
    """Class names from the argument, the run or the file next to the list; else numbers."""
    if classes is None:
        for found in (inputs.known_names(path), lists.class_names_beside(beside)):
            if found and len(found) == count:
                return found
    names = accuracy.class_names(classes, count - 1)
    if len(names) != count:
        refuse("classes", f"{count} names, one per output of {path}", names)
    return names


def _check_labels(name, entries, names):
    for entry in entries:
        if not 0 <= entry.label < len(names):
            received = entry.label if entry.label >= 0 else "none"
            raise ValueError(
                f"{name}:{entry.line}: expected a label in 0..{len(names) - 1}, the network's "
                f"classes. Received: {received}."
            )


def _paragraph(results, facts, path, alone):
    count = lists.counted(min(fact["videos"] for fact in facts), "video")
    texts = [f"Action recognition: {count}{f' ({path})' if path else ''}."]
    for fact in facts:
        texts += [f"Network: {fact['network']}, {report.weights(fact)}.", report.clips(fact)]
    texts.append("A video's score is the mean of its clips' class probabilities.")
    if alone:
        top1 = ", ".join(f"{share:.1%}" for share in alone.values())
        texts.append(f"The networks' scores are averaged; alone, they reach {top1}.")
    texts += dict.fromkeys(text for fact in facts for text in report.failures(fact))
    for kind, result in results.items():
        name = "With the middle frame of each clip repeated: " if kind == "static" else ""
        top5 = f"top-5 {result.top5:.1%}, " if len(result.per_class) > 5 else ""
        texts.append(
            f"{name}Top-1 {result.top1:.1%}, {top5}mean over classes {result.mean_class:.1%}."
        )
    return " ".join(texts)

"""Action recognition: a fine-tuned network on whole videos, and on clips without motion."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from mas import accuracy, features, files, lazy, lists, networks
from mas.checks import Settings, option, refuse
from mas.evaluate import inputs, report
from mas.evaluate.inputs import Classes, Inputs
from mas.evaluate.report import Result
from mas.features import Sampling, extraction, means

tf = lazy.module("tensorflow")


@dataclasses.dataclass(frozen=True)
class Action(Settings):
    """Scores whole videos with a classifier: the mean of its clips' class probabilities.

        mas.evaluate.Action(static=True)(tuned, data, "test.txt").static.top1

    >>> Action(static=True).static
    True
    """

    static: bool = option(
        False, "Test once more with the middle frame of each clip repeated: without motion."
    )

    def __call__(
        self,
        source: networks.Source,
        data: Any,
        videos: str | os.PathLike | Sequence[lists.Entry],
        *,
        sampling: Sampling | None = None,
        columns: str = "video,label",
        classes: Classes = None,
    ) -> Result:
        """Tests.

        Args:
            source: `mas.Run` or run folder of `mas.finetune`; or its model.keras, or another .keras
                file with the output "logits".
            data: what `mas.prepare_videos` or `mas.open_data` returned, or the folder.
            videos: labelled videos: a list's path, or `lists.Entry`.
            sampling: which clips of a video; ten by default.
            columns: of the list, or the name of a preset.
            classes: names in the labels' order, or a file of them; by default the run's, or those
                beside the list.

        Returns:
            A `Result` whose accuracy is top-1, with `normal` (a `mas.accuracy.Accuracy`), `static`
            likewise where that is tested, `classes` and `facts`.

        Raises:
            FileNotFoundError: there are no such source, data or list.
            ValueError: the source is no classifier, or a label none of its classes.
        """
        made = Inputs(source, data, sampling, columns=columns)
        if videos is None:
            refuse("videos", "a list of labelled videos", videos)
        entries = lists.entries_of(videos, columns, made.data.videos, "videos") or []
        path, model = classifier(source)
        path_of_list = os.fspath(videos) if isinstance(videos, str | os.PathLike) else None
        names = _names(classes, path, model.output["logits"].shape[-1], path_of_list)
        _check_labels(path_of_list or "videos", entries, names)
        results: dict[str, Any] = {}
        tables: dict[str, Any] = {}
        facts: dict[str, Any] = {}
        for static in (False, True)[: 1 + self.static]:
            chosen = dataclasses.replace(made.sampling, static=static or made.sampling.static)
            found = scores(model, path, made.data, entries, chosen)
            results["static" if static else "normal"] = accuracy.of_scores(
                found.values, found.labels
            )
            name = "static/scores.csv" if static else "scores.csv"
            tables[name] = accuracy.score_table(found.videos, found.labels, found.values)
            facts = facts or found.facts
        network = networks.described(path).network
        facts |= {"network": network.backbone if network else model.name}
        facts |= {"model": os.fspath(source), "weights": "loaded", "digest": files.digest(path)}
        text = _paragraph(results, facts, path_of_list)
        numbers: dict[str, Any] = {**results, "classes": names, "list": path_of_list}
        numbers |= {"data": str(made.data.data), "facts": facts}
        numbers["settings"] = made.settings(self, videos=videos)
        matrices = {"": (results["normal"], names)}
        matrices |= {"static": (results["static"], names)} if self.static else {}
        return Result("action", results["normal"].top1, text, numbers, matrices, tables)


def classifier(source: networks.Source) -> tuple[pathlib.Path, Any]:
    """The file and the network of a fine-tuned run.

    Args:
        source: run folder, or .keras file with the output "logits".

    Returns:
        (path, keras.Model).

    Raises:
        FileNotFoundError: there is none, or its run is unfinished.
        ValueError: as `networks.load`; or the network is no classifier.
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
    """Mean class probabilities of each video.

    Args:
        model: of `classifier`.
        path: its file.
        data: an opened data set.
        entries: with the ids of the data set.
        sampling: which clips.
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
    """Class names: given, of the run, of the file beside the list, or numbers."""
    if classes is None:
        for found in (inputs.known_names(path), lists.class_names_beside(beside)):
            if found and len(found) == count:
                return found
    names = accuracy.class_names(classes, count - 1)
    if len(names) != count:
        refuse("classes", f"{count} names, as many as {path} has outputs", names)
    return names


def _check_labels(name, entries, names):
    for entry in entries:
        if not 0 <= entry.label < len(names):
            received = entry.label if entry.label >= 0 else "none"
            raise ValueError(
                f"{name}:{entry.line}: expected a label in 0..{len(names) - 1}, the network's "
                f"classes. Received: {received}."
            )


def _paragraph(results, facts, path):
    count = lists.counted(facts["videos"], "video")
    texts = [
        f"Action recognition: {count}{f' ({path})' if path else ''}. Network: {facts['network']}, "
        f"{report.weights(facts)}.",
        report.clips(facts),
        "A video's score is the mean of its clips' class probabilities.",
        *report.failures(facts),
    ]
    for kind, result in results.items():
        name = "With the middle frame of each clip repeated: " if kind == "static" else ""
        top5 = f"top-5 {result.top5:.1%}, " if len(result.per_class) > 5 else ""
        texts.append(
            f"{name}Top-1 {result.top1:.1%}, {top5}mean over classes {result.mean_class:.1%}."
        )
    return " ".join(texts)

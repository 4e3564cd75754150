"""The kind `action`: a fine-tuned network on whole videos, and on clips without motion."""

import dataclasses
import json
import pathlib

import tensorflow as tf

from mas import files, lists, records
from mas.evaluate import action, extraction, networks, protocol

NEEDED = ("model", "data", "list")
OPTIONAL = ("columns", "classes", "clips", "static", "resize", "allow_failures", "batch", "threads")
OPTIONAL += ("output",)


def run(flags):
    """Tests; with --static once more on clips whose frames are all the same.

    Writes action.json, action.txt, scores.csv, per_class.csv and confusion.*; those of the static
    test but for the first two below static/.
    """
    settings = networks.settings(flags)
    path, model = classifier(flags.model)
    described = _described(path)
    names = _names(flags.classes, described.get("classes"), path, model.output["logits"].shape[-1])
    data = records.open_data(flags.data, settings.modality == "flow")
    entries = lists.resolve(lists.read(flags.list, flags.columns), data.videos, flags.list)
    _check_labels(flags.list, entries, names)
    folder = protocol.folder(flags, "action")
    digest = files.digest(path)
    network = described.get("network", {}).get("backbone", model.name)
    facts = {"network": network, "model": flags.model, "weights": "loaded", "digest": digest}
    results = {}
    for static in (False, True)[: 1 + flags.static]:
        kind = "static" if static else "normal"
        chosen = dataclasses.replace(settings, static=static)
        found = scores(model, data, entries, chosen)
        results[kind] = _write(found, names, folder / "static" if static else folder)
        facts |= extraction.facts(found, chosen) if not static else {}
    numbers = {name: _numbers(result) for name, result in results.items()}
    numbers |= {"classes": names, "list": flags.list, "data": flags.data, "facts": facts}
    protocol.write(folder, "action", _paragraph(results, facts, flags.list), numbers)


def classifier(source):
    """The file and the network of a run of finetune.py.

    Args:
        source: run folder, or .keras file with the output "logits".

    Returns:
        (pathlib.Path, keras.Model).

    Raises:
        FileNotFoundError: there is none, or its run is unfinished.
        ValueError: as `networks.load`; or the network is no classifier.
    """
    path = pathlib.Path(source)
    path = path / "model.keras" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"model must be a finished run folder of finetune.py. Received: {source}, without "
            f"{path.name}."
        )
    model = networks.load(path)
    if not isinstance(model.output, dict) or "logits" not in model.output:
        raise ValueError(
            f"model must be a classifier, as finetune.py writes it. Received: {path}, without "
            "the output logits."
        )
    return path, model


def scores(model, data, entries, settings):
    """Mean class probabilities of each video: an `extraction.Means`.

    Args:
        model: of `classifier`.
        data: an opened data set.
        entries: `lists.Entry` with the ids of the data set.
        settings: a `sampling.Settings`.
    """
    extraction.check_shape(model, settings)

    @tf.function(reduce_retracing=True)
    def probabilities(clips):
        return tf.nn.softmax(model(clips, training=False)["logits"])

    return extraction.means(probabilities, data, entries, settings)


def _described(path):
    """What the run of a network says of it; {} where there is none."""
    described = path.parent / "run.json"
    if path.name != "model.keras" or not described.is_file():
        return {}
    return json.loads(described.read_text("utf-8"))


def _names(given, known, path, count):
    """Class names of --classes, else those that the run knows, else numbers."""
    names = action.class_names(given, count - 1) if given or not known else known
    if len(names) != count:
        raise ValueError(
            f"classes must be {count}, the outputs of {path}. Received: {len(names)} names."
        )
    return names


def _check_labels(path, entries, names):
    for entry in entries:
        if not 0 <= entry.label < len(names):
            received = entry.label if entry.label >= 0 else "none"
            raise ValueError(
                f"{path}:{entry.line}: expected a label in 0..{len(names) - 1}, the network's "
                f"classes. Received: {received}."
            )


def _write(found, names, folder):
    result = action.report(found.values, found.labels)
    folder.mkdir(parents=True, exist_ok=True)
    action.write(result, names, folder)
    action.write_scores(folder / "scores.csv", found.videos, found.labels, found.values)
    return result


def _numbers(result):
    shares = {"top1": result.top1, "top5": result.top5, "mean_class": result.mean_class}
    return {**shares, "per_class": result.per_class, "confusion": result.confusion}


def _paragraph(results, facts, path):
    texts = [
        f"Action recognition: {facts['videos']} videos ({path}). Network: {facts['network']}, "
        f"{protocol.weights(facts)}.",
        protocol.clips(facts),
        "A video's score is the mean of its clips' class probabilities.",
    ]
    if facts["failures"]:
        texts.append(f"{len(facts['failures'])} videos failed and are left out.")
    for kind, result in results.items():
        name = "With the middle frame of each clip repeated: " if kind == "static" else ""
        texts.append(
            f"{name}Top-1 {result.top1:.1%}, top-5 {result.top5:.1%}, mean over classes "
            f"{result.mean_class:.1%}."
        )
    return " ".join(texts)

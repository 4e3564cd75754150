"""`mas evaluate KIND`: evaluates a network with one of several protocols, or writes features."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from typing import Any

from absl import logging

from mas import accuracy, cli, cluster, evaluate, features, lists, networks, records
from mas.cli import recipes, training
from mas.cli.flags import Flags, UsageError
from mas.cli.kinds import split_kind
from mas.evaluate import pairs, report
from mas.evaluate.inputs import Inputs, is_features
from mas.features import Sampling

_CLIPS = tuple(name for name in Sampling.options() if name != "how")
_NETWORK = ("random", "seed", "cache")
_ENGINE = ("engine", "address")
_NPZ = "or a file of features (.npz)"


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A kind of evaluation: summary, usage, and flags."""

    summary: str
    usage: str
    lists: dict[str, str]
    needed: tuple[str, ...] = ()
    other: tuple[str, ...] = ("columns", "classes", *_NETWORK)
    clips: tuple[str, ...] = _CLIPS


KINDS = {
    "action": _Kind(
        "Tests a fine-tuned network on whole videos; averages the scores of several --model.",
        "--model=RUN [--model=RUN] --data=DATA --list=LIST",
        {"list": "List of labelled videos."},
        ("model", "data", "list"),
        ("columns", "classes"),
        ("clips", "crops", "resize", "batch", "threads", "allow_failures"),
    ),
    "features": _Kind(
        "Writes one feature vector per video to a file.",
        "--model=RUN --data=DATA --output=FILE.npz",
        {"list": "List of videos, by default the whole data set."},
        ("model", "data", "output"),
        ("columns", *_NETWORK, "whiten", *_ENGINE),
    ),
    "retrieval": _Kind(
        "Tests whether a video's nearest neighbours have its class.",
        "--model=RUN --data=DATA --gallery=LIST --queries=LIST",
        {
            "gallery": f"List of labelled videos to search, {_NPZ}.",
            "queries": f"List of labelled query videos, {_NPZ}.",
        },
        ("gallery", "queries"),
    ),
    "probe": _Kind(
        "Trains and tests a simple classifier on frozen features.",
        "--model=RUN --data=DATA --train_list=LIST --test_list=LIST",
        {
            "train_list": f"List of labelled training videos, {_NPZ}.",
            "test_list": f"List of labelled test videos, {_NPZ}.",
            "list": f"With --groups, list of all labelled videos, {_NPZ}.",
        },
    ),
    "similarity": _Kind(
        "Tests whether features tell if two videos show the same action (ASLAN).",
        "--model=RUN --data=DATA --aslan=DIR",
        {"list": "File of features of the videos (.npz), instead of --model and --data."},
        ("aslan",),
        _NETWORK,
        tuple(name for name in _CLIPS if name != "clips"),
    ),
    "scenes": _Kind(
        "Classifies dynamic scenes with a linear SVM, leaving one video out at a time.",
        "--model=RUN --data=DATA --list=LIST",
        {"list": f"List of labelled videos, {_NPZ}."},
        ("list",),
        clips=tuple(name for name in _CLIPS if name != "clips"),
    ),
    "pretext": _Kind(
        "Tests a pre-trained network on its own pretext task, with other videos.",
        "--model=RUN --data=DATA --list=LIST",
        {"list": "List of videos, by default the whole data set."},
        ("model", "data"),
        ("columns", "seed", "task"),
        ("batch", "threads"),
    ),
}
# name: (default, help, other arguments of `mas.checks.option`)
_OTHER: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "columns": ("video,label", "Columns of the lists, or a preset: mas, sts, pace, vtdl.", {}),
    "classes": (None, "File of class names, one per line, by default the list's or the run's.", {}),
    "task": (None, "The run's task as module:Class, if it is a custom one.", {}),
    "random": (False, "Replace the learned weights by random ones.", {}),
    "seed": (0, "Seed of random weights, draws and the SVM's solver.", {"least": 0}),
    "whiten": (
        0,
        "Whiten the features to this many dimensions, by a PCA of these videos; 0: no whitening.",
        {"least": 0},
    ),
    "engine": (
        features.ENGINES[0],
        "Where to run: process, this process; ray, the cores of a Ray cluster (docs/scale.md).",
        {"choices": features.ENGINES},
    ),
    "address": (None, "Ray cluster, auto or HOST:PORT; by default, started here.", {}),
    "cache": (True, "Cache features in the user's cache folder.", {}),
}


def flags(name: str) -> Flags:
    """The flags of a kind."""
    kind, protocol = KINDS[name], evaluate.PROTOCOLS.get(name)
    found = Flags(f"mas evaluate {name}", kind.summary, kind.usage, recipes.of)
    found.option("model", None, "Run folder, or .keras file.", group="network and data")
    found.option("data", None, "Prepared data set, or folder of videos.", group="network and data")
    training.define_missing(found, "network and data")
    for flag, help in kind.lists.items():
        found.option(flag, None, help, group="network and data")
    if name == "similarity":
        found.option("aslan", None, "Folder that contains View2.mat.", group="network and data")
    if protocol:
        found.add(protocol, name)
    found.add(Sampling, "clips", [n for n in Sampling.options() if n not in kind.clips])
    for flag in kind.other:
        default, help, known = _OTHER[flag]
        advanced = flag in ("columns", "cache", "address")
        found.option(flag, default, help, group="run", advanced=advanced, **known)
    folder = f"Folder for the results, by default runs/evaluate_{name}_NAME."
    file = "File to write: .npz, or .npy with the values only."
    found.option("output", None, file if name == "features" else folder, group="run")
    return found


def run(arguments: list[str]) -> int:
    """Evaluates; returns the exit status."""
    summaries = {name: kind.summary for name, kind in KINDS.items()}
    name, arguments = split_kind("mas evaluate", "Evaluates a network.", summaries, arguments)
    given = flags(name)
    for other in KINDS:
        theirs = [flag for flag in flags(other).defined if flag not in given.defined]
        given.elsewhere(theirs, f"mas evaluate {other}")
    given.parse(arguments)
    given.require(*KINDS[name].needed)
    models = given.typed(arguments, "model")
    if len(models) > 1 and name != "action":
        raise UsageError(f"mas evaluate {name} takes one --model. Received: {', '.join(models)}.")
    _evaluate(name, given, models)
    return 0


def _evaluate(name, given, models):
    """Checks everything that can be checked without TensorFlow, then calls the library."""
    _check_lists(name, given)
    made = _inputs(name, given)
    path = given.output or _folder(name, given)
    if name == "features":
        features.check_output(path)
        cluster.check(given.engine, given.address)
    report.writable(pathlib.Path(path).parent if name == "features" else path)
    protocol = given.make(evaluate.PROTOCOLS[name]) if name in evaluate.PROTOCOLS else None
    options, call = _call(name, given, made)
    if len(models) > 1:
        flow = any(features.modality_of(model)[0] == "flow" for model in models)
        call = (models, records.open_data(given.data, flow, given.allow_missing), call[2])
    if name == "pretext":
        sys.path.append(os.getcwd())  # for custom tasks
    cli.load_frameworks()
    from mas.training import distribution, engine

    distribution.limit_threads(given.threads)
    with engine.reading():
        if protocol is None:
            return _write_features(given, call, options)
        result = protocol(*call, **options)
    for below, (found, names) in result.matrices.items():
        rows = accuracy.rows(found, names, result.unit)
        logging.info("%s", "\n".join([*filter(None, [below]), *rows]))
    logging.info("%s", result.text)
    path = path if given.output else report.vacant(path, result)
    written = [f"{name}.txt", f"{name}.json", *result.tables]
    written += ["per_class.csv", "confusion.csv", "confusion.png"] if result.matrices else []
    logging.info("Wrote %s: %s.", result.write(path), ", ".join(written))


def _check_lists(name, given):
    """Raises UsageError for lists that do not go together, or flags that features make useless."""
    if name == "probe":
        lists_of = [n for n in ("train_list", "test_list", "list", "groups") if given.given(n)]
        if lists_of not in (["train_list", "test_list"], ["list", "groups"]):
            received = ", ".join(f"--{flag}" for flag in lists_of) or "neither"
            raise UsageError(
                "mas evaluate probe needs --train_list and --test_list, or --list and --groups. "
                f"Received: {received}."
            )
    paths = [getattr(given, flag) for flag in KINDS[name].lists if given.given(flag)]
    if name in ("action", "features", "pretext", "similarity"):
        wrong = [path for path in paths if is_features(path) != (name == "similarity")]
        if wrong:
            what = "an .npz file" if name == "similarity" else "a list of videos"
            raise UsageError(f"--list must be {what}. Received: --list={wrong[0]}.")
    if paths and all(map(is_features, paths)):
        wanted = {"similarity": ("seed", "allow_failures"), "probe": ("seed",)}.get(name, ())
        unused = ("model", "data", "columns", *_NETWORK, *_CLIPS)
        unused = [
            n for n in unused if n in given.defined and n not in (*wanted, "batch", "threads")
        ]
        if wrong := [f"--{flag}" for flag in unused if given.given(flag)]:
            raise UsageError(
                "features must be given without flags for network and clips. "
                f"Received: {', '.join(wrong)}."
            )


def _inputs(name, given):
    """Network, data and clips, checked; None if only features are given."""
    paths = [getattr(given, flag) for flag in KINDS[name].lists if given.given(flag)]
    if paths and all(map(is_features, paths)):
        return None
    given.require("model", "data")
    networks.file(given.model, "model")
    columns = given.columns if "columns" in given.defined else "video,label"
    flow = given.allow_missing and features.modality_of(given.model)[0] == "flow"
    data = records.open_data(given.data, flow, True) if given.allow_missing else given.data
    made = Inputs(given.model, data, _sampling(name, given), columns=columns)
    for path in paths:
        if not is_features(path):
            lists.entries_of(path, columns, made.data.videos)
    return made if made.data else None


def _sampling(name, given):
    own = {"static": False} if name == "action" else {}  # in action, a setting of the protocol
    return given.make(Sampling, **own)


def _call(name, given, made):
    """(keyword arguments, positional arguments) of a protocol or of `features.extract`."""
    known = ("columns", "classes", "task", *_NETWORK, *_ENGINE)
    names = [n for n in KINDS[name].other if n in known]
    options = {flag: getattr(given, flag) for flag in names} | {"sampling": _sampling(name, given)}
    first = next(iter(KINDS[name].lists))
    if name == "probe" and given.list:
        first = "list"
    elif name == "probe":
        options["test"] = given.test_list
    if name == "retrieval":
        options["queries"] = given.queries
    if name == "similarity":
        pairs.find(given.aslan)
        options["aslan"] = given.aslan
    videos = getattr(given, first)
    return options, (None, None, videos) if made is None else (given.model, made.data, videos)


def _folder(name, given):
    """runs/evaluate_KIND_NAME, with the name of the network or of the features."""
    sources = ("model", "queries", "test_list", "list")
    source = next(
        (getattr(given, n) for n in sources if n in given.defined and given.given(n)), name
    )
    path = pathlib.Path(source)
    if path.name in ("backbone.keras", "model.keras"):
        path = path.absolute().parent
    stem = path.resolve().name if path.is_dir() else path.stem
    if path.is_dir() and path.resolve().parent.name == networks.EPOCHS:
        stem = f"{path.resolve().parents[1].name}_epoch_{stem}"
    random = "_random" if "random" in given.defined and given.random else ""
    return f"runs/evaluate_{name}_{stem}{random}"


def _write_features(given, call, options):
    """Writes FILE.npz, FILE.npz.json and FILE.npz.txt."""
    path = pathlib.Path(given.output)
    if path.exists():
        logging.info("Replacing %s.", path)
    found = features.extract(*call, **options)
    if given.whiten:
        found = features.whitened(found, given.whiten)
    features.save(path, found)
    videos, source = lists.counted(len(found.videos), "video"), given.list or "the whole data set"
    text = (
        f"Features of {videos} ({source}), {lists.counted(found.values.shape[1], 'dimension')}. "
        f"{report.describe(found.facts)}"
    )
    numbers = {"facts": found.facts, "videos": found.videos, "labels": found.labels}
    report.write(path.parent, path.name, text, numbers)  # not train.txt, which may be the list
    logging.info("%s", text)
    logging.info("Wrote %s, %s.txt and %s.json.", path, path.name, path.name)

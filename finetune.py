"""Trains a classifier on a pre-trained network, or from scratch, and tests it on whole videos.

python finetune.py --init=runs/NAME --data=DATA --train_list=LIST --test_list=LIST
"""

import pathlib
import sys

import numpy as np
from absl import app, flags, logging

from mas import cli, clips, lists, tasks, weights
from mas.evaluate import action

cli.define_data()
cli.define_network()
cli.define_optimisation(epochs=20, decay_epochs=5)  # as pre-training, section 4.1
cli.define_run()
_INIT = flags.DEFINE_string(
    "init",
    None,
    "[network] Run folder or .keras file of a pre-trained network; without one, from scratch.",
)
_TRAIN = flags.DEFINE_string(
    "train_list", None, "[data] Labelled videos to train on.", required=True
)
_TEST = flags.DEFINE_string("test_list", None, "[data] Labelled videos to test on.", required=True)
_CLASSES = flags.DEFINE_string(
    "classes", None, "[data] Class names, one a line, in the labels' order."
)
_DROPOUT = flags.DEFINE_float(
    "dropout", 0.5, "[network] After fc6 and fc7, or before the only layer.", 0, 0.99
)
_JITTER = flags.DEFINE_bool(
    "jitter", False, "[data] Change the colours of each training frame at random."
)
_AUGMENTATION = flags.DEFINE_enum(
    "augmentation",
    "crop",
    list(tasks.classify.AUGMENTATIONS),
    "[data] Of training clips: crop, or basic: rotation, crop and colours, as VTDL and DSM.",
)
_TEST_CLIPS = flags.DEFINE_integer(
    "test_clips",
    0,
    "[data] Clips of a video in the test, evenly spaced; 0: all non-overlapping ones.",
    0,
)

flags.adopt_module_key_flags(cli.definitions)


def main(argv):
    """Fine-tunes and tests; returns the exit status."""
    cli.quiet()
    if len(argv) > 1:
        raise app.UsageError(f"finetune.py takes flags only. Received: {argv[1:]}.")
    try:
        return _finetune()
    except (FloatingPointError, OSError, RuntimeError, ValueError) as error:
        return cli.fail(error)


def _inherit():
    """Takes network and clip shape from --init, where no flag gives them."""
    for name, value in weights.settings(_INIT.value).items():
        if not cli.FLAGS[name].present:
            cli.FLAGS[name].value = value


def _finetune():
    if _INIT.value:
        _inherit()
        _check_apart(_INIT.value, cli.FLAGS.run or f"runs/finetune_{cli.FLAGS.backbone}")
    data = cli.open_data((cli.FLAGS.modality,))
    train, test = (cli.entries(data, path) for path in (_TRAIN.value, _TEST.value))
    _check_lists(train, test)
    names = _class_names(train + test)
    options = {"dropout": _DROPOUT.value, "jitter": _JITTER.value, **cli.network_options()}
    options["augmentation"] = _AUGMENTATION.value
    task = tasks.Classify(len(names), **options)
    examples = cli.examples(data, train, task)
    reader = clips.Reader(data, examples, task, cli.geometry(random=True), cli.FLAGS.seed)
    reader.steps(cli.FLAGS.batch)
    strategy = cli.setup()

    def build():
        backbone = cli.backbone()
        if _INIT.value:
            weights.load(backbone, _INIT.value)
        return backbone, task.model(backbone)

    paths = {"train_list": _TRAIN.value, "test_list": _TEST.value}
    files = {**paths, "classes": _CLASSES.value, "init": weights.file(_INIT.value)}
    identity = cli.identity(reader, **files)
    run = cli.open_run(__name__, strategy, f"runs/finetune_{cli.FLAGS.backbone}", identity)
    model = cli.train(task, build, reader, strategy, run, init=_INIT.value, classes=names, **paths)
    if cli.training.is_chief(strategy):
        with cli.reading():
            _test(data, test, task.testing(), model, names, run)
    return 0


def _check_apart(init, run):
    """Refuses to write the new run over the network that it starts from."""
    if pathlib.Path(init).resolve().is_relative_to(pathlib.Path(run).resolve()):
        raise ValueError(f"run must not hold --init. Received: --run={run}, --init={init}.")


def _check_lists(train, test):
    """Refuses lines without a label, and says so if a video stands on both sides."""
    for path, entries in ((_TRAIN.value, train), (_TEST.value, test)):
        for entry in entries:
            if entry.label < 0:
                raise ValueError(f"{path}:{entry.line}: expected a label. Received: none.")
    both = {entry.video for entry in train} & {entry.video for entry in test}
    if both:
        logging.warning("%d test videos are trained on as well, such as %s.", len(both), min(both))


def _class_names(entries):
    """Names in the order of the labels: of --classes, or their numbers."""
    highest = max(entry.label for entry in entries)
    if not _CLASSES.value:
        return [str(number) for number in range(highest + 1)]
    names = lists.class_names(_CLASSES.value)
    if highest >= len(names):
        raise ValueError(
            f"labels must be below {len(names)}, the lines of {_CLASSES.value}. "
            f"Received: {highest}."
        )
    return names


def _test(data, entries, task, model, names, run):
    how = "uniform" if _TEST_CLIPS.value else "consecutive"
    count = _TEST_CLIPS.value
    examples = clips.examples(data, entries, task.frames, how, count, least=task.least)
    reader = clips.Reader(data, examples, task, cli.geometry(random=False), shuffle=False)
    batches = reader.once(cli.FLAGS.batch, cli.FLAGS.threads or None)
    scores = action.clip_scores(model, batches, len(examples))
    videos, means = action.video_scores(scores, examples.videos)
    truth = examples.labels[np.unique(examples.videos, return_index=True)[1]]
    result = action.report(means, truth)
    action.write(result, names, run.path)
    action.write_scores(run.path / "scores.csv", [data.videos[n] for n in videos], truth, means)
    logging.info("%s", action.text(result, names))
    logging.info(
        "Wrote %s: per_class.csv, confusion.csv, confusion.png, scores.csv, model.keras, export/.",
        run.path,
    )


if __name__ == "__main__":
    sys.exit(app.run(main))

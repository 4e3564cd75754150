"""Pre-trains a network on unlabelled video.

python train.py                                       # the whole way on generated videos
python train.py --data=DATA                           # on what mas.prepare wrote
python train.py --flagfile=recipes/mas_ucf101_c3d.flags --data=DATA --list=LIST
"""

import os
import pathlib
import sys

from absl import app, flags, logging

from mas import cli, clips, prepare, sample, tasks
from mas.evaluate import pretext

cli.define_data()
cli.define_network()
cli.define_optimisation(epochs=20, decay_epochs=5)  # UCF101, section 4.1
cli.define_run()
_LIST = flags.DEFINE_string(
    "list", None, "[data] Videos to train on; without one, all of the data set."
)
_TASK = flags.DEFINE_string("task", "mas", f"[task] One of {', '.join(tasks.TASKS)}.")
_SAMPLE = flags.DEFINE_bool(
    "sample", False, "[data] Generate videos and train on them: what train.py does without flags."
)
_OPTION = flags.DEFINE_multi_string(
    "option", [], "[task] FIELD=VALUE of the task; or --FIELD=VALUE. May be repeated."
)
_HELD_OUT = flags.DEFINE_string(
    "held_out",
    None,
    "[data] Videos that are not trained on: the task is tested on them at the end, with "
    f"{pretext.DRAWS} draws each. Without them, a task that chooses a class is tested on its own.",
)
_FIELDS = [name for name in tasks.fields() if name not in flags.FLAGS]
for _name in _FIELDS:
    _boolean, _help = tasks.fields()[_name]
    (flags.DEFINE_boolean if _boolean else flags.DEFINE_string)(_name, None, f"[task] {_help}")

flags.adopt_module_key_flags(cli.definitions)


def main(argv):
    """Trains what the flags say; returns the exit status."""
    cli.quiet()
    if len(argv) > 1:
        raise app.UsageError(f"train.py takes flags only. Received: {argv[1:]}.")
    try:
        task = tasks.task(_TASK.value, _options(), **cli.network_options())
        task.check(cli.FLAGS.size, cli.FLAGS.batch)
        if _SAMPLE.value:
            _make_sample(pathlib.Path("data", "sample"), task)
        return _train(task)
    except (FloatingPointError, OSError, RuntimeError, ValueError) as error:
        return cli.fail(error)


def _make_sample(folder, task):
    given = cli.FLAGS.data or str(folder)
    if not given.startswith(str(folder)):
        raise ValueError(f"data must not be given with --sample. Received: --data={given}.")
    if task.span > sample.FRAMES and not task.wraps:
        raise ValueError(
            f"frames of a generated video must be {task.span} for this task. Received: "
            f"{sample.FRAMES}. Give --data, or let the task do with less (--helpfull)."
        )
    logging.info("[1/3] Writing generated videos to %s.", folder / "videos")
    digest = sample.write(folder)
    data = folder / f"prepared_{cli.FLAGS.resize}_{digest}"  # of this size and these videos
    logging.info("[2/3] Preparing them in %s: decoding, TV-L1 flow, shards.", data)
    size = prepare.parse_size(cli.FLAGS.resize)
    prepare.prepare_videos(folder / "videos", data, size=size)
    cli.FLAGS.data, cli.FLAGS.list = str(data), str(folder / "train.txt")
    logging.info("[3/3] Training on them.")


def _options():
    """What was given for the task, as FIELD=VALUE."""
    given = [(name, cli.FLAGS[name].value) for name in _FIELDS]
    return [*_OPTION.value, *(f"{name}={value}" for name, value in given if value is not None)]


def _examples(data, path, task):
    entries = cli.entries(data, path)
    return cli.examples(data, entries, task)


def _train(task):
    data = cli.open_data(task.inputs)
    examples = _examples(data, _LIST.value, task)
    tested = _tested(data, task, examples)
    reader = clips.Reader(data, examples, task, cli.geometry(random=True), cli.FLAGS.seed)
    reader.steps(cli.FLAGS.batch)
    strategy = cli.setup()

    def build():
        backbone = cli.backbone()
        return backbone, task.model(backbone)

    identity = cli.identity(reader, list=_LIST.value)
    default = f"runs/{task.name}_{cli.FLAGS.backbone}"
    run = cli.open_run(__name__, strategy, default, identity)
    logging.info("%d clips; batch %d; run folder %s.", len(examples), cli.FLAGS.batch, run.path)
    model = cli.train(task, build, reader, strategy, run, list=_LIST.value)
    if tested and cli.training.is_chief(strategy):
        with cli.reading():
            _test(data, tested, task.testing(), model, run)
    _say_next(run)
    return 0


def _tested(data, task, trained):
    """The examples to test on at the end, or None."""
    if not _HELD_OUT.value:
        return trained if task.choice else None
    return pretext.held_out(data, _examples(data, _HELD_OUT.value, task), trained)


def _test(data, examples, task, model, run):
    """Tests with centre crops, unless the task crops; all draws follow from the seed alone."""
    geometry = cli.geometry(random=False)
    reader = clips.Reader(data, examples, task, geometry, cli.FLAGS.seed, shuffle=False)
    # Of a video that broke since, another clip is tested, as it was trained on.
    batches = reader.once(cli.FLAGS.batch, cli.FLAGS.threads or None, substitute=True)
    found = pretext.test(task, model, batches, len(examples))
    pretext.write(task, *found, run.path)
    whose = f"held-out ({_HELD_OUT.value})" if _HELD_OUT.value else "those that were trained on"
    logging.info("Test on %d examples, videos: %s.", len(examples), whose)
    logging.info("%s\nWrote %s", pretext.text(task, *found), run.path / "test.csv")


def _say_next(run):
    logging.info("Wrote %s: backbone.keras, model.keras, export/, metrics.csv.", run.path)
    logging.info("Curves:  tensorboard --logdir=%s", run.path)
    lists = "--train_list=LIST --test_list=LIST --classes=NAMES"
    if _SAMPLE.value:
        folder = pathlib.Path(_LIST.value).parent
        lists = f"--train_list={folder}/train.txt --test_list={folder}/test.txt"
        recipe = os.path.relpath(_recipe("sample_finetune.flags"))
        lists = f"--flagfile={recipe} {lists} --classes={folder}/classes.txt"
    logging.info(
        "Next:    python finetune.py --init=%s --data=%s %s", run.path, cli.FLAGS.data, lists
    )


def _arguments(argv):
    """Without data or a flag file: the sample recipe, which the other flags may change."""
    if any(part.lstrip("-").split("=")[0] in ("data", "flagfile", "help") for part in argv[1:]):
        return argv
    return [argv[0], f"--flagfile={_recipe('sample.flags')}", *argv[1:]]


def _recipe(name):
    return pathlib.Path(__file__).parent / "recipes" / name


if __name__ == "__main__":
    sys.exit(app.run(main, _arguments(sys.argv)))

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

cli.define_data()
cli.define_network()
cli.define_optimisation(epochs=20, decay_epochs=5)  # UCF101, section 4.1
cli.define_run()
_LIST = flags.DEFINE_string(
    "list", None, "[data] Videos to train on; without one, all of the data set."
)
_TASK = flags.DEFINE_string("task", "mas", "[task] Pretext task.")
_SAMPLE = flags.DEFINE_bool(
    "sample", False, "[data] Generate videos and train on them: what train.py does without flags."
)
_OPTION = flags.DEFINE_multi_string(
    "option", [], "[task] FIELD=VALUE of the task; may be repeated."
)

flags.adopt_module_key_flags(cli)


def main(argv):
    """Trains what the flags say; returns the exit status."""
    cli.quiet()
    if len(argv) > 1:
        raise app.UsageError(f"train.py takes flags only. Received: {argv[1:]}.")
    try:
        if _SAMPLE.value:
            _make_sample(pathlib.Path("data", "sample"))
        return _train()
    except (FloatingPointError, OSError, RuntimeError, ValueError) as error:
        return cli.fail(error)


def _make_sample(folder):
    logging.info("[1/3] Writing generated videos to %s.", folder / "videos")
    digest = sample.write(folder)
    data = folder / f"prepared_{cli.FLAGS.resize}_{digest}"  # of this size and these videos
    logging.info("[2/3] Preparing them in %s: decoding, TV-L1 flow, shards.", data)
    settings = prepare.Settings(size=prepare.parse_size(cli.FLAGS.resize))
    prepare.prepare(prepare.find_videos(folder / "videos"), data, settings)
    cli.FLAGS.data, cli.FLAGS.list = str(data), str(folder / "train.txt")
    logging.info("[3/3] Training on them.")


def _train():
    data = cli.open_data()
    task = tasks.task(_TASK.value, _OPTION.value, **cli.network_options())
    entries = cli.entries(data, _LIST.value)
    examples = clips.examples(data, entries, task.frames, cli.FLAGS.clips, wrap=task.wraps)
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
    cli.train(task, build, reader, strategy, run, list=_LIST.value)
    _say_next(run)
    return 0


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

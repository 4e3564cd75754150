"""`mas finetune`: trains a classifier from a pre-trained network and tests it on whole videos."""

from __future__ import annotations

from mas import cli, networks, tasks
from mas.cli import recipes, training
from mas.cli.flags import Flags
from mas.settings import Clip, Network, Optimisation, Plan, Test

SUMMARY = (
    "Trains a classifier from a pre-trained network, or from scratch without --init, and tests it "
    "on whole videos. Network and clip settings default to those of --init."
)


def flags() -> Flags:
    """The flags of the command."""
    found = Flags(
        "mas finetune",
        SUMMARY,
        "--init=RUN --data=DATA --train_list=LIST --test_list=LIST ...",
        recipes.of,
    )
    training.define_data(found)
    found.option("train_list", None, "List of labelled training videos.", group="data")
    found.option("test_list", None, "List of labelled test videos.", group="data")
    found.option(
        "validation_list",
        None,
        "List of labelled videos that choose the epoch: the best network on them is tested and "
        "saved, instead of the last.",
        group="data",
    )
    found.option(
        "classes",
        None,
        "File of class names, one per line, in label order; by default the one that mas lists "
        "wrote next to --train_list.",
        group="data",
    )
    found.option(
        "init",
        None,
        "Run folder or .keras file of a pre-trained network; without it, training from scratch.",
        group="network and clip",
        alias="model",
    )
    found.add(tasks.Classify, "classifier", skip=tasks.Classify.derived)
    found.add(Test, "classifier")
    found.add(Network, "network and clip")
    training.define(found)
    return found


def run(arguments: list[str]) -> int:
    """Fine-tunes and tests; returns the exit status."""
    given = flags()
    given.parse(arguments)
    given.require("train_list", "test_list")
    network, clip = _inherited(given)
    inputs = (network.modality if network else "rgb",)
    data = training.open_data(given.data, inputs, given.allow_missing)

    cli.load_frameworks()
    from mas.training import finetune

    finetune(
        given.init,
        data,
        train=given.train_list,
        test=given.test_list,
        validation=given.validation_list,
        classes=given.classes,
        task=given.make(tasks.Classify),
        network=network,
        clip=clip,
        optimisation=given.make(Optimisation),
        plan=given.make(Plan),
        test_clips=given.test_clips,
        test_windows=given.test_windows,
        columns=given.columns,
        run=given.run or f"runs/finetune_{network.backbone if network else 'own'}",
        seed=given.seed,
        restart=given.restart,
        callbacks=training.callbacks(given),
    )
    return 0


def _inherited(given):
    """(network, clip) from the flags, with defaults from --init."""
    if not given.init:
        return given.make(Network), given.make(Clip)
    networks.file(given.init, "init")
    known = networks.described(given.init)
    network = known.network
    if network is not None:
        said = {**network.values(), "head": "auto", **given.values(Network, only_given=True)}
        network = Network(**said)
    return network, Clip(**{**known.clip.values(), **given.values(Clip, only_given=True)})

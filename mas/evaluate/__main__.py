"""Evaluates a network: `python -m mas.evaluate KIND ...`.

action      a fine-tuned network on whole videos:    --model=RUN --data=DATA --list=LIST
features    one vector a video, as a file:           --model=RUN --data=DATA --output=FILE.npz
retrieval   nearest videos of the same class:        --model=RUN --data=DATA --gallery=LIST
                                                     --queries=LIST, or .npz files for both
probe       a classifier on features that stay:      --classifier=linear --train_list=LIST
                                                     --test_list=LIST, or --list=LIST --groups=REGEX
similarity  are two videos the same action (ASLAN):  --aslan=DIR --model=RUN --data=DATA
scenes      a linear SVM that leaves one video out:  --list=LIST --model=RUN --data=DATA
"""

import sys

from absl import app, flags

from mas import cli
from mas.evaluate import (
    extraction,
    features,
    probe,
    recognition,
    retrieval,
    sampling,
    scenes,
    similarity,
)

# Each offers NEEDED and OPTIONAL, names of flags, and run(flags).
_KINDS = {
    "action": recognition,
    "features": features,
    "retrieval": retrieval,
    "probe": probe,
    "similarity": similarity,
    "scenes": scenes,
}

flags.DEFINE_string("model", None, "Run folder, or .keras file; of finetune.py for action.")
flags.DEFINE_string("data", None, "What mas.prepare wrote, or video files.")
flags.DEFINE_string("list", None, "The videos; all but action and features take .npz, too.")
flags.DEFINE_string("columns", "video,label", "Columns of the lists, or a preset's name.")
flags.DEFINE_string("classes", None, "Class names, one a line, in the labels' order.")
flags.DEFINE_string(
    "output", None, "Folder of the results (default runs/evaluate_KIND_NAME); features: the file."
)

flags.DEFINE_integer("clips", 10, "Clips of a video, evenly spaced; 0: all non-overlapping.", 0)
flags.DEFINE_enum("pooling", "average", sampling.POOLINGS, "Of the last convolution's map.")
flags.DEFINE_bool(
    "static", False, "The clip's middle frame repeated; action: tests so beside the normal way."
)
flags.DEFINE_bool("random", False, "The same network at random initialisation.")
flags.DEFINE_integer("seed", 0, "Of --random, and of the SVM's solver.", 0)
flags.DEFINE_integer("frames", None, "Length of a clip (default: the run's).", 2)
flags.DEFINE_integer("stride", 1, "Every how many-th frame a clip shows.", 1)
flags.DEFINE_integer("size", None, "Side of the centre crop, in pixels (default: the run's).", 8)
flags.DEFINE_string("resize", None, "WIDTHxHEIGHT before the crop (default: the run's).")

flags.DEFINE_string("gallery", None, "retrieval: list or .npz that is searched.")
flags.DEFINE_string("queries", None, "retrieval: list or .npz that searches.")
flags.DEFINE_list("top", "1,5,10,20,50", "retrieval: nearest videos that count.")
flags.DEFINE_string("train_list", None, "probe: list or .npz to train on.")
flags.DEFINE_string("test_list", None, "probe: list or .npz to test on.")
flags.DEFINE_string(
    "groups", None, "probe: leave one group out; what the first group of this expression matches."
)
flags.DEFINE_string("aslan", None, "similarity: folder that holds View2.mat.")
flags.DEFINE_enum("classifier", None, probe.CLASSIFIERS, "probe: what is trained.")
flags.DEFINE_integer("k", 1, "probe: neighbours of knn.", 1)
flags.DEFINE_float("C", 1.0, "Inverse of the regularisation of linear classifiers.", 1e-12)

flags.DEFINE_integer("batch", 16, "Clips that go through the network together.", 1)
flags.DEFINE_integer("threads", 0, "Threads of input and CPU kernels each; 0: all cores.", 0)
flags.DEFINE_bool("allow_failures", False, "Name and leave out videos that cannot be decoded.")
flags.DEFINE_bool("cache", True, "Keep features in the user's cache folder, and read them there.")


def main(argv):
    """Evaluates what the flags say; returns the exit status."""
    kind = _checked_kind(argv)
    cli.quiet()
    try:
        extraction.limit_threads(flags.FLAGS.threads)
        with cli.reading():
            _KINDS[kind].run(flags.FLAGS)
    except (OSError, ValueError) as error:
        return cli.fail(error)
    return 0


def _checked_kind(argv):
    """The kind, once it is known that its flags are there and no others."""
    if len(argv) != 2 or argv[1] not in _KINDS:
        raise app.UsageError(f"KIND must be one of {list(_KINDS)}. Received: {argv[1:]}.")
    kind = argv[1]
    needed, optional = _KINDS[kind].NEEDED, _KINDS[kind].OPTIONAL
    own = {flag.name for flag in flags.FLAGS.get_flags_for_module(sys.modules[__name__])}
    given = {name for name in own if flags.FLAGS[name].present}
    wrong, missing = given - {*needed, *optional}, set(needed) - given
    if wrong or missing:
        raise app.UsageError(
            f"{kind} needs {_dashed(needed)} and may have {_dashed(optional)}. "
            f"Received: {_dashed(sorted(given))}."
        )
    return kind


def _dashed(names):
    return ", ".join(f"--{name}" for name in names) or "no flag"


if __name__ == "__main__":
    sys.exit(app.run(main))

"""The checkpoints of a run folder: the two newest, each whole and on the disk.

resume/ckpt-STEP.index, .data-*   all that training changes, after so many steps
resume/checkpoint                 their names, for `tf.train.latest_checkpoint`
"""

import contextlib
import pathlib
import re
import shutil

import tensorflow as tf
from absl import logging

from mas import files

_INDEX = re.compile(r"ckpt-(\d+)\.index")
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
ADVICE = "Take another run folder, or restart."


def steps(folder):
    """The steps that have a checkpoint, damaged or not, the newest first."""
    names = [path.name for path in pathlib.Path(folder).glob("ckpt-*.index")]
    return sorted((int(found[1]) for found in map(_INDEX.fullmatch, names) if found), reverse=True)


class Checkpoints:
    """Saves and restores variables.

    Args:
        folder: of the checkpoints.
        state: {name: tf.Variable}.
    """

    def __init__(self, folder, state):
        """See the class."""
        self.folder = pathlib.Path(folder)
        self._checkpoint = tf.train.Checkpoint(**state)
        _ = self._checkpoint.save_counter  # made now: checkpoints of earlier versions have it
        self._shapes = {f"{name}{_VALUE}": tuple(value.shape) for name, value in state.items()}
        # What a checkpoint needs: the values, and about 1 kB of each for the index.
        sizes = [value.dtype.size * value.shape.num_elements() for value in state.values()]
        self._size = sum(sizes) + 1000 * len(sizes)
        self._whole = []  # steps of the last two, the newest last

    def restore(self):
        """Goes back to the newest checkpoint that is whole; False where there is none at all.

        Raises:
            ValueError: there are some, and each is damaged or of another network.
        """
        wrong = {}
        for step in steps(self.folder):
            path = self._path(step)
            try:
                self._check(path)
                self._checkpoint.restore(str(path)).assert_consumed()
            except Exception as error:  # TensorFlow has a dozen kinds for damaged files
                wrong[path] = _words(error)
                continue
            for other, why in wrong.items():
                logging.warning("%s is damaged (%s). Taking the one before, %s.", other, why, path)
            self._whole = [step]
            return True
        if wrong:
            path, why = next(iter(wrong.items()))
            count = f", as of all {len(wrong)}" if len(wrong) > 1 else ""
            raise ValueError(f"{path} must be a whole checkpoint. Received: {why}{count}. {ADVICE}")
        return False

    def _check(self, path):
        """Holds the shapes of an index against those of the variables, before any is read."""
        for file in self.folder.glob(f"{path.name}.*"):
            files.check_regular(file)  # TensorFlow waits for a FIFO
        held = tf.train.load_checkpoint(str(path)).get_variable_to_shape_map()
        for name, shape in self._shapes.items():
            if tuple(held.get(name, ())) != shape or name not in held:
                received = held.get(name, "none")
                place = name.removesuffix(_VALUE)
                raise ValueError(f"{place} of shape {received}, not {list(shape)}")

    def save(self, step):
        """Saves, and removes all checkpoints but this one and the last whole one before it."""
        path = self._path(step)
        with files.writing(path, self._size):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._clear(step)  # of a damaged one
            try:
                self._checkpoint.write(str(path))
                for file in self.folder.glob(f"{path.name}.*"):
                    files.sync(file)
                files.sync_folder(self.folder)
            except Exception:
                self._clear(step)
                raise
        self._whole = [*self._whole[-1:], step]
        names = [self._path(each).name for each in self._whole]
        lines = [f'all_model_checkpoint_paths: "{name}"\n' for name in names]
        text = "".join([f'model_checkpoint_path: "{names[-1]}"\n', *lines])
        files.write(self.folder / "checkpoint", text)
        for file in self.folder.glob("ckpt-*"):
            if not file.name.startswith(tuple(f"{name}." for name in names)):
                _remove(file)

    def _path(self, step):
        return self.folder / f"ckpt-{step}"

    def _clear(self, step):
        for path in [*self.folder.glob(f"ckpt-{step}.*"), *self.folder.glob(f"ckpt-{step}_temp")]:
            _remove(path)


def _remove(path):
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _words(error):
    """The first line of an error, short."""
    lines = str(error).strip().splitlines()
    return lines[0][:160].rstrip(".") if lines else type(error).__name__

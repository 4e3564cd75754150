"""Checkpoints of a run folder: the two newest are kept, each complete and flushed to disk.

resume/ckpt-STEP.index, .data-*   the training state after STEP steps
resume/checkpoint                 names of the checkpoints, for `tf.train.latest_checkpoint`
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
ADVICE = "Use another run folder, or restart."


def steps(folder):
    """Steps with a checkpoint, damaged or not, newest first."""
    names = [path.name for path in pathlib.Path(folder).glob("ckpt-*.index")]
    return sorted((int(found[1]) for found in map(_INDEX.fullmatch, names) if found), reverse=True)


class Checkpoints:
    """Saves and restores variables.

    Args:
        folder: folder of the checkpoints.
        state: {name: tf.Variable}.
    """

    def __init__(self, folder, state):
        """See the class."""
        self.folder = pathlib.Path(folder)
        self._checkpoint = tf.train.Checkpoint(**state)
        _ = self._checkpoint.save_counter  # create it: checkpoints of earlier versions have it
        self._shapes = {f"{name}{_VALUE}": tuple(value.shape) for name, value in state.items()}
        # Size of a checkpoint: the values, and about 1 kB per value for the index.
        sizes = [value.dtype.size * value.shape.num_elements() for value in state.values()]
        self._size = sum(sizes) + 1000 * len(sizes)
        self._whole = []  # steps of the last two, newest last

    def restore(self):
        """Restores the newest intact checkpoint; returns False if there is no checkpoint.

        Raises:
            ValueError: If all checkpoints are damaged or belong to another network.
        """
        wrong = {}
        for step in steps(self.folder):
            path = self._path(step)
            try:
                self._check(path)
                self._checkpoint.restore(str(path)).assert_consumed()
            except Exception as error:  # TensorFlow raises a dozen types for damaged files
                wrong[path] = _words(error)
                continue
            for other, why in wrong.items():
                logging.warning("%s is damaged (%s). Using the previous one, %s.", other, why, path)
            self._whole = [step]
            return True
        if wrong:
            path, why = next(iter(wrong.items()))
            count = f"; all {len(wrong)} are damaged" if len(wrong) > 1 else ""
            raise ValueError(f"{path} must be a whole checkpoint. Received: {why}{count}. {ADVICE}")
        return False

    def _check(self, path):
        """Checks the shapes in the index against the variables, before values are read."""
        for file in self.folder.glob(f"{path.name}.*"):
            files.check_regular(file)  # TensorFlow would hang on a FIFO
        held = tf.train.load_checkpoint(str(path)).get_variable_to_shape_map()
        for name, shape in self._shapes.items():
            if tuple(held.get(name, ())) != shape or name not in held:
                received = held.get(name, "none")
                place = name.removesuffix(_VALUE)
                raise ValueError(f"{place} of shape {received}, not {list(shape)}")

    def save(self, step):
        """Saves a checkpoint; deletes all others except the last intact one before it."""
        path = self._path(step)
        with files.writing(path, self._size):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._clear(step)  # removes a damaged one
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
    """First line of an error message, shortened."""
    lines = str(error).strip().splitlines()
    return lines[0][:160].rstrip(".") if lines else type(error).__name__

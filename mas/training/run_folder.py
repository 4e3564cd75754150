"""The run folder: everything a training writes.

flags.txt          the settings, as a flag file that repeats the run
run.json           settings, versions, commit, lists, parameters, devices; `resumed`, a row for each
                   resumption; `finished`, the time, if finished
metrics.csv        one row per epoch
events.*           TensorBoard logs
resume/            checkpoints, see `mas.training.checkpoints`
backbone.keras     the backbone, from uint8 R G B clips to a feature map
model.keras        the backbone with the task's heads
epochs/, best/     networks of some epochs: `mas.training.kept` and `mas.training.validation`
export/            SavedModel, see `mas.training.export`
test.csv           if there was a test; for tasks that predict a class also per_class.csv,
                   confusion.csv and confusion.png
.lock              held by the process that is training in the folder
"""

import contextlib
import functools
import json
import os
import pathlib
import shutil
from typing import Any

import tensorflow as tf
from absl import logging

from mas import files, locks, networks
from mas.checks import refuse
from mas.training import checkpoints, export, metrics
from mas.training.checkpoints import ADVICE
from mas.training.origin import commit, now, versions
from mas.training.recorded import read_flags

FLAGS = "flags.txt"
DESCRIPTION = 10**6  # approximate bytes of a saved network besides its weights
# Entries of run.json that are read when a run is resumed.
_DESCRIBED = {"identity": dict, "resumed": list, "finished_epochs": int}


class RunFolder:
    """Opens a new or existing run folder, and locks it until `close` or the end of a `with` block.

    Args:
        path: the folder.
        settings: a `Recorded`.
        identity: {name: value} of the run's inputs, such as digests of its lists, serialisable as
            JSON. They must be unchanged when the run is resumed.
        restart: whether to start over. The earlier run is moved to PATH.earlier and deleted once
            the new one is training.
        chief: whether this process writes; the other hosts only read.

    Raises:
        ValueError: If an earlier run in the folder has other settings or data, finished more
            epochs, or is damaged; or if the folder has other contents.
        RuntimeError: If another process is training in the folder.
    """

    def __init__(self, path, settings, identity=None, restart=False, chief=True):
        """See the class."""
        self.path, self.resume = pathlib.Path(path), str(pathlib.Path(path, "resume"))
        self._metrics = metrics.Metrics(self.path / metrics.NAME)
        self._writer: Any = None
        self._lock: Any = None
        self._settings, self._identity = settings, identity or {}
        self._earlier = self.path.with_name(f"{self.path.name}.earlier")
        if chief:
            try:
                self._open(restart)
            except BaseException:
                self.close()
                raise

    def __enter__(self):
        """Returns itself."""
        return self

    def __exit__(self, *error):
        """Closes the folder."""
        self.close()

    def close(self):
        """Releases the lock."""
        if self._writer is not None:
            with contextlib.suppress(tf.errors.OpError):  # a full disk, already reported
                self._writer.close()
            self._writer = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _open(self, restart):
        self._earlier_files()  # raises for a folder with other contents before anything is written
        self._lock_folder()
        held = self._earlier_files()  # again, now that the folder is locked
        if held and restart:
            self._put_aside(held)
        elif held and held != {FLAGS}:  # flags.txt alone: the earlier run never started
            self._check_settings()
            self._check_epochs()
            self._check_identity()
        if not (self.path / FLAGS).is_file():
            self.keep_settings()

    def _earlier_files(self):
        """Names of the files of an earlier run; raises ValueError for other contents."""
        if self.path.exists() and not self.path.is_dir():
            refuse("run", "a folder", str(self.path))
        held = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else set()
        # A temporary file, if the run was killed while writing its first file.
        held = {name for name in held if not (name.startswith(FLAGS) and name.endswith(".tmp"))}
        held -= {locks.NAME}
        if held and FLAGS not in held:
            raise ValueError(
                "run must be a new folder or an earlier run. "
                f"Received: {self.path}, which contains other files."
            )
        return held

    def _lock_folder(self):
        """Creates the folder and locks it."""
        with files.writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        lock = locks.lock(self.path, "training")
        self.close()
        self._lock = lock

    def _put_aside(self, held):
        """Moves the earlier run aside until the new one is training."""
        if self._earlier.exists() or held == {FLAGS}:  # the run in the folder never trained
            for path in self.path.iterdir():
                if path.name != locks.NAME:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        else:
            os.replace(self.path, self._earlier)  # with its lock, which this process still holds
            self._lock_folder()
            logging.info("Keeping the earlier run in %s until this one trains.", self._earlier)

    def drop_earlier(self):
        """Deletes the earlier run, once the new one is training."""
        shutil.rmtree(self._earlier, ignore_errors=True)

    def keep_settings(self):
        """Writes flags.txt again, since free settings may have changed."""
        text = "".join(f"--{name}={text}\n" for name, text in self._settings.texts.items())
        file = self.path / FLAGS
        if not file.is_file() or file.read_bytes() != text.encode("utf-8", "surrogateescape"):
            files.write(file, text)

    def _check_settings(self):
        other = self._settings.differences(read_flags(self.path / FLAGS))
        if other:
            changes = ", ".join(f"{name}={new} (was {old})" for name, new, old in other)
            raise ValueError(
                f"{self.path} was started with other settings. Received: {changes}. {ADVICE}"
            )

    def _check_epochs(self):
        done = self.finished_epochs
        epochs = int(self._settings.texts.get("epochs", done))
        if epochs < done:
            raise ValueError(
                f"epochs must be at least {done}, as many as the run in {self.path} has finished. "
                f"Received: epochs={epochs}."
            )

    def _check_identity(self):
        earlier = self._described().get("identity", self._identity)
        new = json.loads(json.dumps(self._identity))
        other = sorted(n for n in {*earlier, *new} if earlier.get(n) != new.get(n))
        if other:
            length = {n: 12 if n.endswith("_sha256") else None for n in other}
            both = [(n, *(str(side.get(n))[: length[n]] for side in (new, earlier))) for n in other]
            changes = ", ".join(f"{name}={new} (was {old})" for name, new, old in both)
            raise ValueError(
                f"{self.path} was started on other data. Received: {changes}. {ADVICE}"
            )

    def _described(self):
        """Reads run.json; {} if it does not exist yet.

        Raises:
            ValueError: If it is damaged, or missing although there are checkpoints.
        """
        path = self.path / "run.json"
        if not path.is_file():
            if checkpoints.steps(self.resume):
                raise ValueError(f"{path} must exist to resume. Received: none. {ADVICE}")
            return {}
        try:
            known = files.read_json(path, networks.MOST_RUN)
        except ValueError as error:
            raise ValueError(f"{error} {ADVICE}") from None
        for name, kind in _DESCRIBED.items():
            if name in known and not isinstance(known[name], kind):
                received = f"{name}={str(known[name])[:60]}"
                raise ValueError(f"{path} must be that of a run. Received: {received}. {ADVICE}")
        return known

    def _write_described(self, description):
        files.write_json(self.path / "run.json", description)

    @property
    def finished_epochs(self):
        """Number of epochs of a finished run; 0 for an unfinished one."""
        return self._described().get("finished_epochs", 0)

    def describe(self, model, strategy, **facts):
        """Writes run.json, unless the run is resumed from a checkpoint."""
        if self.finished_epochs or checkpoints.steps(self.resume):
            return
        trainable = sum(
            int(variable.shape.num_elements()) for variable in model.trainable_variables
        )
        description = {
            "started": now(),
            "versions": versions(),
            "commit": commit(),
            "parameters": {"trainable": trainable, "all": model.count_params()},
            "replicas": strategy.num_replicas_in_sync,
            "devices": [device.name for device in tf.config.list_logical_devices()],
            "resumed": [],
            "identity": self._identity,
            **facts,
        }
        self._write_described(description)

    def begin(self, step, epoch):
        """Prepares for training from `step` of `epoch`, both counted from 0.

        When resuming, it adds a row to run.json and keeps the metrics of earlier epochs.
        """
        self.keep_settings()
        if step:
            row = {"at": now(), "step": step, "versions": versions(), "commit": commit()}
            description = self._described()
            resumed = [*description.get("resumed", []), row]
            self._write_described(description | {"resumed": resumed})
        self._metrics.keep(epoch)

    def add_metrics(self, row):
        """Adds one epoch's row to metrics.csv and TensorBoard."""
        self._metrics.add(row, beside=FLAGS)
        self.scalars("epoch", {n: v for n, v in row.items() if n != "epoch"}, row["epoch"])

    def scalars(self, group, values, step):
        """Writes values to TensorBoard as GROUP/NAME."""
        with self._recording():
            for name, value in values.items():
                tf.summary.scalar(f"{group}/{name}", value, step=step)

    def images(self, pictures, step):
        """Writes pictures to TensorBoard: {name: uint8 (N, H, W, 3)}."""
        with self._recording():
            for name, images in pictures.items():
                tf.summary.image(f"clips/{name}", images, step, max_outputs=len(images))

    @contextlib.contextmanager
    def _recording(self):
        with files.writing(self.path / "events"):
            if self._writer is None:
                self._writer = tf.summary.create_file_writer(str(self.path))
            with self._writer.as_default():
                yield
            self._writer.flush()

    def finish(self, backbone, model, epochs, **facts):
        """Writes the networks and marks the run as finished."""
        for name, network in (("backbone.keras", backbone), ("model.keras", model)):
            self.put(name, network.save, 4 * network.count_params())
        save = functools.partial(export.saved_model, backbone, model)
        self.put("export", save, 4 * model.count_params())
        marks = {"finished": now(), "finished_epochs": epochs}
        self._write_described(self._described() | marks | facts)

    def put(self, name, save, need):
        """Writes a file or folder under a temporary name, then renames it.

        Args:
            name: final name, below the run folder.
            save: function that writes it to a path.
            need: bytes of its weights, without the description of the layers.
        """
        temporary, final = self.path / f"unfinished.{name.replace('/', '.')}", self.path / name
        with files.writing(final, need + DESCRIPTION):
            try:
                final.parent.mkdir(exist_ok=True)
                _remove(temporary)
                save(temporary)
                if final.is_dir():
                    shutil.rmtree(final)
                files.replace(temporary, final)
            finally:
                _remove(temporary)


def _remove(path):
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

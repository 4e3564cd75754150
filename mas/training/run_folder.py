"""The run folder: everything one training leaves behind.

flags.txt          the settings, as a flag file that repeats the run
run.json           settings, versions, commit, lists, parameters, devices; `resumed`, a row for each
                   time that the run was resumed; `finished` once it is
metrics.csv        one row an epoch
events.*           TensorBoard
resume/            checkpoints
backbone.keras     from uint8 R G B clips to the last convolution's map
model.keras        the same with the task's heads
export/            SavedModel, see `mas.training.export`
test.csv           where there was a test; per_class.csv, confusion.csv and confusion.png of a task
                   that chooses one of several classes
"""

import csv
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import subprocess
from typing import Any

import tensorflow as tf
from absl import logging

from mas import files
from mas.checks import refuse
from mas.training import export
from mas.training.recorded import read_flags

FLAGS, METRICS = "flags.txt", "metrics.csv"


class RunFolder:
    """Opens a run folder, new or to resume.

    Args:
        path: the folder.
        settings: a `Recorded`.
        identity: {name: value} of what a run is trained on, such as the digests of its lists: what
            must still be the same when it is resumed. JSON can hold it.
        restart: start over. The earlier run lies in PATH.earlier until the new one has trained.
        chief: whether this process writes; the other hosts only read.

    Raises:
        ValueError: an earlier run in the folder had other settings or other data, or had finished
            more epochs; or the folder holds other things.
    """

    def __init__(self, path, settings, identity=None, restart=False, chief=True):
        """See the class."""
        self.path, self.resume = pathlib.Path(path), str(pathlib.Path(path, "resume"))
        self._metrics = self.path / METRICS
        self._writer: Any = None
        self._settings, self._identity = settings, identity or {}
        self._earlier = self.path.with_name(f"{self.path.name}.earlier")
        if chief:
            self._open(restart)

    def _open(self, restart):
        if self.path.exists() and not self.path.is_dir():
            refuse("run", "a folder", str(self.path))
        held = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else set()
        # Killed while it was written, before all else.
        held = {name for name in held if not (name.startswith(FLAGS) and name.endswith(".tmp"))}
        if held:
            if FLAGS not in held:
                raise ValueError(
                    "run must be a new folder or an earlier run. "
                    f"Received: {self.path}, which holds other files."
                )
            if restart:
                self._put_aside(held)
            elif held != {FLAGS}:  # a run that was refused right away left nothing else
                self._check_settings()
                self._check_epochs()
                self._check_identity()
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / FLAGS).is_file():
            self.keep_settings()

    def _put_aside(self, held):
        """Keeps the earlier run for the case that the new one is refused."""
        if self._earlier.exists() or held == {"flags.txt"}:  # nothing has trained since
            shutil.rmtree(self.path)
        else:
            os.replace(self.path, self._earlier)
            logging.info("The earlier run lies in %s until this one has trained.", self._earlier)

    def drop_earlier(self):
        """Throws away the run that was put aside; the new one trains."""
        shutil.rmtree(self._earlier, ignore_errors=True)

    def keep_settings(self):
        """Writes flags.txt again: a setting that is free to change may have changed."""
        text = "".join(f"--{name}={text}\n" for name, text in self._settings.texts.items())
        file = self.path / FLAGS
        if not file.is_file() or file.read_text("utf-8") != text:
            files.write(file, text)

    def _check_settings(self):
        other = self._settings.differences(read_flags(self.path / FLAGS))
        if other:
            changes = ", ".join(f"{name}={new} (was {old})" for name, new, old in other)
            raise ValueError(
                f"{self.path} holds a run with other settings. Received: {changes}. "
                "Take another run folder, or restart."
            )

    def _check_epochs(self):
        done = self.finished_epochs
        epochs = int(self._settings.texts.get("epochs", done))
        if epochs < done:
            raise ValueError(
                f"epochs must be at least {done}, which the run in {self.path} has finished. "
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
                f"{self.path} holds a run on other data. Received: {changes}. "
                "Take another run folder, or restart."
            )

    def _described(self):
        """What run.json holds; {} before there is one."""
        path = self.path / "run.json"
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}

    def _write_described(self, description):
        files.write_json(self.path / "run.json", description)

    @property
    def finished_epochs(self):
        """Epochs after which the run was finished; 0 while it is not."""
        return self._described().get("finished_epochs", 0)

    def describe(self, model, strategy, **facts):
        """Writes run.json, unless the run is resumed from a checkpoint."""
        if self.finished_epochs or tf.train.latest_checkpoint(self.resume):
            return
        trainable = sum(
            int(variable.shape.num_elements()) for variable in model.trainable_variables
        )
        description = {
            "started": _now(),
            "versions": versions(),
            "commit": _commit(),
            "parameters": {"trainable": trainable, "all": model.count_params()},
            "replicas": strategy.num_replicas_in_sync,
            "devices": [device.name for device in tf.config.list_logical_devices()],
            "resumed": [],
            "identity": self._identity,
            **facts,
        }
        self._write_described(description)

    def begin(self, step, epoch):
        """Gets ready for training from `step` on, which lies in `epoch`, both counted from 0.

        Notes in run.json that the run is resumed, keeps the rows of the epochs before, and opens
        TensorBoard's file.
        """
        self.keep_settings()
        if step:
            row = {"at": _now(), "step": step, "versions": versions(), "commit": _commit()}
            description = self._described()
            self._write_described(description | {"resumed": [*description["resumed"], row]})
        if self._has_metrics():
            with open(self._metrics, newline="", encoding="utf-8") as file:
                header, *rows = csv.reader(file)
            files.write_csv(self._metrics, header, [r for r in rows if int(r[0]) <= epoch])
        self._writer = tf.summary.create_file_writer(str(self.path))

    def _has_metrics(self):
        """Whether metrics.csv has its header: a kill may have left an empty file."""
        return self._metrics.is_file() and self._metrics.stat().st_size > 0

    def add_metrics(self, row):
        """Adds one epoch's row to metrics.csv and TensorBoard."""
        new = not self._has_metrics()
        with open(self._metrics, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(row)
            writer.writerow(
                f"{value:.8g}" if isinstance(value, float) else value for value in row.values()
            )
        self.scalars("epoch", {n: v for n, v in row.items() if n != "epoch"}, row["epoch"])

    def scalars(self, group, values, step):
        """Writes values to TensorBoard as GROUP/NAME."""
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(f"{group}/{name}", value, step=step)
        self._writer.flush()

    def images(self, pictures, step):
        """Writes pictures to TensorBoard: {name: uint8 (N, H, W, 3)}."""
        with self._writer.as_default():
            for name, images in pictures.items():
                tf.summary.image(f"clips/{name}", images, step, max_outputs=len(images))
        self._writer.flush()

    def finish(self, backbone, model, epochs):
        """Writes the networks, each whole or not at all, and marks the run as finished."""
        for name, network in (("backbone.keras", backbone), ("model.keras", model)):
            temporary = self.path / f"unfinished.{name}"
            network.save(temporary)
            os.replace(temporary, self.path / name)
        temporary, final = self.path / "unfinished.export", self.path / "export"
        shutil.rmtree(temporary, ignore_errors=True)
        export.saved_model(backbone, model, temporary)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
        marks = {"finished": _now(), "finished_epochs": epochs}
        self._write_described(self._described() | marks)


def _now():
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def versions():
    """Versions of Python and the libraries that decide the numbers."""
    names = ("mas-video", "tensorflow", "keras", "numpy", "opencv-contrib-python-headless", "numba")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _commit():
    """The checkout's commit, with + if there are changes; None outside a checkout."""
    try:
        command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
        folder = pathlib.Path(__file__).parent
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

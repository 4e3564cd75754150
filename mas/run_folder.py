"""The run folder: everything one training leaves behind.

flags.txt          a flag file that repeats the run
run.json           versions, commit, list, parameters, device; `finished` once it is
metrics.csv        one row an epoch
events.*           TensorBoard
resume/            checkpoints
backbone.keras     from uint8 R G B clips to the last convolution's map
model.keras        the same with the task's heads
export/            SavedModel, see `mas.export`
"""

import csv
import datetime
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import subprocess

import tensorflow as tf

from mas import export, records

# Flags that may change when a run goes on: they do not change what is computed.
FREE = ("run", "restart", "threads", "log_every", "checkpoint_every", "epochs", "strategy")


class RunFolder:
    """Opens a run folder, new or to go on with.

    Args:
        path: the folder.
        flags: {name: [value as text, ...]} of the script; several where a flag may be repeated.
        restart: throw away what an earlier run left there.
        chief: whether this process writes; the other hosts only read the checkpoints.

    Raises:
        ValueError: an earlier run in the folder had other flags, or the folder holds other things.
    """

    def __init__(self, path, flags, restart=False, chief=True):
        """See the class."""
        self.path, self.resume = pathlib.Path(path), str(pathlib.Path(path, "resume"))
        self._metrics, self._writer = self.path / "metrics.csv", None
        if chief:
            self._open(flags, restart)

    def _open(self, flags, restart):
        held = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else set()
        if held:
            if "flags.txt" not in held:
                raise ValueError(
                    "run must be a new folder or an earlier run. "
                    f"Received: {self.path}, which holds other files."
                )
            if restart:
                shutil.rmtree(self.path)
            elif held != {"flags.txt"}:  # a run that was refused right away left nothing else
                self._check(flags)
        self.path.mkdir(parents=True, exist_ok=True)
        kept = {name: texts for name, texts in flags.items() if name != "restart"}
        lines = [f"--{name}={text}\n" for name, texts in kept.items() for text in texts]
        _write(self.path / "flags.txt", "".join(lines))

    def _check(self, flags):
        earlier = {}
        for line in (self.path / "flags.txt").read_text("utf-8").splitlines():
            name, value = line[2:].split("=", 1)
            earlier.setdefault(name, []).append(value)
        names = (set(flags) | set(earlier)) - set(FREE)
        other = sorted(name for name in names if flags.get(name, []) != earlier.get(name, []))
        if other:
            both = [(n, ",".join(flags.get(n, [])), ",".join(earlier.get(n, []))) for n in other]
            changes = ", ".join(f"--{name}={new} (was {old})" for name, new, old in both)
            raise ValueError(
                f"{self.path} holds a run that must go on with its own flags. Received: {changes}. "
                "Take another --run, or --restart to begin anew."
            )

    @property
    def finished_epochs(self):
        """Epochs after which the run was finished; 0 while it is not."""
        path = self.path / "run.json"
        return (
            json.loads(path.read_text("utf-8")).get("finished_epochs", 0) if path.is_file() else 0
        )

    def describe(self, model, strategy, **facts):
        """Writes run.json."""
        trainable = sum(
            int(variable.shape.num_elements()) for variable in model.trainable_variables
        )
        description = {
            "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "versions": versions(),
            "commit": _commit(),
            "parameters": {"trainable": trainable, "all": model.count_params()},
            "replicas": strategy.num_replicas_in_sync,
            "devices": [device.name for device in tf.config.list_logical_devices()],
            **facts,
        }
        _write(self.path / "run.json", json.dumps(description, indent=2) + "\n")

    def begin_metrics(self, epoch):
        """Keeps the rows of the epochs before `epoch` and opens TensorBoard's file."""
        if self._metrics.is_file():
            with open(self._metrics, newline="", encoding="utf-8") as file:
                header, *rows = list(csv.reader(file)) or [[]]
            records.write_csv(self._metrics, header, [r for r in rows if int(r[0]) <= epoch])
        self._writer = tf.summary.create_file_writer(str(self.path))

    def add_metrics(self, row):
        """Adds one epoch's row to metrics.csv and TensorBoard."""
        new = not self._metrics.is_file()
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
        description = json.loads((self.path / "run.json").read_text("utf-8"))
        description["finished"] = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        description["finished_epochs"] = epochs
        _write(self.path / "run.json", json.dumps(description, indent=2) + "\n")


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


def digest(path):
    """SHA-256 of a file, in hexadecimal; None without a path."""
    return path and hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


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


def _write(path, text):
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)

r"""Protocols that evaluate representations: one module and one dataclass each.

    result = mas.evaluate.Probe("knn", groups=r"/(\w+?)_")(run, data, "all.txt")
    result.accuracy, result.text, result.write("runs/probe")

A protocol's fields are its settings. The call takes a network, its data and lists of videos, or
features (`mas.features`) instead of all three.
"""

from mas.evaluate.action import Action
from mas.evaluate.pretext import Pretext
from mas.evaluate.probe import Probe
from mas.evaluate.report import Result
from mas.evaluate.retrieval import Retrieval
from mas.evaluate.scenes import Scenes
from mas.evaluate.similarity import Similarity

# By the name of the command and its files. A new protocol needs a module, a test and a line here.
PROTOCOLS = {
    "action": Action,
    "retrieval": Retrieval,
    "probe": Probe,
    "similarity": Similarity,
    "scenes": Scenes,
    "pretext": Pretext,
}

__all__ = [
    "PROTOCOLS",
    "Action",
    "Pretext",
    "Probe",
    "Result",
    "Retrieval",
    "Scenes",
    "Similarity",
]

r"""The protocols that tell how good a representation is: a file each, a dataclass each.

    result = mas.evaluate.Probe("knn", groups=r"/(\w+?)_")(run, data, "all.txt")
    result.accuracy, result.text, result.write("runs/probe")

A protocol's fields are its settings; the call takes a network, its data and the lists of videos, or
features (`mas.features`) in place of the three.
"""

from mas.evaluate.action import Action
from mas.evaluate.pretext import Pretext
from mas.evaluate.probe import Probe
from mas.evaluate.report import Result
from mas.evaluate.retrieval import Retrieval
from mas.evaluate.scenes import Scenes
from mas.evaluate.similarity import Similarity

# By the name of its files and of its command: a new one is its file, its test and one line here.
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

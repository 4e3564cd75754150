"""A Ray cluster: how it is found, what its nodes must have, and tasks whose workers may die.

    with cluster.connected("auto") as ray:
        cluster.check_nodes(ray, cluster.needs({"OpenCV": "cv2"}))
        tasks = cluster.Tasks(ray, function)

Files, which all nodes share, carry the data; an answer is a few numbers.
"""

from mas.cluster.connecting import check, connected
from mas.cluster.nodes import check_nodes, count_cores, lacks, lacks_here, needs, on_each
from mas.cluster.tasks import TRIES, Tasks

__all__ = [
    "TRIES",
    "Tasks",
    "check",
    "check_nodes",
    "connected",
    "count_cores",
    "lacks",
    "lacks_here",
    "needs",
    "on_each",
]

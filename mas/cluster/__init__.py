"""Ray clusters: connecting, checking the nodes, and tasks that survive dead workers.

    with cluster.connected("auto") as ray:
        cluster.check_nodes(ray, cluster.needs({"OpenCV": "cv2"}))
        tasks = cluster.Tasks(ray, function)

Data is exchanged through files that all nodes share; tasks return only a few numbers.
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

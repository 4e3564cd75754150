"""mas: self-supervised video learning in Keras. Raw video in, a pre-trained 3D CNN out.

    import mas

    data = mas.prepare_videos("videos", "data", flow="dis")
    run = mas.pretrain(data, "mas", run="runs/x")
    tuned = mas.finetune(run, data, train="train.txt", test="test.txt", run="runs/y")

Nothing heavy is imported until it is used.
"""

from typing import TYPE_CHECKING

from mas import lazy

if TYPE_CHECKING:
    from mas import augment as augment
    from mas import backbones as backbones
    from mas import clips as clips
    from mas import convert as convert
    from mas import evaluate as evaluate
    from mas import features as features
    from mas import heads as heads
    from mas import index as index
    from mas import lists as lists
    from mas import losses as losses
    from mas import networks as networks
    from mas import prediction as prediction
    from mas import prepare as prepare
    from mas import records as records
    from mas import statistics as statistics
    from mas import tasks as tasks
    from mas import training as training
    from mas import visualize as visualize
    from mas.index import Index as Index
    from mas.prediction import predict as predict
    from mas.prepare import prepare_videos as prepare_videos
    from mas.records import check_data as check_data
    from mas.records import open_data as open_data
    from mas.settings import Clip as Clip
    from mas.settings import Network as Network
    from mas.settings import Optimisation as Optimisation
    from mas.settings import Plan as Plan
    from mas.training import Run as Run
    from mas.training import dataset as dataset
    from mas.training import finetune as finetune
    from mas.training import open_run as open_run
    from mas.training import pretrain as pretrain

__version__ = "0.2.0"

# Public name: the module that defines it. None: a module of this package.
_PLACES = {
    "Clip": "mas.settings",
    "Index": "mas.index",
    "Network": "mas.settings",
    "Optimisation": "mas.settings",
    "Plan": "mas.settings",
    "Run": "mas.training",
    "check_data": "mas.records",
    "dataset": "mas.training",
    "finetune": "mas.training",
    "open_data": "mas.records",
    "open_run": "mas.training",
    "predict": "mas.prediction",
    "prepare_videos": "mas.prepare",
    "pretrain": "mas.training",
    **dict.fromkeys(
        (
            *("augment", "backbones", "clips", "convert", "evaluate", "features", "heads"),
            *("index", "lists", "losses", "networks", "prediction", "prepare", "records"),
            *("statistics", "tasks", "training", "visualize"),
        )
    ),
}
__getattr__, __dir__ = lazy.attributes(__name__, _PLACES)
__all__ = list(_PLACES)

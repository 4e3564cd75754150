"""What pre-training teaches a network, task by task, beside random weights.

steps.py      commands that run once, in their order, with the CPU time that each takes
groups.py     which videos of few labelled groups a classifier is trained on
results.py    what the frozen features and the classifiers reach: csv, Markdown and a figure

FOLDER/data               the prepared videos
FOLDER/runs/TASK_SEED     pre-trained networks; TASK_SEED_trained_fewN: classifiers
FOLDER/runs/FORM_SEED_scratch_fewN  classifiers from scratch, shared by networks of one form
FOLDER/features           of each network, and random ones of each form
FOLDER/steps.csv          seconds and CPU seconds of each command
FOLDER/results.csv        a row a task, seed, weights and measure
FOLDER/results.md, .png   mean and spread over the seeds
"""

from mas.study.groups import few
from mas.study.results import Row, measure, table, write
from mas.study.steps import Step, cpu_seconds, run

__all__ = [
    "Row",
    "Step",
    "cpu_seconds",
    "few",
    "measure",
    "run",
    "table",
    "write",
]

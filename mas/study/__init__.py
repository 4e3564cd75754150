"""Compares pre-training tasks with each other and with random weights.

steps.py      runs commands once, in order, and records their CPU time
groups.py     picks the training videos of a classifier from a few labelled groups
results.py    accuracies of frozen features and classifiers: csv, Markdown and a figure

FOLDER/data               the prepared videos
FOLDER/runs/TASK_SEED     pre-trained networks; TASK_SEED_trained_fewN: classifiers
FOLDER/runs/FORM_SEED_scratch_fewN  classifiers trained from scratch, one per architecture
FOLDER/features           features of each network, and of random weights per architecture
FOLDER/steps.csv          seconds and CPU seconds of each command
FOLDER/results.csv        a row for each task, seed, weights and measure
FOLDER/results.md, .png   mean and standard deviation over the seeds
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

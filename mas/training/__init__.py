"""Training: one loop for one device, several GPUs and several hosts."""

from mas.training.distribution import STRATEGIES, barrier, is_chief, strategy
from mas.training.loop import Plan, Trainer

__all__ = ["STRATEGIES", "Plan", "Trainer", "barrier", "is_chief", "strategy"]

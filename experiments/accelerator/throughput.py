"""The works and forms of `experiments/throughput`, which is no package."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "throughput"))

import ours
from works import BATCH

__all__ = ["BATCH", "ours"]

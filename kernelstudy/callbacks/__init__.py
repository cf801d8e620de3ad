"""`Recorder` as a callback of Keras, Lightning and Hugging Face's Trainer: one line in one's own training::

    model.fit(x, y, callbacks=[kernelstudy.callbacks.Keras("runs/mine", seed=0, images=x)])

Each takes what `Recorder` takes, logs the network before its first step, and closes the recording when
training ends. Nothing is imported but the framework that is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {"Keras": "of_keras", "Lightning": "of_lightning", "HuggingFace": "of_huggingface"}

__all__ = ["HuggingFace", "Keras", "Lightning"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'kernelstudy.callbacks' has no attribute {name!r}")
    return getattr(import_module(f"kernelstudy.callbacks.{_MODULES[name]}"), name)

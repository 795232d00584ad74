"""Mondegreen turns the phrases a speech-to-text agent mishears into quality-gated datasets to fine-tune it on.

Importing this package loads nothing; the names below are loaded when first used. `Recorder` needs the standard
library alone, so an agent's process does not pay for pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mondegreen.data_manager import DataManager
    from mondegreen.errors import MondegreenError
    from mondegreen.finetuning_pipeline import FinetuningDatasetPipeline
    from mondegreen.metadata_tracker import MetadataTracker
    from mondegreen.recorder import Recorder
    from mondegreen.version_control import DataVersionControl

__version__ = "0.1.0"
__all__ = [
    "DataManager",
    "DataVersionControl",
    "FinetuningDatasetPipeline",
    "MetadataTracker",
    "MondegreenError",
    "Recorder",
    "__version__",
]

_ROOMS = {
    "DataManager": "data_manager",
    "DataVersionControl": "version_control",
    "FinetuningDatasetPipeline": "finetuning_pipeline",
    "MetadataTracker": "metadata_tracker",
    "MondegreenError": "errors",
    "Recorder": "recorder",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'mondegreen' has no attribute {name!r}")
    return getattr(import_module(f"mondegreen.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

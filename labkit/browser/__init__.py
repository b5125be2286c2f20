"""Models in a browser: written in its formats, run there, and shown in a notebook.

The public names are loaded on first use, so that importing this imports neither TensorFlow nor a web server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.browser.find import find_browser
    from labkit.browser.frame import Frame
    from labkit.browser.graph_model import export_graph_model
    from labkit.browser.headless import run
    from labkit.browser.layers_model import export_layers_model, load_weights, read_weights
    from labkit.browser.notebook import show
    from labkit.browser.page_server import PageServer
    from labkit.browser.tflite import check_tflite, export_tflite

_HOMES = {
    "Frame": "frame",
    "PageServer": "page_server",
    "check_tflite": "tflite",
    "export_graph_model": "graph_model",
    "export_layers_model": "layers_model",
    "export_tflite": "tflite",
    "find_browser": "find",
    "load_weights": "layers_model",
    "read_weights": "layers_model",
    "run": "headless",
    "show": "notebook",
}
__all__ = [
    "Frame",
    "PageServer",
    "check_tflite",
    "export_graph_model",
    "export_layers_model",
    "export_tflite",
    "find_browser",
    "load_weights",
    "read_weights",
    "run",
    "show",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"labkit.browser.{_HOMES[name]}"), name)
    raise AttributeError(
        f"module 'labkit.browser' has no attribute {name!r}; its public names are {', '.join(__all__)}"
    )

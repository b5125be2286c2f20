from .find import find_browser
from .frame import Frame
from .graph_model import export_graph_model
from .headless import run
from .layers_model import export_layers_model, load_weights, read_weights
from .notebook import show
from .page_server import PageServer
from .tflite import export_tflite
from .tflite_file import check_tflite

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

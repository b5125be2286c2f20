"""Scaffolding for the labs: real model servers, clients and measurements on one machine.

The public names are loaded on first use, so that ``import labkit`` costs milliseconds and imports no TensorFlow.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

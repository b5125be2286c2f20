"""Models in a browser: written in its formats, run there, and shown in a notebook.

The public names are loaded on first use, so that importing this imports neither TensorFlow nor a web server.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

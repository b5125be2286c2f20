"""Ask for a model server, get a running one, and talk to it.

Loaded on first use: the embedded server's process lives in this package too and must not import the clients.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

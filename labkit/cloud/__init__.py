"""The cloud in one call: a local `googleapis.com` for Google's own SDK, or the real one where a project is named.

Loaded on first use: the local cloud's process lives in this package too and must not import the session's side.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""What TensorFlow's threads do: each setting measured in a process of its own, and set against Amdahl's law.

The public names are loaded on first use, so that importing this costs milliseconds and imports no TensorFlow.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

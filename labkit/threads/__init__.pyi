from .measurements import Measurement, Measurements
from .measuring import measure
from .speedup import amdahl, fit_parallel_share, speedup_picture

__all__ = ["Measurement", "Measurements", "amdahl", "fit_parallel_share", "measure", "speedup_picture"]

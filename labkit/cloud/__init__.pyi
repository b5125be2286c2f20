from .session import Cloud, cloud

__all__ = ["Cloud", "cloud"]

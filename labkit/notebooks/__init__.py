"""How labs are made: laid out, run, checked for style, turned into exercises. No lab imports this."""

from labkit.errors import needs_extra

with needs_extra("labkit.notebooks, for the labs in labkit's repository,", "labs"):
    import nbformat  # noqa: F401  # where it is, the rest of the extra is too

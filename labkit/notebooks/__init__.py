"""How labs are made: laid out, run, checked for style, turned into exercises. No lab imports this."""

from labkit.errors import needs_extra

with needs_extra("labkit.notebooks, for the labs in labkit's repository,", "labs"):
    import latex2mathml  # noqa: F401  # where this one is, the rest of the extra is too: Jupyter brings the others
    import nbformat  # noqa: F401

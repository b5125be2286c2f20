"""What a test does on a machine that lacks what it needs."""

import os
from typing import NoReturn

import pytest


def lacking(reason: str) -> NoReturn:
    """Skip what is running for want of something that can be installed; with LABKIT_CI set fail it, for there it is."""
    (pytest.fail if os.environ.get("LABKIT_CI") else pytest.skip)(reason)

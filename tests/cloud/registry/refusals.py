"""What the services refuse, and in which words."""

import pytest

from labkit.cloud.local.status import ApiError


def refused(call, *words):
    """The code with which `call` is refused; all of `words` are in the message."""
    with pytest.raises(ApiError) as raised:
        call()
    for word in words:
        assert word in raised.value.message
    return raised.value.code

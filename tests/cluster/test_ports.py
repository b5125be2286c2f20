"""labkit.cluster.ports: a port that cannot be shut to other machines is none."""

import errno
import os
import socket

import pytest

from labkit.cluster import ports


def fails(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """On the address 0.0.0.1, which no machine has."""
    bind = socket.socket.bind

    class Socket(socket.socket):
        def bind(self, address: tuple) -> None:
            if address[0] == "0.0.0.1":
                raise OSError(error, os.strerror(error))
            bind(self, address)

    monkeypatch.setattr(ports, "_other_addresses", lambda: ["0.0.0.1"])
    monkeypatch.setattr(socket, "socket", Socket)


def test_an_address_that_is_gone_needs_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    fails(monkeypatch, errno.EADDRNOTAVAIL)
    port = ports.Port()
    assert port.address == f"127.0.0.1:{port.number}"
    port.close()


def test_a_port_that_stays_open_to_others_is_not_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    fails(monkeypatch, errno.EMFILE)
    with pytest.raises(OSError, match="Too many open files"):
        ports.Port()

"""Ports that stay a task's own from before it starts until after it ended, and that only this machine can reach.

TensorFlow's servers listen on every address of a machine, and whoever reaches one can run code in it. So for each port
there are sockets of ours: one that keeps the number from everybody else, and one on every address but loopback that
takes, and never answers, whatever comes from elsewhere; the system prefers a socket on the very address to one on all.
(An address that the machine gets later is not covered.) TensorFlow shares the port with them because it is told to
(`TF_GRPC_REUSE_PORT`).
"""

import contextlib
import errno
import ipaddress
import socket

import psutil

ENVIRONMENT = {"TF_GRPC_REUSE_PORT": "true"}
_GONE = (errno.EADDRNOTAVAIL, errno.ENODEV)  # an interface that went down meanwhile; so is a name that stands for none
_SHARED = hasattr(socket, "SO_REUSEPORT")  # not on Windows; there the number is only known to have been free


class Port:
    """A port on 127.0.0.1 that is held until `close`.

    Attributes:
        number: which.
        address: as in ``127.0.0.1:41234``.
    """

    def __init__(self) -> None:
        """Takes one that is free.

        Raises:
            OSError: there is none, or it cannot be shut to other machines.
        """
        while not self._taken():
            self.close()
        self.address = f"127.0.0.1:{self.number}"
        if not _SHARED:
            self.close()

    def _taken(self) -> bool:
        """Whether a number was free on all addresses, and is ours."""
        self._sockets = [_bound("127.0.0.1", 0)]
        self.number: int = self._sockets[0].getsockname()[1]
        for outside in _other_addresses() if _SHARED else []:
            try:
                self._sockets.append(_bound(outside, self.number))
                self._sockets[-1].listen(1)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return False
                if not isinstance(error, socket.gaierror) and error.errno not in _GONE:
                    self.close()
                    raise
        return True

    def close(self) -> None:
        """Let go of it."""
        for each in self._sockets:
            each.close()


def _bound(address: str, number: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family)
    if _SHARED:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind(socket.getaddrinfo(address, number, family, socket.SOCK_STREAM)[0][4])
    except OSError:
        bound.close()
        raise
    return bound


def _other_addresses() -> list[str]:
    """This machine's addresses but loopback."""
    all_of_them = [address.address for each in psutil.net_if_addrs().values() for address in each]
    found = []
    for text in all_of_them:
        with contextlib.suppress(ValueError):  # a network card's own number, which is no address
            if not ipaddress.ip_address(text.partition("%")[0]).is_loopback:
                found.append(text)
    return found

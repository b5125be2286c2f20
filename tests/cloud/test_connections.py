"""Connections to a container, with a socket of the test on the other side."""

import http.client
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from labkit.cloud.local.container_connections import BrokenError, Connections


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        yield listening


@pytest.fixture
def connections(server):
    return Connections(server.getsockname()[1])


def accepted(server):
    peer, _ = server.accept()
    peer.settimeout(20)
    return peer


def test_a_connection_whose_answer_comes_after_the_end_is_closed(server, connections):
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(connections.ask, "GET", "/", None, {}, 20)
        with accepted(server) as peer:
            assert peer.recv(65536).startswith(b"GET / ")
            connections.close()
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert asked.result().status == 200
            assert peer.recv(1) == b""


def test_a_connection_that_breaks_off_is_closed(server, connections):
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(connections.ask, "GET", "/", None, {}, 20)
        with accepted(server) as peer:
            assert peer.recv(65536).startswith(b"GET / ")
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf")
            peer.shutdown(socket.SHUT_WR)
            with pytest.raises(BrokenError):
                asked.result()
            assert peer.recv(1) == b""


@pytest.mark.parametrize(
    ("path", "headers", "error"),
    [("/a b", {}, http.client.InvalidURL), ("/", {"X": "two\r\nlines"}, ValueError)],
)
def test_a_connection_on_which_nothing_can_be_asked_is_closed(server, connections, path, headers, error):
    with pytest.raises(error) as raised:
        connections.ask("GET", path, None, headers, 20)
    with accepted(server) as peer:
        assert peer.recv(1) == b""
    assert raised.value.__traceback__ is not None  # it holds on to the connection: nothing else has closed it

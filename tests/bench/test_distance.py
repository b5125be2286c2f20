"""A server far away: each byte arrives, in order and not too early, and what is under way shares the delay."""

import math
import os
import random
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress

import numpy as np
import psutil
import pytest
import requests

from labkit.bench import relay
from labkit.bench.distance import DistantServer
from labkit.bench.targets import GrpcTarget, RestTarget
from labkit.waiting import wait_until

from .answering import ANSWER, answering
from .sockets import MEGABYTE, address, connect, pair, receive, reset

ROUND_TRIP = 0.1


@pytest.fixture
def far(listener: socket.socket) -> Iterator[DistantServer]:
    with DistantServer(address(listener), round_trip=ROUND_TRIP) as far:
        yield far


def established(client: socket.socket, server: socket.socket) -> None:
    """Return once both have heard of each other."""
    client.sendall(b"?")
    assert receive(server, 1) == b"?"
    server.sendall(b"!")
    assert receive(client, 1) == b"!"


def send_in_pieces(end: socket.socket, data: bytes, seed: int) -> None:
    """All of it, in pieces of 1 byte to 100 kB."""
    sizes, start = random.Random(seed), 0
    while start < len(data):
        size = int(10 ** sizes.uniform(0, 5))
        end.sendall(data[start : start + size])
        start += size


def both_ways(client: socket.socket, server: socket.socket, size: int) -> None:
    """So many random bytes from each to the other at the same time, and then an end; all of it arrives."""
    there, back = random.Random(1).randbytes(size), random.Random(2).randbytes(size + 1)

    def say(end: socket.socket, data: bytes) -> None:
        send_in_pieces(end, data, len(data))
        end.shutdown(socket.SHUT_WR)

    with ThreadPoolExecutor(4) as threads:
        said = threads.submit(say, client, there), threads.submit(say, server, back)
        heard = threads.submit(receive, server, 2 * size), threads.submit(receive, client, 2 * size)
        assert [one.result() for one in heard] == [there, back]
        assert [one.result() for one in said] == [None, None]


def seconds(what, *arguments) -> float:
    start = time.monotonic()
    what(*arguments)
    return time.monotonic() - start


def test_every_byte_arrives_in_order_both_ways(far, listener):
    with pair(far, listener) as (client, server):
        both_ways(client, server, 4 * MEGABYTE)
    (connection,) = far.connections
    assert (connection.bytes_sent, connection.bytes_received) == (4 * MEGABYTE, 4 * MEGABYTE + 1)


def test_no_more_is_under_way_than_fits(listener, monkeypatch):
    """A client that could send much faster sends a mebibyte or so at a time: this machine's memory has an end."""
    monkeypatch.setattr(relay, "_UNDER_WAY", MEGABYTE)
    data = random.Random(3).randbytes(8 * MEGABYTE)
    with DistantServer(address(listener), round_trip=0.2) as far, pair(far, listener) as (client, server):
        established(client, server)
        start = time.monotonic()
        with ThreadPoolExecutor(1) as thread:
            thread.submit(client.sendall, data)
            assert receive(server, len(data)) == data
        assert time.monotonic() - start >= 5 * 0.1


def test_each_way_takes_half_a_round_trip(far, listener):
    with pair(far, listener) as (client, server):
        established(client, server)
        for one, other in ((client, server), (server, client)) * 3:
            start = time.monotonic()
            one.sendall(b"abc")
            assert receive(other, 3) == b"abc"
            assert time.monotonic() - start >= ROUND_TRIP / 2


def test_a_new_connection_takes_a_round_trip_more(sums):
    """And not two: a busy machine may take longer, but not each time."""
    body = b'{"instances": [[1.0, 2.0]]}'

    def ask() -> None:
        assert client.post(url, data=body).json() == {"predictions": [3.0]}

    with DistantServer(sums.server.rest_url, round_trip=0.3) as far:
        url = f"{far.url}/v1/models/sums:predict"
        for tries in range(1, 11):
            with requests.Session() as client:
                new, kept = seconds(ask), seconds(ask)
            assert len(far.connections) == tries
            assert new >= 2 * 0.3 and kept >= 0.3
            if new < 3 * 0.3 and kept < 2 * 0.3:
                return
    pytest.fail("a new connection took three round trips or a kept one two, ten times out of ten")


def test_a_server_that_speaks_first_is_heard_after_two_round_trips(far, listener):
    """For it hears of the client when that one has heard of it."""
    start = time.monotonic()
    with pair(far, listener) as (client, server):
        server.sendall(b"hello")
        assert receive(client, 5) == b"hello"
        assert time.monotonic() - start >= 2 * ROUND_TRIP


def test_what_is_under_way_shares_the_delay(listener):
    """One after the other they would take 10 s."""
    with DistantServer(address(listener), round_trip=0.5) as far, pair(far, listener) as (client, server):
        established(client, server)
        start = time.monotonic()
        for number in range(40):
            client.sendall(b"%02d" % number)
            while far.connections[0].bytes_sent < 1 + 2 * (number + 1):
                time.sleep(0)
        assert receive(server, 80) == b"".join(b"%02d" % number for number in range(40))
        assert 0.25 <= time.monotonic() - start < 5


def test_the_second_piece_of_an_answer_does_not_wait_until_the_first_is_acknowledged(listener):
    """As it does where Nagle's algorithm meets delayed acknowledgements: 40 ms more each time, but for the first."""

    def ask() -> None:
        client.sendall(b"?")
        assert receive(server, 1) == b"?"
        for piece in (b"head", b"body"):
            server.sendall(piece)
            assert receive(client, 4) == piece

    with DistantServer(address(listener), round_trip=0.02) as far, pair(far, listener) as (client, server):
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        taken = [seconds(ask) for _ in range(20)]
    assert min(taken[5:]) < 0.03 + 0.02


def test_clients_do_not_wait_for_each_other():
    all_asked = threading.Barrier(8)

    def answer(_: int) -> tuple[int, bytes]:
        all_asked.wait(30)
        return 200, ANSWER

    with (
        answering(answer) as server,
        DistantServer(f"127.0.0.1:{server.server_port}", round_trip=ROUND_TRIP) as far,
        ThreadPoolExecutor(8) as clients,
    ):
        asked = [clients.submit(requests.post, far.url, data=b"{}") for _ in range(8)]
        assert [one.result().content for one in asked] == [ANSWER] * 8


@pytest.mark.parametrize("first", ["client", "server"])
def test_an_end_that_has_said_all_still_hears_the_other(far, listener, first):
    with pair(far, listener) as ends:
        one, other = ends if first == "client" else reversed(ends)
        one.sendall(b"all that I have to say")
        one.shutdown(socket.SHUT_WR)
        assert receive(other, 100) == b"all that I have to say"
        start = time.monotonic()
        other.sendall(b"I heard you")
        other.shutdown(socket.SHUT_WR)
        assert receive(one, 100) == b"I heard you"
        assert time.monotonic() - start >= ROUND_TRIP / 2


@pytest.mark.parametrize("first", ["client", "server"])
def test_a_reset_is_late_too(far, listener, first):
    with pair(far, listener) as ends:
        established(*ends)
        one, other = ends if first == "client" else reversed(ends)
        start = time.monotonic()
        reset(one)
        with pytest.raises(ConnectionResetError):
            other.recv(1)
        assert time.monotonic() - start >= ROUND_TRIP / 2


def test_bytes_to_a_client_that_was_reset_are_lost_without_a_word(far, listener, caplog):
    with pair(far, listener) as (client, server):
        established(client, server)
        for _ in range(20):
            server.sendall(b"abc")
            time.sleep(0)
        reset(client)
        with pytest.raises(ConnectionResetError):
            server.recv(1)
    assert not caplog.records


def test_a_server_that_is_not_there_is_known_after_a_round_trip():
    with socket.socket() as deaf:  # has a port, and does not listen there
        deaf.bind(("127.0.0.1", 0))
        nobody = address(deaf)
        with DistantServer(nobody, round_trip=ROUND_TRIP) as far:
            start = time.monotonic()
            with connect(far.address) as client, pytest.raises(ConnectionResetError):
                client.recv(1)
            assert time.monotonic() - start >= ROUND_TRIP
    assert far.connections[0].failure.startswith(f"{nobody} could not be reached: ")


@pytest.mark.skipif(os.name != "posix", reason="Windows counts handles that come and go by themselves")
def test_nothing_stays_open_behind_clients_and_servers_that_left(far, listener):
    files_open = psutil.Process().num_fds
    before = files_open()
    for ending in (both_ways_end, client_closes, client_resets, server_closes):
        with pair(far, listener) as (client, server):
            established(client, server)
            ending(client, server)
        wait_until(lambda: files_open() <= before)


def both_ways_end(client: socket.socket, server: socket.socket) -> None:
    both_ways(client, server, 1000)


def client_closes(client: socket.socket, _: socket.socket) -> None:
    client.close()


def client_resets(client: socket.socket, _: socket.socket) -> None:
    reset(client)


def server_closes(_: socket.socket, server: socket.socket) -> None:
    server.close()


def test_stop_closes_what_is_under_way(listener, caplog):
    far = DistantServer(address(listener), round_trip=1)  # half of it to stop before the new connections arrive
    with pair(far, listener) as (client, server), ExitStack() as opened:
        established(client, server)
        client.sendall(b"will not arrive")
        wait_until(lambda: far.connections[0].bytes_sent > 1)
        just_made = [opened.enter_context(connect(far.address)) for _ in range(3)]
        far.stop()
        far.stop()
        assert not [thread for thread in threading.enumerate() if thread.name == f"relay {far.address}"]
        for end in (client, *just_made):
            with suppress(ConnectionResetError):
                assert end.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(far.address)
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()  # the connections that were just made did not get so far
    assert not caplog.records


def test_each_protocol_and_library_gets_its_answers(sums):
    batch = sums.batch(1000)
    with (
        DistantServer(sums.server.rest_url, round_trip=ROUND_TRIP) as far_rest,
        DistantServer(sums.server.grpc_address, round_trip=ROUND_TRIP) as far_grpc,
    ):
        url = f"{far_rest.url}/v1/models/sums:predict"
        for target in (RestTarget(url), RestTarget(url, library="httpx"), GrpcTarget(far_grpc.address, "sums")):
            with closing(target.connect()) as connection:
                for trips in (2, 1):
                    start = time.monotonic()
                    answer = target.decode(connection.send(target.encode(batch)))
                    assert time.monotonic() - start >= trips * ROUND_TRIP
                    np.testing.assert_allclose(answer, batch["x"].sum(axis=1), rtol=1e-4)
        with urllib.request.urlopen(f"{far_rest.url}/v1/models/sums") as answer:
            assert b"AVAILABLE" in answer.read()


def test_without_a_distance_it_forwards_at_once(listener):
    with DistantServer(address(listener), round_trip=0) as near, pair(near, listener) as (client, server):
        established(client, server)
        both_ways(client, server, MEGABYTE)


@pytest.mark.parametrize("wrong", [-0.05, math.nan, math.inf])
def test_a_round_trip_that_is_none(wrong):
    with pytest.raises(ValueError, match=f"round_trip is {wrong}; it is a time in seconds, 0 or more, as 0.05 for 50"):
        DistantServer("127.0.0.1:8501", round_trip=wrong)


def test_an_address_that_is_none():
    with pytest.raises(ValueError, match="a host and a port are wanted"):
        DistantServer("127.0.0.1", round_trip=ROUND_TRIP)

"""The relay: every byte goes on unchanged and is counted first; ends, resets and slow readers are passed on."""

import os
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from labkit.bench import wire
from labkit.bench.relay import Connection, CountingRelay
from labkit.errors import MeasurementFailed
from labkit.waiting import wait_until

from .sockets import MEGABYTE, address, connect, pair, receive, reset


@pytest.fixture
def relay(listener: socket.socket) -> Iterator[CountingRelay]:
    with CountingRelay(address(listener)) as relay:
        yield relay


def wait_for_the_end(relay: CountingRelay) -> None:
    with connect(relay.address) as client:
        client.recv(1)


def send_what_is_taken(end: socket.socket, size: int) -> int:
    """How many of so many bytes could be sent until, for a second, no more were taken."""
    end.settimeout(1)
    sent = 0
    with suppress(TimeoutError):
        while sent < size:
            sent += end.send(bytes(MEGABYTE))
    return sent


def test_what_was_read_is_recorded_already(relay, listener):
    with pair(relay, listener) as (client, server):
        (connection,) = relay.connections
        for number in range(1, 201):
            client.sendall(b"abc")
            assert receive(server, 3) == b"abc"
            assert connection.sent == b"abc" * number and connection.bytes_sent == 3 * number
            server.sendall(b"yes!")
            assert receive(client, 4) == b"yes!"
            assert connection.received == b"yes!" * number and connection.bytes_received == 4 * number
    assert repr(connection) == "Connection(600 bytes sent, 800 received)"


def test_large_bodies_both_ways_at_once(relay, listener):
    there, back = random.Random(1).randbytes(8 * MEGABYTE), random.Random(2).randbytes(8 * MEGABYTE + 1)
    with pair(relay, listener) as (client, server), ThreadPoolExecutor(4) as threads:
        threads.submit(client.sendall, there)
        threads.submit(server.sendall, back)
        arrived = threads.submit(receive, server, len(there)), threads.submit(receive, client, len(back))
        assert [one.result() for one in arrived] == [there, back]
    (connection,) = relay.connections
    assert (connection.sent, connection.received) == (there, back)


def test_connections_at_the_same_time_have_records_of_their_own(relay, listener):
    with ExitStack() as open_ones:
        pairs = [open_ones.enter_context(pair(relay, listener)) for _ in range(32)]
        for number, (client, _) in enumerate(pairs):
            client.sendall(b"from %02d" % number)
        for number, (_, server) in reversed(list(enumerate(pairs))):
            assert receive(server, 7) == b"from %02d" % number
            server.sendall(b"to %02d" % number)
        for number, (client, _) in enumerate(pairs):
            assert receive(client, 5) == b"to %02d" % number
    found = [(connection.sent, connection.received) for connection in relay.connections]
    assert found == [(b"from %02d" % number, b"to %02d" % number) for number in range(32)]


def test_the_list_of_connections_is_the_callers(relay, listener):
    before = relay.connections
    with pair(relay, listener):
        assert before == [] and len(relay.connections) == 1
        relay.connections.clear()
    assert len(relay.connections) == 1


@pytest.mark.parametrize("first", ["client", "server"])
def test_an_end_that_has_said_all_still_hears_the_other(relay, listener, first):
    with pair(relay, listener) as ends:
        one, other = ends if first == "client" else reversed(ends)
        one.sendall(b"all that I have to say")
        one.shutdown(socket.SHUT_WR)
        assert receive(other, 100) == b"all that I have to say"
        assert other.recv(1) == b""
        other.sendall(b"I heard you")
        assert receive(one, 11) == b"I heard you"
        other.shutdown(socket.SHUT_WR)
        assert one.recv(1) == b""


@pytest.mark.parametrize("first", ["client", "server"])
def test_a_reset_is_passed_on(relay, listener, first):
    with pair(relay, listener) as ends:
        one, other = ends if first == "client" else reversed(ends)
        one.sendall(b"half of")
        assert receive(other, 7) == b"half of"
        reset(one)
        with pytest.raises(ConnectionResetError):
            other.recv(1)


def test_an_answer_to_a_client_that_is_gone_resets_the_server(relay, listener):
    with pair(relay, listener) as (client, server):
        client.close()
        assert server.recv(1) == b""
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            server.sendall(bytes(64 * MEGABYTE))


def test_a_server_that_ends_closes_the_clients_connection(relay, listener):
    with pair(relay, listener) as (client, server):
        server.close()
        assert client.recv(1) == b""


def test_a_server_that_is_not_there():
    with socket.socket() as deaf:  # has a port, and does not listen there
        deaf.bind(("127.0.0.1", 0))
        nobody = address(deaf)
        with CountingRelay(nobody) as relay, pytest.raises(ConnectionResetError):
            wait_for_the_end(relay)
    (connection,) = relay.connections
    assert connection.failure.startswith(f"{nobody} could not be reached: ")
    with pytest.raises(MeasurementFailed, match=f"{nobody} could not be reached"):
        wire.parts(connection)


def test_a_server_whose_name_none_can_have():
    with CountingRelay("a..b:8501") as relay, pytest.raises(ConnectionResetError):
        wait_for_the_end(relay)
    assert relay.connections[0].failure.startswith("a..b:8501 could not be reached: ")


def test_a_server_that_reads_slowly_slows_the_client_down(listener):
    """Of what the client has to say, only as much is taken as two kernels' buffers and the relay's own hold."""
    with CountingRelay(address(listener), keep=0) as relay, pair(relay, listener) as (client, server):
        sent = send_what_is_taken(client, 256 * MEGABYTE)
        assert sent < 256 * MEGABYTE
        client.shutdown(socket.SHUT_WR)
        assert len(receive(server, 2 * sent)) == sent
        assert relay.connections[0].bytes_sent == sent


def test_beyond_its_bound_it_counts_and_does_not_keep(listener):
    with CountingRelay(address(listener), keep=10) as relay, pair(relay, listener) as (client, server):
        for _ in range(3):
            client.sendall(b"1234567")
            assert receive(server, 7) == b"1234567"
        (connection,) = relay.connections
        assert connection.sent == b"1234567123" and connection.bytes_sent == 21
        with pytest.raises(MeasurementFailed, match=r"Of 21 bytes that were sent only the first 10 were kept.*`keep`"):
            wire.parts(connection)
    with pytest.raises(ValueError, match="keep is -1"):
        CountingRelay("127.0.0.1:8501", keep=-1)


def test_stop_closes_everything_and_keeps_the_records(listener):
    relay = CountingRelay(address(listener))
    with pair(relay, listener) as (client, server), pair(relay, listener) as (other_client, _):
        client.sendall(b"abc")
        assert receive(server, 3) == b"abc"
        relay.stop()
        relay.stop()
        assert not [thread for thread in threading.enumerate() if thread.name == f"relay {relay.address}"]
        for end in (client, server, other_client):
            assert end.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(relay.address)
    assert [connection.sent for connection in relay.connections] == [b"abc", b""]


def test_stop_closes_connections_that_were_just_made(listener):
    for _ in range(50):
        relay = CountingRelay(address(listener))
        with ExitStack() as open_ones:
            clients = [open_ones.enter_context(connect(relay.address)) for _ in range(3)]
            relay.stop()
            for client in clients:
                with suppress(ConnectionResetError):  # what happens if the relay had not accepted it yet
                    assert client.recv(1) == b""


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses where others let a client wait")
def test_stop_does_not_wait_for_a_server_that_does_not_accept():
    with socket.socket() as busy, ExitStack() as waiting:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        for _ in range(8):  # more than its queue holds
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(busy.getsockname())
        with CountingRelay(address(busy)) as relay, connect(relay.address) as client:
            wait_until(lambda: relay.connections)
            relay.stop()
            assert client.recv(1) == b""


def test_leaving_the_block_stops_it(listener):
    with CountingRelay(address(listener)) as relay:
        pass
    with pytest.raises(ConnectionRefusedError):
        connect(relay.address)


@pytest.mark.parametrize("form", ["{}", "http://{}", "http://{}/", "localhost:{port}", "http://localhost:{port}"])
def test_addresses(listener, form):
    port = address(listener).split(":")[1]
    with CountingRelay(form.format(address(listener), port=port)) as relay, pair(relay, listener) as (client, server):
        client.sendall(b"abc")
        assert receive(server, 3) == b"abc"
    assert relay.address.startswith("127.0.0.1:") and relay.address != address(listener)
    assert relay.url == f"http://{relay.address}"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "127.0.0.1",
        ":8501",
        "127.0.0.1:port",
        "127.0.0.1:0",
        "http://127.0.0.1:0",
        "dns:///a:1",
        "http://a:1/v1/models/m:predict",
    ],
)
def test_what_is_no_address(wrong):
    with pytest.raises(ValueError, match=r"a host and a port are wanted and nothing more"):
        CountingRelay(wrong)


def test_tls_is_refused():
    with pytest.raises(ValueError, match=r"'https://127.0.0.1:8501'; a relay cannot look into TLS"):
        CountingRelay("https://127.0.0.1:8501")


def test_a_connection_counts_each_direction_for_itself():
    connection = Connection(keep=4)
    connection.record("sent", b"abc")
    connection.record("received", b"12345")
    connection.record("sent", b"de")
    assert (connection.sent, connection.received) == (b"abcd", b"1234")
    assert (connection.bytes_sent, connection.bytes_received) == (5, 5)

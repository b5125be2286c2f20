import base64
import io
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
from concurrent import futures
from contextlib import suppress

import certifi
import google.auth.transport.requests
import grpc
import pytest
import requests
import trustme
from google.oauth2 import service_account

from labkit.cloud.local import proxy
from labkit.cloud.local.http_messages import HttpAnswer
from labkit.waiting import wait_until

URL = "https://storage.googleapis.com"
pytestmark = pytest.mark.timeout(60)
GRPC_CLIENT = """
import sys, grpc
with grpc.secure_channel("us-central1-aiplatform.googleapis.com:443", grpc.ssl_channel_credentials()) as channel:
    print(channel.unary_unary("/labs.Echo/Back")(sys.argv[1].encode(), timeout=20).decode())
"""


def echo(connection):
    while piece := connection.recv(65536):
        connection.sendall(piece)


class Back(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda body, context: details.method.encode() + b" " + body)


@pytest.fixture
def grpc_port(authority):
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Back()])
    port = server.add_secure_port("127.0.0.1:0", authority.grpc_credentials())
    server.start()
    yield port
    server.stop(0).wait()


def ran(command, door, **more):
    """What a program writes that is started with the door's environment."""
    known = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        command, env={**known, **door.environment, **more}, capture_output=True, text=True, timeout=40, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_googles_library_gets_a_token_and_uses_it(door):
    credentials = service_account.Credentials.from_service_account_file(
        door.environment["GOOGLE_APPLICATION_CREDENTIALS"],
        scopes=["https://www.googleapis.com/auth/devstorage.read_only"],
    )
    with door.session() as session:
        credentials.refresh(google.auth.transport.requests.Request(session))
        headers = {}
        credentials.apply(headers)
        session.get(f"{URL}/x", headers=headers)
    assert door.asked[0].headers["authorization"] == f"Bearer {credentials.token}"


def test_grpc_finds_its_server_by_the_environment_alone(opened, grpc_port):
    with opened(grpc_port=grpc_port) as door:
        assert ran([sys.executable, "-c", GRPC_CLIENT, "hello"], door) == "/labs.Echo/Back hello\n"


def test_grpc_without_a_server_fails_and_http_goes_on(door, authority, monkeypatch, capsys):
    monkeypatch.setenv("grpc_proxy", door.url)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    roots = grpc.ssl_channel_credentials(authority.bundle.read_bytes())
    with grpc.secure_channel("aiplatform.googleapis.com:443", roots) as channel, pytest.raises(grpc.RpcError) as error:
        channel.unary_unary("/labs.Echo/Back")(b"x", timeout=20)
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "gRPC is not answered yet" in capsys.readouterr().err
    with door.session() as session:
        assert session.get(f"{URL}/x").status_code == 200


def test_curl_which_offers_http_2_too_gets_http_1(opened, grpc_port):
    if shutil.which("curl") is None:
        (pytest.fail if os.environ.get("LABKIT_CI") else pytest.skip)("curl is not installed")
    with opened(grpc_port=grpc_port) as door:
        door.answer = lambda request: HttpAnswer(body=request.method.encode())
        written = ran(["curl", "--silent", "--show-error", "--write-out", " %{http_version}", f"{URL}/lab/x"], door)
    assert written == "GET 1.1"


def test_a_client_that_offers_both_gets_http_1(door):
    connection, _ = door.connect("storage.googleapis.com:443")
    context = ssl.create_default_context(cafile=door.environment["SSL_CERT_FILE"])
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(connection, server_hostname="storage.googleapis.com") as secured:
        assert secured.selected_alpn_protocol() == "http/1.1"


@pytest.fixture
def other_host(listening):
    """A TLS server that the proxy knows nothing of: its port, and a context that trusts it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)

    def answer(connection):
        with server.wrap_socket(connection, server_side=True) as secured:
            echo(secured)

    with listening(answer) as port:
        yield port, client


def test_other_hosts_are_reached_untouched(door, other_host):
    port, context = other_host
    connection, answer = door.connect(f"localhost:{port}")
    assert answer.startswith(b"HTTP/1.1 200 ")
    with context.wrap_socket(connection, server_hostname="localhost") as secured:
        sent = random.Random(0).randbytes(300_000)
        secured.sendall(sent)
        came = b""
        while len(came) < len(sent) and (piece := secured.recv(65536)):
            came += piece
        assert came == sent
    assert not door.asked


def test_one_side_may_end_while_the_other_goes_on(door, listening):
    def answer(connection):
        connection.sendall(b"all of: " + door.received(connection))

    with listening(answer) as port:
        connection, _ = door.connect(f"127.0.0.1:{port}")
        with connection:
            connection.sendall(b"a question")
            connection.shutdown(1)
            assert door.received(connection) == b"all of: a question"


def test_other_hosts_are_reached_through_the_companys_proxy(opened, listening):
    heads = []

    def company(connection):
        heads.append(door.received(connection, b"\r\n\r\n"))
        connection.sendall(b"HTTP/1.0 200 OK\r\nVia: company\r\n\r\nearly ")
        echo(connection)

    with listening(company) as port, opened(upstream=f"http://me:p%40ss@127.0.0.1:{port}") as door:
        connection, answer = door.connect("pypi.example:443")
        with connection:
            connection.sendall(b"late")
            connection.shutdown(1)
            assert answer + door.received(connection) == b"HTTP/1.1 200 Connection established\r\n\r\nearly late"
        with door.session() as session:
            assert session.get(f"{URL}/x").status_code == 200
    (head,) = heads
    assert head.startswith(b"CONNECT pypi.example:443 HTTP/1.1\r\nHost: pypi.example:443\r\n")
    assert base64.b64encode(b"me:p@ss") in head
    assert door.proxy._expected not in head, "the secret is for this proxy only"


@pytest.mark.parametrize(
    ("says", "status"), [(b"HTTP/1.1 407 Who are you\r\n\r\n", 407), (b"SSH-2.0\r\n\r\n", 502), (b"", 400)]
)
def test_what_the_companys_proxy_refuses_is_passed_on(opened, listening, says, status):
    def company(connection):
        door.received(connection, b"\r\n\r\n")
        connection.sendall(says)

    with listening(company) as port, opened(upstream=f"127.0.0.1:{port}") as door:
        connection, answer = door.connect("pypi.example:443")
        connection.close()
    assert answer.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize("upstream", ["https://proxy.example:443", "socks5://proxy.example", "http://", "http://x:y"])
def test_another_kind_of_proxy_is_refused_in_words(authority, upstream):
    with pytest.raises(ValueError, match="expected one as http://HOST:PORT"):
        proxy.Proxy(authority, None, upstream=upstream)


@pytest.mark.parametrize("host", ["storage.googleapis.com", "STORAGE.googleapis.com.", "new.googleapis.com"])
def test_google_is_never_reached(opened, listening, host):
    reached = []
    with listening(reached.append) as port, opened(upstream=f"http://127.0.0.1:{port}") as door:
        connection, answer = door.connect(f"{host}:443")
        with connection:
            assert answer.startswith(b"HTTP/1.1 200 ")
            connection.sendall(b"not TLS\r\n")
            assert closed(connection)
    assert not reached and not door.asked


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("", 400, "expected CONNECT"),
        ("example.com", 400, "expected CONNECT"),
        ("example.com:", 400, "expected CONNECT"),
        (":443", 400, "expected CONNECT"),
        ("example.com:0", 400, "expected CONNECT"),
        ("example.com:99999", 400, "expected CONNECT"),
        ("storage。googleapis。com:443", 400, "expected CONNECT"),
        ("a..b:443", 502, "could not be reached"),
    ],
)
def test_what_cannot_be_connected_to_is_answered_in_words(door, target, status, words):
    connection, answer = door.connect(target)
    with connection:
        answer += door.received(connection)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert words in answer.decode()


def test_nobody_listening_is_answered_in_words(door, listening):
    with listening(echo) as port:
        pass
    connection, answer = door.connect(f"127.0.0.1:{port}")
    with connection:
        answer += door.received(connection)
    assert answer.startswith(b"HTTP/1.1 502 ") and f"127.0.0.1:{port} could not be reached" in answer.decode()


@pytest.mark.parametrize("user", ["labkit:wrong", "other:x", ""])
def test_who_does_not_know_the_secret_is_sent_away(door, user):
    for target in ("storage.googleapis.com:443", "example.com:443"):
        connection, answer = door.connect(target, user=user)
        with connection:
            answer += door.received(connection)
        assert answer.startswith(b"HTTP/1.1 407 ") and b"Proxy-Authenticate: Basic" in answer
        assert b"use the HTTPS_PROXY" in answer


def test_plain_http_is_refused_in_words(door):
    with door.session() as session:
        answer = session.get("http://example.com/")
    assert answer.status_code == 405 and "only CONNECT" in answer.text


def test_an_endless_head_is_refused(door):
    connection, answer = door.connect("x" * 40_000 + ":443")
    connection.close()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


def test_a_hello_that_comes_byte_by_byte_is_understood(door):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=door.environment["SSL_CERT_FILE"])
    secured = context.wrap_bio(incoming, outgoing, server_hostname="storage.googleapis.com")
    with pytest.raises(ssl.SSLWantReadError):
        secured.do_handshake()
    connection, _ = door.connect("storage.googleapis.com:443")
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in outgoing.read():
            connection.sendall(bytes([byte]))
        while secured.version() is None:
            incoming.write(connection.recv(65536))
            with suppress(ssl.SSLWantReadError):
                secured.do_handshake()
    assert secured.version() == "TLSv1.3"


def test_a_client_that_does_not_trust_the_certificate_is_named(door, monkeypatch):
    said = io.StringIO()  # not capsys: what is written between its reading and its clearing is lost
    monkeypatch.setattr(sys, "stderr", said)
    with door.session() as session:
        session.verify = certifi.where()
        with pytest.raises(requests.exceptions.SSLError):
            session.get(f"{URL}/x")
    wait_until(lambda: "storage.googleapis.com" in said.getvalue(), timeout=20)
    assert "ALERT" in said.getvalue().upper()


def test_stopping_ends_all_connections_and_may_be_done_twice(opened, listening):
    with listening(echo) as port, opened() as door:
        tunnel, _ = door.connect(f"127.0.0.1:{port}")
        waiting, _ = door.connect("storage.googleapis.com:443")
        with tunnel, waiting, door.tls() as secured:
            tunnel.sendall(b"x")
            assert tunnel.recv(1) == b"x"
            door.proxy.stop()
            door.proxy.stop()
            assert tunnel.recv(1) == b"" and waiting.recv(1) == b""
            assert closed(secured)
        with pytest.raises(OSError, match="refused"):
            door.connect("example.com:443")


def closed(connection):
    try:
        return connection.recv(1) == b""
    except (ssl.SSLEOFError, ConnectionResetError):
        return True


def test_nothing_is_kept_of_connections_that_have_ended(door):
    with door.session() as session:
        session.get(f"{URL}/x")
    door.connect("storage.googleapis.com:443")[0].close()
    wait_until(lambda: not door.proxy._open and not door.proxy._threads)

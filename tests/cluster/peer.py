"""A task without TensorFlow: listens, and on order speaks with another one.

    python peer.py PORT

Orders are lines on standard input: ``HOST:PORT THERE BACK`` sends so many bytes and wants so many back. It prints
"connected" and then "done" or "failed WHY". A connection starts with a line of 32 bytes.
"""

import contextlib
import socket
import sys
import threading

LINE = 32


def receive(connection: socket.socket, count: int) -> None:
    while count:
        data = connection.recv(min(count, 2**18))
        if not data:
            raise ConnectionResetError(f"{count} bytes are missing")
        count -= len(data)


def answer(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError, ValueError):  # the other one may go away
        there, back = map(int, connection.recv(LINE, socket.MSG_WAITALL).split())
        receive(connection, there)
        connection.sendall(bytes(back))
        connection.recv(1)  # until the other one has it all


def serve(listener: socket.socket) -> None:
    while True:
        threading.Thread(target=answer, args=[listener.accept()[0]], daemon=True).start()


def listen(port: int) -> socket.socket:
    """As TensorFlow's servers: on every address, and sharing the port."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen()
    return listener


def talk(address: str, there: int, back: int) -> None:
    host, port = address.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{there} {back}".encode().ljust(LINE))
        print("connected", flush=True)
        connection.sendall(bytes(there))
        receive(connection, back)


if __name__ == "__main__":
    threading.Thread(target=serve, args=[listen(int(sys.argv[1]))], daemon=True).start()
    print("listening", flush=True)
    for line in sys.stdin:
        address, there, back = line.split()
        try:
            talk(address, int(there), int(back))
            print("done", flush=True)
        except OSError as error:
            print(f"failed {error}", flush=True)

"""The process that relays a cluster's connections through slow links; `labkit.cluster.links` starts and asks it.

    python relay_process.py CONTROL '[["worker 0", "127.0.0.2:2222", "127.0.0.1:2222", 1250000], ...]'

CONTROL is the number of an open stream socket: each line is an order in JSON, and is answered with such a line. When
the other end is closed this process ends, and with it every connection. Bytes per second are None for "unlimited".

How a link is slow. Each direction of a task's link is a lane: bytes leave it one after another, at its rate. A piece
that takes 2 ms or less is read, gets the time at which its last byte has left the sender's lane, then the time at which
that has left the receiver's, and is written then. Those times are computed, not measured: who wakes up late loses no
rate. A connection has a few pieces under way, then it is not read any more, and TCP makes its sender wait.
"""

import asyncio
import contextlib
import json
import math
import os
import socket
import struct
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import psutil

_PIECE_SECONDS = 0.002
_SMALLEST_PIECE, _LARGEST_PIECE = 1500, 2**18  # bytes; a packet's worth, and what an unlimited link takes at once
_AHEAD = 10  # pieces of a connection's direction that are under way
_TOO_SHORT_TO_SLEEP = 0.001  # seconds; what the event loop's clock can tell apart
_SOCKET_BUFFER = 2**18  # bytes; a larger one would hide from the sender that the link is slow
_RETRY_SECONDS = 0.1  # when there are too many open files
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_Pieces = asyncio.Queue[tuple[bytes, float]]  # each with the moment when it has left
_HAS_PROC = sys.platform == "linux"  # elsewhere psutil asks for the sockets of each process


class Lane:
    """One direction of a link, shared by all connections that use it."""

    def __init__(self, rate: float) -> None:
        """`rate` is in bytes per second; `math.inf` for no limit."""
        self.rate = rate
        self._free = 0.0

    def through(self, count: int, arrival: float) -> float:
        """When the last of `count` bytes that arrive at `arrival` has left, behind all that came before."""
        self._free = max(self._free, arrival) + count / self.rate
        return self._free


_NO_LINK = Lane(math.inf), Lane(math.inf)


@dataclass(eq=False)
class Connection:
    """Who speaks to whom on one connection, and how much was said.

    Attributes:
        client: the task that opened it; empty for a stranger.
        server: the task that was called.
        ports: the client's own and the one that it called.
        there, back: bytes that went to the server, and to the client.
        is_open: whether more may follow.
    """

    server: str
    ports: tuple[int, int]
    client: str = ""
    there: int = 0
    back: int = 0
    is_open: bool = True


class Relay:
    """Listens on one address for each task, and carries what comes to the task's own."""

    def __init__(self) -> None:
        self._links: dict[str, tuple[Lane, Lane]] = {}  # of each task: up, down
        self._processes: dict[str, psutil.Process] = {}
        self._said = 0  # how often a process was made known
        self._connections: list[Connection] = []
        self._running: set[asyncio.Task[None]] = set()  # held here, for the event loop does not hold its tasks

    def listen(self, task: str, seen: str, real: str, rate: float | None) -> None:
        """Take connections to `seen`, and carry them to `real` over the task's link."""
        self._links[task] = Lane(rate or math.inf), Lane(rate or math.inf)
        family = socket.AF_INET6 if seen.startswith("[") else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # beside the task's, which takes every address
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
        try:
            listener.bind(_host_and_port(seen))
        except OSError as error:
            sys.exit(f"the relay cannot listen on {seen} for {task}: {error}")
        listener.listen(128)
        listener.setblocking(False)
        self._start(self._accept(listener, task, _host_and_port(real)))

    def know(self, task: str, pid: int) -> None:
        """From now on process `pid` is `task`; what it opened already counts too."""
        self._said += 1
        with contextlib.suppress(psutil.NoSuchProcess):
            self._processes[task] = psutil.Process(pid)
        for connection in self._connections:
            if not connection.client and connection.is_open:
                self._start(self._identify(connection))

    def traffic(self) -> dict[str, list[int]]:
        """Bytes that each task sent and received. What it says to itself does not use its link."""
        counts = {task: [0, 0] for task in self._links}
        for each in self._connections:
            if each.client == each.server:
                continue
            for task, sent, received in ((each.client, each.there, each.back), (each.server, each.back, each.there)):
                if task:
                    counts[task][0] += sent
                    counts[task][1] += received
        return counts

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _identify(self, connection: Connection) -> None:
        """Find out whose it is; it stays a stranger's if no process that is known has it."""
        said = -1
        while not connection.client and said != self._said:
            said = self._said
            # in a thread, for it takes milliseconds
            connection.client = await asyncio.to_thread(_owner, connection.ports, self._processes.copy())

    async def _accept(self, listener: socket.socket, task: str, real: tuple[str, int]) -> None:
        while True:
            try:
                client, peer = await asyncio.get_running_loop().sock_accept(listener)
            except OSError:  # too many open files; who wants to connect waits in the listener's queue
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            connection = Connection(task, (peer[1], listener.getsockname()[1]))
            self._start(self._connect(connection, client, real))

    async def _connect(self, connection: Connection, client: socket.socket, real: tuple[str, int]) -> None:
        ends = [client]
        try:
            server = socket.socket(socket.AF_INET6 if ":" in real[0] else socket.AF_INET)
            ends.append(server)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
            server.setblocking(False)
            await self._identify(connection)
            self._connections.append(connection)  # before the next wait, for `know` identifies those that are here
            await asyncio.get_running_loop().sock_connect(server, real)
            await self._carry(connection, client, server)
        except* OSError:  # nobody listens, or an end broke off: the other one sees "connection reset" too
            for end in ends:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        finally:
            connection.is_open = False
            for end in ends:
                end.close()

    async def _carry(self, connection: Connection, client: socket.socket, server: socket.socket) -> None:
        async with asyncio.TaskGroup() as group:
            for source, target, there in ((client, server, True), (server, client, False)):
                # else a small piece waits until the one before is acknowledged
                target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                pieces: _Pieces = asyncio.Queue(_AHEAD)
                group.create_task(self._read(connection, there, source, pieces))
                group.create_task(self._write(connection, there, pieces, target))

    def _lanes(self, connection: Connection, there: bool) -> tuple[Lane, Lane]:
        """The sender's lane and the receiver's."""
        if connection.client == connection.server:
            return _NO_LINK
        client, server = self._links.get(connection.client, _NO_LINK), self._links[connection.server]
        return (client[0], server[1]) if there else (server[0], client[1])

    async def _read(self, connection: Connection, there: bool, source: socket.socket, pieces: _Pieces) -> None:
        loop = asyncio.get_running_loop()
        piece = b"?"
        while piece:
            slower = min(lane.rate for lane in self._lanes(connection, there))
            size = int(min(max(slower * _PIECE_SECONDS, _SMALLEST_PIECE), _LARGEST_PIECE))
            piece = await loop.sock_recv(source, size)
            left = self._lanes(connection, there)[0].through(len(piece), loop.time())
            await pieces.put((piece, left))

    async def _write(self, connection: Connection, there: bool, pieces: _Pieces, target: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            piece, left = await pieces.get()
            await _until(left)
            if not piece:  # nothing more will come from there; the way back stays open
                target.shutdown(socket.SHUT_WR)
                return
            up, down = self._lanes(connection, there)
            # a switch passes on packets, which are smaller than pieces: most of this one is there before its end
            arrival = left - len(piece) / max(up.rate, down.rate)
            await _until(down.through(len(piece), arrival))
            if there:  # counted first, so that who has got it can rely on it
                connection.there += len(piece)
            else:
                connection.back += len(piece)
            await loop.sock_sendall(target, piece)


def _owner(ports: tuple[int, int], processes: dict[str, psutil.Process]) -> str:
    """The task whose process has a socket with these ports, its own and the other end's; empty if none has."""
    inode = _inode(ports) if _HAS_PROC else ""
    for task, process in processes.items():
        with contextlib.suppress(psutil.Error, OSError):
            if _HAS_PROC:
                sockets = f"/proc/{process.pid}/fd"
                if inode and process.is_running() and any(_leads_to(inode, each) for each in os.scandir(sockets)):
                    return task
            elif any(each.raddr and (each.laddr[1], each.raddr[1]) == ports for each in process.net_connections("tcp")):
                return task
    return ""


def _inode(ports: tuple[int, int]) -> str:
    """Linux's name for the socket. psutil would read all sockets of the machine once for every process.

    https://docs.kernel.org/networking/proc_net_tcp.html
    """
    wanted = [f":{port:04X}" for port in ports]
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table, encoding="ascii") as lines:
            for line in lines:
                _, local, remote, *rest = line.split()
                if local.endswith(wanted[0]) and remote.endswith(wanted[1]):
                    return f"socket:[{rest[6]}]"
    return ""


def _leads_to(inode: str, descriptor: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):
        return os.readlink(descriptor.path) == inode
    return False


async def _until(moment: float) -> None:
    delay = moment - asyncio.get_running_loop().time()
    if delay > _TOO_SHORT_TO_SLEEP:
        await asyncio.sleep(delay)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


async def serve(control: socket.socket, tasks: list[list[Any]]) -> None:
    """Relay until the other end of `control` is closed."""
    relay = Relay()
    for each in tasks:
        relay.listen(*each)
    orders, answers = await asyncio.open_unix_connection(sock=control)
    print("ready", flush=True)
    done: dict[str, Callable[..., Any]] = {"know": relay.know, "traffic": relay.traffic}
    while line := await orders.readline():
        order = json.loads(line)
        said = done[order["do"]](*order["arguments"])
        answers.write(json.dumps({"number": order["number"], "said": said}).encode() + b"\n")
        await answers.drain()
    os._exit(0)  # at once: the system closes the connections


if __name__ == "__main__":
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2])))

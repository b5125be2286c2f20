"""The local cloud's process: ``python -m labkit.cloud.local.main --folder F --project P``.

It is ready when it writes ``local cloud at 127.0.0.1:PORT``. What a process must have in its environment to find
`googleapis.com` there is in ``F/environment.json``. Other hosts are reached as this process's own environment says.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

from labkit.cloud import environment
from labkit.cloud.local import accounts, grpc_services
from labkit.cloud.local.authority import Authority, write_private
from labkit.cloud.local.containers import Containers
from labkit.cloud.local.job_log import logging_app
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.objects import Objects
from labkit.cloud.local.proxy import Proxy
from labkit.cloud.local.rest import RestServices
from labkit.cloud.local.services import Services
from labkit.cloud.local.storage import Storage

_GRACE_SECONDS = 0.2  # for calls that are held open; clients are told of the end first, and do not complain of it


def main(argv: list[str] | None = None) -> int:
    """Serve until a signal ends it; then end everything that was started in it."""
    flags = _flags(argv)
    stopping = threading.Event()
    for number in {signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGBREAK", signal.SIGINT)}:  # the last: Windows
        signal.signal(number, lambda *_: stopping.set())
    authority = Authority(Path(flags.folder))
    folder = _empty(authority.folder / "run")
    storage = Storage(flags.project_number)
    hosts = accounts.Hosts(flags.project, flags.project_number)
    with Proxy(authority, hosts, upstream=environment.proxy() or "") as proxy:
        given = authority.environment(proxy.port, flags.project)
        environment.put(environment.of_local_cloud(given, authority.folder))  # for the processes that are started here
        cloud = LocalCloud(
            project=flags.project,
            project_number=flags.project_number,
            folder=folder,
            objects=Objects(storage),
            containers=Containers(folder, given, engine=flags.containers, images=json.loads(flags.images)),
            environment=given,
            stopping=stopping,
        )
        for bucket in flags.bucket:
            cloud.objects.create_bucket(bucket)
        services = Services(cloud)
        server, proxy.grpc_port = grpc_services.serve(services, authority.grpc_credentials(), proxy.connected_from)
        hosts.add("storage.googleapis.com", storage.answer)
        hosts.add("aiplatform.googleapis.com", RestServices(services).answer)
        hosts.add("logging.googleapis.com", logging_app(cloud))
        write_private(authority.folder / "environment.json", json.dumps(given).encode())
        print(f"local cloud at 127.0.0.1:{proxy.port}", flush=True)
        while not stopping.wait(1.0):
            pass  # without a limit, Windows' wait would never let the handler of its signal run
        server.stop(_GRACE_SECONDS).wait()
        services.stop()
    return 0


def _empty(folder: Path) -> Path:
    """A folder with nothing in it: an earlier cloud of the same kernel had the same one, and its models are gone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _flags(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m labkit.cloud.local.main", description=__doc__)
    parser.add_argument("--folder", required=True, help="where keys and files of this run lie; made with mode 0700")
    parser.add_argument("--project", required=True, help="the one project's id")
    parser.add_argument("--project-number", default="123456789012", help="the one project's number")
    parser.add_argument("--bucket", action="append", default=[], help="a bucket that is there from the start")
    parser.add_argument("--containers", choices=("processes", "docker"), default="processes")
    parser.add_argument("--images", default="{}", help="JSON object: image -> command that stands for it")
    return parser.parse_args(argv)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # nothing is left to be put away but memory, and that would take a second

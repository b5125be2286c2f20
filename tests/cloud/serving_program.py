"""A model's container as a learner writes one, for the tests of containers and replicas: ``serving_program.py [WORD]``.

Words: ``exits`` at once; ``unless=PATH`` does so while there is such a file; ``deaf`` never listens; ``unhealthy``
answers 503 when asked for its health; ``failing`` answers predictions with 500. A prediction's body is JSON, its answer
says who answered and what was in the environment: ``{"hold": path}`` makes the file path.here and waits for the file
path, ``{"busy": seconds}`` uses that much processor time, ``{"die": 1}`` ends the process, ``{"break": path}`` writes
a letter to that file and ends the connection, ``{"size": n}`` makes the answer that long, ``{"sick": 1}`` makes it
unhealthy.
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

words = sys.argv[1:]
health = 503 if "unhealthy" in words else 200


def hold(path):
    path.with_suffix(".here").touch()
    while not path.exists():
        time.sleep(0.01)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        ours = self.path == os.environ["AIP_HEALTH_ROUTE"]
        self.answer(health if ours else 404, b"")

    def do_POST(self):
        global health
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(body or b"{}")
        if "die" in asked:
            os._exit(7)
        if "break" in asked:
            with open(asked["break"], "a", encoding="utf-8") as seen:
                seen.write("x")
            self.close_connection = True
            return
        if "sick" in asked:
            health = 503
        if "hold" in asked:
            hold(Path(asked["hold"]))
        until = time.thread_time() + asked.get("busy", 0)
        while time.thread_time() < until:
            pass
        said = {
            "pid": os.getpid(),
            "path": self.path,
            "type": ", ".join(self.headers.get_all("Content-Type")),
            "words": words,
        }
        said |= {"environment": dict(os.environ), "cwd": os.getcwd(), "connection": self.client_address[1]}
        said |= {"cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0}
        text = b"x" * asked["size"] if "size" in asked else json.dumps(said).encode()
        self.answer(500 if "failing" in words else 200, text)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


print("The program starts", flush=True)
if "exits" in words or any(word.startswith("unless=") and Path(word[7:]).exists() for word in words):
    sys.exit("No model here")
if "deaf" in words:
    time.sleep(600)
server = Server(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler)
print("The program listens", flush=True)
server.serve_forever()

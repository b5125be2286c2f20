"""A model's container as a learner writes one: it answers with what it was asked, ``answering_program.py [WORD ...]``.

Words: ``broken`` ends at once; ``hold`` says so and never answers; ``status=N`` answers with that status and the words
"no birds"; ``answer=TEXT`` answers with that text.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

words = dict(word.partition("=")[::2] for word in sys.argv[1:])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.answer(200 if self.path == os.environ["AIP_HEALTH_ROUTE"] else 404, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "hold" in words:
            print("It holds a request", flush=True)
            threading.Event().wait()
        elif "status" in words:
            self.answer(int(words["status"]), b"no birds")
        elif "answer" in words:
            self.answer(200, words["answer"].encode())
        elif self.headers["Content-Type"] == "text/plain":
            self.answer(200, body.upper(), "text/plain")
        else:
            said = {"asked": body.decode(), "path": self.path, "environment": dict(os.environ)}
            self.answer(200, json.dumps({"predictions": [said, *json.loads(body)["instances"]]}).encode())

    def answer(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


if "broken" in words:
    sys.exit("no model in here")
ThreadingHTTPServer(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()

"""A model's container for the tests of batch prediction: ``serving_doubles.py WORD FOLDER`` doubles numbers.

Words: ``hold`` makes the file FOLDER/held and never answers a prediction; ``broken`` ends at once; ``mortal`` ends when
it is asked about 13. A prediction adds the parameter ``bias`` to each number; a request with an instance that is no
number is refused.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

word = sys.argv[1]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.answer(200, b"")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if word == "hold":
            Path(sys.argv[2], "held").touch()
            threading.Event().wait()
        if word == "mortal" and 13 in body["instances"]:
            os._exit(1)
        bias = body.get("parameters", {}).get("bias", 0)
        try:
            predictions = [2 * number + bias for number in body["instances"]]
        except TypeError as error:
            self.answer(400, str(error).encode())
        else:
            self.answer(200, json.dumps({"predictions": predictions}).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *parts):
        pass


if word == "broken":
    sys.exit("no model here")
ThreadingHTTPServer(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()

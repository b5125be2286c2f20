"""The FastAPI service a careful user writes round a SavedModel: `python fastapi_app.py FOLDER/1 PORT VARIANT`.

typed       the tutorial's way: a pydantic body, a plain `def` endpoint that FastAPI runs in its thread pool.
threadpool  `async def`, the body parsed without pydantic, TensorFlow in the thread pool.
blocking    as threadpool, but TensorFlow on the event loop: saves the hand-over, and a slow request blocks all
            others, which FastAPI's documentation advises against.
"""

import sys

import numpy as np
import tensorflow as tf
import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

Answer = dict[str, list[list[float]]]
folder, port, variant = sys.argv[1:]
model = tf.saved_model.load(folder)  # kept: its variables live as long as it does
infer = model.signatures["serving_default"]
app = FastAPI()


class Rows(BaseModel):
    """The request's body: a list of features a row."""

    instances: list[list[float]]


def predict(instances: list[list[float]]) -> Answer:
    """Rows in, rows out. numpy first: `tf.constant` of nested lists takes several times longer."""
    outputs = infer(x=tf.constant(np.asarray(instances, np.float32)))
    return {"predictions": outputs["y"].numpy().tolist()}


def typed(rows: Rows) -> Answer:
    """FastAPI runs a plain function in its thread pool."""
    return predict(rows.instances)


async def threadpool(request: Request) -> Answer:
    """The event loop stays free while TensorFlow runs."""
    return await run_in_threadpool(predict, (await request.json())["instances"])


async def blocking(request: Request) -> Answer:
    """Everything on the event loop."""
    return predict((await request.json())["instances"])


app.post("/v1/models/m:predict")({"typed": typed, "threadpool": threadpool, "blocking": blocking}[variant])
uvicorn.run(app, host="127.0.0.1", port=int(port), access_log=False)

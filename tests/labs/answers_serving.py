"""What learners answer in labs 00 to 05."""

from pathlib import Path
from typing import Any

import numpy as np

from labkit import data
from labkit.errors import RequestError
from labkit.serving import VersionStatus

from .answers import exercise


@exercise("00.1", "Chinstrap")
def species(_: Path) -> dict[str, Any]:
    return {
        "the answer as it came": [0.0, 0.9, 0.1],
        "the class instead of its name": 1,
        "the penguin of the tour": "Gentoo",
        "another order of the names": "Adelie",
        "mistyped": "Chin strap",
    }


@exercise("00.2", "UNAVAILABLE")
def code(_: Path) -> dict[str, Any]:
    return {
        "the error itself": RequestError("UNAVAILABLE", "No server answers"),
        "the HTTP status": None,
        "the server was not stopped": [],
        "the code of part 'When it goes wrong'": "NOT_FOUND",
        "a status of HTTP from memory": 503,
    }


@exercise("01.1", "isdecimal", "[1, 2, 10, 1700]")
def versions(_: Path) -> dict[str, Any]:
    return {
        "names, not numbers": ["1", "2", "0010", "1700"],
        "only the one that is served": [1700],
        "the number was fished out of the name": [1, 2, 9, 10, 11, 1700],
        "the zeros disqualify": [1, 2, 1700],
        "0010 is binary, or 100": [1, 2, 100, 1700],
        "how many": 4,
    }


@exercise("01.2", "Rescaling(1000", "Rescaling(scale=1000")
def to_grams(_: Path) -> dict[str, Any]:
    from keras import layers

    return {
        "grams to kilograms": layers.Rescaling(1 / 1000),
        "added": layers.Rescaling(1, offset=1000),
        "another factor": layers.Rescaling(100),
        "a function": lambda kilograms: 1000 * kilograms,
        "the number": 1000,
    }


def untrained(folder: Path, signature: str = "name_species", output: str = "species", what: Any = "Adelie") -> Path:
    """A SavedModel that takes penguins and gives each the same answer."""
    import tensorflow as tf

    module, columns = tf.Module(), data.penguins().test.inputs
    specs = {name: tf.TensorSpec([None], column.dtype, name=name) for name, column in columns.items()}

    @tf.function(input_signature=[specs])
    def answer(inputs: dict[str, Any]) -> dict[str, Any]:
        return {output: tf.fill(tf.shape(inputs["island"]), what)}

    module.answer = answer
    tf.saved_model.save(module, str(folder / "1"), signatures={"serving_default": answer, signature: answer})
    return folder / "1"


@exercise("01.3", "tf.gather(penguins.classes, tf.argmax", "write_out(named")
def named(folder: Path) -> dict[str, Any]:
    return {
        "the model's folder": untrained(folder / "right").parent,
        "exported with model.export": untrained(folder / "plain", signature="serve"),
        "the output has the signature's name": untrained(folder / "output", output="name_species"),
        "the number instead of its name": untrained(folder / "number", what=np.int64(2)),
        "the first name for all": untrained(folder / "first"),
    }


COLUMNS = {"bill_length_mm": [39.1, 46.5], "body_mass_g": [3750.0, 3500.0], "sex": ["male", "female"]}


@exercise("02.1", "[39.1, 46.5]", "for name in row")
def columnar(_: Path) -> dict[str, Any]:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
    return {
        "the key of the row form": {"instances": COLUMNS},
        "no key": COLUMNS,
        "only the key was changed": {"inputs": rows},
        "one penguin": {"inputs": {name: column[:1] for name, column in COLUMNS.items()}},
        "an input was lost": {"inputs": {name: COLUMNS[name] for name in ("bill_length_mm", "sex")}},
        "sorted": {"inputs": {name: sorted(column) for name, column in COLUMNS.items()}},
        "as text": str({"inputs": COLUMNS}),
    }


@exercise("02.2", "version.value = 2", "column[:1])")
def predict_request(_: Path) -> dict[str, Any]:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    def request(signature: str, version: int | None, penguins: int = 1) -> predict_pb2.PredictRequest:
        one = predict_pb2.PredictRequest()
        one.model_spec.name, one.model_spec.signature_name = "penguins", signature
        if version:
            one.model_spec.version.value = version
        for name, column in data.penguins().test.inputs.items():
            one.inputs[name].CopyFrom(tf.make_tensor_proto(column[:penguins] if penguins else column[0]))
        return one

    return {
        "no signature": request("", 2),
        "the newest is 2 anyway": request("name_species", None),
        "part 4's version": request("name_species", 1),
        "two, as in part 4": request("name_species", 2, penguins=2),
        "a penguin, and no batch": request("name_species", 2, penguins=0),
        "the answer": predict_pb2.PredictResponse(),
        "the body of a REST request": {"signature_name": "name_species", "instances": []},
    }


def status(**states: str) -> list[VersionStatus]:
    return [VersionStatus(int(version[1:]), state, "OK", "") for version, state in states.items()]


@exercise("02.3", "rename(", "'2')")
def rolled_back(_: Path) -> dict[str, Any]:
    return {
        "nothing was moved, or nobody waited": status(v2="AVAILABLE", v1="END"),
        "version 1 was exported once more": status(v3="AVAILABLE", v2="END", v1="END"),
        "a new server": status(v1="AVAILABLE"),
        "waited too little": status(v2="END", v1="LOADING"),
        "what wait_for returns": {2: "END", 1: "AVAILABLE"},
    }


@exercise("03.1", "19267584", "19,267,584", "* 4")
def message(_: Path) -> dict[str, Any]:
    numbers = 32 * 224 * 224 * 3
    return {
        "numbers": numbers,
        "bits": 32 * numbers,
        "as Python counts, float64": 8 * numbers,
        "one photo": 224 * 224 * 3 * 4,
        "no colours": 32 * 224 * 224 * 4,
        "base64, as over REST": numbers * 4 * 4 // 3,
        "in MB": 19.27,
        "with its unit": "19 MB",
    }


@exercise("03.3", "tf.ensure_shape(rows, [None, 784])", "decode_raw(row_bytes", "/ 64")
def raw(folder: Path) -> dict[str, Any]:
    import tensorflow as tf

    from .test_checks_lab_03 import asked, export, read

    kinds = {
        "the other name": {"name": "row_bytes"},
        "numbers are still asked for": {"spec": tf.TensorSpec([None, 784], tf.float32, name="x")},
        "base64 was decoded again": {},
        "scaled on the way": {},
    }
    bodies = {
        "numbers are still asked for": asked,
        "base64 was decoded again": lambda model, given: asked(model, read(tf.io.decode_base64(given))),
        "scaled on the way": lambda model, given: asked(model, read(given) / 255),
    }

    def plain(model: tf.Module, given: tf.Tensor) -> dict[str, tf.Tensor]:
        return asked(model, read(given))

    written = {}
    for number, (thought, options) in enumerate(kinds.items()):
        (place := folder / str(number)).mkdir()
        written[thought] = export(place, bodies.get(thought, plain), **options)
    return written | {"the model's folder": folder}


@exercise("03.2", "bench.compare([own_rest", "comparison.break_even(")
def break_even(_: Path) -> dict[str, Any]:
    from .test_checks_lab_03 import comparison

    return {
        "only the number": 640,
        "digits": (comparison(), 10),
        "None, as REST never is quicker": (comparison(), None),
        "the sizes of the lab's figure left out": (comparison((1, 2)), 640),
        "the ways of part 4": (comparison(sides=("REST, json", "gRPC")), 640),
        "read off a drawing": (comparison(), 100),
    }


@exercise("04.1", "6.4", "3.4")
def needed(_: Path) -> dict[str, Any]:
    keys = "availability_preserving", "resource_preserving"
    return {
        "the other way round": dict(zip(keys, (3.4, 6.4), strict=True)),
        "without the server": dict(zip(keys, (6, 3), strict=True)),
        "two servers": dict(zip(keys, (6.8, 3.4), strict=True)),
        "the server once too often left out": dict(zip(keys, (5, 3), strict=True)),
        "in MB": dict(zip(keys, (6400, 3400), strict=True)),
        "one number": 6.0,
    }


@exercise("04.2", "{'b', 'd'}", '{"b", "d"}', "b and d", "b, d")
def refused(_: Path) -> dict[str, Any]:
    return {
        "those that are accepted": {"a", "c", "e"},
        "a label may not stay": {"a", "b", "d"},
        "two labels for one version": {"b", "c", "d"},
        "no labels": {"b", "d", "e"},
        "the lab's case only": {"b"},
        "none": set(),
    }


@exercise("04.3", "versions: 2 }", "stable=2, canary=2")
def finished(_: Path) -> dict[str, Any]:
    from .test_checks_lab_04 import log

    done = status(v1="END", v2="AVAILABLE")
    return {
        "labels moved, version 1 stays": (status(v1="AVAILABLE", v2="AVAILABLE"), log(2)),
        "rolled back": (status(v1="AVAILABLE", v2="AVAILABLE"), log(1)),
        "the canary was taken away": (done, log(2, 2, "INVALID_ARGUMENT")),
        "version 1 went before its label": (done, log(2, "NOT_FOUND")),
        "did not wait": (status(v1="UNLOADING", v2="AVAILABLE"), log(2)),
        "only the status": done,
    }


@exercise("05.2", "traffic_percentage=10", "=10", "endpoint.deploy(")
def split(_: Path) -> dict[str, Any]:
    return {
        "as the endpoint has it": {"123": 90, "456": 10},
        "not deployed yet": {"v2-grows": 100},
        "the newcomer takes nearly all": {"v2-grows": 10, "again": 90},
        "deployed beside version 1's old name": {"v1": 90, "again": 10},
        "the numbers": [90, 10],
    }


@exercise("05.3", 'batch/six.jsonl"', "model_2.batch_predict(")
def six(_: Path) -> dict[str, Any]:
    from .test_checks_lab_05 import job

    return {
        "part 5's file": job(4, 2, source="gs://b/batch/in.jsonl"),
        "did not wait": job(0, 0, state="JOB_STATE_RUNNING"),
        "the last line was lost": job(4, 1),
        "another format": job(0, 6),
        "what it counted": (4, 2),
    }


@exercise("05.1", "{'b', 'f'}", '{"b", "f"}', "b and f", "b, f")
def by_the_hour(_: Path) -> dict[str, Any]:
    return {
        "an endpoint costs": {"a", "b", "f"},
        "all jobs": {"b", "c", "f"},
        "every version costs": {"b", "d", "f"},
        "a bucket costs": {"b", "e", "f"},
        "deployed models only": {"b"},
        "how many": 2,
    }

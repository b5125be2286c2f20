"""§4.1 to §4.3, §5.10 to §5.12: classify, regress and MultiInference of the model `many`.

Over REST a request is (verb, signature, the rest of the body: an object, or JSON text). Over gRPC it is the request as
protobuf text.
"""

from .cases import Case

ONE, TWO = {"examples": [{"x": 0.25}]}, {"examples": [{"x": 0.25}, {"x": [3.0]}]}
INT64 = "Name: <unknown>, Key: x, Index: 0.  Data types don't match. Data type: int64 but expected type: float"
MISSING = "Name: <unknown>, Feature: x (data type: float) is required but could not be found."


def _classify(section: str, title: str, signature: str, body: dict | str, **expected: object) -> Case:
    return Case(section, f"classify: {title}", ("classify", signature, body), **expected)


def _regress(section: str, title: str, signature: str, body: dict | str, **expected: object) -> Case:
    return Case(section, f"regress: {title}", ("regress", signature, body), **expected)


def _refused(section: str, title: str, body: dict | str, error: str) -> list[Case]:
    """For what both verbs say alike."""
    return [
        _classify(section, title, "classify", body, status=400, error=error),
        _regress(section, title, "regress", body, status=400, error=error),
    ]


# fmt: off
ANSWERS = [
    _classify("4.3", "labels and scores", "classify_both", TWO,
              answer={"results": [[["low", 0.25], ["high", 0.75]], [["low", 3.0], ["high", -2.0]]]}),
    _classify("4.3", "no scores", "classify_labels", ONE, answer={"results": [[["low", 0.0], ["high", 0.0]]]}),
    _classify("4.3", "no labels", "classify", TWO, answer={"results": [[["", 2.125]], [["", 3.5]]]}),
    _classify("5.10", "an output that is neither is not asked for", "classify_with_more", ONE,
              answer={"results": [[["", 0.25], ["", 0.75]]]}),
    _classify("4.3", "how it is written", "classify_both", '"examples": [{"x": 0.3333333333}, {"x": NaN}]',
              text='{"results":[[["low",0.333333343],["high",0.666666627]],[["low",NaN],["high",NaN]]]}'),
    _regress("4.3", "a value for each example", "regress", TWO, answer={"results": [2.125, 3.5]}),
    _regress("5.11", "outputs of one dimension", "regress_flat", TWO, answer={"results": [0.25, 3.0]}),
    _regress("4.3", "how it is written", "regress_flat", '"examples": [{"x": 1e7}, {"x": 1.0}, {"x": -Infinity}]',
             text='{"results":[1e+07,1.0,-Infinity]}'),
    _regress("4.1", "context", "regress_flat", {"context": {"bias": 10.0, "x": 1.0}, "examples": [{}, {"x": 2.0}]},
             answer={"results": [11.0, 12.0]}),
    _regress("4.1", "an example's own value counts", "regress_flat",
             {"context": {"bias": 10.0}, "examples": [{"x": 1.0}, {"x": 1.0, "bias": 20.0}]},
             answer={"results": [11.0, 21.0]}),
    _regress("4.1", "an empty context", "regress", {"context": {}, **ONE}, answer={"results": [2.125]}),
    _regress("4.1", "other features and keys are ignored", "regress",
             {"other": [1], "examples": [{"x": 1.5, "a": "b", "c": [1, True, False], "d": {"b64": "/w=="}, "e": []}]},
             answer={"results": [2.75]}),
    _regress("4.1", "a number too large is infinite", "regress_flat", {"examples": [{"x": 1e300}, {"x": [-1e39]}]},
             answer={"results": [float("inf"), float("-inf")]}),
]

BODIES = [
    *_refused("4.1", "no JSON", "{", "JSON Parse error: "),
    *_refused("4.1", "no examples", {}, "JSON Value: {…When method is classify, key 'examples' is expected and was not "
                                        "found"),
    *_refused("4.1", "instances are no examples", {"instances": [1.0]}, "JSON Value: {…key 'examples' is expected"),
    *_refused("4.1", "examples are no list", {"examples": {"x": 1.0}},
              "JSON Value: {…Expecting 'examples' value to be an list/array"),
    *_refused("4.1", "no example", {"examples": []}, "JSON Value: {…'examples' value is an empty array"),
    *_refused("4.1", "an example is a number", {"examples": [{"x": 1.0}, 1.0]},
              "Example must be JSON object but got JSON Number"),
    *_refused("4.1", "an example is a list", {"examples": [["x", 1.0]]},
              "Example must be JSON object but got JSON Array"),
    *_refused("4.1", "the context is null", {"context": None, **ONE}, "Example must be JSON object but got JSON Null"),
    *_refused("4.1", "the context comes before the examples", {"context": "a"},
              "Example must be JSON object but got JSON String"),
    *_refused("4.1", "int64, then float", {"examples": [{"x": [1, 2.0]}]},
              "Unexpected element type in feature: x expecting type: int64"),
    *_refused("4.1", "float, then int64", {"examples": [{"x": [1.0, 2]}]},
              "Unexpected element type in feature: x expecting type: float"),
    *_refused("4.1", "float, then bool", {"examples": [{"x": [1.0, True]}]},
              "Unexpected element type in feature: x expecting type: float"),
    *_refused("4.1", "string, then float", {"examples": [{"x": ["a", 2.0]}]},
              "Unexpected element type in feature: x expecting type: bytes"),
    *_refused("4.1", "null", {"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
    *_refused("4.1", "null in a list", {"examples": [{"x": [1.0, None]}]},
              "Feature: x has element with unexpected JSON type: Null"),
    *_refused("4.1", "a nested list", {"examples": [{"x": [[1.0]]}]},
              "Feature: x has element with unexpected JSON type: Array"),
    *_refused("4.1", "an object", {"examples": [{"x": {"a": 1.0}}]},
              "Feature: x has element with unexpected JSON type: Object"),
    *_refused("4.1", "bad base64", {"examples": [{"x": {"b64": "*"}}]}, "Unable to base64 decode"),
    *_refused("4.1", "b64 of a number", {"examples": [{"x": {"b64": 1}}]},
              "Feature: x has element with unexpected JSON type: Object"),
    *_refused("4.1", "an integer over int64", {"examples": [{"x": 1 << 63}]},
              "Feature: x has uint64_t element. Only int64_t is supported."),
    *_refused("4.1", "the kind comes before the size", {"examples": [{"x": [1.0, 1 << 63]}]},
              "Unexpected element type in feature: x expecting type: float"),
    *_refused("4.2", "an integer over 64 bits is a float", {"examples": [{"x": [1 << 64], "y": 1}, {}]}, MISSING),
    *_refused("4.2", "an integer for a float feature", {"examples": [{"x": 2}]}, INT64),
    *_refused("4.2", "a bool for a float feature", {"examples": [{"x": True}]}, INT64),
    *_refused("4.2", "a feature is missing", {"examples": [{"y": 1.0}]}, MISSING),
    *_refused("4.2", "a feature is empty", {"examples": [{"x": []}]}, MISSING),
]

SIGNATURES = [
    _classify("5.10", "unknown signature", "foo", ONE, status=400, error="No signature was found with the name: foo"),
    _regress("5.11", "unknown signature", "foo", ONE, status=400, error="No signature was found with the name: foo"),
    _classify("4.1", "serving_default when none is named", "", ONE, status=400,
              error="No classification inputs found in SignatureDef: inputs {"),
    _regress("4.1", "serving_default when none is named", "", ONE, status=400,
             error="No regression inputs found in SignatureDef: inputs {"),
    _classify("5.10", "two inputs", "sum_and_product", ONE, status=400, error="Expected one input Tensor."),
    _regress("5.11", "two inputs", "sum_and_product", ONE, status=400, error="Expected one input Tensor."),
    _classify("5.10", "no input", "constant", ONE, status=400, error="Expected one input Tensor."),
    _classify("5.10", "three outputs", "classify_three", ONE, status=400,
              error="Expected one or two output Tensors, found 3"),
    _classify("5.10", "neither classes nor scores", "classify_nothing", ONE, status=400,
              error='Expected classification signature outputs to contain at least one of "classes" or "scores". '
                    "Signature was: inputs {"),
    _regress("5.11", "two outputs", "classify_both", ONE, status=400, error="Expected one output Tensor."),
    _regress("5.11", "no outputs", "regress_nothing", ONE, status=400,
             error="No regression outputs found in SignatureDef: inputs {"),
    _classify("5.10", "one dimension", "classify_flat", TWO, status=400,
              error="Expected Tensor shape: [batch_size num_classes] but got [2]"),
    _classify("5.10", "scores of another type", "classify_double", ONE, status=400,
              error="Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
    _classify("5.10", "labels of another type", "classify_numbers_for_labels", ONE, status=400,
              error="Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
    _classify("5.10", "too few scores", "classify_first_row", TWO, status=400,
              error="Expected scores output batch size of 2. Got: 1"),
    _classify("5.10", "too few labels", "classify_first_label", TWO, status=400,
              error="Expected classes output batch size of 2. Got: 1"),
    _classify("5.10", "more labels than scores", "classify_of_two_sizes", ONE, status=400,
              error="Tensors class and score should match in dim_size(1). Got 2 vs. 1"),
    _regress("5.11", "two columns", "regress_wide", ONE, status=400,
             error="Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [1,2]"),
    _regress("5.11", "a scalar", "regress_scalar", ONE, status=400,
             error="Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got []"),
    _regress("5.11", "another type", "regress_double", ONE, status=400,
             error="Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
    _regress("5.11", "too few", "regress_first_row", TWO, status=400,
             error="Input batch size did not match output batch size: 2 vs. 1"),
    _classify("5.9", "a regress signature, of which only the outputs matter", "regress_nothing", ONE, status=400,
              error="Expected classification signature outputs to contain at least one of"),
]
REST = [*ANSWERS, *BODIES, *SIGNATURES]

MODELS = [
    Case("4.1", "unknown model", ("POST", "/v1/models/nope:classify", ONE), 404,
         error="Servable not found for request: Latest(nope)"),
    Case("4.1", "unknown version", ("POST", "/v1/models/many/versions/2:regress", ONE), 404,
         error="Servable not found for request: Specific(many, 2)"),
    Case("5.2", "unknown label", ("POST", "/v1/models/many/labels/stable:regress", ONE), 400,
         error="Unrecognized servable version label: stable"),
    Case("4.1", "the examples come before the model", ("POST", "/v1/models/nope:classify", {"examples": 1}), 400,
         error="JSON Value: {…Expecting 'examples' value to be an list/array"),
    Case("4.1", "signature_name comes before the model", ("POST", "/v1/models/nope:regress", {"signature_name": 1}),
         400,
         error="JSON Value: {…'signature_name' key must be a string value."),
    Case("2.3", "verbs are small", ("POST", "/v1/models/many:Classify", ONE), 400,
         error="Malformed request: POST /v1/models/many:Classify"),
]

X = ('input { example_list { examples { features { feature { key: "x" value { float_list { value: 1 } } } } } } } ')
EMPTY = "input { example_list { examples { } } } "


def spec(signature: str = "", name: str = "many", more: str = "") -> str:
    """A model_spec in protobuf text."""
    return f'model_spec {{ name: "{name}" signature_name: "{signature}" {more} }} '


GRPC_ERRORS = [
    Case("5.2", "no model_spec", X, "INVALID_ARGUMENT", error="Missing ModelSpec"),
    Case("5.2", "no name", "model_spec { } " + X, "INVALID_ARGUMENT", error="ModelSpec has no name specified."),
    Case("5.2", "unknown model", spec(name="nope") + X, "NOT_FOUND",
         error="Servable not found for request: Latest(nope)"),
    Case("5.2", "unknown version", spec(more="version { value: 3 }") + X, "NOT_FOUND",
         error="Servable not found for request: Specific(many, 3)"),
    Case("5.2", "unknown label", spec(more='version_label: "a"') + X, "INVALID_ARGUMENT",
         error="Unrecognized servable version label: a"),
    Case("5.10", "unknown signature", spec("foo") + X, "INVALID_ARGUMENT",
         error="No signature was found with the name: foo"),
    Case("5.10", "no signature named", spec() + X, "INVALID_ARGUMENT", error="No …ion inputs found in SignatureDef: "),
]
# What Classify and Regress say alike; VERB is which.
GRPC_INPUT_ERRORS = [
    Case("5.10", "no input", spec("VERB"), "INVALID_ARGUMENT", error="Input is empty."),
    Case("5.10", "no examples", spec("VERB") + "input { example_list { } }", "INVALID_ARGUMENT",
         error="Input is empty."),
    Case("5.10", "context only", spec("VERB") + "input { example_list_with_context { context { } } }",
         "INVALID_ARGUMENT", error="Input is empty."),
    Case("5.10", "the signature comes before the input", spec("foo"), "INVALID_ARGUMENT",
         error="No signature was found with the name: foo"),
    Case("4.2", "an example without the feature", spec("VERB") + EMPTY, "INVALID_ARGUMENT", error=MISSING),
]


def task(signature: str, method: str, name: str = "many", more: str = "") -> str:
    """A task of a MultiInference request in protobuf text."""
    return f'tasks {{ {spec(signature, name, more)} method_name: "tensorflow/serving/{method}" }} '


CLASSIFY, REGRESS = task("classify_both", "classify"), task("regress_flat", "regress")
MULTI_ERRORS = [
    Case("5.12", "no task", X, "INVALID_ARGUMENT", error="ModelSpec has no name specified."),
    Case("5.12", "no model_spec", "tasks { } " + X, "INVALID_ARGUMENT", error="ModelSpec has no name specified."),
    Case("5.12", "unknown model", task("a", "classify", "nope") + X, "NOT_FOUND",
         error="Servable not found for request: Latest(nope)"),
    Case("5.12", "the first version counts", task("a", "classify", more="version { value: 5 }") + REGRESS + X,
         "NOT_FOUND", error="Servable not found for request: Specific(many, 5)"),
    Case("5.12", "the first label counts", task("a", "classify", more='version_label: "b"') + REGRESS + X,
         "INVALID_ARGUMENT", error="Unrecognized servable version label: b"),
    Case("5.12", "the second has no name", CLASSIFY + "tasks { } " + X, "INVALID_ARGUMENT",
         error="Found ModelSpec with an empty model name."),
    Case("5.12", "two models", CLASSIFY + task("a", "classify", "other") + X, "INVALID_ARGUMENT",
         error="All ModelSpecs in a MultiInferenceRequest must access the same model name."),
    Case("5.12", "a signature twice", CLASSIFY + CLASSIFY + X, "INVALID_ARGUMENT",
         error="Duplicate evaluation of signature: classify_both"),
    Case("5.12", "unknown signature", CLASSIFY + task("foo", "regress") + X, "INVALID_ARGUMENT",
         error="Requested signature not found in model graph: foo"),
    Case("5.12", "predict", CLASSIFY + task("serving_default", "predict") + X, "UNIMPLEMENTED",
         error="Unsupported signature method_name: tensorflow/serving/predict"),
    Case("5.12", "a signature that cannot classify", task("regress_nothing", "classify") + X, "INVALID_ARGUMENT",
         error="Expected classification signature outputs to contain at least one of"),
    Case("5.12", "a signature that cannot regress", task("classify_both", "regress") + X, "INVALID_ARGUMENT",
         error="Expected one output Tensor."),
    Case("5.12", "no input", CLASSIFY + REGRESS, "INVALID_ARGUMENT", error="Input is empty."),
    Case("5.12", "one of the outputs is wrong", CLASSIFY + task("regress_wide", "regress") + X, "INVALID_ARGUMENT",
         error="Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [1,2]"),
    Case("4.2", "an example without the feature", CLASSIFY + REGRESS + EMPTY, "INVALID_ARGUMENT", error=MISSING),
]
# fmt: on

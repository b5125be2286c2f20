"""§2: REST routes and errors. A request to the model `many` is (method, path) or (method, path, body)."""

from .cases import Case

GOOD = {"instances": [1.0]}
ANSWER = {"predictions": [2.5]}


def _malformed(section: str, method: str, path: str, title: str = "") -> Case:
    body = (GOOD,) if method in ("POST", "PUT", "PATCH") else ()
    return Case(
        section, title or f"{method} {path}", (method, path, *body), 400, error=f"Malformed request: {method} {path}"
    )


# fmt: off
MATCHING = [
    Case("2.1", "predict", ("POST", "/v1/models/many:predict", GOOD), answer=ANSWER),
    Case("2.1", "predict with a version", ("POST", "/v1/models/many/versions/1:predict", GOOD), answer=ANSWER),
    Case("2.1", "a version with zeros", ("POST", "/v1/models/many/versions/0001:predict", GOOD), answer=ANSWER),
    Case("2.1", "a percent-encoded name", ("POST", "/v1/models/%6Dan%79:predict", GOOD), answer=ANSWER),
    Case("2.1", "an encoded slash", ("GET", "/v1/models/a%2Fb"), 404, error="Could not find any versions of model a/b"),
    Case("2.1", "an encoded colon", ("POST", "/v1/models/a%3Ab:predict", GOOD), 404,
         error="Servable not found for request: Latest(a:b)"),
    Case("2.1", "encoded UTF-8", ("GET", "/v1/models/caf%C3%A9"), 404,
         error="Could not find any versions of model café"),
    Case("2.3", "routes in capitals", ("POST", "/V1/Models/many/VERSIONS/1:predict", GOOD), answer=ANSWER),
    Case("2.3", "metadata in capitals is the status", ("GET", "/v1/models/many/METADATA"),
         answer={"model_version_status": [
             {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]}),
    Case("2.3", "the name keeps its case", ("GET", "/v1/models/MANY"), 404,
         error="Could not find any versions of model MANY"),
    Case("2.3", "a query string is part of a model's name", ("GET", "/v1/models/many?x=1"), 404,
         error="Could not find any versions of model many?x=1"),
    Case("2.4", "no model name", ("GET", "/v1/models"), 400, error="Missing model name in request."),
    Case("2.4", "version over int64", ("GET", "/v1/models/many/versions/9223372036854775808"), 400,
         error="Failed to convert version: 9223372036854775808 to numeric."),
    Case("2.4", "version over int64, predict", ("POST", "/v1/models/many/versions/99999999999999999999:predict", GOOD),
         400,
         error="Failed to convert version: 99999999999999999999 to numeric."),
    Case("2.4", "a version of 5,000 digits", ("GET", f"/v1/models/many/versions/{'9' * 5000}"), 400,
         error="Failed to convert version: 999…999 to numeric."),
    Case("2.4", "version 0", ("GET", "/v1/models/many/versions/0"), 404,
         error="Could not find version 0 of model many"),
    Case("2.4", "version 0, predict", ("POST", "/v1/models/many/versions/0:predict", GOOD), 404,
         error="Servable not found for request: Specific(many, 0)"),
]

MALFORMED = [
    _malformed("2.2", "GET", "/v1/models/many:predict"),
    _malformed("2.2", "POST", "/v1/models/many"),
    _malformed("2.2", "POST", "/v1/models/many/metadata"),
    _malformed("2.2", "POST", "/v1/models/many/"),
    _malformed("2.2", "GET", "/v1/models/many/"),
    _malformed("2.2", "GET", "/v1/models/"),
    _malformed("2.2", "GET", "/v1/models/many/metadata/"),
    _malformed("2.2", "POST", "/v1/models/many:predict/"),
    _malformed("2.2", "GET", "/v1/models/many/version/1"),
    _malformed("2.2", "POST", "/v1/models/many/version/1:predict"),
    _malformed("2.2", "GET", "/v1/models/many/versions/one"),
    _malformed("2.2", "GET", "/v1/models/many/versions/-1"),
    _malformed("2.2", "GET", "/v1/models/many/versions/"),
    _malformed("2.2", "POST", "/v1/models/many/versions/1/labels/stable:predict"),
    _malformed("2.2", "POST", "/v1/models:predict"),
    _malformed("2.2", "POST", "/v1/models/:predict"),
    _malformed("2.2", "POST", "/v1/models/a:b:predict"),
    _malformed("2.2", "POST", "/v1/models/many:multiinference"),
    _malformed("2.2", "POST", "/v1/models/many/predict"),
    _malformed("2.2", "POST", "/v1/models/many%3Apredict"),
    _malformed("2.2", "PUT", "/v1/models/many:predict"),
    _malformed("2.2", "PATCH", "/v1/models/many:predict"),
    _malformed("2.2", "DELETE", "/v1/models/many"),
    _malformed("2.2", "GET", "/v1/"),
    _malformed("2.2", "GET", "/v1/nothing"),
    _malformed("2.2", "GET", "/v1//models/many"),
    _malformed("2.2", "GET", "/v1/../v1/models/many"),
    _malformed("2.3", "POST", "/v1/models/many:PREDICT"),
    _malformed("2.3", "POST", "/v1/models/many:predict?x=1"),
    _malformed("2.3", "POST", "/v1/models/many:predict?"),
]

ERRORS = [
    Case("2.6", "unknown model", ("POST", "/v1/models/nope:predict", GOOD), 404,
         error="Servable not found for request: Latest(nope)"),
    Case("2.6", "unknown version", ("POST", "/v1/models/many/versions/7:predict", GOOD), 404,
         error="Servable not found for request: Specific(many, 7)"),
    Case("5.2", "unknown label", ("POST", "/v1/models/many/labels/stable:predict", GOOD), 400,
         error="Unrecognized servable version label: stable"),
    Case("5.2", "unknown label of an unknown model", ("POST", "/v1/models/nope/labels/a%20b:predict", GOOD), 400,
         error="Unrecognized servable version label: a b"),
    Case("3", "JSON comes before the model", ("POST", "/v1/models/nope:predict", b"{"), 400,
         error="JSON Parse error: "),
    Case("3", "JSON comes before the model, also in a large body",
         ("POST", "/v1/models/nope:predict", b'{"instances": [' + b"1.0, " * 100_000), 400, error="JSON Parse error: "),
    Case("3", "JSON comes before the label", ("POST", "/v1/models/many/labels/no:predict", b"{"), 400,
         error="JSON Parse error: "),
    Case("3", "the top level comes before the model", ("POST", "/v1/models/nope:predict", []), 400,
         error="JSON Value: [] Is not object"),
    Case("3", "signature_name's type comes before the model",
         ("POST", "/v1/models/nope:predict", {"signature_name": 1}), 400,
         error="JSON Value: {…'signature_name' key must be a string value."),
    Case("3", "the model comes before the signature",
         ("POST", "/v1/models/nope:predict", {"signature_name": "foo"}), 404,
         error="Servable not found for request: Latest(nope)"),
    Case("3", "the model comes before the inputs", ("POST", "/v1/models/nope:predict", {}), 404,
         error="Servable not found for request: Latest(nope)"),
]

STATUS = [
    Case("4.4", "all versions", ("GET", "/v1/models/many"), answer={"model_version_status": [
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]}),
    Case("4.4", "one version", ("GET", "/v1/models/many/versions/1"), answer={"model_version_status": [
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]}),
    Case("4.4", "a label is ignored", ("GET", "/v1/models/many/labels/none"), answer={"model_version_status": [
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]}),
    Case("4.4", "unknown model", ("GET", "/v1/models/nope"), 404, error="Could not find any versions of model nope"),
    Case("4.4", "unknown version", ("GET", "/v1/models/many/versions/2"), 404,
         error="Could not find version 2 of model many"),
    Case("4.4", "unknown version of an unknown model", ("GET", "/v1/models/nope/versions/2"), 404,
         error="Could not find version 2 of model nope"),
    Case("4.4", "a model called metadata", ("GET", "/v1/models/metadata"), 404,
         error="Could not find any versions of model metadata"),
    Case("4.5", "metadata of an unknown model", ("GET", "/v1/models/nope/metadata"), 404,
         error="Servable not found for request: Latest(nope)"),
    Case("4.5", "metadata of an unknown version", ("GET", "/v1/models/many/versions/2/metadata"), 404,
         error="Servable not found for request: Specific(many, 2)"),
    Case("4.5", "metadata by an unknown label", ("GET", "/v1/models/many/labels/none/metadata"), 400,
         error="Unrecognized servable version label: none"),
]
# fmt: on

ROUTING = [*MATCHING, *MALFORMED, *ERRORS, *STATUS]

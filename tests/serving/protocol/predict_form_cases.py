"""§3.1 to §3.7: how a REST predict request to the model `many` is read.

A request is bytes, text, or (signature, JSON text or value that the signature is put into).
"""

import json
from typing import Any

from .cases import Case


def body(request: bytes | str | tuple[str | None, Any]) -> bytes:
    """The request's bytes; a tuple gets its signature put in."""
    if isinstance(request, bytes):
        return request
    if isinstance(request, str):
        return request.encode()
    signature, rest = request
    text = rest if isinstance(rest, str) else json.dumps(rest)
    assert text.startswith("{")
    name = "" if signature is None else f'"signature_name": "{signature}"' + (", " if text != "{}" else "")
    return ("{" + name + text[1:]).encode()


# As if it were 8,000 x 8,000 x 8,000, by what stands first in each list; it has 24,000 numbers.
PROMISE = "[[[0" + 3 * (8_000 * ",0" + "]")

# fmt: off
PARSING = [
    Case("3.1", "empty body", b"", 400, error="JSON Parse error: The document is empty"),
    Case("3.1", "not JSON", "hello", 400, error="JSON Parse error: Invalid value. at offset: 0"),
    Case("3.1", "white space only", "  \n ", 400, error="JSON Parse error: The document is empty"),
    Case("3.1", "list not closed", '{"instances": [1.0, 2.0', 400,
         error="JSON Parse error: Missing a comma or ] after an array element. at offset: "),
    Case("3.1", "object not closed", '{"instances": [1.0]', 400,
         error="JSON Parse error: Missing a comma or } after an object member. at offset: "),
    Case("3.1", "comma missing", '{"instances": [1.0] "x": 1}', 400,
         error="JSON Parse error: Missing a comma or } after an object member. at offset: "),
    Case("3.1", "value missing", '{"instances": }', 400, error="JSON Parse error: Invalid value. at offset: "),
    Case("3.1", "a number with a leading plus", '{"instances": [+1.0]}', 400, error="JSON Parse error: …at offset: "),
    Case("3.1", "single quotes", "{'instances': [1.0]}", 400, error="JSON Parse error: …at offset: "),
    Case("3.1", "a comma too many", '{"instances": [1.0, ]}', 400,
         error="JSON Parse error: Invalid value. at offset: 20"),
    Case("3.1", "a comma too many behind a word that grows", '{"instances": [Inf,]}', 400,
         error="JSON Parse error: Invalid value. at offset: 19"),
    Case("3.1", "a comma too many behind a word that shrinks", '{"instances": [-NaN,]}', 400,
         error="JSON Parse error: Invalid value. at offset: 20"),
    Case("3.1", "a comma too many in an object", '{"instances": [1.0] , }', 400,
         error="JSON Parse error: Missing a name for object member. at offset: 22"),
    Case("3.1", "bytes after the value are ignored", '{"instances": [1.0]} and more {', answer={"predictions": [2.5]}),
    Case("3.1", "a second document is ignored", '{"instances": [1.0]}{"instances": [5.0]}',
         text='{"predictions":[2.5]}'),
    Case("3.1", "first of duplicate keys wins", '{"instances": [1.0], "instances": [5.0]}',
         answer={"predictions": [2.5]}),
    Case("3.1", "first of duplicate signature names wins",
         '{"signature_name": "total", "signature_name": "matmul", "inputs": [1, 2]}', answer={"outputs": 3.0}),
    Case("3.1", "first of duplicate inputs wins", ("with_default", '{"inputs": {"x": 1, "scale": 2, "x": 9}}'),
         answer={"outputs": 2.0}),
    Case("3.1", "NaN", '{"instances": [NaN]}', text='{"predictions":[NaN]}'),
    Case("3.1", "-NaN", '{"instances": [-NaN]}', text='{"predictions":[NaN]}'),
    Case("3.1", "Inf", '{"instances": [Inf]}', text='{"predictions":[Infinity]}'),
    Case("3.1", "-Inf", '{"instances": [-Inf]}', text='{"predictions":[-Infinity]}'),
    Case("3.1", "Infinity", '{"instances": [Infinity, 1.0]}', text='{"predictions":[Infinity,2.5]}'),
    Case("3.1", "-Infinity", '{"instances": [-Infinity]}', text='{"predictions":[-Infinity]}'),
    Case("3.1", "nan in lower case", '{"instances": [nan]}', 400, error="JSON Parse error: Invalid value. at offset: "),
    Case("3.1", "white space everywhere", '\n{\t"instances"\r\n:\n[ \n 1.0 ,2.0\t] \n}',
         answer={"predictions": [2.5, 3.0]}),
    Case("3.1", "nesting in an ignored key", '{"instances": [1.0], "x": ' + "[" * 5000 + "]" * 5000 + "}",
         answer={"predictions": [2.5]}),
    Case("3.1", "nesting without a limit", '{"instances": [1.0], "x": ' + "[" * 500_000 + "]" * 500_000 + "}",
         answer={"predictions": [2.5]}),
    Case("3.1", "nesting that does not end", '{"instances": ' + "[" * 500_000, 400, error="JSON Parse error: "),
    Case("3.1", "unknown keys are ignored", '{"instances": [1.0], "parameters": {"a": null}}',
         answer={"predictions": [2.5]}),
    Case("3.1", "escapes in keys", '{"\\u0069nstances": [1.0]}', answer={"predictions": [2.5]}),
    Case("3.2", "top level a list", "[1.0]", 400, error="JSON Value: [1.0] Is not object"),
    Case("3.2", "top level a number", "1", 400, error="JSON Value: 1 Is not object"),
    Case("3.2", "top level null", "null", 400, error="JSON Value: null Is not object"),
    Case("3.2", "signature_name a number", '{"signature_name": 5, "instances": [1.0]}', 400,
         error="JSON Value: {\n    \"signature_name\": 5…not formatted correctly. 'signature_name' key must be a "
               "string value."),
    Case("3.2", "signature_name null", '{"signature_name": null, "instances": [1.0]}', 400,
         error="JSON Value: {…not formatted correctly. 'signature_name' key must be a string value."),
]

SIGNATURES = [
    Case("3.3", "no signature_name", '{"instances": [1.0]}', answer={"predictions": [2.5]}),
    Case("3.3", "empty signature_name", ("", {"instances": [1.0]}), answer={"predictions": [2.5]}),
    Case("3.3", "serving_default by name", ("serving_default", {"instances": [1.0]}), answer={"predictions": [2.5]}),
    Case("3.3", "unknown signature", ("foo", {"instances": [1.0]}), 400,
         error='Serving signature name: "foo" not found in signature def'),
    Case("3.3", "unknown signature comes before missing inputs", ("foo", "{}"), 400,
         error='Serving signature name: "foo" not found in signature def'),
    Case("3.4", "both forms", '{"instances": [1.0], "inputs": [1.0]}', 400,
         error="JSON Value: {…} Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "),
    Case("3.4", "neither form", "{}", 400, error="Missing 'inputs' or 'instances' key"),
    Case("3.4", "misspelt", '{"instance": [1.0]}', 400, error="Missing 'inputs' or 'instances' key"),
    Case("3.4", "instances a number", '{"instances": 1.0}', 400,
         error="JSON Value: {\n    \"instances\": 1.0\n} Expecting 'instances' to be an list/array"),
    Case("3.4", "instances an object", '{"instances": {"x": 1.0}}', 400,
         error="JSON Value: {…} Expecting 'instances' to be an list/array"),
    Case("3.4", "instances null", '{"instances": null}', 400,
         error="JSON Value: {…} Expecting 'instances' to be an list/array"),
    Case("3.4", "instances empty", '{"instances": []}', 400,
         error="JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
    Case("3.4", "a signature without inputs", ("constant", {"inputs": {}}), 400,
         error="Failed to get input map for signature: constant"),
    Case("5.9", "predict on a classify signature", ("classify", {"instances": [{"b64": "Cg0KCwoBeBIGEgQKAgAA"}, ""]}),
         400,
         error="…"),
]

ROW = [
    Case("3.5", "values", '{"instances": [1.0, 2.0, 5.0]}', answer={"predictions": [2.5, 3.0, 4.5]}),
    Case("3.5", "lists", '{"instances": [[1.0], [2.0]]}', answer={"predictions": [[2.5], [3.0]]}),
    Case("3.5", "objects for a one-input signature", '{"instances": [{"x": 1.0}, {"x": 2.0}]}',
         answer={"predictions": [2.5, 3.0]}),
    Case("3.5", "objects", ("sum_and_product", {"instances": [{"a": 1, "b": 2}, {"b": 4, "a": 3}]}),
         answer={"predictions": [{"sum": 3.0, "product": 2.0}, {"sum": 7.0, "product": 12.0}]}),
    Case("3.5", "objects of lists", ("sum_and_product", {"instances": [{"a": [1, 2], "b": [3, 4]}]}),
         answer={"predictions": [{"sum": [4.0, 6.0], "product": [3.0, 8.0]}]}),
    Case("3.5", "a b64 object is a value", ("echo_string", {"instances": [{"b64": "aGk="}, "you"]}),
         answer={"predictions": ["hi", "you"]}),
    Case("3.5", "unknown key", ("sum_and_product", {"instances": [{"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}]}), 400,
         error="Failed to process element: 1 key: c of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does "
               "not "
               "have named input: c"),
    Case("3.5", "missing key", ("sum_and_product", {"instances": [{"a": 1}]}), 400,
         error="Failed to process element: 0 of 'instances' list. JSON object: {\n    \"a\": 1\n} keys must be equal "
               "to: a,b"),
    Case("3.5", "missing key in a later element", ("sum_and_product", {"instances": [{"a": 1, "b": 2}, {"b": 1}]}), 400,
         error="Failed to process element: 1 of 'instances' list. JSON object: {…} keys must be equal to: a,b"),
    Case("3.5", "empty object", '{"instances": [{}]}', 400,
         error="Failed to process element: 0 of 'instances' list. JSON object: {} keys must be equal to: x"),
    Case("3.5", "a default does not excuse a missing key", ("with_default", {"instances": [{"x": 1}]}), 400,
         error="Failed to process element: 0 of 'instances' list. JSON object: {…} keys must be equal to: scale,x"),
    Case("3.5", "plain list for two inputs", ("sum_and_product", {"instances": [1.0, 2.0]}), 400,
         error="instances is a plain list, but expecting list of objects as multiple input tensors required as per "
               "tensorinfo_map"),
    Case("3.5", "object, then list", '{"instances": [{"x": 1.0}, [2.0]]}', 400,
         error="Expecting object but got list at item 1 of input list"),
    Case("3.5", "object, then number", '{"instances": [{"x": 1.0}, 2.0]}', 400,
         error="Expecting object but got list at item 1 of input list"),
    Case("3.5", "list, then object", '{"instances": [[1.0], {"x": 2.0}]}', 400,
         error="Expecting value/list but got object at item 1 of input list"),
    Case("3.5", "sizes differ", '{"instances": [[1.0, 2.0], [1.0, 2.0, 3.0]]}', 400,
         error="Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 2 "
               "but got: 3"),
    Case("3.5", "shapes differ", '{"instances": [[1.0, 2.0], [[1.0, 2.0]]]}', 400,
         error="Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [2] but "
               "got: [1,2]"),
    Case("3.5", "scalar, then list", '{"instances": [1.0, [2.0]]}', 400,
         error="Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [] but "
               "got: [1]"),
    Case("3.5", "shapes differ in a named input", '{"instances": [{"x": [1.0]}, {"x": [1.0, 2.0]}]}', 400,
         error="Failed to process element: 1 key: x of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor "
               "size: 1 "
               "but got: 2"),
    Case("3.5", "ragged", '{"instances": [[[1.0, 2.0], [3.0]]]}', 400,
         error="Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: Encountered list at "
               "unexpected "
               "size: 1 at level: 1 expected size: 2"),
    Case("3.5", "value too shallow", '{"instances": [[[1.0, 2.0], 3.0]]}', 400,
         error="Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: 3.0 found at "
               "incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    Case("3.5", "first elements that promise a terabyte", '{"instances": ' + PROMISE + "}", 400,
         error="Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: 0 found at "
               "incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    Case("3.5", "value too deep", '{"instances": [[1.0, [2.0]]]}', 400,
         error="Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: Encountered list at "
               "unexpected "
               "level: 1 expected < 1"),
    Case("3.5", "a wrong type comes before a wrong size", '{"instances": [[1.0, 2.0], ["a"]]}', 400,
         error="Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"a\" Type: "
               "String is not of expected type: float"),
    Case("3.5", "irregular comes before another shape", '{"instances": [[1.0, 2.0], [[1.0], 2.0]]}', 400,
         error="Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: 2.0 found at "
               "incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    Case("3.5", "the first wrong element is named", '{"instances": [1.0, "a", {"x": 1.0}]}', 400,
         error="Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"a\""),
    Case("3.5", "the first wrong object is named", '{"instances": [{"x": "a"}, {"z": 1.0}, 1.0]}', 400,
         error="Failed to process element: 0 key: x of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"a\""),
    Case("3.5", "an object with b64 and no string is an object", ("echo_string", '{"instances": [{"b64": 5}]}'), 400,
         error="Failed to process element: 0 key: b64 of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does "
               "not have named input: b64"),
    Case("3.5", "empty elements", '{"instances": [[], []]}', answer={"predictions": [[], []]}),
    Case("3.5", "an error inside an element is always INVALID_ARGUMENT", ("echo_half", {"instances": [1.0]}), 400,
         error="Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: Conversion of JSON Value: "
               "1.0 to "
               "type: half"),
]

COLUMNAR = [
    Case("3.6", "list", '{"inputs": [[1.0], [2.0]]}', answer={"outputs": [[2.5], [3.0]]}),
    Case("3.6", "object of one", '{"inputs": {"x": [1.0, 2.0]}}', answer={"outputs": [2.5, 3.0]}),
    Case("3.6", "object of two", ("sum_and_product", {"inputs": {"a": [1, 2], "b": [3, 4]}}),
         answer={"outputs": {"sum": [4.0, 6.0], "product": [3.0, 8.0]}}),
    Case("3.6", "a scalar stays one", '{"inputs": 1.0}', answer={"outputs": 2.5}),
    Case("3.6", "a named scalar stays one", '{"inputs": {"x": 1.0}}', answer={"outputs": 2.5}),
    Case("3.6", "a bare b64 object", ("echo_string", {"inputs": {"b64": "aGk="}}), answer={"outputs": "hi"}),
    Case("3.6", "a named b64 object", ("echo_string", {"inputs": {"x": {"b64": "aGk="}}}), answer={"outputs": "hi"}),
    Case("3.6", "an object with b64 and no string is an object", ("echo_string", '{"inputs": {"b64": 5}}'), 400,
         error="Missing named input: x in 'inputs' object."),
    Case("3.6", "missing name", ("sum_and_product", {"inputs": {"a": [1]}}), 400,
         error="Missing named input: b in 'inputs' object."),
    Case("3.6", "a default does not excuse a missing name", ("with_default", {"inputs": {"x": 1}}), 400,
         error="Missing named input: scale in 'inputs' object."),
    Case("3.6", "extra names are ignored", '{"inputs": {"x": [1.0], "other": "what"}}', answer={"outputs": [2.5]}),
    Case("3.6", "plain value for two inputs", ("sum_and_product", {"inputs": [1.0]}), 400,
         error="inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
               "tensorinfo_map"),
    Case("3.6", "empty list", '{"inputs": []}', answer={"outputs": []}),
    Case("3.6", "empty lists", '{"inputs": [[], []]}', answer={"outputs": [[], []]}),
    Case("3.6", "ragged", '{"inputs": [[1.0, 2.0], [3.0]]}', 400,
         error="Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
    Case("3.6", "ragged below an empty list", '{"inputs": [[], [1.0]]}', 400,
         error="Encountered list at unexpected size: 1 at level: 1 expected size: 0"),
    Case("3.6", "value too shallow", '{"inputs": [[1.0, 2.0], 3]}', 400,
         error="JSON Value: 3 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    Case("3.6", "value too deep", '{"inputs": [1.0, [2.0]]}', 400,
         error="Encountered list at unexpected level: 1 expected < 1"),
    Case("3.6", "null", '{"inputs": null}', 400, error="JSON Value: null Type: Null is not of expected type: float"),
]

SHAPES = [
    Case("3.7", "declared [-1, 1], sent [3]", '{"inputs": [1.0, 2.0, 3.0]}', answer={"outputs": [2.5, 3.0, 3.5]}),
    Case("3.7", "declared [-1, 1], sent [1, 1, 1]", '{"inputs": [[[1.0]]]}', answer={"outputs": [[[2.5]]]}),
    Case("3.7", "declared [-1, 1], sent [2, 3]", '{"inputs": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}',
         answer={"outputs": [[2.5, 3.0, 3.5], [4.0, 4.5, 5.0]]}),
    Case("3.7", "only an operation refuses", ("matmul", {"instances": [[1.0, 2.0]]}), 400,
         error="Matrix size-incompatible: In[0]: [1,2], In[1]: [3,2]…\n\t [[{{node product}}]]"),
    Case("3.7", "the operation accepts", ("matmul", {"instances": [[1.0, 2.0, 3.0]]}),
         answer={"predictions": [[6.0, 6.0]]}),
]
# fmt: on

FORMS = [*PARSING, *SIGNATURES, *ROW, *COLUMNAR, *SHAPES]

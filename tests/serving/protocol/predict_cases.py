"""§3: REST predict against the model `many`. A request is (signature or None, JSON text without signature_name) or bytes."""

import json
from typing import Any

from .cases import Case

INT32_MAX, INT64_MAX, UINT32_MAX, UINT64_MAX = 2**31 - 1, 2**63 - 1, 2**32 - 1, 2**64 - 1


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
    Case("3.1", "a comma too many", '{"instances": [1.0,]}', 400, error="JSON Parse error: …at offset: "),
    Case("3.1", "bytes after the value are ignored", '{"instances": [1.0]} and more {', answer={"predictions": [2.5]}),
    Case("3.1", "a second document is ignored", '{"instances": [1.0]}{"instances": [5.0]}', text='{"predictions":[2.5]}'),
    Case("3.1", "first of duplicate keys wins", '{"instances": [1.0], "instances": [5.0]}', answer={"predictions": [2.5]}),
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
    Case("3.1", "white space everywhere", '\n{\t"instances"\r\n:\n[ \n 1.0 ,2.0\t] \n}', answer={"predictions": [2.5, 3.0]}),
    Case("3.1", "nesting in an ignored key", '{"instances": [1.0], "x": ' + "[" * 5000 + "]" * 5000 + "}",
         answer={"predictions": [2.5]}),
    Case("3.1", "unknown keys are ignored", '{"instances": [1.0], "parameters": {"a": null}}', answer={"predictions": [2.5]}),
    Case("3.1", "escapes in keys", '{"\\u0069nstances": [1.0]}', answer={"predictions": [2.5]}),
    Case("3.2", "top level a list", "[1.0]", 400, error="JSON Value: [1.0] Is not object"),
    Case("3.2", "top level a number", "1", 400, error="JSON Value: 1 Is not object"),
    Case("3.2", "top level null", "null", 400, error="JSON Value: null Is not object"),
    Case("3.2", "signature_name a number", '{"signature_name": 5, "instances": [1.0]}', 400,
         error="JSON Value: {\n    \"signature_name\": 5…not formatted correctly. 'signature_name' key must be a string value."),
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
    Case("3.4", "instances null", '{"instances": null}', 400, error="JSON Value: {…} Expecting 'instances' to be an list/array"),
    Case("3.4", "instances empty", '{"instances": []}', 400,
         error="JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
    Case("3.4", "a signature without inputs", ("constant", {"inputs": {}}), 400,
         error="Failed to get input map for signature: constant"),
    Case("5.9", "predict on a classify signature", ("classify", {"instances": [{"b64": "Cg0KCwoBeBIGEgQKAgAA"}, ""]}), 400,
         error="…"),
]

ROW = [
    Case("3.5", "values", '{"instances": [1.0, 2.0, 5.0]}', answer={"predictions": [2.5, 3.0, 4.5]}),
    Case("3.5", "lists", '{"instances": [[1.0], [2.0]]}', answer={"predictions": [[2.5], [3.0]]}),
    Case("3.5", "objects for a one-input signature", '{"instances": [{"x": 1.0}, {"x": 2.0}]}', answer={"predictions": [2.5, 3.0]}),
    Case("3.5", "objects", ("sum_and_product", {"instances": [{"a": 1, "b": 2}, {"b": 4, "a": 3}]}),
         answer={"predictions": [{"sum": 3.0, "product": 2.0}, {"sum": 7.0, "product": 12.0}]}),
    Case("3.5", "objects of lists", ("sum_and_product", {"instances": [{"a": [1, 2], "b": [3, 4]}]}),
         answer={"predictions": [{"sum": [4.0, 6.0], "product": [3.0, 8.0]}]}),
    Case("3.5", "a b64 object is a value", ("echo_string", {"instances": [{"b64": "aGk="}, "you"]}),
         answer={"predictions": ["hi", "you"]}),
    Case("3.5", "unknown key", ("sum_and_product", {"instances": [{"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}]}), 400,
         error="Failed to process element: 1 key: c of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not "
               "have named input: c"),
    Case("3.5", "missing key", ("sum_and_product", {"instances": [{"a": 1}]}), 400,
         error="Failed to process element: 0 of 'instances' list. JSON object: {\n    \"a\": 1\n} keys must be equal to: a,b"),
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
         error="Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 2 but got: 3"),
    Case("3.5", "shapes differ", '{"instances": [[1.0, 2.0], [[1.0, 2.0]]]}', 400,
         error="Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [2] but got: [1,2]"),
    Case("3.5", "scalar, then list", '{"instances": [1.0, [2.0]]}', 400,
         error="Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [] but got: [1]"),
    Case("3.5", "shapes differ in a named input", '{"instances": [{"x": [1.0]}, {"x": [1.0, 2.0]}]}', 400,
         error="Failed to process element: 1 key: x of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 1 "
               "but got: 2"),
    Case("3.5", "ragged", '{"instances": [[[1.0, 2.0], [3.0]]]}', 400,
         error="Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: Encountered list at unexpected "
               "size: 1 at level: 1 expected size: 2"),
    Case("3.5", "value too shallow", '{"instances": [[[1.0, 2.0], 3.0]]}', 400,
         error="Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: 3.0 found at "
               "incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    Case("3.5", "value too deep", '{"instances": [[1.0, [2.0]]]}', 400,
         error="Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: Encountered list at unexpected "
               "level: 1 expected < 1"),
    Case("3.5", "empty elements", '{"instances": [[], []]}', answer={"predictions": [[], []]}),
    Case("3.5", "an error inside an element is always INVALID_ARGUMENT", ("echo_half", {"instances": [1.0]}), 400,
         error="Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: Conversion of JSON Value: 1.0 to "
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
    Case("3.6", "missing name", ("sum_and_product", {"inputs": {"a": [1]}}), 400,
         error="Missing named input: b in 'inputs' object."),
    Case("3.6", "a default does not excuse a missing name", ("with_default", {"inputs": {"x": 1}}), 400,
         error="Missing named input: scale in 'inputs' object."),
    Case("3.6", "extra names are ignored", '{"inputs": {"x": [1.0], "other": "what"}}', answer={"outputs": [2.5]}),
    Case("3.6", "plain value for two inputs", ("sum_and_product", {"inputs": [1.0]}), 400,
         error="inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map"),
    Case("3.6", "empty list", '{"inputs": []}', answer={"outputs": []}),
    Case("3.6", "empty lists", '{"inputs": [[], []]}', answer={"outputs": [[], []]}),
    Case("3.6", "ragged", '{"inputs": [[1.0, 2.0], [3.0]]}', 400,
         error="Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
    Case("3.6", "ragged below an empty list", '{"inputs": [[], [1.0]]}', 400,
         error="Encountered list at unexpected size: 1 at level: 1 expected size: 0"),
    Case("3.6", "value too shallow", '{"inputs": [[1.0, 2.0], 3]}', 400,
         error="JSON Value: 3 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    Case("3.6", "value too deep", '{"inputs": [1.0, [2.0]]}', 400, error="Encountered list at unexpected level: 1 expected < 1"),
    Case("3.6", "null", '{"inputs": null}', 400, error="JSON Value: null Type: Null is not of expected type: float"),
]

SHAPES = [
    Case("3.7", "declared [-1, 1], sent [3]", '{"inputs": [1.0, 2.0, 3.0]}', answer={"outputs": [2.5, 3.0, 3.5]}),
    Case("3.7", "declared [-1, 1], sent [1, 1, 1]", '{"inputs": [[[1.0]]]}', answer={"outputs": [[[2.5]]]}),
    Case("3.7", "declared [-1, 1], sent [2, 3]", '{"inputs": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}',
         answer={"outputs": [[2.5, 3.0, 3.5], [4.0, 4.5, 5.0]]}),
    Case("3.7", "only an operation refuses", ("matmul", {"instances": [[1.0, 2.0]]}), 400,
         error="Matrix size-incompatible: In[0]: [1,2], In[1]: [3,2]…\n\t [[{{node product}}]]"),
    Case("3.7", "the operation accepts", ("matmul", {"instances": [[1.0, 2.0, 3.0]]}), answer={"predictions": [[6.0, 6.0]]}),
]


def _accepted(dtype: str, sent: str, back: str) -> list[Case]:
    """`sent` in a list, in both forms, comes `back` through the echo."""
    signature = f"echo_{dtype}"
    return [
        Case("3.8", f"{dtype} takes {sent} by row", (signature, f'{{"instances": [{sent}]}}'), text=f'{{"predictions":[{back}]}}'),
        Case("3.8", f"{dtype} takes {sent} by column", (signature, f'{{"inputs": [{sent}]}}'), text=f'{{"outputs":[{back}]}}'),
    ]


def _refused(dtype: str, sent: str, word: str) -> list[Case]:
    message = f"JSON Value: {sent} Type: {word} is not of expected type: {dtype}"
    return [
        Case("3.8", f"{dtype} refuses {sent} by column", (f"echo_{dtype}", f'{{"inputs": [{sent}]}}'), 400, error=message),
        Case("3.8", f"{dtype} refuses {sent} by row", (f"echo_{dtype}", f'{{"instances": [{sent}]}}'), 400,
             error=f"Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: {message}"),
    ]


_ACCEPTED = {
    "float": {"1": "1.0", "1.5": "1.5", "-2e3": "-2000.0", "1e39": "Infinity", "-1e39": "-Infinity", "NaN": "NaN",
              "-Infinity": "-Infinity", "16777217": "16777216.0", "18446744073709551616": "1.84467441e+19", "-0.0": "-0.0"},
    "double": {"1": "1.0", "0.1": "0.1", "1e300": "1e+300", "NaN": "NaN", "Infinity": "Infinity",
               "9007199254740993": "9007199254740992.0"},
    "int8": {"-128": "-128", "127": "127", "0": "0", "300": "44", "-129": "127"},
    "int16": {"-32768": "-32768", "32767": "32767", "40000": "-25536"},
    "int32": {"-2147483648": "-2147483648", "2147483647": "2147483647"},
    "uint8": {"0": "0", "255": "255", "300": "44", "-1": "255"},
    "int64": {"-9223372036854775808": "-9223372036854775808", "9223372036854775807": "9223372036854775807",
              "9007199254740993": "9007199254740993"},
    "uint32": {"0": "0", "4294967295": "4294967295"},
    "uint64": {"0": "0", "18446744073709551615": "18446744073709551615"},
    "bool": {"true": "true", "false": "false"},
    "string": {'"a"': '"a"', '""': '""', '{"b64":"YQ=="}': '"a"'},
}
_REFUSED = {
    "float": {'"1.0"': "String", "null": "Null", "true": "True", "false": "False"},
    "double": {'"NaN"': "String", "null": "Null"},
    "int8": {"1.0": "Number", '"1"': "String", "2147483648": "Number", "true": "True"},
    "int16": {"1.5": "Number", "-2147483649": "Number"},
    "int32": {"1.0": "Number", "2147483648": "Number", '"1"': "String", "null": "Null", "false": "False"},
    "uint8": {"1.0": "Number", "4294967296": "Number"},
    "int64": {"1.0": "Number", "9223372036854775808": "Number", "true": "True"},
    "uint32": {"-1": "Number", "4294967296": "Number", "1.0": "Number"},
    "uint64": {"-1": "Number", "1.0": "Number"},
    "bool": {"1": "Number", "0": "Number", '"true"': "String", "null": "Null"},
    "string": {"1": "Number", "true": "True", "null": "Null"},
}

TYPES = [case for dtype, pairs in _ACCEPTED.items() for pair in pairs.items() for case in _accepted(dtype, *pair)]
TYPES += [case for dtype, pairs in _REFUSED.items() for pair in pairs.items() for case in _refused(dtype, *pair)]
TYPES += [
    Case("3.8", "an object for a number", ("echo_float", '{"inputs": [{"a": 1}]}'), 400,
         error="JSON Value: {\n    \"a\": 1\n} Type: Object is not of expected type: float"),
    Case("3.8", "b64 for a number", ("echo_float", '{"inputs": {"b64": "aGk="}}'), 400,
         error="JSON Value: {\n    \"b64\": \"aGk=\"\n} Type: Object is not of expected type: float"),
    Case("3.8", "a long value is cut in the message", ("echo_float", '{"inputs": ["' + "x" * 100_000 + '"]}'), 400,
         error="JSON Value: \"xxx…"),
    Case("3.8", "uint64 over its range", ("echo_uint64", '{"inputs": [18446744073709551616]}'), 400,
         error="JSON Value: …Type: Number is not of expected type: uint64"),
    Case("3.8", "int64 in e-notation", ("echo_int64", '{"inputs": [1e3]}'), 400,
         error="JSON Value: …Type: Number is not of expected type: int64"),
    Case("3.8", "bad base64", ("echo_string", {"inputs": [{"b64": "a*b="}]}), 400, error="Unable to base64 decode"),
    Case("3.8", "bad base64 by row", ("echo_string", {"instances": [{"b64": "a*b="}]}), 400,
         error="Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: Unable to base64 decode"),
    Case("3.8", "base64 without padding", ("echo_string", {"inputs": [{"b64": "YQ"}, {"b64": "YWI"}]}), answer={"outputs": ["a", "ab"]}),
    Case("3.8", "base64 with white space", ("echo_string", {"inputs": [{"b64": " YW\nI= "}]}), answer={"outputs": ["ab"]}),
    Case("3.8", "base64 empty", ("echo_string", {"inputs": [{"b64": ""}]}), answer={"outputs": [""]}),
    Case("3.8", "base64 of the URL alphabet", ("echo_string", {"inputs": [{"b64": "_-_-"}]}), 400, error="Unable to base64 decode"),
    Case("3.8", "an object that is not b64", ("echo_string", {"inputs": [{"a": "b"}]}), 400,
         error="JSON Value: {\n    \"a\": \"b\"\n} not formatted correctly for base64 data"),
    Case("3.8", "b64 and another key", ("echo_string", {"inputs": [{"b64": "YQ==", "a": 1}]}), 400,
         error="JSON Value: {…} not formatted correctly for base64 data"),
    Case("3.8", "b64 of a number", ("echo_string", {"inputs": [{"b64": 5}]}), 400,
         error="JSON Value: {\n    \"b64\": 5\n} not formatted correctly for base64 data"),
    Case("3.8", "strings are UTF-8", ("echo_string", '{"inputs": ["\\u00e9", "é", "\\ud83d\\ude00", "a\\u0000b"]}'),
         answer={"outputs": ["é", "é", "😀", "a\0b"]}),
    Case("3.8", "escapes come back", ("echo_string", '{"inputs": ["\\"\\\\\\n\\t/\\u0001"]}'), answer={"outputs": ['"\\\n\t/\x01']}),
]
for _dtype in ("half", "bfloat16", "uint16", "complex64"):
    TYPES += [
        Case("3.8", f"{_dtype} takes nothing by column", (f"echo_{_dtype}", '{"inputs": [1.0]}'), 501,
             error=f"Conversion of JSON Value: 1.0 to type: {_dtype}"),
        Case("3.8", f"{_dtype} takes nothing by row", (f"echo_{_dtype}", '{"instances": [1.0]}'), 400,
             error="Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: Conversion of JSON Value: 1.0 to "
                   f"type: {_dtype}"),
    ]

ANSWERS = [
    Case("3.9", "scalar output by row", ("total", {"instances": [1.0, 2.0]}), 400, error="Tensor name: y has no shape information "),
    Case("3.9", "scalar output by column", ("total", {"inputs": [1.0, 2.0]}), answer={"outputs": 3.0}),
    Case("3.9", "batch sizes differ by row", ("first_row", {"instances": [1.0, 2.0]}), 400,
         error="Tensor name: …has inconsistent batch size: …expecting: "),
    Case("3.9", "batch sizes differ by column", ("first_row", {"inputs": [1.0, 2.0]}),
         answer={"outputs": {"all": [1.0, 2.0], "first": [1.0]}}),
    Case("3.9", "rows are the output's", ("twice", {"instances": [1.0, 2.0]}), answer={"predictions": [1.0, 2.0, 1.0, 2.0]}),
    Case("3.9", "no rows", ("none", {"instances": [1.0, 2.0]}), answer={"predictions": []}),
    Case("3.10", "float: six digits suffice", ("echo_float", "{\"inputs\": [0.1, 3, 2.5, 9000000, 0.00003, 123456, 1000000]}"),
         text='{"outputs":[0.1,3.0,2.5,9e+06,3e-05,123456.0,1e+06]}'),
    Case("3.10", "float: nine digits", ("echo_float", "{\"inputs\": [0.3333333333333333, 1234567, 123456789, 3.4028234663852886e38]}"),
         text='{"outputs":[0.333333343,1234567.0,123456792.0,3.40282347e+38]}'),
    Case("3.10", "float: the smallest", ("echo_float", "{\"inputs\": [1e-45, 1.1754943508222875e-38]}"),
         text='{"outputs":[1.4013e-45,1.17549435e-38]}'),
    Case("3.10", "double: six digits suffice", ("echo_double", "{\"inputs\": [0.1, 3, 1e22, 0.00003, -2.5]}"),
         text='{"outputs":[0.1,3.0,1e+22,3e-05,-2.5]}'),
    Case("3.10", "double: seventeen digits",
         ("echo_double", "{\"inputs\": [0.3333333333333333, 0.30000000000000004, 1234567, 1.7976931348623157e308]}"),
         text='{"outputs":[0.33333333333333331,0.30000000000000004,1234567.0,1.7976931348623157e+308]}'),
    Case("3.10", "not finite", ("echo_double", '{"inputs": [NaN, Infinity, -Infinity]}'), text='{"outputs":[NaN,Infinity,-Infinity]}'),
    Case("3.10", "a name that ends in _bytes", ("text", {"inputs": ["hi", ""]}),
         answer={"outputs": {"text": ["hi", ""], "text_bytes": [{"b64": "aGk="}, {"b64": ""}]}}),
    Case("3.10", "a name that ends in _bytes by row", ("text", {"instances": ["hi"]}),
         answer={"predictions": [{"text": "hi", "text_bytes": {"b64": "aGk="}}]}),
]
for _dtype in ("half", "bfloat16", "uint16", "complex64"):
    ANSWERS.append(
        Case("3.10", f"{_dtype} cannot be written", (f"to_{_dtype}", {"inputs": [1.0]}), 400,
             error=f"Failed to write JSON value for tensor type: {_dtype}"))

LAYOUT = [
    Case("3.11", "values by row", '{"instances": [3.0, 4.0, 7.0]}', text='{\n    "predictions": [3.5, 4.0, 5.5\n    ]\n}'),
    Case("3.11", "lists by row", '{"instances": [[3.0], [4.0]]}', text='{\n    "predictions": [[3.5], [4.0]\n    ]\n}'),
    Case("3.11", "values by column", '{"inputs": [3.0, 4.0]}', text='{\n    "outputs": [\n        3.5,\n        4.0\n    ]\n}'),
    Case("3.11", "lists by column", '{"inputs": [[3.0]]}', text='{\n    "outputs": [\n        [\n            3.5\n        ]\n    ]\n}'),
    Case("3.11", "a scalar by column", '{"inputs": 3.0}', text='{\n    "outputs": 3.5\n}'),
    Case("2.6", "an error", "[]", 400, text='{\n    "error": "JSON Value: [] Is not object"\n}'),
]

PREDICT = [*PARSING, *SIGNATURES, *ROW, *COLUMNAR, *SHAPES, *TYPES, *ANSWERS]

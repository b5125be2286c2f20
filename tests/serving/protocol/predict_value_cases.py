"""§3.8 to §3.11: what JSON each dtype takes, and how tensors are written. Requests as in `predict_form_cases`."""

from .cases import Case


def _accepted(dtype: str, sent: str, back: str) -> list[Case]:
    """`sent` in a list, in both forms, comes `back` through the echo."""
    signature = f"echo_{dtype}"
    return [
        Case(
            "3.8",
            f"{dtype} takes {sent} by row",
            (signature, f'{{"instances": [{sent}]}}'),
            text=f'{{"predictions":[{back}]}}',
        ),
        Case(
            "3.8",
            f"{dtype} takes {sent} by column",
            (signature, f'{{"inputs": [{sent}]}}'),
            text=f'{{"outputs":[{back}]}}',
        ),
    ]


def _refused(dtype: str, sent: str, word: str) -> list[Case]:
    message = f"JSON Value: {sent} Type: {word} is not of expected type: {dtype}"
    return [
        Case(
            "3.8", f"{dtype} refuses {sent} by column", (f"echo_{dtype}", f'{{"inputs": [{sent}]}}'), 400, error=message
        ),
        Case(
            "3.8",
            f"{dtype} refuses {sent} by row",
            (f"echo_{dtype}", f'{{"instances": [{sent}]}}'),
            400,
            error=f"Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: {message}",
        ),
    ]


# fmt: off
_ACCEPTED = {
    "float": {"1": "1.0", "1.5": "1.5", "-2e3": "-2000.0", "1e39": "Infinity", "-1e39": "-Infinity", "NaN": "NaN",
              "-Infinity": "-Infinity", "16777217": "16777216.0", "18446744073709551616": "1.84467441e+19",
              "-0.0": "-0.0"},
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
    Case("3.8", "base64 without padding", ("echo_string", {"inputs": [{"b64": "YQ"}, {"b64": "YWI"}]}),
         answer={"outputs": ["a", "ab"]}),
    Case("3.8", "base64 with white space", ("echo_string", {"inputs": [{"b64": " YW\nI= "}]}),
         answer={"outputs": ["ab"]}),
    Case("3.8", "base64 empty", ("echo_string", {"inputs": [{"b64": ""}]}), answer={"outputs": [""]}),
    Case("3.8", "base64 of the URL alphabet", ("echo_string", {"inputs": [{"b64": "_-_-"}]}), 400,
         error="Unable to base64 decode"),
    Case("3.8", "an object that is not b64", ("echo_string", {"inputs": [{"a": "b"}]}), 400,
         error="JSON Value: {\n    \"a\": \"b\"\n} not formatted correctly for base64 data"),
    Case("3.8", "b64 and another key", ("echo_string", {"inputs": [{"b64": "YQ==", "a": 1}]}), 400,
         error="JSON Value: {…} not formatted correctly for base64 data"),
    Case("3.8", "b64 of a number", ("echo_string", {"inputs": [{"b64": 5}]}), 400,
         error="JSON Value: {\n    \"b64\": 5\n} not formatted correctly for base64 data"),
    Case("3.8", "strings are UTF-8", ("echo_string", '{"inputs": ["\\u00e9", "é", "\\ud83d\\ude00", "a\\u0000b"]}'),
         answer={"outputs": ["é", "é", "😀", "a\0b"]}),
    Case("3.8", "escapes come back", ("echo_string", '{"inputs": ["\\"\\\\\\n\\t/\\u0001"]}'),
         answer={"outputs": ['"\\\n\t/\x01']}),
]
for _dtype in ("half", "bfloat16", "uint16", "complex64", "qint8"):
    TYPES += [
        Case("3.8", f"{_dtype} takes nothing by column", (f"echo_{_dtype}", '{"inputs": [1.0]}'), 501,
             error=f"Conversion of JSON Value: 1.0 to type: {_dtype}"),
        Case("3.8", f"{_dtype} takes nothing by row", (f"echo_{_dtype}", '{"instances": [1.0]}'), 400,
             error="Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: Conversion of JSON "
                   "Value: 1.0 to "
                   f"type: {_dtype}"),
    ]
TYPES += [
    Case("3.8", "not even nothing by column", ("echo_qint8", '{"inputs": []}'), 501,
         error="Conversion of JSON Value: [] to type: qint8"),
    Case("3.8", "not even nothing by row", ("echo_qint8", '{"instances": [[]]}'), 501,
         error="Conversion of JSON Value: [[]] to type: qint8"),
]

ANSWERS = [
    Case("3.9", "scalar output by row", ("total", {"instances": [1.0, 2.0]}), 400,
         error="Tensor name: y has no shape information "),
    Case("3.9", "scalar output by column", ("total", {"inputs": [1.0, 2.0]}), answer={"outputs": 3.0}),
    Case("3.9", "batch sizes differ by row", ("first_row", {"instances": [1.0, 2.0]}), 400,
         error="Tensor name: …has inconsistent batch size: …expecting: "),
    Case("3.9", "batch sizes differ by column", ("first_row", {"inputs": [1.0, 2.0]}),
         answer={"outputs": {"all": [1.0, 2.0], "first": [1.0]}}),
    Case("3.9", "rows are the output's", ("twice", {"instances": [1.0, 2.0]}),
         answer={"predictions": [1.0, 2.0, 1.0, 2.0]}),
    Case("3.9", "no rows", ("none", {"instances": [1.0, 2.0]}), answer={"predictions": []}),
    Case("3.10", "float: six digits suffice",
         ("echo_float", "{\"inputs\": [0.1, 3, 2.5, 9000000, 0.00003, 123456, 1000000]}"),
         text='{"outputs":[0.1,3.0,2.5,9e+06,3e-05,123456.0,1e+06]}'),
    Case("3.10", "float: nine digits",
         ("echo_float", "{\"inputs\": [0.3333333333333333, 1234567, 123456789, 3.4028234663852886e38]}"),
         text='{"outputs":[0.333333343,1234567.0,123456792.0,3.40282347e+38]}'),
    Case("3.10", "float: the smallest", ("echo_float", "{\"inputs\": [1e-45, 1.1754943508222875e-38]}"),
         text='{"outputs":[1.4013e-45,1.17549435e-38]}'),
    Case("3.10", "double: six digits suffice", ("echo_double", "{\"inputs\": [0.1, 3, 1e22, 0.00003, -2.5]}"),
         text='{"outputs":[0.1,3.0,1e+22,3e-05,-2.5]}'),
    Case("3.10", "double: seventeen digits",
         ("echo_double", "{\"inputs\": [0.3333333333333333, 0.30000000000000004, 1234567, 1.7976931348623157e308]}"),
         text='{"outputs":[0.33333333333333331,0.30000000000000004,1234567.0,1.7976931348623157e+308]}'),
    Case("3.10", "not finite", ("echo_double", '{"inputs": [NaN, Infinity, -Infinity]}'),
         text='{"outputs":[NaN,Infinity,-Infinity]}'),
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
    Case("3.11", "values by row", '{"instances": [3.0, 4.0, 7.0]}',
         text='{\n    "predictions": [3.5, 4.0, 5.5\n    ]\n}'),
    Case("3.11", "lists by row", '{"instances": [[3.0], [4.0]]}', text='{\n    "predictions": [[3.5], [4.0]\n    ]\n}'),
    Case("3.11", "values by column", '{"inputs": [3.0, 4.0]}',
         text='{\n    "outputs": [\n        3.5,\n        4.0\n    ]\n}'),
    Case("3.11", "lists by column", '{"inputs": [[3.0]]}',
         text='{\n    "outputs": [\n        [\n            3.5\n        ]\n    ]\n}'),
    Case("3.11", "a scalar by column", '{"inputs": 3.0}', text='{\n    "outputs": 3.5\n}'),
    Case("2.6", "an error", "[]", 400, text='{\n    "error": "JSON Value: [] Is not object"\n}'),
]
# fmt: on

VALUES = [*TYPES, *ANSWERS]

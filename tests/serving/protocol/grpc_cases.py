"""§5: gRPC requests to the model `many`, as protobuf text, and the errors they must get."""

from .cases import Case

_X = 'inputs {{ key: "{}" value {{ dtype: DT_FLOAT tensor_shape {{ dim {{ size: 1 }} }} float_val: 1 }} }}'
X, FOO = _X.format("x"), _X.format("foo")
MANY = 'model_spec { name: "many" } '


def _tensor(text: str) -> str:
    return f'{MANY}inputs {{ key: "x" value {{ {text} }} }}'


def packed(content: str) -> str:
    """Two strings in tensor_content: their lengths, then their bytes."""
    tensor = f'dtype: DT_STRING tensor_shape {{ dim {{ size: 2 }} }} tensor_content: "{content}"'
    return _signature("echo_string") + f'inputs {{ key: "x" value {{ {tensor} }} }}'


def _signature(name: str) -> str:
    return f'model_spec {{ name: "many" signature_name: "{name}" }} '


# fmt: off
PREDICT_ERRORS = [
    Case("5.2", "no model_spec", X, "INVALID_ARGUMENT", error="Missing ModelSpec"),
    Case("5.2", "empty request", "", "INVALID_ARGUMENT", error="Missing ModelSpec"),
    Case("5.2", "no name", "model_spec { } " + X, "INVALID_ARGUMENT", error="ModelSpec has no name specified."),
    Case("5.2", "unknown model", 'model_spec { name: "nope" } ' + X, "NOT_FOUND",
         error="Servable not found for request: Latest(nope)"),
    Case("5.2", "unknown version", 'model_spec { name: "many" version { value: 3 } } ' + X, "NOT_FOUND",
         error="Servable not found for request: Specific(many, 3)"),
    Case("5.2", "version 0", 'model_spec { name: "many" version { value: 0 } } ' + X, "NOT_FOUND",
         error="Servable not found for request: Specific(many, 0)"),
    Case("5.2", "version -1", 'model_spec { name: "many" version { value: -1 } } ' + X, "NOT_FOUND",
         error="Servable not found for request: Specific(many, -1)"),
    Case("5.2", "unknown label", 'model_spec { name: "many" version_label: "stable" } ' + X, "INVALID_ARGUMENT",
         error="Unrecognized servable version label: stable"),
    Case("5.2", "unknown label of an unknown model", 'model_spec { name: "nope" version_label: "stable" } ' + X,
         "INVALID_ARGUMENT",
         error="Unrecognized servable version label: stable"),
    Case("5.3", "unknown signature", _signature("foo") + X, "FAILED_PRECONDITION",
         error='Serving signature key "foo" not found.'),
    Case("5.3", "unknown signature comes before the inputs", _signature("foo"), "FAILED_PRECONDITION",
         error='Serving signature key "foo" not found.'),
    Case("5.4", "no input", MANY, "INVALID_ARGUMENT",
         error="input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: "
               "{x}."),
    Case("5.4", "too many inputs", MANY + X + FOO, "INVALID_ARGUMENT",
         error="input size does not match signature: 2!=1 len({foo,x}) != len({x}). Sent extra: {foo}. Missing but "
               "required: {}."),
    Case("5.4", "too few of two inputs", _signature("sum_and_product") + _X.format("b"), "INVALID_ARGUMENT",
         error="input size does not match signature: 1!=2 len({b}) != len({a,b}). Sent extra: {}. Missing but "
               "required: {a}."),
    Case("5.4", "wrong name", MANY + FOO, "INVALID_ARGUMENT",
         error="Signature input alias: x(feed name: x:0) not found in request and no default value provided. Inputs "
               "expected to "
               "be in the request {foo}, or default input alias set: "),
    Case("5.4", "an input without default is missing", _signature("with_default") + _X.format("scale"),
         "INVALID_ARGUMENT",
         error="Signature input alias: x(feed name: Placeholder_…:0) not found in request and no default value "
               "provided."),
    Case("5.5", "undefined dtype", _tensor("tensor_shape { dim { size: 1 } } float_val: 1"), "INVALID_ARGUMENT",
         error="tensor parsing error: x"),
    Case("5.5", "empty tensor", _tensor(""), "INVALID_ARGUMENT", error="tensor parsing error: x"),
    Case("5.5", "a dtype that is no dtype", _tensor("dtype: 77 tensor_shape { } float_val: 1"), "INVALID_ARGUMENT",
         error="tensor parsing error: x"),
    Case("5.5", "unknown rank", _tensor("dtype: DT_FLOAT tensor_shape { unknown_rank: true } float_val: 1"),
         "INVALID_ARGUMENT",
         error="tensor parsing error: x"),
    Case("5.5", "negative dimension", _tensor("dtype: DT_FLOAT tensor_shape { dim { size: -1 } } float_val: 1"),
         "INVALID_ARGUMENT",
         error="tensor parsing error: x"),
    Case("5.5", "content too short", _tensor('dtype: DT_FLOAT tensor_shape { dim { size: 2 } } tensor_content: "1234"'),
         "INVALID_ARGUMENT", error="tensor parsing error: x"),
    Case("5.5", "content too long",
         _tensor('dtype: DT_FLOAT tensor_shape { dim { size: 1 } } tensor_content: "12345678"'),
         "INVALID_ARGUMENT", error="tensor parsing error: x"),
    Case("5.5", "content not whole", _tensor('dtype: DT_FLOAT tensor_shape { dim { size: 1 } } tensor_content: "123"'),
         "INVALID_ARGUMENT", error="tensor parsing error: x"),
    Case("5.5", "packed strings, too short", packed(r"\001\002ab"), "INVALID_ARGUMENT",
         error="tensor parsing error: x"),
    Case("5.5", "packed strings, too long", packed(r"\001\002abcd"), "INVALID_ARGUMENT",
         error="tensor parsing error: x"),
    Case("5.5", "packed strings, a length missing", packed(r"\001"), "INVALID_ARGUMENT",
         error="tensor parsing error: x"),
    Case("5.5", "packed strings, a length without end", packed(r"\377" * 9), "INVALID_ARGUMENT",
         error="tensor parsing error: x"),
    Case("5.6", "int64 for float", _tensor("dtype: DT_INT64 tensor_shape { dim { size: 1 } } int64_val: 1"),
         "INVALID_ARGUMENT",
         error="Expects arg[0] to be float but int64 is provided"),
    Case("5.6", "double for float", _tensor("dtype: DT_DOUBLE tensor_shape { dim { size: 1 } } double_val: 1"),
         "INVALID_ARGUMENT",
         error="Expects arg[0] to be float but double is provided"),
    Case("5.6", "string for float", _tensor('dtype: DT_STRING tensor_shape { dim { size: 1 } } string_val: "1"'),
         "INVALID_ARGUMENT",
         error="Expects arg[0] to be float but string is provided"),
    Case("5.6", "an operation refuses", _signature("matmul") + 'inputs { key: "x" value { dtype: DT_FLOAT '
         "tensor_shape { dim { size: 1 } dim { size: 2 } } float_val: 1 } }", "INVALID_ARGUMENT",
         error="Matrix size-incompatible: In[0]: [1,2], In[1]: [3,2]…\n\t [[{{node product}}]]"),
    Case("5.7", "unknown output", MANY + X + 'output_filter: "foo"', "INVALID_ARGUMENT",
         error="output tensor alias not found in signature: foo Outputs expected to be in the set {y}."),
    Case("5.7", "an output twice", MANY + X + 'output_filter: "y" output_filter: "y"', "INVALID_ARGUMENT",
         error="duplicate output tensor alias: y"),
]

# Names in two alphabets: the limit counts bytes.
TRUNCATED = [MANY + _X.format("x" * 3000), MANY + _X.format("雪" * 1000)]

METADATA_ERRORS = [
    Case("5.13", "no model_spec", 'metadata_field: "signature_def"', "INVALID_ARGUMENT", error="Missing ModelSpec"),
    Case("5.13", "no field", MANY, "INVALID_ARGUMENT",
         error="GetModelMetadataRequest must specify at least one metadata_field"),
    Case("5.13", "other field", MANY + 'metadata_field: "weights"', "INVALID_ARGUMENT",
         error="Metadata field weights is not supported"),
    Case("5.13", "a good and an other field", MANY + 'metadata_field: "signature_def" metadata_field: "weights"',
         "INVALID_ARGUMENT",
         error="Metadata field weights is not supported"),
    Case("5.13", "unknown model", 'model_spec { name: "nope" } metadata_field: "signature_def"', "NOT_FOUND",
         error="Servable not found for request: Latest(nope)"),
    Case("5.13", "unknown version", 'model_spec { name: "many" version { value: 2 } } metadata_field: "signature_def"',
         "NOT_FOUND",
         error="Servable not found for request: Specific(many, 2)"),
    Case("5.13", "unknown label", 'model_spec { name: "many" version_label: "a" } metadata_field: "signature_def"',
         "INVALID_ARGUMENT",
         error="Unrecognized servable version label: a"),
    Case("5.13", "empty name", 'model_spec { } metadata_field: "signature_def"', "INVALID_ARGUMENT",
         error="ModelSpec has no name specified."),
]

STATUS_ERRORS = [
    Case("5.14", "no model_spec", "", "INVALID_ARGUMENT", error="Missing ModelSpec"),
    Case("5.14", "unknown model", 'model_spec { name: "nope" }', "NOT_FOUND",
         error="Could not find any versions of model nope"),
    Case("5.14", "unknown version", 'model_spec { name: "many" version { value: 2 } }', "NOT_FOUND",
         error="Could not find version 2 of model many"),
]

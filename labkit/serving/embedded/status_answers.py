"""Status and metadata as protobuf messages, and as the JSON that REST answers with."""

from typing import TYPE_CHECKING

from google.protobuf import json_format

from labkit.serving.embedded import json_answer
from labkit.serving.embedded.servable import Servable
from labkit.serving.embedded.versions import Version

if TYPE_CHECKING:
    from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse


def status_message(versions: list[Version]) -> "GetModelStatusResponse":
    """The GetModelStatus answer for `versions`, in their order."""
    from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse

    response = GetModelStatusResponse()
    for version in versions:
        entry = response.model_version_status.add(version=version.number, state=version.state.value)
        entry.status.error_code = version.error.code if version.error else 0
        entry.status.error_message = version.error.message if version.error else ""
    return response


def status_answer(versions: list[Version]) -> bytes:
    """The same as JSON; indented by one space, as upstream's."""
    fields = json_format.MessageToDict(
        status_message(versions), preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return json_answer.document(fields, indent=1)


def metadata_answer(servable: Servable) -> bytes:
    """Model name, version and all signatures as JSON."""
    from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap
    from tensorflow_serving.apis.model_pb2 import ModelSpec

    spec = ModelSpec(name=servable.name)
    spec.version.value = servable.version
    signatures = SignatureDefMap(signature_def=servable.definitions)
    as_dict = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
    return json_answer.document(
        {
            "model_spec": json_format.MessageToDict(spec, **as_dict),
            "metadata": {"signature_def": json_format.MessageToDict(signatures, **as_dict)},
        }
    )

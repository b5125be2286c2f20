"""REST predict, every rule of §3, in both of the sessions that the server can use."""

import pytest

from ..served import Served
from .cases import Case, begins, parameters, without_white_space
from .predict_form_cases import FORMS, body
from .predict_value_cases import LAYOUT, VALUES


@parameters([*FORMS, *VALUES])
def test_predict(many_both: Served, case: Case) -> None:
    answer = many_both.predict(body(case.request))
    assert answer.status == case.status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    if case.error is not None:
        assert begins(answer.error, case.error), f"\nexpected {case.error!r}\ngot      {answer.error[:500]!r}"
    elif case.text is not None:
        assert without_white_space(answer.text) == case.text
    else:
        assert answer.json == case.answer


@parameters(LAYOUT)
def test_layout(many: Served, case: Case) -> None:
    answer = many.predict(body(case.request))
    assert (answer.status, answer.text) == (case.status, case.text)


def test_what_a_message_quotes_is_cut(many: Served) -> None:
    """§3.2: at about 256 bytes, whatever is quoted."""
    for request in (
        '{"instances": ["' + "x" * 100_000 + '"]}',
        '{"instances": 1, "more": [' + "1.0, " * 100_000 + "1.0]}",
        '{"signature_name": {"a": "' + "é" * 100_000 + '"}}',
    ):
        answer = many.predict(request)
        assert answer.status == 400
        assert answer.error.startswith(("JSON Value: ", "Failed to process element: 0 of 'instances' list. Error: "))
        assert len(answer.error.encode()) < 1000


@pytest.mark.parametrize("runtime", ["c_api", "python"])
def test_an_image_with_too_few_dimensions(serve, saved_models, monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    """§3.7: the operation refuses it; with oneDNN's convolutions TensorFlow 2.21 ends the process instead."""
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)  # as in a shell, where nobody has set it
    server = serve("images", saved_models.convolution, f"--tensorflow_runtime={runtime}")
    for instances in ([[1.0, 2.0, 3.0]], [1.0], [[[1.0] * 4] * 4]):
        answer = server.predict({"instances": instances})
        assert answer.status == 400
        assert answer.error.startswith("convolution input must be 4-dimensional: [1"), answer.error
    image = [[[1.0]] * 4] * 4
    assert server.predict({"instances": [image]}).json == {"predictions": [[[[9.0]] * 2] * 2]}

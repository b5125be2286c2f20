"""REST predict, every rule of §3, in both of the sessions that the server can use."""

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

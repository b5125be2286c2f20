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

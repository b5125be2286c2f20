import pytest
from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.listing import order, selects
from labkit.cloud.local.status import ApiError

PENGUINS = types.Model(
    name="projects/1/locations/l/models/7", display_name="penguins", labels={"team": "birds", "a": ""}
)
JOB = types.BatchPredictionJob(display_name="job", state=types.JobState.JOB_STATE_SUCCEEDED)


@pytest.mark.parametrize(
    "filter",
    [
        "",
        'display_name="penguins"',
        "display_name = penguins",
        "display_name='penguins'",
        "display_name!=digits",
        "labels.team=birds",
        'labels.team="birds" AND display_name="penguins"',
        "labels.team:birds",
        "labels.team:*",
        "labels.a:*",
        "NOT labels.stage:*",
        "NOT labels.team=fish AND labels.team:*",
        'labels.stage!="old"',
        'displayName="penguins"',
        "display_name=digits OR display_name=penguins",
        "labels.team=birds AND display_name=digits OR display_name=penguins",
        "display_name=digits OR display_name=penguins AND labels.team=birds",
    ],
)
def test_a_filter_selects_what_it_describes(filter):
    assert selects(filter, PENGUINS)


@pytest.mark.parametrize(
    "filter",
    [
        'display_name="digits"',
        "labels.team=fish",
        "labels.stage:*",
        "labels.team=birds AND display_name=x",
        "labels.team=fish AND display_name=x OR display_name=penguins",
        "display_name=x OR displayName=y",
    ],
)
def test_a_filter_leaves_out_the_rest(filter):
    assert not selects(filter, PENGUINS)


def test_states_are_compared_by_name():
    assert selects('state="JOB_STATE_SUCCEEDED"', JOB)
    assert not selects('state="JOB_STATE_FAILED"', JOB)


@pytest.mark.parametrize(
    ("filter", "words"),
    [
        ('display_name="a" XOR display_name="b"', "XOR display_name"),
        ('display_name="a" OR', "not understood"),
        ("display_name", "not understood"),
        ('display_name="a', "not understood"),
        ("colour=red", "no field 'colour'"),
        ("display_name.x=1", "no field"),
    ],
)
def test_a_filter_that_is_not_understood_is_an_error_and_selects_nothing(filter, words):
    with pytest.raises(ApiError, match=words) as error:
        selects(filter, PENGUINS)
    assert error.value.http_status == 400


def test_order_by_several_fields():
    models = [
        types.Model(display_name=name, version_id=version) for name, version in [("b", "1"), ("a", "1"), ("a", "2")]
    ]
    ordered = order(models, "display_name, version_id desc")
    assert [(each.display_name, each.version_id) for each in ordered] == [("a", "2"), ("a", "1"), ("b", "1")]


@pytest.mark.parametrize("order_by", ["display_name backwards", "no_such", "labels"])
def test_an_order_that_is_not_understood_is_an_error(order_by):
    with pytest.raises(ApiError) as error:
        order([PENGUINS, types.Model(labels={"x": "y"})], order_by)
    assert error.value.http_status == 400

import pytest
from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.resources import Resources, new_id, page
from labkit.cloud.local.status import ApiError

PLACE = "projects/1/locations/us-central1"


@pytest.fixture
def resources():
    kept = Resources()
    for number in range(5):
        kept.add(types.Model(name=f"{PLACE}/models/{number}", display_name=f"model {number % 2}"))
    kept.add(types.Endpoint(name=f"{PLACE}/endpoints/1", display_name="model 1"))
    kept.add(types.Model(name="projects/1/locations/europe-west4/models/1", display_name="model 1"))
    return kept


def test_what_is_kept_has_times_and_an_etag_that_changes(resources):
    model = resources.get(f"{PLACE}/models/1")
    etag = model.etag
    assert model.create_time
    assert etag
    resources.changed(model)
    assert model.etag != etag
    assert model.update_time >= model.create_time


def test_a_list_has_one_kind_in_one_place_newest_first(resources):
    found = resources.list(PLACE, types.Model, 'display_name="model 1"')
    assert [each.name for each in found] == [f"{PLACE}/models/3", f"{PLACE}/models/1"]
    assert [each.name[-1] for each in resources.list(PLACE, types.Model, order_by="create_time")] == list("01234")


def test_what_is_not_there_is_named(resources):
    with pytest.raises(ApiError, match=r"Endpoint .*endpoints/9 is not found"):
        resources.get(f"{PLACE}/endpoints/9")
    resources.remove(f"{PLACE}/models/1")
    with pytest.raises(ApiError, match=r"Model .*models/1 is not found"):
        resources.get(f"{PLACE}/models/1")


def test_pages_follow_one_another(resources):
    items, token, seen = resources.list(PLACE, types.Model), "", []
    while True:
        request = types.ListModelsRequest(page_size=2, page_token=token)
        part = page(items, request, types.ListModelsResponse, "models")
        seen.append(len(part.models))
        token = part.next_page_token
        if not token:
            break
    assert seen == [2, 2, 1]


def test_a_page_token_of_someone_elses_is_refused():
    with pytest.raises(ApiError, match="'x'"):
        page([], types.ListModelsRequest(page_token="x"), types.ListModelsResponse, "models")


def test_ids_are_19_digits_and_different():
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(each) == 19 and each.isdecimal() for each in ids)

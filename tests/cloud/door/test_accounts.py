import json

import pytest

from labkit.cloud.local.accounts import Hosts
from labkit.cloud.local.http_messages import HttpAnswer, HttpRequest


@pytest.fixture
def hosts():
    found = Hosts("penguin-lab", "123")
    found.add("storage.googleapis.com", lambda request: HttpAnswer(body=b"storage"))
    found.add("aiplatform.googleapis.com", lambda request: HttpAnswer(body=b"vertex"))
    return found


def asked(hosts, url, method="GET", body=b""):
    host, _, path = url.partition("/")
    return hosts.answer(HttpRequest(method, host, f"/{path}", body=body))


@pytest.mark.parametrize(
    ("url", "who"),
    [
        ("storage.googleapis.com/lab/x", b"storage"),
        ("lab.storage.googleapis.com/x", b"storage"),
        ("STORAGE.googleapis.com/lab/x", b"storage"),
        ("www.googleapis.com/storage/v1/b/lab", b"storage"),
        ("www.googleapis.com/upload/storage/v1/b/lab/o", b"storage"),
        ("www.googleapis.com/download/storage/v1/b/lab/o/x", b"storage"),
        ("www.googleapis.com/batch/storage/v1", b"storage"),
        ("storage.mtls.googleapis.com/lab/x", b"storage"),
        ("aiplatform.googleapis.com/v1/projects/p", b"vertex"),
        ("us-central1-aiplatform.googleapis.com/v1/projects/p", b"vertex"),
    ],
)
def test_hosts_are_answered_by_what_stands_for_them(hosts, url, who):
    assert asked(hosts, url).body == who


@pytest.mark.parametrize(
    "url",
    [
        "bigquery.googleapis.com/bigquery/v2/projects",
        "mystorage.googleapis.com/",
        "www.googleapis.com/drive/v3/files",
        "cloudresourcemanager.googleapis.com/v1/organizations/1",
        "oauth2.googleapis.com/revoke",
    ],
)
def test_what_is_not_there_says_so(hosts, url):
    answer = asked(hosts, url)
    error = json.loads(answer.body)["error"]
    assert answer.status == error["code"] == 404
    assert error["status"] == "NOT_FOUND"
    assert url.partition("/")[0] in error["message"] and "not part of the local cloud" in error["message"]


@pytest.mark.parametrize("url", ["oauth2.googleapis.com/token", "www.googleapis.com/oauth2/v4/token"])
@pytest.mark.parametrize("grant", ["urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer", "refresh_token"])
def test_a_token_is_given(hosts, url, grant):
    answer = asked(hosts, url, "POST", f"assertion=x&grant_type={grant}".encode())
    token = json.loads(answer.body)
    assert answer.status == 200 and token["access_token"] and token["expires_in"] > 3000


@pytest.mark.parametrize("body", [b"", b"{]", b"grant_type=password", b"\xff"])
def test_another_way_to_a_token_is_refused_in_words(hosts, body):
    answer = asked(hosts, "oauth2.googleapis.com/token", "POST", body)
    assert answer.status == 400
    assert json.loads(answer.body)["error"] == "unsupported_grant_type"
    assert "jwt-bearer" in json.loads(answer.body)["error_description"]


def test_no_location_is_out_of_bounds(hosts):
    url = "iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/lab@p.iam.gserviceaccount.com/allowedLocations"
    assert json.loads(asked(hosts, url).body) == {"locations": [], "encodedLocations": "0x0"}


@pytest.mark.parametrize("project", ["penguin-lab", "123"])
def test_the_project_is_known_by_id_and_by_number(hosts, project):
    first = json.loads(asked(hosts, f"cloudresourcemanager.googleapis.com/v1/projects/{project}").body)
    assert (first["projectId"], first["projectNumber"]) == ("penguin-lab", "123")
    third = json.loads(asked(hosts, f"cloudresourcemanager.googleapis.com/v3/projects/{project}").body)
    assert (third["projectId"], third["name"]) == ("penguin-lab", "projects/123")


def test_someone_elses_project_is_refused(hosts):
    answer = asked(hosts, "cloudresourcemanager.googleapis.com/v1/projects/other")
    assert answer.status == 403
    assert "project of this session is penguin-lab" in json.loads(answer.body)["error"]["message"]

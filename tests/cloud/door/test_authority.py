import json
import os
import socket
import ssl
import stat
import threading
from datetime import timedelta
from pathlib import Path

import certifi
import pytest
import requests
from google.oauth2 import service_account

from labkit.cloud.local.authority import Authority, is_google
from labkit.cloud.local.certificates import issue
from labkit.errors import EnvironmentProblem

CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in (*CA_VARIABLES, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "cloud")


def shaken(authority, host, bundle):
    """The protocol of a connection to `host` by a strict client that trusts `bundle`."""
    client, server = socket.socketpair()
    with client, server:
        answering = threading.Thread(target=lambda: serve(authority, server))
        answering.start()
        context = ssl.create_default_context(cafile=bundle)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
        context.set_alpn_protocols(["h2", "http/1.1"])
        try:
            with context.wrap_socket(client, server_hostname=host) as connection:
                return connection.selected_alpn_protocol()
        finally:
            client.close()
            answering.join()


def serve(authority, server):
    try:
        authority.server_context().wrap_socket(server, server_side=True).close()
    except OSError:
        server.close()


@pytest.mark.parametrize(
    "host",
    [
        "googleapis.com",
        "oauth2.googleapis.com",
        "us-central1-aiplatform.googleapis.com",
        "lab.storage.googleapis.com",
        "7.aiplatform.googleapis.com",
        "storage.mtls.googleapis.com",
    ],
)
def test_a_strict_client_believes_googles_hosts_and_speaks_http_1(authority, host):
    bundle = authority.environment(1, "p")["SSL_CERT_FILE"]
    assert shaken(authority, host, bundle) == "http/1.1"


def test_other_hosts_are_not_believed(authority):
    bundle = authority.environment(1, "p")["SSL_CERT_FILE"]
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(authority, "example.com", bundle)


def test_who_does_not_have_the_bundle_does_not_believe_it(authority):
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(authority, "storage.googleapis.com", certifi.where())


def test_an_authority_vouches_for_nothing_but_google(tmp_path):
    authority = Authority(tmp_path / "cloud")
    forged = issue(["example.com"], "googleapis.com", timedelta(days=1))
    (authority.folder / "certificate.pem").write_bytes(forged.key + forged.certificate)
    (tmp_path / "trusted.pem").write_bytes(forged.authority)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        shaken(authority, "example.com", tmp_path / "trusted.pem")


def test_all_that_lies_in_the_folder_is_for_its_owner_only(authority):
    authority.environment(1, "p")
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in authority.folder.iterdir()}
    assert len(modes) >= 3 and set(modes.values()) == {0o600}, modes


@pytest.mark.skipif(os.name != "posix", reason="rights of files are POSIX's")
@pytest.mark.parametrize("kind", ["readable", "file", "link"])
def test_a_folder_that_others_may_get_at_is_refused(tmp_path, kind):
    folder = tmp_path / "cloud"
    if kind == "readable":
        folder.mkdir(mode=0o755)
    elif kind == "link":
        (tmp_path / "mine").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "mine")
    else:
        folder.touch()
    with pytest.raises((EnvironmentProblem, FileExistsError), match="cloud"):
        Authority(folder)


def test_a_later_cloud_in_the_same_folder_is_believed_by_who_believed_the_first(tmp_path):
    bundle = Authority(tmp_path / "cloud").environment(1, "p")["SSL_CERT_FILE"]
    kept = tmp_path / "as read by a kernel.pem"
    kept.write_bytes(Path(bundle).read_bytes())
    assert shaken(Authority(tmp_path / "cloud"), "storage.googleapis.com", kept) == "http/1.1"


def test_what_was_trusted_before_is_trusted_still(authority, tmp_path, monkeypatch):
    company = Authority(tmp_path / "company")
    (tmp_path / "company.pem").write_bytes((company.folder / "authority.pem").read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "company.pem"))
    bundle = authority.environment(1, "p")["SSL_CERT_FILE"]
    assert shaken(company, "storage.googleapis.com", bundle) == "http/1.1"
    public = ssl.create_default_context(cafile=certifi.where()).get_ca_certs(binary_form=True)
    assert set(public) <= set(ssl.create_default_context(cafile=bundle).get_ca_certs(binary_form=True))


def test_environment_names_a_bundle_for_every_client_and_the_proxy_with_its_secret(authority):
    environment = authority.environment(4567, "penguin-lab")
    assert {environment[name] for name in CA_VARIABLES} == {str(authority.bundle)}
    proxy = f"http://labkit:{authority.secret}@127.0.0.1:4567"
    assert environment["HTTPS_PROXY"] == environment["https_proxy"] == environment["grpc_proxy"] == proxy
    assert environment["GOOGLE_CLOUD_PROJECT"] == "penguin-lab"


@pytest.mark.parametrize("exempt", ["*", "googleapis.com", ".googleapis.com", "*.google.com,com", "apis.com:443"])
def test_no_exemption_from_proxies_leads_past_ours_to_google(authority, monkeypatch, exempt):
    monkeypatch.setenv("NO_PROXY", f"intranet.example,{exempt},10.0.0.0/8")
    environment = authority.environment(1, "p")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert requests.utils.should_bypass_proxies("https://storage.googleapis.com/", no_proxy=None) is False
    assert requests.utils.should_bypass_proxies("https://intranet.example/", no_proxy=None) is True
    assert requests.utils.should_bypass_proxies("http://127.0.0.1:8501/", no_proxy=None) is True


def test_the_account_is_one_that_googles_library_can_sign_with(authority):
    file = authority.environment(1, "penguin-lab")["GOOGLE_APPLICATION_CREDENTIALS"]
    credentials = service_account.Credentials.from_service_account_file(file)
    assert credentials.project_id == "penguin-lab"
    assert len(credentials.sign_bytes(b"x")) == 256


def test_the_account_follows_the_project(authority):
    authority.environment(1, "first")
    file = authority.environment(1, "second")["GOOGLE_APPLICATION_CREDENTIALS"]
    assert json.loads(Path(file).read_bytes())["project_id"] == "second"


def test_each_run_has_its_own_secret(tmp_path):
    assert Authority(tmp_path / "cloud").secret != Authority(tmp_path / "cloud").secret


@pytest.mark.parametrize("host", ["googleapis.com", "Storage.GoogleAPIs.com", "a.b.googleapis.com", "googleapis.com."])
def test_googles_hosts(host):
    assert is_google(host)


@pytest.mark.parametrize("host", ["google.com", "notgoogleapis.com", "googleapis.com.example", "127.0.0.1", ""])
def test_other_hosts(host):
    assert not is_google(host)

"""A session in a real project: asks before money is spent, and removes what it made, also after a lost notebook."""

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from labkit import processes
from labkit.cloud.session import LABEL, Cloud
from labkit.errors import CloudError

if TYPE_CHECKING:
    from google.cloud import storage

    from labkit.cloud.leftovers import Leftovers

LOG_IN = "gcloud auth application-default login"
# What tells a process that cleans up who its user is and how Google is reached.
_ACCOUNT = ("CLOUDSDK_", "CURL_", "GOOGLE_", "GRPC_", "HTTPS_", "https_", "NO_", "no_", "REQUESTS_", "SSL_", "grpc_")
_agreed: set[str] = set()


def start(project: str, location: str, bucket: str | None = None) -> Cloud:
    """A session in a real project; see `labkit.cloud.cloud`.

    Raises:
        CloudError: there is no account, it may not use the project, nobody agreed to the costs, or no such bucket.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    run = f"{datetime.now(UTC):%Y%m%d-%H%M}-{secrets.token_hex(4)}"
    try:
        from labkit.cloud.leftovers import Leftovers

        leftovers = Leftovers(project, location)
        earlier = leftovers.find()
        _agree(project, location, bucket or f"{LABEL}-{run}", len(earlier))
        with ExitStack() as undo:
            session = undo.enter_context(_cleaned_up_after_a_crash(project, location, run))
            undo.callback(_clean_up, leftovers, run, session)
            name = _bucket(project, location, bucket, run)
            return Cloud(project, location, name, run, local=False, undo=undo.pop_all())
    except GoogleAuthError as error:
        words = f"Google does not know who you are: {error}\nRun `{LOG_IN}` in a terminal, then try again."
        raise CloudError(words) from None
    except GoogleAPIError as error:
        raise CloudError(_refusal(project, location, error)) from None


def _refusal(project: str, location: str, error: Exception) -> str:
    return (
        f"Google refused a session in project {project!r}, location {location!r}: {error}\n"
        f"The account must be allowed to use Vertex AI and Cloud Storage there, and both must be switched on: "
        f"gcloud services enable aiplatform.googleapis.com storage.googleapis.com --project {project}"
    )


def _agree(project: str, location: str, bucket: str, earlier: int) -> None:
    """Say what costs money, and ask once for each project."""
    print(
        f"This session works in the real project {project}, {location}. What it makes there costs money:\n"
        "- endpoints: every node by the hour while a model is deployed, asked or not\n"
        "- batch prediction and training: every node while it runs\n"
        f"- storage: what lies in gs://{bucket}\n"
        f"stop() removes all that has its labels. After a crash: labkit cloud clean --project {project}"
    )
    if earlier:
        print(f"Earlier sessions left {earlier} things there: labkit cloud list --project {project}")
    if project in _agreed or os.environ.get("LABKIT_CLOUD_YES") == "1":
        return
    try:
        answer = input("Go on? [y/N] ")
    except (EOFError, RuntimeError):  # no terminal; a kernel that cannot ask
        words = f"Nobody could be asked whether project {project} may be used. LABKIT_CLOUD_YES=1 says yes."
        raise CloudError(words) from None
    if answer.strip().lower() not in ("y", "yes"):
        raise CloudError(f"Project {project} is not to be used (the answer was {answer!r}); nothing was made there.")
    _agreed.add(project)


def _bucket(project: str, location: str, name: str | None, run: str) -> str:
    from google.api_core.exceptions import NotFound
    from google.cloud import storage

    client = storage.Client(project)
    if name is None:
        return _new_bucket(client, location, run)
    try:
        return client.get_bucket(name).name
    except NotFound:
        raise CloudError(f"There is no bucket {name!r}. Leave bucket out, and one is made for the session.") from None


def _new_bucket(client: "storage.Client", location: str, run: str) -> str:
    bucket = client.bucket(f"{LABEL}-{run}")
    bucket.labels = {LABEL: run}
    bucket.iam_configuration.uniform_bucket_level_access_enabled = True
    bucket.soft_delete_policy.retention_duration_seconds = 0  # what is removed costs nothing any more
    return client.create_bucket(bucket, location=location).name


def _clean_up(leftovers: "Leftovers", run: str, session: Path) -> None:
    """Remove all that the session made.

    Raises:
        CloudError: some of it is still there, or nobody knows.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    advice = f"Try again: labkit cloud clean --project {leftovers.project} --label {run}"
    try:
        failed = leftovers.remove(leftovers.find(run))
    except (GoogleAPIError, GoogleAuthError) as error:
        words = f"Google did not list what this session made, which may cost money: {error}"
        raise CloudError(f"{words}\n{advice}") from None
    if failed:
        lines = [f"- {one.kind} {one.name}: {why}" for one, why in failed.items()]
        raise CloudError("\n".join(["These could not be removed and may cost money:", *lines, advice]))
    session.unlink()


@contextmanager
def _cleaned_up_after_a_crash(project: str, location: str, run: str) -> Iterator[Path]:
    """However this process ends, what the session made is removed, as long as the file that is handed out is there."""
    account = {name: value for name, value in os.environ.items() if name.startswith(_ACCOUNT)}
    session = processes.folder() / f"session-{run}.json"
    session.touch(mode=0o600)
    session.write_text(json.dumps(account), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "labkit", "cloud", "clean", "--yes", "--project", project]
    command += ["--location", location, "--label", run, "--session-file", str(session)]
    idle = [sys.executable, "-c", "import threading; threading.Event().wait()"]
    process = processes.start(idle, name="session", afterwards=command)
    try:
        yield session
    finally:
        if not session.exists():
            process.stop()

"""Google credentials: found or refused at once, and what a bucket's answers mean, each error with its commands."""

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mondegreen.errors import CloudError

READ = ("storage.objects.get", "storage.objects.list")
WRITE = (*READ, "storage.objects.create", "storage.objects.delete")
"""The permissions that reading and writing need; the roles objectViewer and objectUser have them."""


def named_file() -> str:
    """Return the key file that the environment names, or ''."""
    return os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")


def find(project: str | None, file: str | None) -> Any:
    """Return Google credentials from a key file or the environment; raises `CloudError` where there are none."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    scopes = ["https://www.googleapis.com/auth/devstorage.read_write"]
    named = file or named_file()
    if named and not Path(named).expanduser().is_file():
        where = "credentialpath of .dvc/config.local" if file else "GOOGLE_APPLICATION_CREDENTIALS"
        raise CloudError(
            f"{where} names {named}, which is no file: correct it, or 'gcloud auth application-default login'"
        )
    try:
        found, own = _of_file(Path(file).expanduser(), scopes) if file else google.auth.default(scopes=scopes)
    except (DefaultCredentialsError, ValueError) as error:
        why = "" if not named else f" in {named}: {': '.join(map(str, error.args))[:300]}"
        raise CloudError(
            f"there are no Google credentials here{why}: 'gcloud auth application-default login', or set "
            f"GOOGLE_APPLICATION_CREDENTIALS=/path/to/key.json"
        ) from error
    if project and own and own != project:
        raise CloudError(
            f"the credentials are of project {own}, the environment asks for {project}: "
            f"'gcloud config set project {project} && gcloud auth application-default login', or correct "
            f"projectname in .dvc/config"
        )
    return found


def _of_file(path: Path, scopes: list[str]) -> tuple[Any, str | None]:
    """Return the credentials of a service account's or a person's key file, and its project; raises `ValueError`."""
    from google.oauth2 import credentials, service_account

    fields = json.loads(path.read_text(encoding="utf-8"))
    if fields.get("type") == "service_account":
        return service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            fields, scopes=scopes
        ), fields.get("project_id")
    return credentials.Credentials.from_authorized_user_info(  # type: ignore[no-untyped-call]
        fields, scopes=scopes
    ), fields.get("quota_project_id")


def no_bucket(bucket: str) -> CloudError:
    """Return the error for a bucket that is not there."""
    return CloudError(
        f"there is no bucket gs://{bucket}: 'gcloud storage buckets create gs://{bucket} "
        f"--uniform-bucket-level-access' makes it; 'mondegreen environment' shows which are configured"
    )


def refused(bucket: str, why: object) -> CloudError:
    """Return the error for credentials that Google does not accept."""
    return CloudError(
        f"Google refuses the credentials for gs://{bucket} ({message(str(why))[:200]}): "
        f"'gcloud auth application-default login' renews them"
    )


def forbidden(bucket: str, account: Any, why: str = "", lacking: Collection[str] = WRITE) -> CloudError:
    """Return the error for permissions that are `lacking`."""
    email = getattr(account, "service_account_email", None)
    member = f"serviceAccount:{email}" if email else "user:YOU@example.com"
    role = "objectUser" if set(lacking) - set(READ) else "objectViewer"
    said = f" ({message(why)[:300]})" if why else ""
    return CloudError(
        f"no permission on gs://{bucket}{said}: {', '.join(lacking)}. Its owner grants it: gcloud storage buckets "
        f"add-iam-policy-binding gs://{bucket} --member={member} --role=roles/storage.{role}"
    )


def is_refusal(error: Exception) -> bool:
    """Tell whether Google refused to make or renew a token."""
    from gcsfs.retry import HttpError, NonRetryableError
    from google.auth.exceptions import GoogleAuthError

    return isinstance(error, GoogleAuthError | NonRetryableError) or (
        isinstance(error, HttpError) and error.code == 401
    )


def is_outage(error: Exception) -> bool:
    """Tell whether a token could not be had because nobody answered."""
    from google.auth.exceptions import GoogleAuthError, TransportError

    cause = error if isinstance(error, GoogleAuthError) else error.__cause__
    return isinstance(cause, TransportError) or bool(isinstance(cause, GoogleAuthError) and cause.retryable)


def message(text: str) -> str:
    """Return the message inside an answer of the service, or the text itself."""
    try:
        error = json.loads(text)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return text.strip()

"""What is wrong with a bucket or the way to it is said at once, with the command that mends it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cloud import Emulator, Faults, Proxy
from mondegreen.cloud import Bucket
from mondegreen.errors import CloudError


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator("bucket") as made:
        yield made


@pytest.fixture
def cloud(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the emulator that this process takes for Google's cloud, and no credentials."""
    with Proxy(emulator) as proxy:
        for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in ("STORAGE_EMULATOR_HOST", "NO_GCE_CHECK", "NO_PROXY"):
            monkeypatch.setenv(name, proxy.env(tmp_path)[name])
        yield proxy


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*kinds).decode()


@pytest.fixture
def key_file(private_key: str, cloud: Proxy, tmp_path: Path) -> Path:
    """A service account's key of the project `theirs`, whose tokens come through the proxy."""
    path = tmp_path / "key.json"
    fields = {
        "type": "service_account",
        "project_id": "theirs",
        "private_key_id": "1",
        "private_key": private_key,
        "client_email": "agent@theirs.iam.gserviceaccount.com",
        "token_uri": f"{cloud.url}/token",
    }
    path.write_text(json.dumps(fields))
    return path


def test_a_usable_bucket_passes_with_one_request(cloud: Proxy):
    Bucket("gs://bucket/data_versions").check()
    assert len(cloud.requests) == 1


def test_no_credentials(cloud: Proxy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    with pytest.raises(CloudError, match=r"no Google credentials here: 'gcloud auth application-default login'"):
        Bucket("gs://bucket/data_versions")


@pytest.mark.parametrize("by", ["environment", "remote"])
def test_a_key_file_that_is_not_there(by: str, cloud: Proxy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/gone/key.json" if by == "environment" else "")
    with pytest.raises(CloudError, match=r"names /gone/key.json, which is no file: correct it"):
        Bucket("gs://bucket", key_file="/gone/key.json" if by == "remote" else None)
    assert cloud.requests == [], "a missing file is not sent out as a token"


def test_a_key_file_that_is_none(cloud: Proxy, tmp_path: Path):
    (tmp_path / "key.json").write_text("{}")
    with pytest.raises(CloudError, match=r"no Google credentials here in .*key.json: .*gcloud auth"):
        Bucket("gs://bucket", key_file=str(tmp_path / "key.json"))


def test_credentials_of_another_project(cloud: Proxy, key_file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))
    with pytest.raises(CloudError, match=r"are of project theirs, .* asks for ours: 'gcloud config set project ours"):
        Bucket("gs://bucket", project="ours")
    assert cloud.requests == []


def test_credentials_that_google_refuses(cloud: Proxy, key_file: Path):
    cloud.faults = Faults(match="/token", status=400, body='{"error": "invalid_grant"}')
    with pytest.raises(
        CloudError, match=r"refuses the credentials for gs://bucket .*gcloud auth application-default login"
    ):
        Bucket("gs://bucket", key_file=str(key_file)).check()
    assert cloud.count("bucket") == 0


def test_a_token_that_the_service_refuses(cloud: Proxy):
    cloud.faults = Faults(status=401, body="Invalid Credentials")
    with pytest.raises(CloudError, match=r"refuses the credentials for gs://bucket \(Invalid Credentials\)"):
        Bucket("gs://bucket").check()


def test_a_bucket_that_is_not_there(cloud: Proxy):
    with pytest.raises(CloudError, match=r"no bucket gs://nowhere: 'gcloud storage buckets create gs://nowhere"):
        Bucket("gs://nowhere/data_versions").check()


def test_no_permission_at_all(cloud: Proxy):
    cloud.faults = Faults(status=403, body="Billing of project theirs is closed")
    with pytest.raises(CloudError, match=r"no permission on gs://bucket \(Billing of project theirs is closed\)"):
        Bucket("gs://bucket").check()


def test_some_permissions_lack_and_the_service_account_is_named(cloud: Proxy, key_file: Path):
    token = '{"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}'
    granted = '{"permissions": ["storage.objects.get", "storage.objects.list"]}'
    cloud.faults = Faults(match="/token", status=200, body=token)
    bucket = Bucket("gs://bucket", key_file=str(key_file))
    bucket.check()
    assert cloud.count("/token") == 1
    cloud.faults = Faults(match="testPermissions", status=200, body=granted)
    bucket.check(write=False)
    with pytest.raises(CloudError) as caught:
        bucket.check()
    assert "storage.objects.create, storage.objects.delete. Its owner grants it: gcloud storage buckets" in str(
        caught.value
    )
    assert "--member=serviceAccount:agent@theirs.iam.gserviceaccount.com --role=roles/storage.objectUser" in str(
        caught.value
    )


def test_a_busy_service_is_asked_again(cloud: Proxy):
    cloud.faults = Faults(status=429, retry_after=1, times=1)
    Bucket("gs://bucket").check()
    assert len(cloud.requests) == 2

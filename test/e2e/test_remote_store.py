"""The gateway with a real MinIO as its store."""
import os
import re

import pytest
from botocore.exceptions import ClientError

from arca import Arca, wait_until
from minio import Minio

SIZES = [0, 1, 4096, 70_000, 8 << 20, (20 << 20) + 17]


@pytest.fixture(scope="module")
def minio(tmp_path_factory):
    store = Minio(tmp_path_factory.mktemp("minio")).start()
    yield store
    store.kill()


@pytest.fixture
def gateway(minio, tmp_path):
    """Each with a prefix of its own in the same bucket."""
    arca = Arca(tmp_path / "arca", backends=[minio.settings("minio", prefix=f"gateway/{tmp_path.name}", timeout="4s")],
                placements=[{"name": "default", "backends": ["minio"], "write_quorum": 1}], garbage_grace="0s").start()
    arca.boto3().create_bucket(Bucket="clinic")
    yield arca
    arca.stop()


def unless_refused(call, **arguments):
    try:
        return call(**arguments)
    except ClientError:
        return None


def test_objects(gateway, minio, tmp_path):
    client = gateway.boto3()
    marker = b"a name that must not be readable"
    bodies = {f"report-{size}": (marker + os.urandom(size))[:size] for size in SIZES}
    for key, body in bodies.items():
        client.put_object(Bucket="clinic", Key=key, Body=body)
    for key, body in bodies.items():
        assert client.get_object(Bucket="clinic", Key=key)["Body"].read() == body
    big = f"report-{SIZES[-1]}"
    answer = client.get_object(Bucket="clinic", Key=big, Range="bytes=8388600-16777300")
    assert answer["Body"].read() == bodies[big][8388600:16777301]

    prefix = f"gateway/{tmp_path.name}/"
    stored = minio.keys_of(prefix)
    assert stored
    for key in stored:
        assert re.fullmatch(re.escape(prefix) + "[0-9a-f]{2}/[0-9a-f]{40}", key)
        data = minio.read(key)
        assert marker not in data and b"report" not in data

    for key in bodies:
        client.delete_object(Bucket="clinic", Key=key)
    wait_until(lambda: not minio.keys_of(prefix), what="all is collected")


def test_store_that_goes_away(gateway, minio):
    client = gateway.boto3()
    client.put_object(Bucket="clinic", Key="before", Body=b"x" * 100_000)
    minio.kill()
    try:
        with pytest.raises(ClientError) as error:
            client.put_object(Bucket="clinic", Key="while", Body=b"y")
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        with pytest.raises(ClientError) as error:
            client.get_object(Bucket="clinic", Key="before")["Body"].read()
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    finally:
        minio.start()

    wait_until(lambda: unless_refused(client.put_object, Bucket="clinic", Key="after", Body=b"z"), what="it stores again")
    assert client.get_object(Bucket="clinic", Key="before")["Body"].read() == b"x" * 100_000


def test_store_that_stands_still(gateway, minio):
    client = gateway.boto3()
    client.put_object(Bucket="clinic", Key="before", Body=b"x")
    minio.freeze()
    try:
        with pytest.raises(ClientError) as error:
            client.put_object(Bucket="clinic", Key="while", Body=b"y")
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    finally:
        minio.thaw()
    answer = wait_until(lambda: unless_refused(client.get_object, Bucket="clinic", Key="before"), what="it reads again")
    assert answer["Body"].read() == b"x"

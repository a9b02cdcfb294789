"""Stores that freeze, die and fill up behind a gateway: clients notice nothing while the quorum holds, and are told to come
back when it does not."""
import http.client
import json
import os
import random
import re
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from arca import Arca, wait_until
from minio import Minio

HEALTHY, DEGRADED, DOWN = 0, 1, 2
SIZES = [100, 70_000, 3 << 20]


def metric(gateway, name, backend):
    with urllib.request.urlopen(f"{gateway.admin}/-/metrics") as answer:
        text = answer.read().decode()
    values = re.findall(rf'^{name}\{{backend="{backend}"[^}}]*\}} ([0-9.e+-]+)$', text, re.M)
    return sum(float(value) for value in values)


def wait_for_state(gateway, backend, *states):
    wait_until(lambda: metric(gateway, "arca_backend_state", backend) in states, what=f"{backend} is in {states}")


def readiness(gateway):
    try:
        with urllib.request.urlopen(f"{gateway.admin}/-/health/ready") as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class Bucket:
    """What was written, and that it can be read."""

    def __init__(self, gateway):
        self.client = gateway.boto3()
        self.client.create_bucket(Bucket="clinic")
        self.bodies = {}

    def write(self, prefix):
        for size in SIZES:
            key = f"{prefix}-{size}"
            body = random.Random(key).randbytes(size)
            self.client.put_object(Bucket="clinic", Key=key, Body=body)
            self.bodies[key] = body

    def check(self):
        for key, body in self.bodies.items():
            assert self.client.get_object(Bucket="clinic", Key=key)["Body"].read() == body, key


@pytest.fixture
def stores(tmp_path):
    both = [Minio(tmp_path / name).start() for name in ("first", "second")]
    yield both
    for store in both:
        store.kill()


@pytest.fixture
def gateway(stores, tmp_path):
    """Two remote stores and a disk; the first store is what reads prefer."""
    backends = [store.settings(name, timeout="8s") for name, store in zip(("first", "second"), stores)]
    backends.append({"name": "disk", "driver": "disk", "path": "disk", "segment_size": "16MiB"})
    arca = Arca(tmp_path / "arca", backends=backends,
                placements=[{"name": "default", "backends": ["first", "second", "disk"], "write_quorum": 2}]).start()
    yield arca
    arca.stop()


def test_a_frozen_store_is_not_waited_for(gateway, stores):
    bucket = Bucket(gateway)
    for i in range(10):
        bucket.write(f"before{i}")
    began = time.monotonic()
    bucket.check()
    calm = time.monotonic() - began
    assert metric(gateway, "arca_backend_operations_total", "first") > 0
    stores[0].freeze()
    try:
        began = time.monotonic()
        bucket.check()  # the first: reads are hedged only until the store is taken for down
        bucket.write("frozen")
        bucket.check()
        assert time.monotonic() - began < 30 + 6 * calm
        assert metric(gateway, "arca_backend_hedges_won_total", "first") > 0
        wait_for_state(gateway, "first", DOWN)
        assert readiness(gateway)[0] == 200
        began = time.monotonic()
        bucket.write("down")
        bucket.check()
        assert time.monotonic() - began < 15 + 3 * calm
        assert metric(gateway, "arca_backend_refused_total", "first") > 0
    finally:
        stores[0].thaw()
    wait_for_state(gateway, "first", HEALTHY)
    assert metric(gateway, "arca_backend_breaker_opens_total", "first") >= 1
    bucket.write("after")
    bucket.check()


def refuse_early(gateway):
    """A PUT that asks before it sends: the answer that comes instead of 100 Continue."""
    url = gateway.boto3().generate_presigned_url("put_object", Params={"Bucket": "clinic", "Key": "refused"})
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    connection.putrequest("PUT", url.split(gateway.host, 1)[1])
    connection.putheader("Content-Length", str(64 << 20))
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_without_a_quorum_writes_are_refused_and_reads_go_on(gateway, stores):
    bucket = Bucket(gateway)
    bucket.write("before")
    for store in stores:
        store.kill()
    with pytest.raises(ClientError) as refused:
        bucket.write("lost")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    bucket.check()
    for name in ("first", "second"):
        wait_for_state(gateway, name, DOWN)
    answer, body = refuse_early(gateway)
    assert answer.status == 503 and b"<Code>SlowDown</Code>" in body
    assert 1 <= int(answer.headers["Retry-After"]) <= 16
    status, words = readiness(gateway)
    assert status == 503 and "placement default cannot be written to: backend first" in words["why"]
    bucket.client.put_object(Bucket="clinic", Key="empty", Body=b"")  # needs no store
    bucket.check()
    stores[1].start()
    wait_for_state(gateway, "second", HEALTHY, DEGRADED)
    bucket.write("after")
    bucket.check()
    assert readiness(gateway)[0] == 200


def on_small_disk(folder):
    """A wrapper that gives a program a small file system there, which no other process sees and which ends with it."""
    mount = 'mount -t tmpfs -o size=24m arca-test "$0" && exec "$@"'
    wrapper = ["unshare", "--mount", "sh", "-c", mount, str(folder)]
    folder.mkdir(parents=True)
    if os.geteuid() != 0 or subprocess.run([*wrapper, "true"], capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    return wrapper


def test_a_full_disk_holds_up_only_those_who_need_it(tmp_path):
    names = ["small", "disk1", "disk2"]
    gateway = Arca(tmp_path / "arca", wrapper=on_small_disk(tmp_path / "arca" / "small"),
                   backends=[{"name": n, "driver": "disk", "path": n, "segment_size": "16MiB"} for n in names],
                   placements=[{"name": "default", "backends": names, "write_quorum": 2},
                               {"name": "all", "backends": names, "write_quorum": 3}]).start()
    try:
        bucket = Bucket(gateway)
        for i in range(12):
            bucket.write(f"fill{i}")
        bucket.check()
        wait_for_state(gateway, "small", DEGRADED)
        wait_for_state(gateway, "disk1", HEALTHY)
        bucket.client.create_bucket(Bucket="all", CreateBucketConfiguration={"LocationConstraint": "all"})
        with pytest.raises(ClientError) as refused:
            bucket.client.put_object(Bucket="all", Key="big", Body=bytes(4 << 20))
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 507
        status, words = readiness(gateway)
        assert status == 503 and "placement all cannot be written to: backend small: no space" in words["why"]
    finally:
        gateway.stop()

"""Losing the gateway: its index is wiped and made anew from one backend and the keyring."""
import contextlib
import json
import os
import re
import secrets
import shutil
import time

import pytest
from botocore.exceptions import ClientError

from arca import Arca, arcactl, wait_until
from load import BUCKET, Load
from minio import Minio

PART = 5 << 20


@pytest.fixture(scope="module")
def minio(tmp_path_factory):
    store = Minio(tmp_path_factory.mktemp("minio")).start()
    yield store
    store.kill()


@pytest.fixture
def prefix():
    """Below which the test's gateways store, each with its number, in the MinIO that all of them share."""
    return secrets.token_hex(4)


@pytest.fixture
def make(minio, prefix, tmp_path):
    """Gateways on a disk and a MinIO, or on disks alone."""
    made = []

    def of(mode="sync", interval="1s", stores=("disk", "minio"), quorum=1, **more):
        folder = tmp_path / f"arca{len(made)}"
        kinds = {"minio": lambda: minio.settings("minio", prefix=f"{prefix}/{len(made)}", timeout="4s")}
        backends = [kinds.get(name, lambda name=name: {"name": name, "driver": "disk", "path": name,
                                                       "segment_size": "64MiB"})() for name in stores]
        made.append(Arca(folder, backends=backends,
                         placements=[{"name": "default", "backends": list(stores), "write_quorum": quorum}],
                         extra=f"journal: {{placement: default, mode: {mode}, interval: {interval}}}\n", **more))
        return made[-1]
    yield of
    for gateway in made:
        gateway.kill()


def wipe(gateway):
    shutil.rmtree(gateway.folder / "index")


def rebuild(gateway, backend, *args, status=0):
    done = arcactl("rebuild", "--config", gateway.config_path, "--from", backend, *args, check=False)
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def check(gateway):
    done = arcactl("check", "--deep", "--config", gateway.config_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def shipped(gateway):
    """All that was acknowledged is on all backends: of disks, what is not there shows in their lag alone."""
    wait_until(lambda: gateway.metric("arca_journal_shipped_sequence") >= gateway.metric("arca_journal_mutations_total"),
               what="the journal is shipped")


def fill(gateway):
    """Something of everything, and what a client sees of it."""
    s3 = gateway.boto3()
    for bucket in ("empty", "clinic", "gone"):
        s3.create_bucket(Bucket=bucket)
    s3.delete_bucket(Bucket="gone")
    for i in range(60):
        s3.put_object(Bucket="clinic", Key=f"folder-{i % 7}/{'long' * (i * 4)}{i}", Body=os.urandom(i * 100),
                      Metadata={"number": str(i), "word": "wörter".encode().hex()}, ContentType=f"text/x-{i}",
                      CacheControl="no-cache", ContentDisposition=f'attachment; filename="{i}"')
    for i in range(0, 60, 6):
        s3.delete_object(Bucket="clinic", Key=f"folder-{i % 7}/{'long' * (i * 4)}{i}")
    s3.put_object(Bucket="clinic", Key="large", Body=os.urandom(17 << 20), ChecksumAlgorithm="SHA256")
    s3.copy_object(Bucket="clinic", Key="copy", CopySource="clinic/large", Metadata={"of": "large"},
                   MetadataDirective="REPLACE")
    upload = s3.create_multipart_upload(Bucket="clinic", Key="parts", Metadata={"made": "of parts"})["UploadId"]
    parts = [{"PartNumber": n, "ETag": s3.upload_part(Bucket="clinic", Key="parts", UploadId=upload, PartNumber=n,
                                                      Body=os.urandom(PART + n))["ETag"]} for n in (1, 2, 3)]
    s3.complete_multipart_upload(Bucket="clinic", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    open_upload = s3.create_multipart_upload(Bucket="clinic", Key="unfinished", ContentType="text/open")["UploadId"]
    for n in (1, 4):
        s3.upload_part(Bucket="clinic", Key="unfinished", UploadId=open_upload, PartNumber=n, Body=os.urandom(PART))
    s3.delete_object(Bucket="clinic", Key="large")  # the copy keeps its body
    return see(gateway)


def see(gateway):
    """All that S3 shows."""
    s3 = gateway.boto3()
    seen = {}
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        objects = {}
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
            for entry in page.get("Contents", []):
                answer = s3.get_object(Bucket=name, Key=entry["Key"])
                objects[entry["Key"]] = (
                    entry["ETag"], entry["Size"], entry["LastModified"], answer["Body"].read(), answer["Metadata"],
                    answer["ContentType"], answer.get("CacheControl"), answer.get("ContentDisposition"))
        uploads = {}
        for upload in s3.list_multipart_uploads(Bucket=name).get("Uploads", []):
            listed = s3.list_parts(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"]).get("Parts", [])
            uploads[upload["Key"], upload["UploadId"]] = [(p["PartNumber"], p["ETag"], p["Size"]) for p in listed]
        seen[name] = (bucket["CreationDate"], objects, uploads)
    return seen


def assert_comes_back(gateway, backend, expected):
    """Its index is lost, and that one backend is enough for another that shows the same. What the rebuild told is returned,
    and the gateway runs."""
    wipe(gateway)
    told = rebuild(gateway, backend)
    check(gateway)
    gateway.start()
    assert see(gateway) == expected
    return told


@pytest.mark.parametrize("backend", ["disk", "minio"])
def test_everything_is_there_again(make, backend):
    gateway = make(mode="sync", quorum=2).start()
    before = fill(gateway)
    gateway.kill()
    told = assert_comes_back(gateway, backend, before)
    assert re.search(r"2 buckets, \d+ objects, 1 unfinished uploads", told)

    # It goes on, under a new lease, and so do its copies.
    (upload,) = before["clinic"][2]
    s3 = gateway.boto3()
    parts = [{"PartNumber": n, "ETag": etag} for n, etag, _ in before["clinic"][2][upload]]
    s3.complete_multipart_upload(Bucket="clinic", Key=upload[0], UploadId=upload[1], MultipartUpload={"Parts": parts})
    s3.put_object(Bucket="empty", Key="later", Body=b"later")
    after = see(gateway)
    gateway.stop()
    for second in ("minio", "disk"):
        assert_comes_back(gateway, second, after)
        gateway.stop()


OTHER = {"disk": "minio", "minio": "disk"}


def rebuild_from_longest(gateway, backend):
    """From that backend, unless the other one has more: what was not acknowledged yet may be on one only, and a rebuild that
    would leave it out is refused. The backend that it was made from."""
    done = arcactl("rebuild", "--config", gateway.config_path, "--from", backend, check=False)
    if done.returncode == 0:
        return backend
    assert f"found: {OTHER[backend]} has mutations up to" in done.stdout and "because of 1 findings" in done.stdout, done.stdout
    rebuild(gateway, OTHER[backend])
    return OTHER[backend]


@pytest.mark.parametrize("backend", ["disk", "minio"])
def test_nothing_acknowledged_is_missing_with_sync(make, backend):
    gateway = make(mode="sync", quorum=2).start()
    gateway.boto3().create_bucket(Bucket=BUCKET)
    load = Load(gateway, workers=4, seed=5)
    load.start()
    wait_until(lambda: load.operations > 150, what="operations")
    gateway.kill()
    load.join()
    wipe(gateway)
    rebuild_from_longest(gateway, backend)
    check(gateway)
    gateway.start()
    load.verify(everything=True)
    load.start()
    wait_until(lambda: load.operations > 250, what="more operations")
    gateway.kill()
    load.join()
    wipe(gateway)
    source = rebuild_from_longest(gateway, backend)
    gateway.start()
    load.verify(everything=True)
    gateway.stop()
    # What was under way in the first life and only one backend had is nobody's after the second rebuild.
    told = arcactl("check", "--deep", "--config", gateway.config_path, check=False).stdout
    orphaned = re.findall(rf"^orphaned: blob .* on backend {OTHER[source]}: ", told, re.M)
    assert f"all read and verified: {len(orphaned)} findings\n" in told, told


def test_async_is_no_further_behind_than_its_interval(make):
    gateway = make(mode="async", interval="1s", stores=("disk",)).start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="clinic")
    put = []
    end = time.monotonic() + 4
    while time.monotonic() < end:
        s3.put_object(Bucket="clinic", Key=f"k{len(put):06}", Body=b"x")
        put.append(time.monotonic())
    killed = time.monotonic()
    gateway.kill()
    wipe(gateway)
    told = rebuild(gateway, "disk")
    check(gateway)
    gateway.start()
    there = {entry["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket="clinic")
             for entry in page.get("Contents", [])}
    lost = [i for i in range(len(put)) if f"k{i:06}" not in there]
    assert lost == list(range(len(there), len(put))), "what is lost is the end"
    slowest = max(after - before for before, after in zip(put, put[1:]))  # a shipment is as slow as this disk
    assert all(killed - put[i] < 2 + 3 * slowest for i in lost)
    assert not lost or "are not part of it" in told
    for key in sorted(there)[-5:]:
        assert s3.get_object(Bucket="clinic", Key=key)["Body"].read() == b"x"
    gateway.stop()


def test_a_backend_that_was_away_is_filled_in(make, minio):
    gateway = make(mode="async", interval="200ms").start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="clinic")
    minio.kill()
    try:
        for i in range(30):
            s3.put_object(Bucket="clinic", Key=f"k{i}", Body=b"x" * i)
        shipped(gateway)  # one is the quorum
    finally:
        minio.start()
    s3.put_object(Bucket="clinic", Key="after", Body=b"x")
    before = see(gateway)
    wait_until(lambda: gateway.log_events("journal_ship") and "again" in gateway.log_events("journal_ship")[-1]["message"],
               what="the MinIO takes the journal again")
    wait_until(lambda: gateway.metric("arca_repairs_pending") == 0, what="repairs")
    gateway.stop()
    assert_comes_back(gateway, "minio", before)
    gateway.stop()


def test_sync_refuses_while_too_few_are_there(make, minio):
    gateway = make(mode="sync", quorum=2, stores=("disk", "minio")).start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="clinic")
    s3.put_object(Bucket="clinic", Key="before", Body=b"x")
    minio.kill()
    try:
        with pytest.raises(ClientError) as error:  # no body: nothing but the journal needs the backends
            wait_until(lambda: s3.put_object(Bucket="clinic", Key="while", Body=b""), what="a refusal")
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503

        def refused_at_once():
            began = time.monotonic()
            with contextlib.suppress(ClientError):
                s3.delete_object(Bucket="clinic", Key="before")
            return time.monotonic() - began < 2
        wait_until(refused_at_once, what="an early refusal")
        assert s3.get_object(Bucket="clinic", Key="before")["Body"].read() == b"x"  # reads go on
    finally:
        minio.start()
    wait_until(lambda: taken(s3), what="writes are taken again")
    gateway.stop()


def taken(s3):
    try:
        return s3.put_object(Bucket="clinic", Key="after", Body=b"")
    except ClientError:
        return None


# --- what is found to be wrong. Two disks, of which one is changed behind the gateway's back ---

def two_disks(make, puts=40, mode="sync"):
    gateway = make(mode=mode, interval="100ms", stores=("a", "b"), quorum=2).start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="clinic")
    for i in range(puts):
        s3.put_object(Bucket="clinic", Key=f"k{i}", Body=b"x" * i)
    return gateway


def minio_pieces(minio, prefix):
    """Keys of pieces, in the order of their first mutation."""
    keys = [key for key in minio.keys_of(prefix) if int(key.split("/")[-1][32:34], 16) & 0x80]
    return sorted(keys, key=lambda key: (key.split("/")[-1][16:32], key.split("/")[-1][32:]))


def lose(make, minio, prefix):
    """A gateway that was lost, with a journal of some pieces in the MinIO."""
    gateway = make(mode="sync", stores=("minio",))
    gateway.start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="clinic")
    for i in range(20):
        s3.put_object(Bucket="clinic", Key=f"k{i}", Body=b"x" * i)
    gateway.kill()
    wipe(gateway)
    return gateway, minio_pieces(minio, f"{prefix}/0")


def test_a_gap_is_named(make, minio, prefix):
    gateway, pieces = lose(make, minio, prefix)
    victim = pieces[len(pieces) // 2]
    sequence = int(victim.split("/")[-1][16:32], 16)
    minio.boto3().delete_object(Bucket=minio.bucket, Key=victim)
    told = rebuild(gateway, "minio", status=1)
    assert re.search(rf"mutations {sequence} to \d+ are missing from minio", told), told
    assert not (gateway.folder / "index").exists()
    told = rebuild(gateway, "minio", "--force", status=1)
    assert f"up to mutation {sequence - 1}:" in told
    gateway.start()
    gateway.boto3().list_objects_v2(Bucket="clinic")
    gateway.stop()


def test_a_tampered_piece_is_refused(make, minio, prefix):
    gateway, pieces = lose(make, minio, prefix)
    victim = pieces[len(pieces) // 2]
    body = bytearray(minio.read(victim))
    body[len(body) // 2] ^= 1
    minio.boto3().put_object(Bucket=minio.bucket, Key=victim, Body=bytes(body))
    told = rebuild(gateway, "minio", status=1)
    assert "1 pieces on minio were changed or cut" in told and "are missing from minio" in told, told
    assert not (gateway.folder / "index").exists()


def test_another_keyring_opens_nothing(make, minio, prefix):
    gateway, _ = lose(make, minio, prefix)
    for name in ("keyring", "keyring.key"):
        (gateway.folder / name).unlink()
    gateway._make_keyring()
    done = arcactl("rebuild", "--config", gateway.config_path, "--from", "minio", check=False)
    assert done.returncode == 2 and "another keyring" in done.stderr + done.stdout


def test_a_backend_put_back_to_an_older_state_is_named(make):
    gateway = two_disks(make)
    gateway.stop()
    shutil.copytree(gateway.folder / "a", gateway.folder / "older")
    gateway.start()
    for i in range(5):
        gateway.boto3().put_object(Bucket="clinic", Key=f"newer{i}", Body=b"x")
    before = see(gateway)
    gateway.stop()
    wipe(gateway)
    shutil.rmtree(gateway.folder / "a")
    (gateway.folder / "older").rename(gateway.folder / "a")
    told = rebuild(gateway, "a", status=1)
    assert re.search(r"found: b has mutations up to \d+, .* and a only up to \d+: rebuild from b instead", told), told
    assert not (gateway.folder / "index").exists()
    rebuild(gateway, "b")
    gateway.start()
    assert see(gateway) == before
    gateway.stop()


def test_data_of_a_later_life_tell_of_a_rollback(make, minio, prefix):
    gateway = make(mode="sync", stores=("minio",)).start()
    gateway.boto3().create_bucket(Bucket="clinic")
    gateway.boto3().put_object(Bucket="clinic", Key="k", Body=b"x")
    gateway.stop()
    prefix = f"{prefix}/0"
    older = {key: minio.read(key) for key in minio_pieces(minio, prefix)}
    gateway.start()
    gateway.boto3().put_object(Bucket="clinic", Key="newer", Body=b"y")
    gateway.kill()
    wipe(gateway)
    for key in minio_pieces(minio, prefix):
        if key not in older:
            minio.boto3().delete_object(Bucket=minio.bucket, Key=key)
    for key, body in older.items():
        minio.boto3().put_object(Bucket=minio.bucket, Key=key, Body=body)
    told = rebuild(gateway, "minio", status=1)
    assert "found: rollback: minio holds data of lease" in told, told
    told = rebuild(gateway, "minio", "--force", status=1)
    assert "1 buckets, 1 objects" in told
    check(gateway)
    gateway.start()  # what is newer stays where it is
    wait_until(lambda: gateway.log_events("listening"), what="the start")
    gateway.stop()
    check(gateway)


def test_an_index_that_is_there_is_left_alone(make):
    gateway = two_disks(make, puts=3)
    gateway.stop()
    before = sorted(path.name for path in (gateway.folder / "index").rglob("*"))
    done = arcactl("rebuild", "--config", gateway.config_path, "--from", "a", check=False)
    assert done.returncode == 2 and "move it away first" in done.stderr
    assert sorted(path.name for path in (gateway.folder / "index").rglob("*")) == before
    done = arcactl("rebuild", "--config", gateway.config_path, "--from", "c", check=False)
    assert done.returncode == 2


def test_pieces_stay_few_and_survive_crashes(make, minio, prefix):
    """Many small pieces are gathered, and a search for orphans after a kill takes none of them."""
    gateway = make(mode="sync", stores=("minio",), garbage_grace="1s").start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="clinic")
    for round_ in range(2):
        for i in range(150):
            s3.put_object(Bucket="clinic", Key=f"{round_}-{i}", Body=b"")
        gateway.kill()
        gateway.start()
    wait_until(lambda: len(minio_pieces(minio, f"{prefix}/0")) < 140, what="pieces are gathered")
    before = see(gateway)
    gateway.kill()
    assert_comes_back(gateway, "minio", before)
    gateway.stop()


def test_the_journal_moves_with_its_placement(make, minio, prefix):
    gateway = make(mode="sync", stores=("disk", "minio", "other"), garbage_grace="1s")
    lines = gateway.config_path.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("placements:"))

    def place(*backends):
        lines[at] = f"placements: {json.dumps([{'name': 'default', 'backends': backends, 'write_quorum': 1}])}"
        gateway.config_path.write_text("\n".join(lines) + "\n")
    place("disk", "minio")
    gateway.start()
    before = fill(gateway)
    prefix = f"{prefix}/0"
    assert minio_pieces(minio, prefix)
    place("disk", "other")
    gateway.reload()
    wait_until(lambda: not minio.keys_of(prefix), seconds=120, what="the old backend is empty")
    gateway.boto3().put_object(Bucket="empty", Key="after", Body=b"x")
    gateway.boto3().delete_object(Bucket="empty", Key="after")
    gateway.stop()  # which waits for all copies: one is the quorum
    assert_comes_back(gateway, "other", before)
    gateway.stop()


def test_a_frozen_backend_holds_up_nothing_but_its_own_copy(make, minio):
    """A MinIO that takes connections and answers none: the other is the quorum."""
    gateway = make(mode="sync", quorum=1).start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="clinic")
    minio.freeze()
    try:
        for i in range(20):
            began = time.monotonic()
            s3.put_object(Bucket="clinic", Key=f"k{i}", Body=b"")
            assert time.monotonic() - began < 5
        gateway.kill()
    finally:
        minio.thaw()
    wipe(gateway)
    told = rebuild(gateway, "minio", status=1)
    assert re.search(r"found: disk has mutations up to \d+, .*: rebuild from disk instead, or the \d+ that were", told), told
    rebuild(gateway, "disk")
    gateway.start()
    assert len(s3.list_objects_v2(Bucket="clinic")["Contents"]) == 20
    gateway.stop()
    wipe(gateway)
    rebuild(gateway, "minio")  # it was filled in


def test_a_second_gateway_on_a_copy_of_the_index_is_a_fork(make, minio, tmp_path):
    gateway = make(mode="sync", stores=("minio",)).start()
    gateway.boto3().create_bucket(Bucket="clinic")
    gateway.stop()
    second = tmp_path / "second"
    shutil.copytree(gateway.folder / "index", second)
    gateway.start()
    for i in range(10):
        gateway.boto3().put_object(Bucket="clinic", Key=f"one{i}", Body=b"x")
    gateway.stop()
    shutil.rmtree(gateway.folder / "index")
    second.rename(gateway.folder / "index")
    gateway.start()
    for i in range(5):
        gateway.boto3().put_object(Bucket="clinic", Key=f"two{i}", Body=b"x")
    gateway.kill()
    wipe(gateway)
    told = rebuild(gateway, "minio", status=1)
    assert re.search(r"found: (fork|rollback): ", told), told
    rebuild(gateway, "minio", "--force", status=1)
    gateway.start()
    keys = {entry["Key"] for entry in gateway.boto3().list_objects_v2(Bucket="clinic")["Contents"]}
    assert keys == {f"two{i}" for i in range(5)}  # what was shipped last
    gateway.stop()


def test_what_was_never_shipped_shows_as_lag(make, minio):
    gateway = make(mode="async", interval="100ms", stores=("minio",))
    minio.kill()
    try:
        gateway.start()
        gateway.boto3().create_bucket(Bucket="clinic")
        wait_until(lambda: gateway.metric("arca_journal_ship_lag_seconds") >= 2, what="lag")
    finally:
        minio.start()
    shipped(gateway)
    wait_until(lambda: gateway.metric("arca_journal_ship_lag_seconds") == 0, what="no lag")
    gateway.stop()


def test_the_journal_has_a_loop_beside_all_that_can_serve(make):
    gateway = make(stores=("disk",), loops=64).start()
    gateway.boto3().create_bucket(Bucket="clinic")
    shipped(gateway)
    gateway.stop()


def test_new_credentials_hold_for_the_journal(make, minio):
    """Keys are rotated in the store, and the gateway is told with SIGHUP."""
    gateway = make(mode="async", interval="100ms", stores=("minio",)).start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="clinic")
    shipped(gateway)

    def rotate(secret):
        minio.kill()
        minio.access = (minio.access[0], secret)
        minio.wrapper = ["env", f"MINIO_ROOT_PASSWORD={secret}"]
        minio.write_keys()
        minio.start()
    former = minio.access[1]
    rotate("another-secret-of-tests")
    try:
        gateway.reload()
        wait_until(lambda: taken(s3), what="writes are taken again")
        shipped(gateway)
    finally:
        gateway.kill()
        rotate(former)

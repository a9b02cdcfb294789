"""What stands on the disk: ciphertext that another program can decrypt from the documents alone, and nothing that tells
names, contents or keys. What copies, deletions and rotations do to it."""
import base64
import contextlib
import datetime
import hashlib
import hmac
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse

import pytest

import arca_decrypt
from arca import BUILD, REGION, SECRET_KEY, Arca, arcactl, wait_until
from stored import Stored, opened

NOBODY = 65534
SIZES = {"empty": 0, "one": 1, "hundred": 100, "segment": 65536, "segment-and-one": 65537, "extent": 8 << 20,
         "two-extents": 9 << 20}


def put_multipart(s3, bucket, key, pieces):
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    parts = [{"PartNumber": i + 1, "ETag": s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=i + 1,
                                                          Body=piece)["ETag"]} for i, piece in enumerate(pieces)]
    s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})


def content(folder):
    return {path: path.read_bytes() for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file()}


def spellings(secret):
    """As one might come upon it in a file: raw, in hex, in base64 at each alignment."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for skip in range(3):
        whole = secret[skip:len(secret) - (len(secret) - skip) % 3]
        yield base64.b64encode(whole)
        yield base64.urlsafe_b64encode(whole)


def hits(files, markers):
    """(name of the marker, file) of each that is found somewhere."""
    return [(name, path.name) for name, marker in markers.items() for path, data in files.items()
            if any(spelling in data for spelling in spellings(marker))]


# --- what can be read with the keys, and what without ---

@pytest.mark.parametrize("suite", ["aes-256-gcm", "xchacha20-poly1305"])
def test_another_program_decrypts_what_is_stored(tmp_path, suite):
    gateway = Arca(tmp_path, suite=suite).start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="first")
    s3.create_bucket(Bucket="second")
    bodies = {key: os.urandom(size) for key, size in SIZES.items()}
    for key, body in bodies.items():
        s3.put_object(Bucket="first", Key=key, Body=body)
    pieces = [os.urandom(5 << 20), os.urandom((8 << 20) + 1), os.urandom(7)]
    put_multipart(s3, "second", "multipart", pieces)
    bodies["multipart"] = b"".join(pieces)
    bodies["other-bucket"] = os.urandom(1000)
    s3.put_object(Bucket="second", Key="other-bucket", Body=bodies["other-bucket"])

    stored = Stored(gateway)
    assert [len(blob.extents) for blob in stored.body("multipart")] == [1, 2, 1]
    for key, body in bodies.items():
        if body:
            assert stored.decrypt(key) == body, key
    assert "empty" in stored.bodies and not stored.body("empty")
    blobs = list(stored.blobs.values())
    headers = [arca_decrypt.parse_header(extent.read()) for blob in blobs for extent in blob.extents]
    assert len({blob.id for blob in blobs}) == len({blob.wrapped_key for blob in blobs}) == len(blobs)
    assert len({header.commitment for header in headers}) == len(headers)
    assert {header.keyring_id for header in headers} == {stored.keyring().id}
    assert len({header.bucket_key_id for header in headers}) == 2
    # one bucket's key does not open the other bucket's data
    first, second = stored.body("hundred")[0], stored.body("other-bucket")[0]
    with pytest.raises(arca_decrypt.WrongKey):
        arca_decrypt.open_extent(second.extents[0].read(), stored.bucket_key(first))
    with pytest.raises(arca_decrypt.WrongKey):
        arca_decrypt.Keyring((tmp_path / "keyring").read_bytes(), key_file=os.urandom(32))
    gateway.stop()


def test_the_decryptor_as_a_program(tmp_path):
    """With files and the wrapped bucket key at hand, as one would after the last arcad is gone."""
    gateway = Arca(tmp_path).start()
    gateway.boto3().create_bucket(Bucket="rescue")
    body = os.urandom(9 << 20)
    gateway.boto3().put_object(Bucket="rescue", Key="k", Body=body)
    gateway.stop()
    stored = Stored(gateway)
    blob, = stored.body("k")
    files = []
    for number, extent in enumerate(blob.extents):
        files.append(tmp_path / f"extent{number}")
        files[-1].write_bytes(extent.read())
    generation, wrapped = stored.bucket_keys[blob.key_id]
    command = [shutil.sys.executable, arca_decrypt.__file__, "--keyring", tmp_path / "keyring", "--key-file",
               tmp_path / "keyring.key", "--bucket-key", f"{generation}:{wrapped.hex()}"]
    assert subprocess.run([*command, *files], check=True, capture_output=True).stdout == body
    assert subprocess.run([*command, *reversed(files)], capture_output=True).returncode != 0


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory):
    """A gateway, still running, that has done a bit of everything with values that can be searched for."""
    gateway = Arca(tmp_path_factory.mktemp("lived"), garbage_grace="1s").start()
    s3 = gateway.boto3()
    markers = {
        "bucket": "bucket-0f3e9a7c51", "key": "folder/key-77b1c9d2e4.dcm", "metadata": "metadata-value-5a6b7c8d",
        "metadata name": "metadata-name-9e8f7a6b", "type": "application/x-type-3c2d1e0f",
        "part key": "part-key-1a2b3c4d", "copy": "copy-key-55aa66bb77", "deleted": "deleted-key-8899aabb",
        "cache": "max-age=31337, x-13371337",
    }
    plain = b"PATIENT^NAME^a3f1c2e5d7b9"
    body = plain * 20_000
    bucket = markers["bucket"]
    s3.create_bucket(Bucket=bucket)
    for key in (markers["key"], markers["deleted"]):
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=markers["type"], CacheControl=markers["cache"],
                      Metadata={markers["metadata name"]: markers["metadata"]})
    s3.put_object(Bucket=bucket, Key="tiny", Body=plain)
    put_multipart(s3, bucket, "big", [body * 12, body])
    s3.copy_object(Bucket=bucket, Key=markers["copy"], CopySource={"Bucket": bucket, "Key": markers["key"]})
    s3.delete_object(Bucket=bucket, Key=markers["deleted"])
    upload = s3.create_multipart_upload(Bucket=bucket, Key=markers["part key"])["UploadId"]
    s3.upload_part(Bucket=bucket, Key=markers["part key"], UploadId=upload, PartNumber=1, Body=body)
    assert s3.get_object(Bucket=bucket, Key=markers["key"])["Body"].read() == body
    wait_until(lambda: gateway.metric("arca_garbage_collected_total") >= 1, what="the deleted object is collected")
    gateway.markers = {name: text.encode() for name, text in markers.items()}
    gateway.markers["plaintext"] = plain
    gateway.markers["owner"] = b"a" * 64
    gateway.markers["etag"] = hashlib.md5(body).digest()
    gateway.markers["sha256"] = hashlib.sha256(body).digest()
    yield gateway
    gateway.stop()


def test_a_backend_learns_no_name_and_no_content(lived_in):
    files = content(lived_in.folder / "objects")
    assert sum(map(len, files.values())) > 6 << 20
    assert hits(files, lived_in.markers) == []
    # the search does find what is there: all names, and no content, stand in the index
    found = {name for name, _ in hits(content(lived_in.folder / "index"), lived_in.markers)}
    assert {"bucket", "key", "metadata", "part key"} <= found and "plaintext" not in found
    assert hits({lived_in.log_path: lived_in.log_path.read_bytes()}, {"plaintext": lived_in.markers["plaintext"]}) == []
    for extent in (e for blob in Stored(lived_in).blobs.values() for e in blob.extents):
        if extent.path.exists() and (data := extent.read())[:8] == b"ARCAEXTN":
            common = max(data[192:].count(byte) for byte in range(256))
            assert common < 40 + len(data) / 100, "does not look random"


def test_no_key_lies_about(lived_in):
    """Nowhere but in the two files whose purpose it is: not in index, journal, view, segments, log."""
    stored = Stored(lived_in)
    keyring = stored.keyring()
    day = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d")
    keys = {f"root key {generation}": key for generation, key in keyring.root_keys.items()}
    keys["key file"] = (lived_in.folder / "keyring.key").read_bytes()
    for id, (generation, wrapped) in stored.bucket_keys.items():
        keys[f"bucket key {id}"] = keyring.bucket_key(id, generation, wrapped)
    for blob in stored.blobs.values():
        associated = (arca_decrypt.label("arca data key") + bytes([blob.suite]) + blob.id
                      + blob.key_id.to_bytes(8, "big"))
        key = arca_decrypt.unwrap(stored.bucket_key(blob), associated, blob.wrapped_key)
        keys[f"data key {blob.id.hex()}"] = key
        for number in range(len(blob.extents)):
            keys[f"extent key {blob.id.hex()} {number}"] = arca_decrypt.extent_key(key, blob.suite, blob.id, number)
    keys["secret key"] = SECRET_KEY.encode()
    signing = b"AWS4" + SECRET_KEY.encode()
    for text in (day, REGION, "s3", "aws4_request"):
        signing = keys[f"signing key after {text}"] = hmac.new(signing, text.encode(), hashlib.sha256).digest()
    assert len(keys) > 15
    files = content(lived_in.folder)
    known = {lived_in.folder / "keyring.key": "key file", lived_in.folder / "credentials.yaml": "secret key"}
    for path, name in known.items():
        assert hits({path: files.pop(path)}, {name: keys[name]}), "the search does not find what is there"
    assert lived_in.log_path in files and len(files) > 6
    assert hits(files, keys) == []


def test_files_are_for_their_owner_only(lived_in):
    for path in [lived_in.folder / "index", lived_in.folder / "objects"]:
        assert path.stat().st_mode & 0o077 == 0
        for below in path.rglob("*"):
            assert below.stat().st_mode & 0o077 == 0, below
    assert (lived_in.folder / "keyring").stat().st_mode & 0o077 == 0


@pytest.fixture
def as_nobody():
    """A gateway that runs as a user without rights, and what starts another program like that; as oneself when one is
    not root."""
    folder = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    gateway = Arca(folder)
    wrapper = []
    if os.geteuid() == 0:
        wrapper = ["setpriv", f"--reuid={NOBODY}", "--clear-groups"]
        program = shutil.copy(BUILD / "arcad", folder)
        for path in (folder, *folder.iterdir()):
            os.chown(path, NOBODY, -1)
        gateway.wrapper = ["sh", "-c", f'shift; exec {" ".join(wrapper)} {program} "$@"', "sh"]
    yield gateway, wrapper
    gateway.kill()
    shutil.rmtree(folder)


def test_memory_is_closed_to_other_processes(as_nobody):
    """No core dump, and the same user's other programs cannot look into the process: its files in /proc are root's."""
    gateway, wrapper = as_nobody
    # LeakSanitizer is what looks into processes, too
    gateway.start(env={"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"})
    other = subprocess.Popen([*wrapper, "sleep", "60"])
    try:
        gateway.boto3().create_bucket(Bucket="closed")
        proc, control = pathlib.Path(f"/proc/{gateway.process.pid}"), pathlib.Path(f"/proc/{other.pid}")
        wait_until(lambda: (control / "comm").read_text() == "sleep\n", what="sleep runs")
        user = NOBODY if wrapper else os.geteuid()
        assert f"\t{user}\t{user}\t" in (proc / "status").read_text()
        assert (control / "mem").stat().st_uid == user and (proc / "mem").stat().st_uid == 0
        limit, = [line for line in (proc / "limits").read_text().splitlines() if line.startswith("Max core file size")]
        assert limit.split()[4:6] == ["0", "0"]
        for path, status in ((control / "environ", 0), (proc / "environ", 1), (proc / "mem", 1), (proc / "maps", 1)):
            done = subprocess.run([*wrapper, "head", "-c1", path], capture_output=True)
            assert done.returncode == status, (path, done.stderr)
    finally:
        other.kill()
        other.wait()
        gateway.stop()


# --- copies, deletions, and readers that were there before ---

def used(gateway):
    return sum(os.fstat(file.fileno()).st_blocks for file in opened((gateway.folder / "objects" / "segments").iterdir())) * 512


def collected(gateway, count):
    wait_until(lambda: gateway.metric("arca_garbage_collected_total") >= count, what=f"{count} blobs are collected")


def test_copies_store_nothing_and_outlive_their_source(tmp_path):
    gateway = Arca(tmp_path, garbage_grace="1s").start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="source")
    s3.create_bucket(Bucket="target")
    bodies = {"small": os.urandom(3000), "big": os.urandom((16 << 20) + 5), "parts": os.urandom((5 << 20) + 99)}
    s3.put_object(Bucket="source", Key="small", Body=bodies["small"])
    s3.put_object(Bucket="source", Key="big", Body=bodies["big"])
    put_multipart(s3, "source", "parts", [bodies["parts"][:5 << 20], bodies["parts"][5 << 20:]])
    filler = os.urandom(20 << 20)
    for i in range(3):  # so that a segment is full
        s3.put_object(Bucket="source", Key=f"filler{i}", Body=filler)

    before = content(tmp_path / "objects")
    for key in bodies:
        source = {"Bucket": "source", "Key": key}
        s3.copy_object(Bucket="target", Key=f"{key}-1", CopySource=source)
        s3.copy_object(Bucket="target", Key=f"{key}-2", CopySource={"Bucket": "target", "Key": f"{key}-1"},
                       MetadataDirective="REPLACE", Metadata={"a": "b"})
        s3.copy_object(Bucket="source", Key=key, CopySource=source, MetadataDirective="REPLACE", Metadata={"c": "d"})
    assert content(tmp_path / "objects") == before

    full = used(gateway)
    for key in [*bodies, "filler0", "filler1", "filler2"]:
        s3.delete_object(Bucket="source", Key=key)
    s3.delete_bucket(Bucket="source")
    collected(gateway, 3)
    assert gateway.metric("arca_garbage_collected_total") == 3
    for key, body in bodies.items():
        for copy in (f"{key}-1", f"{key}-2"):
            assert s3.get_object(Bucket="target", Key=copy)["Body"].read() == body
    half = used(gateway)
    assert half < full - (55 << 20)
    # the last reference goes with the second copy
    for key in bodies:
        s3.delete_object(Bucket="target", Key=f"{key}-1")
    time.sleep(2.5)
    for key, body in bodies.items():
        assert s3.get_object(Bucket="target", Key=f"{key}-2")["Body"].read() == body
        s3.delete_object(Bucket="target", Key=f"{key}-2")
    collected(gateway, 7)
    assert "Contents" not in s3.list_objects_v2(Bucket="target")
    gateway.stop()
    done = arcactl("check", "--config", gateway.config_path, "--deep")
    assert ": 0 findings" in done.stdout, done.stdout
    assert used(gateway) < 3 << 20, "what is left: the zeroes ahead of the last record"


def test_upload_part_copy_outlives_its_source(tmp_path):
    gateway = Arca(tmp_path, garbage_grace="1s").start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="one")
    body = os.urandom(12 << 20)
    s3.put_object(Bucket="one", Key="source", Body=body)
    upload = s3.create_multipart_upload(Bucket="one", Key="target")["UploadId"]
    parts = [{"PartNumber": i + 1, "ETag": s3.upload_part_copy(
        Bucket="one", Key="target", UploadId=upload, PartNumber=i + 1, CopySource={"Bucket": "one", "Key": "source"},
        CopySourceRange=span)["CopyPartResult"]["ETag"]} for i, span in enumerate(("bytes=0-9999999",
                                                                                 f"bytes=5000000-{len(body) - 1}"))]
    s3.delete_object(Bucket="one", Key="source")
    collected(gateway, 1)
    s3.complete_multipart_upload(Bucket="one", Key="target", UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket="one", Key="target")["Body"].read() == body[:10_000_000] + body[5_000_000:]
    assert Stored(gateway).decrypt("target") == body[:10_000_000] + body[5_000_000:]
    gateway.stop()
    assert ": 0 findings" in arcactl("check", "--config", gateway.config_path, "--deep").stdout


class Slow:
    """A download that takes its time: a small window, and only the head so far."""

    def __init__(self, gateway, bucket, key):
        signed = gateway.boto3().generate_presigned_url("get_object", {"Bucket": bucket, "Key": key})
        url = urllib.parse.urlsplit(signed)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 << 10)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", gateway.port))
        self.socket.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {gateway.host}\r\n\r\n".encode())
        self.file = self.socket.makefile("rb", buffering=65536)
        assert self.file.readline().startswith(b"HTTP/1.1 200")
        while (line := self.file.readline().strip()):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                self.length = int(value)
        self.body = self.file.read(1000)

    def finish(self):
        """All bytes that come until the promised length, or until the connection breaks."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        pieces = [self.body]
        left = self.length - len(self.body)
        with contextlib.suppress(ConnectionError):
            while left > 0 and (piece := self.file.read1(min(left, 1 << 20))):
                pieces.append(piece)
                left -= len(piece)
        self.socket.close()
        return b"".join(pieces)


def put_old(s3, body):
    """The same bytes under two keys, in one blob and in the parts of an upload; returns the keys."""
    s3.create_bucket(Bucket="slow")
    s3.put_object(Bucket="slow", Key="blob", Body=body)
    put_multipart(s3, "slow", "parts", [body[i:i + (6 << 20)] for i in range(0, len(body), 6 << 20)])
    return "blob", "parts"


def test_a_download_ends_with_the_bytes_it_began_with(tmp_path):
    """Whatever becomes of the object meanwhile, within the grace."""
    gateway = Arca(tmp_path).start()
    s3 = gateway.boto3()
    old, new = os.urandom(24 << 20), os.urandom(24 << 20)
    during = []
    for key in put_old(s3, old):
        during.append((Slow(gateway, "slow", key), old))
        s3.put_object(Bucket="slow", Key=key, Body=new)
        during.append((Slow(gateway, "slow", key), new))
        s3.delete_object(Bucket="slow", Key=key)
    s3.delete_bucket(Bucket="slow")
    s3.create_bucket(Bucket="slow")
    s3.put_object(Bucket="slow", Key="blob", Body=b"another")
    time.sleep(6)  # garbage is looked for every 5 s
    assert [slow.finish() == body for slow, body in during] == [True] * 4
    assert s3.get_object(Bucket="slow", Key="blob")["Body"].read() == b"another"
    assert gateway.metric("arca_garbage_collected_total") == 0
    gateway.stop()


def test_a_download_slower_than_the_grace_ends_with_the_bytes_it_began_with(tmp_path):
    """Garbage is kept for those who read it, and collected when they are done."""
    gateway = Arca(tmp_path, garbage_grace="1s").start()
    s3 = gateway.boto3()
    old = os.urandom(24 << 20)
    keys = put_old(s3, old)
    blobs = len(Stored(gateway).blobs)
    during = [Slow(gateway, "slow", key) for key in keys]
    for key in keys:
        s3.delete_object(Bucket="slow", Key=key)
    for i in range(2):
        s3.put_object(Bucket="slow", Key=f"k{i}", Body=os.urandom(12 << 20))
    time.sleep(4)  # garbage is looked for every half second
    assert gateway.metric("arca_garbage_collected_total") == 0
    assert [slow.finish() == old for slow in during] == [True] * 2
    collected(gateway, blobs)
    gateway.stop()


# --- keyrings ---

def test_rotation_changes_no_stored_byte(tmp_path):
    """Three generations: each start wraps the bucket keys anew. The old root key then opens nothing that the index has,
    the new one everything, and the extents are what they were."""
    gateway = Arca(tmp_path).start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="one")
    bodies = {"old": os.urandom(9 << 20)}
    s3.put_object(Bucket="one", Key="old", Body=bodies["old"])
    for generation in (2, 3):
        gateway.stop()
        before = content(tmp_path / "objects")
        wrapped = Stored(gateway).bucket_keys
        data_keys = {id: blob.wrapped_key for id, blob in Stored(gateway).blobs.items()}
        done = arcactl("keyring", "rotate", tmp_path / "keyring", "--key-file", tmp_path / "keyring.key")
        assert f"generations 1 to {generation}" in done.stdout
        gateway.start()
        s3 = gateway.boto3()
        for key, body in bodies.items():
            assert s3.get_object(Bucket="one", Key=key)["Body"].read() == body
        assert content(tmp_path / "objects") == before
        stored = Stored(gateway)
        assert {g for g, _ in stored.bucket_keys.values()} == {generation}
        assert stored.bucket_keys.keys() == wrapped.keys()
        assert {id: blob.wrapped_key for id, blob in stored.blobs.items()} == data_keys
        for id, (_, new) in stored.bucket_keys.items():
            assert stored.keyring().bucket_key(id, generation, new) == stored.keyring().bucket_key(id, *wrapped[id])
        bodies[f"new{generation}"] = os.urandom(1000)
        s3.put_object(Bucket="one", Key=f"new{generation}", Body=bodies[f"new{generation}"])
        for key, body in bodies.items():
            assert Stored(gateway).decrypt(key) == body
    gateway.stop()
    assert ": 0 findings" in arcactl("check", "--config", gateway.config_path, "--deep").stdout


@pytest.fixture
def ring(tmp_path):
    (tmp_path / "key").write_bytes(secrets.token_bytes(32))
    (tmp_path / "other").write_bytes(secrets.token_bytes(32))
    (tmp_path / "short").write_bytes(b"too short")
    (tmp_path / "phrase").write_text("correct horse battery staple\n")
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    arcactl("keyring", "create", tmp_path / "ring", "--key-file", tmp_path / "key")
    whole = (tmp_path / "ring").read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-1])
    (tmp_path / "flipped").write_bytes(whole[:90] + bytes([whole[90] ^ 1]) + whole[91:])
    (tmp_path / "nonsense").write_bytes(b"hello")
    (tmp_path / "none").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("command", ["rotate", "show"])
@pytest.mark.parametrize("file,option,secret,says", [
    ("ring", "--key-file", "other", "is not unlocked by this key file"),
    ("ring", "--passphrase-file", "phrase", "is not unlocked by this passphrase"),
    ("ring", "--key-file", "missing", "missing"),
    ("ring", "--key-file", "short", "32"),
    ("ring", "--key-file", "none", "none"),
    ("ring", None, None, "--key-file"),
    ("absent", "--key-file", "key", "no such keyring"),
    ("cut", "--key-file", "key", "damaged"),
    ("flipped", "--key-file", "key", "damaged"),
    ("nonsense", "--key-file", "key", "not a keyring"),
    ("none", "--key-file", "key", "not a keyring"),
])
def test_keyring_failures_are_clear_and_change_nothing(ring, command, file, option, secret, says):
    before = content(ring)
    options = [option, ring / secret] if option else []
    done = arcactl("keyring", command, ring / file, *options, check=False)
    assert done.returncode == 2 and says in done.stderr and done.stdout == "", done
    assert done.stderr.count("\n") == 1 or option is None
    assert (ring / "key").read_bytes().hex() not in done.stderr
    assert content(ring) == before


@pytest.mark.parametrize("file,secret,says", [
    ("ring", "key", "exists"), ("new", "short", "32"), ("new", "missing", "missing"), ("nonsense", "key", "exists"),
    ("no/folder/ring", "key", "no/folder/ring"),
])
def test_a_keyring_that_cannot_be_made(ring, file, secret, says):
    before = content(ring)
    done = arcactl("keyring", "create", ring / file, "--key-file", ring / secret, check=False)
    assert done.returncode == 2 and says in done.stderr, done
    assert content(ring) == before


def test_each_flipped_byte_of_a_keyring_is_refused(ring):
    whole = (ring / "ring").read_bytes()
    for at in range(0, len(whole), 7):
        (ring / "cut").write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1:])
        done = arcactl("keyring", "show", ring / "cut", "--key-file", ring / "key", check=False)
        assert done.returncode == 2 and done.stdout == "", at

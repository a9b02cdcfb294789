"""arcad's life: config errors, reload, drain, keyrings, one process a folder."""
import concurrent.futures
import http.client
import os
import signal
import ssl
import socket
import subprocess
import threading

import botocore.exceptions
import pytest

from arca import BUILD, Arca, arcactl, wait_until
from test_boto3_objects import fails


def start_fails(gateway):
    gateway.start(wait=False)
    status = gateway.process.wait(60)
    gateway.process = None
    text = gateway.log_text()
    assert status not in (0, -signal.SIGSEGV, -signal.SIGABRT), text
    return text


def check_config(gateway):
    return subprocess.run([BUILD / "arcad", "--check-config", "--config", gateway.config_path], text=True,
                          capture_output=True)


@pytest.mark.parametrize("old,new,says", [
    ("region:", "regoin:", "regoin"),
    ('"write_quorum": 1', '"write_quorum": 2', "write_quorum"),
    ('"write_quorum": 1', '"write_quorum": "one"', "write_quorum"),
    ('"backends": ["local"]', '"backends": ["locl"]', "locl"),
    ('"driver": "disk"', '"driver": "disc"', "disc"),
    ("credentials: credentials.yaml", "credentials: missing.yaml", "missing.yaml"),
    ("grace: 15m", "grace: soon", "grace"),
    ("listeners:", "listeners: 5\nlistenrs:", "listeners"),
    ("loops: 2", "loops: [2", "arca.yaml"),
])
def test_config_errors_name_file_line_and_key(tmp_path, old, new, says):
    gateway = Arca(tmp_path)
    assert check_config(gateway).returncode == 0
    text = gateway.config_path.read_text()
    assert old in text
    gateway.config_path.write_text(text.replace(old, new, 1))
    done = check_config(gateway)
    assert done.returncode != 0
    assert "arca.yaml:" in done.stderr and says in done.stderr, done.stderr
    assert says in start_fails(gateway)


def test_reload_credentials_certificate_and_log_level(tmp_path):
    gateway = Arca(tmp_path, tls=True).start()
    fails("InvalidAccessKeyId", gateway.boto3("ARCATESTNEWKEY000000", "n" * 40).list_buckets)
    gateway.write_credentials(f"- {{name: new, access_key: ARCATESTNEWKEY000000, secret_key: {'n' * 40}, "
                              f"user_id: {'c' * 64}, display_name: New}}\n")
    old = ssl.get_server_certificate(("127.0.0.1", gateway.port))
    gateway._make_certificate()
    gateway.config_path.write_text(gateway.config_path.read_text().replace("level: info", "level: debug"))
    gateway.reload()
    wait_until(lambda: ssl.get_server_certificate(("127.0.0.1", gateway.port)) != old, what="the new certificate is served")

    def new_key_works():
        try:
            return gateway.boto3("ARCATESTNEWKEY000000", "n" * 40).list_buckets()
        except botocore.exceptions.ClientError:
            return None
    wait_until(new_key_works, what="the new key works")
    gateway.write_credentials("- {broken")
    gateway.reload()
    wait_until(lambda: "credentials.yaml" in gateway.log_text(), what="the broken file is reported")
    assert new_key_works()
    gateway.stop()


def test_drain_finishes_what_was_begun(tmp_path):
    gateway = Arca(tmp_path, limits={"drain_timeout": "20s"}).start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="drain")
    url = s3.generate_presigned_url("put_object", Params={"Bucket": "drain", "Key": "k"})
    wire = socket.create_connection(("127.0.0.1", gateway.port), timeout=30)
    wire.sendall(f"PUT {url.split(gateway.host, 1)[1]} HTTP/1.1\r\nHost: {gateway.host}\r\nContent-Length: 6\r\n\r\nabc".encode())
    wait_until(lambda: gateway.metric("arca_body_memory_bytes") > 0, what="the upload has begun")
    idle = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    idle.request("GET", "/")
    idle.getresponse().read()
    gateway.process.send_signal(signal.SIGTERM)
    assert idle.sock.recv(1) == b""
    wire.sendall(b"def")
    assert wire.recv(1000).startswith(b"HTTP/1.1 200")
    assert gateway.process.wait(30) == 0
    gateway.process = None
    gateway.start()
    assert gateway.boto3().get_object(Bucket="drain", Key="k")["Body"].read() == b"abcdef"
    gateway.stop()


def test_state_survives_restarts(tmp_path):
    gateway = Arca(tmp_path).start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="kept")
    for i in range(50):
        s3.put_object(Bucket="kept", Key=f"k{i}", Body=os.urandom(1000) + bytes([i]))
    upload = s3.create_multipart_upload(Bucket="kept", Key="mp")["UploadId"]
    part = s3.upload_part(Bucket="kept", Key="mp", UploadId=upload, PartNumber=1, Body=b"p")["ETag"]
    for _ in range(2):
        gateway.stop()
        gateway.start()
        s3 = gateway.boto3()
        for i in range(50):
            assert s3.get_object(Bucket="kept", Key=f"k{i}")["Body"].read()[1000] == i
    s3.complete_multipart_upload(Bucket="kept", Key="mp", UploadId=upload,
                                 MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    gateway.stop()
    check = arcactl("check", "--config", gateway.config_path)
    assert check.returncode == 0, check.stdout


def test_second_process_is_refused(tmp_path):
    gateway = Arca(tmp_path).start()
    second = Arca.__new__(Arca)
    second.__dict__.update(gateway.__dict__, process=None, log_path=tmp_path / "second.log",
                           config_path=tmp_path / "second.yaml")
    second.config_path.write_text(gateway.config_path.read_text().replace(f"port: {gateway.port}", "port: 0")
                                  .replace(f"port: {gateway.admin_port}", "port: 0"))
    assert "another process" in start_fails(second)
    gateway.boto3().list_buckets()
    gateway.stop()


def test_keyrings(tmp_path):
    gateway = Arca(tmp_path / "a").start()
    gateway.boto3().create_bucket(Bucket="one")
    gateway.boto3().put_object(Bucket="one", Key="k", Body=b"secret")
    gateway.stop()
    key, ring = tmp_path / "a" / "keyring.key", tmp_path / "a" / "keyring"
    good_key, good_ring = key.read_bytes(), ring.read_bytes()

    key.write_bytes(os.urandom(32))
    assert "keyring" in start_fails(gateway)
    key.write_bytes(good_key)
    ring.write_bytes(good_ring[:-1])
    assert "keyring" in start_fails(gateway)
    ring.unlink()
    assert "keyring" in start_fails(gateway)
    arcactl("keyring", "create", ring, "--key-file", key)
    assert "keyring" in start_fails(gateway)
    ring.write_bytes(good_ring)
    gateway.start()
    assert gateway.boto3().get_object(Bucket="one", Key="k")["Body"].read() == b"secret"
    gateway.stop()


def test_rotation_rewraps_and_touches_no_data(tmp_path):
    gateway = Arca(tmp_path).start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="one")
    s3.put_object(Bucket="one", Key="k", Body=b"before")
    gateway.stop()
    before = {p: p.read_bytes() for p in (tmp_path / "objects").rglob("*.seg")}
    arcactl("keyring", "rotate", tmp_path / "keyring", "--key-file", tmp_path / "keyring.key")
    gateway.start()
    s3 = gateway.boto3()
    assert s3.get_object(Bucket="one", Key="k")["Body"].read() == b"before"
    assert {p: p.read_bytes() for p in before} == before
    s3.put_object(Bucket="one", Key="k2", Body=b"after")
    assert s3.get_object(Bucket="one", Key="k2")["Body"].read() == b"after"
    gateway.stop()
    assert "2" in arcactl("keyring", "show", tmp_path / "keyring", "--key-file", tmp_path / "keyring.key").stdout


def test_passphrase_and_systemd_credential(tmp_path):
    gateway = Arca(tmp_path)
    phrase = tmp_path / "phrase"
    phrase.write_text("correct horse battery staple\n")
    (tmp_path / "keyring").unlink()
    arcactl("keyring", "create", tmp_path / "keyring", "--passphrase-file", phrase)
    text = gateway.config_path.read_text()
    gateway.config_path.write_text(text.replace("key_file: keyring.key", "passphrase_file: phrase"))
    gateway.start()
    gateway.boto3().create_bucket(Bucket="one")
    gateway.stop()
    phrase.write_text("wrong horse\n")
    assert "keyring" in start_fails(gateway)

    other = Arca(tmp_path / "credential")
    other.config_path.write_text(other.config_path.read_text().replace("key_file: keyring.key", "credential: arca.key"))
    credentials = tmp_path / "run"
    credentials.mkdir()
    (tmp_path / "credential" / "keyring.key").rename(credentials / "arca.key")
    other.start(env={"CREDENTIALS_DIRECTORY": str(credentials)})
    other.boto3().list_buckets()
    other.stop()


def test_racing_conditional_writes_have_one_winner(plain):
    s3 = plain.boto3(max_pool_connections=16)
    s3.create_bucket(Bucket="race")
    barrier = threading.Barrier(16)

    def attempt(i):
        barrier.wait()
        try:
            s3.put_object(Bucket="race", Key="k", Body=str(i).encode(), IfNoneMatch="*")
            return i
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict")
            return None
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        winners = [w for w in pool.map(attempt, range(16)) if w is not None]
    assert len(winners) == 1
    assert s3.get_object(Bucket="race", Key="k")["Body"].read() == str(winners[0]).encode()


def test_journal_dump_is_readable(tmp_path):
    gateway = Arca(tmp_path).start()
    gateway.boto3().create_bucket(Bucket="dumped")
    gateway.boto3().put_object(Bucket="dumped", Key="some-key", Body=b"x")
    gateway.stop()
    text = arcactl("journal", "dump", "--config", gateway.config_path).stdout
    assert "dumped" in text and "some-key" in text


def test_suites(tmp_path):
    for suite in ("aes-256-gcm", "xchacha20-poly1305", "aegis-256"):
        gateway = Arca(tmp_path / suite, suite=suite).start()
        s3 = gateway.boto3()
        s3.create_bucket(Bucket="suite")
        body = os.urandom(200_000)
        s3.put_object(Bucket="suite", Key="k", Body=body)
        assert s3.get_object(Bucket="suite", Key="k")["Body"].read() == body
        gateway.stop()

"""The wire itself: raw sockets against the real daemon."""
import socket
import ssl
import time
import urllib.request

import pytest

from arca import Arca, wait_until


class Wire:
    def __init__(self, arca):
        self.socket = socket.create_connection(("127.0.0.1", arca.port), timeout=20)
        if arca.tls:
            context = ssl.create_default_context(cafile=arca.folder / "cert.pem")
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())
        return self

    def answer(self, head_only=False):
        """(status, headers, body); status 0 when the connection is closed."""
        line = self.file.readline()
        if not line:
            return 0, {}, b""
        status = int(line.split()[1])
        headers = {}
        while (line := self.file.readline().strip()):
            name, _, value = line.partition(b":")
            headers[name.decode().lower()] = value.strip().decode()
        body = b""
        if not head_only and status not in (100, 204, 304):
            if headers.get("transfer-encoding") == "chunked":
                while (size := int(self.file.readline(), 16)):
                    body += self.file.read(size + 2)[:-2]
                self.file.readline()
            elif "content-length" in headers:
                body = self.file.read(int(headers["content-length"]))
            else:
                body = self.file.read()
        return status, headers, body

    def closed(self):
        return self.file.read(1) == b""


HOST = "Host: localhost\r\n"
BAD_HEADS = {
    "no host": ("GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (f"GET / HTTP/1.1\r\n{HOST}{HOST}\r\n", 400),
    "length and chunked": (f"PUT /b/k HTTP/1.1\r\n{HOST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "two lengths": (f"PUT /b/k HTTP/1.1\r\n{HOST}Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
    "negative length": (f"PUT /b/k HTTP/1.1\r\n{HOST}Content-Length: -3\r\n\r\n", 400),
    "huge length": (f"PUT /b/k HTTP/1.1\r\n{HOST}Content-Length: 99999999999999999999\r\n\r\n", 400),
    "other coding": (f"PUT /b/k HTTP/1.1\r\n{HOST}Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "folded header": (f"GET / HTTP/1.1\r\n{HOST}X-A: 1\r\n 2\r\n\r\n", 400),
    "bare newline": ("GET / HTTP/1.1\nHost: localhost\n\n", 400),
    "bare CR": (f"GET / HTTP/1.1\r\n{HOST}X-A: 1\r2\r\n\r\n", 400),
    "space before colon": (f"GET / HTTP/1.1\r\n{HOST}X-A : 1\r\n\r\n", 400),
    "absolute form": (f"GET http://localhost/ HTTP/1.1\r\n{HOST}\r\n", 400),
    "no version": (f"GET /\r\n{HOST}\r\n", 400),
    "version 2.0": (f"GET / HTTP/2.0\r\n{HOST}\r\n", 505),
    "long line": (f"GET /{'a' * 9000} HTTP/1.1\r\n{HOST}\r\n", 414),
    "long header": (f"GET / HTTP/1.1\r\n{HOST}X-A: {'a' * 9000}\r\n\r\n", 431),
    "huge head": (f"GET / HTTP/1.1\r\n{HOST}" + "".join(f"X-{i}: {'a' * 4000}\r\n" for i in range(20)) + "\r\n", 431),
    "tls hello": ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", BAD_HEADS)
def test_malformed_heads_are_refused_and_the_connection_closed(plain, name):
    head, status = BAD_HEADS[name]
    wire = Wire(plain).send(head.encode("latin-1"))
    assert wire.answer()[0] == status
    assert wire.closed()


def test_pipelining_keeps_order(arca):
    wire = Wire(arca)
    wire.send((f"GET /nope-%d HTTP/1.1\r\n{HOST}\r\n" * 50) % tuple(range(50)))
    ids = []
    for i in range(50):
        status, headers, body = wire.answer()
        assert status == 403 and f"/nope-{i}</Resource>".encode() in body
        ids.append(headers["x-amz-request-id"])
    assert len(set(ids)) == 50


def test_refusal_comes_before_the_body(arca):
    wire = Wire(arca).send(f"PUT /b/k HTTP/1.1\r\n{HOST}Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
    status, _, body = wire.answer()
    assert status == 403 and b"AccessDenied" in body


def test_head_has_no_body(arca):
    wire = Wire(arca).send(f"HEAD /none HTTP/1.1\r\n{HOST}\r\n")
    status, headers, _ = wire.answer(head_only=True)
    assert status == 403
    wire.send(f"GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
    assert wire.answer()[0] == 403
    assert wire.closed()


def test_http_1_0(arca):
    wire = Wire(arca).send("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert wire.answer()[0] == 403
    assert wire.closed()


def test_one_byte_at_a_time(arca):
    wire = Wire(arca)
    for byte in f"GET /slow HTTP/1.1\r\n{HOST}\r\n".encode():
        wire.send(bytes([byte]))
    assert wire.answer()[0] == 403


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    gateway = Arca(tmp_path_factory.mktemp("impatient"), limits={
        "head_timeout": "1s", "body_timeout": "1s", "idle_timeout": "1s", "connections": 20, "body_memory": "32MiB"})
    gateway.start()
    yield gateway
    gateway.stop()


def test_slow_head_and_idle_connections_end(impatient):
    started = time.monotonic()
    wire = Wire(impatient).send("GET / HT")
    assert wire.answer()[0] in (0, 408)
    idle = Wire(impatient)
    assert idle.closed()
    assert time.monotonic() - started < 15


def test_slow_body_ends_and_leaves_nothing(impatient):
    s3 = impatient.boto3()
    s3.create_bucket(Bucket="slow")
    url = s3.generate_presigned_url("put_object", Params={"Bucket": "slow", "Key": "k"})
    wire = Wire(impatient)
    wire.send(f"PUT {url.split(impatient.host, 1)[1]} HTTP/1.1\r\nHost: {impatient.host}\r\nContent-Length: 100\r\n\r\nabc")
    status, _, body = wire.answer()
    assert status in (0, 400, 408), body
    assert "Contents" not in s3.list_objects_v2(Bucket="slow")


def test_connection_cap(impatient):
    wires = [Wire(impatient) for _ in range(20)]
    wires[-1].send(f"GET / HTTP/1.1\r\n{HOST}\r\n")
    wires[-1].answer()
    statuses = []
    for _ in range(5):
        extra = Wire(impatient).send(f"GET / HTTP/1.1\r\n{HOST}\r\n")
        try:
            status, headers, _ = extra.answer()
        except ConnectionResetError:
            continue
        statuses.append(status)
        if status == 503:
            assert int(headers["retry-after"]) > 0
    assert 503 in statuses
    # Who watches the daemon must not take one that is busy for one that is dead.
    with urllib.request.urlopen(f"{impatient.admin}/-/health/live") as answer:
        assert answer.status == 200
    for wire in wires:
        wire.socket.close()


def test_bodies_beyond_the_budget_wait_their_turn(impatient):
    """Ten 8 MiB uploads with memory for three or four: all succeed, none is refused."""
    import concurrent.futures
    s3 = impatient.boto3(max_pool_connections=12)
    s3.create_bucket(Bucket="budget")
    body = bytes(8 << 20)
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda i: s3.put_object(Bucket="budget", Key=str(i), Body=body), range(10)))
    assert len(s3.list_objects_v2(Bucket="budget")["Contents"]) == 10


def test_health_and_metrics(plain):
    s3 = plain.boto3()
    s3.list_buckets()
    for path in ("live", "ready"):
        with urllib.request.urlopen(f"{plain.admin}/-/health/{path}") as answer:
            assert answer.status == 200
    assert plain.metric("arca_requests_total") > 0
    assert plain.metric("arca_journal_batches_total") > 0
    with urllib.request.urlopen(f"{plain.admin}/-/metrics") as answer:
        text = answer.read().decode()
    assert 'operation="ListBuckets"' in text and "arca_request_seconds_bucket" in text


def test_a_client_that_goes_away_is_no_error_of_the_server(plain, plain_bucket):
    s3 = plain.boto3()
    s3.put_object(Bucket=plain_bucket, Key="long", Body=bytes(64 << 20))
    url = s3.generate_presigned_url("get_object", Params={"Bucket": plain_bucket, "Key": "long"})
    wire = Wire(plain).send(f"GET {url.split(plain.host, 1)[1]} HTTP/1.1\r\nHost: {plain.host}\r\n\r\n")
    assert wire.answer(head_only=True)[0] == 200
    wire.file.close()
    wire.socket.close()

    def logged():
        return [r for r in plain.log_events("access") if r.get("key") == "long" and r["operation"] == "GetObject"]
    wait_until(logged, what="the request has ended")
    assert logged()[0]["error"] in ("closed", "canceled")
    assert plain.log_events("s3.failed") == []


def test_access_log_names_who_did_what_and_holds_no_secret(plain, plain_bucket):
    plain.boto3().put_object(Bucket=plain_bucket, Key="patient/1.dcm", Body=b"x")
    url = plain.boto3().generate_presigned_url("get_object", Params={"Bucket": plain_bucket, "Key": "patient/1.dcm"})
    urllib.request.urlopen(url).read()

    def logged():  # a client may have its answer before the log has its line
        records = [r for r in plain.log_events("access") if r.get("key") == "patient/1.dcm"]
        return len(records) > 1 and records
    records = wait_until(logged, what="the access log")
    assert [r["operation"] for r in records] == ["PutObject", "GetObject"]
    assert all(r["user"] == "tests" and r["status"] == 200 and r["request_id"] for r in records)
    from arca import SECRET_KEY
    log = plain.log_text()
    assert SECRET_KEY not in log and "X-Amz-Signature" not in log and url.rsplit("=", 1)[1] not in log

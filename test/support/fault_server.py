#!/usr/bin/env python3
"""An object store that misbehaves, for the contract suite: S3 (path style) and Azure Blob at once.

The bucket or container names the fault. Whatever is asked of an honest one works: every blob exists and is SIZE bytes of a
pattern. `/-/count/NAME` answers how many requests have come for NAME. Prints "http://127.0.0.1:PORT" and serves until killed.
"""
import re
import socket
import struct
import threading
import time

SIZE = 100_000
BLOB = bytes(i % 251 for i in range(SIZE))
SHORT = 26_000  # what is left of a blob that has become shorter
END_MARK = "~end"  # see backends/libs3/end_mark.h: nobody else minds it

counts = {}
lock = threading.Lock()
port = 0


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.path, _, self.query = target.partition("?")
        segments = [s for s in self.path.split("/") if s]
        if segments and segments[0] == "arca":  # Azure's account
            segments.pop(0)
        self.azure = "x-ms-version" in headers
        self.fault = segments[0] if segments else ""
        self.listing = len(segments) <= 1 and method == "GET"
        with lock:
            counts[self.fault] = counts.get(self.fault, 0) + 1
            self.number = counts[self.fault]

    def range(self):
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        return (int(match[1]), int(match[2])) if match else None


def answer(status, body=b"", headers=(), length=None):
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body) if length is None else length}"]
    return ("\r\n".join([*lines, *headers]) + "\r\n\r\n").encode() + body


def partial(first, last, total=SIZE, body=None):
    body = BLOB[first:last + 1] if body is None else body
    return answer(206, body, [f"Content-Range: bytes {first}-{last}/{total}"])


def page(request, keys=(), more=False):
    """A page of a listing, in the dialect of who asks."""
    keys = [*keys, *([] if more else [END_MARK])]
    if request.azure:
        blobs = "".join(f"<Blob><Name>{k}</Name><Properties><Content-Length>{SIZE}</Content-Length></Properties></Blob>"
                        for k in keys)
        return (f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{'onward' if more else ''}</NextMarker>"
                "</EnumerationResults>").encode()
    blobs = "".join(f"<Contents><Key>{k}</Key><LastModified>2026-11-24T00:00:00.000Z</LastModified><ETag>e</ETag>"
                    f"<Size>{SIZE}</Size></Contents>" for k in keys)
    token = "<NextContinuationToken>onward</NextContinuationToken>" if more else ""
    return (f"<ListBucketResult><IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}{blobs}"
            "</ListBucketResult>").encode()


def honest(request):
    if request.method == "PUT":
        checksum = request.headers.get("x-amz-checksum-crc32c")
        return answer(201 if request.azure else 200, headers=[f"x-amz-checksum-crc32c: {checksum}"] if checksum else [])
    if request.method == "DELETE":
        return answer(202 if request.azure else 204)
    if request.listing:
        return answer(200, page(request))
    if request.method == "HEAD":
        return answer(200, length=SIZE)
    if request.range() is None:
        return answer(200, BLOB)
    first, last = request.range()
    return answer(416) if first >= SIZE else partial(first, min(last, SIZE - 1))


def failure(status, code, headers=()):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    return lambda request: answer(status, b"" if request.method == "HEAD" else body,
                                  [f"x-ms-error-code: {code}", "Content-Type: application/xml", *headers])


def recover(request):
    return failure(503, "ServerBusy")(request) if request.number <= 2 else honest(request)


def forbidden(request):
    return failure(403, "AuthenticationFailed" if request.azure else "SignatureDoesNotMatch")(request)


def missing(request):
    return failure(404, "BlobNotFound" if request.azure else "NoSuchKey")(request)


def gone(request):
    return failure(404, "ContainerNotFound" if request.azure else "NoSuchBucket")(request)


def redirect(request):
    return answer(307, b"", [f"Location: http://127.0.0.1:{port}/elsewhere/blob"])


def short(request):
    """The blob has become shorter than what is asked for."""
    if request.method == "HEAD":
        return answer(200, length=SHORT)
    return partial(request.range()[0], SHORT - 1, SHORT) if request.range() else honest(request)


def shifted(request):
    """Other bytes than those that were asked for."""
    if not request.range():
        return honest(request)
    first, last = request.range()
    return partial(first + 1, last + 1)


def mislabeled(request):
    """As many bytes as Content-Range says are not in the body."""
    if not request.range():
        return honest(request)
    first, last = request.range()
    return partial(first, last, body=BLOB[first:last])


def wide(request):
    """More than was asked for."""
    if not request.range():
        return honest(request)
    first, last = request.range()
    return partial(first, last, body=BLOB[first:last + 1] + b"more")


def whole(request):
    """The range is ignored."""
    return answer(200, BLOB) if request.range() else honest(request)


def garbage(request):
    if request.method == "HEAD":
        return honest(request)
    return answer(200, b"<ListBucketResult><Contents><Key>\xff\xfe & </nothing>" * 3)


def bomb(request):
    if not request.listing:
        return honest(request)
    entities = "".join(f"<!ENTITY e{i} '{f'&e{i - 1};' * 10}'>" for i in range(1, 10))
    inner = page(request, ["&e9;"])
    return answer(200, b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e0 'lol'>" + entities.encode() + b"]>" + inner)


def huge(request):
    return answer(200, page(request, ["k" * 1000] * 64) * 256) if request.listing else honest(request)


def endless(request):
    """Each page says that there is one more, and the next one is the same."""
    return answer(200, page(request, ["ab/strange"], more=True)) if request.listing else honest(request)


def crowded(request):
    """A page with more blobs than were asked for."""
    keys = [f"{i % 256:02x}/{0:030x}{i % 256:02x}{0:08x}" for i in range(1500)]
    return answer(200, page(request, keys)) if request.listing else honest(request)


FAULTS = {
    "honest": honest, "recover": recover, "forbidden": forbidden, "missing": missing, "gone": gone,
    "redirect": redirect, "short": short, "shifted": shifted, "mislabeled": mislabeled,
    "wide": wide, "whole": whole, "garbage": garbage, "bomb": bomb, "huge": huge,
    "endless": endless, "crowded": crowded,
    "cutlist": honest,
    "elsewhere": honest,  # where the redirect leads
    "conflict": failure(409, "OperationAborted"),
    "busy": failure(429, "TooManyRequests"),
    "broken": failure(500, "InternalError"),
    "overload": failure(503, "SlowDown", ["Retry-After: 1"]),
    "tomorrow": failure(503, "SlowDown", ["Retry-After: 86400"]),
}


def send(connection, request):
    """False when the connection is not to be used again."""
    if request.fault == "hang":
        time.sleep(60)
        return False
    if request.fault == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    if request.fault == "silent":  # closes without a word
        return False
    if request.fault == "nothttp":
        connection.sendall(b"220 mail.example ESMTP\r\n" * 20)
        return False
    if request.fault == "slow":
        for byte in honest(request):
            connection.sendall(bytes([byte]))
            time.sleep(0.1)
        return True
    if request.fault == "cut" or (request.fault == "cutlist" and request.listing):
        whole_answer = honest(request)
        head, _, body = whole_answer.partition(b"\r\n\r\n")
        if not body:
            head = head.replace(b"Content-Length: 0", b"Content-Length: 100")
        connection.sendall(head + b"\r\n\r\n" + body[:len(body) // 2])
        return False
    connection.sendall(FAULTS[request.fault](request))
    return True


def read_request(stream, connection):
    line = stream.readline(65536).decode("latin-1").split()
    if len(line) != 3:
        return None
    headers = {}
    while (field := stream.readline(65536)) not in (b"\r\n", b"\n", b""):
        name, _, value = field.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("expect") == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = stream.read(int(headers.get("content-length", 0)))
    return line[0], line[1], headers, body


def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        with connection, connection.makefile("rb") as stream:
            while (parts := read_request(stream, connection)) is not None:
                if parts[1].startswith("/-/count/"):
                    connection.sendall(answer(200, str(counts.get(parts[1][9:], 0)).encode(), ["Connection: close"]))
                    return
                if not send(connection, Request(*parts)):
                    stream.close()
                    return
    except OSError:
        pass


def main():
    global port
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    port = listener.getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


main()

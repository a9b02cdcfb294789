"""A completion that takes long: the client hears of it before it gives up, and an error comes in the body."""
import http.client
import subprocess
import threading
import time
import xml.etree.ElementTree

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from arca import ACCESS_KEY, REGION, SECRET_KEY, Arca, wait_until
from programs import SOURCE

EARLY_SECONDS = 5  # PATIENCE_MS
PART = b"x" * 100


@pytest.fixture
def slow(tmp_path):
    """A gateway whose index waits for its disk while the file `gateway.held` is there; `gateway.waiting`: it does."""
    library = tmp_path / "slowsync.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library,
                    SOURCE / "test" / "support" / "slowsync.c", "-ldl"], check=True)
    gateway = Arca(tmp_path / "arca", wrapper=["env", f"LD_PRELOAD={library}"])
    gateway.held = tmp_path / "held"
    gateway.waiting = tmp_path / "held.waiting"
    gateway.start(env={"SLOWSYNC": str(gateway.held), "ASAN_OPTIONS": "verify_asan_link_order=0"})
    gateway.s3 = gateway.boto3(read_timeout=60)
    gateway.s3.create_bucket(Bucket="bucket")
    yield gateway
    gateway.held.unlink(missing_ok=True)
    gateway.stop()


def begin(gateway, key):
    upload = gateway.s3.create_multipart_upload(Bucket="bucket", Key=key)["UploadId"]
    etag = gateway.s3.upload_part(Bucket="bucket", Key=key, UploadId=upload, PartNumber=1, Body=PART)["ETag"]
    return {"Bucket": "bucket", "Key": key, "UploadId": upload,
            "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]}}


class Raw:
    """The completion as bytes, with the time when each came."""

    def __init__(self, gateway, arguments):
        part = arguments["MultipartUpload"]["Parts"][0]
        body = (f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part['ETag']}</ETag></Part>"
                "</CompleteMultipartUpload>")
        path = f"/bucket/{arguments['Key']}?uploadId={arguments['UploadId']}"
        request = AWSRequest("POST", gateway.endpoint + path, data=body)
        S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", REGION).add_auth(request)
        self.connection = http.client.HTTPConnection(gateway.host, timeout=60)
        self.connection.request("POST", path, body, dict(request.headers))
        self.answer = self.connection.getresponse()
        self.head_at = time.monotonic()

    def rest(self):
        return self.answer.read()


def test_the_head_comes_early(slow):
    arguments = begin(slow, "late")
    slow.held.touch()
    started = time.monotonic()
    raw = Raw(slow, arguments)
    assert EARLY_SECONDS - 1 < raw.head_at - started < EARLY_SECONDS + 25  # and not when the disk answers
    assert raw.answer.status == 200 and raw.answer.getheader("x-amz-server-side-encryption") == "AES256"
    declaration = raw.answer.read1()
    assert declaration == b'<?xml version="1.0" encoding="UTF-8"?>\n'
    assert raw.answer.read1() == b" "  # 5 seconds later
    slow.held.unlink()
    document = xml.etree.ElementTree.fromstring(declaration + b" " + raw.rest())
    assert document.tag.endswith("CompleteMultipartUploadResult")
    assert slow.s3.get_object(Bucket="bucket", Key="late")["Body"].read() == PART
    raw.connection.request("GET", "/bucket/late")  # the connection goes on
    assert raw.connection.getresponse().status == 403


def test_an_error_comes_in_the_body(slow):
    """An object that comes first breaks the condition of the completion, which is known only when the disk answers."""
    arguments = begin(slow, "raced")
    slow.held.touch()
    put = threading.Thread(target=slow.s3.put_object, kwargs={"Bucket": "bucket", "Key": "raced", "Body": b"first"})
    put.start()
    wait_until(slow.waiting.exists, what="the object waits for the journal")
    failed = []

    def complete():
        try:
            slow.s3.complete_multipart_upload(**arguments, IfNoneMatch="*")
        except ClientError as error:
            failed.append(error.response)
    completing = threading.Thread(target=complete)
    started = time.monotonic()
    completing.start()
    completing.join(EARLY_SECONDS + 2)
    assert completing.is_alive()
    slow.held.unlink()
    put.join()
    completing.join()
    assert failed[0]["Error"]["Code"] == "PreconditionFailed", failed
    assert time.monotonic() - started > EARLY_SECONDS
    access = wait_until(lambda: [event for event in slow.log_events("access")
                                 if event["operation"] == "CompleteMultipartUpload"], what="the access log")
    assert (access[0]["status"], access[0]["error"]) == (200, "PreconditionFailed")  # boto3 takes it for one to be retried
    assert slow.s3.get_object(Bucket="bucket", Key="raced")["Body"].read() == b"first"


def test_who_leaves_is_not_waited_for(slow):
    """The completion itself goes on: it is in the index's hands."""
    arguments = begin(slow, "left")
    slow.held.touch()
    raw = Raw(slow, arguments)
    raw.answer.close()
    raw.connection.close()
    slow.held.unlink()
    wait_until(lambda: any(event["operation"] == "CompleteMultipartUpload" for event in slow.log_events("access")))
    wait_until(lambda: "Contents" in slow.s3.list_objects_v2(Bucket="bucket", Prefix="left"), 30)

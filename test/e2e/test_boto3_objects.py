"""boto3: objects, one at a time; both checksum settings."""
import base64
import datetime
import hashlib
import io
import time
import zlib

import botocore.exceptions
import pytest

from arca import SECOND_ACCESS_KEY, SECOND_SECRET_KEY

SETTINGS = ["when_supported", "when_required"]
KEYS = ["plain", "with space", "plus+plus", "per%cent", "per%20cent", "ü/日本語/🩻", "a//b", "../up", "./here", "trailing/",
        "quote\"'<>&", "tab\there", "newline\nhere", "cr\rhere", "back\\slash", "\x01control\x1f", "\x7f", "*?[]{}|^`~",
        "k" * 1024, "ä" * 512, "semi;colon=&a=b?x#y"]


@pytest.fixture(params=SETTINGS)
def s3(arca, request):
    return arca.boto3(request_checksum_calculation=request.param, response_checksum_validation=request.param)


def fails(code, call, **kwargs):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**kwargs)
    assert caught.value.response["Error"]["Code"] == code, caught.value.response
    return caught.value.response


@pytest.mark.parametrize("size", [0, 1, 4096, 65535, 65536, 65537, 1 << 20, (8 << 20) - 1, 8 << 20, (8 << 20) + 1])
def test_round_trip(s3, bucket, size):
    body = (bytes(range(255)) * (size // 255 + 1))[:size]
    put = s3.put_object(Bucket=bucket, Key="k", Body=body)
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["ContentLength"] == size and got["Body"].read() == body and got["ETag"] == put["ETag"]
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == size


@pytest.mark.parametrize("key", KEYS)
def test_keys_survive(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [e["Key"] for e in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert [e["Key"] for e in s3.list_objects(Bucket=bucket)["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key="copy of it", CopySource={"Bucket": bucket, "Key": key})
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})
    fails("NoSuchKey", s3.get_object, Bucket=bucket, Key=key)
    assert s3.get_object(Bucket=bucket, Key="copy of it")["Body"].read() == key.encode()


def test_bad_keys(s3, bucket):
    fails("KeyTooLongError", s3.put_object, Bucket=bucket, Key="k" * 1025, Body=b"")


def test_headers_and_metadata_come_back(s3, bucket):
    expires = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="application/dicom", CacheControl="no-store",
                  ContentDisposition='attachment; filename="a b.dcm"', ContentEncoding="gzip", ContentLanguage="de",
                  Expires=expires, WebsiteRedirectLocation="/elsewhere",
                  Metadata={"patient-class": "A", "note": "two  spaces", "empty": ""})
    for got in (s3.get_object(Bucket=bucket, Key="k"), s3.head_object(Bucket=bucket, Key="k")):
        assert got["ContentType"] == "application/dicom" and got["CacheControl"] == "no-store"
        assert got["ContentDisposition"] == 'attachment; filename="a b.dcm"'
        assert got["ContentEncoding"] == "gzip" and got["ContentLanguage"] == "de"
        assert got["WebsiteRedirectLocation"] == "/elsewhere"
        assert got["ExpiresString"] == "Wed, 02 Jan 2030 03:04:05 GMT"
        assert got["Metadata"]["patient-class"] == "A" and got["Metadata"]["empty"] == ""
        assert got["AcceptRanges"] == "bytes"
        assert abs((got["LastModified"] - datetime.datetime.now(datetime.timezone.utc)).total_seconds()) < 120
    s3.put_object(Bucket=bucket, Key="plain", Body=b"x")
    assert s3.head_object(Bucket=bucket, Key="plain")["ContentType"] == "binary/octet-stream"
    fails("MetadataTooLarge", s3.put_object, Bucket=bucket, Key="k", Body=b"x", Metadata={"m": "x" * 2049})


def test_response_overrides(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    got = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="text/x", ResponseCacheControl="c",
                        ResponseContentDisposition="d", ResponseContentEncoding="identity", ResponseContentLanguage="l",
                        ResponseExpires=datetime.datetime(2031, 1, 1))
    assert (got["ContentType"], got["CacheControl"], got["ContentDisposition"], got["ContentLanguage"]) == \
        ("text/x", "c", "d", "l")


@pytest.mark.parametrize("spec,start,end", [("bytes=0-0", 0, 1), ("bytes=5-9", 5, 10), ("bytes=65530-65545", 65530, 65546),
                                           ("bytes=-7", -7, None), ("bytes=199990-", 199990, None),
                                           ("bytes=0-999999999", 0, None), ("bytes=-999999999", 0, None)])
def test_ranges(s3, bucket, spec, start, end):
    body = (bytes(range(249)) * 900)[:200_000]
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    got = s3.get_object(Bucket=bucket, Key="k", Range=spec)
    want = body[start:end]
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["Body"].read() == want
    first = start % len(body)
    assert got["ContentRange"] == f"bytes {first}-{first + len(want) - 1}/{len(body)}"
    assert s3.head_object(Bucket=bucket, Key="k", Range=spec)["ContentLength"] == len(want)


def test_bad_ranges(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    for spec in ("bytes=10-", "bytes=100-200", "bytes=-0"):
        answer = fails("InvalidRange", s3.get_object, Bucket=bucket, Key="k", Range=spec)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 416
    for spec in ("bytes=5-2", "bits=0-1", "bytes=a-b", "bytes=0-1,3-4"):
        assert s3.get_object(Bucket=bucket, Key="k", Range=spec)["Body"].read() == b"0123456789"


def test_conditional_reads(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    before, after = modified - datetime.timedelta(hours=1), modified + datetime.timedelta(seconds=1)
    other = '"00000000000000000000000000000000"'
    for good in ({"IfMatch": etag}, {"IfMatch": "*"}, {"IfNoneMatch": other}, {"IfModifiedSince": before},
                 {"IfUnmodifiedSince": after}, {"IfMatch": etag, "IfUnmodifiedSince": before},
                 {"IfNoneMatch": other, "IfModifiedSince": after}, {"IfMatch": f"{other}, {etag}"}):
        assert s3.get_object(Bucket=bucket, Key="k", **good)["Body"].read() == b"x"
    for bad in ({"IfMatch": other}, {"IfUnmodifiedSince": before}):
        fails("PreconditionFailed", s3.get_object, Bucket=bucket, Key="k", **bad)
    for same in ({"IfNoneMatch": etag}, {"IfNoneMatch": "*"}, {"IfModifiedSince": modified},
                 {"IfNoneMatch": etag, "IfModifiedSince": before}):
        fails("304", s3.get_object, Bucket=bucket, Key="k", **same)


def test_conditional_writes(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    fails("PreconditionFailed", s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=etag)
    fails("PreconditionFailed", s3.put_object, Bucket=bucket, Key="k", Body=b"4", IfMatch=etag)
    fails("NoSuchKey", s3.put_object, Bucket=bucket, Key="absent", Body=b"4", IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"3"
    fails("PreconditionFailed", s3.delete_object, Bucket=bucket, Key="k", IfMatch=etag)
    now = s3.head_object(Bucket=bucket, Key="k")["ETag"]
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=now)
    fails("NoSuchKey", s3.delete_object, Bucket=bucket, Key="k", IfMatch=now)  # of two only one has deleted it
    got = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "ETag": now}, {"Key": "absent"}]})
    assert [e["Code"] for e in got["Errors"]] == ["NoSuchKey"] and [d["Key"] for d in got["Deleted"]] == ["absent"]
    s3.delete_object(Bucket=bucket, Key="k")
    fails("404", s3.head_object, Bucket=bucket, Key="k")


def test_content_md5(s3, bucket):
    md5 = base64.b64encode(hashlib.md5(b"body").digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=b"body", ContentMD5=md5)
    fails("BadDigest", s3.put_object, Bucket=bucket, Key="bad", Body=b"other", ContentMD5=md5)
    fails("InvalidDigest", s3.put_object, Bucket=bucket, Key="bad", Body=b"other", ContentMD5="short")
    fails("404", s3.head_object, Bucket=bucket, Key="bad")


def test_checksums_given_computed_and_refused(s3, bucket):
    crc = base64.b64encode(zlib.crc32(b"abc").to_bytes(4, "big")).decode()
    sha = base64.b64encode(hashlib.sha256(b"abc").digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc", ChecksumCRC32=crc)
    assert s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumCRC32"] == crc
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumType"] == "FULL_OBJECT"
    fails("BadDigest", s3.put_object, Bucket=bucket, Key="bad", Body=b"abd", ChecksumCRC32=crc)
    fails("BadDigest", s3.put_object, Bucket=bucket, Key="bad", Body=b"abd", ChecksumSHA256=sha)
    fails("404", s3.head_object, Bucket=bucket, Key="bad")
    for algorithm in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
        put = s3.put_object(Bucket=bucket, Key=algorithm, Body=b"abc", ChecksumAlgorithm=algorithm)
        head = s3.head_object(Bucket=bucket, Key=algorithm, ChecksumMode="ENABLED")
        assert head["Checksum" + algorithm] == put["Checksum" + algorithm]


def test_attributes(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc", ChecksumAlgorithm="SHA256")
    got = s3.get_object_attributes(Bucket=bucket, Key="k",
                                   ObjectAttributes=["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"])
    assert got["ETag"] == hashlib.md5(b"abc").hexdigest() and got["ObjectSize"] == 3
    assert got["StorageClass"] == "STANDARD"
    assert got["Checksum"]["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(b"abc").digest()).decode()


def test_an_empty_put_does_not_stall_the_connection(s3, bucket):
    """botocore waits for 100 Continue even when there is nothing to send."""
    started = time.monotonic()
    for i in range(4):
        s3.put_object(Bucket=bucket, Key=f"k{i}", Body=b"")
    assert time.monotonic() - started < 20


def test_stream_of_unknown_length_and_overwrite(s3, bucket):
    s3.upload_fileobj(io.BytesIO(b"first"), bucket, "k")
    s3.upload_fileobj(io.BytesIO(b"second" * 3_000_000), bucket, "k")
    out = io.BytesIO()
    s3.download_fileobj(bucket, "k", out)
    assert out.getvalue() == b"second" * 3_000_000


def test_copy(s3, bucket):
    source = {"Bucket": bucket, "Key": "source"}
    etag = s3.put_object(Bucket=bucket, Key="source", Body=b"data", ContentType="text/a", Metadata={"a": "1"})["ETag"]
    answer = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    assert answer["CopyObjectResult"]["ETag"] == etag
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert head["ContentType"] == "text/a" and head["Metadata"] == {"a": "1"}
    s3.copy_object(Bucket=bucket, Key="replaced", CopySource=source, MetadataDirective="REPLACE", ContentType="text/b",
                   Metadata={"b": "2"})
    head = s3.head_object(Bucket=bucket, Key="replaced")
    assert head["ContentType"] == "text/b" and head["Metadata"] == {"b": "2"}
    fails("InvalidRequest", s3.copy_object, Bucket=bucket, Key="source", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="source", CopySource=source, MetadataDirective="REPLACE", Metadata={"c": "3"})
    assert s3.head_object(Bucket=bucket, Key="source")["Metadata"] == {"c": "3"}
    s3.delete_object(Bucket=bucket, Key="source")
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"data"
    fails("NoSuchKey", s3.copy_object, Bucket=bucket, Key="c", CopySource=source)
    fails("NoSuchBucket", s3.copy_object, Bucket=bucket, Key="c", CopySource={"Bucket": "no-such-b", "Key": "k"})


def test_copy_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="s", Body=b"data")["ETag"]
    source = {"Bucket": bucket, "Key": "s"}
    hour = datetime.timedelta(hours=1)
    now = s3.head_object(Bucket=bucket, Key="s")["LastModified"]
    s3.copy_object(Bucket=bucket, Key="c", CopySource=source, CopySourceIfMatch=etag, CopySourceIfUnmodifiedSince=now - hour)
    for bad in ({"CopySourceIfMatch": '"x"'}, {"CopySourceIfNoneMatch": etag}, {"CopySourceIfUnmodifiedSince": now - hour},
                {"CopySourceIfModifiedSince": now}):
        fails("PreconditionFailed", s3.copy_object, Bucket=bucket, Key="c", CopySource=source, **bad)


def test_copy_between_buckets_outlives_the_source(s3, arca, bucket):
    s3.create_bucket(Bucket=bucket + "-x")
    s3.put_object(Bucket=bucket + "-x", Key="k", Body=b"kept")
    s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}-x/k")
    s3.delete_object(Bucket=bucket + "-x", Key="k")
    s3.delete_bucket(Bucket=bucket + "-x")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"kept"


def test_delete_objects(s3, bucket):
    for i in range(5):
        s3.put_object(Bucket=bucket, Key=f"k{i}", Body=b"x")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": f"k{i}"} for i in range(4)] + [{"Key": "none"}]})
    assert sorted(e["Key"] for e in answer["Deleted"]) == ["k0", "k1", "k2", "k3", "none"]
    assert "Deleted" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k4"}], "Quiet": True})
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    fails("MalformedXML", s3.delete_objects, Bucket=bucket, Delete={"Objects": [{"Key": str(i)} for i in range(1001)]})
    s3.delete_object(Bucket=bucket, Key="never was")


def test_storage_class_and_encryption_headers(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", StorageClass="STANDARD_IA", ServerSideEncryption="AES256")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["StorageClass"] == "STANDARD_IA" and head["ServerSideEncryption"] == "AES256"


def test_second_user_and_wrong_secrets(arca, bucket):
    other = arca.boto3(SECOND_ACCESS_KEY, SECOND_SECRET_KEY)
    other.put_object(Bucket=bucket, Key="k", Body=b"x")
    fails("SignatureDoesNotMatch", arca.boto3(secret_key="wrong" * 8).get_object, Bucket=bucket, Key="k")
    fails("InvalidAccessKeyId", arca.boto3(access_key="AKIANOBODY0000000000").get_object, Bucket=bucket, Key="k")

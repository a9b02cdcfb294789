"""boto3: multipart uploads."""
import base64
import concurrent.futures
import hashlib
import zlib

import pytest

from test_boto3_objects import fails

MIB = 1 << 20


@pytest.fixture
def s3(arca):
    return arca.boto3()


def part_body(i, size=5 * MIB):
    return bytes([i]) * (size - 1) + b"."


def etag_of(bodies):
    return f'"{hashlib.md5(b"".join(hashlib.md5(b).digest() for b in bodies)).hexdigest()}-{len(bodies)}"'


def upload(s3, bucket, key, bodies, numbers=None, **kwargs):
    numbers = numbers or range(1, len(bodies) + 1)
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key, **kwargs)["UploadId"]
    parts = [{"PartNumber": n, "ETag": s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=n,
                                                      Body=body)["ETag"]} for n, body in zip(numbers, bodies)]
    return upload_id, parts


def test_life(s3, bucket):
    bodies = [part_body(1), part_body(2, 6 * MIB + 3), b"tail"]
    upload_id, parts = upload(s3, bucket, "k", bodies, ContentType="text/x", Metadata={"m": "1"})
    fails("404", s3.head_object, Bucket=bucket, Key="k")
    done = s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload={"Parts": parts})
    assert done["ETag"] == etag_of(bodies)
    whole = b"".join(bodies)
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == whole and got["ETag"] == done["ETag"] and got["ContentType"] == "text/x"
    for start, end in ((0, 10), (5 * MIB - 3, 5 * MIB + 3), (len(whole) - 5, len(whole)), (100, 11 * MIB + 2)):
        got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={start}-{end - 1}")
        assert got["Body"].read() == whole[start:end]
    for number, body in enumerate(bodies, 1):
        got = s3.get_object(Bucket=bucket, Key="k", PartNumber=number)
        assert got["Body"].read() == body and got["PartsCount"] == 3
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert fails("InvalidPartNumber", s3.get_object, Bucket=bucket, Key="k", PartNumber=4)
    again = s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload={"Parts": parts})
    assert again["ETag"] == done["ETag"]
    fails("NoSuchUpload", s3.upload_part, Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=4, Body=b"x")


def test_out_of_order_replaced_left_out_and_gaps(s3, bucket):
    upload_id, _ = upload(s3, bucket, "k", [part_body(9), part_body(8), part_body(7), b"never used"], [7, 3, 5, 10000])
    replaced = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=3, Body=part_body(4))["ETag"]
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)
    assert [p["PartNumber"] for p in listed["Parts"]] == [3, 5, 7, 10000]
    by_number = {p["PartNumber"]: p["ETag"] for p in listed["Parts"]}
    assert by_number[3] == replaced
    page = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id, MaxParts=2)
    assert page["IsTruncated"] and page["NextPartNumberMarker"] == 5
    chosen = [{"PartNumber": n, "ETag": by_number[n]} for n in (3, 5, 7)]
    fails("InvalidPartOrder", s3.complete_multipart_upload, Bucket=bucket, Key="k", UploadId=upload_id,
          MultipartUpload={"Parts": chosen[::-1]})
    fails("InvalidPart", s3.complete_multipart_upload, Bucket=bucket, Key="k", UploadId=upload_id,
          MultipartUpload={"Parts": [dict(chosen[0], ETag='"bad"')]})
    fails("InvalidPart", s3.complete_multipart_upload, Bucket=bucket, Key="k", UploadId=upload_id,
          MultipartUpload={"Parts": chosen + [{"PartNumber": 11, "ETag": replaced}]})
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload={"Parts": chosen})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == part_body(4) + part_body(7) + part_body(9)
    parts = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts"])["ObjectParts"]
    assert parts["TotalPartsCount"] == 3


def test_small_parts_and_bad_numbers(s3, bucket):
    upload_id, parts = upload(s3, bucket, "k", [b"small", b"small too"])
    fails("EntityTooSmall", s3.complete_multipart_upload, Bucket=bucket, Key="k", UploadId=upload_id,
          MultipartUpload={"Parts": parts})
    for number in (0, 10001):
        fails("InvalidArgument", s3.upload_part, Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=number, Body=b"x")
    fails("MalformedXML", s3.complete_multipart_upload, Bucket=bucket, Key="k", UploadId=upload_id,
          MultipartUpload={"Parts": []})
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload={"Parts": parts[:1]})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"small"


def test_abort_and_unknown(s3, bucket):
    upload_id, _ = upload(s3, bucket, "k", [b"x"])
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id)
    for call, more in ((s3.abort_multipart_upload, {}), (s3.list_parts, {}),
                       (s3.upload_part, {"PartNumber": 1, "Body": b"x"})):
        fails("NoSuchUpload", call, Bucket=bucket, Key="k", UploadId=upload_id, **more)
    fails("NoSuchUpload", s3.list_parts, Bucket=bucket, Key="k", UploadId="../../etc")


def test_list_uploads(s3, bucket):
    made = sorted((key, s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"])
                  for key in ("a/1", "a/2", "a/2", "b", "ü"))
    got = s3.list_multipart_uploads(Bucket=bucket)
    assert sorted((u["Key"], u["UploadId"]) for u in got["Uploads"]) == made
    got = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [p["Prefix"] for p in got["CommonPrefixes"]] == ["a/"] and [u["Key"] for u in got["Uploads"]] == ["b", "ü"]
    seen = []
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2}):
        seen += [(u["Key"], u["UploadId"]) for u in page.get("Uploads", [])]
    assert sorted(seen) == made and len(seen) == 5


def test_parts_in_parallel(s3, bucket):
    bodies = [part_body(i) for i in range(8)]
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        etags = list(pool.map(lambda i: s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=i + 1,
                                                       Body=bodies[i])["ETag"], range(8)))
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload={
        "Parts": [{"PartNumber": i + 1, "ETag": etag} for i, etag in enumerate(etags)]})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"".join(bodies)


def test_copies_and_part_copies(s3, bucket):
    bodies = [part_body(1), b"end"]
    upload_id, parts = upload(s3, bucket, "source", bodies)
    etag = s3.complete_multipart_upload(Bucket=bucket, Key="source", UploadId=upload_id,
                                        MultipartUpload={"Parts": parts})["ETag"]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/source")
    assert s3.head_object(Bucket=bucket, Key="copy")["ETag"] == etag
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    one = s3.upload_part_copy(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, CopySource=f"{bucket}/source")
    two = s3.upload_part_copy(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=2, CopySource=f"{bucket}/source",
                              CopySourceRange=f"bytes={5 * MIB - 2}-{5 * MIB + 1}")
    fails("InvalidArgument", s3.upload_part_copy, Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=3,
          CopySource=f"{bucket}/source", CopySourceRange="bytes=0-99999999")
    fails("PreconditionFailed", s3.upload_part_copy, Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=3,
          CopySource=f"{bucket}/source", CopySourceIfMatch='"no"')
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload={"Parts": [
        {"PartNumber": n, "ETag": copied["CopyPartResult"]["ETag"]} for n, copied in ((1, one), (2, two))]})
    whole = b"".join(bodies)
    s3.delete_object(Bucket=bucket, Key="source")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == whole + whole[5 * MIB - 2:5 * MIB + 2]
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == whole


@pytest.mark.parametrize("algorithm,kind", [("CRC32", "FULL_OBJECT"), ("CRC32", "COMPOSITE"), ("SHA256", "COMPOSITE")])
def test_checksums(s3, bucket, algorithm, kind):
    bodies = [part_body(3), b"rest"]
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType=kind)["UploadId"]
    field = "Checksum" + algorithm
    parts = []
    for n, body in enumerate(bodies, 1):
        answer = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=n, Body=body,
                                ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": n, "ETag": answer["ETag"], field: answer[field]})
    digest = (lambda b: zlib.crc32(b).to_bytes(4, "big")) if algorithm == "CRC32" else (lambda b: hashlib.sha256(b).digest())
    if kind == "FULL_OBJECT":
        want = base64.b64encode(digest(b"".join(bodies))).decode()
    else:
        want = base64.b64encode(digest(b"".join(digest(b) for b in bodies))).decode() + "-2"
    fails("BadDigest", s3.complete_multipart_upload, Bucket=bucket, Key="k", UploadId=upload_id,
          MultipartUpload={"Parts": parts}, ChecksumType=kind, **{field: want.replace(want[0], "B" if want[0] == "A" else "A", 1)})
    done = s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload={"Parts": parts},
                                        ChecksumType=kind, **{field: want})
    assert done[field] == want and done["ChecksumType"] == kind
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[field] == want and head["ChecksumType"] == kind


def test_conditional_completion(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"present")
    upload_id, parts = upload(s3, bucket, "k", [b"new"])
    fails("PreconditionFailed", s3.complete_multipart_upload, Bucket=bucket, Key="k", UploadId=upload_id,
          MultipartUpload={"Parts": parts}, IfNoneMatch="*")
    s3.delete_object(Bucket=bucket, Key="k")
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload={"Parts": parts},
                                 IfNoneMatch="*")


def test_a_thousand_parts_list_and_read(plain, plain_bucket):
    """Parts are rows: many of them page, and the last is found as fast as the first. (Parts of 5 MiB would be 50 GB.)"""
    s3 = plain.boto3()
    upload_id = s3.create_multipart_upload(Bucket=plain_bucket, Key="k")["UploadId"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: s3.upload_part(Bucket=plain_bucket, Key="k", UploadId=upload_id, PartNumber=n, Body=b"%d" % n),
                      range(1, 1202)))
    seen = []
    for page in s3.get_paginator("list_parts").paginate(Bucket=plain_bucket, Key="k", UploadId=upload_id):
        seen += [p["PartNumber"] for p in page["Parts"]]
    assert seen == list(range(1, 1202))
    s3.abort_multipart_upload(Bucket=plain_bucket, Key="k", UploadId=upload_id)

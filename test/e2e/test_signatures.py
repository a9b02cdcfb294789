"""Signatures of both versions: boto3's and aws-cli's presigned URLs (version 2 for us-east-1), s3cmd --signature-v2."""
import base64
import hashlib
import hmac
import http.client
import time
from email.utils import formatdate
from urllib.parse import quote, urlsplit

import pytest
from botocore.exceptions import ClientError

from arca import ACCESS_KEY, SECRET_KEY

VERSIONS = ["s3", "s3v4"]


def fetch(arca, url, method="GET", body=None, headers=None, host=None):
    """The answer's status, headers and body, from the gateway's own address whatever the URL's host."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", arca.port, timeout=30)
    try:
        target = parts.path + ("?" + parts.query if parts.query else "")
        connection.request(method, target, body=body, headers={"Host": host or parts.netloc, **(headers or {})})
        answer = connection.getresponse()
        return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), answer.read()
    finally:
        connection.close()


def version_of(url):
    return "s3" if "AWSAccessKeyId=" in url else "s3v4"


def code_of(answer):
    body = answer[2].decode()
    return answer[0], body.partition("<Code>")[2].partition("</Code>")[0]


def sign_v2(method, resource, date, amz=""):
    text = f"{method}\n\n\n{date}\n{amz}{resource}"
    return base64.b64encode(hmac.new(SECRET_KEY.encode(), text.encode(), hashlib.sha1).digest()).decode()


@pytest.mark.parametrize("version", VERSIONS)
def test_boto3_signs_every_request(arca, bucket, version):
    s3 = arca.boto3(signature_version=version)
    key = "größe/a b+c%20.txt"
    body = b"x" * 70_000
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/x-test", Metadata={"note": "a  b"},
                  ContentMD5=base64.b64encode(hashlib.md5(body).digest()).decode())
    found = s3.get_object(Bucket=bucket, Key=key, Range="bytes=0-9", ResponseContentType="text/other",
                          ResponseContentDisposition='attachment; filename="a&b +.txt"')
    assert found["Body"].read() == b"x" * 10
    assert (found["ContentType"], found["Metadata"]) == ("text/other", {"note": "a  b"})
    assert found["ContentDisposition"] == 'attachment; filename="a&b +.txt"'
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=body)
    assert len(s3.list_parts(Bucket=bucket, Key="parts", UploadId=upload)["Parts"]) == 1
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload,
                                 MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    listed = {entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert listed == {key, "copy", "parts"}
    assert s3.get_bucket_location(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_bucket_versioning(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert bucket in {b["Name"] for b in s3.list_buckets()["Buckets"]}
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": name} for name in listed]})
    assert "Contents" not in s3.list_objects(Bucket=bucket)


@pytest.mark.parametrize("version", VERSIONS)
def test_boto3_wrong_secret(arca, bucket, version):
    stranger = arca.boto3(secret_key="not-the-secret-0000000000", signature_version=version)
    with pytest.raises(ClientError) as refused:
        stranger.list_objects_v2(Bucket=bucket)
    assert refused.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_default_presigned_url_is_version_2(plain, plain_bucket):
    """What the SDK does by itself for us-east-1; when it no longer does, the tests below still ask for it."""
    plain.boto3().put_object(Bucket=plain_bucket, Key="k", Body=b"hello")
    url = plain.boto3().generate_presigned_url("get_object", Params={"Bucket": plain_bucket, "Key": "k"})
    assert fetch(plain, url)[::2] == (200, b"hello")


@pytest.mark.parametrize("version", VERSIONS)
def test_presigned_get(plain, plain_bucket, version):
    s3 = plain.boto3(signature_version=version)
    s3.put_object(Bucket=plain_bucket, Key="a b+c/ü%", Body=b"hello")
    url = s3.generate_presigned_url("get_object", Params={
        "Bucket": plain_bucket, "Key": "a b+c/ü%", "ResponseContentType": "text/csv; charset=utf-8",
        "ResponseContentDisposition": 'attachment; filename="r&d +.csv"', "ResponseCacheControl": "no-store"})
    assert version_of(url) == version
    status, headers, body = fetch(plain, url)
    assert (status, body, headers["content-type"]) == (200, b"hello", "text/csv; charset=utf-8")
    assert headers["content-disposition"] == 'attachment; filename="r&d +.csv"'
    assert headers["cache-control"] == "no-store"
    assert fetch(plain, url, headers={"Range": "bytes=1-2"})[::2] == (206, b"el")
    assert code_of(fetch(plain, url, method="PUT", body=b"")) == (403, "SignatureDoesNotMatch")
    assert code_of(fetch(plain, url.replace("csv", "html"))) == (403, "SignatureDoesNotMatch")
    assert code_of(fetch(plain, url + "&response-expires=never")) == (403, "SignatureDoesNotMatch")
    assert code_of(fetch(plain, url + "&acl")) == (403, "SignatureDoesNotMatch")
    assert code_of(fetch(plain, url + "&attributes")) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("version", VERSIONS)
def test_presigned_put(plain, plain_bucket, version):
    s3 = plain.boto3(signature_version=version)
    url = s3.generate_presigned_url("put_object", Params={"Bucket": plain_bucket, "Key": "k",
                                                          "ContentType": "text/x-test", "Metadata": {"a": "b"}})
    assert version_of(url) == version
    signed = {"Content-Type": "text/x-test", "x-amz-meta-a": "b"}
    assert fetch(plain, url, "PUT", b"hello", signed)[0] == 200
    head = s3.head_object(Bucket=plain_bucket, Key="k")
    assert (head["ContentType"], head["Metadata"], head["ContentLength"]) == ("text/x-test", {"a": "b"}, 5)
    assert code_of(fetch(plain, url, "PUT", b"x", {**signed, "x-amz-meta-a": "c"})) == (403, "SignatureDoesNotMatch")
    assert fetch(plain, url, "PUT", b"x", {**signed, "x-amz-acl": "public-read"})[0] == 403
    chunked = {**signed, "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
               "Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "1"}
    assert fetch(plain, url, "PUT", b"1\r\nx\r\n0\r\n\r\n", chunked)[0] in (400, 403)
    assert s3.get_object(Bucket=plain_bucket, Key="k")["Body"].read() == b"hello"


@pytest.mark.parametrize("version", VERSIONS)
def test_presigned_list_part_and_delete(plain, plain_bucket, version):
    s3 = plain.boto3(signature_version=version)
    upload = {"Bucket": plain_bucket, "Key": "k", "UploadId":
              s3.create_multipart_upload(Bucket=plain_bucket, Key="k")["UploadId"]}
    part = s3.generate_presigned_url("upload_part", Params={**upload, "PartNumber": 1})
    status, headers, _ = fetch(plain, part, "PUT", b"hello")
    assert status == 200
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": headers["etag"]}]})
    listing = s3.generate_presigned_url("list_objects_v2", Params={"Bucket": plain_bucket, "Prefix": "k"})
    assert b"<Key>k</Key>" in fetch(plain, listing)[2]
    assert fetch(plain, s3.generate_presigned_url("head_bucket", Params={"Bucket": plain_bucket}), "HEAD")[0] == 200
    assert fetch(plain, s3.generate_presigned_url("list_buckets"))[0] == 200
    remove = s3.generate_presigned_url("delete_object", Params={"Bucket": plain_bucket, "Key": "k"})
    assert fetch(plain, remove, "DELETE")[0] == 204
    assert b"<Key>k</Key>" not in fetch(plain, listing)[2]


def test_a_presigned_part_does_not_become_an_object(plain, plain_bucket):
    """Version 2 signs parameters decoded: "partNumber=1%26uploadId=ID" reads the same, and would be a PutObject."""
    s3 = plain.boto3(signature_version="s3")
    s3.put_object(Bucket=plain_bucket, Key="k", Body=b"precious")
    upload = s3.create_multipart_upload(Bucket=plain_bucket, Key="k")["UploadId"]
    url = s3.generate_presigned_url("upload_part", Params={"Bucket": plain_bucket, "Key": "k", "UploadId": upload,
                                                           "PartNumber": 1})
    query = f"partNumber=1%26uploadId={upload}"
    forged = url.split("?")[0] + f"?{query}&" + url[url.index("AWSAccessKeyId"):]
    assert fetch(plain, forged, "PUT", b"evil")[0] == 400
    assert s3.get_object(Bucket=plain_bucket, Key="k")["Body"].read() == b"precious"


def test_presigned_url_expires(plain, plain_bucket):
    def get(expires):
        return fetch(plain, f"{plain.endpoint}/{plain_bucket}?AWSAccessKeyId={ACCESS_KEY}&Expires={expires}&Signature="
                     + quote(sign_v2("GET", f"/{plain_bucket}", expires), safe=""))

    assert get(int(time.time()) + 60)[0] == 200
    expired = get(int(time.time()) - 1)
    assert code_of(expired) == (403, "AccessDenied") and b"Request has expired" in expired[2]
    assert code_of(get("tomorrow")) == (403, "AccessDenied")


@pytest.mark.parametrize("version", VERSIONS)
def test_virtual_host_style(plain, plain_bucket, version):
    import boto3
    import botocore.config
    plain.boto3().put_object(Bucket=plain_bucket, Key="v h/k", Body=b"virtual")
    virtual = boto3.client("s3", endpoint_url=f"http://s3.arca.test:{plain.port}", aws_access_key_id=ACCESS_KEY,
                           aws_secret_access_key=SECRET_KEY, region_name="us-east-1",
                           config=botocore.config.Config(s3={"addressing_style": "virtual"}, signature_version=version))
    url = virtual.generate_presigned_url("get_object", Params={"Bucket": plain_bucket, "Key": "v h/k"})
    assert version_of(url) == version and f"//{plain_bucket}.s3.arca.test" in url
    assert fetch(plain, url)[::2] == (200, b"virtual")
    listing = virtual.generate_presigned_url("list_objects", Params={"Bucket": plain_bucket})
    assert b"<Key>v%20h/k</Key>" in fetch(plain, listing)[2]
    other = fetch(plain, url, host=f"other-bucket.s3.arca.test:{plain.port}")
    assert code_of(other) == (403, "SignatureDoesNotMatch")


def test_header_dates(plain, plain_bucket):
    """Old clients: Date with a numeric zone, or x-amz-date, which is then signed in its own place."""
    target = f"/{plain_bucket}"
    now = formatdate(usegmt=True).replace("GMT", "+0000")
    old = formatdate(time.time() - 1000, usegmt=True)

    def get(signature, **headers):
        return code_of(fetch(plain, plain.endpoint + target, headers={
            "Authorization": f"AWS {ACCESS_KEY}:{signature}", **{k.replace("_", "-"): v for k, v in headers.items()}}))

    assert get(sign_v2("GET", target, now), Date=now)[0] == 200
    assert get(sign_v2("GET", target, "", f"x-amz-date:{now}\n"), x_amz_date=now)[0] == 200
    assert get(sign_v2("GET", target, "", f"x-amz-date:{now}\n"), x_amz_date=now, Date=old)[0] == 200
    assert get(sign_v2("GET", target, old), Date=old) == (403, "RequestTimeTooSkewed")
    assert get(sign_v2("GET", target, "")) == (403, "AccessDenied")
    assert get(sign_v2("PUT", target, now), Date=now) == (403, "SignatureDoesNotMatch")


def test_a_digest_is_checked(plain, plain_bucket):
    now = formatdate(usegmt=True)
    digest = hashlib.sha256(b"hello").hexdigest()
    signature = sign_v2("PUT", f"/{plain_bucket}/k", now, f"x-amz-content-sha256:{digest}\n")
    headers = {"Authorization": f"AWS {ACCESS_KEY}:{signature}", "Date": now, "x-amz-content-sha256": digest}
    url = f"{plain.endpoint}/{plain_bucket}/k"
    assert code_of(fetch(plain, url, "PUT", b"jello", headers)) == (400, "XAmzContentSHA256Mismatch")
    assert fetch(plain, url, "PUT", b"hello", headers)[0] == 200


def test_aws_cli_presign(plain, plain_bucket):
    plain.boto3().put_object(Bucket=plain_bucket, Key="dir/a b.txt", Body=b"hello")
    url = plain.aws("s3", "presign", f"s3://{plain_bucket}/dir/a b.txt", "--expires-in", "60").stdout.strip()
    assert fetch(plain, url)[::2] == (200, b"hello")
    assert code_of(fetch(plain, url.replace("a%20b", "a%20c"))) == (403, "SignatureDoesNotMatch")


def test_s3cmd_signature_v2(arca, bucket, tmp_path):
    source = tmp_path / "report ü+&.bin"
    source.write_bytes(b"findings\n" * 1_000_000)
    arca.s3cmd("--signature-v2", "put", "--multipart-chunk-size-mb=5", source, f"s3://{bucket}/a/report ü+&.bin")
    assert f"s3://{bucket}/a/report ü+&.bin" in arca.s3cmd("--signature-v2", "ls", "-r", f"s3://{bucket}").stdout
    arca.s3cmd("--signature-v2", "get", f"s3://{bucket}/a/report ü+&.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == source.read_bytes()
    arca.s3cmd("--signature-v2", "info", f"s3://{bucket}/a/report ü+&.bin")
    arca.s3cmd("--signature-v2", "info", f"s3://{bucket}")
    arca.s3cmd("--signature-v2", "cp", f"s3://{bucket}/a/report ü+&.bin", f"s3://{bucket}/copy")
    arca.s3cmd("--signature-v2", "del", "--recursive", "--force", f"s3://{bucket}")
    assert arca.s3cmd("--signature-v2", "ls", "-r", f"s3://{bucket}").stdout == ""


def test_s3cmd_signurl(plain, plain_bucket):
    plain.boto3().put_object(Bucket=plain_bucket, Key="k", Body=b"hello")
    url = plain.s3cmd("--signature-v2", "signurl", f"s3://{plain_bucket}/k", "+60").stdout.strip()
    assert fetch(plain, url)[::2] == (200, b"hello")

"""aws-cli: CRC64NVME by default, Expect: 100-continue, unsigned trailers over TLS, parallel ranged downloads."""
import json
import re
import urllib.error
import urllib.request

from datasets import mixed_folder, tree


def test_cp_mv_rm(arca, bucket, tmp_path):
    source = tmp_path / "a.txt"
    source.write_bytes(b"hello " * 10_000)
    arca.aws("s3", "cp", source, f"s3://{bucket}/dir/a.txt", "--content-type=text/x-test")
    arca.aws("s3", "cp", f"s3://{bucket}/dir/a.txt", tmp_path / "b.txt")
    assert (tmp_path / "b.txt").read_bytes() == source.read_bytes()
    arca.aws("s3", "mv", f"s3://{bucket}/dir/a.txt", f"s3://{bucket}/moved.txt")
    listing = arca.aws("s3", "ls", "--recursive", f"s3://{bucket}").stdout
    assert "moved.txt" in listing and "dir/a.txt" not in listing
    arca.aws("s3", "rm", f"s3://{bucket}/moved.txt")
    assert arca.aws("s3", "ls", f"s3://{bucket}").stdout == ""


def test_sync(arca, bucket, tmp_path):
    source = mixed_folder(tmp_path / "source", 150)
    arca.aws("s3", "sync", source, f"s3://{bucket}/tree", "--quiet")
    assert arca.aws("s3", "sync", source, f"s3://{bucket}/tree").stdout == ""
    arca.aws("s3", "sync", f"s3://{bucket}/tree", tmp_path / "back", "--quiet")
    assert tree(tmp_path / "back") == tree(source)
    arca.aws("s3", "rm", "--recursive", "--quiet", f"s3://{bucket}/tree")
    assert arca.aws("s3", "ls", f"s3://{bucket}").stdout == ""


def test_large_file_both_ways(arca, bucket, tmp_path):
    source = tmp_path / "large.bin"
    source.write_bytes(bytes(range(251)) * 200_000)
    arca.aws("s3", "cp", source, f"s3://{bucket}/large.bin", "--quiet")
    arca.aws("s3", "cp", f"s3://{bucket}/large.bin", tmp_path / "back.bin", "--quiet")
    assert (tmp_path / "back.bin").read_bytes() == source.read_bytes()
    arca.aws("s3", "cp", f"s3://{bucket}/large.bin", f"s3://{bucket}/copy.bin", "--quiet")
    head = json.loads(arca.aws("s3api", "head-object", "--bucket", bucket, "--key", "copy.bin").stdout)
    assert head["ContentLength"] == source.stat().st_size


def test_standard_input_and_output(arca, bucket):
    arca.aws("s3", "cp", "-", f"s3://{bucket}/piped", input="through a pipe\n")
    assert arca.aws("s3", "cp", f"s3://{bucket}/piped", "-").stdout == "through a pipe\n"


def test_presign(plain, plain_bucket):
    plain.boto3().put_object(Bucket=plain_bucket, Key="p q", Body=b"presigned")
    url = plain.aws("s3", "presign", f"s3://{plain_bucket}/p q", "--expires-in=60").stdout.strip()
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"presigned"
    for broken in (url + "&response-content-type=text/html", url.replace("p%20q", "p%20r"), re.sub(r"(Expires=)(\d)", r"\g<1>9", url)):
        try:
            urllib.request.urlopen(broken)
            raise AssertionError(f"accepted: {broken}")
        except urllib.error.HTTPError as error:
            assert error.code == 403


def test_s3api(arca, bucket, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"0123456789")
    def api(operation, *args, **kwargs):
        out = arca.aws("s3api", operation, "--bucket", bucket, *args, **kwargs).stdout
        return json.loads(out) if out.strip() else {}
    for algorithm in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
        put = api("put-object", "--key", algorithm, "--body", body, "--checksum-algorithm", algorithm)
        field = "Checksum" + algorithm
        assert put[field]
        got = api("get-object", "--key", algorithm, "--checksum-mode", "ENABLED", tmp_path / "out")
        assert got[field] == put[field] and (tmp_path / "out").read_bytes() == b"0123456789"
        attributes = api("get-object-attributes", "--key", algorithm, "--object-attributes", "ETag", "Checksum",
                         "ObjectSize", "StorageClass")
        assert attributes["Checksum"][field] == put[field] and attributes["ObjectSize"] == 10
    assert api("get-bucket-location") in ({}, {"LocationConstraint": None})
    assert api("get-object", "--key", "SHA1", "--range", "bytes=2-4", tmp_path / "out")["ContentRange"] == "bytes 2-4/10"
    assert (tmp_path / "out").read_bytes() == b"234"
    api("copy-object", "--copy-source", f"{bucket}/SHA1", "--key", "copy", "--metadata-directive", "REPLACE",
        "--metadata", "a=b")
    assert api("head-object", "--key", "copy")["Metadata"] == {"a": "b"}
    api("delete-objects", "--delete", '{"Objects":[{"Key":"copy"},{"Key":"SHA1"},{"Key":"never"}]}')
    keys = [entry["Key"] for entry in api("list-objects-v2")["Contents"]]
    assert keys == ["CRC32", "CRC32C", "CRC64NVME", "SHA256"]
    upload = api("create-multipart-upload", "--key", "mp")["UploadId"]
    assert api("list-multipart-uploads")["Uploads"][0]["UploadId"] == upload
    part = api("upload-part", "--key", "mp", "--upload-id", upload, "--part-number", "1", "--body", body)
    assert api("list-parts", "--key", "mp", "--upload-id", upload)["Parts"][0]["ETag"] == part["ETag"]
    api("complete-multipart-upload", "--key", "mp", "--upload-id", upload, "--multipart-upload",
        json.dumps({"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}))
    assert api("head-object", "--key", "mp")["ContentLength"] == 10
    upload = api("create-multipart-upload", "--key", "mp2")["UploadId"]
    api("abort-multipart-upload", "--key", "mp2", "--upload-id", upload)
    assert "Uploads" not in api("list-multipart-uploads")

"""s3cmd: V1 listings, ?location first, x-amz-meta-s3cmd-attrs, MD5 checks on ETags."""
import hashlib

import pytest

from datasets import ODD_NAMES, mixed_folder, tree


def test_put_get_info_del(arca, bucket, tmp_path):
    source = tmp_path / "report.txt"
    source.write_bytes(b"findings\n" * 1000)
    arca.s3cmd("put", source, f"s3://{bucket}/a/report.txt")
    assert f"s3://{bucket}/a/report.txt" in arca.s3cmd("ls", "-r", f"s3://{bucket}").stdout
    info = arca.s3cmd("info", f"s3://{bucket}/a/report.txt").stdout
    assert hashlib.md5(source.read_bytes()).hexdigest() in info
    assert "text/plain" in info
    arca.s3cmd("get", f"s3://{bucket}/a/report.txt", tmp_path / "back.txt")
    assert (tmp_path / "back.txt").read_bytes() == source.read_bytes()
    arca.s3cmd("del", f"s3://{bucket}/a/report.txt")
    assert arca.s3cmd("ls", "-r", f"s3://{bucket}").stdout == ""


def test_bucket_life(arca, bucket):
    arca.s3cmd("mb", f"s3://{bucket}-two")
    assert f"s3://{bucket}-two" in arca.s3cmd("ls").stdout
    arca.s3cmd("info", f"s3://{bucket}-two")
    arca.s3cmd("rb", f"s3://{bucket}-two")
    assert f"s3://{bucket}-two" not in arca.s3cmd("ls").stdout


def test_odd_names(arca, bucket, tmp_path):
    source = tmp_path / "odd"
    source.mkdir()
    for name in ODD_NAMES:
        (source / name).write_bytes(name.encode())
    arca.s3cmd("sync", f"{source}/", f"s3://{bucket}/odd/")
    back = tmp_path / "back"
    back.mkdir()
    arca.s3cmd("sync", f"s3://{bucket}/odd/", f"{back}/")
    assert tree(back) == tree(source)


def test_sync_thousands_and_again(plain, plain_bucket, tmp_path):
    source = mixed_folder(tmp_path / "source", 1000)
    plain.s3cmd("sync", f"{source}/", f"s3://{plain_bucket}/", timeout=500)
    again = plain.s3cmd("sync", f"{source}/", f"s3://{plain_bucket}/", timeout=500)
    assert "upload:" not in again.stdout
    victim = next(p for p in source.rglob("*.bin"))
    victim.unlink()
    plain.s3cmd("sync", "--delete-removed", f"{source}/", f"s3://{plain_bucket}/", timeout=500)
    listed = plain.s3cmd("ls", "-r", f"s3://{plain_bucket}").stdout.splitlines()
    assert len(listed) == len(tree(source)) == 999
    plain.s3cmd("del", "-r", "--force", f"s3://{plain_bucket}")
    assert plain.s3cmd("ls", "-r", f"s3://{plain_bucket}").stdout == ""


def test_multipart(arca, bucket, tmp_path):
    source = tmp_path / "scan.bin"
    source.write_bytes(bytes(range(256)) * 4 * 1024 * 21 + b"tail")
    arca.s3cmd("put", "--multipart-chunk-size-mb=5", source, f"s3://{bucket}/scan.bin")
    head = arca.boto3().head_object(Bucket=bucket, Key="scan.bin")
    assert head["ETag"].endswith('-5"')
    arca.s3cmd("get", f"s3://{bucket}/scan.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == source.read_bytes()
    assert arca.s3cmd("multipart", f"s3://{bucket}").stdout.count("scan.bin") == 0


def test_resumes_a_download(arca, bucket, tmp_path):
    source = tmp_path / "long.bin"
    source.write_bytes(bytes(range(251)) * 9999)
    arca.s3cmd("put", source, f"s3://{bucket}/long.bin")
    back = tmp_path / "back.bin"
    back.write_bytes(source.read_bytes()[:100001])
    arca.s3cmd("get", "--continue", f"s3://{bucket}/long.bin", back)
    assert back.read_bytes() == source.read_bytes()


def test_mv_cp_modify(arca, bucket, tmp_path):
    source = tmp_path / "x"
    source.write_bytes(b"content")
    arca.s3cmd("put", source, f"s3://{bucket}/x")
    arca.s3cmd("cp", f"s3://{bucket}/x", f"s3://{bucket}/y z")
    arca.s3cmd("mv", f"s3://{bucket}/y z", f"s3://{bucket}/moved/ü")
    assert arca.boto3().get_object(Bucket=bucket, Key="moved/ü")["Body"].read() == b"content"
    arca.s3cmd("modify", "--add-header=Cache-Control: max-age=60", "--add-header=x-amz-meta-room: 12",
               f"s3://{bucket}/x")
    head = arca.boto3().head_object(Bucket=bucket, Key="x")
    assert head["CacheControl"] == "max-age=60" and head["Metadata"]["room"] == "12"
    assert arca.boto3().get_object(Bucket=bucket, Key="x")["Body"].read() == b"content"


def test_empty_object_and_missing(arca, bucket, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    arca.s3cmd("put", tmp_path / "empty", f"s3://{bucket}/empty")
    arca.s3cmd("get", f"s3://{bucket}/empty", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""
    missing = arca.s3cmd("get", f"s3://{bucket}/nothing", tmp_path / "n", check=False)
    assert missing.returncode != 0 and "does not exist" in missing.stderr


@pytest.mark.parametrize("region", ["eu-central-1"])
def test_follows_the_region(arca, bucket, region):
    """A wrong region in the scope: s3cmd takes the right one from <Region>."""
    assert arca.s3cmd(f"--region={region}", "ls", f"s3://{bucket}").returncode == 0

"""rclone: HEAD after each PUT, Mtime metadata, copies onto itself with REPLACE, server-side copies, serve."""
import subprocess
import urllib.request

from arca import free_port, wait_until
from datasets import ODD_NAMES, dicom_folder, mixed_folder, tree


def test_copy_sync_check(arca, bucket, tmp_path):
    source = mixed_folder(tmp_path / "source", 300)
    arca.rclone("copy", source, f"arca:{bucket}/tree", "--transfers=8")
    arca.rclone("check", source, f"arca:{bucket}/tree", "--download")
    (source / "new file").write_bytes(b"n")
    victim = next(source.rglob("*.bin"))
    victim.unlink()
    arca.rclone("sync", source, f"arca:{bucket}/tree", "--transfers=8")
    arca.rclone("check", source, f"arca:{bucket}/tree")
    arca.rclone("copy", f"arca:{bucket}/tree", tmp_path / "back", "--transfers=8")
    assert tree(tmp_path / "back") == tree(source)
    again = arca.rclone("sync", source, f"arca:{bucket}/tree", "-v")
    assert "Copied" not in again.stderr


def test_thousands_of_files(plain, plain_bucket, tmp_path):
    source = mixed_folder(tmp_path / "source", 3000, largest=64 * 1024)
    plain.rclone("copy", source, f"arca:{plain_bucket}", "--transfers=16", timeout=500)
    plain.rclone("check", source, f"arca:{plain_bucket}", "--checkers=16", timeout=500)
    assert int(plain.rclone("size", f"arca:{plain_bucket}", "--json").stdout.split('"count":')[1].split(",")[0]) == 3000
    plain.rclone("purge", f"arca:{plain_bucket}", timeout=500)


def test_dicom_study(plain, plain_bucket, tmp_path):
    source = dicom_folder(tmp_path / "dicom")
    plain.rclone("copy", source, f"arca:{plain_bucket}/pacs", "--transfers=8", timeout=500)
    plain.rclone("check", source, f"arca:{plain_bucket}/pacs", "--download", timeout=500)


def test_odd_names(arca, bucket, tmp_path):
    source = tmp_path / "odd"
    source.mkdir()
    for name in ODD_NAMES:
        (source / name).write_bytes(name.encode())
    arca.rclone("copy", source, f"arca:{bucket}")
    arca.rclone("check", source, f"arca:{bucket}", "--download")
    keys = {entry["Key"] for entry in arca.boto3().list_objects_v2(Bucket=bucket)["Contents"]}
    assert keys >= {"with space.txt", "plus+plus.txt", "日本語.txt", "per%20cent.txt"}


def test_multipart_and_server_side_copy(arca, bucket, tmp_path):
    source = tmp_path / "big.bin"
    source.write_bytes(bytes(range(253)) * 100_000)
    arca.rclone("copyto", source, f"arca:{bucket}/big.bin", "--s3-upload-cutoff=6M", "--s3-chunk-size=6M")
    assert "-" in arca.boto3().head_object(Bucket=bucket, Key="big.bin")["ETag"]
    arca.rclone("copyto", f"arca:{bucket}/big.bin", f"arca:{bucket}/copy.bin")
    arca.rclone("copyto", f"arca:{bucket}/big.bin", f"arca:{bucket}/parts.bin", "--s3-copy-cutoff=6M")
    for name in ("copy.bin", "parts.bin"):
        assert arca.rclone("hashsum", "md5", "--download", f"arca:{bucket}/{name}").stdout.split()[0] == \
            arca.rclone("hashsum", "md5", str(source)).stdout.split()[0]
    arca.rclone("moveto", f"arca:{bucket}/copy.bin", f"arca:{bucket}/moved.bin")
    assert "copy.bin" not in arca.rclone("lsf", f"arca:{bucket}").stdout.split()


def test_touch_changes_the_time_only(arca, bucket, tmp_path):
    (tmp_path / "f").write_bytes(b"same")
    arca.rclone("copy", tmp_path / "f", f"arca:{bucket}")
    arca.rclone("touch", "--timestamp", "2020-01-02T03:04:05", f"arca:{bucket}/f")
    assert "2020-01-02 03:04:05" in arca.rclone("lsl", f"arca:{bucket}").stdout
    assert arca.rclone("cat", f"arca:{bucket}/f").stdout == "same"


def test_rcat_streams_without_length(arca, bucket):
    arca.rclone("rcat", f"arca:{bucket}/stream", input="x" * 300_000)
    assert arca.boto3().head_object(Bucket=bucket, Key="stream")["ContentLength"] == 300_000


def test_serve_http(plain, plain_bucket, tmp_path):
    """What a mount would do, without one: reads with ranges through rclone's VFS."""
    body = bytes(range(256)) * 1000
    plain.boto3().put_object(Bucket=plain_bucket, Key="dir/served.bin", Body=body)
    plain.rclone("version")
    port = free_port()
    server = subprocess.Popen(["rclone", "--config", plain.folder / "rclone.conf", "serve", "http",
                               f"arca:{plain_bucket}", "--addr", f"127.0.0.1:{port}", "--vfs-cache-mode=off"],
                              env=plain.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/dir/served.bin"

        def fetch(headers):
            try:
                with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
                    return answer.read()
            except OSError:
                return None
        assert wait_until(lambda: fetch({}), what="rclone serve answers") == body
        assert fetch({"Range": "bytes=70000-70099"}) == body[70000:70100]
    finally:
        server.terminate()
        server.wait()

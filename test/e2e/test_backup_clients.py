"""restic, mc and s3fs: programs that keep a repository or a file system on S3."""
import os
import shutil
import subprocess

import pytest

from arca import ACCESS_KEY, SECRET_KEY, SOURCE, wait_until
from datasets import mixed_folder, tree

MC = shutil.which("mc") or next((str(p) for p in (SOURCE / "build" / "tools" / "bin" / "mc",) if p.exists()), None)


def test_restic(arca, bucket, tmp_path):
    source = mixed_folder(tmp_path / "source", 200)
    ca = ["--cacert", arca.folder / "cert.pem"] if arca.tls else []

    def restic(*args, **kwargs):
        return arca.run("env", "RESTIC_PASSWORD=p", "restic", *ca, "-r", f"s3:{arca.endpoint}/{bucket}/repo",
                        "--cache-dir", tmp_path / "cache", *args, **kwargs)
    restic("init")
    restic("backup", source)
    (source / "more").write_bytes(os.urandom(3_000_000))
    restic("backup", source)
    restic("check", "--read-data")
    restic("restore", "latest", "--target", tmp_path / "back")
    assert tree(tmp_path / "back" / source.relative_to("/")) == tree(source)
    restic("forget", "--keep-last", "1", "--prune")
    restic("check")
    assert restic("snapshots").stdout.count(str(source)) == 1


@pytest.mark.skipif(MC is None, reason="mc is not built: test/support/build-mc")
def test_mc(plain, plain_bucket, tmp_path):
    source = mixed_folder(tmp_path / "source", 60)
    def mc(*args, **kwargs):
        return plain.run(MC, "--config-dir", tmp_path / "mc", *args, **kwargs)
    mc("alias", "set", "arca", plain.endpoint, ACCESS_KEY, SECRET_KEY, "--api", "S3v4")
    mc("mirror", source, f"arca/{plain_bucket}/tree")
    mc("mirror", f"arca/{plain_bucket}/tree", tmp_path / "back")
    assert tree(tmp_path / "back") == tree(source)
    (tmp_path / "big").write_bytes(os.urandom(40_000_000))
    mc("cp", tmp_path / "big", f"arca/{plain_bucket}/big")
    mc("cp", f"arca/{plain_bucket}/big", tmp_path / "big2")
    assert (tmp_path / "big2").read_bytes() == (tmp_path / "big").read_bytes()
    assert "big" in mc("ls", f"arca/{plain_bucket}").stdout
    mc("stat", f"arca/{plain_bucket}/big")
    mc("rm", "--recursive", "--force", f"arca/{plain_bucket}")
    assert mc("ls", "--recursive", f"arca/{plain_bucket}").stdout == ""


def _fuse_works():
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not _fuse_works(), reason="/dev/fuse cannot be opened here")
def test_s3fs(plain, plain_bucket, tmp_path):
    mount = tmp_path / "mount"
    mount.mkdir()
    password = tmp_path / "passwd"
    password.write_text(f"{ACCESS_KEY}:{SECRET_KEY}")
    password.chmod(0o600)
    server = subprocess.Popen(["s3fs", plain_bucket, mount, "-f", "-o", f"url={plain.endpoint}", "-o", "use_path_request_style",
                               "-o", f"passwd_file={password}", "-o", "endpoint=us-east-1"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: os.path.ismount(mount) or server.poll() is not None, what="s3fs has mounted")
        if server.poll() is not None:
            pytest.skip("fuse mounts are not allowed here")
        (mount / "dir").mkdir()
        source = os.urandom(200_000)
        (mount / "dir" / "file.bin").write_bytes(source)
        (mount / "dir" / "file.bin").rename(mount / "dir" / "renamed.bin")
        assert sorted(os.listdir(mount / "dir")) == ["renamed.bin"]
        assert (mount / "dir" / "renamed.bin").read_bytes() == source
        with open(mount / "dir" / "renamed.bin", "ab") as out:
            out.write(b"appended")
        assert plain.boto3().get_object(Bucket=plain_bucket, Key="dir/renamed.bin")["Body"].read() == source + b"appended"
        assert plain.boto3().head_object(Bucket=plain_bucket, Key="dir/")["ContentLength"] == 0
        (mount / "dir" / "renamed.bin").unlink()
        (mount / "dir").rmdir()
        assert os.listdir(mount) == []
    finally:
        subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
        server.terminate()
        server.wait()

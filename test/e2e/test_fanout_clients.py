"""s3cmd and rclone on a placement of a disk, a MinIO and an Azurite, of which two make a write: they notice nothing of a store
that dies while they work, and when it is back all three have everything."""
import concurrent.futures
import re

import pytest

from arca import Arca, arcactl, wait_until
from datasets import big_file, mixed_folder, tree

DISK = {"name": "disk", "driver": "disk", "path": "disk", "segment_size": "16MiB"}
STORES = ["disk", "minio", "azure"]
PARTS = 4  # of 6 MiB, for the big file of 20


@pytest.fixture
def gateway(minio, azurite, tmp_path):
    backends = [DISK, minio.settings("minio", timeout="8s"), azurite.settings("azure", timeout="8s")]
    arca = Arca(tmp_path / "arca", backends=backends, garbage_grace="0s",
                placements=[{"name": "default", "backends": STORES, "write_quorum": 2}],
                extra="repair: {rate: 1GiB, operations: 1000}\n").start()
    arca.s3cmd("mb", "s3://clinic")
    yield arca
    arca.kill()


def check_with_clients(gateway, rclone_tree, s3cmd_tree, folder):
    """Byte by byte."""
    gateway.rclone("check", rclone_tree, "arca:clinic/rclone", "--download")
    folder.mkdir()
    gateway.s3cmd("sync", "s3://clinic/s3cmd/", f"{folder}/")
    assert tree(folder) == tree(s3cmd_tree)


def test_a_store_dies_under_clients_and_comes_back(gateway, minio, azurite, tmp_path):
    first, second = mixed_folder(tmp_path / "first", 60), mixed_folder(tmp_path / "second", 40, seed=2)
    big_file(first / "scan.bin", 20 << 20)
    gateway.rclone("copy", first, "arca:clinic/rclone", "--s3-upload-cutoff=6M", "--s3-chunk-size=6M")
    gateway.s3cmd("sync", f"{second}/", "s3://clinic/s3cmd/")
    check_with_clients(gateway, first, second, tmp_path / "before")

    mixed_folder(first / "more", 150, seed=3)
    before = len(minio.keys_of())
    with concurrent.futures.ThreadPoolExecutor() as pool:
        syncs = pool.submit(gateway.rclone, "sync", first, "arca:clinic/rclone", "--tpslimit=150", "--retries=1",
                            "--low-level-retries=1")
        wait_until(lambda: len(minio.keys_of()) >= before + 20, what="the middle of the sync")
        minio.kill()
        assert not syncs.done()
        syncs.result()
    next(path for path in second.rglob("*.bin") if path.stat().st_size > 0).unlink()
    (second / "new file").write_bytes(b"n" * 100_000)
    gateway.s3cmd("sync", "--delete-removed", f"{second}/", "s3://clinic/s3cmd/")
    check_with_clients(gateway, first, second, tmp_path / "while")
    assert gateway.metric("arca_repairs_pending") > 0

    minio.start()
    wait_until(lambda: gateway.metric("arca_repairs_pending") == 0, what="repair")
    assert gateway.metric("arca_repairs_total") > 0
    wait_until(lambda: gateway.metric("arca_garbage_collected_total") > 0, what="what was deleted is gone")
    # An extent each, but for the empty ones and the big one with its parts.
    extents = sum(len(body) > 0 for folder in (first, second) for body in tree(folder).values()) + PARTS - 1
    assert len(minio.keys_of()) == len(azurite.keys_of()) == extents
    check_with_clients(gateway, first, second, tmp_path / "after")

    gateway.stop()
    done = arcactl("check", "--config", gateway.config_path, "--deep", check=False)
    assert done.returncode == 0 and "lack replicas" not in done.stdout, done.stdout + done.stderr
    verified = re.search(r"^(\d+) extents in the index, .*, all read and verified: 0 findings$", done.stdout, re.M)
    assert int(verified[1]) == len(STORES) * extents

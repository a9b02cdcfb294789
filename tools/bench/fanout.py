"""What an encrypted copy on two stores costs, beside writing to the two without Arca."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import time

import wrk
from servers import ACCESS, BUCKET, REGION, SECRET, Server, peer, presign

FILES, SIZE = 256, 1 << 20
BOTH = "0,1"  # two stores, a gateway and a client share the machine's cores, whoever is measured


def measure(data, output, seconds, repeat, store_cpu=None):
    """Prints PUTs of 1 MiB by wrk and of a folder by rclone and mc, and PUTs of 4 KiB one after the other. `store_cpu`: what
    each store may have of a core, as if it had a machine of its own."""
    with contextlib.ExitStack() as stack:
        minios = [stack.enter_context(_running("minio", data / f"minio{i}")) for i in range(2)]
        for i, minio in enumerate(minios if store_cpu else []):
            stack.enter_context(_limited(f"arca-bench-{i}", minio.process.pid, store_cpu))
        arca = stack.enter_context(_running("arca", data / "arca", minios=minios))
        named = {"MinIO 0 alone": minios[0], "MinIO 1 alone": minios[1], "Arca, both": arca}
        _by_wrk(named, output, seconds, repeat)
        _by_tools(named, data)
        _small(named, output, seconds, repeat)


@contextlib.contextmanager
def _running(name, data, **settings):
    server = Server(name, data, cores=BOTH, **settings)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def _limited(name, pid, share):
    """A control group of either version; needs root."""
    old = pathlib.Path("/sys/fs/cgroup/cpu")
    group = (old if old.is_dir() else pathlib.Path("/sys/fs/cgroup")) / name
    group.mkdir(exist_ok=True)
    quota = int(share * 100000)
    if old.is_dir():
        (group / "cpu.cfs_quota_us").write_text(str(quota))
    else:
        (group / "cpu.max").write_text(f"{quota} 100000")
    (group / "cgroup.procs").write_text(str(pid))
    try:
        yield
    finally:
        (group.parent / "cgroup.procs").write_text(str(pid))
        group.rmdir()


def _puts(server, size, keys):
    return ["PUT " + presign("PUT", server.host, f"/{BUCKET}/{size}/{i:06d}") for i in range(keys)]


def _by_wrk(named, output, seconds, repeat):
    print("\nPUT 1 MiB, 8 connections")
    for name, server in named.items():
        row = wrk.run(server, _puts(server, SIZE, 64), 8, seconds, output, body=SIZE, repeat=repeat, cores=BOTH)
        print(f"  {name:<28} {row['mb_per_second']:7.0f} MB/s  p50 {row['p50_ms']:7.2f} ms  CPU of the server {row['cpu_ms_per_mib']:6.2f} ms/MiB")


def _small(named, output, seconds, repeat):
    print("\nPUT 4 KiB, one after the other")
    p50 = {}
    for name, server in named.items():
        row = wrk.run(server, _puts(server, 4096, 2000), 1, seconds, output, body=4096, repeat=repeat, cores=BOTH)
        p50[name] = row["p50_ms"]
        print(f"  {name:<28} p50 {row['p50_ms']:6.2f} ms  p99 {row['p99_ms']:6.2f} ms")
    *alone, arca = p50.values()
    print(f"  Arca adds {arca - max(alone):.2f} ms to the slower of the two at the median")


def _by_tools(named, data):
    source = data / "files"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    for i in range(FILES):
        (source / f"{i:04d}").write_bytes(os.urandom(SIZE))
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RCLONE_"))}
    remotes = dict(zip(("m0", "m1", "arca"), named.values()))
    for remote, server in remotes.items():
        env |= {f"RCLONE_CONFIG_{remote.upper()}_{key}": value for key, value in
                {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": f"http://{server.host}", "ACCESS_KEY_ID": ACCESS,
                 "SECRET_ACCESS_KEY": SECRET, "REGION": REGION}.items()}
        env[f"MC_HOST_{remote}"] = f"http://{ACCESS}:{SECRET}@{server.host}"
    env |= {"RCLONE_CONFIG_BOTH_TYPE": "union", "RCLONE_CONFIG_BOTH_UPSTREAMS": f"m0:{BUCKET}/union m1:{BUCKET}/union",
            "RCLONE_CONFIG_BOTH_CREATE_POLICY": "all", "RCLONE_CONFIG_BOTH_ACTION_POLICY": "all", "MC_CONFIG_DIR": str(data / "mc")}
    rclone = ["rclone", "copy", "--transfers", "8", "--config", "/dev/null", source]
    mc = [peer("mc"), "cp", "--quiet", "--recursive", f"{source}/"]
    runs = {
        "rclone to MinIO 0 alone": [[*rclone, f"m0:{BUCKET}/alone"]],
        "rclone to MinIO 1 alone": [[*rclone, f"m1:{BUCKET}/alone"]],
        "rclone union, both": [[*rclone, "both:"]],
        "rclone to Arca, both": [[*rclone, f"arca:{BUCKET}/rclone"]],
        "mc to MinIO 0 alone": [[*mc, f"m0/{BUCKET}/mc-alone/"]],
        "mc to MinIO 1 alone": [[*mc, f"m1/{BUCKET}/mc-alone/"]],
        "two mc side by side, both": [[*mc, f"m{i}/{BUCKET}/mc/"] for i in range(2)],
        "mc to Arca, both": [[*mc, f"arca/{BUCKET}/mc/"]],
    }
    print(f"\n{FILES} files of 1 MiB; CPU of all servers and clients")
    for name, commands in runs.items():
        before, began = _cpu(named), time.monotonic()
        processes = [subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) for command in commands]
        assert all(process.wait() == 0 for process in processes), f"{name} failed"
        took = time.monotonic() - began
        print(f"  {name:<28} {FILES * SIZE / took / 1e6:7.0f} MB/s  {(_cpu(named) - before) * 1000 / FILES:6.2f} ms/MiB")
    shutil.rmtree(source)


def _cpu(named):
    times = os.times()
    return sum(server.cpu_seconds() for server in named.values()) + times.children_user + times.children_system

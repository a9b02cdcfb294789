"""wrk as the client: signed requests in, throughput, latency and the server's cost out."""
import os
import re
import subprocess

from servers import TOP


def run(server, lines, connections, seconds, scratch, body=0, repeat=1, cores="1"):
    """Sends the requests ("METHOD PATH") in turn; PUTs have `body` bytes. The best figures of `repeat` runs."""
    requests = scratch / "requests.txt"
    requests.write_text("\n".join(lines) + "\n")
    env = dict(os.environ, BENCH_REQUESTS=str(requests), BENCH_HOST=server.host, BENCH_BODY=str(body if lines[0].startswith("PUT") else 0))
    command = ["taskset", "-c", cores, "wrk", "-t1", f"-c{connections}", "--timeout", "60s", "-s", str(TOP / "tools/bench/load.lua")]
    subprocess.run([*command, "-d1", f"http://{server.host}"], env=env, check=True, capture_output=True)  # warm
    return _best_of([_measure(server, command, env, seconds, body) for _ in range(repeat)])


def _best_of(runs):
    """The worst memory, though."""
    pick = {"per_second": max, "mb_per_second": max, "peak_mib": max}
    return {key: pick.get(key, min)(run[key] for run in runs) if runs[0][key] is not None else None for key in runs[0]}


def _measure(server, command, env, seconds, size):
    server.reset_peak()
    cpu = server.cpu_seconds()
    done = subprocess.run([*command, f"-d{seconds}", f"http://{server.host}"], env=env, check=True, capture_output=True, text=True)
    cpu = server.cpu_seconds() - cpu
    result = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    assert result, done.stdout + done.stderr
    count, micros, _, p50, p99, errors = map(int, result.groups())
    assert errors == 0, f"{server.name}: {errors} errors\n{done.stderr}"
    rate = count / (micros / 1e6)
    return {"per_second": rate, "mb_per_second": rate * size / 1e6, "p50_ms": p50 / 1000, "p99_ms": p99 / 1000,
            "cpu_ms": cpu * 1000 / max(count, 1), "cpu_ms_per_mib": cpu * 1000 / max(count * size / 2**20, 1e-9) if size else None,
            "peak_mib": server.peak_mib()}

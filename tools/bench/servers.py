"""The servers that are measured: how each is started, asked and stopped."""
import base64
import contextlib
import datetime
import hashlib
import hmac
import http.client
import os
import pathlib
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse

TOP = pathlib.Path(__file__).resolve().parents[2]
TOOLS = TOP / "build" / "tools"
BUILD = TOP / "build" / "release"  # where arcad and arcactl are
ACCESS, SECRET = "GK" + "0ca" * 8, hashlib.sha256(b"arca-bench").hexdigest()  # of the form that Garage insists on
REGION = "us-east-1"
BUCKET = "bench"
GO_PEERS = {"minio": "github.com/minio/minio@latest", "versitygw": "github.com/versity/versitygw/cmd/versitygw@latest"}


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def presign(method, host, path, query=()):
    """A presigned path with its query; botocore would take fifty times as long."""
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    scope = f"{day}/{REGION}/s3/aws4_request"
    quote = lambda text: urllib.parse.quote(text, safe="-_.~")
    pairs = sorted([*query, ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), ("X-Amz-Credential", f"{ACCESS}/{scope}"),
                    ("X-Amz-Date", stamp), ("X-Amz-Expires", "86400"), ("X-Amz-SignedHeaders", "host")])
    text = "&".join(f"{quote(k)}={quote(v)}" for k, v in pairs)
    canonical = f"{method}\n{path}\n{text}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    key = ("AWS4" + SECRET).encode()
    for part in (day, REGION, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return f"{path}?{text}&X-Amz-Signature={hmac.digest(key, to_sign.encode(), 'sha256').hex()}"


# --- servers: each start_* returns (command, environment, port) ---

def start_arca(data, minios=()):
    """On a disk, or, where there are some, on these MinIO servers, all of which must have what is written. What is overwritten
    goes after a second: with the peers it goes at once, and on tmpfs its memory is used again while it is warm."""
    port = free_port()
    (data / "minio.keys").write_text(f"access_key_id: {ACCESS}\nsecret_access_key: {SECRET}\n")
    (data / "minio.keys").chmod(0o600)
    backends = {f"minio{i}": f"driver: s3, endpoint: 'http://{minio.host}', bucket: {BUCKET}, region: {REGION}, "
                             "credentials: {file: minio.keys}" for i, minio in enumerate(minios)}
    backends = backends or {"local": "driver: disk, path: objects"}
    (data / "keyring.key").write_bytes(secrets.token_bytes(32))
    subprocess.run([BUILD / "arcactl", "keyring", "create", data / "keyring", "--key-file", data / "keyring.key"], check=True,
                   stdout=subprocess.DEVNULL)
    (data / "credentials.yaml").write_text(
        f"- {{name: bench, access_key: {ACCESS}, secret_key: {SECRET}, user_id: {'b' * 64}, display_name: bench}}\n")
    (data / "credentials.yaml").chmod(0o600)
    (data / "keyring.key").chmod(0o600)
    (data / "arca.yaml").write_text(f"""\
listeners: [{{address: 127.0.0.1, port: {port}}}]
region: {REGION}
credentials: credentials.yaml
keyring: {{file: keyring, unlock: {{key_file: keyring.key}}}}
index: {{path: index}}
backends: [{", ".join(f"{{name: {name}, {settings}}}" for name, settings in backends.items())}]
placements: [{{name: default, backends: [{", ".join(backends)}], write_quorum: {len(backends)}}}]
loops: 1
garbage: {{grace: 1s}}
log: {{level: warn, format: text, access: false}}
""")
    return [BUILD / "arcad", "--config", data / "arca.yaml"], {}, port


def start_minio(data, encrypted=False):
    port = free_port()
    env = {"MINIO_ROOT_USER": ACCESS, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_BROWSER": "off", "MINIO_UPDATE": "off"}
    if encrypted:
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        env |= {"MINIO_KMS_SECRET_KEY": f"bench:{key}", "MINIO_KMS_AUTO_ENCRYPTION": "on"}
    return [peer("minio"), "server", "--quiet", "--address", f"127.0.0.1:{port}", data / "d"], env, port


def start_versitygw(data):
    port = free_port()
    (data / "d").mkdir()
    return [peer("versitygw"), "--access", ACCESS, "--secret", SECRET, "--port", f"127.0.0.1:{port}", "posix", data / "d"], {}, port


def start_garage(data):
    port, rpc, admin = free_port(), free_port(), free_port()
    (data / "garage.toml").write_text(f"""\
metadata_dir = "{data}/meta"
data_dir = "{data}/d"
db_engine = "lmdb"
metadata_fsync = true
data_fsync = true
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secrets.token_hex(32)}"
[s3_api]
s3_region = "{REGION}"
api_bind_addr = "127.0.0.1:{port}"
[admin]
api_bind_addr = "127.0.0.1:{admin}"
""")
    return [peer("garage"), "-c", data / "garage.toml", "server"], {}, port


def after_garage(data):
    def run(*args):
        return subprocess.run([peer("garage"), "-c", data / "garage.toml", *args], check=True, capture_output=True, text=True).stdout
    for _ in range(100):
        with contextlib.suppress(subprocess.CalledProcessError):
            node = run("node", "id", "-q").split("@")[0]
            run("layout", "assign", "-z", "z", "-c", "100G", node)
            break
        time.sleep(0.1)
    run("layout", "apply", "--version", "1")
    run("key", "import", "--yes", ACCESS, SECRET, "-n", "bench")
    run("key", "allow", "--create-bucket", "bench")


def encrypt_bucket(server):
    """All objects with keys of the server's own (SSE-S3), as AWS does by default."""
    rule = "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>"
    status, body = server.send("PUT", f"/{BUCKET}", f"<ServerSideEncryptionConfiguration><Rule>{rule}</Rule>"
                               "</ServerSideEncryptionConfiguration>", [("encryption", "")])
    assert status == 200, f"{server.name}: {status} {body[:300]}"


SERVERS = {
    "arca": start_arca,
    "minio": start_minio,
    "minio-kms": lambda data: start_minio(data, encrypted=True),
    "minio-sse": lambda data: start_minio(data, encrypted=True),
    "versitygw": start_versitygw,
    "garage": start_garage,
}


def peer(name):
    """The path of a peer's program; built when it is missing."""
    path = TOOLS / "bin" / name
    if path.exists():
        return path
    found = shutil.which(name) or shutil.which(name, path=os.path.expanduser("~/go/bin:~/.cargo/bin"))
    if found:
        return pathlib.Path(found)
    print(f"building {name} (minutes) ...", file=sys.stderr)
    if name in GO_PEERS:
        subprocess.run(["go", "install", GO_PEERS[name]], check=True, env=dict(os.environ, GOBIN=str(TOOLS / "bin")))
    else:
        subprocess.run(["cargo", "install", name, "--locked", "--root", TOOLS], check=True)
    return path


class Server:
    """One of SERVERS on a folder of its own, with a bucket. `cores`: where it runs, as taskset has it."""

    def __init__(self, name, data, cores="0", **settings):
        self.name, self.data = name, data
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        command, env, self.port = SERVERS[name](data, **settings)
        self.host = f"127.0.0.1:{self.port}"
        self.log = open(data / "server.log", "wb")
        self.process = subprocess.Popen(["taskset", "-c", cores, *map(str, command)], env=dict(os.environ, **env),
                                        stdout=self.log, stderr=self.log)
        if name == "garage":
            after_garage(data)
        self._wait()
        status, body = self.send("PUT", f"/{BUCKET}")
        assert status == 200, f"{name}: no bucket: {status} {body[:300]}"
        if name == "minio-sse":
            encrypt_bucket(self)

    def _wait(self):
        for _ in range(600):
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.send("GET", "/")[0] == 200:
                    return
            assert self.process.poll() is None, f"{self.name} ended: see {self.data}/server.log"
            time.sleep(0.1)
        raise AssertionError(f"{self.name} does not answer")

    def send(self, method, path, body=None, query=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, presign(method, self.host, path, query), body=body)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def reset_peak(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak_mib(self):
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1024

    def stop(self):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.data, ignore_errors=True)

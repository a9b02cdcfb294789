"""Starts the real arcad on a data folder of its own, and the real clients against it."""
import contextlib
import itertools
import json
import os
import pathlib
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time

from programs import BUILD, SOURCE

READY_SECONDS = 180  # for whatever is waited for: only who would wait in vain waits so long
ACCESS_KEY = "ARCATESTACCESSKEY000"
SECRET_KEY = "secret/of+the=tests0000000000000000000000"
SECOND_ACCESS_KEY = "ARCATESTSECONDKEY000"
SECOND_SECRET_KEY = "another-secret-000000000000000000000000"
REGION = "us-east-1"
DISK = {"name": "local", "driver": "disk", "path": "objects", "segment_size": "64MiB"}
IDLE = 3  # arca_job_state
PLACEMENT = {"name": "default", "backends": ["local"], "write_quorum": 1}


PORTS = 5000
_ports = itertools.count(random.SystemRandom().randrange(PORTS))


def free_port():
    """None that the system gives out by itself, none twice, none of another pytest worker's: it stays free while its server
    is down."""
    first = 10000 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4 * PORTS
    while True:
        port = first + next(_ports) % PORTS
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def killed_at_the_end(kind, folder):
    """A maker of sites below the folder, each with a gateway: kind(folder, ...). For fixtures."""
    made = []

    def make(*args, **options):
        made.append(kind(folder, *args, **options))
        return made[-1]
    yield make
    for one in made:
        one.gateway.kill()


def wait_until(condition, seconds=READY_SECONDS, what="condition"):
    """Polls until condition() is true; its last value is returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


_started = []


def kill_leftovers():
    """What tests that failed did not stop."""
    for process in _started:
        if process.poll() is None:
            process.kill()
            process.wait()


class Arca:
    """One gateway. `start` waits until it is ready; `stop` asks for a clean end; `kill` does not ask."""

    def __init__(self, folder, tls=False, limits=None, suite=None, garbage_grace="15m", extra="", loops=2, wrapper=(),
                 backends=None, placements=None):
        """`backends` and `placements`: lists as the configuration has them."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tls = tls
        self.port = free_port()
        self.admin_port = free_port()
        self.wrapper = list(wrapper)
        self.process = None
        self.log_path = self.folder / "arcad.log"
        self.config_path = self.folder / "arca.yaml"
        if tls:
            self._make_certificate()
        self._make_keyring()
        self.write_credentials()
        tls_line = "\n    tls: {certificate: cert.pem, key: cert.key}" if tls else ""
        self.config_path.write_text(f"""\
listeners:
  - address: 127.0.0.1
    port: {self.port}{tls_line}
admin: {{address: 127.0.0.1, port: {self.admin_port}}}
region: {REGION}
domains: [s3.arca.test]
credentials: credentials.yaml
keyring: {{file: keyring, unlock: {{key_file: keyring.key}}}}
index: {{path: index}}
backends: {json.dumps(backends or [DISK])}
placements: {json.dumps(placements or [PLACEMENT])}
loops: {loops}
limits: {json.dumps(limits or {})}
encryption: {{suite: {suite or 'aes-256-gcm'}}}
garbage: {{grace: {garbage_grace}}}
log: {{level: info, format: json, access: true}}
{extra}""")

    def _make_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", "cert.key", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                       cwd=self.folder, check=True, capture_output=True)

    def _make_keyring(self):
        key = self.folder / "keyring.key"
        if key.exists():
            return
        key.write_bytes(secrets.token_bytes(32))
        key.chmod(0o600)
        arcactl("keyring", "create", self.folder / "keyring", "--key-file", key)

    def write_credentials(self, more=""):
        path = self.folder / "credentials.yaml"
        path.write_text(f"""\
- {{name: tests, access_key: {ACCESS_KEY}, secret_key: "{SECRET_KEY}", user_id: {'a' * 64}, display_name: Tests}}
- {{name: second, access_key: {SECOND_ACCESS_KEY}, secret_key: "{SECOND_SECRET_KEY}", user_id: {'b' * 64},
   display_name: Second}}
{more}""")
        path.chmod(0o600)

    # --- its life ---

    @property
    def endpoint(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    @property
    def admin(self):
        return f"http://127.0.0.1:{self.admin_port}"

    def start(self, wait=True, env=None, arguments=()):
        assert self.process is None or self.process.poll() is not None, "runs already"
        self.started_at = len(self.log_text())  # in the log
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.wrapper, str(BUILD / "arcad"), "--config", str(self.config_path),
                                             *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=dict(os.environ, **(env or {})))
        _started.append(self.process)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"arcad ended with {self.process.returncode}:\n{self.log_tail()}")
            return '"event":"listening"' in self.log_text()[self.started_at:]  # told when all of the start has been done
        wait_until(ready, what="arcad is ready")

    def stop(self, seconds=60):
        """SIGTERM; the exit status must be 0, and no sanitizer may have spoken."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(seconds)
        self.process = None
        assert status == 0, f"arcad ended with {status}:\n{self.log_tail()}"

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, characters=6000):
        return self.log_text()[-characters:]

    def log_events(self, event):
        """The log's JSON lines of that event."""
        found = []
        for line in self.log_text().splitlines():
            if line.startswith("{") and f'"event":"{event}"' in line:
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    if record.get("event") == event:
                        found.append(record)
        return found

    def metric(self, name, **labels):
        """The sum of a metric's samples, those that have the labels."""
        import urllib.request
        with urllib.request.urlopen(f"{self.admin}/-/metrics") as answer:
            text = answer.read().decode()
        samples = re.finditer(rf"^{name}(\{{[^}}]*\}})? ([0-9.e+-]+)$", text, re.M)
        return sum(float(m[2]) for m in samples if all(f'{key}="{value}"' in (m[1] or "") for key, value in labels.items()))

    # --- clients ---

    def boto3(self, access_key=ACCESS_KEY, secret_key=SECRET_KEY, service="s3", **config):
        import boto3
        import botocore.config
        s3 = {"addressing_style": "path", **config.pop("s3", {})}
        retries = config.pop("retries", {"max_attempts": 1})
        return boto3.client(service, endpoint_url=self.endpoint, aws_access_key_id=access_key,
                            aws_secret_access_key=secret_key, region_name=REGION,
                            verify=str(self.folder / "cert.pem") if self.tls else None,
                            config=botocore.config.Config(**{"s3": s3, "retries": retries, "signature_version": "s3v4",
                                                             **config}))

    def env(self):
        env = dict(os.environ, AWS_ENDPOINT_URL=self.endpoint, AWS_ACCESS_KEY_ID=ACCESS_KEY,
                   AWS_SECRET_ACCESS_KEY=SECRET_KEY, AWS_REGION=REGION, AWS_DEFAULT_REGION=REGION,
                   AWS_EC2_METADATA_DISABLED="true", HOME=str(self.folder), XDG_CACHE_HOME=str(self.folder / "cache"))
        for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"):  # the machine's own would get in the way
            env.pop(name, None)
        if self.tls:
            env["AWS_CA_BUNDLE"] = env["SSL_CERT_FILE"] = str(self.folder / "cert.pem")
        return env

    def run(self, *command, check=True, timeout=300, **kwargs):
        done = subprocess.run([str(part) for part in command], env=self.env(), text=True, errors="replace",
                              capture_output=True, timeout=timeout, **kwargs)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))}\nexited with {done.returncode}\n{done.stdout[-3000:]}\n"
                                 f"{done.stderr[-3000:]}\n--- arcad ---\n{self.log_tail(3000)}")
        return done

    def aws(self, *args, **kwargs):
        return self.run(pathlib.Path(shutil.sys.executable).parent / "aws", *args, **kwargs)

    def s3cmd(self, *args, **kwargs):
        config = self.folder / "s3cfg"
        if not config.exists():
            ca = f"ca_certs_file = {self.folder / 'cert.pem'}\n" if self.tls else ""
            config.write_text(f"[default]\naccess_key = {ACCESS_KEY}\nsecret_key = {SECRET_KEY}\nhost_base = {self.host}\n"
                              f"host_bucket = {self.host}\nuse_https = {self.tls}\n{ca}")
        return self.run("s3cmd", "--config", config, "--no-progress", *args, **kwargs)

    def rclone(self, *args, **kwargs):
        config = self.folder / "rclone.conf"
        if not config.exists():
            config.write_text(f"[arca]\ntype = s3\nprovider = Other\naccess_key_id = {ACCESS_KEY}\n"
                              f"secret_access_key = {SECRET_KEY}\nendpoint = {self.endpoint}\nregion = {REGION}\n")
        ca = ["--ca-cert", self.folder / "cert.pem"] if self.tls else []
        return self.run("env", "-u", "AWS_CA_BUNDLE", "rclone", "--config", config, *ca, *args, **kwargs)


def arcactl(*args, check=True, wrapper=(), **kwargs):
    done = subprocess.run([*wrapper, str(BUILD / "arcactl"), *map(str, args)], text=True, errors="replace", capture_output=True,
                          **kwargs)
    assert not check or done.returncode == 0, f"arcactl {args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


__all__ = ["Arca", "arcactl", "kill_leftovers", "free_port", "wait_until", "SOURCE", "BUILD", "ACCESS_KEY", "SECRET_KEY",
           "REGION", "SECOND_ACCESS_KEY", "SECOND_SECRET_KEY"]

"""A Ceph for a test: a monitor, an object store in memory and the RADOS gateway, on free ports of loopback, with one user.
Needs Debian's ceph-mon, ceph-osd and radosgw, and nothing else than Python."""
import http.client
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import uuid

SECONDS = 240
PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw")

# Nothing is replicated, no daemon trusts less than the whole of loopback, and what tests remove is soon given back.
CONFIG = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_port}/0]
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms bind ipv6 = false
run dir = {folder}
admin socket =
log file = {folder}/$name.log
pid file =
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 2
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
[mon]
mon data = {folder}/mon
mon data avail crit = 1
public addrv = [v2:127.0.0.1:{mon_port}/0]
paxos propose interval = 0.05
paxos min wait = 0.01
mon cluster log file = {folder}/cluster.log
[osd]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
osd data = {folder}/osd
osd objectstore = memstore
osd fast shutdown = false
osd client watch timeout = 5
memstore device bytes = 4294967296
osd class dir = {classes}
osd class load list = *
osd class default list = *
[client.admin]
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw enable usage log = false
rgw gc obj min wait = 5
"""


def installed():
    return all(shutil.which(program) for program in PROGRAMS)


def free_ports(count):
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in socks]
    for sock in socks:
        sock.close()
    return ports


class Ceph:
    """One cluster in a folder that is made. Its servers are killed with the thread that started them."""

    def __init__(self, folder, access_key, secret_key):
        self.folder = pathlib.Path(folder).absolute()
        self.mon_port, self.port = free_ports(2)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.keys = (access_key, secret_key)
        self.servers = {}

    def _command(self, *words):
        return [words[0], "--conf", str(self.folder / "ceph.conf"), *words[1:]]

    def run(self, *words):
        done = subprocess.run(self._command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"rgw: {' '.join(words)}: {done.stderr}")
        return done.stdout

    def _serve(self, *words):
        """In the foreground, so that it is ours to end."""
        with open(self.folder / f"{words[0]}.out", "ab") as out:
            self.servers[words[0]] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._command(*words), "-f"], stdin=subprocess.DEVNULL, stdout=out,
                stderr=out)

    def create(self):
        """Makes and starts all of it; returns when the gateway answers."""
        for name in ("mon", "osd", "rgw"):
            (self.folder / name).mkdir(parents=True)
        # Debian 13's Ceph looks for them below its working directory.
        classes = next(pathlib.Path("/usr/lib").glob("*/rados-classes"), "/usr/lib/rados-classes")
        (self.folder / "ceph.conf").write_text(
            CONFIG.format(fsid=uuid.uuid4(), folder=self.folder, classes=classes, mon_port=self.mon_port, port=self.port))
        self.run("ceph-mon", "--id", "a", "--mkfs", "--keyring", "/dev/null")
        self._serve("ceph-mon", "--id", "a")
        osd = str(uuid.uuid4())
        self.run("ceph", "osd", "new", osd, "0")
        self.run("ceph-osd", "--id", "0", "--mkfs", "--osd-uuid", osd)
        self._serve("ceph-osd", "--id", "0")
        self.run("radosgw-admin", "user", "create", "--uid", "arca", "--display-name", "Arca", "--access-key", self.keys[0],
                 "--secret-key", self.keys[1])
        self.start_gateway()

    def start(self):
        """Again, from what `stop` left in the folder."""
        self._serve("ceph-mon", "--id", "a")
        self._serve("ceph-osd", "--id", "0")
        self.start_gateway()

    def start_gateway(self):
        self._serve("radosgw", "--name", "client.admin")
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for name, process in self.servers.items():
                if process.poll() is not None:
                    raise RuntimeError(f"rgw: {name} ended with {process.returncode}; see {self.folder}")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
                connection.request("GET", "/")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"rgw: no answer within {SECONDS} s; see {self.folder}")

    @property
    def gateway(self):
        return self.servers.get("radosgw")

    def kill_gateway(self):
        self._kill("radosgw")

    def stop(self):
        """The object store writes its memory down before it ends."""
        self._kill("radosgw")
        osd = self.servers.pop("ceph-osd")
        osd.send_signal(signal.SIGTERM)
        osd.wait(SECONDS)
        self._kill("ceph-mon")

    def _kill(self, name):
        process = self.servers.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()

    def kill(self):
        for name in list(self.servers):
            self._kill(name)

"""What an administrator sees and does while arcad runs: the control socket, and arcactl's jobs and placement. How arcactl
shows things is tested on an arcad that is made up, what arcad says on a real one."""
import http.server
import json
import os
import pty
import re
import select
import socketserver
import stat
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

from arca import BUILD, Arca, arcactl, wait_until


def job(name, step="", state="idle", done=0, total=None, **more):
    return {"name": name, "step": step, "state": state, "why": "", "done": done, "total": total, "bytes": 0, "rate": 0,
            "eta_ms": None, "found": 0, "missed": 0, "started_ms": None, **more}


def placement(roles, quorum=1, configured=("local",)):
    return {"name": "default", "write_quorum": quorum, "configured": list(configured), "configured_quorum": 1,
            "elsewhere": [], "members": [
                {"backend": name, "driver": "disk", "role": role, "state": "healthy", "jurisdiction": None, "cost": 0,
                 "replicas": 12, "bytes": 3 << 30} for name, role in roles.items()]}


class Made(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An arcad that answers what the test says; `answers`: (method, path) -> (status, value), or a list of them, of which
    the last one stays."""
    daemon_threads = True

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made = self.server
            made.asked.append((self.command, self.path, body.decode()))
            answer = made.answers.get((self.command, self.path), (404, {"error": "not_found", "message": "no such path"}))
            if isinstance(answer, list):
                answer = answer.pop(0) if len(answer) > 1 else answer[0]
            if answer is None:
                self.close_connection = True
                return
            text = answer[1] if isinstance(answer[1], str) else json.dumps(answer[1])
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = answer

        def address_string(self):
            return "unix"

        def log_message(self, *args):
            pass

    def __init__(self, path):
        self.answers, self.asked = {}, []
        super().__init__(str(path), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture
def made(tmp_path):
    """A configuration, and a made-up arcad behind its control socket."""
    gateway = Arca(tmp_path, extra="control: {socket: made.sock}\n")
    server = Made(tmp_path / "made.sock")
    server.config = gateway.config_path
    yield server
    server.shutdown()
    server.server_close()


def ctl(config, *args, **kwargs):
    return arcactl(*args, "--config", config, check=False, **kwargs)


# --- how arcactl shows it ---

JOBS = [
    job("garbage", done=17),
    job("scrub", state="waiting", done=500, total=1000, why="backend two is down", bytes=1023, rate=5 << 20, eta_ms=61000,
        found=2, missed=3),
    job("placement default", "backfill", "running", 999, 2000, bytes=1536 << 20, rate=1, eta_ms=90061000),
]


def test_the_table(made):
    made.answers["GET", "/-/jobs"] = (200, {"jobs": JOBS})
    done = ctl(made.config, "jobs")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["NAME", "STEP", "STATE", "PROGRESS", "DONE", "BYTES", "RATE", "LEFT", "FOUND", "MISSED"]
    assert lines[1].split() == ["garbage", "idle", "-", "17", "0", "B", "0", "B/s", "-", "0", "0"]
    assert "[##########..........]  50.0 %  500 of 1000" in lines[2]
    assert lines[2].split()[-8:] == ["1023", "B", "5.0", "MiB/s", "1m", "1s", "2", "3"]
    assert lines[3] == "    backend two is down"
    assert "[#########...........]  49.9 %" in lines[4] and "1.5 GiB" in lines[4] and "1d 1h" in lines[4]
    assert len({line.index(state) for line, state in ((lines[1], "idle"), (lines[2], "waiting"), (lines[4], "running"))}) == 1


def test_the_same_as_json(made):
    made.answers["GET", "/-/jobs"] = (200, {"jobs": JOBS})
    done = ctl(made.config, "jobs", "--json")
    assert done.returncode == 0 and [json.loads(line) for line in done.stdout.splitlines()] == JOBS


def test_pause_and_resume(made):
    made.answers["POST", "/-/jobs/placement%20default/pause"] = (200, {"paused": True})
    made.answers["POST", "/-/jobs/scrub/resume"] = (200, {"paused": False})
    made.answers["POST", "/-/jobs/a%2Fb/pause"] = (404, {"error": "not_found", "message": "there is no job 'a/b'"})
    assert ctl(made.config, "jobs", "pause", "placement", "default").returncode == 0
    assert ctl(made.config, "jobs", "resume", "scrub").stdout == "scrub goes on\n"
    done = ctl(made.config, "jobs", "pause", "a/b")
    assert done.returncode == 2 and done.stderr == "arcactl: there is no job 'a/b'\n"
    assert [path for _, path, _ in made.asked] == ["/-/jobs/placement%20default/pause", "/-/jobs/scrub/resume",
                                                   "/-/jobs/a%2Fb/pause"]


def test_a_changed_set_is_explained(made):
    made.answers["POST", "/-/placements/default"] = (200, placement({"local": "leaving", "new": "joining"}, 1))
    done = ctl(made.config, "placement", "set", "default", "--backends", "new")
    assert done.returncode == 0, done.stderr
    assert json.loads(made.asked[0][2]) == {"backends": ["new"]}
    assert "placement default becomes [new] with write quorum 1" in done.stdout
    assert "joining new: " in done.stdout and "leaving local: " in done.stdout
    assert "jobs --watch" in done.stdout
    assert "- name: default\n    backends: [new]\n    write_quorum: 1\n" in done.stdout

    made.answers["POST", "/-/placements/default"] = (200, placement({"local": "member"}, 1))
    done = ctl(made.config, "placement", "set", "default", "--backends", "local, new", "--write-quorum", "2")
    assert json.loads(made.asked[1][2]) == {"backends": ["local", "new"], "write_quorum": 2}
    assert "nothing has to be copied" in done.stdout and "write_quorum:" not in done.stdout


def test_a_refused_set_says_why(made):
    made.answers["POST", "/-/placements/default"] = (400, {"error": "invalid", "message": "there is no backend 'x'"})
    done = ctl(made.config, "placement", "set", "default", "--backends", "x", "--watch")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "arcactl: there is no backend 'x'\n")
    assert ctl(made.config, "placement", "set", "default").returncode == 2
    assert ctl(made.config, "placement", "set", "default", "--backends", "a", "--write-quorum", "0").returncode == 2
    assert ctl(made.config, "placement", "set", "--backends", "a").returncode == 2
    assert len(made.asked) == 1


def test_placements_are_shown_with_what_differs(made):
    shown = placement({"local": "member", "new": "joining"}, 2)
    made.answers["GET", "/-/placements"] = (200, {"placements": [shown]})
    done = ctl(made.config, "placement", "show")
    assert done.returncode == 0, done.stderr
    assert "placement default, write quorum 2, a change is under way" in done.stdout
    assert re.search(r"^new +disk +joining +healthy +12 +3\.0 GiB +- +0$", done.stdout, re.M), done.stdout
    assert "backends: [local, new]\n    write_quorum: 2\n" in done.stdout
    assert json.loads(ctl(made.config, "placement", "show", "--json").stdout) == shown


def test_lines_are_printed_where_there_is_no_terminal(made):
    """Only what is new; and the end of arcad is no end of the watching."""
    running = job("placement default", "backfill", "running", 1, 4)
    made.answers["POST", "/-/placements/default"] = (200, placement({"local": "leaving", "new": "joining"}))
    made.answers["GET", "/-/jobs"] = [(200, {"jobs": [job("scrub"), running]}), (200, {"jobs": [running]}), None,
                                      (200, {"jobs": [dict(running, step="drain", done=4, why="slow")]}),
                                      (200, {"jobs": []}), (200, {"jobs": [dict(running, state="idle", done=4)]})]
    made.answers["GET", "/-/placements"] = [(200, {"placements": [placement({"local": "draining", "new": "member"})]}),
                                            (200, {"placements": [placement({"new": "member"})]})]
    done = ctl(made.config, "placement", "set", "default", "--backends", "new", "--watch")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if re.match(r"\d\d:\d\d:\d\d ", line)]
    assert [re.sub(r"^\S+ ", "", line) for line in lines[:1] + lines[2:]] == [
        "placement default backfill running 25 %", "placement default drain running 100 %: slow",
        "placement default backfill idle 100 %"], done.stdout
    assert "does not answer" in lines[1]
    assert done.stdout.splitlines()[-1] == "placement default is changed"


def test_an_arcad_that_ends_twice_is_waited_for(made):
    """Right after a restart the job is not there yet; the next restart comes before it is."""
    moving = placement({"local": "leaving", "new": "joining"})
    made.answers["POST", "/-/placements/default"] = (200, moving)
    made.answers["GET", "/-/jobs"] = [(200, {"jobs": []}), None, (200, {"jobs": [job("placement default")]})]
    made.answers["GET", "/-/placements"] = [(200, {"placements": [moving]}),
                                            (200, {"placements": [placement({"new": "member"})]})]
    done = ctl(made.config, "placement", "set", "default", "--backends", "new", "--watch")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "placement default is changed"


def test_a_terminal_is_drawn_over(made):
    made.answers["GET", "/-/jobs"] = [(200, {"jobs": [job("scrub", state="running", done=i, total=3)]}) for i in range(3)]
    master, slave = pty.openpty()
    process = subprocess.Popen([BUILD / "arcactl", "jobs", "--watch", "--config", made.config], stdout=slave)
    os.close(slave)
    drawn = b""
    try:
        while drawn.count(b"66.6 %") < 1:
            assert select.select([master], [], [], 30)[0], drawn
            drawn += os.read(master, 65536)
    finally:
        process.terminate()
        process.wait()
        os.close(master)
    assert b"\x1b[2A\r\x1b[J" in drawn and drawn.count(b"NAME") == 3, drawn


def test_answers_that_make_no_sense(made):
    for answer in ((200, "{"), (500, "no JSON"), (200, ""), None):
        made.answers["GET", "/-/jobs"] = answer
        done = ctl(made.config, "jobs")
        assert done.returncode == 2 and str(made.config.parent / "made.sock") in done.stderr, answer
    made.answers["GET", "/-/jobs"] = (200, {"jobs": [7, {"name": 1}]})
    assert ctl(made.config, "jobs").returncode == 0


def test_nobody_there(tmp_path):
    gateway = Arca(tmp_path)
    for path in ("index/control.sock", f"{'deep-' * 10}/{'deep-' * 10}/sock"):
        gateway.config_path.write_text(gateway.config_path.read_text() + f"control: {{socket: {path}}}\n")
        done = ctl(gateway.config_path, "jobs")
        assert done.returncode == 2 and "arcad does not run" in done.stderr
        gateway.config_path.write_text(gateway.config_path.read_text().replace(f"control: {{socket: {path}}}\n", ""))
    assert ctl(gateway.config_path, "placement", "show").returncode == 2


# --- what arcad says ---

TWO_DISKS = [{"name": name, "driver": "disk", "path": name, "segment_size": "16MiB", "jurisdiction": "DE"}
             for name in ("one", "two")]


def on_one(**more):
    return {"name": "default", "backends": ["one"], "write_quorum": 1, **more}


@pytest.fixture
def gateway(tmp_path):
    """On the first of two disks, with twenty objects."""
    one = Arca(tmp_path, backends=TWO_DISKS, placements=[on_one(required_labels={"jurisdiction": ["DE"]})]).start()
    s3 = one.boto3()
    s3.create_bucket(Bucket="bucket")
    for i in range(20):
        s3.put_object(Bucket="bucket", Key=f"key{i}", Body=bytes([i]) * 100_000)
    yield one
    one.kill()


def socket_of(one):
    return one.folder / "index" / "control.sock"


def get(one, path):
    with urllib.request.urlopen(one.admin + path) as answer:
        return json.load(answer)


def refused(one, path):
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(urllib.request.Request(one.admin + path, b"{}", method="POST"))
    return error.value.code, json.load(error.value)


def test_jobs_are_there(gateway):
    names = [json.loads(line)["name"] for line in ctl(gateway.config_path, "jobs", "--json").stdout.splitlines()]
    assert {"garbage", "repair", "scrub"} <= set(names)
    assert {shown["name"] for shown in get(gateway, "/-/jobs")["jobs"]} == set(names)
    for name in ("garbage", "repair"):
        done = ctl(gateway.config_path, "jobs", "pause", name)
        assert done.returncode == 2 and "does not pause" in done.stderr
    done = ctl(gateway.config_path, "jobs", "pause", "nonsense")
    assert done.returncode == 2 and "there is no job 'nonsense'" in done.stderr
    gateway.stop()


def state_of(one, name):
    return next(shown["state"] for shown in get(one, "/-/jobs")["jobs"] if shown["name"] == name)


def test_a_pause_outlives_a_kill(gateway):
    assert ctl(gateway.config_path, "jobs", "pause", "scrub").returncode == 0
    wait_until(lambda: state_of(gateway, "scrub") == "paused", what="a paused scrub")
    gateway.kill()
    gateway.start()
    wait_until(lambda: state_of(gateway, "scrub") == "paused", what="a scrub that is paused still")
    assert ctl(gateway.config_path, "jobs", "resume", "scrub").returncode == 0
    wait_until(lambda: state_of(gateway, "scrub") != "paused", what="a scrub that goes on")
    gateway.stop()


def test_only_the_owner_gets_in(gateway):
    mode = socket_of(gateway).stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    gateway.stop()
    assert not socket_of(gateway).exists()


def test_a_left_socket_is_replaced_and_a_live_one_is_not(gateway, tmp_path_factory):
    gateway.kill()
    assert socket_of(gateway).exists()
    assert "does not run" in ctl(gateway.config_path, "jobs").stderr
    gateway.start()
    assert ctl(gateway.config_path, "jobs").returncode == 0
    other = Arca(tmp_path_factory.mktemp("other"), extra=f"control: {{socket: {socket_of(gateway)}}}\n")
    with pytest.raises(RuntimeError, match="another process listens there"):
        other.start()
    assert ctl(gateway.config_path, "jobs").returncode == 0
    gateway.stop()


def test_tcp_refuses_changes(gateway):
    for path in ("/-/jobs/scrub/pause", "/-/jobs/scrub/resume", "/-/placements/default"):
        status, answer = refused(gateway, path)
        assert status == 403 and "control socket" in answer["message"]
    shown = get(gateway, "/-/placements")["placements"][0]
    assert [member["backend"] for member in shown["members"]] == ["one"]
    assert (shown["members"][0]["replicas"], shown["members"][0]["jurisdiction"]) == (20, "DE")
    assert {shown["backend"]: shown["replicas"] for shown in get(gateway, "/-/backends")["backends"]} == {"one": 20, "two": 0}
    gateway.stop()


def test_sets_that_cannot_be_are_refused(gateway):
    for backends, more, why in (("one,three", (), "three"), ("one,one", (), "twice"), ("", (), "names"),
                                ("one", ("--write-quorum", 2), "quorum")):
        done = ctl(gateway.config_path, "placement", "set", "default", "--backends", backends, *more)
        assert done.returncode == 2 and why in done.stderr and done.stdout == "", done.stderr
    done = ctl(gateway.config_path, "placement", "set", "nonsense", "--backends", "one")
    assert done.returncode == 2 and "nonsense" in done.stderr
    assert not [shown for shown in get(gateway, "/-/jobs")["jobs"] if shown["name"].startswith("placement")]
    gateway.stop()


def test_a_set_is_changed_and_the_configuration_follows(gateway):
    done = ctl(gateway.config_path, "placement", "set", "default", "--backends", "two", "--watch", timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("placement default is changed\n"), done.stdout
    assert get(gateway, "/-/placements")["placements"][0]["members"][0]["replicas"] == 20
    shown = ctl(gateway.config_path, "placement", "show").stdout
    assert re.search(r"^two +disk +member +healthy +20 ", shown, re.M) and "backends: [two]" in shown, shown
    assert not re.search(r"^one ", shown, re.M), shown

    gateway.config_path.write_text(gateway.config_path.read_text().replace('"backends": ["one"]', '"backends": ["two"]'))
    gateway.reload()
    wait_until(lambda: gateway.log_events("reload"), what="a reload")
    shown = ctl(gateway.config_path, "placement", "show").stdout
    assert "change is under way" not in shown and "backends: [" not in shown, shown
    gateway.stop()
    gateway.start()
    s3 = gateway.boto3()
    for i in range(20):
        assert s3.get_object(Bucket="bucket", Key=f"key{i}")["Body"].read() == bytes([i]) * 100_000
    gateway.stop()
    done = ctl(gateway.config_path, "check", "--deep")
    assert done.returncode == 0, done.stdout

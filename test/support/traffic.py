"""rclone and s3cmd at work side by side, each with a folder that it keeps equal to what is behind the gateway. What they are
told is checked at once: a round changes files, brings them there, and compares every byte that is there."""
import pathlib
import random
import shutil
import threading

from arca import wait_until
from datasets import tree

FILES = 25  # that a client keeps, about
# None so small that two files would be the same by chance: instead of uploading a file again, `s3cmd sync` copies the one that
# held the same before, though it has just given that one other bytes (2.3.0).
SIZES = [0, 16, 100, 4096, 4096, 70_000, 70_000, 300_000]
ROUND_SECONDS = 120


class Traffic:
    """`start` and `stop` any number of times; rounds are counted over all of them."""

    def __init__(self, gateway, folder, bucket):
        self.gateway = gateway
        self.folder = pathlib.Path(folder)
        self.bucket = bucket
        self.stopping = threading.Event()
        self.threads = []
        self.errors = []
        self.rounds = {"rclone": 0, "s3cmd": 0}
        self.answers = 0  # that were looked at
        for client in self.rounds:
            (self.folder / client).mkdir(parents=True)
            for i in range(FILES):
                self._write(client, random.Random(f"{client}{i}"))

    # --- a client's folder ---

    def _write(self, client, rng):
        """A new file, or another one of the same name."""
        size = rng.choice(SIZES)
        path = self.folder / client / f"d{rng.randrange(4)}" / f"f{rng.randrange(FILES)}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(rng.randbytes(size))

    def _change(self, client, rng):
        for _ in range(6):
            self._write(client, rng)
        files = sorted(path for path in (self.folder / client).rglob("*") if path.is_file())
        for path in rng.sample(files, max(1, len(files) - FILES)):
            path.unlink()

    # --- a round ---

    def _rclone(self):
        target = f"arca:{self.bucket}/rclone"
        self.gateway.rclone("sync", self.folder / "rclone", target, "--checksum", "--retries=1", "--low-level-retries=1")
        self.gateway.rclone("check", self.folder / "rclone", target, "--download", "--retries=1", "--low-level-retries=1")

    def _s3cmd(self):
        target, back = f"s3://{self.bucket}/s3cmd/", self.folder / "s3cmd.back"
        shutil.rmtree(back, ignore_errors=True)  # a round that failed has left it to be looked at
        back.mkdir()
        for done in (self.gateway.s3cmd("sync", "--delete-removed", f"{self.folder / 's3cmd'}/", target),
                     self.gateway.s3cmd("get", "--recursive", target, f"{back}/")):
            assert "Retrying" not in done.stdout + done.stderr, done.stderr  # it hides errors so
        there, here = tree(back), tree(self.folder / "s3cmd")
        assert there == here, sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))

    def check(self):
        """That what is there is what the clients left, whatever they do not read by themselves."""
        self._rclone()
        self._s3cmd()
        self._check_log()

    def _work(self, client):
        rng = random.Random(f"{client} {self.rounds[client]}")
        try:
            while not self.stopping.is_set():
                self._change(client, rng)
                getattr(self, f"_{client}")()
                self.rounds[client] += 1
        except Exception as error:
            self.errors.append(error)

    def _check_log(self):
        """No request failed, not even one that its client has sent again."""
        answers = self.gateway.log_events("access")[self.answers:]
        self.answers += len(answers)
        failed = [answer for answer in answers if answer["status"] >= 500]
        assert answers and not failed, failed[:5]

    # --- its life ---

    def start(self):
        self.stopping.clear()
        self.errors.clear()
        self.threads = [threading.Thread(target=self._work, args=(client,)) for client in self.rounds]
        for thread in self.threads:
            thread.start()

    def raise_errors(self):
        if self.errors:
            raise self.errors.pop(0)

    def wait_rounds(self, count):
        """Until each client has ended the round it is in, and that many more."""
        goal = {client: done + 1 + count for client, done in self.rounds.items()}

        def reached():
            self.raise_errors()
            return all(self.rounds[client] >= goal[client] for client in goal)
        wait_until(reached, ROUND_SECONDS * (1 + count), f"{count} rounds of the clients")

    def abandon(self):
        """Stops, whatever has happened."""
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        self.threads = []

    def stop(self):
        self.abandon()
        self.raise_errors()
        self._check_log()

"""A small file system for one folder, which no other process sees: it can be filled, stand still and break."""
import fcntl
import os
import pathlib
import shutil
import struct
import subprocess

import pytest

EXT4_IOC_SHUTDOWN = 0x8004587D  # linux/fs/ext4/ext4.h: _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2


def fill(folder):
    """Leaves not even a page."""
    with open(folder / "filler", "ab", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                pass


def make_room(folder):
    (folder / "filler").unlink()


class Filesystem:
    """Mounted in a mount namespace of its own: `wrapper` goes before the command of a program that is to see it, and `seen`
    is where the test finds the folder. It ends with its last process, also when the test is killed."""

    def __init__(self, folder, mebibytes, image=None):
        """In memory; with `image`, a file to be made, an ext4 on a loop device."""
        self.folder = pathlib.Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        what = f"-t tmpfs -o size={mebibytes}m arca-test"
        if image is not None:
            with open(image, "wb") as file:
                file.truncate(mebibytes << 20)
            subprocess.run(["mkfs.ext4", "-q", image], check=True)
            what = f"-o loop {image}"
        self.mount = f"mount {what} {self.folder}"
        # What is frozen is thawed when the test goes away: nobody could end the processes that wait for it.
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c",
             f"{self.mount} && echo mounted && cat >/dev/null; fsfreeze -u {self.folder} 2>/dev/null"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "mounted\n":
            self.holder.wait()
            pytest.skip(f"a small file system cannot be mounted here: {self.holder.stderr.read()}")
        self.wrapper = ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--"]
        self.seen = pathlib.Path(f"/proc/{self.holder.pid}/root") / self.folder.relative_to("/")

    def run(self, *command):
        subprocess.run([*self.wrapper, *map(str, command)], check=True)

    def fill(self):
        fill(self.seen)

    def make_room(self):
        make_room(self.seen)

    def freeze(self):
        """Writes wait until `thaw`; not in memory."""
        self.run("fsfreeze", "-f", self.folder)

    def thaw(self):
        self.run("fsfreeze", "-u", self.folder)

    def break_down(self):
        """Every access fails from now on, until `mend`; an ext4 only."""
        root = os.open(self.seen, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(root, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(root)

    def mend(self):
        """Nothing may use it meanwhile."""
        self.run("umount", self.folder)
        self.run("sh", "-c", self.mount)

    def save(self, copy):
        """To a folder that is made."""
        shutil.copytree(self.seen, copy, symlinks=True)

    def restore(self, copy):
        """As it was saved, and nothing else. Nothing may use it meanwhile."""
        for path in self.seen.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(copy, self.seen, symlinks=True, dirs_exist_ok=True)

    def end(self):
        self.holder.stdin.close()
        self.holder.wait()

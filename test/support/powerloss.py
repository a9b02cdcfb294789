"""Power loss without pulling a plug: a preloaded library (powerloss.c) notes every write and forgets it once a sync that
began later has ended. What it still remembers when arcad is killed is what a disk may have lost."""
import os
import pathlib
import struct
import subprocess
import uuid

from programs import SOURCE

RECORD = struct.Struct("<QQQ232s")  # state (0 free, 1 written, 2 being synced), offset, length, path
RECORDS = 65536


class PowerLoss:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.library = self.folder / "powerloss.so"
        self.table = self.folder / "table"
        self.boot_id = self.folder / "boot_id"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", self.library,
                        SOURCE / "test" / "support" / "powerloss.c", "-ldl", "-lpthread"], check=True)

    def wrapper(self):
        return ["env", f"LD_PRELOAD={self.library}"]

    def boot(self):
        """The environment of a new boot: an empty table and another boot id."""
        self.boot_id.write_text(f"{uuid.uuid4()}\n")
        self.table.write_bytes(bytes(RECORD.size * RECORDS))
        return {"POWERLOSS_TABLE": str(self.table), "POWERLOSS_BOOT_ID": str(self.boot_id),
                "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}

    def lose_unsynced(self, rng):
        """Cuts, zeroes or keeps each unsynced write; returns how many were changed."""
        changed = 0
        for state, offset, length, path in RECORD.iter_unpack(self.table.read_bytes()):
            path = path.split(b"\0")[0].decode()
            if state == 0 or not os.path.exists(path):
                continue
            fate = rng.choice(["kept", "zeroed", "cut", "cut"])
            if fate == "kept":
                continue
            keep = 0 if fate == "zeroed" else rng.randrange(length)
            with open(path, "r+b") as file:
                size = os.fstat(file.fileno()).st_size
                end = min(offset + length, size)
                if offset + keep < end:
                    file.seek(offset + keep)
                    file.write(bytes(end - offset - keep))
                    changed += 1
        return changed

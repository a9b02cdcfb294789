"""Folders of real-looking input."""
import os
import pathlib
import random

ODD_NAMES = ["plain.txt", "with space.txt", "plus+plus.txt", "per%cent.txt", "per%20cent.txt", "uml-äöü-ß.txt", "日本語.txt",
             "quote'\".txt", "amp&<angle>.txt", "semi;colon=.txt", "hash#?.txt", "tilde~!@$^()[]{},.txt", "..dots..",
             "emoji-🩻.dcm", "UPPER.TXT", "dot.", "comma,name", "back`tick", "pipe|name", "star*", "a" * 200 + ".txt"]


def mixed_folder(folder, files, seed=1, largest=256 * 1024):
    """`files` files in a tree of folders, most of them small, some empty, names odd now and then."""
    rng = random.Random(seed)
    folder = pathlib.Path(folder)
    for i in range(files):
        sub = folder / f"d{rng.randrange(20):02d}" / f"e{rng.randrange(5)}"
        sub.mkdir(parents=True, exist_ok=True)
        name = f"{i:05d}-{ODD_NAMES[i % len(ODD_NAMES)]}" if i % 7 == 0 else f"{i:05d}.bin"
        size = 0 if i % 50 == 0 else min(largest, int(rng.expovariate(1 / 4096)) + rng.randrange(64))
        if i % 200 == 1:
            size = largest
        (sub / name).write_bytes(rng.randbytes(size))
        # Last-Modified has whole seconds: `aws s3 sync` would take a file of this very second for newer than its copy.
        os.utime(sub / name, (1_700_000_000 + i, 1_700_000_000 + i))
    return folder


def dicom_folder(folder, files=300, size=500 * 1024):
    """A study's worth of files of DICOM's size, and the real ones that pydicom ships."""
    import pydicom.data
    rng = random.Random(7)
    folder = pathlib.Path(folder)
    series = folder / "study" / "series"
    series.mkdir(parents=True, exist_ok=True)
    body = rng.randbytes(size)
    for i in range(files):
        (series / f"IM{i:06d}.dcm").write_bytes(b"\0" * 128 + b"DICM" + i.to_bytes(8, "big") + body)
    real = folder / "pydicom"
    real.mkdir(exist_ok=True)
    root = pathlib.Path(pydicom.data.__file__).parent / "test_files"
    for path in sorted(root.glob("*.dcm")):
        (real / path.name).write_bytes(path.read_bytes())
    assert len(list(real.iterdir())) > 20
    return folder


def big_file(path, size, seed=3):
    """Random bytes without holding them in memory; written in 8 MiB pieces that all differ."""
    rng = random.Random(seed)
    piece = bytearray(rng.randbytes(8 << 20))
    with open(path, "wb") as out:
        for offset in range(0, size, len(piece)):
            piece[:8] = offset.to_bytes(8, "big")
            out.write(piece[:min(len(piece), size - offset)])
    assert os.path.getsize(path) == size
    return path


def tree(folder):
    """Relative name -> bytes."""
    folder = pathlib.Path(folder)
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

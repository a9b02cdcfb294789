"""The C test programs of a build."""
import os
import pathlib
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ARCA_BUILD", SOURCE / "build" / "asan"))


def c_programs(prefix):
    """Names of the programs that the sources say must exist; a missing one fails its test."""
    names = []
    for source in sorted((SOURCE / "test").glob("unit/*/*.c")) + sorted((SOURCE / "test").glob("contract/*.c")):
        name = "-".join(source.relative_to(SOURCE / "test").with_suffix("").parts)
        if name.startswith(prefix):
            names.append(name)
    return names


def run_program(name, tmp_path, timeout=500, arguments=(), skipped=None):
    """`skipped` is the exit status of a program that lacks what it needs."""
    env = dict(os.environ, ARCA_SOURCE=str(SOURCE), TMPDIR=str(tmp_path))
    done = subprocess.run([BUILD / name, *arguments], env=env, cwd=tmp_path, timeout=timeout, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if skipped is not None and done.returncode == skipped:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, f"{name} exited with {done.returncode}\n{done.stdout[-8000:]}"

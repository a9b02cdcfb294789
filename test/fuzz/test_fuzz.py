"""A short run of each libFuzzer target over its corpus; new inputs are not kept."""
import os
import shutil
import subprocess

import pytest

from programs import SOURCE

BUILD = SOURCE / "build" / "fuzz"
TARGETS = sorted(path.stem for path in (SOURCE / "test" / "fuzz").glob("*.c"))


@pytest.mark.parametrize("target", TARGETS)
def test_fuzz(target, tmp_path, request):
    seconds = request.config.getoption("--seconds")
    corpus = tmp_path / "corpus"
    seeds = SOURCE / "test" / "fuzz" / "corpus" / target
    assert seeds.is_dir(), f"{target} has no seed corpus"
    shutil.copytree(seeds, corpus)
    env = dict(os.environ, ASAN_OPTIONS="detect_stack_use_after_return=0:allocator_may_return_null=1")
    done = subprocess.run(
        [BUILD / f"fuzz-{target}", f"-max_total_time={seconds}", "-max_len=70000", "-rss_limit_mb=2048", "-timeout=20",
         "-print_final_stats=1", "-verbosity=0", f"-artifact_prefix={tmp_path}/", corpus],
        env=env, cwd=tmp_path, timeout=seconds + 120, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-6000:]

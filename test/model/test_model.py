"""Runs the model checker: once with a seed that stays, once with one that does not."""
import random

import pytest

from programs import run_program

FIXED = 1


@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", ["fixed", "random"])
def test_model(kind, tmp_path, request, record_property):
    seed = request.config.getoption("--seed")
    if seed is None:
        seed = FIXED if kind == "fixed" else random.SystemRandom().randrange(1 << 32)
    elif kind == "random":
        pytest.skip("one seed was asked for")
    operations = request.config.getoption("--operations")
    record_property("told", f"model: test/run model --seed {seed} --operations {operations}")
    run_program("model", tmp_path, timeout=60 + operations // 100,
                arguments=["--seed", str(seed), "--operations", str(operations)])

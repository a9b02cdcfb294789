"""Runs the contract suite over every driver (see ../../backends/README.md)."""
import re

import pytest

from programs import SOURCE, c_programs, run_program

SKIPPED = 77


def drivers():
    """The rows of the suite's table."""
    text = (SOURCE / "test" / "contract" / "backend.c").read_text()
    return re.findall(r'^    \{"([a-z0-9-]+)", ', text.split("DRIVERS[]", 1)[1].split("};", 1)[0], re.MULTILINE)


@pytest.mark.parametrize("driver", drivers())
def test_driver(driver, tmp_path):
    run_program("contract-backend", tmp_path, arguments=[driver], skipped=SKIPPED)


@pytest.mark.parametrize("program", [name for name in c_programs("contract-") if name != "contract-backend"])
def test_contract(program, tmp_path):
    run_program(program, tmp_path, skipped=SKIPPED)

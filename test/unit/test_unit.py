"""Runs each C test program of this folder and of test/contract (built by CMake as unit-ROOM-NAME and contract-NAME)."""
import pytest

from programs import c_programs, run_program


@pytest.mark.parametrize("program", c_programs("unit-"))
def test_unit(program, tmp_path):
    run_program(program, tmp_path)

"""Runs the contract suite over every driver (see ../../backends/README.md)."""
import pytest

from programs import c_programs, run_program


@pytest.mark.parametrize("program", c_programs("contract-"))
def test_contract(program, tmp_path):
    run_program(program, tmp_path)

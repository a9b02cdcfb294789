"""What all suites share: options, and the closing line that a person or a CI system looks for."""
import pytest


def pytest_addoption(parser):
    parser.addoption("--rounds", type=int, default=200, help="crash: how often arcad is killed")
    parser.addoption("--seconds", type=int, default=8, help="fuzz: seconds a target")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # a worker of pytest-xdist
        return
    count = {key: len(reporter.stats.get(key, [])) for key in ("passed", "failed", "error", "skipped")}
    line = f"{count['passed']} passed, {count['failed'] + count['error']} failed"
    if count["skipped"]:
        line += f", {count['skipped']} skipped"
    print(line)

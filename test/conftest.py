"""What all suites share: options, and the closing line that a person or a CI system looks for."""
import pytest


def pytest_addoption(parser):
    parser.addoption("--rounds", type=int, default=200, help="crash: how often arcad is killed")
    parser.addoption("--operations", type=int, default=100000, help="model: operations a run")
    parser.addoption("--seed", type=int, default=None, help="model: one run with this seed only")
    parser.addoption("--seconds", type=int, default=8, help="fuzz: seconds a target")


def pytest_terminal_summary(terminalreporter):
    """What a test has to tell also when it passes: record_property("told", TEXT)."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, text in getattr(report, "user_properties", ()):
                if name == "told" and report.when == "call":
                    terminalreporter.line(text)


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

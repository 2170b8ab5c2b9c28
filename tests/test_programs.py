"""What is said about tests that were skipped."""

import pytest

from tests.support import programs


def test_skipped_tests_are_counted_by_what_is_missing_and_packages_are_named_once() -> None:
    reasons = [
        *[programs.without("promtool")] * 3,
        programs.without("prometheus"),
        programs.without(programs.DEBIAN_REDIS, "TLS"),
        programs.without(programs.DEBIAN_REDIS, "TLS"),
        "without IPv6",
    ]
    assert programs.count_skipped(f"Skipped: {reason}" for reason in reasons) == (
        "skipped: 3 without promtool, 2 without Debian's redis-server (TLS), 1 without prometheus, 1 without IPv6;"
        " what is not installed comes with: apt-get install --no-install-recommends prometheus redis-server"
    )


def test_no_package_is_named_where_none_would_help() -> None:
    assert programs.count_skipped(["Skipped: without a CUDA device"]) == "skipped: 1 without a CUDA device"


@pytest.mark.parametrize("program", programs.PACKAGES)
def test_what_is_not_installed_skips_a_test_with_its_package(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs.shutil, "which", lambda *_, **__: None)
    with pytest.raises(pytest.skip.Exception, match=rf"^without .*: apt-get install {programs.PACKAGES[program]}$"):
        programs.require(program)


def test_a_program_without_a_package_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="expected a line for it"):
        programs.find("python3")

"""docs/reliability.md is what was measured."""

from tests.chaos.page import RESULTS, page, read

PAGE = RESULTS.parent / "docs" / "reliability.md"


def test_the_page_is_up_to_date():
    chaos = read("chaos.json")
    assert chaos is not None
    assert PAGE.read_text() == page(chaos, read("soak.json")), "run: python -m tests.chaos.page > docs/reliability.md"

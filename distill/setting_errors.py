"""What is wrong with settings, as sentences: `key: what is expected, found what`."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from distill.words import shown

_EXPECTED = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number that is not so large",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "string_unicode": "text",
    "string_pattern_mismatch": "text that matches {pattern}",
    "literal_error": "{expected}",
    "tuple_type": "a list",
    "path_type": "a path",
}
"""By pydantic's name of the problem."""

MOST_PROBLEMS = 5
"""That a message names."""


def describe_problems(error: ValidationError) -> str:
    """Return the first problems in one line."""
    return "; ".join(_describe(problem) for problem in error.errors(include_url=False)[:MOST_PROBLEMS])


def _describe(problem: ErrorDetails) -> str:
    key = next((str(part) for part in reversed(problem["loc"]) if isinstance(part, str)), "")
    known = _EXPECTED.get(problem["type"])
    if known is None:
        message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    else:
        message = f"expected {known.format(**{name: _plain(part) for name, part in problem.get('ctx', {}).items()})}"
    return f"{key}: {message}, found {shown(problem['input'])}" if key else message


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

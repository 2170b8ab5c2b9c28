"""Finds the names in a PromQL expression, as far as our rules and dashboards go."""

import re

_KEYWORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def metric_names(expression: str) -> set[str]:
    """Return the metrics that an expression reads."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = _GROUPING.sub(" ", re.sub(r"\[[^]]*\]", "", re.sub(r"\{[^}]*\}", "", bare)))
    return set(re.findall(r"(?<![\w:])[a-zA-Z_:][\w:]*(?![\w:]|\s*\()", bare)) - _KEYWORDS


def label_names(expression: str) -> set[str]:
    """Return the labels that an expression selects or groups by."""
    groups = ",".join(_GROUPING.findall(expression))
    matchers = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    return {label.strip() for label in groups.split(",") if label.strip()} | set(matchers)

"""Tests of the whole tree: folders like those of the packages, and `support/`, what tests share."""

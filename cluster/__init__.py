"""Runs Policy Distillery on machines: command line, buffer service, model registry, supervision and launch."""

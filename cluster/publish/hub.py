"""Uploads a folder to a hub by huggingface_hub, as its own variables and login say."""

import importlib
import importlib.util
import logging
from pathlib import Path
from typing import Any

from distill.errors import ConfigError, RunError


def require_hub() -> None:
    """Check that the package is installed.

    Raises:
        ConfigError: if it is not.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        raise ConfigError(
            "repo: expected the package huggingface_hub, found none; pip install 'policy-distillery[hub]'"
        )


def upload(folder: Path, repo: str, *, private: bool) -> str:
    """Upload a folder as one commit into a model repository, which is made if it is not there; return its address.

    Raises:
        RunError: if the hub refuses or cannot be reached.
    """
    hub: Any = importlib.import_module("huggingface_hub")  # an extra
    for transport in ("httpx", "httpx2"):
        # It tells of every request.
        logging.getLogger(transport).setLevel(logging.WARNING)
    try:
        api = hub.HfApi()
        where = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Publish a model of Policy Distillery")
    except Exception as error:  # its transport, whose errors have no base of their own, is another one in every version
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise RunError(
            f"repo {repo}: the hub has not taken it: {first}; log in with `hf auth login` or HF_TOKEN; the folder"
            f" {folder} is complete, and `hf upload {repo} {folder}` tries again"
        ) from error
    return str(where)

"""Weights & Biases for those who have no account there, or are not logged in."""

from __future__ import annotations

import os
from netrc import NetrcParseError, netrc


def offline_without_account() -> None:
    """Log to a local folder where nobody is logged in; `wandb sync` sends it later."""
    if "WANDB_MODE" in os.environ or "WANDB_API_KEY" in os.environ:
        return
    try:
        logged_in = any("wandb" in host for host in netrc().hosts)
    except (OSError, NetrcParseError):
        logged_in = False
    if not logged_in:
        os.environ["WANDB_MODE"] = "offline"
        os.environ.setdefault("WANDB_SILENT", "true")

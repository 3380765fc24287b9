"""`make dashboard`: a saved view on Weights & Biases, panels in the order one looks at them.

    python benchmarks/wandb_workspace.py [--entity NAME] [--project NAME] [--name TITLE]

Every call saves a view of its own. It needs `pip install "instglow[dashboard]"` and an account.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from instglow.cli.wandb_account import offline_without_account
from instglow.errors import DependencyError, InstGlowError

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

STEP = "trainer/global_step"
CURVES = {
    # section -> title -> metrics, a regular expression for those of several runs or instruments
    "Learning": {
        "Loss, training": r"^train/(loss|generator|distance)$",
        "Loss, held out": r"^held-out/loss$",
        "Loss of the flow and of the denoiser": r"^(train|held-out)/(nats_per_dim|denoising)$",
        "Bits per dimension, own instrument": r"^(train|held-out)/bits_per_dim$",
        "Bits per dimension, other instruments": r"^held-out-.+/bits_per_dim$",
        "Gap to the other instruments": r"^held-out.*/gap$",
        "SDR of a network, dB": r"^held-out/sdr$",
    },
    "Optimisation": {
        "Learning rate": r"^train/learning_rate.*$",
        "Norm of the gradient, before it is clipped": r"^train/gradient_norm.*$",
        "Segments per second": r"^throughput/segments_per_second$",
        "Hours of audio per hour": r"^throughput/audio_hours_per_hour$",
    },
}


def description(entity: str, project: str, name: str = "InstGlow: training") -> Workspace:
    """The view, not saved yet.

    Raises:
        DependencyError: without wandb-workspaces.
    """
    try:
        from wandb_workspaces.reports import v2 as reports
        from wandb_workspaces.workspaces import Section, Workspace
    except ImportError as error:
        raise DependencyError(
            f'wandb_workspaces cannot be imported ({error}): pip install "instglow[dashboard]"'
        ) from error
    sections = [
        Section(
            name=title,
            panels=[
                reports.LinePlot(title=label, x=STEP, metric_regex=pattern)
                for label, pattern in curves.items()
            ],
            is_open=True,
        )
        for title, curves in CURVES.items()
    ]
    listening = [
        reports.MediaBrowser(title=f"{kind.capitalize()}, {form}", media_keys=[f"{kind}/{form}"])
        for kind in ("samples", "reconstructions")
        for form in ("audio", "spectrogram")
    ]
    sections.append(Section(name="Listening", panels=listening, is_open=True))
    table = reports.WeavePanelSummaryTable(table_name="likelihood")
    sections.append(Section(name="Likelihood of other instruments", panels=[table], is_open=True))
    return Workspace(entity=entity, project=project, name=name, sections=sections)


def save(entity: str | None, project: str, name: str) -> str:
    """-> the address of the saved view."""
    import wandb

    entity = entity or wandb.Api().default_entity
    return description(entity, project, name).save().url


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entity", help="user or team; by default that of the account")
    parser.add_argument("--project", default="instglow", help="as trainer.yaml names it")
    parser.add_argument("--name", default="InstGlow: training", help="of the view")
    arguments = parser.parse_args()
    try:
        description("nobody", arguments.project)  # is all there that it takes?
        offline_without_account()
        if os.environ.get("WANDB_MODE") in ("offline", "disabled"):
            print(
                "nobody is logged in to Weights & Biases here, or WANDB_MODE says offline: "
                "`wandb login`, then `make dashboard` again",
                file=sys.stderr,
            )
            return 2
        save(arguments.entity, arguments.project, arguments.name)  # prints the address
    except InstGlowError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

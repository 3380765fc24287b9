"""Pages, plots and dashboards as options of the commands, see `instglow.cli.outputs`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from instglow.cli.parser import Parser

if TYPE_CHECKING:
    from instglow.cli.evaluate import Evaluated
    from instglow.evaluation.likelihood import LikelihoodTable


class ListeningPage:
    """`instglow evaluate --page DIR`."""

    command = "evaluate"

    def add_options(self, parser: Parser) -> None:
        """See `Output`."""
        parser.add_argument("--page", type=Path, metavar="DIR", help="write a listening page")

    def check(self, arguments: Namespace) -> bool:
        """See `Output`."""
        from instglow.pages.listening import check_page

        if arguments.page:
            check_page(arguments.page)
        return bool(arguments.page)

    def write(self, arguments: Namespace, result: Evaluated) -> None:
        """See `Output`."""
        from instglow.evaluation.report import table
        from instglow.pages.exhibits import exhibits
        from instglow.pages.listening import write_page

        if arguments.page:
            shown = exhibits(result.plan, result.songs)
            page = write_page(arguments.page, result.plan.songs.name, shown, table(result.reports))
            print(f"listening page: {page}")


class EvaluationDashboard:
    """`instglow evaluate --wandb [PROJECT]`."""

    command = "evaluate"

    def add_options(self, parser: Parser) -> None:
        """See `Output`."""
        parser.add_argument(
            "--wandb",
            nargs="?",
            const="instglow",
            metavar="PROJECT",
            help="log to Weights & Biases",
        )

    def check(self, arguments: Namespace) -> bool:
        """See `Output`."""
        return bool(arguments.wandb)

    def write(self, arguments: Namespace, result: Evaluated) -> None:
        """See `Output`."""
        from instglow.cli.wandb_account import offline_without_account
        from instglow.pages.evaluation_dashboard import log

        if arguments.wandb:
            offline_without_account()
            log(result.reports, result.plan, arguments.wandb, result.plan.out)


class BoxPlot:
    """`instglow likelihood --plot FILE`."""

    command = "likelihood"

    def add_options(self, parser: Parser) -> None:
        """See `Output`."""
        parser.add_argument(
            "--plot", type=Path, metavar="F", help="draw box plots into a .png, .pdf or .svg"
        )

    def check(self, arguments: Namespace) -> bool:
        """See `Output`."""
        from instglow.pages.boxplot import check_target

        if arguments.plot:
            check_target(arguments.plot, arguments.overwrite)
        return bool(arguments.plot)

    def write(self, arguments: Namespace, result: tuple[str, LikelihoodTable]) -> None:
        """See `Output`."""
        from instglow.pages.boxplot import write_boxplot

        if arguments.plot:
            name, table = result
            title = f"Likelihood of the solos of {name}, segments of {arguments.seconds:g} s"
            write_boxplot(table, arguments.plot, title)


LISTENING_PAGE = ListeningPage()
EVALUATION_DASHBOARD = EvaluationDashboard()
BOX_PLOT = BoxPlot()

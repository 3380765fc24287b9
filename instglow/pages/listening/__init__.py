"""The listening page: methods side by side, to hear, see and compare."""

from instglow.pages.listening.exhibit import Estimates, Exhibit
from instglow.pages.listening.write import check_page, write_page

__all__ = ["Estimates", "Exhibit", "check_page", "write_page"]

"""What a user can cause: the command line prints one line and exits with status 2."""


class InstGlowError(Exception):
    """A mistake in the input, said in one line: what was wrong, both values, what to do."""


class AudioError(InstGlowError):
    """A recording that cannot be read or holds nothing to separate."""


class OutputError(InstGlowError):
    """A place that cannot be written, or holds something that would be overwritten."""


class ConfigError(InstGlowError):
    """An option, preset or training configuration that makes no sense."""


class OutOfMemory(InstGlowError):
    """Work that a device has no memory for, however small its parts are made."""


class DataError(InstGlowError):
    """Training data that is missing, silent or too short."""


class DependencyError(InstGlowError):
    """A program or optional package that this call needs and the machine lacks."""


class RegistryError(InstGlowError):
    """Something wrong with the registry of priors."""


class InvalidName(RegistryError):
    """A prior's name that is no name: only lower case letters, digits, '-' and '_'."""


class PriorNotFound(RegistryError):
    """No prior of that name in any registry looked at."""


class PriorExists(RegistryError):
    """A prior of that name is there already and replacing it was not asked for."""


class CardError(RegistryError):
    """A card that cannot be read, or of a format this version does not know."""


class WeightsError(RegistryError):
    """Weights that are missing, damaged, or do not fit the architecture."""


class FrontendMismatch(InstGlowError):
    """Priors that were trained on different spectrograms cannot share one search."""


def require(allowed: bool, setting: str, limits: str, value: object) -> None:
    """Raise a ConfigError that says what a setting must be, and what it is, unless it is allowed.

    >>> require(False, "batch size", "at least 1", 0)
    Traceback (most recent call last):
    instglow.errors.ConfigError: batch size must be at least 1, got 0
    """
    if not allowed:
        raise ConfigError(f"{setting} must be {limits}, got {value}")


def require_seed(setting: str, value: int) -> None:
    """A ConfigError for a seed that random number generators do not take."""
    require(0 <= value < 2**32, setting, f"from 0 to {2**32 - 1}", value)

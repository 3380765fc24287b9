"""`instglow fit|validate|test`: LightningCLI over the modules that train priors and networks."""

from __future__ import annotations

import logging
import re
import warnings
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from instglow import plugins
from instglow.cli.train_options import TrainParser, in_order
from instglow.cli.wandb_account import offline_without_account
from instglow.data.datamodule import SoloData
from instglow.devices import available, resolve, trainer_options
from instglow.errors import ConfigError
from instglow.training.averaging import WeightAverage
from instglow.training.base import TrainingRun
from instglow.training.callbacks import Checkpoints, Publish
from instglow.training.configs import class_path, configs
from instglow.training.discrimination import Discrimination
from instglow.training.early_stop import EarlyStop
from instglow.training.failures import causes, explanation, one_line
from instglow.training.interrupt import keyboard_interrupt
from instglow.training.module import PriorTraining
from instglow.training.publish import read_checkpoint

_ABOUT_DEVICES = re.compile("accelerator|backend|device|gpu", re.IGNORECASE)


def run(argv: list[str], prog: str) -> None:
    """Train or measure a prior, as the last word of `prog` says."""
    offline_without_account()
    _quiet()
    command = prog.split()[-1]
    # a configuration can then name these by their class alone, and --help lists them
    list(plugins.available("instglow.sources"))
    skipped = LightningCLI.subcommands()[command]
    # the parsers of commands that were not asked for would be as large
    cli = type("TrainCLI", (_TrainCLI,), {"subcommands": staticmethod(lambda: {command: skipped})})
    with one_line(), keyboard_interrupt() as interrupt:
        cli(
            TrainingRun,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=0,
            save_config_callback=RunConfig,
            trainer_defaults={"callbacks": [interrupt]},
            args=[command, *in_order(argv)],
            parser_kwargs={command: {"default_config_files": [str(configs() / "trainer.yaml")]}},
        )


class _TrainCLI(LightningCLI):
    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Our parser for each subcommand."""
        parser = TrainParser(**kwargs)
        parser.add_argument("-c", "--config", action="config", help="a YAML file; can be repeated")
        # `find_config` has read it already, and put it before the file that names it
        parser.add_argument("--base", type=str, help="of a YAML file: another that it changes")
        parser.add_argument(
            "-d",
            "--device",
            type=str,
            help="auto, cpu, cuda, cuda:N or mps (default: as trainer.accelerator says)",
        )
        return parser

    def before_instantiate_classes(self) -> None:
        """Look for the device before anything is built."""
        name = self._get(self.config, "device")
        self.on_device = trainer_options(resolve(name)) if name else {}

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """On the device that `--device` names."""
        try:
            return super().instantiate_trainer(**self.on_device, **kwargs)
        except MisconfigurationException as error:
            reason = " ".join(str(error).split()).rstrip(".!")
            if _ABOUT_DEVICES.search(reason):
                reason += f" (devices on this machine: {', '.join(available())})"
            raise ConfigError(f"{reason}; see `instglow fit --help`") from error

    def _parse_ckpt_path(self) -> None:
        """Refuse a checkpoint that cannot be read before anything is made."""
        path = self.config[self.config.subcommand].ckpt_path
        if path is not None:
            read_checkpoint(Path(path))

    def instantiate_classes(self) -> None:
        """Make model, data and trainer; what does not fit together is said in one line."""
        try:
            super().instantiate_classes()
        except (ValueError, TypeError) as error:
            *_, reason = causes(error)
            text = " ".join(str(reason).split())
            if "must be a mapping, not NoneType" in text:
                text = (
                    "an option that has options of its own, as model.augmentation has, is null; "
                    "leave it out to have their defaults"
                )
            raise explanation(error) or ConfigError(f"{text}; see `instglow fit --help`") from error

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """What every run has besides model, data and trainer; what they are if nothing is said."""
        parser.set_defaults(
            {
                "model": {"class_path": class_path(PriorTraining)},
                "data": {"class_path": class_path(SoloData)},
            }
        )
        parser.add_lightning_class_args(Discrimination, "discrimination")
        parser.add_lightning_class_args(EarlyStop, "early_stop")
        parser.add_lightning_class_args(Checkpoints, "checkpoint")
        parser.add_lightning_class_args(Publish, "publish")
        for name, callback in plugins.available("instglow.callbacks"):
            parser.add_lightning_class_args(callback, name)
        # after all that measure the average when a validation ends
        parser.add_lightning_class_args(WeightAverage, "averaging")


class RunConfig(SaveConfigCallback):
    """Writes the configuration of a run beside its checkpoints."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Nothing yet: Lightning sets up the checkpoints, which know the folder, last."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what the run was made of."""
        if trainer.is_global_zero:
            assert isinstance(trainer.checkpoint_callback, Checkpoints)
            folder = Path(trainer.checkpoint_callback.dirpath or ".")
            folder.mkdir(parents=True, exist_ok=True)
            self.config.pop("base", None)  # all that it says is in here
            self.parser.save(
                self.config, str(folder / "config.yaml"), skip_none=False, overwrite=True
            )


def _quiet() -> None:
    """Keep Lightning's tips and the notes on its own deprecations from the user."""
    for module in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
        logging.getLogger(module).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")

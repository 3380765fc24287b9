"""The presets separate the example as well as `make floor` recorded it."""

import json
from pathlib import Path

import pytest

from instglow.data.datasets import open_dataset
from instglow.evaluation.catalogue import Request, method
from instglow.evaluation.run import Plan, evaluate
from instglow.evaluation.summary import summarise
from instglow.registry import Registry
from instglow.registry.layer import Layer

ROOT = Path(__file__).parents[2]
FLOOR = Path(__file__).with_name("floor.json")
RECORDED = {one["method"]: one for one in json.loads(FLOOR.read_text())}
LOST = 0.2  # dB that processors and libraries may differ by


@pytest.mark.parametrize("name", ["fast", pytest.param("instglow", marks=pytest.mark.slow)])
def test_no_decibel_is_lost(tmp_path, name):
    recorded = RECORDED[name]
    registry = Registry([Layer(ROOT / "priors", "shipped", read_only=True)])
    plan = Plan(
        open_dataset(ROOT / "examples"),
        tmp_path,
        tuple(recorded["priors"]),
        excerpt=recorded["excerpt"],
    )
    results, skipped = evaluate(method(name, Request(registry, recorded["priors"])), plan)
    assert skipped == {}
    found, floor = summarise(results), recorded["summary"]
    assert found["all"]["mean_sdr"] >= floor["all"]["mean_sdr"] - LOST, {
        stem: (found[stem]["mean_sdr"], floor[stem]["mean_sdr"]) for stem in found
    }

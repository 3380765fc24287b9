#!/usr/bin/env bash
# jsonargparse 4.53.0: the null of an option two classes deep arrives as the text "None".
# --model.prior.sizes null, for a parameter dict | None of a class within a class, is refused
# ("Expected a <class 'NoneType'> ... Given value: None"); for a parameter str | None it is taken,
# silently, as the string 'None'. One class deep, and from a configuration file, null is None.
# Cause: the value, parsed already, is handed to the inner parser as f"--{key}={value}".
# What it means: turn a trailing =None into =null in ArgumentParser.parse_args. Exits 0 while so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "jsonargparse[signatures]==4.53.0"
cd "$folder"
cat > nested.py <<'PYTHON'
from typing import Dict, Optional

from jsonargparse import ArgumentError, ArgumentParser, __version__


class Inner:
    def __init__(self, sizes: Optional[Dict[str, int]] = None, text: Optional[str] = "x"):
        pass


class Outer:
    def __init__(self, inner: Inner, text: Optional[str] = "x"):
        pass


def parsed(*options):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Outer, "model")
    start = ["--model=Outer", "--model.inner=Inner"]
    return parser.parse_args([*start, *options]).model.init_args


print("jsonargparse", __version__)
shallow = parsed("--model.text=null").text
deep = parsed("--model.inner.text=null").inner.init_args.text
print(f"text=null: one class deep {shallow!r}, two deep {deep!r}")
try:
    parsed("--model.inner.sizes=null")
    refused = False
except ArgumentError as error:
    refused = True
    print("sizes=null, two deep:", " ".join(str(error).split())[-90:])
assert shallow is None and deep == "None" and refused
PYTHON
venv/bin/python nested.py

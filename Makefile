# Every verb makes .venv when it is missing; none does anything twice. CI runs nothing but these.
PYTHON ?= python3
BIN := .venv/bin
PRIORS := bass,drums,guitar,piano

.PHONY: setup demo test test-fast lint docs-check api floor results page speed training-speed loader picture dashboard prior variants new-instrument synthesisers

setup: .venv/installed

# uv installs torch in seconds where pip takes minutes
.venv/installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "installing InstGlow and what it needs into .venv"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev,render,baselines,dashboard]'
	@touch $@

demo: setup
	$(BIN)/instglow separate examples/song/mixture.flac --priors $(PRIORS) --overwrite
	$(BIN)/instglow evaluate examples --priors $(PRIORS) --figure mean_sdr --out separated/scores \
		--method mixture-share --method nmf --method instglow --method ideal-ratio-mask

# all of it; `make test-fast` leaves out what takes over five seconds
test: setup
	@$(BIN)/pytest -n auto --dist loadfile

test-fast: setup
	@$(BIN)/pytest -n auto --dist loadfile -m 'not slow'

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-cache > .venv/import-linter.log || { cat .venv/import-linter.log; exit 1; }
	@$(BIN)/mypy
	@$(MAKE) --no-print-directory docs-check

# docs/api.md and the model cards of the shipped priors
api: setup
	@$(BIN)/python benchmarks/provenance.py derive

# Is every generated document made from the priors, settings and scripts of this tree?
docs-check: setup
	@$(BIN)/python benchmarks/provenance.py

# docs/results.md from scratch: render solos, train what does not ship, separate, score; hours.
# MIDI=folder SOUNDFONTS=folder [SONGS=more folders of <song>/<stem>.flac]
results: setup
	@test -n "$(MIDI)" -a -n "$(SOUNDFONTS)" || { echo "make results MIDI=folder SOUNDFONTS=folder"; exit 2; }
	@$(BIN)/python benchmarks/results.py data $(MIDI) $(SOUNDFONTS)
	@$(BIN)/python benchmarks/results.py train
	@$(BIN)/python benchmarks/results.py measure $(if $(SONGS),--songs $(SONGS))
	@$(BIN)/python benchmarks/results.py write

# What the presets score on four seconds of the example: tests fail where either loses 0.2 dB
floor: setup
	@$(BIN)/instglow evaluate examples --priors $(PRIORS) --seconds 4 --registry priors \
		--method fast --method instglow --figure mean_sdr --json tests/evaluation/floor.json

page: setup
	@$(BIN)/instglow evaluate examples --priors $(PRIORS) --seconds 8 --out evaluations/page \
		--method nmf --method paper --method instglow --method ideal-ratio-mask \
		--figure mean_sdr --page docs/listen
	@$(BIN)/python benchmarks/provenance.py sign docs/listen/index.html

speed: setup
	@$(BIN)/python benchmarks/speed.py --write docs/speed.md

# What each choice in training and search is worth, on the dev songs: [SONGS=more folders of songs]
variants: setup
	@$(BIN)/python benchmarks/variants.py data/rendered-dev $(SONGS) --write docs/variants.md

# A prior of strings in one command, and what it is worth: MIDI=folder SOUNDFONTS=folder
new-instrument: setup
	@test -n "$(MIDI)" -a -n "$(SOUNDFONTS)" || { echo "make new-instrument MIDI=folder SOUNDFONTS=folder"; exit 2; }
	@$(BIN)/python benchmarks/new_instrument.py $(MIDI) $(SOUNDFONTS) --write docs/new-instrument.md

# What plays MIDI, compared: SOUNDFONTS=folder
synthesisers: setup
	@test -n "$(SOUNDFONTS)" || { echo "make synthesisers SOUNDFONTS=folder"; exit 2; }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python 'pyfluidsynth>=1.3.3' symusic==0.5.8
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps tinysoundfont
	@$(BIN)/python benchmarks/synthesisers.py $(SOUNDFONTS) --write docs/synthesisers.md

loader: setup
	@$(BIN)/python benchmarks/loader.py --write docs/loader.md

training-speed: setup
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/training_speed.py --write docs/training-speed.md

picture: setup
	@$(BIN)/python benchmarks/picture.py --write docs/separation.png

# A saved view of the training runs on Weights & Biases: [ENTITY=team] [PROJECT=name]
dashboard: setup
	@$(BIN)/python benchmarks/wandb_workspace.py \
		$(if $(ENTITY),--entity $(ENTITY)) $(if $(PROJECT),--project $(PROJECT))

# One shipped prior again from scratch, as configs/shipped/<name>.yaml says:
# make prior NAME=guitar MIDI=folder SOUNDFONTS=folder (voices need no SoundFonts)
prior: setup
	@test -n "$(NAME)" -a -n "$(MIDI)" || { echo "make prior NAME=guitar MIDI=folder SOUNDFONTS=folder"; exit 2; }
	@$(BIN)/python benchmarks/make_prior.py $(NAME) --midi $(MIDI) \
		$(if $(SOUNDFONTS),--soundfonts $(SOUNDFONTS))

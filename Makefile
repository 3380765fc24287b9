# Every verb makes .venv when it is missing; none does anything twice. CI runs nothing but these.
PYTHON ?= python3
BIN := .venv/bin
PRIORS := bass,drums,guitar,piano

.PHONY: setup demo test test-fast lint docs-check api results page speed training-speed loader picture dashboard prior variants new-instrument

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

# One shipped prior again from scratch: make prior NAME=guitar MIDI=folder SOUNDFONTS=folder
# (voices: make prior NAME=vocals MIDI=folder). What was made to train on is kept in data/.
ESPEAK := en-us+f2 en-gb+f4 en-us+m3 it+f5 es+m7 en-us+klatt2

prior: setup
	@test -n "$(NAME)" -a -n "$(MIDI)" || { echo "make prior NAME=guitar MIDI=folder SOUNDFONTS=folder"; exit 2; }
ifeq ($(NAME),vocals)
	@$(BIN)/python benchmarks/make_speech.py data/speech/train/recorded --minutes 30 --seed 100 \
		--voices flite-kal16 flite-awb flite-rms flite-slt festival-cmu_us_slt_arctic_hts
	@$(BIN)/python benchmarks/make_speech.py data/speech/train/espeak --minutes 14 --seed 103 \
		--voices $(addprefix espeak-,$(ESPEAK))
	@$(BIN)/python benchmarks/make_speech.py data/speech/dev --minutes 5 --seed 101 --voices espeak-en-us+f3
	@$(BIN)/instglow fit --config vocals.yaml --config shipped-vocals.yaml --publish.registry priors \
		--data.source.init_args.speech data/speech --data.source.init_args.midi $(MIDI)/freedoom \
		--data.source.init_args.folder data/rendered
else
	@$(BIN)/instglow fit --config $(NAME).yaml --config shipped-rendered.yaml --publish.registry priors \
		--data.source.init_args.instrument $(NAME) --data.source.init_args.midi $(MIDI) \
		--data.source.init_args.soundfonts $(SOUNDFONTS) --data.source.init_args.folder data/rendered
endif

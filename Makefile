# Everything a person types. `make` alone prints the targets; `make all` makes the study, set-up included.
PRESET ?= sandbox
SEED ?=
A ?=
B ?=
MERGE ?=
EXPORT ?=
POLICY ?=
GGUF ?=
REPO ?=
QUICK ?=
# The Python that .venv is made with, used once; empty: the first of these that is a 3.11 or 3.12.
PYTHON ?=
PYTHONS := $(or $(PYTHON),python3.11 python3.12 python3 python)
# More words for pip when it installs torch, such as the index of a CPU build (see README).
TORCH_ARGS ?=

BIN := .venv/bin
READY := .venv/.ready
SEED_FLAG := $(if $(SEED),--seed $(SEED))
ALOE := $(BIN)/python -m aloe
UNSLOTH := .venv-unsloth

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup all smoke test lint format plan dry report figures table compare journal export push dataset push-data lab bench bench-training accessibility gpu-wheels unsloth-check base-model lock clean

help:  ## this table
	@echo "make TARGET [PRESET=sandbox] [SEED=1]"
	@echo
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  %-15s %s\n", $$1, $$2}' Makefile

setup: $(READY)  ## only the set-up: .venv and its Jupyter kernel; every other target does it when needed

all: $(READY)  ## run every notebook of PRESET that is not up to date, build the report, print the headline table
	@$(ALOE) run --preset $(PRESET) $(SEED_FLAG)

smoke: $(READY)  ## make all with the smallest preset
	@$(ALOE) run --preset smoke $(SEED_FLAG)

test: $(READY) lint  ## lint, types, unit and smoke tests; no network, no GPU
	@$(BIN)/python -m pytest

lint: $(READY)  ## ruff and mypy, notebooks included
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY)  ## let ruff format code and notebooks, and strip notebook outputs
	@$(BIN)/ruff check --fix-only --exit-zero .
	@$(BIN)/ruff format .
	@find notebooks -name '*.ipynb' -not -path '*/.*' -exec $(BIN)/nbstripout --keep-id {} +

plan: $(READY)  ## what a run of PRESET would do and cost: calls, tokens, USD, hours, memory, disk; runs nothing
	@$(ALOE) plan --preset $(PRESET) $(SEED_FLAG)

dry: $(READY)  ## every stage of PRESET at toy width with a random model, no network and no key: what is wrong shows first
	@$(ALOE) dry --preset $(PRESET) $(SEED_FLAG)

report: $(READY)  ## the report again, from the executed notebooks
	@$(ALOE) report --preset $(PRESET) $(SEED_FLAG)

figures: $(READY)  ## the analysis and its figures again from saved results; no model, no key
	@$(ALOE) figures --preset $(PRESET) $(SEED_FLAG)

table: $(READY)  ## the headline table of a finished run
	@$(ALOE) table --preset $(PRESET) $(SEED_FLAG)

compare: $(READY)  ## two finished runs side by side: make compare A=outputs/x B=outputs/y
	@$(ALOE) compare "$(A)" "$(B)"

journal: $(READY)  ## what was asked of models in PRESET, and what was paid (MERGE=other.sqlite, EXPORT=replies.jsonl)
	@$(ALOE) journal --preset $(PRESET) $(SEED_FLAG) $(if $(MERGE),--merge "$(MERGE)") $(if $(EXPORT),--export "$(EXPORT)")

bench: $(READY)  ## asking beside the bare client, memory of many dialogues, 20 kills, persona filter, benchmark: ratios, in outputs/bench/
	@$(BIN)/python tests/bench/asking.py
	@$(BIN)/python tests/bench/memory.py
	@$(BIN)/python tests/bench/kills.py
	@$(BIN)/python tests/bench/personas.py
	@$(BIN)/python tests/bench/benchmark.py

bench-training: $(READY)  ## SFT beside prefixes, DPO beside a second model: tokens, time, memory, in outputs/bench/ (QUICK=1)
	@$(BIN)/python tests/bench/training.py $(if $(QUICK),--quick)

accessibility: $(READY)  ## the report of PRESET in headless Chromium: axe-core, keyboard, hostile texts, requests; outputs/bench/
	@$(BIN)/python -c 'import axe_playwright_python' 2> .venv/accessibility.log \
		|| $(BIN)/python -m pip install --editable '.[accessibility]' --constraint requirements.lock
	@$(BIN)/python tests/bench/accessibility.py outputs/$(PRESET)$(if $(SEED),-seed$(SEED))/report

gpu-wheels: $(READY)  ## what tests/bench/training_gpu.py needs on a GPU machine that reaches no package index, in .wheels/
	@$(BIN)/python tests/bench/gpu_wheels.py

unsloth-check: $(UNSLOTH)/.ready  ## two steps of SFT and DPO through Unsloth on a CPU and through the plain backend: same losses
	@$(UNSLOTH)/bin/python -m pytest -m unsloth tests/unsloth

export: $(READY)  ## what to take away of a finished PRESET: weights in 16 bits, adapter, model card (POLICY=dpo, GGUF=q4_k_m on a GPU)
	@$(ALOE) export --preset $(PRESET) $(SEED_FLAG) $(if $(POLICY),--policy "$(POLICY)") $(if $(GGUF),--gguf "$(GGUF)")

push: $(READY)  ## send that to a model hub, private unless it is there: make push REPO=owner/name, token in HF_TOKEN
	@$(ALOE) push --preset $(PRESET) $(SEED_FLAG) $(if $(POLICY),--policy "$(POLICY)") $(if $(GGUF),--gguf "$(GGUF)") --repo "$(REPO)"

dataset: $(READY)  ## the dialogues of PRESET as a data set: Parquet files by split, and a data card
	@$(ALOE) dataset --preset $(PRESET) $(SEED_FLAG)

push-data: $(READY)  ## send that to a model hub, private unless it is there: make push-data REPO=owner/name, token in HF_TOKEN
	@$(ALOE) push-data --preset $(PRESET) $(SEED_FLAG) --repo "$(REPO)"

lab: $(READY)  ## JupyterLab on the project's own kernel
	@$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

# The settings keep two threads from spinning while they wait, and freed memory from going back to the system.
base-model: $(READY)  ## pretrain the sandbox's small base model from scratch (about 45 minutes on 2 cores)
	@OMP_WAIT_POLICY=PASSIVE MALLOC_MMAP_THRESHOLD_=1000000000 MALLOC_TRIM_THRESHOLD_=2000000000 $(BIN)/python -m aloe.sandbox.pretraining

lock: $(READY)  ## resolve requirements.lock anew from pyproject.toml, and environment.yml from both
	@$(BIN)/uv pip compile --quiet --universal --all-extras --upgrade --custom-compile-command "make lock" \
		pyproject.toml --output-file requirements.lock > .venv/lock.log
	@$(ALOE) environment > .venv/environment.yml && mv .venv/environment.yml environment.yml

clean: $(READY)  ## remove the outputs of PRESET, all but its journal of model replies (JOURNAL=1: that too)
	@$(ALOE) clean --preset $(PRESET) $(SEED_FLAG) $(if $(JOURNAL),--journal)

# The stamp: written last, so that an interrupted set-up is taken up again.
$(READY): pyproject.toml requirements.lock
	@if [ ! -x $(BIN)/python ]; then \
		for python in $(PYTHONS) none; do \
			"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break; \
		done; \
		if [ "$$python" = none ]; then \
			echo "No Python 3.11 or 3.12 here (tried: $(PYTHONS)). Install one of them, or say where it is:" >&2; \
			echo "make setup PYTHON=/path/to/python3.11" >&2; \
			exit 2; \
		fi; \
		echo "Making .venv with $$python"; \
		"$$python" -m venv .venv || { \
			rm -rf .venv; \
			echo "$$python cannot make virtual environments: install its venv module (Debian: python3-venv)." >&2; \
			exit 2; \
		}; \
	fi
	@echo "Installing the locked packages into .venv; this takes minutes the first time"
	@$(BIN)/python -m pip install "$$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' requirements.lock)" --constraint requirements.lock $(TORCH_ARGS)
	@$(BIN)/python -m pip install --editable '.[docs,dev]' --constraint requirements.lock
	@$(BIN)/python -m ipykernel install --sys-prefix --name python3 --display-name "Python (ALOE study)" \
		--env OMP_WAIT_POLICY PASSIVE  # waiting threads that spin cost half the speed on shared cores
	@touch $@

# An environment of its own that shares the packages of .venv: Unsloth's CPU backend is not what the lock resolves to.
$(UNSLOTH)/.ready: $(READY) tests/unsloth/requirements.txt
	@echo "Installing Unsloth into $(UNSLOTH), over the packages of .venv"
	@$(BIN)/python -m venv --clear $(UNSLOTH)
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $(UNSLOTH)/shared
	@mv $(UNSLOTH)/shared "$$($(UNSLOTH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shared.pth"
	@$(UNSLOTH)/bin/python -m pip install --no-deps --requirement tests/unsloth/requirements.txt
	@touch $@

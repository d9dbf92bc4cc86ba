# The newcomer's and the developer's commands; each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Where torch comes from, if not from the default index: for a machine without a GPU
# TORCH_INDEX=https://download.pytorch.org/whl/cpu saves gigabytes.
TORCH_INDEX ?=
ARGS ?=

.PHONY: help setup demo test long interleavings chaos lint format base base-quality replies imitation cyborgs schedules flood bench gpu clean

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: $(READY)  ## make .venv with everything that the project needs

$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV): a few minutes, once ..." >&2
	@$(PYTHON) -c 'import sys; sys.exit("Mockingbird needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -c constraints.txt torch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(READY)

demo: setup  ## the main job on three invented people: make demo ARGS="--once --json"
	@$(BIN)/mockingbird demo $(ARGS)

test: setup  ## all tests, on two cores: make test ARGS="-k outbox"
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

long: setup  ## the tests that `make test` leaves out because they take long
	$(BIN)/python -m pytest -n 2 --dist loadfile -m long $(ARGS)

interleavings: setup  ## the same texts in a thousand random companies, on the bundled base: two minutes
	INTERLEAVINGS=1000 $(BIN)/python -m pytest tests/models/test_batching.py -k interleavings

chaos: setup  ## everything goes wrong that may: make chaos ARGS="[--quick] [--only delivery] --json FILE"
	@$(BIN)/python -P -m tests.chaos $(ARGS)

lint: setup  ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## mend the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

TEXT ?= ../shared/data/pretrain
base: setup  ## pre-train the bundled base again from TEXT, a folder of openly licensed text
	$(BIN)/python -P -m training.engine.pretrain --text $(TEXT) --work .work/pretrain --out models/base/fledgling $(ARGS)

base-quality: setup  ## how well the base predicts strangers: make base-quality ARGS="--timelines DIR --authors a,b"
	@$(BIN)/python -P -m bench.base_quality --text $(TEXT) $(ARGS)

replies: setup  ## do replies answer what was said?: make replies ARGS="--timelines DIR --authors a,b"
	@$(BIN)/python -P -m bench.replies $(ARGS)

imitation: setup  ## how well each system imitates: make imitation ARGS="--timelines DIR --authors a,b --json FILE"
	@$(BIN)/python -P -m bench.imitation $(ARGS)

cyborgs: setup  ## how to make one voice of two people: make cyborgs ARGS="--timelines DIR --pairs a+b,c+d"
	@$(BIN)/python -P -m bench.cyborgs $(ARGS)

schedules: setup  ## how the bot bears ten thousand schedules: make schedules ARGS="--json FILE"
	@$(BIN)/python -P -m bench.schedules $(ARGS)

flood: setup  ## how Discord's commands are borne: make flood ARGS="[--only flood|training] --json FILE"
	@$(BIN)/python -P -m bench.flood $(ARGS)

# The peers that the engine is compared with; nothing else needs them.
PEERS := $(VENV)/.peers
$(PEERS): $(READY)
	@echo "Adding those that the engine is compared with (150 MB) ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,bench]"
	@touch $(PEERS)

bench: $(PEERS)  ## how fast the engine is beside others: make bench ARGS="[--quick] --json FILE"
	@$(BIN)/python -P -m bench.engine $(ARGS)

gpu: setup  ## the same on a GPU, and the tests that need one: make gpu ARGS="--json FILE"
	@$(BIN)/python -P -c 'import sys, torch; torch.cuda.is_available() or sys.exit("make gpu needs a CUDA device, and there is none.")'
	@$(MAKE) bench ARGS="--device cuda $(ARGS)"
	$(BIN)/python -m pytest -m gpu

clean:  ## remove what setup and builds made
	rm -rf $(VENV) .work dist build

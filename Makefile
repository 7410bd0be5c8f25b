# Two commands: `make demo` and `make test`. Each sets up its own .venv first; that needs Python
# 3.10 to 3.12 with venv, and a package index.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= $(shell for p in python3.12 python3.11 python3.10 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
	>/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
DEMO := build/demo
SAMPLE := training/sample
export TF_CPP_MIN_LOG_LEVEL ?= 3
export TF_CPP_MAX_VLOG_LEVEL ?= 0

.PHONY: demo test test-readme test-experiments test-runtimes test-workers test-spark test-gpu notebooks coverage lint bench bench-gpu setup clean

demo: .venv/installed-vocabulary
	rm -rf $(DEMO)
	mkdir -p $(DEMO)
	$(BIN)/labse encode $(SAMPLE)/twenty.txt --output $(DEMO)/twenty.npy
	$(BIN)/labse similarity @$(SAMPLE)/twenty.txt @$(SAMPLE)/twenty.eng.txt --nearest 1 \
		--heat-map $(DEMO)/similarity.svg
	$(BIN)/python -m training.vocabulary --pairs $(SAMPLE)/*.train.tsv.gz --vocab-size 16000 \
		--output $(DEMO)/vocab.txt
	$(BIN)/python -m training.dual_encoder --workdir $(DEMO)/0-layers --vocab $(DEMO)/vocab.txt \
		--num-layers 0 --seq-length 32 --dropout 0 $(TRAIN) --steps 400 --batch-size 1024 \
		--learning-rate 5e-3 --weight-decay 0 --clip-norm 0 --checkpoint-every 400
	$(BIN)/python -m export.saved_model $(DEMO)/0-layers $(DEMO)/untrained --step 0
	$(BIN)/python -m export.saved_model $(DEMO)/0-layers $(DEMO)/0-layers-trained
	$(BIN)/python -m training.dual_encoder --workdir $(DEMO)/1-layer \
		--init $(DEMO)/0-layers-trained --num-layers 1 $(TRAIN) --steps 120 --batch-size 512 \
		--learning-rate 5e-4 --checkpoint-every 120 --report-every 20
	$(BIN)/python -m export.saved_model $(DEMO)/1-layer $(DEMO)/model
	$(BIN)/python export/demonstrate.py before=$(DEMO)/untrained after=$(DEMO)/model \
		--heldout $(SAMPLE)/*.heldout.tsv.gz

TRAIN := --pairs $(SAMPLE)/*.train.tsv.gz --cpu-replicas 2 --scale 20 --exponent 0.7 \
	--warmup-steps 20

# A file of tests at a time in each of three processes: tests that wait leave two cores idle.
test: .venv/installed-test
	$(BIN)/python -m pytest -n 3 --dist loadfile --durations=10 --ignore tests/spark \
		--ignore tests/test_readme.py --ignore tests/experiments --ignore tests/labse_mini \
		--ignore tests/labse_small --ignore tests/openvino --ignore tests/lite --ignore tests/workers

# Every command and every piece of code of the pages.
test-readme: .venv/installed-test
	$(BIN)/python -m pytest -n 2 tests/test_readme.py --durations=10

# The paper's experiments and the recipe of labse-mini, at tiny size.
test-experiments: .venv/installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/experiments tests/labse_mini tests/labse_small --durations=10

# What embeds without TensorFlow: OpenVINO and LiteRT.
test-runtimes: .venv/installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/openvino tests/lite --durations=10

# Training in two worker processes, which takes both cores.
test-workers: .venv/installed-test
	$(BIN)/python -m pytest tests/workers --durations=10

# Needs Java; minutes, of which most are the starts of Spark.
test-spark: .venv/installed-test .venv/installed-spark
	$(BIN)/python -m pytest tests/spark --durations=10

# Skipped where TensorFlow finds no GPU; `pip install 'tensorflow[and-cuda]~=2.20.0'` brings CUDA.
test-gpu: .venv/installed-test
	$(BIN)/python -m pytest tests/test_gpu.py --durations=10

# Those of colab/, which also keep what they print: python -m tests.notebooks NAME --write
notebooks: .venv/installed-notebooks
	$(BIN)/python -m tests.notebooks

coverage: .venv/installed-test
	$(BIN)/python -m pytest -n 3 --dist loadfile --ignore tests/spark --cov --cov-report=term-missing:skip-covered

lint: .venv/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

bench: .venv/installed-test
	$(BIN)/python -m tests.benchmark
	$(BIN)/python -m tests.benchmark.memory
	$(BIN)/python -m tests.benchmark.training
	$(BIN)/python -m tests.benchmark.pretraining
	$(BIN)/python -m tests.benchmark.streaming
	$(BIN)/python -m tests.benchmark.neighbours
	$(BIN)/python -m tests.benchmark.mining
	$(BIN)/python -m tests.benchmark.crawl
	$(BIN)/python -m tests.benchmark.serving
	$(BIN)/python -m tests.benchmark.soak
	$(BIN)/python -m tests.benchmark.latency
	$(BIN)/python -m tests.benchmark.start
	$(BIN)/python -m tests.benchmark.speed --readme labse_tf/inference/README.md

bench-gpu: .venv/installed-test
	$(BIN)/python -m tests.benchmark.gpu

setup: .venv/installed .venv/installed-vocabulary .venv/installed-test .venv/installed-lint

clean:
	rm -rf .venv build

# Some of tf-models-official's requirements are source packages, which an older pip builds with the
# venv's own setuptools, and fails; by PEP 517 each build has its own.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517

# A venv that is there but whose installation failed is completed, not trusted.
.venv/installed: setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.10, 3.11 or 3.12 with venv on the PATH." \
		"Name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(PIP_INSTALL) --editable .
	touch $@

.venv/installed-%: .venv/installed
	$(PIP_INSTALL) --editable '.[$*]'
	touch $@

# `make run` and `make test` set up all that they need: .venv, the native build, the model, the Arm tools.
# The state of that lives in .venv, .models, build and dist, none of it outside this folder.

PYTHON_VENV := .venv/bin/python
MODELS      := .models
SOURCE      := $(MODELS)/smollm2-135m-instruct-q4_1.gguf
DEFAULT     := $(MODELS)/smollm2-135m-instruct-q4_0.gguf

ifeq ($(origin MODEL),undefined)
MODEL     := $(DEFAULT)
endif
PROMPT    ?= What is the capital of France?
ARGS      ?=
CAPTURE   ?= build/emulate/capture.csv
CACHES    ?=
CPU       ?= max,sve=off
ARCH      ?=
MINUTES   ?= 10
PLAN      ?= docs/plans/toolchains.toml
TOOLCHAIN ?=

# Through the environment, so that no shell and no make reads quotes or dollars in them.
override PROMPT := $(value PROMPT)
override MODEL  := $(value MODEL)
export PROMPT MODEL
# CMake and ninja may live in .venv; pip's notices about itself are no news of ours.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

CROSS_OPTIONS := $(if $(ARCH),--arch '$(ARCH)') $(if $(TOOLCHAIN),--toolchain '$(TOOLCHAIN)')
# Folders are listed with the files, so that a file that was removed counts as a change too.
NATIVE := $(shell find native)

.DELETE_ON_ERROR:
.PHONY: help run setup test test-long lint test-kernels test-python test-arm wheel cross arm kernel-cost matrix emulate emulate-peer bundle sanitize fuzz
.PHONY: clean distclean

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

run: build/stamps/installed $(if $(filter $(DEFAULT),$(MODEL)),$(DEFAULT)) ## an answer from a real model: PROMPT="…" MODEL=… ARGS="-n 64"
	@.venv/bin/q4engine run "$$MODEL" $${PROMPT:+-p "$$PROMPT"} --temp 0 -n 128 $(ARGS)

setup: build/stamps/installed build/stamps/test-tools system-tools tokenizer-vectors $(DEFAULT) ## all that make run and make test need here (Q4_NO_APT=1: no packages)

.PHONY: system-tools
system-tools: build/stamps/test-tools
	@$(PYTHON_VENV) toolchains/system_tools.py

.PHONY: tokenizer-vectors
tokenizer-vectors: build/stamps/dependencies
	@$(PYTHON_VENV) toolchains/tokenizer_vectors.py --get

test: setup ## all tests, on this machine and on emulated Arm
	@$(PYTHON_VENV) toolchains/run_tests.py

test-long: setup ## slower tests: a minute of each fuzzer, kills, signals, long use, kernel floors, the C tests under ASan, UBSan and TSan
	@$(PYTHON_VENV) toolchains/run_tests.py long sanitizers

lint: build/stamps/installed build/stamps/test-tools ## ruff, mypy, clang-format
	@$(PYTHON_VENV) toolchains/run_tests.py lint

test-kernels: setup ## the C test program alone
	@$(PYTHON_VENV) toolchains/run_tests.py kernels

test-python: setup ## pytest alone, on this machine
	@$(PYTHON_VENV) toolchains/run_tests.py python

test-arm: setup ## the Arm tests alone
	@$(PYTHON_VENV) toolchains/run_tests.py arm

wheel: build/stamps/dependencies ## a wheel for this machine in dist/
	@$(PYTHON_VENV) toolchains/wheels.py

cross: build/stamps/installed ## an aarch64 wheel in dist/: ARCH=armv8.2-a+dotprod+i8mm TOOLCHAIN=gnu|clang|zig
	@$(PYTHON_VENV) toolchains/cross.py $(CROSS_OPTIONS)

arm: build/stamps/installed ## q4engine on aarch64, emulated where need be: CPU=neoverse-n1 ARGS="run …"
	@$(PYTHON_VENV) toolchains/arm.py --cpu '$(CPU)' $(CROSS_OPTIONS) -- $(ARGS)

kernel-cost: build/stamps/installed ## what each Arm kernel costs: instructions under qemu, cycles by llvm-mca 19
	@PYTHONPATH=toolchains $(PYTHON_VENV) -m kernel_cost --check $(ARGS)

matrix: build/stamps/installed ## compilers and flags on the same source: size, time to build, bits, kernels' cost: PLAN=… ARGS="--kernels ''"
	@PYTHONPATH=toolchains $(PYTHON_VENV) toolchains/matrix.py '$(PLAN)' $(ARGS)

emulate: build/stamps/installed $(if $(filter $(DEFAULT),$(MODEL)),$(DEFAULT)) ## counts without Arm hardware: MODEL=… ARGS="-n 4" CPU=… CACHES="--l3 2M/16" CAPTURE=…
	@PYTHONPATH=toolchains $(PYTHON_VENV) -m emulate --cpu '$(CPU)' $(CROSS_OPTIONS) $(CACHES) --out '$(CAPTURE)' \
	  --model "$$MODEL" -- $${PROMPT:+-p "$$PROMPT"} --temp 0 -n 4 $(ARGS)
	@PYTHONPATH=toolchains $(PYTHON_VENV) -m emulate.instruction_shares '$(CAPTURE)'

emulate-peer: build/stamps/installed $(if $(filter $(DEFAULT),$(MODEL)),$(DEFAULT)) ## instructions of llama.cpp's Arm build beside ours: MODEL=… CPU=… ARGS="-n 4"
	@PYTHONPATH=toolchains $(PYTHON_VENV) -m emulate.peer --cpu '$(CPU)' $(CROSS_OPTIONS) --model "$$MODEL" $(ARGS)

bundle: build/stamps/installed ## one tar in dist/ that runs on any Arm64 Linux and from adb shell: ARCH=… TOOLCHAIN=…
	@$(PYTHON_VENV) toolchains/bundle.py $(CROSS_OPTIONS)

sanitize: setup ## the C tests, the unit tests, commands and fuzzers of the core under ASan and UBSan, and under TSan
	@$(PYTHON_VENV) toolchains/sanitize.py

fuzz: setup ## hostile input for MINUTES=10: files, texts, templates, calls, plans; ARGS="plans --seed 17" repeats a case
	@PYTHONPATH=tests:toolchains:tests/support $(PYTHON_VENV) -m fuzz --minutes $(MINUTES) $(ARGS)

clean: ## removes what was built; .venv and .models stay
	rm -rf build dist

distclean: clean ## removes .venv and .models too
	rm -rf .venv .models

# ---- the steps of setting up, each done when what it depends on is newer -------------------------------------------
.venv/ready:
	@sh toolchains/make_venv.sh .venv
	@touch $@

build/stamps/dependencies: pyproject.toml .venv/ready
	@echo "q4engine: installing dependencies"
	@$(PYTHON_VENV) -m pip install -qq $$($(PYTHON_VENV) toolchains/requirements.py analysis | tr -d ' ')
	@mkdir -p $(@D) && touch $@

# Which Python modules there are: touched where one has come or gone, which an editable install does not see by itself.
.PHONY: look
build/stamps/modules: look
	@mkdir -p $(@D) && find q4engine analysis annotate -name '*.py' | LC_ALL=C sort > $@.now
	@if cmp -s $@.now $@; then rm $@.now; else mv $@.now $@; fi

# Editable: edits of Python files take effect at once, edits under native/ at the next make.
build/stamps/installed: $(NATIVE) build/stamps/dependencies build/stamps/modules
	@echo "q4engine: building the native core"
	@$(PYTHON_VENV) -m pip install -qq --no-deps --no-build-isolation --config-settings=build-dir=build/native -e .
	@touch $@

build/stamps/test-tools: build/stamps/dependencies
	@echo "q4engine: installing test tools"
	@$(PYTHON_VENV) -m pip install -qq $$($(PYTHON_VENV) toolchains/requirements.py test fleet dev | tr -d ' ')
	@touch $@

$(SOURCE): | build/stamps/dependencies
	@$(PYTHON_VENV) toolchains/get_model.py $@

$(DEFAULT): $(SOURCE) | build/stamps/installed
	@echo "q4engine: quantising it to Q4_0"
	@.venv/bin/q4engine quantize $(SOURCE) $@ --type q4_0

# Everything here needs Python 3.11 or later and make; the rest is installed into .venv, at the versions in
# constraints.txt, and nowhere else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TESTS ?= tests
PYTEST ?= -n 2 -q
MINUTES ?= 5

CHECKPOINTS := examples/checkpoints
MERGED := examples/out/three_skills

# What the benchmarks measure: all rows, or ROWS=ties,pcb; other tools with the Python of OTHERS, where there is one.
ROWS ?=
BENCH ?=
OTHERS_VENV := .cache/bench-venv
OTHERS ?= $(if $(wildcard $(OTHERS_VENV)/.installed),$(OTHERS_VENV)/bin/python)
RESULTS ?= benchmarks/RESULTS.md
# mergekit asks for packages that merging does not import; these are the ones it does.
OTHERS_NEED := torch numpy safetensors tqdm click pydantic immutables PyYAML psutil scipy transformers tokenizers \
  huggingface_hub fuzzywuzzy python-Levenshtein

# Prints a command, then runs it.
show = @echo; echo "\$$ $(1)"; PATH="$(CURDIR)/$(BIN):$$PATH" $(1)

.DEFAULT_GOAL := help
.PHONY: help setup demo checkpoints test fuzz lint format laws bench bench-others bench-gpu clean

help: ## Lists what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: $(INSTALLED) ## Installs mergelang and what its tests need into .venv

$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing mergelang and its tools into $(VENV) (a few minutes the first time) ..."
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mergelang needs Python 3.11 or later: make PYTHON=/path/to/python3.11")'
	@"$(PYTHON)" -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[demo,dev,test]"
	@touch $@

demo: checkpoints ## Trains four small models, merges three skills into one, and shows the result
	@rm -rf $(MERGED) && mkdir -p $(dir $(MERGED))
	$(call show,mergelang compile examples/three_skills.merge)
	$(call show,mergelang run examples/three_skills.merge -o $(MERGED))
	$(call show,mergelang inspect $(MERGED))
	@for parent in base math code chat; do \
	  echo; echo "\$$ mergelang diff $(CHECKPOINTS)/$$parent $(MERGED)"; \
	  $(BIN)/mergelang diff $(CHECKPOINTS)/$$parent $(MERGED) || exit 1; \
	done
	$(call show,python examples/show.py $(CHECKPOINTS) $(MERGED))

checkpoints: $(INSTALLED) ## Trains the small models that the demo merges (under three minutes, once)
	@echo "Making four small Llama-layout checkpoints in $(CHECKPOINTS) ..."
	@$(BIN)/python examples/make_checkpoints.py $(CHECKPOINTS)

test: $(INSTALLED) ## Runs the whole test suite
	@$(BIN)/python -m pytest $(PYTEST) $(TESTS)

FUZZED := header file index adapter plan recipe

fuzz: $(INSTALLED) ## Fuzzes the readers of files and recipes, MINUTES for each (make fuzz MINUTES=30)
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(BIN)/python -m pip install -qq --disable-pip-version-check "atheris>=3,<4"
	@mkdir -p .cache/fuzz && for target in $(FUZZED); do \
	  echo "Fuzzing $$target for $(MINUTES) minutes ..."; mkdir -p .cache/fuzz/$$target; \
	  $(BIN)/python tests/fuzz/fuzz.py $$target -max_total_time=$$(($(MINUTES) * 60)) -dict=tests/fuzz/recipe.dict \
	    -artifact_prefix=.cache/fuzz/ -verbosity=0 .cache/fuzz/$$target tests/fuzz/corpus/$$target || exit 1; \
	done

lint: $(INSTALLED) ## Checks style and types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "Some files are not formatted: make format"; exit 1; }
	@$(BIN)/mypy --strict --no-error-summary mergelang
	@echo "Style and types are in order."

format: $(INSTALLED) ## Formats the Python files
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .
	@echo "Formatted."

laws: $(INSTALLED) ## Tries to falsify every law of the standard library
	@for file in stdlib/*.merge; do $(BIN)/mergelang laws --examples 200 "$$file" || exit 1; done

bench: $(INSTALLED) ## Measures merges against this machine's floor (12 minutes), and others after bench-others
	@$(BIN)/python -m benchmarks.speed --results $(RESULTS) $(if $(ROWS),--rows $(ROWS)) \
	  $(if $(OTHERS),--mergekit-python $(OTHERS) --sd-mecha-python $(OTHERS)) $(BENCH)

bench-others: $(OTHERS_VENV)/.installed ## Measures mergekit and sd-mecha in turn with it (over an hour)
	@$(MAKE) --no-print-directory bench OTHERS=$(OTHERS_VENV)/bin/python

bench-gpu: $(INSTALLED) ## Measures merges on a GPU against its copy rates, where there is one
	@$(BIN)/python -m benchmarks.gpu $(if $(ROWS),--rows $(ROWS)) $(BENCH)

$(OTHERS_VENV)/.installed: constraints.txt
	@echo "Installing mergekit and sd-mecha into $(OTHERS_VENV) ..."
	@"$(PYTHON)" -m venv --clear $(OTHERS_VENV)
	@$(OTHERS_VENV)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt $(OTHERS_NEED)
	@$(OTHERS_VENV)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt --no-deps \
	  mergekit==0.1.5 sd-mecha==1.1.8 accelerate==1.15.0 peft==0.21.2
	@touch $@

clean: ## Removes the virtual environment, caches and everything the demo made
	@rm -rf $(VENV) .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist $(CHECKPOINTS) examples/out
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Clean."

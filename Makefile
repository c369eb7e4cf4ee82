# What people and CI run. `make demo` and `make test` do all set-up themselves, in a virtual environment of their own.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
FOR    ?= 0

.PHONY: help demo test nightly evidence lint bench lock wheels deb clean

help:            ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

demo: $(VENV)/demo.stamp   ## three simulated devices, gateway, broker and KITA, live; FOR=20 ends after 20 s
	@$(BIN)/mdi demo --for $(FOR)

test: $(VENV)/dev.stamp    ## install what the tests need and run them all
	@sh tests/need.sh
	@$(BIN)/python -m pytest

nightly: $(VENV)/dev.stamp ## the exam with a million inputs each, a million crash states, the fault table in full; hours
	@sh tests/need.sh
	@rm -rf build/evidence
	@MDI_FUZZ=1000000 MDI_EXAM=20 MDI_FUZZ_READERS=20000 $(BIN)/python -m pytest tests/conformance tests/unit/test_fuzz_readers.py; a=$$?; \
	export MDI_EVIDENCE=build/evidence; \
	MDI_CRASH_STATES=1000000 MDI_FAULTS_SCALE=nightly $(BIN)/python -m pytest tests/model; b=$$?; \
	MDI_FAULTS_SCALE=nightly $(BIN)/python -m pytest tests/faults; c=$$?; \
	$(BIN)/python -m tests.faults.report build/evidence docs/evidence/faults.md && test $$a$$b$$c = 000

evidence: $(VENV)/dev.stamp ## run the tests of the 56 points; build/evidence.json goes with the release; MDI_FUZZ=10000000 for point 16
	@sh tests/need.sh
	@$(BIN)/python -m tests.points build/evidence.json $(POINTS)

lint: $(VENV)/dev.stamp    ## style, types, import rules, profiles, security rules, secrets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mdi profile lint
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml gateway drivers kita
	$(BIN)/python -m tests.secrets

bench: $(VENV)/dev.stamp   ## measure, each beside the obvious alternative; writes bench/README.md
	@sh tests/need.sh
	@$(BIN)/python -m bench

lock: $(VENV)/dev.stamp    ## write requirements.lock anew from pyproject.toml
	$(BIN)/pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--extra demo --extra dev --extra web --extra sbom --extra pdf --output-file requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host \
		--no-emit-find-links --constraint requirements.lock --extra web --extra sbom --extra pdf --extra metrics \
		--extra zstd --output-file packaging/requirements.txt pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host \
		--no-emit-find-links --output-file packaging/build-requirements.txt packaging/build-requirements.in

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: apt-get install python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "the venv module is missing: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/demo.stamp: $(VENV)/bin/python pyproject.toml requirements.lock
	@echo "installing into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[demo]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/bin/python pyproject.toml requirements.lock
	@echo "installing into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[demo,dev]'
	@touch $@ $(VENV)/demo.stamp

wheels: build/wheels/complete ## fetch what the package is made of, each file checked against its hash

build/wheels/complete: packaging/requirements.txt packaging/build-requirements.txt | $(VENV)/bin/python
	@mkdir -p build/wheels
	@for list in $^; do $(BIN)/python -m pip download --quiet --no-deps --require-hashes --only-binary :all: \
		--dest build/wheels --requirement $$list || exit 1; done
	@touch $@

deb: wheels                ## build the Debian package in build/, without network from here on; same bytes; RELEASE_KEY=FILE signs
	@$(BIN)/python packaging/deb.py --wheels build/wheels --out build \
		$(if $(RELEASE_KEY),--release-key "$(RELEASE_KEY)") $(if $(RELEASE_UNTIL),--until $(RELEASE_UNTIL))

clean:           ## remove what was built; keeps demo-data
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

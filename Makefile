# `make demo` and `make test` set everything up in .venv/ first. Needs Python 3.11 or newer, and make.

VENV := .venv
BIN := $(VENV)/bin
MINIMUM := (3, 11)
# The first of these that is new enough makes the environment; PYTHON=/path/to/python chooses another.
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11
PYTHON ?= $(shell for candidate in $(CANDIDATES); do \
	$$candidate -c 'import sys, venv; sys.exit(sys.version_info < $(MINIMUM))' 2>/dev/null && echo $$candidate && break; \
	done)
WORKERS ?= 2
MINUTES ?= 10
SBOM ?= dist/stdl-events.cdx.json

.PHONY: demo test docs format bench gpu-check fuzz lock sbom clean

demo: $(VENV)/ready
	$(BIN)/stdl-events demo --out runs/demo

test: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tests/support/onnxruntime_headers.py
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
	$(MAKE) docs

docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

format: $(VENV)/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/ready
	$(BIN)/pip install --quiet -c constraints.txt -e '.[bench]'
	for program in tests/benchmarks/bench_*.py; do $(BIN)/python $$program --out tests/benchmarks/results || exit 1; done

# Without a GPU it says what it would do: code 3, with nothing written.
gpu-check: $(VENV)/ready
	$(BIN)/python tests/benchmarks/gpu_check.py --minutes $(MINUTES) --out tests/benchmarks/results || test $$? = 3

fuzz: $(VENV)/ready
	$(BIN)/python tests/benchmarks/run_fuzz.py --out tests/benchmarks/results
	$(BIN)/python tests/benchmarks/run_fuzz_packets.py --out tests/benchmarks/results
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/run_fuzz_models.py --out tests/benchmarks/results
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/run_fuzz_lean.py --out tests/benchmarks/results
	$(BIN)/python tests/benchmarks/run_planner.py --out tests/benchmarks/results
	$(BIN)/pip install --quiet -c constraints.txt -e '.[fuzz]'
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/run_fuzz_coverage.py --minutes 20 --out tests/benchmarks/results

lock: $(VENV)/ready
	$(BIN)/pip install --quiet -c constraints.txt -e '.[lock]'
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python deploy/lock.py

sbom: $(VENV)/ready
	mkdir -p $(dir $(SBOM))
	$(BIN)/python -m venv --clear --without-pip build/device
	$(BIN)/python -m pip --python build/device/bin/python install --quiet --disable-pip-version-check --require-hashes \
		-r deploy/requirements.txt -r deploy/requirements-camera.txt -r deploy/requirements-services.txt
	$(BIN)/python -m cyclonedx_py environment --pyproject pyproject.toml --output-reproducible \
		--output-file $(SBOM) build/device/bin/python

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache

$(VENV)/ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: got no Python 3.11 or newer on the path; expected one of $(CANDIDATES);" \
		"install one, or run make PYTHON=/path/to/python" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < $(MINIMUM))' || { echo "make: got $$($(PYTHON) --version);" \
		"expected Python 3.11 or newer; run make PYTHON=/path/to/python" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,formats,cluster,camera,mqtt,mcap,monitor,sign,dev]'
	@touch $@

# Each target makes its own virtual environment in .venv first, then does its job.
#   make study   the embedded study, from sampling to report/index.html
#   make test    all tests        make test-quick    those of them that take little time
#   make lint    format, style and types
#   make bench   the benchmarks   make soak    long versions of some tests
#   make appendix   the control experiments in small, after make study
#   make notebooks  execute the notebooks on the results of both
#   make docs    the documentation's site, to site/index.html
#   make gpu-check PYTHON=python3   check and measure a GPU, with that Python as it is
#   make test-python PYTHON=python3.12   the wheel in small on another Python

VENV := .venv
PY := $(VENV)/bin/python
# A process for each core and one more (tests/conftest.py); the tests of one file stay together and share what they build.
SPREAD := -n auto --maxprocesses=8 --dist=loadfile --no-loadscope-reorder

.PHONY: study appendix notebooks docs test test-quick test-python gpu-check lint bench soak clean

study: $(VENV)/.ready
	$(PY) tools/study.py run sweeps/embedded.yaml --stop-with-parent
	@ln -sfn studies/embedded/report report

appendix: study
	$(PY) tools/study.py run sweeps/embedded_appendix.yaml --stop-with-parent

# On the studies' results; `make test` runs them on simulated ones.
notebooks: appendix $(VENV)/.ready-dev
	PYCLS_STUDIES=studies $(PY) -m pytest tests/analysis/test_notebooks.py

test: $(VENV)/.ready-dev
	@if [ -n "$$CI" ]; then sh dev/install_chromium.sh; fi
	@if [ -n "$$CI" ]; then $(PY) -m pip install --quiet --disable-pip-version-check -r requirements-triton.txt; fi
	@sh dev/install_slurm.sh
	@# The tests of Slurm wait for most of their time, so they run beside the others.
	@$(PY) -m pytest tests/on_slurm > $(VENV)/slurm-tests.log 2>&1 & slurm=$$!; \
	trap "kill $$slurm 2>/dev/null" INT TERM; \
	echo "$(PY) -m pytest"; \
	$(PY) -m pytest $(SPREAD) --ignore=tests/on_slurm --durations=30 --durations-min=4; \
	others=$$?; \
	wait $$slurm; slurm=$$?; cat $(VENV)/slurm-tests.log; \
	[ $$others -eq 0 ] && [ $$slurm -eq 0 ]

test-quick: $(VENV)/.ready-dev
	$(PY) -m pytest $(SPREAD) -m "not slow"

# Needs nothing of a Python but its venv module: all packages are installed anew.
test-python:
	$(or $(PYTHON),python3) dev/smoke_test.py

# In halves of four minutes (HALF=1, HALF=2); WHEELS=FOLDER holds what that Python lacks.
gpu-check:
	$(or $(PYTHON),python3) dev/gpu_check $(if $(HALF),--half $(HALF)) $(if $(WHEELS),--wheels $(WHEELS)) $(ARGS)

docs: $(VENV)/.ready-docs
	$(PY) dev/make_docs.py

lint: $(VENV)/.ready-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: $(VENV)/.ready-dev
	$(PY) dev/bench_sampling.py
	$(PY) dev/bench_sweep_setup.py
	$(PY) dev/bench_study.py
	$(PY) dev/bench_launch.py
	$(PY) dev/bench_metadata.py
	$(PY) dev/bench_prepare.py
	$(PY) dev/bench_loader.py
	$(PY) dev/bench_augment.py
	$(PY) dev/bench_startup.py
	$(PY) dev/bench_collect.py
	$(PY) dev/bench_report.py
	$(PY) dev/bench_training.py

soak: $(VENV)/.ready-dev
	$(PY) dev/coverage.py --trials 4000
	PYCLS_SOAK_KILLS=30 PYCLS_SOAK_RUNS=100 PYCLS_SOAK_PREPARE_KILLS=10 \
	PYCLS_SOAK_COVERAGE=4000 PYCLS_SOAK_MANY=5000 PYCLS_SOAK_FAULTS=60 PYCLS_SOAK_EMBEDDED=1 \
	$(PY) -m pytest -k "killed_and_started_again or under_random_signals or covers_the_true_rho \
		or equal_rhos or corrected_rho or many_runs or share_that_beats \
		or chosen_networks or with_outliers or false_names or interval_of_families or faults or study_on_slurm"
	PYCLS_SOAK_EXAMPLES=1 PYCLS_SOAK_FUZZ=10000 $(PY) -m pytest $(SPREAD) tests/fuzz
	PYCLS_SOAK_CASES=1 $(PY) -m pytest tests/integration/test_reported_cases.py
	PYCLS_SOAK_EXAMPLES=1000 $(PY) -m pytest $(SPREAD) -m hypothesis

clean:
	rm -rf $(VENV) report site

# The first of these interpreters that is Python 3.11 or newer.
$(PY):
	@for python in $(PYTHON) python3 python3.11 python3.12 python3.13 python3.14; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			"$$python" -m venv $(VENV) && exit 0; \
			echo "error: '$$python -m venv' failed; install Python's venv module" >&2; exit 1; \
		fi; \
	done; \
	echo "error: no Python 3.11 or newer found; name one: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; \
	exit 1

$(VENV)/.ready: requirements.txt pyproject.toml setup.py | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.ready-dev: requirements-dev.txt $(VENV)/.ready
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@# Once, and not by several tests at a time, of which each would say on stderr that it does.
	@$(PY) -c "import matplotlib.font_manager" 2>/dev/null
	@touch $@

$(VENV)/.ready-docs: requirements-docs.txt $(VENV)/.ready-dev
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

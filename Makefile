# The two commands of a newcomer are `make demo` and `make test`; both set up what they need.
PYTHON ?= python3
PY := .venv/bin/python
AMURO := .venv/bin/amuro

.PHONY: setup demo real english test check worlds bench

setup: .venv/ready

# Rebuilt only when what it is made from changes.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	$(AMURO) demo

real: setup
	$(PY) scripts/real_material.py
	$(AMURO) run studies/real_first_experiment.toml --yes
	$(AMURO) report studies/real_first_experiment.toml

english: setup
	$(PY) scripts/english_corpus.py
	$(AMURO) run studies/english_small.toml --yes
	$(AMURO) report studies/english_small.toml

# A process a core, one thread each: two threads beside a busy core are slower than one.
test: setup
	OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --dist loadfile

check: setup
	$(PY) -m ruff check src tests scripts benchmarks
	$(PY) -m ruff format --check src tests scripts benchmarks
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) scripts/large_files.py

worlds: setup
	$(PY) tests/run_worlds.py

# Beside the peers, in an environment of its own: amuro never needs them. Arguments: BENCH="--only scoring --rounds 4"
bench: setup .venv-bench/ready
	$(PY) benchmarks/targets.py --demo
	.venv-bench/bin/python benchmarks/page.py $(BENCH)

.venv-bench/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet -c constraints.txt -e '.[peers]'
	touch $@

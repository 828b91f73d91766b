PY ?= .venv/bin/python

.PHONY: install test slow lint types examples figure figures docs api oldest newest reference bench scale

install:            ## a virtual environment with everything a contributor needs, the site's tools among it
	python3 -m venv .venv
	.venv/bin/pip install -e '.[dev,docs]'

test:               ## the suite, without the slow simulations
	$(PY) -m pytest -n 2 -m "not slow"

slow:               ## the slow simulations alone
	$(PY) -m pytest -m slow

lint:
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports

types:
	$(PY) -m mypy

examples:           ## every example, figures into examples/output
	for f in examples/[0-9]*.py; do $(PY) $$f || exit 1; done

figure:             ## the figure of the README, from example 01
	$(PY) examples/01_response_rates.py
	cp examples/output/01_electrochemotherapy_lesion_complete.svg docs/forest_electrochemotherapy.svg

figures:            ## the pictures of docs/, from examples/gallery
	$(PY) docs/make_figures.py

docs:               ## the site, into docs/_build/html (needs '.[docs]'); a warning fails
	rm -rf docs/api/generated
	$(PY) -m sphinx -W --keep-going -b html docs docs/_build/html

api:                ## tests/unit/public_api.txt again, where a public name was meant to change
	$(PY) tests/unit/test_public_api.py

PYTHON ?= python3
ENVS ?= /tmp/metaan-environments
SUITE ?= tests -m "not slow"

oldest:             ## the tests with every requirement at its lower bound; SUITE=tests/unit for a part
	mkdir -p $(ENVS)
	python3 .ci/bounds.py test > $(ENVS)/oldest.txt
	$(PYTHON) -m venv --clear $(ENVS)/oldest
	$(ENVS)/oldest/bin/pip install --quiet --constraint $(ENVS)/oldest.txt -e '.[test]'
	MPLBACKEND=Agg $(ENVS)/oldest/bin/python -m pytest -n 2 $(SUITE)

newest:             ## the tests with the newest version of every requirement; SUITE= as above
	mkdir -p $(ENVS)
	$(PYTHON) -m venv --clear $(ENVS)/newest
	$(ENVS)/newest/bin/pip install --quiet --upgrade -e '.[test]'
	MPLBACKEND=Agg $(ENVS)/newest/bin/python -m pytest -n 2 $(SUITE)

reference:          ## reference values again from R (packages: tests/reference/README.md)
	for f in tests/reference/*_grid.R; do Rscript $$f || exit 1; done

BENCHES = import cold pool single batch glmm glmm_many after_fit multilevel
RESULTS = benchmarks/results

bench:              ## side by side with the peers (needs '.[bench]' and R), then the tables of docs/performance.md; BENCH_ROUNDS=3 for a first look
	rm -f $(RESULTS)/bench_*.json $(RESULTS)/growth.json
	mkdir -p $(RESULTS)
	@failed=""; \
	for b in $(BENCHES); do \
		echo "== bench_$$b"; $(PY) benchmarks/bench_$$b.py --json $(RESULTS)/bench_$$b.json || failed="$$failed bench_$$b"; \
	done; \
	echo "== bench_forest"; \
	$(PY) benchmarks/bench_forest.py --rivals $(PY) --json $(RESULTS)/bench_forest.json || failed="$$failed bench_forest"; \
	echo "== growth"; \
	$(PY) benchmarks/growth.py --json $(RESULTS)/growth.json --figure docs/figures/growth.png || failed="$$failed growth"; \
	$(PY) benchmarks/report.py || failed="$$failed report"; \
	test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

scale:              ## ten million meta-analyses on a dask cluster (needs '.[distributed,fast]'; 3 GB of disk)
	mkdir -p $(RESULTS)
	$(PY) benchmarks/scale.py --json $(RESULTS)/scale.json
	$(PY) benchmarks/report.py

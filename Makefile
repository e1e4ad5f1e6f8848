# `make run` and `make test` need nothing but a Python 3.11 to 3.14: each makes .venv, installs, and does its job.
# `make quick` after a change, `make test` before a commit is handed on, `make test-real` where a world is near: a browser,
# a PostgreSQL server, Ray, a wheel. CI runs the last two (.ci/run).
# The long checks below them write their last results into docs/; DATA names a folder of real history.
PYTHON ?= $(shell sh tools/find_python.sh)
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
NAUTILUS := .venv-peers-nautilus
LOWEST := .venv-lowest
# what reads and writes tables and names no file: `make test-real` runs it on a database server, too
STORE_TESTS := tests/unit/test_difference_store.py tests/unit/test_alert_states.py tests/unit/test_storage_rows.py \
	tests/unit/test_operator_commands.py tests/unit/test_positions_held.py tests/unit/test_run_targets.py \
	tests/unit/test_replay_days.py tests/integration/test_order_journal_database.py
# what meets numpy, pandas, pyarrow, SQLAlchemy, the calendars, the web and the terminal: `make test-lowest` runs it
LIBRARY_TESTS := $(wildcard tests/unit/test_data_*.py tests/unit/test_market_data_*.py tests/unit/test_storage_*.py \
	tests/unit/test_regime_*.py tests/unit/test_alert_*.py tests/unit/test_search_*.py tests/integration/test_desk_*.py \
	tests/integration/test_report_*.py) tests/unit/test_config_file.py tests/unit/test_yahoo_bars.py \
	tests/unit/test_metrics_figures.py tests/integration/test_mcp_server.py tests/integration/test_run_page.py \
	tests/integration/test_alpaca_data.py
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
DATA ?= ../shared/market-data

.PHONY: help run setup train quick quick-tests test test-compile test-real check install hooks bench bench-peers results parity lookahead soak alpaca-cases regime mutate rl-controls rl-evaluate gate-simulation crash-test campaign clean docs docs-serve demo-rl fuzz test-lowest test-windows desk-hour

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/run.stamp: pyproject.toml constraints.txt tools/setup_venv.py
	@test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.14 was found (python3.11 ... python3, python, uv's own). Install one, or name it: make run PYTHON=/path/to/python"; exit 2; }
	@$(PYTHON) tools/setup_venv.py core
	@touch $@

$(VENV)/all.stamp: $(VENV)/run.stamp
	@$(PYTHON) tools/setup_venv.py all
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/run.stamp
	@$(PYTHON) tools/setup_venv.py dev
	@touch $@

install: $(VENV)/dev.stamp ## make .venv with everything that tests need

setup: $(VENV)/all.stamp ## make .venv with everything that users need: training, Parquet, Yahoo, pictures, alerts

run: $(VENV)/run.stamp ## replay the embedded market through the engine
	@$(BIN)/python autonomous_trading_engine.py

train: $(VENV)/all.stamp ## train an allocation, prove it, let it serve only if the proof holds
	@$(BIN)/python train_rl_model.py

demo-rl: $(VENV)/all.stamp ## a market with something to learn: trained, judged, promoted, replayed, compared (minutes)
	@rm -rf demo-rl
	@$(BIN)/python tools/demo_rl.py

check: $(VENV)/dev.stamp ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

quick: $(VENV)/dev.stamp ## ruff, mypy, and beside them 40 seconds of the tests nearest to what has changed
	@$(MAKE) -j2 check quick-tests

quick-tests: $(VENV)/dev.stamp ## its second part: 40 seconds of tests, from its start to its end
	@$(BIN)/python tools/quick_tests.py

# A cold core is compiled by tests that two workers would both wait for; the type checker has the other processor meanwhile.
# worksteal gives each worker half of the files in order, so that a module's fixtures are made once and not in each worker.
test: $(VENV)/dev.stamp ## all checks, and all tests that need Python packages only
	@$(MAKE) -j2 check test-compile
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow and not real and not compiles"

test-compile: $(VENV)/dev.stamp ## its first part: the tests that compile most of the core, in one process
	$(BIN)/python -m pytest -m "compiles and not slow and not real" $$(grep -rl "mark.compiles" tests --include=test_*.py)

test-real: $(VENV)/dev.stamp ## tests with a browser, PostgreSQL, Ray, a wheel, missing packages; long integration
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -rs -m "real and not slow"
	$(BIN)/python -m pytest --postgres -rs $(STORE_TESTS)

test-windows: $(VENV)/dev.stamp ## `make test`'s tests without what Windows lacks (fcntl, pwd, ...), in code page 1252 where it is
	@locale -a | grep -qi cp1252 || echo "no locale of cp1252 here: localedef -i en_US -f CP1252 en_US.CP1252 makes one"
	LC_ALL=en_US.CP1252 PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 TRADING_TESTS_AS=windows \
		$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow and not real"

hooks: $(VENV)/dev.stamp ## let git run ruff and the architecture's tests before each commit
	$(BIN)/python -m pip install --quiet pre-commit
	$(BIN)/pre-commit install

docs: $(VENV)/dev.stamp ## the documentation as a site, in site/
	$(BIN)/python tools/docs_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: $(VENV)/dev.stamp ## the same, shown on http://127.0.0.1:8000 while you write
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

results: $(VENV)/dev.stamp ## docs/results.md and docs/results-risk.md from the history in DATA
	$(BIN)/python -m benchmarks.halt_release $(DATA) --write
	$(BIN)/python -m benchmarks.results $(DATA) --write

parity: $(VENV)/dev.stamp ## kernel, environment and engine over the whole real history, to the cent
	$(BIN)/python -m pytest -m "slow or not slow" tests/parity

lookahead: $(VENV)/dev.stamp ## prove over the history in DATA that no decision looks ahead
	$(BIN)/python -m trading_platform.evaluation.lookahead --data-dir $(DATA)

regime: $(VENV)/dev.stamp ## what the market regime means and adds to VIX, over the history in DATA, into docs/regime.md
	$(BIN)/python -m benchmarks.regime $(DATA) --write

alpaca-cases: $(VENV)/dev.stamp ## every fault of Alpaca's behaviour once, the engine as a process over HTTP: a table
	PYTHONPATH=.:tests:tests/integration $(BIN)/python tests/integration/test_alpaca_cases.py

soak: $(VENV)/dev.stamp ## the long runs of every test marked slow
	$(BIN)/python -m pytest -n $(JOBS) -m slow

mutate: $(VENV)/dev.stamp ## mutation testing of risk rules, sizing and RiskManager (hours); see docs/mutation.md
	$(BIN)/python -m pip install --quiet cosmic-ray
	rm -f .mutation.sqlite
	$(BIN)/cosmic-ray init tests/mutation/cosmic-ray.toml .mutation.sqlite
	$(BIN)/cosmic-ray exec tests/mutation/cosmic-ray.toml .mutation.sqlite
	$(BIN)/cr-report .mutation.sqlite --show-pending | tail -n 20

rl-controls: $(VENV)/dev.stamp ## does training find what is planted, and does the gate refuse what is not there; adds up over runs
	$(BIN)/python train_rl_model.py controls --algo gradient --worlds 50 --jobs $(JOBS) --write docs/rl-evaluation.md
	$(BIN)/python train_rl_model.py controls --algo ppo --worlds 10 --jobs $(JOBS) --write docs/rl-evaluation.md

rl-evaluate: $(VENV)/dev.stamp ## walk-forward on the history in DATA against every baseline; refused (10) is no error
	$(BIN)/python train_rl_model.py --data-dir $(DATA) --walk-forward yearly --seeds 5 --episodes 2000 --eval-freq 1000 --jobs $(JOBS) || test $$? -eq 10
	$(BIN)/python train_rl_model.py --data-dir $(DATA) --walk-forward rolling --seeds 5 --episodes 2000 --eval-freq 1000 --jobs $(JOBS) || test $$? -eq 10

gate-simulation: $(VENV)/dev.stamp ## five years of weekly challengers through the trial, over and over; adds up over runs
	$(BIN)/python -m benchmarks.gate_simulation --jobs-per-story 800 --processes $(JOBS) --write

fuzz: $(VENV)/dev.stamp ## look for files and settings that break a reader, SECONDS long (600); goes on over runs in .fuzz
	$(BIN)/python -m pip install --quiet 'atheris>=3,<4'
	PYTHONPATH=. $(BIN)/python tests/fuzz_run.py $(or $(SECONDS),600)

$(LOWEST)/stamp: pyproject.toml
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -r pyproject.toml \
		--extra data --extra report --extra notify --extra desk --extra sweep --extra postgres --extra mcp
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python pytest pytest-timeout hypothesis jsonschema httpx2
	touch $@

test-lowest: $(LOWEST)/stamp ## a replay and the tests nearest to libraries, at the oldest versions that pyproject.toml admits
	$(LOWEST)/bin/python autonomous_trading_engine.py replay --quiet --no-page --db $(LOWEST)/replay.db
	$(LOWEST)/bin/python -m pytest -o filterwarnings=default -m "not slow and not real and not compiles" $(LIBRARY_TESTS)

desk-hour: $(VENV)/dev.stamp ## two engines, two local Alpacas, one desk: a stream held for SECONDS (3600); docs/desk.md
	PYTHONPATH=.:tests/integration $(BIN)/python tests/integration/desk_hour.py --seconds $(or $(SECONDS),3600)

crash-test: $(VENV)/dev.stamp ## kill the engine over two thousand times, on files and on PostgreSQL, break everything for a month; nothing may be lost or doubled
	$(BIN)/python -m pytest -n $(JOBS) -m "slow or not slow" tests/integration/test_engine_command.py tests/integration/test_alpaca_broker.py tests/integration/test_engine_crash.py tests/integration/test_postgres_outage.py tests/integration/test_engine_faults.py

campaign: $(VENV)/dev.stamp ## KILLS more kills (500), everything around them broken too; docs/campaign.md. SEED=n replays one quarter
	PYTHONPATH=.:tests/integration $(BIN)/python tests/integration/campaign_run.py $(if $(SEED),--seed $(SEED),--kills $(or $(KILLS),500) --jobs $(JOBS))

$(PEERS)/stamp: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet -r benchmarks/peers/requirements.txt
	$(PEERS)/bin/python -m pip install --quiet --no-deps finrl==0.3.7
	touch $@

$(NAUTILUS)/stamp: benchmarks/peers/requirements-nautilus.txt
	$(PYTHON) -m venv $(NAUTILUS)
	$(NAUTILUS)/bin/python -m pip install --quiet --only-binary :all: -r benchmarks/peers/requirements-nautilus.txt
	touch $@

bench-peers: $(PEERS)/stamp $(NAUTILUS)/stamp ## install the peers that the benchmarks run beside

bench: $(VENV)/dev.stamp bench-peers ## every benchmark, results into docs/
	$(BIN)/python -m benchmarks.engine --write
	$(BIN)/python -m benchmarks.environment --data-dir $(DATA) --write
	$(BIN)/python -m benchmarks.backtest --data-dir $(DATA) --write
	$(BIN)/python -m benchmarks.risk --write

clean: ## remove environments and caches
	rm -rf $(VENV) $(PEERS) $(NAUTILUS) $(LOWEST) .mypy_cache .ruff_cache .pytest_cache

# Every target makes the environment it needs. `make help` lists them.
PYTHON ?= python3
CORES ?= 2
VENV := .venv
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" PYTHONNOUSERSITE=1
CHECK := $(RUN) PYTHONPATH=src:tests:tests/helpers:tests/proof:tests/stress OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MPLBACKEND=agg python
SNAKEMAKE := $(RUN) snakemake --cores $(CORES)
# the packages of an extra, alone: resolving all of them again takes minutes
EXTRA = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c envs/lock.txt $$($(VENV)/bin/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['$(1)'])")

.PHONY: help demo test chain-test lint docs lock verify ixi ds000011 abide browser-test conda-test slurm-test scale-test fault-test reproduce ablation planted transfer norm invariances proof caveats benchmark clean

help:  ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(VENV)/done: pyproject.toml envs/lock.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo "Python 3.11 to 3.13 is needed; give one: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -c envs/lock.txt -e '.[dev]'
	@$(VENV)/bin/python -m compileall -q -j $(CORES) -x '/(tests?|testing)/' $(VENV)/lib > /dev/null || true  # pip uses one core; templates do not compile
	@touch $@

lock:  ## after a change of pyproject.toml: envs/lock.txt anew, from a new environment
	rm -rf $(VENV)/lock && $(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev,docs]'
	sed -n 1p envs/lock.txt > $(VENV)/lock/lock.txt
	$(VENV)/lock/bin/python -m pip freeze --all --exclude-editable > $(VENV)/lock/freeze.txt
	sed '/^pip=/d; s/+cpu$$//' $(VENV)/lock/freeze.txt >> $(VENV)/lock/lock.txt
	mv $(VENV)/lock/lock.txt envs/lock.txt && rm -rf $(VENV)/lock

demo: $(VENV)/done  ## the whole chain on the built-in simulated cohort
	$(SNAKEMAKE) --configfile config/demo.yaml
	@logs=results/demo/logs; printf '%s\n' truth_jacobian truth_maps truth | xargs -P $(CORES) -I {} \
		sh -c '$(CHECK) tests/proof/{}.py results/demo > '$$logs'/{}.log 2>&1'; status=$$?; \
	for name in truth truth_maps truth_jacobian; do echo; cat $$logs/$$name.log; done; exit $$status

PYTEST := $(RUN) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder --durations 30
TESTS ?=
test: $(VENV)/done  ## all tests but those of chain-test (TESTS=tests/unit/train: those alone)
	$(PYTEST) $(if $(TESTS),$(TESTS),-m "not chain")
	@test -n "$(TESTS)" || echo "not run here: the tests that need a finished run (deselected above); run: make chain-test"

chain-test: $(VENV)/done  ## a tiny cohort through the whole chain: what is found, what is run again after each change
	$(PYTEST) -m chain

lint: $(VENV)/done  ## ruff, mypy, snakefmt, snakemake --lint
	$(RUN) ruff check src tests docs
	$(RUN) ruff format --check src tests docs
	$(RUN) mypy
	$(RUN) mypy --config-file tests/mypy.ini tests/helpers tests/proof tests/stress tests/bench
	$(RUN) snakefmt --check Snakefile workflow
	$(SNAKEMAKE) --lint --configfile config/demo.yaml

$(VENV)/docs: $(VENV)/done
	$(call EXTRA,docs)
	@touch $@

docs: $(VENV)/docs  ## the documentation as a site that needs no network: docs/build/html/index.html
	$(RUN) python -m sphinx -q -W --keep-going -E -b html docs docs/build/html
	@echo "documentation: $(CURDIR)/docs/build/html/index.html"

ixi:  ## 120 real scans in ../shared/data, with their numbers (about half an hour; ds000011: 14 scans)
ixi: MORE := --config audit='{volumes: results/ixi/dlmuse.tsv}'
ixi ds000011: $(VENV)/done
	@test -d ../shared/data/$@ || { echo "../shared/data/$@ is not there; lay the folder beside the checkout"; exit 1; }
	@test $@ = ds000011 || $(CHECK) tests/helpers/volumes.py ../shared/data/$@ results/$@/dlmuse.tsv
	$(SNAKEMAKE) --configfile config/$@.yaml $(MORE)
	@$(CHECK) tests/helpers/measure.py results/$@ ../shared/data/$@

abide: $(VENV)/done  ## structure and function of 160 people in ../shared/data: age, site and diagnosis from each (about 20 minutes)
	@test -d ../shared/data/abide || { echo "../shared/data/abide is not there; lay the folder beside the checkout"; exit 1; }
	$(SNAKEMAKE) --configfile config/abide.yaml
	@$(CHECK) tests/helpers/measure_blocks.py results/abide

RESULTS ?= results/demo
verify: $(VENV)/done  ## are all results, and the scans they came from, still those that were recorded? (RESULTS=results/ixi)
	$(RUN) PYTHONPATH=src python -m neurovae verify $(RESULTS)

browser-test: $(VENV)/done  ## report and documentation in headless Chromium (Debian's; installed by root); screenshots
	@test -f results/demo/report/report.html || { echo "SKIPPED: no report yet; run: make demo"; exit 1; }
	$(CHECK) tests/stress/browser.py results/demo/report/report.html $(REPORTS)
	@test -f docs/build/html/index.html || { echo "SKIPPED: no documentation yet; run: make docs"; exit 1; }
	$(CHECK) tests/stress/browser_site.py docs/build/html

ablation: $(VENV)/done  ## after ixi: what each setting of the default model does, and age from latents and voxels (a night)
	$(CHECK) tests/proof/ablation.py

PLANTED := results/ixi-2mm
planted: $(VENV)/done  ## ventricles of real heads changed as prescribed: how much of that latents keep, beside voxels (2.5 hours)
	@test -d ../shared/data/ixi || { echo "../shared/data/ixi is not there; lay the folder beside the checkout"; exit 1; }
	$(SNAKEMAKE) --configfile config/ixi.yaml --config cohort='{name: ixi-2mm}' preprocess='{voxel_mm: 2}' -- \
		$(PLANTED)/preprocess/volumes.npy $(PLANTED)/cohort/folds.tsv
	$(CHECK) tests/proof/planted.py $(PLANTED)
	$(CHECK) tests/proof/planted_varimax.py $(PLANTED)
	$(CHECK) tests/proof/planted_supervised.py $(PLANTED)

transfer: $(VENV)/done  ## after ixi: what a model of 65 people gives cohorts of 10, 20 and 40 others, with a figure (half an hour)
	$(CHECK) tests/proof/transfer.py

NORM := --results results/ixi --model vae
norm: $(VENV)/done  ## after a run with norm.age: brain age on null scores, and planted patients among real scans (half an hour)
	$(CHECK) tests/proof/norm.py $(NORM)

invariances: $(VENV)/done  ## units, order, names and signs that must not matter to any test or prediction do not (10 minutes)
	$(CHECK) tests/proof/invariances.py

proof: $(VENV)/done  ## collapse is caught; tests keep their level, find what is planted; alarms fire (at most 40 minutes)
	@status=0; for name in proof/collapse proof/proof bench/benchmark_permute; do \
		$(CHECK) tests/$$name.py || status=1; \
	done; exit $$status

caveats: $(VENV)/done  ## caveats: silent on true effects, raised by planted noise and motion blur (about 15 minutes)
	$(CHECK) tests/proof/caveats.py --jobs $(CORES)

.launcher/done: envs/snakemake.yaml  # Snakemake with the plugin for SLURM, whose numpy excludes antspyx
	$(PYTHON) -m venv .launcher
	.launcher/bin/python -m pip install --quiet --disable-pip-version-check $$(sed -n 's/^ *- \(.*==.*\)/\1/p' envs/snakemake.yaml)
	@touch $@

slurm-test: $(VENV)/done .launcher/done  ## the chain through a SLURM of its own, jobs killed and gone on (Debian; root if not installed)
	$(CHECK) tests/stress/slurm.py

$(VENV)/conda: $(VENV)/done
	$(call EXTRA,conda)
	@touch $@

conda-test: $(VENV)/conda .launcher/done  ## the chain under --use-conda, with a stand-in for conda (PyPI; 12 GB)
	$(CHECK) tests/stress/conda.py

scale-test: $(VENV)/done  ## 100,000 scans planned, 20,000 volumes packed and trained on, memory flat
	$(CHECK) tests/stress/scale.py $(SCALE)

fault-test: $(VENV)/done  ## what breaks, what it says, what is lost (QUICK=--quick: the short ones)
	$(CHECK) tests/stress/faults.py $(QUICK)

reproduce: $(VENV)/done  ## the chain twice from scratch, and after changes: the same bytes; and as a module, to the end
	$(CHECK) tests/stress/reproduce.py

BENCHMARK ?=
$(VENV)/benchmark: $(VENV)/done
	$(call EXTRA,benchmark)
	@touch $@

benchmark: $(VENV)/benchmark  ## speed beside MONAI's, small without a GPU (about 5 minutes; BENCHMARK="--only 1 3")
	$(RUN) python tests/bench/benchmark.py $(BENCHMARK)

clean:  ## remove the environment and the built documentation; results are kept
	rm -rf $(VENV) docs/build

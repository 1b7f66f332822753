# demo · test · check · bench · reproduce: each builds .venv first (Python >= 3.11 and a package registry are enough).
PYTHON ?= python3
BIN := .venv/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_BUILD_CONSTRAINT=constraints.txt $(BIN)/python -m pip install -q -c constraints.txt
DATA ?= ../shared/data
STORE ?= store
RUNS ?= runs
RESULTS ?= results
LABELS ?= 600
DRAWN := zero-shot rate-distortion codec gaps across robustness retrieval throughput
LABELLED := codes-as-features representation few-labels pooling device-bias
SETS := ptb-xl challenge-2015 challenge-2017 mitdb qtdb nstdb
SHORT := $(if $(STEPS),loop.steps=$(STEPS) loop.warmup_steps=1)
FEW := $(if $(LIMIT),--limit $(LIMIT))
SOME := $(if $(LIMIT),--limit $(LABELS))

.PHONY: demo test check bench reproduce clean

demo: .venv/.demo
	$(BIN)/cardiofm analyze --demo

test: .venv/.all
	$(BIN)/python -m pytest

check: .venv/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: .venv/.all
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done
	$(BIN)/python -m cardiofm.evaluate.report

# The released weights again from the recordings below DATA, then every benchmark, into RUNS/base/model and RESULTS.
# On two cores with AVX512-BF16, about: prepare 2 min, base 70 and 60 more, tiny 15, settling 4, gaps 10, codec 20,
# across 50, heads 25, export 6, benchmarks 90, ablations and scaling 120. Each step goes on where it was stopped.
# STEPS and LIMIT make every training and every benchmark short, LABELS is how many recordings then have labels: a
# rehearsal of the road, whose figures say nothing.
reproduce: .venv/.all
	$(BIN)/cardiofm prepare $(SETS) --data-root $(DATA) --out $(STORE)
	$(BIN)/cardiofm pretrain configs/base.toml --store $(STORE) --out $(RUNS)/first $(SHORT)
	$(BIN)/cardiofm pretrain configs/longer.toml --store $(STORE) --out $(RUNS)/base start_from=$(RUNS)/first/last/model $(SHORT)
	$(BIN)/cardiofm pretrain configs/tiny.toml --store $(STORE) --out $(RUNS)/tiny $(SHORT)
	for name in base tiny; do \
	  $(BIN)/python -m cardiofm.train.settle $(RUNS)/$$name/last/model --store $(STORE) --out $(RUNS)/$$name/settled && \
	  $(BIN)/cardiofm pretrain configs/gaps.toml --store $(STORE) --out $(RUNS)/$$name-gaps start_from=$(RUNS)/$$name/settled $(SHORT) && \
	  $(BIN)/cardiofm pretrain configs/codec.toml --store $(STORE) --out $(RUNS)/$$name-codec start_from=$(RUNS)/$$name-gaps/last/model $(SHORT) && \
	  rm -rf $(RUNS)/$$name/model && cp -r $(RUNS)/$$name-codec/last/model $(RUNS)/$$name/model || exit 1; done
	for name in base tiny; do \
	  $(BIN)/python -m cardiofm.train.across configs/across.toml start_from=$(RUNS)/$$name/model $(SHORT) --store $(STORE) --out $(RUNS)/$$name-across && \
	  cp $(RUNS)/$$name-across/last/model/across.* $(RUNS)/$$name/model || exit 1; done
	$(BIN)/python -m cardiofm.train.cleaning --store $(STORE) --out $(RUNS)/cleaning.json
	$(BIN)/python -m cardiofm.train.fiducials configs/fiducials.toml start_from=$(RUNS)/base/model $(SHORT) --data-root $(DATA) --store $(STORE) --out $(RUNS)/heads
	$(BIN)/python -m cardiofm.train.calibrate $(RUNS)/base/model $(RUNS)/heads/last/model --data-root $(DATA) --store $(STORE)
	cp $(RUNS)/heads/last/model/fiducials.* $(RUNS)/base/model
	for name in base tiny; do $(BIN)/cardiofm export $(RUNS)/$$name/model && \
	  $(BIN)/python -m cardiofm.train.prior $(RUNS)/$$name/model --store $(STORE) $(FEW) || exit 1; done
	$(BIN)/python -m cardiofm.train.retouch $(RUNS)/base/model --store $(STORE) $(FEW)
	$(BIN)/python -m cardiofm.heads.learn.release --model $(RUNS)/base/model --data-root $(DATA) --out $(RUNS)/base/heads $(SOME)
	$(BIN)/cardiofm benchmark $(DRAWN) --model $(RUNS)/base/model --data-root $(DATA) --out $(RESULTS) $(FEW)
	$(BIN)/cardiofm benchmark $(LABELLED) --model $(RUNS)/base/model --data-root $(DATA) --out $(RESULTS) $(SOME)
	$(BIN)/cardiofm benchmark heads --model $(RUNS)/base/model --heads $(RUNS)/base/heads --data-root $(DATA) --out $(RESULTS) $(SOME)
	$(BIN)/cardiofm benchmark intervals --model $(RUNS)/base/model --heads $(RUNS)/heads/last/model --data-root $(DATA) --out $(RESULTS) $(FEW)
	$(BIN)/python benchmarks/training_speed.py --store $(STORE) --out $(RESULTS)
	$(if $(STEPS),,$(BIN)/python benchmarks/ablations.py --store $(STORE) --runs $(RUNS)/ablations --data-root $(DATA) --out $(RESULTS))
	$(if $(STEPS),,$(BIN)/python benchmarks/scaling.py --store $(STORE) --runs $(RUNS) --data-root $(DATA) --out $(RESULTS))
	$(if $(STEPS),,$(BIN)/python -m cardiofm.evaluate.report)

clean:
	rm -rf .venv

.venv/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "CardioFM needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	touch $@

# ONNX Runtime only; no torch.
.venv/.demo: .venv/.made pyproject.toml constraints.txt
	$(PIP) -e '.[demo]'
	touch $@

# torch by its exact version before anything else can ask for another one.
.venv/.all: .venv/.made pyproject.toml constraints.txt
	$(PIP) torch==2.13.0
	$(PIP) -e '.[train,export,demo,bench,peers,dev]'
	touch $@ .venv/.demo

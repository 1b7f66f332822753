# demo · test · check · bench · reproduce: each builds .venv first (Python >= 3.11 and a package registry are enough).
PYTHON ?= python3
BIN := .venv/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_BUILD_CONSTRAINT=constraints.txt $(BIN)/python -m pip install -q -c constraints.txt
DATA ?= ../shared/data
STORE ?= store
SCORES := zero_shot rate_distortion codec gaps across robustness representation few_labels pooling retrieval device_bias
SETS := ptb-xl challenge-2015 challenge-2017 mitdb qtdb nstdb

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

# The released weights again from the recordings below DATA, then every benchmark, into runs/NAME/model and results/.
# On two cores with AVX512-BF16, about: prepare 2 min, base 70 and 60 more, tiny 15, settling 4, gaps 10, codec 20,
# heads 25, export 6, benchmarks 80. Each step goes on where it was stopped.
reproduce: .venv/.all
	$(BIN)/cardiofm prepare $(SETS) --data-root $(DATA) --out $(STORE)
	$(BIN)/cardiofm pretrain configs/base.toml --store $(STORE) --out runs/first
	$(BIN)/cardiofm pretrain configs/longer.toml --store $(STORE) --out runs/base start_from=runs/first/last/model
	$(BIN)/cardiofm pretrain configs/tiny.toml --store $(STORE) --out runs/tiny
	for name in base tiny; do \
	  $(BIN)/python -m cardiofm.train.settle runs/$$name/last/model --store $(STORE) --out runs/$$name/settled && \
	  $(BIN)/cardiofm pretrain configs/gaps.toml --store $(STORE) --out runs/$$name-gaps start_from=runs/$$name/settled && \
	  $(BIN)/cardiofm pretrain configs/codec.toml --store $(STORE) --out runs/$$name-codec start_from=runs/$$name-gaps/last/model && \
	  rm -rf runs/$$name/model && cp -r runs/$$name-codec/last/model runs/$$name/model || exit 1; done
	$(BIN)/python -m cardiofm.train.cleaning --store $(STORE) --out runs/cleaning.json
	$(BIN)/python -m cardiofm.train.fiducials configs/fiducials.toml start_from=runs/base/model --data-root $(DATA) --store $(STORE) --out runs/heads
	$(BIN)/python -m cardiofm.train.calibrate runs/base/model runs/heads/last/model --data-root $(DATA) --store $(STORE)
	cp runs/heads/last/model/fiducials.* runs/base/model
	for name in base tiny; do $(BIN)/cardiofm export runs/$$name/model && \
	  $(BIN)/python -m cardiofm.train.prior runs/$$name/model --store $(STORE) || exit 1; done
	$(BIN)/python -m cardiofm.heads.learn.release --model runs/base/model --data-root $(DATA) --out runs/base/heads
	$(BIN)/python benchmarks/heads.py --model runs/base/model --heads runs/base/heads --data-root $(DATA)
	for script in $(SCORES); do $(BIN)/python benchmarks/$$script.py --model runs/base/model --data-root $(DATA) || exit 1; done
	$(BIN)/python benchmarks/intervals.py --model runs/base/model --heads runs/heads/last/model --data-root $(DATA)
	$(BIN)/python benchmarks/ablations.py --data-root $(DATA)
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/training_speed.py
	$(BIN)/python -m cardiofm.evaluate.report

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

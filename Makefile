# Facegrid: `make demo` shows it working, `make test` proves it. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
UV := $(shell command -v uv || echo .uv/bin/uv)
MINIO := v0.0.0-20260212201848-7aac2a2c5b7c
VERSITYGW := v1.8.0
S3_SERVERS := .tools/minio-$(MINIO)/minio .tools/versitygw-$(VERSITYGW)/versitygw
ACCELERATOR ?= cpu
export UV_PYTHON_DOWNLOADS := never
RUN := $(UV) run --frozen --no-sync

.PHONY: help demo test test-fast test-gpu check proto tools chaos bench bench-memory bench-gallery bench-gallery-milvus bench-bulk bench-bulk-photographs bench-recall bench-ray bench-capacity \
  install install-dev clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: install  ## Install, enrol people from real photographs, identify others, write annotated pictures
	@UV="$(UV)" bash deploy/demo/demo.sh

test: test-fast  ## Install and run all tests (those on S3 servers where `make tools` has built them)
	$(RUN) pytest -m integration --durations=20

test-fast: install-dev  ## Run the tests that need no server, on all cores: two minutes
	$(RUN) pytest -n auto --dist worksteal -m "not integration"

# In an environment of its own: the two builds of ONNX Runtime install the same module.
test-gpu: export UV_PROJECT_ENVIRONMENT := .venv-gpu
test-gpu: ACCELERATOR := gpu
test-gpu: install-dev  ## Run the tests that need a GPU
	$(RUN) pytest -m gpu

check: install-dev  ## Lint, types, architecture, generated code and lock file
	$(UV) lock --check
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports
	$(MAKE) --no-print-directory proto OUT=$$(mktemp -d) CHECK=1

OUT ?= services
proto: install-dev  ## Generate services/facegrid/v1 and the references in docs/ from protos/
	@common=$$($(RUN) python -c "import google.api, pathlib; print(pathlib.Path(google.api.__path__[0]).parents[1])"); \
	protoc="$(RUN) python -m grpc_tools.protoc -I protos -I $$common"; \
	$$protoc --python_out=$(OUT) --mypy_out=quiet:$(OUT) protos/facegrid/v1/*.proto; \
	$$protoc --grpc_python_out=$(OUT) --mypy_grpc_out=quiet:$(OUT) protos/facegrid/v1/*_service.proto
ifndef CHECK
	@$(RUN) python docs/generate.py
else
	@diff -r -x __pycache__ -x __init__.py $(OUT)/facegrid/v1 services/facegrid/v1 \
	  || { echo "services/facegrid/v1 is not what protos/ gives: run make proto"; exit 1; }
	@rm -r $(OUT)
endif

KILLS ?= 100
chaos: install-dev  ## Kill the server, and what it stands in, KILLS times at random moments under load; nothing may be lost
	FACEGRID_CHAOS_KILLS=$(KILLS) $(RUN) pytest -q tests/serving/test_chaos*.py

tools: $(S3_SERVERS)  ## Build the S3 servers for `make test`, MinIO and versitygw (needs Go; minutes, once)

.tools/minio-%: PACKAGE = github.com/minio/minio@$(MINIO)
.tools/versitygw-%: PACKAGE = github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW)
$(S3_SERVERS):
	@command -v go > /dev/null || { echo "Go is not here, which builds $(@F)"; exit 1; }
	@echo "Building $(PACKAGE) (minutes, once)"
	@GOBIN=$(abspath $(@D)) CGO_ENABLED=0 nice go install -trimpath -ldflags="-s -w" $(PACKAGE)

bench: install-dev  ## Measure speed beside insightface and bare ONNX Runtime, and what a search costs
	$(RUN) python loadtests/extract.py
	$(RUN) python loadtests/identify.py

bench-memory: N ?= 10000
bench-memory: install-dev  ## Measure a server's memory over N photographs (N=10000)
	$(RUN) python loadtests/memory.py --photographs $(N)

bench-gallery: N ?= 10000 100000
bench-gallery: install-dev  ## Measure searches beside faiss (N=1000000, or several sizes for a chart)
	$(RUN) python loadtests/gallery.py $(N)

bench-gallery-milvus: N ?= 10000 100000
bench-gallery-milvus: install-dev  ## Measure searches in Milvus beside pymilvus alone (N=100000)
	$(RUN) python loadtests/gallery_in_milvus.py $(N)

bench-bulk: N ?= 100000
bench-bulk: install-dev  ## Measure bulk import beside a bare loop (N=100000)
	$(RUN) python loadtests/bulk.py $(N)

bench-bulk-photographs: install-dev  ## Measure bulk enrolment with and without Ray, in turn
	$(RUN) python loadtests/bulk_photographs.py

bench-recall: N ?= 10000
bench-recall: install-dev  ## Measure what approximate galleries miss, beside pymilvus (N=10000)
	$(RUN) python loadtests/recall.py $(N)

bench-ray: install-dev  ## Measure one process against Ray on this machine, in turn
	$(RUN) python loadtests/on_ray.py

bench-capacity: RATE ?= 1000
bench-capacity: install-dev  ## Say how many replicas and nodes RATE photographs a second take (RATE=1000)
	$(RUN) python loadtests/capacity.py --rate $(RATE)

install: $(UV)  ## Install into .venv (ACCELERATOR=gpu for CUDA)
	@echo "Installing Facegrid (a minute or two on a fresh machine)"
	@$(UV) sync --frozen --quiet --inexact --extra $(ACCELERATOR) --extra open

install-dev: $(UV)
	@$(UV) sync --frozen --quiet --inexact --extra $(ACCELERATOR) --extra open --group dev --group parity

.uv/bin/uv:
	@echo "installing uv $(UV_VERSION) into .uv"
	@python3 -m venv .uv
	@.uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

clean:  ## Remove what the other targets made
	rm -rf .venv .venv-gpu .uv .tools demo-data .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

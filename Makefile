# Everything here needs no more than Python 3.11, make and a C compiler. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3.11
VENV ?= .venv
TRAINING_VENV ?= .venv-training
PEER_VENV ?= .venv-peer-diart
# Servers that ours is measured beside, each with an environment of its own: .venv-peer-NAME.
SERVERS := bentoml fastapi litserve mlserver ray
DOCS_VENV ?= .venv-docs
BIN := $(VENV)/bin
DOCKERFILE := deploy/docker/Dockerfile
TORCH ?= torch==2.13.0

# pip would compile what it installs on one core; all do so faster, and without the packages' tests.
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
COMPILE = -W ignore -m compileall -qq -j 0 -x /tests/ $(VENV)/lib || true

# ---------------------------------------------------------------- use

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.editable  ## a model through the registry, then a conversation live (AUDIO=path for your own)
	$(BIN)/voiceflow demo $(if $(AUDIO),--audio "$(AUDIO)")

# ---------------------------------------------------------------- check

# One more than there are cores: a quarter of the time a test waits for processes that it started.
# In the order of the folders, so that the many small files come last and all workers end together.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count() + 1)')

.PHONY: test
test: install  ## run the tests (TESTS="tests/unit -k turns" for some of them)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

.PHONY: collect
collect: install  ## find all tests; run none
	$(BIN)/python -m pytest --collect-only -qq > /dev/null

.PHONY: lint
lint: install  ## ruff: lint rules and format; hadolint: the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint $(DOCKERFILE)

.PHONY: types
types: install  ## mypy --strict
	$(BIN)/mypy

.PHONY: imports
imports: install  ## who may import whom
	$(BIN)/lint-imports

.PHONY: check-protos
check-protos: install  ## proto lint, breaking changes, generated code is current
	$(BIN)/buf lint
	$(BIN)/buf breaking --against protos/baseline.binpb
	$(BIN)/python scripts/generate_protos.py --check

# ---------------------------------------------------------------- Kubernetes

KUBECTL ?= kubectl
K8S := deploy/k8s
# What several overlays have in common is none to be applied.
OVERLAYS := $(filter-out production,$(notdir $(wildcard $(K8S)/overlays/*)))

.PHONY: manifests
manifests:  ## render the overlays of deploy/k8s anew, with kubectl 1.21 or newer
	@{ printf '%s\n' '# Made of deploy/prometheus/alerts.yaml by `make manifests`.' \
		'apiVersion: monitoring.googleapis.com/v1' 'kind: Rules' 'metadata:' '  name: voiceflow' \
		'  labels:' '    app.kubernetes.io/part-of: voiceflow' 'spec:'; \
		sed -e '/^#/d' -e 's/^\(.\)/  \1/' -e 's/^    - name: .*/&\n      interval: 30s/' \
			deploy/prometheus/alerts.yaml; } > $(K8S)/components/managed-prometheus/rules.yaml
	@for overlay in $(OVERLAYS); do \
		{ echo "# Rendered from deploy/k8s/overlays/$$overlay by \`make manifests\`."; \
			$(KUBECTL) kustomize $(K8S)/overlays/$$overlay; } > $(K8S)/rendered/$$overlay.yaml; \
	done

# ---------------------------------------------------------------- images

IMAGE_TAG ?= dev
# Where they are pushed to, with a slash at its end: europe-docker.pkg.dev/example-project/voiceflow/
IMAGE_FOLDER ?=

.PHONY: images
images:  ## the images of a development cluster, with docker (IMAGE_TAG=dev)
	for target in inference registry validator; do \
		docker build --file $(DOCKERFILE) --target "$$target" \
			--tag "$(IMAGE_FOLDER)voiceflow-$$target:$(IMAGE_TAG)" .; \
	done

.PHONY: push-images
push-images: images  ## likewise, and push them (IMAGE_TAG=0.1.0 IMAGE_FOLDER=HOST/PROJECT/REPOSITORY/)
	for target in inference registry validator; do \
		docker push "$(IMAGE_FOLDER)voiceflow-$$target:$(IMAGE_TAG)"; \
	done

.PHONY: rehearse-images
rehearse-images: install  ## as root, without docker: make the images with debootstrap, and have them work together
	$(BIN)/python -m scripts.rehearse_images $(REHEARSE)

.PHONY: sbom
sbom: install  ## what each image's environment is made of, in build/sbom (SBOM="inference registry" for some)
	$(BIN)/python -m scripts.sbom $(SBOM)

# ---------------------------------------------------------------- measure

.PHONY: evaluate
evaluate: install  ## accuracy through the service, beside the peer and baselines (EVALUATE=--write to publish it)
	$(BIN)/python -m benchmarks.accuracy $(EVALUATE)

.PHONY: bench
bench: install  ## speed and scale, part by part, and one report (BENCH=--write to publish it; BENCH="--only density")
	$(BIN)/python -m benchmarks.bench $(BENCH)

.PHONY: variants
variants: install  ## the default model in half precision and in 8 bits, beside it (VARIANTS="--out models")
	$(BIN)/python -m benchmarks.variants $(VARIANTS)

# ---------------------------------------------------------------- rehearse

.PHONY: rehearsal
rehearsal: install  ## a blue/green switch under callers, behind HAProxy (REHEARSAL="--mode tcp --callers 32")
	$(BIN)/python -m benchmarks.rehearsal --json benchmarks/results/rehearsal.json $(REHEARSAL)

SWAPS ?= 500
STREAMS ?= 100

.PHONY: soak-reload
soak-reload: install  ## versions change under streams that go on (SWAPS=500 STREAMS=100)
	$(BIN)/python -m benchmarks.soak_reload --swaps $(SWAPS) --streams $(STREAMS) \
		--json benchmarks/results/soak-reload.json $(SOAK)

# ---------------------------------------------------------------- tell

$(DOCS_VENV)/.docs: requirements/docs.lock
	test -x $(DOCS_VENV)/bin/python || $(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python $(PIP_INSTALL) --require-hashes -r requirements/docs.lock
	touch $@

# As a module, so that the hook finds the repository's own; what mkdocs only warns of fails.
.PHONY: docs
docs: $(DOCS_VENV)/.docs  ## the pages as a site, in build/site; a link that leads nowhere fails
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/python -m mkdocs build --strict --clean

# ---------------------------------------------------------------- change

.PHONY: fmt
fmt: install  ## format the code and apply safe lint fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: protos
protos: install  ## write the generated code anew from protos/
	$(BIN)/python scripts/generate_protos.py

.PHONY: baseline
baseline: install  ## take the API as it is now as what later changes must not break
	$(BIN)/buf build --exclude-source-info --output protos/baseline.binpb

# Universal locks: one file for every platform and Python from 3.11 on. No index address is
# written, so they install from whichever index pip is set up for.
UV_COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url $(UV_FLAGS)

# The extra `kubernetes` is for operators' machines: no service, and so no image, has it.
# inference, inference-cuda, registry and validator are what the images of these names hold.
.PHONY: lock
lock: install  ## write requirements/*.lock anew (UV_FLAGS=--upgrade for newer versions)
	$(UV_COMPILE) pyproject.toml --extra mic --extra registry --extra telemetry -o requirements/runtime.lock
	$(UV_COMPILE) --group build -o requirements/build.lock
	$(UV_COMPILE) pyproject.toml --extra telemetry -c requirements/runtime.lock -o requirements/inference.lock
	$(UV_COMPILE) pyproject.toml --extra telemetry --group cuda --excludes <(echo onnxruntime) \
		-c requirements/runtime.lock -o requirements/inference-cuda.lock
	$(UV_COMPILE) pyproject.toml --extra registry --extra telemetry -c requirements/runtime.lock \
		-o requirements/registry.lock
	$(UV_COMPILE) pyproject.toml --extra telemetry --extra validator -c requirements/runtime.lock \
		-o requirements/validator.lock
	$(UV_COMPILE) pyproject.toml --extra kubernetes --extra mic --extra registry --extra telemetry --group dev \
		-c requirements/runtime.lock -c requirements/build.lock -o requirements/dev.lock
	$(UV_COMPILE) --group docs -o requirements/docs.lock
	$(UV_COMPILE) --group scorer -c requirements/dev.lock -o requirements/scorer.lock
	$(UV_COMPILE) pyproject.toml --group training \
		-c requirements/runtime.lock -c requirements/build.lock -o requirements/training.lock
	$(UV_COMPILE) --group teachers --no-deps -o requirements/teachers.lock
	$(UV_COMPILE) --config-file $(PEER)/uv.toml $(PEER)/requirements.in -o $(PEER)/requirements.lock
	for server in $(SERVERS); do \
		$(UV_COMPILE) benchmarks/peers/$$server/requirements.in -o benchmarks/peers/$$server/requirements.lock; \
	done

# ---------------------------------------------------------------- install

# A stamp is newer than what it was made from, or pip runs again. Who only runs the service
# waits for no tool that only a developer needs.
.PHONY: install
install: $(VENV)/.editable $(VENV)/.dev $(VENV)/.scorer  ## make the virtual environment (the other targets do it themselves)

$(VENV)/.runtime: requirements/runtime.lock requirements/build.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) --no-compile --require-hashes -r requirements/runtime.lock -r requirements/build.lock
	$(BIN)/python $(COMPILE)
	touch $@

$(VENV)/.editable: $(VENV)/.runtime pyproject.toml
	$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.lock
	$(BIN)/python $(PIP_INSTALL) --no-compile --require-hashes -r requirements/dev.lock
	$(BIN)/python $(COMPILE)
	touch $@

# The second scorer comes as C++ source. Where nothing compiles that, it is left out and its tests
# are skipped.
$(VENV)/.scorer: $(VENV)/.dev requirements/scorer.lock
	if command -v $(CXX) > /dev/null; then \
		$(BIN)/python $(PIP_INSTALL) --require-hashes -r requirements/scorer.lock && touch $@; \
	else \
		echo "no C++ compiler ($(CXX)): the second scorer is left out"; \
	fi

# ---------------------------------------------------------------- train

# PyTorch stands in no lock: its CPU build and the CUDA build of the default index carry the
# same version and different hashes, and either makes the same kind of model. The version is
# pinned here instead, and the default model's card records what it was made with.
$(TRAINING_VENV)/.training: requirements/training.lock requirements/teachers.lock requirements/build.lock
	test -x $(TRAINING_VENV)/bin/python || $(PYTHON) -m venv $(TRAINING_VENV)
	$(TRAINING_VENV)/bin/python $(PIP_INSTALL) --require-hashes -r requirements/training.lock -r requirements/build.lock
	$(TRAINING_VENV)/bin/python $(PIP_INSTALL) "$(TORCH)"
	$(TRAINING_VENV)/bin/python $(PIP_INSTALL) --no-deps --require-hashes -r requirements/teachers.lock
	touch $@

$(TRAINING_VENV)/.editable: $(TRAINING_VENV)/.training pyproject.toml
	$(TRAINING_VENV)/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	touch $@

PRODUCT ?= diarizer

.PHONY: train
train: $(TRAINING_VENV)/.editable  ## make a model anew from ../shared/speech (PRODUCT=fast-cnn, RESUME=1 to go on)
	$(TRAINING_VENV)/bin/python -m training --product $(PRODUCT) $(if $(RESUME),--resume)

# ---------------------------------------------------------------- peers

PEER := benchmarks/peers/diart

# The lock is complete by $(PEER)/uv.toml, which says less than the packages do; without --no-deps
# pip would install all that they name. PyTorch as for training.
$(PEER_VENV)/.peer: $(PEER)/requirements.lock
	test -x $(PEER_VENV)/bin/python || $(PYTHON) -m venv $(PEER_VENV)
	$(PEER_VENV)/bin/python $(PIP_INSTALL) --no-deps --require-hashes -r $(PEER)/requirements.lock
	$(PEER_VENV)/bin/python $(PIP_INSTALL) "$(TORCH)"
	touch $@

.PHONY: peers
peers: $(PEER_VENV)/.peer  ## make the environment of the diarizer we are compared with

# None of them needs PyTorch, and nothing of ours is installed beside them.
SERVER_VENVS := $(SERVERS:%=.venv-peer-%)

.venv-peer-%/.server: benchmarks/peers/%/requirements.lock
	test -x .venv-peer-$*/bin/python || $(PYTHON) -m venv .venv-peer-$*
	.venv-peer-$*/bin/python $(PIP_INSTALL) --require-hashes -r $<
	touch $@

.PHONY: serving-peers $(SERVERS:%=peer-%)
$(SERVERS:%=peer-%): peer-%: .venv-peer-%/.server
serving-peers: $(SERVERS:%=peer-%)  ## make the environments of the servers we are measured beside (or `make peer-ray`, for one)

.PHONY: clean
clean:  ## remove the virtual environments and everything built
	rm -rf $(VENV) $(TRAINING_VENV) $(PEER_VENV) $(SERVER_VENVS) $(DOCS_VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

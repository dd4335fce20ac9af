PYTHON ?= python3
BIN := .venv/bin
# A user may have `user = yes` in pip's settings, which no environment can obey.
export PIP_USER := 0
unexport PYTHONSAFEPATH PYTHONPATH

.PHONY: help setup lab test test-all notebooks handout colab site weights sweep digits maps bench results usage badges picture lint clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: usable .venv/ready  ## build .venv from the pins, if something changed

.PHONY: usable
usable:
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 15) else \
	    "This is Python %d.%d; the course needs 3.11 to 3.14. Install one, and name it: make lab PYTHON=python3.12" % sys.version_info[:2])'
	@test ! -e .venv || { test "$$($(BIN)/python -c 'import sys; print(sys.version_info[:2])' 2>&1)" = \
	    "$$($(PYTHON) -c 'import sys; print(sys.version_info[:2])')" || { \
	    echo "The folder .venv was made by another Python, or moved here. Remove it by 'make clean', and start again." >&2; exit 1; }; }

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,site,digits,cluster]'
	touch $@

lab: setup  ## open the course in JupyterLab
	cd notebooks && ../$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root)  # root: in a container

test: setup  ## run the tests, and every notebook cell by cell, on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder \
	    --nbval-lax --nbval-current-env --nbval-cell-timeout=300

test-all: .venv-colab/ready  ## the same, and all notebooks in JupyterLab and under Colab's versions (an hour; before a release)
	ALL_LANES=1 REQUIRE_BROWSER=1 REQUIRE_COLAB=1 $(MAKE) test

notebooks: setup  ## execute notebooks/*.py and write the .ipynb beside them
	$(BIN)/python -m tools.make_notebooks

handout: setup  ## write copies for a workshop: learners (no solutions), instructors
	$(BIN)/python -m tools.make_handouts

colab: setup  ## write notebooks that stand alone, to upload to Google Colab
	$(BIN)/python -m tools.make_colab

site: setup  ## build the website from docs/ and the executed notebooks, in dist-site/
	$(BIN)/python -m tools.make_site

.venv-colab/ready: tests/colab.txt
	$(PYTHON) -m venv .venv-colab
	.venv-colab/bin/python -m pip install --quiet --requirement tests/colab.txt
	touch $@

weights: setup  ## train the networks that come with the course (an hour and a half; goes on where it was interrupted)
	$(BIN)/python -m experiments.weights

sweep: setup  ## break the recipe in some fifty ways, two distributions, five seeds (an hour; goes on where it was interrupted)
	$(BIN)/python -m experiments.sweep

digits: setup  ## train the networks of the digits, and break their recipe (an hour and a half; goes on where it was interrupted)
	$(BIN)/python -m experiments.digits

maps: setup  ## teach the flow map by some twenty losses, and by rivals (two hours; goes on where it was interrupted)
	$(BIN)/python -m experiments.maps

bench: setup  ## measure what a training step costs, and what quality costs (five minutes)
	$(BIN)/python -m experiments.bench

results: setup  ## write docs/results.md and the numbers of the README from the record
	$(BIN)/python -m tools.make_results

usage: setup  ## measure what one learner uses, for the teacher's page (five minutes)
	$(BIN)/python -m tools.usage

badges: setup  ## put "Open in Colab" and the website into the README, once pyproject.toml has an address
	$(BIN)/python -m tools.make_badges

picture: setup  ## draw the README's picture, and write the networks that the website's panels load
	$(BIN)/python -m tools.make_picture

lint: setup  ## check the style
	$(BIN)/ruff check .

clean:  ## remove the environments
	rm -rf .venv .venv-colab

# make setup | demo | test | test-slow | coverage | lint | bench | sanitize | clean: each sets up what it needs.
PYTHON ?= python3
VENV   ?= .venv
# constraints-detectron2.txt is the tested set for an environment that has the real Detectron2.
CONSTRAINTS ?= constraints.txt
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check install --quiet --constraint $(CONSTRAINTS)
DEMO   := output/demo
SCENES := datasets/scenes
CONFIG := configs/quick/solov2_tiny.yaml

.PHONY: setup demo test test-slow coverage lint bench sanitize clean
.DELETE_ON_ERROR:

setup: $(VENV)/.ready

$(VENV)/.ready: setup.py pyproject.toml $(CONSTRAINTS) d2lite/setup.py
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch setuptools wheel
	$(PY) -c "import detectron2" 2>/dev/null || $(PIP) --no-build-isolation --editable ./d2lite
	$(PIP) --no-build-isolation --editable ".[dev,fast-eval]"
	$(PY) -m solo_d2.environment
	@touch $@

demo: $(DEMO)/metrics.json $(DEMO)/images/.ready $(DEMO)/video.mp4
	@echo "Metrics: $(DEMO)/metrics.json   pictures: $(DEMO)/images   video: $(DEMO)/video.mp4"

$(SCENES)/scenes.json: | setup
	$(PY) tools/make_scenes.py --output $(SCENES)

# evaluation.json comes last: after an interruption --resume trains or evaluates what is left.
$(DEMO)/train/evaluation.json: | $(SCENES)/scenes.json
	$(PY) train_net.py --config-file $(CONFIG) --resume OUTPUT_DIR $(DEMO)/train

$(DEMO)/metrics.json: $(DEMO)/train/evaluation.json
	cp $< $@

$(DEMO)/images/.ready: $(DEMO)/train/evaluation.json
	$(PY) demo/demo.py --config-file $(CONFIG) --input "$(SCENES)/val/images/*" --output $(DEMO)/images \
		--json $(DEMO)/results.json --opts MODEL.WEIGHTS $(DEMO)/train/model_final.pth
	@touch $@

$(DEMO)/scene.mp4: | $(SCENES)/scenes.json
	$(PY) tools/make_scenes.py --video $@

$(DEMO)/video.mp4: $(DEMO)/train/evaluation.json $(DEMO)/scene.mp4
	$(PY) demo/demo.py --config-file $(CONFIG) --video-input $(DEMO)/scene.mp4 --output $@ \
		--opts MODEL.WEIGHTS $(DEMO)/train/model_final.pth

test: setup
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses auto -m "not slow"

test-slow: setup
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses auto -m slow

# Of each package by its own tests; PACKAGES="ops methods/solo" measures some.
coverage: setup
	OMP_NUM_THREADS=1 $(PY) tests/measure_coverage.py $(PACKAGES)

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: setup
	$(PY) benchmarks/bench_solov2.py
	$(PY) benchmarks/bench_matrix_nms.py
	$(PY) benchmarks/bench_restore.py
	$(PY) benchmarks/bench_solo_memory.py
	$(PY) benchmarks/bench_condinst.py
	$(PY) benchmarks/bench_panoptic.py
	$(PY) benchmarks/bench_densecl.py
	$(PY) benchmarks/bench_free_mask.py

# The C++ kernels' tests under AddressSanitizer and UBSan, on a copy of the package built for that.
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1
sanitize: setup
	CFLAGS="$(SANITIZE)" CXXFLAGS="$(SANITIZE)" LDFLAGS="-fsanitize=address,undefined" \
		$(PY) setup.py --quiet build --build-base build/sanitize --build-lib build/sanitize/lib
	for capability in default avx2 avx512; do \
		ATEN_CPU_CAPABILITY=$$capability PYTHONPATH=build/sanitize/lib ASAN_OPTIONS=detect_leaks=0 \
		LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
		$(VENV)/bin/pytest -p no:xdist tests/ops/test_checks.py tests/ops/test_pack_masks.py tests/ops/test_mask_iou.py \
		tests/ops/test_matrix_nms.py tests/ops/test_nms_family.py tests/ops/test_restore_masks.py \
		tests/ops/test_masks_to_rle.py tests/ops/test_mask_crops.py || exit 1; \
	done

clean:
	rm -rf $(VENV) output build *.egg-info

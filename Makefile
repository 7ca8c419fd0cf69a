# A thin front to CMake and CTest. `make` builds build/webaccel; README.md tells the rest.
BUILD ?= build
# Asked when cmake runs, after tools/deps.sh: on a bare machine that brings Ninja. A configured tree keeps its own.
generator = $$([ -e $(1)/CMakeCache.txt ] || ! command -v ninja >/dev/null 2>&1 || echo "-G Ninja")
CMAKE_FLAGS ?=
PREFIX ?= /usr/local
DEPS := $(CURDIR)/build/deps

.PHONY: all deps demo check check-full bench asan fuzz fmt install gpu-bundle clean

all: $(BUILD)/CMakeCache.txt
	@cmake --build $(BUILD)

$(BUILD)/CMakeCache.txt: CMakeLists.txt tools/deps.sh $(wildcard tools/fetch_*.sh tools/deps/*)
	@tools/deps.sh
	@cmake -S . -B $(BUILD) $(call generator,$(BUILD)) -DWA_DEPS_DIR=$(DEPS) $(CMAKE_FLAGS) >/dev/null
	@touch $@

# Debian's packages and registry packages, pinned by version and checksum; no network the second time.
deps:
	@tools/deps.sh

demo: all
	@tools/demo.sh $(BUILD)/webaccel

check: CMAKE_FLAGS += -DWA_WERROR=$(if $(CI),ON,OFF)
check: all
	@ctest --test-dir $(BUILD) --output-on-failure -j 2

check-full: all
	@WA_CHECK_FULL=1 ctest --test-dir $(BUILD) --output-on-failure

bench: all
	@bench/run.sh $(BUILD)/webaccel

asan:
	@tools/deps.sh
	@cmake -S . -B build-asan $(call generator,build-asan) -DWA_DEPS_DIR=$(DEPS) -DWA_ASAN=ON >/dev/null
	@cmake --build build-asan
	@LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp ctest --test-dir build-asan --output-on-failure

# FUZZ_SECONDS a target, corpora in fuzz/corpus.
FUZZ_SECONDS ?= 60
fuzz:
	@tools/deps.sh
	@tools/fuzz.sh $(FUZZ_SECONDS)

fmt:
	@clang-format -i $$(git ls-files '*.c' '*.h' | grep -v schema)

install: all
	@cmake --install $(BUILD) --prefix $(PREFIX)

# The command, its libraries, the page and the benchmark, for a machine with nothing installed.
gpu-bundle: all
	@tools/gpu_bundle.sh $(BUILD)/webaccel

clean:
	rm -rf $(BUILD) build-asan build-fuzz

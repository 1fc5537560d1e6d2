# SPDX-License-Identifier: MIT
# rnkit: one Makefile for everything. `make help` lists the targets, `make deps` installs what is missing.

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

# ---- what can be set on the command line ---------------------------------------------------------------------
CC ?= cc
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := $(if $(findstring clang,$(CC)),$(subst clang,clang++,$(CC)),g++)
endif
SAN ?=
# A sanitizer's checks at every access make what the optimiser gets long: its time is not worth it in a build for tests.
OPT ?= $(if $(SAN),-O1 -g1,-O2 -g)
KERNEL_OPT := $(if $(SAN),-O1,-O3)
WERROR ?= 0
COVERAGE ?= 0
ONEDNN ?= auto
MPI ?= auto
# No GPU has run it yet, so that it is built only when asked for: 1, or auto, where nvcc is found.
CUDA ?= 0
CUDA_ARCH ?= 80 90a
NVCC ?= nvcc
PREFIX ?= /usr/local
RNKIT_DATA ?= ../shared/data
JOBS ?= $(shell nproc)
V ?= 0
Q := $(if $(filter 0,$(V)),@)
comma := ,
export RNKIT_DATA

# ---- packages -----------------------------------------------------------------------------------------------
DEPS_BUILD := gcc g++ make pkg-config libarchive-dev zlib1g-dev libjpeg62-turbo-dev/libjpeg-turbo8-dev liblmdb-dev libssl-dev \
  libmatio-dev libprotobuf-c-dev protobuf-c-compiler libjansson-dev libpng-dev libdnnl-dev libopenmpi-dev libcmocka-dev
DEPS_RUN := gnuplot-nox dataset-fashion-mnist openmpi-bin
DEPS_BENCH := gnuplot-nox openssl python3-dev python3-venv
DEPS_LINT := clang libclang-rt-dev/libclang-common-14-dev clang-tidy clang-format cppcheck shellcheck libomp-dev
DEPS_COVERAGE := gcovr

REQUIRED := libarchive zlib lmdb libcrypto matio libprotobuf-c jansson libpng libjpeg

# ---- configuration found on this machine ----------------------------------------------------------------------
NOCONFIG_GOALS := help deps deps-lint demo check check-long lint coverage fuzz fuzz-run format golden-help clean reproduce study bench bench-data bench-accuracy bench-step bench-cuda
ifneq ($(filter-out $(NOCONFIG_GOALS),$(or $(MAKECMDGOALS),all)),)
MISSING := $(strip $(foreach p,$(REQUIRED),$(shell pkg-config --exists $(p) 2>/dev/null || echo $(p))) $(shell command -v protoc-c >/dev/null 2>&1 || echo protoc-c))
ifneq ($(MISSING),)
$(error not found: $(MISSING). Run `make deps` to install what the build needs)
endif
endif

PKG_CFLAGS := $(shell pkg-config --cflags $(REQUIRED) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(REQUIRED) 2>/dev/null)

# ONEDNN: auto, 0, 1, or where another one lies than the compiler's own (PREFIX/include/dnnl.h, PREFIX/lib/libdnnl.so).
ONEDNN_PREFIX := $(filter /%,$(ONEDNN))
ONEDNN_CFLAGS := $(if $(ONEDNN_PREFIX),-isystem $(ONEDNN_PREFIX)/include)
HAVE_ONEDNN := $(shell printf '\043include <dnnl.h>\nint main(void){return 0;}' | $(CC) $(ONEDNN_CFLAGS) -x c - -fsyntax-only 2>/dev/null && echo 1 || echo 0)
ifeq ($(ONEDNN),auto)
USE_ONEDNN := $(HAVE_ONEDNN)
else
USE_ONEDNN := $(if $(ONEDNN_PREFIX),1,$(ONEDNN))
ifeq ($(USE_ONEDNN)$(HAVE_ONEDNN),10)
$(error ONEDNN=$(ONEDNN) but dnnl.h is not there: install libdnnl-dev, give the folder that has include/dnnl.h, or build with ONEDNN=0)
endif
endif

# MPI goes into a shared object that a program loads when mpirun has started several: nothing else is linked with it.
MPI_CFLAGS := $(shell pkg-config --cflags ompi-c 2>/dev/null)
MPI_LIBS := $(shell pkg-config --libs ompi-c 2>/dev/null)
HAVE_MPI := $(shell printf '\043include <mpi.h>\nint main(void){return 0;}' | $(CC) $(MPI_CFLAGS) -x c - -fsyntax-only 2>/dev/null && pkg-config --exists ompi-c && echo 1 || echo 0)
ifeq ($(MPI),auto)
USE_MPI := $(HAVE_MPI)
else
USE_MPI := $(MPI)
ifeq ($(MPI)$(HAVE_MPI),10)
$(error MPI=1 but Open MPI is not there: install libopenmpi-dev, or build with MPI=0)
endif
endif

# So does CUDA: a shared object that --device cuda loads.
HAVE_CUDA := $(if $(filter-out 0,$(CUDA)),$(shell command -v $(NVCC) >/dev/null 2>&1 && echo 1 || echo 0),0)
USE_CUDA := $(if $(filter auto,$(CUDA)),$(HAVE_CUDA),$(CUDA))
ifeq ($(USE_CUDA)$(HAVE_CUDA),10)
$(error CUDA=1 but $(NVCC) is not there: install the CUDA toolkit, give NVCC=/path/to/nvcc, or build with CUDA=0)
endif

# ---- flags ------------------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
ifeq ($(WERROR),1)
WARN += -Werror
endif
# Exact arithmetic everywhere but in kernels/: no contraction, so that coefficients and references do not depend on the CPU.
BASE_CFLAGS := -std=c11 -D_GNU_SOURCE -pthread -fno-math-errno -Ilibcore -I. $(WARN) $(OPT)
ifneq ($(SAN),)
BASE_CFLAGS += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
endif
ifeq ($(COVERAGE),1)
BASE_CFLAGS += --coverage -fprofile-update=atomic
endif
LIBS := $(PKG_LIBS) -lm -ldl -pthread
# What the CUDA object uses of librnkit is the program's own.
EXPORT := -Wl,--export-dynamic-symbol=rn_*
ifeq ($(USE_ONEDNN),1)
LIBS += $(if $(ONEDNN_PREFIX),-L$(ONEDNN_PREFIX)/lib -Wl$(comma)-rpath$(comma)$(ONEDNN_PREFIX)/lib) -ldnnl
BASE_CFLAGS += -DRN_WITH_ONEDNN=1 $(ONEDNN_CFLAGS)
endif
HASH := $(shell (echo '$(CC) $(BASE_CFLAGS) $(LIBS) $(USE_ONEDNN) $(USE_MPI) $(USE_CUDA)'; $(CC) --version | head -1) 2>/dev/null | md5sum | cut -c1-10)
B := build/$(HASH)
ALL_CFLAGS = $(BASE_CFLAGS) $(PKG_CFLAGS) -I$(B)/gen $(CFLAGS)

# ---- sources ----------------------------------------------------------------------------------------------
PROTO := $(wildcard libcore/*/*.proto libcore/*/*/*.proto)
vpath %.proto $(sort $(dir $(PROTO)))
GEN_C := $(patsubst %.proto,$(B)/gen/%.pb-c.c,$(notdir $(PROTO)))
GEN_H := $(GEN_C:.c=.h)
LIB_SRC := $(sort $(wildcard libcore/*/*.c libcore/*/*/*.c))
KERNEL_SRC := $(sort $(wildcard kernels/*.c kernels/ref/*.c kernels/cpu/*.c))
ifeq ($(USE_ONEDNN),1)
KERNEL_SRC += $(sort $(wildcard kernels/onednn/*.c))
endif
CUDA_SRC := $(sort $(wildcard kernels/cuda/*.cu))
CUDNN_SRC := $(sort $(wildcard kernels/cudnn/*.cu))
CUDNN_PLAN_OBJ = $(patsubst %,$(B)/kernels/cudnn/cudnn_%.o,graph kept library plan work)
MPI_SRC := $(if $(filter 1,$(USE_MPI)),$(sort $(wildcard kernels/mpi/*.c)))
TOOL_SRC := $(sort $(wildcard tools/*.c))
BENCH_SRC := $(sort $(wildcard bench/*.c))
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c tests/grad/test_*.c tests/golden/test_*.c))
# The thread sanitizer sees pthreads but not gcc's OpenMP, whose barriers it would report: it runs what has threads of our own.
ifneq ($(findstring thread,$(SAN)),)
UNIT_SRC := $(filter $(addprefix tests/unit/test_,error.c progress.c pool.c loader%),$(UNIT_SRC))
endif
CHECK_SRC := $(sort $(wildcard tests/kernels/*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))

LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o) $(GEN_C:.c=.o)
KERNEL_OBJ := $(KERNEL_SRC:%.c=$(B)/%.o)
TOOL_BIN := $(TOOL_SRC:tools/%.c=$(B)/bin/%)
MPI_SO := $(if $(MPI_SRC),$(B)/lib/rnkit/rnkit_mpi.so)
CUDA_SO := $(if $(filter 1,$(USE_CUDA)),$(B)/lib/rnkit/rnkit_cuda.so)
# The same kernels compiled for the host, for the tests; without sanitizers, which do not follow its fibers.
EMULATED_SO := $(if $(SAN),,$(addprefix $(B)/tests/cuda/,rnkit_cuda_emulated.so nccl_emulated.so cublaslt_emulated.so))
ASYNC_BIN := $(if $(SAN),,$(B)/tests/cuda/check-async)
# Plans by the real cuDNN, which needs no device for them.
CUDNN_BIN := $(if $(CUDA_SO),$(B)/tests/cuda/check-cudnn-plans $(B)/tests/cuda/driver/libcuda.so.1)
NVML_SO := $(if $(SAN),,$(B)/tests/cuda/libnvidia-ml.so.1)
BENCH_BIN := $(if $(BENCH_SRC),$(B)/bin/rn-bench)
UNIT_BIN := $(UNIT_SRC:tests/%.c=$(B)/tests/%)
CHECK_BIN := $(if $(CHECK_SRC),$(B)/tests/check-kernels)
# Twice from the same objects: with the plain driver (make check), and with libFuzzer (make fuzz).
FUZZ_BIN := $(FUZZ_SRC:tests/%.c=$(B)/tests/%)
LIBFUZZER_BIN := $(FUZZ_SRC:tests/fuzz/%.c=$(B)/fuzz/%)
C_SRC := $(LIB_SRC) $(KERNEL_SRC) $(MPI_SRC) $(TOOL_SRC) $(BENCH_SRC) $(UNIT_SRC) $(CHECK_SRC) $(FUZZ_SRC) tests/fuzz/driver.c tests/fault/fault.c tests/cuda/nvml_emulated.c tests/cuda/driver_absent.c
# A bad disk, preloaded into the tools by the shell tests; without sanitizers, whose runtime would have to come first.
FAULT_SO := $(if $(SAN),,$(B)/tests/fault/fault.so)

# One short line a step; V=1 shows the commands.
SAY = @printf '  %-6s %s\n' $(1) $(2)

# ---- build ------------------------------------------------------------------------------------------------
.PHONY: all deps deps-lint demo reproduce study check check-run check-long check-modules check-cuda bench bench-data bench-accuracy bench-step bench-cuda install man help clean format lint lint-run coverage tests demo-run reproduce-run

all: $(TOOL_BIN) $(BENCH_BIN) $(MPI_SO) $(CUDA_SO) bin ## build the tools into bin/

.PHONY: bin
bin: $(TOOL_BIN) $(BENCH_BIN) $(MPI_SO) $(CUDA_SO)
	@mkdir -p $(B)/bin && ln -sfn $(B)/bin bin

tests: all $(UNIT_BIN) $(CHECK_BIN) $(FUZZ_BIN) $(FAULT_SO) $(EMULATED_SO) $(ASYNC_BIN) $(NVML_SO) $(CUDNN_BIN) ## build the tests

.SECONDARY: $(GEN_C) $(GEN_H)
$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h &: %.proto
	@mkdir -p $(B)/gen
	$(call SAY,PROTOC,$<)
	$(Q)protoc-c --proto_path=$(<D) --c_out=$(B)/gen $<

# Instruction sets by file name: the rest of the file's room decides at run time whether to call in, and asks the CPU for
# each of the features named here, but for prefetchw, which does nothing where a CPU lacks it.
%_avx2.o %_avx2.tidy: ISA := -mavx2 -mfma -mf16c -mprfchw
%_avx512.o %_avx512.tidy: ISA := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mprfchw
%_avx512bf16.o %_avx512bf16.tidy: ISA := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512bf16 -mavx2 -mfma -mf16c -mprfchw
%_amx.o %_amx.tidy: ISA := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512bf16 -mavx2 -mfma -mf16c -mprfchw -mamx-tile -mamx-bf16

# gcc contracts a * b + c only when told to in -std=c11.
$(B)/kernels/cpu/%.o: ROOM_CFLAGS := -fopenmp $(KERNEL_OPT) -ffp-contract=fast
# Nobody looks at the exception flags: without this, gcc branches around the rounding to 16 bits instead of vectorising it.
$(B)/kernels/cpu/cpu_ops_%.o: ROOM_CFLAGS := -fopenmp $(KERNEL_OPT) -ffp-contract=fast -fno-trapping-math
$(B)/kernels/ref/%.o: ROOM_CFLAGS := -ffp-contract=off
$(B)/libcore/%.o: ROOM_CFLAGS := -ffp-contract=off
$(B)/libcore/base/rn_version.o: ROOM_CFLAGS := $(if $(MPI_SO),-DRN_WITH_MPI=1) $(if $(CUDA_SO),-DRN_WITH_CUDA=1)
# Loops of a vector's parts must be unrolled, or the sums live in memory.
$(B)/libcore/data/image/rn_resize_%.o: ROOM_CFLAGS := -ffp-contract=off $(KERNEL_OPT)
$(B)/libcore/base/rn_half%.o: ROOM_CFLAGS := -ffp-contract=off $(KERNEL_OPT)
$(B)/tests/%.o: ROOM_CFLAGS := -ffp-contract=off
$(B)/tests/kernels/%.o: ROOM_CFLAGS := -ffp-contract=off -fopenmp
$(B)/kernels/onednn/%.o: ROOM_CFLAGS := -ffp-contract=off -fopenmp
$(B)/bench/bench_caches.o: ROOM_CFLAGS := -fopenmp
# A result tells what it was built with.
$(B)/bench/bench_machine.o: ROOM_CFLAGS := -DRN_BUILD_FLAGS='"$(OPT)$(if $(SAN), -fsanitize=$(SAN)); kernels/cpu $(KERNEL_OPT) -ffp-contract=fast"'

$(B)/gen/%.o: $(B)/gen/%.c
	$(call SAY,CC,$@)
	$(Q)$(CC) $(filter-out $(WARN),$(ALL_CFLAGS)) -c -o $@ $<

$(B)/%.o: %.c | $(GEN_H)
	@mkdir -p $(@D)
	$(call SAY,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) $(ROOM_CFLAGS) $(ISA) -MMD -MP -c -o $@ $<

# The lists of shapes go into rn-bench as strings: an installed binary needs no files.
SHAPES := $(sort $(wildcard bench/shapes/*.shapes))
$(B)/gen/bench_shapes.inc: $(SHAPES)
	@mkdir -p $(@D)
	@for f in $^; do printf '{"%s",\n' "$$(basename $$f .shapes)"; sed 's/[\\"]/\\&/g; s/.*/"&\\n"/' $$f; echo '},'; done > $@
$(B)/bench/bench_shapes.o: $(B)/gen/bench_shapes.inc

# So does the manifest of ILSVRC2012.
$(B)/gen/rn_manifest_ilsvrc2012.inc: datasets/ilsvrc2012/manifest.json
	@mkdir -p $(B)/gen
	@sed 's/[\\"]/\\&/g; s/.*/"&\\n"/' $< > $@
$(B)/libcore/data/meta/rn_manifest_builtin.o: $(B)/gen/rn_manifest_ilsvrc2012.inc

$(B)/librnkit.a: $(LIB_OBJ)
	@rm -f $@
	$(call SAY,AR,$@)
	$(Q)ar rcs $@ $^

$(B)/librnkernels.a: $(KERNEL_OBJ)
	@rm -f $@
	$(call SAY,AR,$@)
	$(Q)ar rcs $@ $^

# Kernels come first: libcore includes nothing of them.
LINK = $(call SAY,LD,$@); mkdir -p $(@D); $(if $(Q),,set -x;) $(CC) $(ALL_CFLAGS) -fopenmp -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LDFLAGS) $(EXPORT) $(LIBS)

$(B)/bin/rn-bench: $(BENCH_SRC:%.c=$(B)/%.o) $(B)/librnkernels.a $(B)/librnkit.a
	$(LINK)

$(TOOL_BIN): $(B)/bin/%: $(B)/tools/%.o $(B)/librnkernels.a $(B)/librnkit.a
	$(LINK)

# What rn-bench is made of can be tested, too.
$(filter $(B)/tests/unit/test_bench%,$(UNIT_BIN)): $(filter-out %/rn_bench.o,$(BENCH_SRC:%.c=$(B)/%.o))

$(B)/tests/unit/test_check: $(filter-out %/check_main.o,$(CHECK_SRC:%.c=$(B)/%.o))
$(B)/tests/unit/test_amx: $(B)/tests/kernels/amx_emulate.o $(B)/tests/kernels/amx_sites.o
$(UNIT_BIN): $(B)/tests/%: $(B)/tests/%.o $(B)/librnkernels.a $(B)/librnkit.a
	@mkdir -p $(@D)
	$(call SAY,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -fopenmp -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LDFLAGS) -lcmocka $(EXPORT) $(LIBS)

# Without sanitizers: the program that loads it brings their runtime, the MPI library knows nothing of it.
$(B)/lib/rnkit/rnkit_mpi.so: $(MPI_SRC)
	@mkdir -p $(@D)
	$(call SAY,LD,$@)
	$(Q)$(CC) $(filter-out --coverage -fsanitize=% -fno-sanitize-recover=%,$(BASE_CFLAGS)) $(MPI_CFLAGS) $(CFLAGS) \
	  -MMD -MP -MT $@ -MF $(@:.so=.d) -shared -fPIC -o $@ $(MPI_SRC) $(LDFLAGS) $(MPI_LIBS)

NVCC_FLAGS = -std=c++17 -O3 -lineinfo -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra $(if $(filter 1,$(WERROR)),-Werror all-warnings) \
  -Ilibcore -I. $(foreach a,$(CUDA_ARCH),-gencode arch=compute_$(a),code=sm_$(a)) \
  -gencode arch=compute_$(patsubst %a,%,$(lastword $(CUDA_ARCH))),code=compute_$(patsubst %a,%,$(lastword $(CUDA_ARCH)))
$(CUDA_SRC:%.cu=$(B)/%.o) $(CUDNN_SRC:%.cu=$(B)/%.o) $(B)/tests/cuda/check_cudnn_plans.o: $(B)/%.o: %.cu
	@mkdir -p $(@D)
	$(call SAY,NVCC,$<)
	$(Q)$(NVCC) $(NVCC_FLAGS) $(NVCCFLAGS) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<
$(B)/lib/rnkit/rnkit_cuda.so: $(CUDA_SRC:%.cu=$(B)/%.o) $(CUDNN_SRC:%.cu=$(B)/%.o)
	@mkdir -p $(@D)
	$(call SAY,LD,$@)
	$(Q)$(NVCC) -shared -o $@ $^
$(B)/tests/cuda/check-cudnn-plans: $(B)/tests/cuda/check_cudnn_plans.o $(CUDNN_PLAN_OBJ) $(B)/librnkit.a
	$(call SAY,LD,$@)
	$(Q)$(NVCC) -o $@ $^ $(filter -l% -L%,$(LIBS))

# The emulated device's headers stand where the toolkit's would.
EMULATE_SRC := $(filter-out tests/cuda/emulate_check%,$(sort $(wildcard tests/cuda/emulate*.cpp)))
EMULATED_OBJ := $(CUDA_SRC:kernels/cuda/%.cu=$(B)/tests/cuda/%.o) $(EMULATE_SRC:%.cpp=$(B)/%.o)
EMULATED_FLAGS = -std=c++17 -DRN_CUDA_EMULATED -O1 -g1 -fPIC -fvisibility=hidden -ffp-contract=off -Wall -Wextra \
  -Wno-unknown-pragmas -Wno-psabi $(if $(filter 1,$(WERROR)),-Werror) -Itests/cuda -Ilibcore -I.
$(B)/tests/cuda/%.o: kernels/cuda/%.cu
	@mkdir -p $(@D)
	$(call SAY,CXX,$<)
	$(Q)$(CXX) $(EMULATED_FLAGS) -MMD -MP -c -o $@ -x c++ $<
$(EMULATE_SRC:%.cpp=$(B)/%.o): $(B)/tests/cuda/%.o: tests/cuda/%.cpp
	@mkdir -p $(@D)
	$(call SAY,CXX,$<)
	$(Q)$(CXX) $(EMULATED_FLAGS) -MMD -MP -c -o $@ $<
$(B)/tests/cuda/nccl_emulated.so $(B)/tests/cuda/cublaslt_emulated.so: $(B)/tests/cuda/%.so: tests/cuda/%.cpp
	@mkdir -p $(@D)
	$(call SAY,CXX,$<)
	$(Q)$(CXX) $(EMULATED_FLAGS) -MMD -MP -MT $@ -MF $(@:.so=.d) -shared -o $@ $< -ldl
$(B)/tests/cuda/libnvidia-ml.so.1: tests/cuda/nvml_emulated.c
	@mkdir -p $(@D)
	$(call SAY,LD,$@)
	$(Q)$(CC) $(filter-out --coverage,$(BASE_CFLAGS)) -shared -fPIC -o $@ $<
# A folder of its own: nothing but check-cudnn-plans is to find it.
$(B)/tests/cuda/driver/libcuda.so.1: tests/cuda/driver_absent.c
	@mkdir -p $(@D)
	$(call SAY,LD,$@)
	$(Q)$(CC) $(filter-out --coverage -fsanitize=% -fno-sanitize-recover=%,$(BASE_CFLAGS)) -shared -fPIC -o $@ $<
# A kernel with one mistake at a time, which the emulated device must find.
$(B)/tests/cuda/check_async.o: tests/cuda/check_async.cpp
	@mkdir -p $(@D)
	$(call SAY,CXX,$<)
	$(Q)$(CXX) $(EMULATED_FLAGS) -MMD -MP -c -o $@ $<
$(B)/tests/cuda/check-async: $(B)/tests/cuda/check_async.o $(EMULATE_SRC:%.cpp=$(B)/%.o) $(B)/tests/cuda/cuda_tensor_map.o $(B)/librnkit.a
	$(call SAY,LD,$@)
	$(Q)$(CXX) -o $@ $^ $(LDFLAGS) $(LIBS)
$(B)/tests/cuda/rnkit_cuda_emulated.so: $(EMULATED_OBJ)
	$(call SAY,LD,$@)
	$(Q)$(CXX) -shared -o $@ $^

# Once more, so that each access to memory calls the checker (tests/cuda/emulate_check.h).
CHECKED_OBJ := $(CUDA_SRC:kernels/cuda/%.cu=$(B)/tests/cuda/checked/%.o)
CHECKER_OBJ := $(patsubst tests/cuda/%.cpp,$(B)/tests/cuda/checked/%.o,$(wildcard tests/cuda/emulate*.cpp))
CHECKED_FLAGS = $(EMULATED_FLAGS) -DRN_EMU_CHECKED -MMD -MP
CHECKED_CXX = $(if $(findstring clang,$(CXX)),g++,$(CXX)) # whose calls the checker knows
CHECKED_SAN = -fsanitize=thread,undefined -fno-sanitize=vptr,nonnull-attribute -fno-sanitize-recover=all
$(CHECKED_OBJ): $(B)/tests/cuda/checked/%.o: kernels/cuda/%.cu
	@mkdir -p $(@D)
	$(call SAY,CXX,$<)
	$(Q)$(CHECKED_CXX) $(CHECKED_FLAGS) $(CHECKED_SAN) -c -o $@ -x c++ $<
$(CHECKER_OBJ): $(B)/tests/cuda/checked/%.o: tests/cuda/%.cpp
	@mkdir -p $(@D)
	$(call SAY,CXX,$<)
	$(Q)$(CHECKED_CXX) $(CHECKED_FLAGS) -O2 -c -o $@ $<
$(B)/tests/cuda/rnkit_cuda_checked.so: $(CHECKED_OBJ) $(CHECKER_OBJ)
	$(call SAY,LD,$@)
	$(Q)$(CXX) -shared -o $@ $^
# Kernels that are wrong, which the checker must find.
$(B)/tests/cuda/checked/check_races.o: tests/cuda/check_races.cpp
	@mkdir -p $(@D)
	$(call SAY,CXX,$<)
	$(Q)$(CHECKED_CXX) $(CHECKED_FLAGS) $(CHECKED_SAN) -c -o $@ $<
$(B)/tests/cuda/check-races: $(B)/tests/cuda/checked/check_races.o $(CHECKER_OBJ)
	$(call SAY,LD,$@)
	$(Q)$(CXX) -o $@ $^

$(B)/tests/fault/fault.so: tests/fault/fault.c
	@mkdir -p $(@D)
	$(call SAY,LD,$@)
	$(Q)$(CC) $(filter-out --coverage,$(BASE_CFLAGS)) -shared -fPIC -o $@ $< -ldl

$(FUZZ_BIN): $(B)/tests/%: $(B)/tests/%.o $(B)/tests/fuzz/driver.o $(B)/librnkit.a
	$(LINK)

$(LIBFUZZER_BIN): $(B)/fuzz/%: $(B)/tests/fuzz/%.o $(B)/librnkit.a
	@mkdir -p $(@D)
	$(call SAY,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LDFLAGS) $(LIBS)

$(B)/tests/check-kernels: $(CHECK_SRC:%.c=$(B)/%.o) $(B)/librnkernels.a $(B)/librnkit.a
	$(LINK)

-include $(C_SRC:%.c=$(B)/%.d) $(MPI_SO:.so=.d) $(CUDA_SRC:%.cu=$(B)/%.d) $(CUDNN_SRC:%.cu=$(B)/%.d) $(B)/tests/cuda/check_cudnn_plans.d $(EMULATED_OBJ:.o=.d) $(B)/tests/cuda/check_async.d $(EMULATED_SO:.so=.d) $(CHECKED_OBJ:.o=.d) $(CHECKER_OBJ:.o=.d) $(B)/tests/cuda/checked/check_races.d

# ---- packages: install what is missing, or say how -----------------------------------------------------------
# A word a/b means either package will do (Debian|Ubuntu).
define INSTALL
	@tests/deps.sh $(1)
endef

deps: ## install with apt what the build, the demo and the tests need (or print the command)
	$(call INSTALL,$(DEPS_BUILD) $(DEPS_RUN))

deps-lint: deps ## install what `make lint` and `make coverage` need
	$(call INSTALL,$(DEPS_LINT) $(DEPS_COVERAGE))

# ---- tests ------------------------------------------------------------------------------------------------
# With SAN=thread only the programs named above; everything else of a sanitizer run is as always.
ifneq ($(findstring thread,$(SAN)),)
TESTS ?= $(notdir $(UNIT_SRC:.c=))
endif

# Not among the tests: CI builds those with two compilers, and this one is needed once. test_cuda_races is skipped without it.
checked: $(if $(SAN),,$(B)/tests/cuda/rnkit_cuda_checked.so $(B)/tests/cuda/check-races) ## build the emulated device that looks for races
.PHONY: checked

check: deps ## install, build, run all CPU tests (at most 10 minutes on 2 cores)
	@$(MAKE) -j$(JOBS) tests checked
	@$(MAKE) check-run

# TESTS='glob ...' selects programs by name, e.g. make check TESTS='test_opt *extract*'
check-run: tests
	@tests/run.sh $(B) $(TESTS)

# ---- housekeeping -------------------------------------------------------------------------------------------
install: all man ## install the tools and man pages under PREFIX (default /usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(TOOL_BIN) $(BENCH_BIN) $(DESTDIR)$(PREFIX)/bin
	$(if $(MPI_SO)$(CUDA_SO),install -d $(DESTDIR)$(PREFIX)/lib/rnkit && install -m 755 $(MPI_SO) $(CUDA_SO) $(DESTDIR)$(PREFIX)/lib/rnkit)
	install -m 644 $(B)/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1

# Made from the tools' own --help, so that they cannot differ from it.
man: $(B)/man/.made ## write the man pages, build/*/man/*.1, from the tools' --help
$(B)/man/.made: $(TOOL_BIN) $(BENCH_BIN) docs/man/make.sh docs/man/man.awk
	@docs/man/make.sh $(B)/bin $(B)/man && touch $@

# A sanitizer run of the C tests alone, less tests/golden: what whole models and the shell tests add is time. Of check-kernels'
# cases a part, of every algorithm, direction and instruction set some.
check-san: ## build and run the C tests with the address and undefined behaviour sanitizers
	@$(MAKE) -j$(JOBS) SAN=address,undefined unit
	@$(MAKE) SAN=address,undefined check-unit

check-tsan: ## build and run the tests of our own threads with the thread sanitizer
	@$(MAKE) -j$(JOBS) SAN=thread unit
	@$(MAKE) SAN=thread check-unit

unit: $(UNIT_BIN) $(if $(findstring thread,$(SAN)),,$(FUZZ_BIN) $(CHECK_BIN))
check-unit: unit
	@EVERY=25 RNKIT_KIND=c tests/run.sh $(B) $(notdir $(patsubst %.c,%,$(filter-out tests/golden/%,$(UNIT_SRC)) $(if $(findstring thread,$(SAN)),,$(FUZZ_SRC)))) \
	  $(if $(findstring thread,$(SAN)),,$(notdir $(CHECK_BIN)))

# libFuzzer comes with clang. What it finds goes into tests/fuzz/corpus/NAME, where every make check tries it again.
FUZZ_SAN := CC=clang SAN=address,undefined,fuzzer-no-link
FUZZ_JOBS ?= 1
fuzz: deps-lint ## build the fuzz targets with libFuzzer and sanitizers
	@$(MAKE) -j$(JOBS) $(FUZZ_SAN) fuzz-bin
fuzz-bin: $(LIBFUZZER_BIN)

fuzz-check: $(FUZZ_BIN) ## run the fuzz targets' seeds and some thousand mutations of them (part of make check)
	@tests/run.sh $(B) $(notdir $(FUZZ_BIN))

fuzz-run: fuzz ## FUZZ=archive [SECONDS=60]: fuzz one target; inputs that break it land in out/fuzz/
	@[ -f tests/fuzz/fuzz_$(FUZZ).c ] || { echo "usage: make fuzz-run FUZZ=$(subst $() ,|,$(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SRC))) [SECONDS=60]" >&2; exit 2; }
	@$(MAKE) $(FUZZ_SAN) FUZZ=$(FUZZ) SECONDS=$(or $(SECONDS),60) fuzz-one
fuzz-one:
	@mkdir -p out/fuzz/$(FUZZ)
	@ASAN_OPTIONS=allocator_may_return_null=1 $(B)/fuzz/fuzz_$(FUZZ) -max_total_time=$(SECONDS) -timeout=20 \
	  -rss_limit_mb=2048 -artifact_prefix=out/fuzz/$(FUZZ)- -print_final_stats=1 out/fuzz/$(FUZZ) tests/fuzz/corpus/$(FUZZ)

coverage: deps-lint ## run the tests with coverage counters: a summary, and out/coverage.html
	@$(MAKE) -j$(JOBS) CC=gcc COVERAGE=1 tests
	@$(MAKE) CC=gcc COVERAGE=1 coverage-run

.PHONY: check-san check-tsan unit check-unit fuzz fuzz-bin fuzz-check fuzz-run fuzz-one coverage-run golden-help
# Not stopped by a failing test: under a file-size limit the counters cannot be written, and gcov says so on stderr.
coverage-run: tests
	@tests/run.sh $(B) $(TESTS) || echo "coverage: not every test passed; make check is the gate, this only counts lines"
	@mkdir -p out
	gcovr --root . --object-directory $(B) --filter 'libcore/|kernels/|tools/|bench/' --exclude-throw-branches \
	  --gcov-ignore-parse-errors --html-details out/coverage.html --txt out/coverage.txt --print-summary
	@echo "by line: out/coverage.html; by file: out/coverage.txt"

check-long: deps ## what make check does, with more seeds for the kernels and more kills on the way
	@$(MAKE) -j$(JOBS) tests checked
	@RNKIT_LONG=1 $(MAKE) check-run
	@for seed in 11 12 13 14 15; do $(B)/tests/check-kernels --seed $$seed | grep -v '^ok' || exit 1; done

# Without a GPU: what a module with CUDA calls is there, and cuDNN makes the plans that it will be asked for.
check-modules: all $(CHECK_BIN) $(CUDNN_BIN) ## check what CUDA=1 has built as far as that goes without a GPU
	@tests/run.sh $(B) test_modules test_cudnn

check-cuda: tests ## the same checks on a GPU: make CUDA=1 check-cuda (exit 77 without one)
	@tests/check_cuda.sh $(B)

bench: ## time this machine's peak and the convolutions of ResNet-18 beside oneDNN [OUT=out/bench]
	@$(MAKE) -j$(JOBS) all
	@mkdir -p $(or $(OUT),out/bench)
	@bin/rn-bench peak
	@bin/rn-bench conv --net resnet18-128 --mb 64 --rounds 5 | tee $(or $(OUT),out/bench)/resnet18-128.txt

bench-data: ## verify, extract, pack, load beside today's tools, interleaved, about 1 hour [OUT=out/bench-data ROUNDS=7 ROWS=.. PYTHON=..]
	$(call INSTALL,$(DEPS_BUILD) $(DEPS_BENCH))
	@$(MAKE) -j$(JOBS) all
	@bench/data.sh $(or $(OUT),out/bench-data)

bench-accuracy: ## the same recipes with PyTorch beside rn-train, three seeds each, some hours; goes on where it was [OUT=.. SEEDS=.. ROWS=.. PYTHON=..]
	$(call INSTALL,$(DEPS_BUILD) $(DEPS_BENCH))
	@$(MAKE) -j$(JOBS) all
	@bench/accuracy.sh $(or $(OUT),out/bench-accuracy)

bench-step: ## convolutions beside oneDNN's and whole training steps beside PyTorch's, about 12 minutes; goes on where it was [OUT=.. PIECES=.. PYTHON=.. END_TO_END=1]
	$(call INSTALL,$(DEPS_BUILD) $(DEPS_BENCH))
	@$(MAKE) -j$(JOBS) all
	@bench/step.sh $(or $(OUT),out/bench-step)

bench-cuda: ## on a GPU: convolutions beside cuDNN's, whole steps beside PyTorch's; goes on where it was; exit 77 without one [OUT=.. PIECES=.. PYTHON=.. END_TO_END=1]
	$(call INSTALL,$(DEPS_BUILD) $(DEPS_BENCH))
	@$(MAKE) -j$(JOBS) CUDA=1 all
	@DEVICE=cuda bench/step.sh $(or $(OUT),out/bench-cuda)

golden-help: all ## rewrite tests/cli/expected/*.help from the tools' --help (then read the diff)
	@mkdir -p tests/cli/expected
	@for t in $(HELP_TOOLS); do $(B)/bin/$$t --help >tests/cli/expected/$$t.help || exit 1; done
HELP_TOOLS := ilsvrc-verify ilsvrc-extract pack-lmdb rn-train rn-bench

# ---- lint -------------------------------------------------------------------------------------------------
lint: deps-lint ## clang-format, clang-tidy, cppcheck, shellcheck and the rooms' rules; any finding fails
	@$(MAKE) -k -j$(JOBS) CC=clang lint-run

LINT_H := $(sort $(wildcard libcore/*/*.h libcore/*/*/*.h kernels/*.h kernels/*/*.h bench/*.h tools/*.h tests/*/*.h))
LINT_C := $(C_SRC)
LINT_SH := .ci/run $(sort $(wildcard bench/*.sh bench/*/*.sh datasets/*.sh docs/*/*.sh tests/*.sh tests/*/*.sh))
TIDY_FLAGS = $(filter-out -O2 -g $(WARN),$(BASE_CFLAGS)) $(patsubst -I%,-isystem %,$(PKG_CFLAGS) $(MPI_CFLAGS)) -isystem $(B)/gen
LINT_JOBS := $(addprefix lint-,format words shell rooms cppcheck) $(LINT_C:%.c=$(B)/lint/%.tidy)
.PHONY: $(filter lint-%,$(LINT_JOBS))

lint-run: $(LINT_JOBS)
	@echo "lint: $(words $(LINT_C)) C files, $(words $(LINT_H)) headers, $(words $(LINT_SH)) scripts: nothing to complain about"

lint-format:
	@clang-format --dry-run -Werror $(LINT_C) $(LINT_H)
	@for f in $(LINT_C) $(LINT_H) $(LINT_SH); do head -2 $$f | grep -q 'SPDX-License-Identifier: MIT' || { echo "$$f: no SPDX line"; exit 1; }; done

# Number parsers that take a typo for a zero, and writers that know no bound.
lint-words:
	@! grep -nE '\<(atoi|atol|atoll|atof|gets|sprintf|vsprintf|strcat)\(' $(filter-out tests/%,$(LINT_C)) /dev/null

lint-shell:
	@shellcheck --severity=warning --exclude=SC1090,SC1091 $(LINT_SH)

lint-rooms:
	@tests/rooms.sh

lint-cppcheck: | $(GEN_H)
	@mkdir -p $(B)/lint/cppcheck
	@cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr --enable=warning,performance,portability \
	  --suppressions-list=.cppcheck --cppcheck-build-dir=$(B)/lint/cppcheck \
	  -D_GNU_SOURCE -D__x86_64__ -Ilibcore -I. --library=posix $(LINT_C)

# One stamp a file: a second run looks only at what changed (or at everything, when a header did).
$(B)/lint/%.tidy: %.c $(LINT_H) .clang-tidy | $(GEN_H) $(B)/gen/bench_shapes.inc $(B)/gen/rn_manifest_ilsvrc2012.inc
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- $(TIDY_FLAGS) $(if $(findstring kernels/cpu/,$<),-fopenmp) $(ISA) 2>$@.err || { cat $@.err >&2; exit 1; }
	@mv $@.err $@

format: ## rewrite the C files with clang-format
	clang-format -i $(LINT_C) $(LINT_H)

clean: ## remove build/ and bin
	rm -rf build bin

help: ## this list
	@echo "rnkit: from the ILSVRC2012 tarballs to a trained, evaluated and benchmarked ResNet, in C."
	@echo; echo "Targets:"
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{printf "%-13s %s\n", $$1, $$2}'
	@echo; echo "Variables:  CC=gcc|clang  WERROR=0|1  SAN=address,undefined|thread  COVERAGE=0|1  ONEDNN=auto|0|1|/PREFIX  MPI=auto|0|1  PREFIX=DIR  RNKIT_DATA=DIR  V=0|1"

# ---- the two ways through everything ----------------------------------------------------------------------------
demo: deps ## Fashion-MNIST from archives to a trained ResNet and a report, about 5 minutes [OUT=out/demo]
	@$(MAKE) -j$(JOBS) all
	@datasets/pipeline.sh demo $(or $(OUT),out/demo)

reproduce: deps ## DATASET=name RAW=dir [OUT=dir]: verify, pack, train, evaluate, report; resumes [RECIPE=recipes/x.recipe PLAN=1: only tell]
	@[ -n "$(DATASET)" ] && [ -n "$(RAW)" ] || { echo "usage: make reproduce DATASET=name RAW=folder-with-the-archives [OUT=folder] [PLAN=1]" >&2; exit 2; }
	@$(MAKE) -j$(JOBS) all
	@RECIPE="$(RECIPE)" datasets/pipeline.sh $(if $(filter-out 0,$(PLAN)),plan,reproduce) "$(DATASET)" "$(RAW)" "$(or $(OUT),out/$(DATASET))"

study: deps ## STUDY=lr-policies DATASET=name RAW=dir [OUT=dir]: a training for each line of the study, one page that compares them; resumes [PLAN=1]
	@[ -n "$(STUDY)" ] && [ -n "$(DATASET)" ] && [ -n "$(RAW)" ] || { echo "usage: make study STUDY=lr-policies DATASET=imagenette RAW=folder-with-the-archives [OUT=folder] [PLAN=1]" >&2; exit 2; }
	@$(MAKE) -j$(JOBS) all
	@RECIPE="$(RECIPE)" datasets/pipeline.sh $(if $(filter-out 0,$(PLAN)),plan-study,study) "$(STUDY)" "$(DATASET)" "$(RAW)" "$(or $(OUT),out/$(DATASET))"

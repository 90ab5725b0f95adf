# Everything here only drives meson and ninja; CONTRIBUTING.md says how to use them directly.
# On a fresh Debian each target first installs what it lacks (scripts/setup): git, make and a C compiler suffice.

MIG_ABI ?= auto
PREFIX ?= /usr/local
DIR ?= /usr/include
SECONDS ?= 600
POINTS ?= 10000
WORKLOAD ?= all
CALLS ?= 0
SEED ?=
FRAMES ?= 1000000
FUZZ_SECONDS ?= 60
FUZZ ?=
BENCH ?=
CONTEST ?=
RESULTS ?=

layouts := lp64 packed4
# For the layouts that need it; without one their tests with stubs are skipped, and say so.
fetch_mig = ./scripts/fetch-lp64-mig || true

.PHONY: all help setup demo check bench bench-docs graph-docs sanitize stress soak fuzz fuzz-corpus hostile kill failing models install format format-check clean

all: setup-build
	@ninja -C "$$(./scripts/configure release $(MIG_ABI))"

help:
	@echo "make                             build the library and the programs (build/release-*)"
	@echo "make demo [DIR=/usr/include]     serve DIR over Mach ports to four processes and compare every byte"
	@echo "make check                       build and run every test, in both message layouts"
	@echo "make install PREFIX=... [MIG_ABI=lp64|packed4|auto] [DESTDIR=...]"
	@echo "make bench [BENCH=rows] [CONTEST=works]  measure speed and memory against what Linux offers"
	@echo "make bench-docs [RESULTS=file]   the same, and the tables and plots in docs/performance.md made anew from it"
	@echo "make graph-docs                  the picture of portunus graph in docs/images made anew"
	@echo "make sanitize                    every test under ASan+UBSan, then under TSan, in both layouts"
	@echo "make stress [SECONDS=600] [SEED=] many threads, ports, deaths; rights and memory must balance"
	@echo "make soak [SECONDS=600] [SEED=]  twenty processes that do everything and are killed, the broker too; all must balance"
	@echo "make fuzz [FUZZ_SECONDS=60] [FUZZ=names] each fuzzer of tests/fuzz so long, under ASan+UBSan; make fuzz-corpus keeps what it found"
	@echo "make models                      search the models of the link protocols for larger numbers than make check does"
	@echo "make kill [POINTS=10000] [WORKLOAD=all] [SEED=] processes killed at so many points of each workload; all must balance"
	@echo "make failing [CALLS=0] [WORKLOAD=all] [SEED=] each call of the host's fails in turn, or so many of them; all must balance"
	@echo "make hostile [FRAMES=1000000] [SEED=] peers that break the rules of links, under ASan+UBSan"
	@echo "make format, make format-check   lay the sources out with clang-format, or say what it would change"
	@echo "make setup                       install what the other targets need (Debian)"
	@echo "make clean                       remove the builds (the fetched MIG stays)"
	@echo "MIG_ABI=lp64|packed4 chooses the message layout where one build is made; auto: what the installed MIG emits"

.PHONY: setup setup-build setup-test setup-fuzz setup-install setup-bench
setup-build:
	@./scripts/setup build
	@[ "$(MIG_ABI)" != lp64 ] || $(fetch_mig)
setup-bench:
	@./scripts/setup bench
	@[ "$(MIG_ABI)" != lp64 ] || $(fetch_mig)
setup-install:
	@./scripts/setup install
	@[ "$(MIG_ABI)" != lp64 ] || $(fetch_mig)
setup-test:
	@./scripts/setup test
	@$(fetch_mig)
setup-fuzz:
	@./scripts/setup test fuzz
	@$(fetch_mig)
setup: setup-test setup-install

demo: setup-build
	@./scripts/demo "$(MIG_ABI)" "$(DIR)"

check: setup-test
	@./scripts/run-tests $(addprefix test:,$(layouts))

sanitize: setup-test
	@./scripts/run-tests -t 8 $(addprefix asan:,$(layouts)) $(addprefix tsan:,$(layouts))

# All rows and the whole matrix, unless some are named.
bench: setup-bench
	@[ -n "$(CONTEST)" ] && [ -z "$(BENCH)" ] || ./scripts/bench rows "$(MIG_ABI)" $(BENCH)
	@[ -n "$(BENCH)" ] && [ -z "$(CONTEST)" ] || ./scripts/bench contest "$(MIG_ABI)" $(CONTEST)

bench-docs: setup-bench
	@[ -n "$(RESULTS)" ] || ./scripts/bench contest "$(MIG_ABI)" $(CONTEST)
	@./scripts/bench-report --docs docs "$(or $(RESULTS),build/contest.json)"

graph-docs: setup-test
	@./scripts/graph-picture "$(MIG_ABI)" docs/images/graph.svg

stress: setup-test
	@./scripts/campaign test stress/stress "$(MIG_ABI)" "$(SECONDS)" $(SEED)

soak: setup-test
	@./scripts/soak "$(MIG_ABI)" "$(SECONDS)" $(SEED)

fuzz: setup-fuzz
	@./scripts/fuzz "$(FUZZ_SECONDS)" $(FUZZ)

fuzz-corpus: setup-fuzz
	@./scripts/fuzz merge $(FUZZ)

models: setup-test
	@./tests/model/check tests/model/wake.pml clean -DFRAMES=3 -DROOM=2 -DDEATHS
	@./tests/model/check tests/model/migrate.pml clean -DMESSAGES=2 -DDEATHS=2

kill: setup-test
	@./scripts/campaign test faults/kill "$(MIG_ABI)" "$(WORKLOAD)" "$(POINTS)" $(SEED)

failing: setup-test
	@./scripts/campaign test faults/failing "$(MIG_ABI)" "$(WORKLOAD)" "$(CALLS)" $(SEED)

hostile: setup-test
	@./scripts/hostile "$(MIG_ABI)" "$(FRAMES)" $(SEED)

install: setup-install
	@./scripts/install "$(MIG_ABI)" "$(PREFIX)"

format:
	@./scripts/format

format-check:
	@./scripts/format --check

clean:
	@for dir in build/*; do [ "$$dir" = build/tools ] || rm -rf "$$dir"; done

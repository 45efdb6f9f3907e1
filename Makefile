# make try    a bundle's way on a host, with two committed bundles in a scratch directory: no root, no lab, no network
# make demo   the whole story on real parts, for a newcomer
# make test   everything that must hold; installs what it needs
# make help   all targets
#
# Both say which Debian packages they need before they install them. The lab (roots and kernels from Debian) is made
# once and kept in a cache directory: tests/lab/README.md.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

CARGO ?= cargo
TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
HOST_TRIPLE := $(shell rustc -vV | sed -n 's/^host: //p')
LAB := tests/lab/lab.sh
HOSTS := tests/lab/hosts.sh

export STAP_BUNDLE_FARM := $(TARGET_DIR)/release/stap-bundle
export STAP_BUNDLE_HOST := $(TARGET_DIR)/$(HOST_TRIPLE)/release/stap-bundle

.PHONY: help packages farm host programs lab hosts try demo test test-long fuzz check quick without-crash tar-readers large-members lab-tests machine-tests lab-cold bench bench-build bench-start bench-config man install deny clean crash every-error examples older same-again broken-trees bash-differential upgrade

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile
	@echo 'make farm   the full program, target/release/stap-bundle'
	@echo 'make host   the static host program without the build side'
	@echo 'make test-long  what takes too long for every day: members of 8 GiB, ten minutes of each fuzz target, a cold build, 200 examples, an older systemtap, every fixture twice, every broken build tree, an error at every system call, a machine upgraded from 0.1.0'
	@echo 'make fuzz   fuzz targets, FUZZ_SECONDS each (needs nightly Rust; brings cargo-fuzz if it is not there)'
	@echo 'make crash  the installer killed at every system call, and failed at every sixteenth'
	@echo 'make quick  unit tests and command-line conversations; needs root, no lab'
	@echo 'make bench  sizes, times and memory on real modules, against targets; the first run compiles for half an hour'
	@echo 'make man    manual pages, target/man'
	@echo 'make install DESTDIR=DIR  program, units, init script, manual pages and the rest: packaging/README.md'
	@echo 'make bench-build   how long an unchanged build of 6,000 cells takes, stand-in modules of 64 KiB'
	@echo 'make bench-start MODULES=DIR   how long start, status and stop of 50 scripts take, with a stand-in for staprun'
	@echo 'make bench-config  how long `config check` takes on a large configuration'
	@echo 'make deny   licences, advisories and bans of all dependencies (needs cargo-deny)'

packages: packages-all
packages-%:
	@tests/packages.sh $*

farm: packages-build
	$(CARGO) build --release -p stap-bundle

# Fully static: an air-gapped host needs nothing but the file. The target is named so that the flag doesn't reach
# procedural macros, which are shared objects.
host: packages-build
	RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --release -p stap-bundle \
		--no-default-features --features host --target $(HOST_TRIPLE)

lab: packages-lab
	@bash $(LAB) make

# File systems that boot, for the tests that start the product as a machine's init does.
hosts: lab
	@bash $(HOSTS) make

# The lab comes over the network while the compiler works.
programs: farm
	@$(MAKE) --no-print-directory host

try: host
	@fixtures/try/try.sh "$(STAP_BUNDLE_HOST)"

demo: packages-lab
	@$(MAKE) --no-print-directory -j2 lab programs
	@$(CARGO) run --quiet -p end-to-end --bin demo

# Prints the minutes of each tier; a tier that can't run fails.
test:
	@tests/tiers.sh

# Prints one table and ends with 1 if a target is missed: docs/design/measurements.md.
bench: packages
	@$(MAKE) --no-print-directory -j2 lab farm
	@$(CARGO) run --release --quiet -p end-to-end --bin bench

check: packages-quick
	@tests/rooms.py
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --features end-to-end/lab,end-to-end/lab-long,builder/lab-tests,builder/lab-long -- -D warnings
	$(CARGO) clippy -p stap-bundle --no-default-features --features host -- -D warnings

# Half the time of these tests is a disk's syncs; what they prove is the order of system calls. `power_cut` has the disk.
IN_MEMORY := $(shell [ "$$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 4000000 ] 2>/dev/null && echo TMPDIR=/dev/shm)

# Some tests wait: for another process, for a file to be old enough. So more of them at once than processors.
quick: packages-quick
	$(IN_MEMORY) RUST_TEST_THREADS=4 $(CARGO) test --workspace -- $(SKIPPED)

# What `crash` does at more calls than a plain `cargo test`.
without-crash: SKIPPED := --skip crash::e1 --skip crash::e2 --skip e1_a_compile_killed --skip e2_an_error_of_any_system_call --skip e1_an_adoption_killed
without-crash: quick

# With --workspace nothing is compiled again that `quick` has made.
# The installer and a compile on a host are killed at each of their system calls, and each sixteenth one is made to fail.
crash: packages-quick
	$(IN_MEMORY) STAP_BUNDLE_EVERY_CALL=1 $(CARGO) test --workspace --test local_switch e1
	$(IN_MEMORY) STAP_BUNDLE_EVERY_CALL=16 $(CARGO) test --workspace --test local_switch e2
	$(IN_MEMORY) STAP_BUNDLE_EVERY_CALL=1 $(CARGO) test --workspace --test conversations crash::e1
	$(IN_MEMORY) STAP_BUNDLE_EVERY_CALL=16 $(CARGO) test --workspace --test conversations crash::e2

# Each one.
every-error: packages-quick
	$(IN_MEMORY) STAP_BUNDLE_EVERY_CALL=1 $(CARGO) test --workspace --test local_switch e2
	$(IN_MEMORY) STAP_BUNDLE_EVERY_CALL=1 $(CARGO) test --workspace --test conversations crash::e2

# Thousands of generated bundles against GNU tar, bsdtar and Python; each of them must be there.
tar-readers: packages-quick
	STAP_BUNDLE_TAR_BUNDLES=3000 $(CARGO) test --workspace --test tar_differential

large-members: packages-build
	$(CARGO) test --release -p bundle-format --test large_members -- --include-ignored

FUZZ_SECONDS ?= 600
FUZZ_TOOLS := $(TARGET_DIR)/tools
FUZZ_TARGETS ?= $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))

# What is found new goes to fuzz/found, so that the corpus stays as its program makes it.
fuzz: packages-build
	@command -v cargo-fuzz >/dev/null || test -x "$(FUZZ_TOOLS)/bin/cargo-fuzz" || \
		$(CARGO) install cargo-fuzz --locked --root "$(FUZZ_TOOLS)"
	@export PATH="$(FUZZ_TOOLS)/bin:$$PATH"; for target in $(FUZZ_TARGETS); do \
		mkdir -p "fuzz/found/$$target"; \
		$(CARGO) +nightly fuzz run "$$target" "fuzz/found/$$target" "fuzz/corpus/$$target" -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=65536 -print_final_stats=1; \
	done

test-long: large-members every-error fuzz lab-cold examples older same-again broken-trees bash-differential upgrade

# Ten times as many generated configuration files, against the real bash.
bash-differential:
	STAP_BUNDLE_BASH_FILES=52000 $(CARGO) test -p script-config --test bash_differential

# The examples that SystemTap publishes, against the lists of those that are known to compile: without debuginfo, and with it. A machine
# shows data of twenty.
examples: packages farm host lab
	STAP_BUNDLE_LAB="$$(bash $(LAB) path)" $(CARGO) test -p end-to-end --features lab-long --test examples -- --nocapture

# All of them: those that `make test` leaves out take a minute of a core each.
broken-trees: farm lab
	STAP_BUNDLE_LAB="$$(bash $(LAB) path)" STAP_BUNDLE_EVERY_TREE=1 $(CARGO) test -p end-to-end --features lab --test broken_trees -- --nocapture

# All fixtures for all kernels of the lab, twice, and once by a full scan.
same-again: farm lab
	STAP_BUNDLE_LAB="$$(bash $(LAB) path)" $(CARGO) test -p end-to-end --features lab-long --test same_again -- --nocapture

# A systemtap that can't do everything, and two sysroots in one build.
older: farm lab
	@bash tests/lab/older-root.sh make
	STAP_BUNDLE_LAB="$$(bash $(LAB) path)" $(CARGO) test -p end-to-end --features lab-long --test older_systemtap -- --nocapture

# A machine over three versions: 0.1.0, from this repository's history, this one, and one whose state is newer.
FIRST := 80f89c4
FIRST_TREE := $(TARGET_DIR)/first
STATIC := RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build -p stap-bundle --target $(HOST_TRIPLE)
upgrade: farm host lab
	rm -rf "$(FIRST_TREE)/tree" && mkdir -p "$(FIRST_TREE)/tree"
	git archive $(FIRST) | tar -x -C "$(FIRST_TREE)/tree"
	cd "$(FIRST_TREE)/tree" && CARGO_TARGET_DIR="$(FIRST_TREE)/target" $(STATIC) --no-default-features --features host --release
	$(STATIC) --features next-state --example next-version
	STAP_BUNDLE_FIRST="$(FIRST_TREE)/target/$(HOST_TRIPLE)/release/stap-bundle" \
		STAP_BUNDLE_NEXT="$(TARGET_DIR)/$(HOST_TRIPLE)/debug/examples/next-version" \
		STAP_BUNDLE_LAB="$$(bash $(LAB) path)" $(CARGO) test -p end-to-end --features lab-long --test upgraded_host -- --nocapture

# What a cold build costs: half an hour of a core.
lab-cold: lab
	STAP_BUNDLE_LAB="$$(bash $(LAB) path)" $(CARGO) test -p builder --features lab-long --test lab_cold -- --nocapture --test-threads=1

# Tests that boot a virtual machine.
MACHINES := airgapped_host booted_host build_by_servers kernel_packages power_cut readme user_space_probes
END_TO_END := $(notdir $(basename $(wildcard tests/tests/*.rs)) $(patsubst %/main.rs,%,$(wildcard tests/tests/*/main.rs)))
of = $(addprefix --test ,$(1))

lab-tests: packages farm host lab
	STAP_BUNDLE_LAB="$$(bash $(LAB) path)" $(CARGO) test -p builder --features lab-tests --test lab --test lab_scan --test eval_config
	$(CARGO) test -p end-to-end --features lab --lib --bins $(call of,$(filter-out $(MACHINES),$(END_TO_END))) -- --test-threads=1

# A machine takes one processor, so two programs run at once; but for those that use both themselves.
ONE_MACHINE := build_by_servers airgapped_host readme user_space_probes kernel_packages
machine-tests: packages farm host lab hosts
	$(CARGO) test -p end-to-end --features lab --no-run $(call of,$(MACHINES))
	@$(MAKE) --no-print-directory -j2 --output-sync=target $(addprefix machine-test-,$(ONE_MACHINE))
	$(CARGO) test -p end-to-end --features lab $(call of,$(filter-out booted_host $(ONE_MACHINE),$(MACHINES))) -- --test-threads=1
	$(CARGO) test -p end-to-end --features lab --test booted_host -- --test-threads=2

machine-test-%:
	$(CARGO) test -p end-to-end --features lab --test $* -- --test-threads=1

# From the cells to the signed bundle, five times; without reading configuration and build trees.
bench-build: packages-build
	$(CARGO) test --release -p builder --lib six_thousand_unchanged_cells -- --ignored --nocapture

# DIR is called as the kernel's release and has 50 real modules for it.
MODULES ?=
bench-start: packages-build
	STAP_BUNDLE_FIGURE_MODULES="$(abspath $(MODULES))" $(CARGO) test --release -p service --test figures fifty_scripts -- --ignored --nocapture

# The whole command, from start to end, on 500 scripts and 200 files of conf.d.
bench-config: farm
	@tests/bench/config-check.sh "$(STAP_BUNDLE_FARM)"

man:
	$(CARGO) run --quiet -p stap-bundle --example man -- target/man

# Beneath DESTDIR: packaging/README.md says what goes where. PROGRAM=PATH takes another program.
PROGRAM ?= $(STAP_BUNDLE_HOST)
install: man
	@test -x "$(PROGRAM)" || $(MAKE) --no-print-directory host
	DESTDIR="$(DESTDIR)" packaging/install.sh "$(PROGRAM)" target/man

deny:
	$(CARGO) deny check

clean:
	$(CARGO) clean

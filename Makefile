# make try    what happens to a bundle on a host, with two committed bundles in a scratch directory: no root, no lab, no network
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
RUSTC ?= rustc
# Handed to cargo: --offline with vendored crates (make vendor).
CARGO_FLAGS ?=
TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
NATIVE := $(shell $(RUSTC) -vV | sed -n 's/^host: //p')
# What the host program is for: another target than this machine's needs its linker and Rust's library for it.
HOST_TARGET ?= $(NATIVE)
CROSS := $(filter-out $(NATIVE),$(HOST_TARGET))
ARM64 := aarch64-unknown-linux-gnu
ifeq ($(CROSS),$(ARM64))
# Debian's gcc-aarch64-linux-gnu.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER ?= aarch64-linux-gnu-gcc
endif
LAB := tests/lab/lab.sh
HOSTS := tests/lab/hosts.sh

FARM := $(TARGET_DIR)/farm
HOST := $(TARGET_DIR)/host$(addprefix -,$(CROSS))
export STAP_BUNDLE_FARM := $(FARM)/stap-bundle
export STAP_BUNDLE_HOST := $(HOST)/stap-bundle
export STAP_BUNDLE_HOST_ARM64 := $(TARGET_DIR)/host-$(ARM64)/stap-bundle

.PHONY: help packages farm host both programs packaged lab hosts try demo test test-long fuzz check quick without-crash tar-readers large-members lab-tests machine-tests lab-cold bench bench-build bench-cores bench-start bench-coverage bench-config install deb rpm vendor dist oldest-compiler same-packages deny clean crash every-error examples older same-again broken-trees bash-differential upgrade secure-boot arm64 onboot record-doctor

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile
	@echo 'make farm   the full program, target/farm/stap-bundle'
	@echo 'make host   the static host program without the build side, target/host/stap-bundle'
	@echo 'make test-long  what takes too long for every day: members of 8 GiB, ten minutes of each fuzz target, a cold build, 200 examples, an older systemtap, every fixture twice, every broken build tree, an error at every system call, a machine upgraded from 0.1.0, a machine with Secure Boot, a machine of arm64'
	@echo 'make fuzz   fuzz targets, FUZZ_SECONDS each (needs nightly Rust; brings cargo-fuzz if it is not there)'
	@echo 'make crash  the installer killed at every system call, and failed at every sixteenth'
	@echo 'make quick  unit tests and command-line conversations; needs root, no lab'
	@echo 'make bench  sizes, times and memory on real modules, against targets; the first run compiles for half an hour'
	@echo 'make documents-host   manual pages and completions of the host program, beside it; documents-farm those of the full one'
	@echo 'make install DESTDIR=DIR  program, units, init script, manual pages and the rest: packaging/README.md'
	@echo 'make deb, make rpm   packages for hosts and for farms, target/packages'
	@echo 'make dist KEY=FILE   a release, target/dist: docs/releasing.md'
	@echo 'make same-packages   makes programs and packages in two directories and compares them'
	@echo 'make oldest-compiler   checks the workspace with the oldest Rust that is promised'
	@echo 'make vendor   all crates as source, for builds without network'
	@echo 'make bench-build   how long an unchanged build of 6,000 cells takes, stand-in modules of 64 KiB'
	@echo 'make bench-cores   cells a minute with 1 to 16 jobs, as simulated'
	@echo 'make bench-start MODULES=DIR   how long start, status and stop of 50 scripts take, with a stand-in for staprun'
	@echo 'make bench-config  how long `config check` takes on a large configuration'
	@echo 'make deny   licences, advisories and bans of all dependencies (needs cargo-deny)'

packages: packages-all
packages-%:
	@tests/packages.sh $*

# Both programs are compiled with the same flags for the same target, so they share what they have in common, and no path of this machine
# is in them.
REMAP := --remap-path-prefix=$(CURDIR)=/stap-bundle --remap-path-prefix=$(abspath $(or $(CARGO_HOME),$(HOME)/.cargo))=/cargo
COMPILE = RUSTFLAGS='$(strip $(RUSTFLAGS) $(REMAP))' CARGO_TARGET_DIR='$(TARGET_DIR)' $(CARGO)
RELEASE = --locked $(CARGO_FLAGS) --release --target
PLACE = install -D -m 755 '$(TARGET_DIR)/$(1)/release/stap-bundle' '$(2)/stap-bundle'

# Cargo puts both in one place, so one is compiled and copied at a time.
ALONE = mkdir -p '$(TARGET_DIR)' && flock '$(TARGET_DIR)/.programs' sh -euc

farm: packages-build
	$(ALONE) "$(COMPILE) rustc $(RELEASE) $(NATIVE) -p stap-bundle --bin stap-bundle; $(call PLACE,$(NATIVE),$(FARM))"

# Fully static: an air-gapped host needs nothing but the file.
host: packages-build
	$(ALONE) "$(COMPILE) rustc $(RELEASE) $(HOST_TARGET) -p stap-bundle --no-default-features --features host --bin stap-bundle -- \
		-C target-feature=+crt-static; $(call PLACE,$(HOST_TARGET),$(HOST))"

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
PACKAGER ?= stap-bundle maintainers <maintainers@stap-bundle.invalid>
# The time of what is packed: that of the last commit, or of the last entry of the changelog's file.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
PACKAGES := $(TARGET_DIR)/packages
DEB_ARCHITECTURE = $(patsubst x86_64%,amd64,$(patsubst aarch64%,arm64,$(firstword $(subst -, ,$(1)))))
PACK = VERSION='$(VERSION)' PACKAGER='$(PACKAGER)' SOURCE_DATE_EPOCH='$(SOURCE_DATE_EPOCH)' packaging/$(1)/build.sh

# What a package has, and the notices of those whose works are in the program.
stage-%: documents-%
	rm -rf '$(TARGET_DIR)/$*/stage'
	DESTDIR='$(TARGET_DIR)/$*/stage' packaging/install.sh '$(TARGET_DIR)/$*/stap-bundle' '$(TARGET_DIR)/$*/man' '$(TARGET_DIR)/$*/completions'
	CARGO='$(CARGO)' CARGO_FLAGS='$(CARGO_FLAGS)' packaging/notices.py '$($*_FEATURES)' '$(NATIVE)' >'$(TARGET_DIR)/$*/notices'

deb: stage-host stage-farm
	$(call PACK,deb) stap-bundle '$(call DEB_ARCHITECTURE,$(NATIVE))' '$(TARGET_DIR)/host/stage' '$(TARGET_DIR)/host/notices' '$(PACKAGES)'
	$(call PACK,deb) stap-bundle-farm '$(call DEB_ARCHITECTURE,$(NATIVE))' '$(TARGET_DIR)/farm/stage' '$(TARGET_DIR)/farm/notices' '$(PACKAGES)'

rpm: stage-host stage-farm
	$(call PACK,rpm) stap-bundle '$(firstword $(subst -, ,$(NATIVE)))' '$(TARGET_DIR)/host/stage' '$(TARGET_DIR)/host/notices' '$(PACKAGES)'
	$(call PACK,rpm) stap-bundle-farm '$(firstword $(subst -, ,$(NATIVE)))' '$(TARGET_DIR)/farm/stage' '$(TARGET_DIR)/farm/notices' '$(PACKAGES)'

# A release, signed with KEY: docs/releasing.md.
dist:
	@[ -n '$(KEY)' ] || { echo 'make dist KEY=FILE: the private Ed25519 key (PEM) that signs the release' >&2; exit 2; }
	rm -rf '$(PACKAGES)'
	@$(MAKE) --no-print-directory deb rpm
	@$(MAKE) --no-print-directory host HOST_TARGET=$(ARM64)
	@CARGO='$(CARGO)' TARGET_DIR='$(TARGET_DIR)' VERSION='$(VERSION)' SOURCE_DATE_EPOCH='$(SOURCE_DATE_EPOCH)' TARGETS='$(NATIVE) $(ARM64)' \
		packaging/dist.sh '$(TARGET_DIR)/dist' '$(abspath $(KEY))'

# Programs and packages made in two directories are the same bytes.
TWICE := $(TARGET_DIR)/twice
same-packages: packages-quick
	rm -rf '$(TWICE)'
	@for place in one another/place; do \
		git clone --quiet . '$(TWICE)'/$$place; \
		env -u CARGO_TARGET_DIR $(MAKE) --no-print-directory -C '$(TWICE)'/$$place deb rpm; \
		(cd '$(TWICE)'/$$place/target && sha256sum farm/stap-bundle host/stap-bundle packages/*) >'$(TWICE)'/$${place##*/}.sums; \
	done
	diff '$(TWICE)/one.sums' '$(TWICE)/place.sums'
	@cat '$(TWICE)/one.sums'
	@! strings -n 6 '$(TWICE)'/one/target/*/stap-bundle | grep -F -e '$(TWICE)' -e '$(HOME)/'

# With the oldest compiler that is promised (rust-version).
OLDEST := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
oldest-compiler:
	rustup toolchain install --profile minimal $(OLDEST)
	CARGO_TARGET_DIR='$(TARGET_DIR)/oldest' cargo +$(OLDEST) check --locked --workspace --all-targets

# The crates of the lock file, and how cargo is to be pointed at them.
vendor:
	@mkdir -p .cargo
	$(CARGO) vendor --locked --versioned-dirs vendor >.cargo/config.toml

lab: packages-lab
	@bash $(LAB) make

# File systems that boot, for the tests that start the product as a machine's init does.
hosts: lab
	@bash $(HOSTS) make
	@bash tests/lab/onboot-hosts.sh make

# One program after the other: side by side, one would wait for the other and keep a job from its compiler.
programs: packages-quick
	@$(MAKE) --no-print-directory host
	@$(MAKE) --no-print-directory farm
	@$(MAKE) --no-print-directory deb rpm

both: farm
	@$(MAKE) --no-print-directory host

try: host
	@fixtures/try/try.sh "$(STAP_BUNDLE_HOST)"

demo: packages-lab
	@$(MAKE) --no-print-directory -j2 lab both
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

test-long: large-members every-error fuzz lab-cold examples older same-again broken-trees bash-differential upgrade secure-boot arm64 onboot oldest-compiler same-packages

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
STATIC := RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build -p stap-bundle --target $(NATIVE)
upgrade: farm host lab
	rm -rf "$(FIRST_TREE)/tree" && mkdir -p "$(FIRST_TREE)/tree"
	git archive $(FIRST) | tar -x -C "$(FIRST_TREE)/tree"
	cd "$(FIRST_TREE)/tree" && CARGO_TARGET_DIR="$(FIRST_TREE)/target" $(STATIC) --no-default-features --features host --release
	$(STATIC) --features next-state --example next-version
	STAP_BUNDLE_FIRST="$(FIRST_TREE)/target/$(NATIVE)/release/stap-bundle" \
		STAP_BUNDLE_NEXT="$(TARGET_DIR)/$(NATIVE)/debug/examples/next-version" \
		STAP_BUNDLE_LAB="$$(bash $(LAB) path)" $(CARGO) test -p end-to-end --features lab-long --test upgraded_host -- --nocapture

# Firmware, shim, keys that are enrolled: the kernel takes only modules that one of them has signed.
VIRT_FIRMWARE := $(TARGET_DIR)/tools/virt-firmware
export STAP_BUNDLE_VIRT_FW_VARS := $(VIRT_FIRMWARE)/bin/virt-fw-vars
$(STAP_BUNDLE_VIRT_FW_VARS): | packages-secure-boot
	python3 -m venv '$(VIRT_FIRMWARE)'
	'$(VIRT_FIRMWARE)/bin/pip' --quiet install virt-firmware==26.10
secure-boot: packages packages-secure-boot farm host lab hosts $(STAP_BUNDLE_VIRT_FW_VARS)
	STAP_BUNDLE_LAB="$$(bash $(LAB) path)" $(CARGO) test -p end-to-end --features lab-long --test secure_boot -- --nocapture

# Early scripts with each maker of images and each kernel, and power cuts while images are made.
onboot: packages farm host lab hosts
	STAP_BUNDLE_LAB="$$(bash $(LAB) path)" $(CARGO) test -p end-to-end --features lab-long --test onboot -- --nocapture --test-threads=2

# One bundle on machines of both architectures.
arm64: packages packages-arm64 farm host lab
	rustup target add $(ARM64)
	@$(MAKE) --no-print-directory host HOST_TARGET=$(ARM64)
	STAP_BUNDLE_LAB="$$(bash $(LAB) path)" $(CARGO) test -p end-to-end --features lab-long --test arm64 -- --nocapture

# What hosts show of their kernel's keys and rules, as the tests of `doctor` have it: fixtures/doctor, with a new key.
record-doctor: packages packages-secure-boot farm lab hosts $(STAP_BUNDLE_VIRT_FW_VARS)
	$(CARGO) run --quiet -p end-to-end --bin record_doctor

# What a cold build costs: half an hour of a core.
lab-cold: lab
	STAP_BUNDLE_LAB="$$(bash $(LAB) path)" $(CARGO) test -p builder --features lab-long --test lab_cold -- --nocapture --test-threads=1

# Tests that boot a virtual machine.
MACHINES := airgapped_host booted_host build_by_servers kernel_packages onboot power_cut readme user_space_probes
END_TO_END := $(notdir $(basename $(wildcard tests/tests/*.rs)) $(patsubst %/main.rs,%,$(wildcard tests/tests/*/main.rs)))
of = $(addprefix --test ,$(1))

# The packages that the tests install.
packaged:
	@[ -d '$(PACKAGES)' ] || $(MAKE) --no-print-directory programs

lab-tests: packages farm host packaged lab
	STAP_BUNDLE_LAB="$$(bash $(LAB) path)" $(CARGO) test -p builder --features lab-tests --test lab --test lab_scan --test eval_config
	$(CARGO) test -p end-to-end --features lab --no-fail-fast --lib --bins $(call of,$(filter-out $(MACHINES),$(END_TO_END))) -- --test-threads=1

# A machine takes one processor, so two programs run at once; but for those that use both themselves.
ONE_MACHINE := build_by_servers airgapped_host readme user_space_probes kernel_packages onboot
machine-tests: packages farm host packaged lab hosts
	$(CARGO) test -p end-to-end --features lab --no-run $(call of,$(MACHINES))
	@$(MAKE) --no-print-directory -j2 --output-sync=target $(addprefix machine-test-,$(ONE_MACHINE))
	$(CARGO) test -p end-to-end --features lab $(call of,$(filter-out booted_host $(ONE_MACHINE),$(MACHINES))) -- --test-threads=1
	$(CARGO) test -p end-to-end --features lab --test booted_host -- --test-threads=2

machine-test-%:
	$(CARGO) test -p end-to-end --features lab --test $* -- --test-threads=1

# From the cells to the signed bundle, five times; without reading configuration and build trees.
bench-build: packages-build
	$(CARGO) test --release -p builder --lib six_thousand_unchanged_cells -- --ignored --nocapture

# How a build scales with processors, as simulated.
bench-cores: packages-build
	$(CARGO) test --release -p builder --lib cells_a_minute_by_jobs -- --ignored --nocapture

# DIR is called as the kernel's release and has 50 real modules for it.
MODULES ?=
bench-start: packages-build
	STAP_BUNDLE_FIGURE_MODULES="$(abspath $(MODULES))" $(CARGO) test --release -p service --test figures fifty_scripts -- --ignored --nocapture

# How `coverage` grows with a fleet, beside `sort | uniq -c`.
bench-coverage: farm
	@tests/bench/coverage.py "$(STAP_BUNDLE_FARM)"

# The whole command, from start to end, on 500 scripts and 200 files of conf.d.
bench-config: farm
	@tests/bench/config-check.sh "$(STAP_BUNDLE_FARM)"

# What is made with each program, by one that runs here.
documents-%: %
	@rm -rf '$(TARGET_DIR)/$*/man'
	@'$(TARGET_DIR)/$*/stap-bundle' manual '$(TARGET_DIR)/$*/man'
	@mkdir -p '$(TARGET_DIR)/$*/completions'
	@for shell in bash zsh fish; do '$(TARGET_DIR)/$*/stap-bundle' completions $$shell >'$(TARGET_DIR)/$*/completions/'$$shell; done
farm_FEATURES := farm,host
host_FEATURES := host

# Beneath DESTDIR, for $prefix: packaging/README.md says what goes where. ROLE=farm takes the full program.
ROLE ?= host
DESTDIR ?=
prefix ?= /usr
install:
	@[ -x '$(TARGET_DIR)/$(ROLE)/stap-bundle' ] && [ -d '$(TARGET_DIR)/$(ROLE)/completions' ] || $(MAKE) --no-print-directory documents-$(ROLE)
	@DESTDIR='$(DESTDIR)' prefix='$(prefix)' packaging/install.sh '$(TARGET_DIR)/$(ROLE)/stap-bundle' '$(TARGET_DIR)/$(ROLE)/man' \
		'$(TARGET_DIR)/$(ROLE)/completions'

deny:
	$(CARGO) deny check

clean:
	$(CARGO) clean

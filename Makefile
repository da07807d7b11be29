# simsync. `make demo` and `make test` need nothing but Rust, a JDK and a Debian 12; both work a second time.
.PHONY: help setup build release demo test lint bench soak fuzz mutants cap clean

JAR := javacard-applet/target/simsync-bridge.jar
SIMULATOR_CAP := target/cap/simsync-simulator.cap
JAVA := $(shell find javacard-applet/src javacard-applet/pom.xml -type f)

help:
	@echo "make demo   set up, build, and show a handover as a timeline (DEMO_DATA=DIR for your own files)"
	@echo "make test   set up, build, and run every test"
	@echo "make bench  compare with rsync and tar (BENCH_FILES=100000, BENCH_BESIDE=2000,100000)"
	@echo "make soak   very many commands, power cuts, yanks and other programs (SOAK=quick: a hundredth, a seventh of the yanks)"
	@echo "make fuzz   every decoder of foreign bytes, a minute each (FUZZ_SECONDS=60, FUZZ_TARGETS=\"commit tail\")"
	@echo "make mutants  take checks away one at a time and see whether a test notices: hours (SHARD=0/4: a quarter)"
	@echo "make release  build what is installed, under target/release"
	@echo "make cap JC_SDK=DIR  make the applet a CAP file, with a Java Card Development Kit that you have"
	@echo "make lint   format, warnings, documentation, spelling, shell scripts, dependencies"

setup:
	@scripts/setup

$(JAR): $(JAVA)
	mvn -q -B -f javacard-applet/pom.xml -DskipTests package
	@touch $(JAR)

# What the simulated card takes for the applet; real cards take what `make cap` makes.
$(SIMULATOR_CAP): $(JAR)
	@java -cp $(JAR) org.simsync.bridge.gp.LoadFile $@

# Demo and tests share what they build; only measurements need the release profile.
build: setup $(SIMULATOR_CAP)
	cargo build --locked --workspace --bins

# Takes the applet along if `make cap` made it of these sources: simsync-card looks for it beside itself.
# Without the simulator, which asks for fail points in daemon and server.
release: setup $(JAR)
	cargo build --locked --workspace --exclude simsync-sim --bins --release
	@scripts/cap --copy target/release

demo: build
	tests/enter target/debug/demo

test: setup $(SIMULATOR_CAP)
	scripts/test

lint:
	@scripts/lint

bench: release
	tests/enter target/release/bench

# The simulator has a profile of its own: it is to play two million operations.
soak: build
	@scripts/setup opensc pcsc-tools
	cargo build --locked --package simsync-sim --bin sim --profile sim
	tests/enter target/debug/soak

fuzz:
	@scripts/fuzz

mutants:
	@scripts/mutants

cap:
	@scripts/cap

clean:
	cargo clean
	mvn -q -B -f javacard-applet/pom.xml clean

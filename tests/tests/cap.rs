//! `scripts/cap` with a kit whose tools say what a test wants: they end with 0 whatever happens, so that their words and what
//! they leave must be judged. The real kit may not be fetched by a program.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use simsync_rig::rig::repository;

const SOURCES: &str = "javacard-applet/src/main/java/org/simsync/card";
const CONVERTED: &str = "conversion completed with 0 errors and 0 warnings.";
const VERIFIED: &str = "Verification completed with 0 warnings and 0 errors.";

/// A repository with the script and an applet of one line, and a kit beside it.
struct World {
    dir: tempfile::TempDir,
}

/// What the kit's tools do.
struct Tools<'a> {
    converter: &'a str,
    writes: bool,
    verifier: &'a str,
}

const GOOD: Tools<'_> = Tools {
    converter: CONVERTED,
    writes: true,
    verifier: VERIFIED,
};

fn succeed(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {done:?}");
}

fn jar(file: &Path, folder: &Path) {
    let mut jar = Command::new("jar");
    succeed(jar.arg("cf").arg(file).arg("-C").arg(folder).arg("."));
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world = Self { dir };
        for folder in [
            "scripts",
            SOURCES,
            "kit/lib",
            "kit/empty",
            "kit/tools",
            "release",
        ] {
            std::fs::create_dir_all(world.path(folder)).unwrap();
        }
        let script = repository().join("scripts/cap");
        std::fs::copy(script, world.path("scripts/cap")).unwrap();
        world.edit("class SimsyncApplet { }");
        let fakes = repository().join("tests/tests/cap");
        let mut javac = Command::new("javac");
        javac.arg("-d").arg(world.path("kit/tools"));
        succeed(javac.args([fakes.join("Main.java"), fakes.join("Verifier.java")]));
        jar(&world.path("kit/lib/tools.jar"), &world.path("kit/tools"));
        let api = world.path("kit/lib/api_classic-3.0.4.jar");
        jar(&api, &world.path("kit/empty"));
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn edit(&self, applet: &str) {
        let file = self.path(SOURCES).join("SimsyncApplet.java");
        std::fs::write(file, format!("package org.simsync.card;\n{applet}\n")).unwrap();
    }

    fn cap(&self) -> PathBuf {
        self.path("target/cap/simsync.cap")
    }

    fn script(&self) -> Command {
        let mut script = Command::new(self.path("scripts/cap"));
        script.env_remove("JC_SDK");
        script
    }

    fn make(&self, tools: &Tools<'_>) -> Output {
        let mut script = self.script();
        script.env("JC_SDK", self.path("kit"));
        script.env("CONVERTER_SAYS", tools.converter);
        script.env("VERIFIER_SAYS", tools.verifier);
        if tools.writes {
            script.env("CONVERTER_WRITES", "yes");
        }
        script.output().unwrap()
    }

    /// It fails with these words, and no CAP is left to be taken for a good one.
    #[track_caller]
    fn refuses(&self, tools: &Tools<'_>, words: &[&str]) {
        assert!(self.make(&GOOD).status.success());
        let done = self.make(tools);
        let told = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{told}");
        for word in words {
            assert!(told.contains(word), "{word:?} is not in: {told}");
        }
        assert!(!self.cap().exists(), "{told}");
    }

    /// What `make release` takes along, and what is said.
    fn copy(&self) -> (Option<Vec<u8>>, String) {
        let release = self.path("release");
        let done = self.script().arg("--copy").arg(&release).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let said = String::from_utf8(done.stdout).unwrap();
        (std::fs::read(release.join("simsync.cap")).ok(), said)
    }
}

#[test]
fn tools_that_end_well_and_say_otherwise_are_heard() {
    let world = World::new();
    let errors = "error: unsupported int type\nconversion completed with 3 errors and 0 warnings.";
    let converter = Tools {
        converter: errors,
        ..GOOD
    };
    world.refuses(
        &converter,
        &["the converter refuses", "unsupported int type"],
    );
    let many = Tools {
        converter: "conversion completed with 10 errors and 0 warnings.",
        ..GOOD
    };
    world.refuses(&many, &["the converter refuses"]);
    let silent = Tools {
        writes: false,
        ..GOOD
    };
    world.refuses(&silent, &["said well and wrote nothing"]);
    let warns = "Warning: version mismatch\nVerification completed with 1 warnings and 0 errors.";
    let verifier = Tools {
        verifier: warns,
        ..GOOD
    };
    world.refuses(&verifier, &["the verifier refuses", "version mismatch"]);
    let mute = Tools {
        verifier: "",
        ..GOOD
    };
    world.refuses(&mute, &["the verifier refuses"]);
    let old = Tools {
        converter: "error: SimsyncApplet.class: unsupported class file format of version 52.0.",
        writes: false,
        ..GOOD
    };
    world.refuses(&old, &["too old", "25.0 or newer"]);
}

#[test]
fn what_is_no_kit_is_said_to_be_none() {
    let world = World::new();
    let none = world.script().output().unwrap();
    let told = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(
        !none.status.success() && told.contains("make cap JC_SDK=DIR"),
        "{told}"
    );
    for (file, words) in [
        ("kit/lib/api_classic-3.0.4.jar", "can convert for 3.0.4"),
        (
            "kit/lib/tools.jar",
            "must be the folder of a Java Card Development Kit",
        ),
    ] {
        std::fs::remove_file(world.path(file)).unwrap();
        let done = world.make(&GOOD);
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success() && told.contains(words), "{told}");
    }
}

#[test]
fn a_cap_is_stripped_the_same_each_time_and_released_with_its_own_sources_only() {
    let world = World::new();
    let (none, said) = world.copy();
    assert!(none.is_none() && said.contains("there is none"), "{said}");
    let done = world.make(&GOOD);
    assert!(done.status.success(), "{done:?}");
    let cap = std::fs::read(world.cap()).unwrap();
    let mut list = Command::new("jar");
    let names = list.arg("tf").arg(world.cap()).output().unwrap().stdout;
    let names = String::from_utf8(names).unwrap();
    let wanted = [
        "META-INF/MANIFEST.MF",
        "org/simsync/card/javacard/Header.cap",
    ];
    assert_eq!(names.lines().collect::<Vec<_>>(), wanted);
    assert!(world.make(&GOOD).status.success());
    assert!(std::fs::read(world.cap()).unwrap() == cap);
    assert_eq!(world.copy(), (Some(cap.clone()), String::new()));

    // Of other sources: neither this CAP nor the copy of before goes along.
    world.edit("class SimsyncApplet { byte more; }");
    let (old, said) = world.copy();
    assert!(old.is_none() && said.contains("other sources"), "{said}");
    world.edit("class SimsyncApplet { }");
    assert_eq!(world.copy().0, Some(cap));
    let more = world.path(SOURCES).join("More.java");
    std::fs::write(&more, "package org.simsync.card;\nclass More { }\n").unwrap();
    assert_eq!(world.copy().0, None);
    std::fs::remove_file(more).unwrap();
    // Nor one that something else put there.
    std::fs::write(world.cap(), "another").unwrap();
    assert_eq!(world.copy().0, None);
    // One of a time when nothing was recorded.
    assert!(world.make(&GOOD).status.success());
    std::fs::remove_file(world.path("target/cap/sources.sha256")).unwrap();
    assert_eq!(world.copy().0, None);
}

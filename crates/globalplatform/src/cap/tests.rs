use super::sample::{Sample, archive, sample};
use super::*;
use proptest::prelude::*;

#[test]
fn our_applet_is_taken() {
    for deflate in [false, true] {
        let cap = CapFile::parse(
            &Sample {
                deflate,
                ..sample(900)
            }
            .zip(),
        )
        .unwrap();
        assert_eq!(cap.version(), (1, 0));
        let names: Vec<&str> = cap.loaded().map(Component::name).collect();
        assert_eq!(
            names,
            [
                "Header",
                "Directory",
                "Import",
                "Applet",
                "Class",
                "Method",
                "StaticField",
                "ConstantPool",
                "RefLocation"
            ]
        );
        let data = cap.load_data();
        assert!(data.starts_with(&[1, 0, 18, 0xDE, 0xCA, 0xFF, 0xED]));
        assert!(!data.windows(8).any(|w| w == [0xB1; 8]));
        let blocks = cap.blocks(239).unwrap();
        assert_eq!(blocks.concat()[..2], [0xC4, 0x82]);
        assert_eq!(blocks.concat()[4..], data);
        assert!(blocks.iter().all(|b| b.len() <= 239));
        assert_eq!(hex::encode(cap.hashes().unwrap().0).len(), 64);
    }
}

#[test]
fn format_2_2_has_a_name_and_debug() {
    let mut file = sample(50);
    let header = file.part("Header");
    header[4] = 2;
    header.extend(*b"\x10org/simsync/card");
    let name = header.len();
    let directory = file.part("Directory");
    directory[..2].copy_from_slice(&u16::try_from(name).unwrap().to_be_bytes());
    directory[2..4].copy_from_slice(&33u16.to_be_bytes());
    directory.splice(22..22, [0, 0]);
    assert!(CapFile::parse(&file.zip()).is_ok());
}

fn refused(file: &Sample) -> CapError {
    CapFile::parse(&file.zip()).unwrap_err()
}

#[test]
fn every_component_that_is_needed_is_needed() {
    for name in [
        "Header",
        "Directory",
        "Import",
        "Applet",
        "Class",
        "Method",
        "StaticField",
        "ConstantPool",
        "RefLocation",
    ] {
        let error = refused(&sample(50).without(name));
        assert_eq!(error, CapError::Missing(name), "{error}");
    }
    assert!(CapFile::parse(&sample(50).without("Descriptor").zip()).is_ok());
}

/// What is changed in a part, where, and what is said of it.
type Change = (&'static str, fn(&mut Vec<u8>), &'static str);

#[test]
fn what_does_not_agree_is_refused() {
    let changes: [Change; 15] = [
        ("Header", |b| b[0] = 0, "DECAFFED"),
        ("Header", |b| b[4] = 3, "format 2.3"),
        ("Header", |b| b[5] = 1, "format 1.1"),
        ("Header", |b| b[6] = 0x05, "32-bit"),
        ("Header", |b| b[6] = 0, "no applet"),
        ("Header", |b| b[8] = 2, "version 2.0"),
        ("Header", |b| b[17] ^= 1, "F053494D53594E42"),
        ("Header", |b| b.truncate(9), "Header ends too early"),
        ("Directory", |b| b[13] ^= 1, "other sizes"),
        ("Directory", |b| b[29] = 2, "number of applets"),
        ("Directory", |b| b[30] = 1, "custom"),
        ("Import", |b| b[3] = 4, "no AID can name"),
        ("Applet", |b| b[10] ^= 1, "does not hold the simsync applet"),
        ("Applet", |b| b[0] = 2, "does not hold the simsync applet"),
        ("Applet", |b| b[11] = 0xFF, "outside Method"),
    ];
    for (name, change, words) in changes {
        let mut file = sample(50);
        change(file.part(name));
        let error = refused(&file).to_string();
        assert!(error.contains(words), "{name}: {error}");
    }
    let mut long = sample(50);
    long.part("Import").push(0);
    long.write_directory();
    assert!(refused(&long).to_string().contains("after its end"));
}

#[test]
fn tags_and_sizes_in_front_are_checked() {
    for (at, words) in [(0, "another component's tag"), (2, "another size")] {
        let mut files = sample(50).files();
        let class = files
            .iter_mut()
            .find(|f| f.0.ends_with("card/javacard/Class.cap") && f.0.starts_with("org"));
        class.unwrap().1[at] ^= 1;
        let error = CapFile::parse(&archive(&files, false)).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn archives_that_are_none_or_ambiguous_are_refused() {
    assert_eq!(CapFile::parse(&[]), Err(CapError::NotZip));
    assert_eq!(CapFile::parse(b"PK\x03\x04"), Err(CapError::NotZip));
    assert_eq!(
        CapFile::parse(&vec![0; MAX_FILE + 1]),
        Err(CapError::TooLarge)
    );

    let mut twice = sample(50).files();
    twice.push(twice[2].clone());
    assert!(matches!(
        CapFile::parse(&archive(&twice, false)),
        Err(CapError::Ambiguous(_))
    ));
    let mut elsewhere = sample(50).files();
    elsewhere.push(("other/javacard/Export.cap".to_owned(), vec![10, 0, 0]));
    assert!(matches!(
        CapFile::parse(&archive(&elsewhere, false)),
        Err(CapError::Ambiguous(_))
    ));
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let mut files = sample(50).files();
    let class = files
        .iter_mut()
        .find(|f| f.0.starts_with("org") && f.0.ends_with("Class.cap"));
    class.unwrap().1 = vec![0; 8 << 20];
    let error = CapFile::parse(&archive(&files, true)).unwrap_err();
    assert!(error.to_string().contains("longer than any"), "{error}");
}

#[test]
fn a_wrong_checksum_is_refused() {
    let bytes = sample(600).zip();
    // In the middle of Method's code.
    let code = bytes
        .windows(4)
        .position(|w| w == [40, 41, 42, 43])
        .unwrap();
    let mut broken = bytes.clone();
    broken[code] ^= 1;
    assert_eq!(
        CapFile::parse(&broken),
        Err(CapError::Checksum("Method.cap".to_owned()))
    );
}

#[test]
fn too_many_blocks_are_refused() {
    let cap = CapFile::parse(&sample(3000).zip()).unwrap();
    assert!(matches!(cap.blocks(8), Err(CapError::TooManyBlocks(_))));
}

#[test]
fn any_single_byte_changed_gives_an_error_or_the_same_content() {
    for deflate in [false, true] {
        let bytes = Sample {
            deflate,
            ..sample(120)
        }
        .zip();
        let whole = CapFile::parse(&bytes).unwrap();
        for at in 0..bytes.len() {
            for change in [0x01, 0x80, 0xFF] {
                let mut broken = bytes.clone();
                broken[at] ^= change;
                if let Ok(cap) = CapFile::parse(&broken) {
                    assert_eq!(cap.load_data(), whole.load_data(), "byte {at}");
                }
            }
        }
        for end in 0..bytes.len() {
            let _ = CapFile::parse(&bytes[..end]);
        }
    }
}

proptest! {
    #[test]
    fn any_changes_give_an_error_or_the_same_content(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        deflate: bool,
    ) {
        let mut bytes = Sample { deflate, ..sample(80) }.zip();
        let whole = CapFile::parse(&bytes).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(cap) = CapFile::parse(&bytes) {
            prop_assert_eq!(cap.load_data(), whole.load_data());
        }
    }

    #[test]
    fn any_components_are_checked_without_panic(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 9),
    ) {
        let mut file = sample(20);
        for (part, content) in file.parts.iter_mut().zip(parts) {
            part.2 = content;
        }
        let _ = CapFile::parse(&file.zip());
    }
}

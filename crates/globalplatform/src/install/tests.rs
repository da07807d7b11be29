use super::*;
use crate::cap::sample::sample;
use crate::registry::Entry;
use crate::session::tests::session_at_level_1;

fn applet(lifecycle: Lifecycle) -> Presence {
    Presence::Applet {
        version: (1, 0),
        lifecycle,
    }
}

const UNKNOWN: Presence = Presence::Unknown { version: None };
const REPLACE: Wishes = Wishes {
    replace: true,
    destroy_keys: false,
};
const DESTROY: Wishes = Wishes {
    replace: true,
    destroy_keys: true,
};

#[test]
fn what_is_there_decides() {
    let plain = Wishes::default();
    let judge = |p: &Presence, w| p.judge((1, 0), w);
    assert_eq!(
        judge(&Presence::Absent, plain).unwrap(),
        Verdict::Install { delete: false }
    );
    for lifecycle in [
        Lifecycle::Installed,
        Lifecycle::Personalised,
        Lifecycle::Enrolled,
        Lifecycle::Terminated,
    ] {
        assert_eq!(
            judge(&applet(lifecycle), plain).unwrap(),
            Verdict::Nothing(lifecycle)
        );
        assert_eq!(
            judge(&applet(lifecycle), DESTROY).unwrap(),
            Verdict::Install { delete: true }
        );
        let replaced = judge(&applet(lifecycle), REPLACE);
        if lifecycle == Lifecycle::Enrolled {
            assert!(matches!(
                replaced,
                Err(GpError::InUse { state: "enrolled" })
            ));
        } else {
            assert_eq!(replaced.unwrap(), Verdict::Install { delete: true });
        }
    }
    assert!(matches!(
        applet(Lifecycle::Installed).judge((1, 1), plain),
        Err(GpError::OtherVersion {
            there: (1, 0),
            here: (1, 1)
        })
    ));
    assert!(matches!(judge(&UNKNOWN, plain), Err(GpError::InUse { .. })));
    assert!(matches!(
        judge(&UNKNOWN, REPLACE),
        Err(GpError::InUse { .. })
    ));
    assert_eq!(
        judge(&UNKNOWN, DESTROY).unwrap(),
        Verdict::Install { delete: true }
    );
}

fn entry(aid: Aid, load_file: Option<Aid>) -> Entry {
    Entry {
        aid,
        state: 0x07,
        privileges: vec![0],
        load_file,
        version: None,
        modules: Vec::new(),
    }
}

#[test]
fn only_ours_is_deleted_and_instances_first() {
    let theirs = Aid::new(&[0xA0; 7]).unwrap();
    let second = Aid::new(&[0xB0; 7]).unwrap();
    let registry = Registry {
        domain: None,
        applications: vec![
            entry(theirs.clone(), Some(theirs.clone())),
            entry(Aid::our_applet(), None),
            entry(second.clone(), Some(Aid::our_package())),
        ],
        load_files: vec![entry(theirs, None), entry(Aid::our_package(), None)],
    };
    assert_eq!(
        ours(&registry),
        [Aid::our_applet(), second, Aid::our_package()]
    );
}

#[test]
fn a_plan_has_its_sizes() {
    let cap = CapFile::parse(&sample(900).zip()).unwrap();
    let steps = plan(&cap, &[Aid::our_package()], 239).unwrap();
    let text: Vec<String> = steps.iter().map(Step::to_string).collect();
    let bytes = cap.load_data().len() + 4;
    assert_eq!(text[0], "DELETE F053494D53594E43 (simsync package)");
    assert_eq!(text[1], "INSTALL [for load] F053494D53594E43");
    assert_eq!(
        text[2],
        format!("LOAD {bytes} bytes in {} blocks", bytes.div_ceil(239))
    );
    assert_eq!(steps.len(), 5);
}

#[test]
fn the_transport_secret_never_crosses_unencrypted() {
    let cap = CapFile::parse(&sample(100).zip()).unwrap();
    let registry = Registry {
        domain: None,
        applications: Vec::new(),
        load_files: Vec::new(),
    };
    let secret = TransportSecret::new([7; 16]);
    // Nothing is deleted or loaded either: the transcript has no more commands.
    let error = install(session_at_level_1(), &cap, &secret, &registry, None, |_| {});
    assert!(matches!(error, Err(GpError::Unprotected(_))));
}

#[test]
fn a_card_whose_state_forbids_it_is_left_alone() {
    let in_state = |state| {
        let mut domain = entry(Aid::new(&[0xA0; 8]).unwrap(), None);
        domain.state = state;
        check_card_state(&Registry {
            domain: Some(domain),
            applications: Vec::new(),
            load_files: Vec::new(),
        })
    };
    assert!(matches!(in_state(0x7F), Err(GpError::Locked)));
    assert!(matches!(in_state(0xFF), Err(GpError::Terminated)));
    for state in [0x01, 0x07, 0x0F] {
        assert!(in_state(state).is_ok());
    }
}

//! Letters as people print them: one page of HTML or PDF, whose PIN opens the card.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use simsync_rig::rig::{Rig, Secrets};

/// As long as a label may be, of the widest letters.
const LABEL: &str = "WWWWWWWWWWWWWWWW-WWWWWWWWWWWWWWW";

/// What stands beside this word in the page's table, without the spaces between its groups.
fn cell(page: &str, name: &str) -> String {
    let begins = format!("<td>{name}</td>");
    let row = page.lines().find(|l| l.contains(&begins)).unwrap();
    let value = row.split("<bdi>").nth(1).unwrap();
    value.split("</bdi>").next().unwrap().replace(' ', "")
}

/// How often these bytes are in the file and no letter follows them.
fn times(file: &[u8], part: &str) -> usize {
    let mut after = file.windows(part.len() + 1);
    let found = |w: &&[u8]| w.starts_with(part.as_bytes());
    after
        .by_ref()
        .filter(found)
        .filter(|w| !w[part.len()].is_ascii_alphanumeric())
        .count()
}

#[test]
fn a_letter_is_one_page_in_each_format_and_opens_the_card() {
    let mut rig = Rig::start().unwrap();
    let desk = rig.terminal("desk").unwrap();
    let secret = rig.bridge.blank("card").unwrap();
    rig.bridge.insert("card", desk.port).unwrap();
    desk.wait_status("a card", |s| {
        s["cards"].as_array().is_some_and(|c| c.len() == 1)
    })
    .unwrap();
    let enrolment = rig.server.subscriber(LABEL).unwrap();
    let letter = rig.dir.path().join("letter.x");
    let server = format!("server.simsync.test:{}", rig.server.public_port);
    let args = [
        "provision",
        "--server",
        &server,
        "--ca-pin",
        &rig.server.ca_pin,
        "--subscriber",
        &enrolment.subscriber,
        "--label",
        LABEL,
        "--letters-format",
        "html,pdf,text",
        "--keep-pin",
        "--letter",
        letter.to_str().unwrap(),
    ];
    let secrets = Secrets::give("--code-fd", &enrolment.code).and("--transport-secret-fd", &secret);
    let done = desk.card_tool(&args, &secrets).unwrap();
    done.ok("simsync-card provision").unwrap();

    let html = std::fs::read_to_string(letter.with_extension("html")).unwrap();
    let (pin, puk) = (cell(&html, "PIN"), cell(&html, "PUK"));
    assert_eq!((pin.len(), puk.len()), (6, 8), "{html}");
    assert_eq!(cell(&html, "Label"), LABEL);
    assert!(html.contains("@page { size: A4"), "{html}");
    let text = std::fs::read_to_string(letter.with_extension("txt")).unwrap();
    assert!(text.contains(&format!("PIN         {pin}\n")), "{text}");
    assert!(text.contains(&format!("PUK         {puk}\n")), "{text}");
    assert!(
        text.lines().count() < 60 && text.lines().all(|l| l.len() < 80),
        "{text}"
    );

    let pdf = std::fs::read(letter.with_extension("pdf")).unwrap();
    assert!(pdf.starts_with(b"%PDF-"));
    assert_eq!(
        (times(&pdf, "/Type /Page"), times(&pdf, "/Count 1")),
        (1, 1)
    );
    let groups = |digits: &str, size| {
        let groups: Vec<&str> = digits
            .as_bytes()
            .chunks(size)
            .map(|g| std::str::from_utf8(g).unwrap())
            .collect();
        groups.join(" ")
    };
    for shown in [groups(&pin, 3), groups(&puk, 4), LABEL.to_owned()] {
        assert_eq!(times(&pdf, &format!("({shown})")), 1, "{shown}");
    }

    let info = desk
        .card_tool(&["info", "--pin"], &Secrets::give("--pin-fd", &pin))
        .unwrap();
    let info = info.ok("info with the PIN of the HTML").unwrap().json;
    assert_eq!(
        (&info["label"], &info["pin_tries"]),
        (&LABEL.into(), &3.into())
    );
}

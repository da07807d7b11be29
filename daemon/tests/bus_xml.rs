//! The interface files in `daemon/dbus/` are what the service offers. `SIMSYNC_WRITE_XML=1` writes them anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bus_support;

use std::path::PathBuf;

use bus_support::{Fake, Plan, card};
use simsyncd::bus::names::{Kind, ROOT};
use zbus::Connection;

const HEAD: &str = r#"<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
"#;

fn file(interface: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dbus");
    folder.join(format!("{interface}.xml"))
}

/// The element of one interface, with its documentation before it.
fn element<'a>(xml: &'a str, interface: &str) -> &'a str {
    let tag = format!("<interface name=\"{interface}\">");
    let start = xml
        .find(&tag)
        .unwrap_or_else(|| panic!("no {interface} in {xml}"));
    let end = xml[start..].find("</interface>").unwrap() + start + "</interface>".len();
    &xml[start..end]
}

/// Without comments and layout.
fn normal(xml: &str) -> String {
    let mut out = String::new();
    let mut rest = xml;
    while let Some(start) = rest.find("<!--") {
        out.push_str(&rest[..start]);
        rest = rest[start..].split_once("-->").map_or("", |(_, r)| r);
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn introspect(conn: &Connection, path: &str) -> String {
    let reply = conn
        .call_method(
            None::<&str>,
            path,
            Some("org.freedesktop.DBus.Introspectable"),
            "Introspect",
            &(),
        )
        .await
        .unwrap();
    reply.body().deserialize().unwrap()
}

#[tokio::test]
async fn the_files_are_what_the_service_offers() {
    let fake = Fake::new();
    fake.change(|s| s.cards.push(card()));
    let (_face, conn) = fake.p2p().await;
    fake.plan(Plan::Endless);
    conn.call_method(
        None::<&str>,
        ROOT,
        Some("org.simsync.SimSync1.Manager"),
        "Unlock",
        &(),
    )
    .await
    .unwrap();
    let objects = [
        ("Manager", ROOT.to_owned()),
        ("Reader", Kind::Reader.path("Reader 00").to_string()),
        ("Card", Kind::Card.path("Reader 00").to_string()),
        ("Terminal", Kind::Terminal.path("aa11bb22cc33").to_string()),
        ("Collection", Kind::Collection.path("c0ffee").to_string()),
        ("Job", Kind::Job.path("1").to_string()),
    ];
    for (short, path) in objects {
        let interface = format!("org.simsync.SimSync1.{short}");
        let xml = introspect(&conn, &path).await;
        let running = element(&xml, &interface);
        if std::env::var_os("SIMSYNC_WRITE_XML").is_some() {
            let text = format!("{HEAD}<node>\n  {running}\n</node>\n");
            std::fs::write(file(&interface), text).unwrap();
        }
        let written = std::fs::read_to_string(file(&interface)).unwrap();
        assert_eq!(
            normal(element(&written, &interface)),
            normal(running),
            "daemon/dbus/{interface}.xml is old: run this test with SIMSYNC_WRITE_XML=1"
        );
    }
}

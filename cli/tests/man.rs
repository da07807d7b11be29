//! docs/man/simsync.1 is made from the command line's own description. `SIMSYNC_WRITE_MAN=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use simsync_cli::args::Cli;
use simsync_cli::exit::MEANINGS;

fn section(render: impl Fn(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    render(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Options of a command as a sub-section has them.
fn body(command: &Command) -> String {
    // Options of all commands are said once, above.
    let own = command.clone().mut_args(|a| {
        let common = a.is_global_set() || a.get_id() == "help";
        a.hide(common)
    });
    let man = Man::new(own);
    let lines = |text: String| {
        let keep =
            |l: &&str| !l.starts_with(".SH") && !l.starts_with(".ie") && !l.starts_with(".el");
        text.lines()
            .filter(keep)
            .map(|l| format!("{l}\n"))
            .collect::<String>()
    };
    let synopsis = lines(section(|w| man.render_synopsis_section(w)));
    let options = lines(section(|w| man.render_options_section(w)));
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    format!("{synopsis}.PP\n{about}.\n{options}")
}

fn commands(command: &Command, path: &str, out: &mut String) {
    for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
        let name = format!("{path} {}", sub.get_name());
        if sub.has_subcommands() {
            commands(sub, &name, out);
        } else {
            out.push_str(&format!(".SS {}\n{}", name.replace('-', "\\-"), body(sub)));
        }
    }
}

fn page() -> String {
    let mut cli = Cli::command();
    cli.build();
    let man = Man::new(cli.clone()).manual("User commands");
    let mut out = String::from(".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n");
    out.push_str(".TH SIMSYNC 1 \"\" \"simsync\" \"User commands\"\n");
    out.push_str(".SH NAME\nsimsync \\- your data follows your card\n");
    let strip = |text: String| {
        let keep = |l: &&str| !l.starts_with(".ie") && !l.starts_with(".el");
        text.lines()
            .filter(keep)
            .map(|l| format!("{l}\n"))
            .collect::<String>()
    };
    out.push_str(&strip(section(|w| man.render_synopsis_section(w))));
    out.push_str(".SH DESCRIPTION\nsimsync talks to simsyncd, which makes a person's data follow their card. Without a command it shows the status: what simsync is doing, and if it does nothing, why.\n");
    out.push_str(".PP\nPINs are asked for on the terminal, or read from file descriptors that a script names; never from arguments or the environment.\n");
    out.push_str(&strip(section(|w| man.render_options_section(w))));
    out.push_str(".SH COMMANDS\n");
    commands(&cli, "simsync", &mut out);
    out.push_str(".SH EXIT STATUS\n");
    for (exit, meaning) in MEANINGS {
        out.push_str(&format!(".TP\n.B {}\n{meaning}\n", *exit as u8));
    }
    out.push_str(".SH ENVIRONMENT\n.TP\n.B SIMSYNC_BUS_ADDRESS\nAs \\-\\-bus.\n.TP\n.B NO_COLOR\nNo colours, if it is set and not empty.\n");
    out.push_str(".SH JSON\nWith \\-\\-json every command prints one object: schema_version, command, ok, and its result or error (code, sentence, exit_code). monitor prints one object a line. schema_version changes when a field is removed or means something else.\n");
    out.push_str(".SH SEE ALSO\n.BR simsyncd (8)\n");
    out
}

#[test]
fn the_manual_is_that_of_this_command_line() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/man/simsync.1");
    let page = page();
    if std::env::var_os("SIMSYNC_WRITE_MAN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == page,
        "docs/man/simsync.1 is old: run this test with SIMSYNC_WRITE_MAN=1"
    );
    for name in [
        "status",
        "monitor",
        "unlock",
        "pair",
        "collections add",
        "pin change",
        "doctor",
    ] {
        assert!(written.contains(&format!(".SS simsync {name}")), "{name}");
    }
}

//! docs/man/simsync-card.1 is made from the command line's own description. `SIMSYNC_WRITE_MAN=1` writes it anew.

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};

use crate::cli::Args;

/// Text for roff: hyphens and backslashes, and no line that begins like a macro.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    text.lines()
        .map(|l| l.trim().trim_start_matches(['.', '\'']))
        .collect::<Vec<_>>()
        .join("\n.PP\n")
        .replace("\n.PP\n\n.PP\n", "\n.PP\n")
}

fn option(arg: &Arg) -> String {
    let mut text = String::from(".TP\n\\fB");
    match (arg.get_short(), arg.get_long()) {
        (short, Some(long)) => {
            if let Some(short) = short {
                let _ = write!(text, "\\-{short}, ");
            }
            let _ = write!(text, "\\-\\-{}", plain(long));
        }
        _ => text.push_str(arg.get_id().as_str()),
    }
    text.push_str("\\fR");
    if arg.get_action().takes_values() && !arg.is_positional() {
        for name in arg.get_value_names().unwrap_or_default() {
            let _ = write!(text, " \\fI{name}\\fR");
        }
    }
    let help = arg
        .get_long_help()
        .or(arg.get_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let choices: Vec<String> = arg
        .get_possible_values()
        .iter()
        .map(|v| v.get_name().to_owned())
        .collect();
    let _ = write!(text, "\n{}", plain(&help));
    if !choices.is_empty() && arg.get_action().takes_values() {
        let _ = write!(text, " ({})", choices.join(", "));
    }
    text.push('\n');
    text
}

fn options(command: &Command, global: bool) -> String {
    command
        .get_arguments()
        .filter(|a| a.is_global_set() == global && a.get_id() != "help" && a.get_id() != "version")
        .map(option)
        .collect()
}

fn commands(command: &Command, path: &str, out: &mut String) {
    for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
        let name = format!("{path} {}", sub.get_name());
        if sub.has_subcommands() {
            commands(sub, &name, out);
            continue;
        }
        let about = sub
            .get_long_about()
            .or(sub.get_about())
            .map(ToString::to_string)
            .unwrap_or_default();
        let _ = write!(
            out,
            ".SS {}\n{}\n{}",
            plain(&name),
            plain(&about),
            options(sub, false)
        );
    }
}

fn page() -> String {
    let command = Args::command();
    let about = command
        .get_long_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut out = format!(
        ".TH SIMSYNC\\-CARD 1 \"\" \"simsync\" \"User commands\"\n.SH NAME\nsimsync\\-card \\- prepares, shows and manages simsync cards\n\
         .SH SYNOPSIS\n\\fBsimsync\\-card\\fR [\\fIoptions\\fR] \\fIcommand\\fR\n.SH DESCRIPTION\n{}\n.SH OPTIONS\n{}.SH COMMANDS\n",
        plain(&about),
        options(&command, true)
    );
    commands(&command, "simsync-card", &mut out);
    out.push_str(".SH JSON\nWith \\-\\-json one object is printed: schema_version and the result, or error with code and message.\n.SH SEE ALSO\n.BR simsync (1)\n");
    out
}

#[test]
fn the_manual_is_that_of_this_command_line() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/man/simsync-card.1");
    let page = page();
    if std::env::var_os("SIMSYNC_WRITE_MAN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == page,
        "docs/man/simsync-card.1 is old: run this test with SIMSYNC_WRITE_MAN=1"
    );
    for name in [
        "install",
        "delete",
        "list",
        "lock\\-info",
        "provision",
        "pin change",
    ] {
        assert!(
            written.contains(&format!(".SS simsync\\-card {name}\n")),
            "{name}"
        );
    }
}

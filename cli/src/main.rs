//! `simsync`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    simsync_cli::main()
}

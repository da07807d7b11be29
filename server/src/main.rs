//! The program: see [`simsync_server::cli`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    simsync_server::cli::main()
}

//! `install`: puts the applet onto a card.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use simsync_card::client::TransportSecret;
use simsync_globalplatform::aid::Aid;
use simsync_globalplatform::cap::{CapFile, MAX_FILE};
use simsync_globalplatform::error::GpError;
use simsync_globalplatform::install::{self, InstallRequest, Prepared, Step, Verdict, Wishes};
use zeroize::Zeroizing;

use crate::cli::Install;
use crate::error::ToolError;
use crate::keys::{Source, host_challenge};
use crate::output::Output;
use crate::{reader, secrets};

/// Data of a command in any channel that is opened here: 255 bytes less MAC and padding.
const BLOCK: usize = 239;
const DEFAULT_NAME: &str = "simsync.cap";

/// Installs, or says what would be done.
pub fn run(wanted: Option<&str>, args: &Install, out: &Output) -> Result<(), ToolError> {
    let path = cap_path(args.cap.as_deref())?;
    let cap = read_cap(&path)?;
    let wishes = Wishes {
        replace: args.replace,
        destroy_keys: args.destroy_keys,
    };
    if args.dry_run {
        let mut card = reader::connect(wanted)?;
        let prepared = install::prepare(&mut reader::take(&mut card)?, cap.version(), wishes)?;
        return show_plan(&cap, &path, &prepared, out);
    }
    let secret_source = SecretSource::of(args)?;
    let mut source = Source::open(&args.keys, out)?;
    let mut card = reader::connect(wanted)?;
    let prepared = install::prepare(&mut reader::take(&mut card)?, cap.version(), wishes)?;
    if let Verdict::Nothing(lifecycle) = prepared.verdict {
        let state = reader::lifecycle_word(lifecycle);
        out.result(
            json!({ "installed": true, "changed": false, "version": version(&cap), "state": state }),
            &format!(
                "The applet {} is on this card already ({state}); nothing was done. --replace installs it anew.",
                version(&cap)
            ),
        );
        return Ok(());
    }
    let access = source.get()?;
    let (secret, written) = secret_source.get()?;
    let order = InstallRequest {
        cap: &cap,
        access,
        secret: &secret,
        wishes,
    };
    let taken = reader::take(&mut card)?;
    let done = install::perform(taken, &prepared, &order, &host_challenge(), |p| {
        if p.done == 0 {
            out.step(&format!("{} …", p.step));
        }
    });
    if let Err(e) = done {
        if let Some(file) = written {
            return Err(file.after(e));
        }
        return Err(e.into());
    }
    let (sha256, _) = cap.hashes()?;
    let secret_file = written.map(|w| w.path);
    let mut text = format!("The applet {} is on the card.", version(&cap));
    if let Some(file) = &secret_file {
        text.push_str(&format!(
            "\nIts transport secret is in {}: simsync-card provision --transport-secret-fd 3 3<{}",
            file.display(),
            file.display()
        ));
    }
    out.result(
        json!({
            "installed": true,
            "changed": true,
            "version": version(&cap),
            "applet": cap.applet().to_string(),
            "load_file_sha256": hex::encode(sha256),
            "transport_secret_file": secret_file,
        }),
        &text,
    );
    Ok(())
}

fn version(cap: &CapFile) -> String {
    let (major, minor) = cap.version();
    format!("{major}.{minor}")
}

/// The applet's file: the named one, or where it usually is.
pub fn cap_path(given: Option<&Path>) -> Result<PathBuf, ToolError> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|p| Some(p.parent()?.join(DEFAULT_NAME)));
    let built = Path::new("target/cap").join(DEFAULT_NAME);
    beside
        .into_iter()
        .chain([built])
        .find(|p| p.is_file())
        .ok_or_else(|| {
            ToolError::Usage(
                "there is no simsync.cap beside this program; name it with --cap FILE (releases hold one, `make cap` makes one)"
                    .to_owned(),
            )
        })
}

/// Reads and checks it.
pub fn read_cap(path: &Path) -> Result<CapFile, ToolError> {
    let cannot =
        |e: std::io::Error| ToolError::Usage(format!("{} cannot be read: {e}", path.display()));
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    CapFile::parse(&bytes).map_err(|e| ToolError::Usage(format!("{}: {e}", path.display())))
}

/// What is known without authentication: a load file that an interrupted installation left is not among it.
fn show_plan(
    cap: &CapFile,
    path: &Path,
    prepared: &Prepared,
    out: &Output,
) -> Result<(), ToolError> {
    let steps = match prepared.verdict {
        Verdict::Nothing(_) => Vec::new(),
        Verdict::Install { delete: false } => install::plan(cap, &[], BLOCK)?,
        Verdict::Install { delete: true } => {
            install::plan(cap, &[Aid::our_applet(), Aid::our_package()], BLOCK)?
        }
    };
    let (sha256, sha1) = cap.hashes()?;
    let bytes = cap.load_data().len();
    let mut text = format!(
        "{}: applet {}, {bytes} bytes are loaded\n  SHA-256 {}\n  SHA-1   {}\n",
        path.display(),
        version(cap),
        hex::encode(sha256),
        hex::encode(sha1)
    );
    for component in cap.loaded() {
        text.push_str(&format!(
            "  {:<13} {:>6} bytes\n",
            component.name(),
            component.bytes.len()
        ));
    }
    if let Some(domain) = &prepared.domain {
        let protocols = domain.card_data.iter().flat_map(|d| &d.protocols);
        let protocols: Vec<String> = protocols.map(ToString::to_string).collect();
        text.push_str(&format!(
            "Card manager {} {}\n",
            domain.aid,
            protocols.join(", ")
        ));
    }
    if let Some(free) = prepared.free {
        text.push_str(&format!("{free} bytes are free on the card\n"));
    }
    if steps.is_empty() {
        text.push_str("The applet is on this card already: nothing would be done.\n");
    } else {
        text.push_str(
            "This would be done, after INITIALIZE UPDATE and one EXTERNAL AUTHENTICATE:\n",
        );
    }
    for (number, step) in steps.iter().enumerate() {
        text.push_str(&format!("  {}. {step}\n", number + 1));
    }
    text.push_str("Nothing was changed and no authentication attempted.\n");
    out.result(
        json!({
            "dry_run": true,
            "version": version(cap),
            "load_bytes": bytes,
            "load_file_sha256": hex::encode(sha256),
            "load_file_sha1": hex::encode(sha1),
            "free_persistent": prepared.free,
            "steps": steps.iter().map(Step::to_string).collect::<Vec<_>>(),
        }),
        &text,
    );
    Ok(())
}

/// Where the transport secret comes from.
enum SecretSource<'a> {
    Given(i32),
    Drawn(&'a Path),
}

/// A transport secret that was written to a file.
struct Written {
    path: PathBuf,
}

impl<'a> SecretSource<'a> {
    fn of(args: &'a Install) -> Result<Self, ToolError> {
        match (args.transport_secret_fd, &args.transport_secret_out) {
            (Some(fd), _) => Ok(Self::Given(fd)),
            (None, Some(path)) if path.symlink_metadata().is_ok() => Err(ToolError::Usage(format!(
                "{} exists; each card has a transport secret of its own, choose another file",
                path.display()
            ))),
            (None, Some(path)) => Ok(Self::Drawn(path)),
            (None, None) => Err(ToolError::Usage(
                "say where the card's transport secret goes (--transport-secret-out FILE) or comes from (--transport-secret-fd FD); without it nobody can personalise the card"
                    .to_owned(),
            )),
        }
    }

    /// The secret; a drawn one is on the disk before any card has it.
    fn get(self) -> Result<(TransportSecret, Option<Written>), ToolError> {
        match self {
            Self::Given(fd) => {
                let text = secrets::read(Some(fd), "Transport secret")?;
                let secret = TransportSecret::parse(text.as_bytes())
                    .map_err(|e| ToolError::Usage(e.to_string()))?;
                Ok((secret, None))
            }
            Self::Drawn(path) => {
                let bytes: Zeroizing<[u8; 16]> = Zeroizing::new(rand::random());
                write_secret(path, &bytes).map_err(|e| {
                    ToolError::Other(format!("{} cannot be written: {e}", path.display()))
                })?;
                let written = Written {
                    path: path.to_owned(),
                };
                Ok((TransportSecret::new(*bytes), Some(written)))
            }
        }
    }
}

impl Written {
    /// What became of the file when the installation failed: while the applet may have been installed, it holds the only
    /// copy of a secret that counts.
    fn after(self, e: GpError) -> ToolError {
        let path = self.path.display();
        let may_count = e.transport().is_some()
            || matches!(e, GpError::NotConfirmed(_) | GpError::Altered { .. });
        if may_count {
            tracing::warn!(
                "the transport secret in {path} may count already; go on with it: simsync-card install --transport-secret-fd 3 3<{path}"
            );
            return e.into();
        }
        match std::fs::remove_file(&self.path) {
            Ok(()) => e.into(),
            Err(_) => {
                ToolError::Other(format!("{e} (the transport secret in {path} is of no use)"))
            }
        }
    }
}

fn write_secret(path: &Path, secret: &[u8; 16]) -> std::io::Result<()> {
    let mut text = Zeroizing::new([0; 33]);
    hex::encode_to_slice(secret, &mut text[..32]).map_err(std::io::Error::other)?;
    text[32] = b'\n';
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&text[..])?;
    file.sync_all()?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = std::fs::File::open(folder.unwrap_or(Path::new(".")))?;
    secrets::sync_dir(folder.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use simsync_card::transport::TransportError;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_drawn_secret_is_on_disk_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let (secret, written) = SecretSource::Drawn(&path).get().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim(), hex::encode(secret.as_bytes()));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // Not even in a race is one overwritten.
        assert!(SecretSource::Drawn(&path).get().is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

        let lost = GpError::Transport {
            command: "INSTALL [for install]",
            source: TransportError::RemovedCard,
        };
        let error = written.unwrap().after(lost);
        // It may be the card's by now.
        assert!(error.exit_code() == 4 && path.exists(), "{error}");
        let refused = Written { path: path.clone() }.after(GpError::TooOld);
        assert!(matches!(refused, ToolError::Manager(GpError::TooOld)) && !path.exists());
    }
}

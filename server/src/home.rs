//! The server's folder: keys, settings, database, packs. Everything in it is for the server's user only.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openssl::pkey::PKey;
use openssl::x509::X509;
use serde::{Deserialize, Serialize};
use simsync_card::ids::{Hash, ServerId};
use simsync_protocol::ServerAddress;

use crate::ca::{self, Credential};
use crate::store::blobs::{Blobs, FolderBlobs};
use crate::store::sqlite::SqliteStore;
use crate::store::{Store, StoreError};

/// Version of `server.json`.
const SETTINGS_VERSION: u32 = 1;
/// Where `serve` listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "[::]:7443";

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// `init` on a folder that is a server already.
    #[error("{0} is a server's folder already; nothing was changed")]
    Exists(PathBuf),
    /// No server was made here.
    #[error("{0} is not a server's folder: run `simsync-server init` first")]
    Missing(PathBuf),
    /// Another process serves this folder.
    #[error("another simsync-server serves {0} already")]
    Locked(PathBuf),
    /// Written by a newer simsync-server.
    #[error(
        "{path} has version {found}; this simsync-server knows up to {SETTINGS_VERSION}: update simsync-server"
    )]
    Newer {
        /// The settings file, `server.json`, in which the version stands.
        path: PathBuf,
        /// Version of the format of the folder.
        found: u32,
    },
    /// A file is not what it should be.
    #[error("{0} is damaged")]
    Damaged(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file system failed.
    #[error("{0} cannot be read or written")]
    Io(PathBuf, #[source] io::Error),
    /// OpenSSL failed.
    #[error("a certificate cannot be made")]
    Tls(#[from] openssl::error::ErrorStack),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// `server.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Version of this file.
    pub version: u32,
    /// The server's random number.
    pub server: ServerId,
    /// Host name, or IP address, that the certificate is for.
    pub host: String,
    /// Where to listen.
    pub listen: String,
}

/// A server's folder.
#[derive(Debug, Clone)]
pub struct Home {
    dir: PathBuf,
    /// What stands in its settings file.
    pub settings: Settings,
    /// The CA that signs terminals' certificates.
    pub ca: Credential,
}

impl Home {
    /// Makes a server in `dir`: CA, leaf, random ID and store. Refuses a folder that is one.
    pub fn init(dir: &Path, host: &ServerAddress, listen: &str) -> Result<Self, HomeError> {
        let io_at = |path: &Path| {
            let path = path.to_owned();
            move |e| HomeError::Io(path, e)
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(io_at(dir))?;
        if fs::read_dir(dir).map_err(io_at(dir))?.next().is_some() {
            return Err(HomeError::Exists(dir.to_owned()));
        }
        fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .map_err(io_at(dir))?;
        let mut server = [0; 16];
        getrandom::fill(&mut server).map_err(|e| HomeError::Io(dir.to_owned(), e.into()))?;
        let home = Self {
            dir: dir.to_owned(),
            settings: Settings {
                version: SETTINGS_VERSION,
                server: ServerId(server),
                host: host.host().to_owned(),
                listen: listen.to_owned(),
            },
            ca: ca::new_ca(host.host())?,
        };
        home.write("ca.key", &home.ca.key.private_key_to_pem_pkcs8()?)?;
        home.write("ca.crt", &home.ca.certificate.to_pem()?)?;
        home.renew_leaf()?;
        home.store()?;
        home.blobs()?;
        // Last: a folder without it is not a server's, so an interrupted `init` is noticed.
        home.write_settings()?;
        Ok(home)
    }

    /// Opens a server's folder.
    pub fn open(dir: &Path) -> Result<Self, HomeError> {
        let path = dir.join("server.json");
        let json = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(HomeError::Missing(dir.to_owned()));
            }
            other => other.map_err(|e| HomeError::Io(path.clone(), e))?,
        };
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let damaged = |e: serde_json::Error| HomeError::Damaged(path.clone(), e.into());
        let Version { version: found } = serde_json::from_slice(&json).map_err(damaged)?;
        if found > SETTINGS_VERSION {
            return Err(HomeError::Newer { path, found });
        }
        Ok(Self {
            settings: serde_json::from_slice(&json).map_err(damaged)?,
            ca: read_credential(&dir.join("ca.crt"), &dir.join("ca.key"))?,
            dir: dir.to_owned(),
        })
    }

    /// The same server under another name: a new leaf, and settings. Refused while it is served.
    pub fn arrive(
        mut self,
        host: &ServerAddress,
        listen: Option<String>,
    ) -> Result<Self, HomeError> {
        let _lock = self.lock()?;
        host.host().clone_into(&mut self.settings.host);
        if let Some(listen) = listen {
            self.settings.listen = listen;
        }
        self.renew_leaf()?;
        self.write_settings()?;
        Ok(self)
    }

    fn write_settings(&self) -> Result<(), HomeError> {
        let json = serde_json::to_vec_pretty(&self.settings)
            .map_err(|e| HomeError::Damaged(self.path("server.json"), e.into()))?;
        self.write("server.json", &json)
    }

    /// The server's leaf; a new one if it is missing or about to expire. The flag says whether it is new.
    pub fn leaf(&self) -> Result<(Credential, bool), HomeError> {
        let found = read_credential(&self.path("server.crt"), &self.path("server.key"));
        match found {
            Ok(leaf) if !ca::leaf_is_old(&leaf.certificate)? && matches(&leaf) => Ok((leaf, false)),
            _ => Ok((self.renew_leaf()?, true)),
        }
    }

    fn renew_leaf(&self) -> Result<Credential, HomeError> {
        let leaf = ca::new_leaf(&self.ca, &self.settings.host)?;
        self.write("server.key", &leaf.key.private_key_to_pem_pkcs8()?)?;
        self.write("server.crt", &leaf.certificate.to_pem()?)?;
        Ok(leaf)
    }

    /// The subscriber database.
    pub fn store(&self) -> Result<Arc<dyn Store>, HomeError> {
        Ok(Arc::new(SqliteStore::open(&self.path("simsync.db"))?))
    }

    /// Opens the folder of packs.
    pub fn blobs(&self) -> Result<Arc<dyn Blobs>, HomeError> {
        Ok(Arc::new(FolderBlobs::open(&self.path("blobs"))?))
    }

    /// Fingerprint of the CA, which cards carry: the hash of its public key info.
    pub fn ca_pin(&self) -> Result<Hash, HomeError> {
        Ok(ca::pin(&self.ca)?)
    }

    /// Socket of a running server's operator.
    pub fn admin_socket(&self) -> PathBuf {
        self.path("admin.sock")
    }

    /// Held by the one process that serves this folder, as long as the file lives.
    pub fn lock(&self) -> Result<File, HomeError> {
        let path = self.path("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| HomeError::Io(path.clone(), e))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| HomeError::Locked(self.dir.clone()))?;
        Ok(file)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Replaces a file as a whole, durable, readable by the owner only.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), HomeError> {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        let result = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.dir)?.sync_all()
        })();
        result.map_err(|e| HomeError::Io(path, e))
    }
}

fn matches(leaf: &Credential) -> bool {
    let public = leaf.certificate.public_key();
    let same = public.is_ok_and(|public| public.public_eq(&leaf.key));
    // As in `ca::read_request`: a "no" may leave an error behind.
    let _ = openssl::error::ErrorStack::get();
    same
}

fn read_credential(certificate: &Path, key: &Path) -> Result<Credential, HomeError> {
    let read = |path: &Path| fs::read(path).map_err(|e| HomeError::Io(path.to_owned(), e));
    let damaged =
        |path: &Path, e: openssl::error::ErrorStack| HomeError::Damaged(path.to_owned(), e.into());
    Ok(Credential {
        certificate: X509::from_pem(&read(certificate)?).map_err(|e| damaged(certificate, e))?,
        key: PKey::private_key_from_pem(&read(key)?).map_err(|e| damaged(key, e))?,
    })
}

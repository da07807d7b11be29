//! Why a CAP file is not taken.

/// Longest file that is read, in bytes. Ours is 17 KB.
pub const MAX_FILE: usize = 1 << 20;
/// LOAD counts its blocks in one byte.
pub const MAX_BLOCKS: usize = 256;

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapError {
    /// Longer than any CAP file of ours.
    #[error("the CAP file has more than {MAX_FILE} bytes; it is not the simsync applet")]
    TooLarge,
    /// No ZIP archive, or a broken one.
    #[error("the CAP file is damaged: it is no readable ZIP archive; build or download it again")]
    NotZip,
    /// A component whose content does not fit its checksum or size in the archive.
    #[error("the CAP file is damaged: {0} does not match its checksum; build or download it again")]
    Checksum(String),
    /// A component packed in a way that no converter uses.
    #[error("the CAP file packs {0} in a way that is not read here; repack it stored or deflated")]
    Packing(String),
    /// Two components of one name, or in two folders.
    #[error(
        "the CAP file holds more than one package, or {0} twice; it must hold the simsync applet alone"
    )]
    Ambiguous(String),
    /// A component that every applet has.
    #[error("the CAP file is incomplete: {0} is missing; build or download it again")]
    Missing(&'static str),
    /// A component that does not fit itself or the others.
    #[error("the CAP file is damaged: {component} {what}; build or download it again")]
    Malformed {
        /// The component's name.
        component: &'static str,
        /// What is wrong with the component, as the predicate of the sentence above: "ends too early".
        what: &'static str,
    },
    /// Of a format that this was not written for.
    #[error(
        "the CAP file has format {major}.{minor}; convert the applet for Java Card 3.0.4, whose format is 2.1 or 2.2"
    )]
    Format {
        /// Its major version.
        major: u8,
        /// Its minor version.
        minor: u8,
    },
    /// Somebody else's package.
    #[error("the CAP file holds the package {0}, not the simsync applet")]
    OtherPackage(String),
    /// Ours, without the applet.
    #[error("the CAP file does not hold the simsync applet F053494D53594E4301")]
    NoApplet,
    /// Ours, in a version that this tool cannot speak to.
    #[error(
        "the CAP file holds version {major}.{minor} of the applet and this tool knows 1; take files of one release"
    )]
    Version {
        /// Its major version.
        major: u8,
        /// Its minor version.
        minor: u8,
    },
    /// More than LOAD can count.
    #[error("the CAP file needs {0} blocks and LOAD counts {MAX_BLOCKS}")]
    TooManyBlocks(usize),
}

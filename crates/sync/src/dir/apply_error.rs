//! Why something was not written.

use rustix::io::Errno;

use crate::node::RelPath;

/// Why a change was not applied. Nothing was overwritten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The place is not what the plan was made for: somebody changed it meanwhile.
    #[error("{0} was changed meanwhile; it is looked at again at the next sync")]
    ChangedMeanwhile(RelPath),
    /// The system refused.
    #[error("{path}: {errno}")]
    Io {
        /// The path that could not be written.
        path: String,
        /// What the system said.
        errno: Errno,
    },
}

impl ApplyError {
    pub(super) fn io(path: &RelPath, errno: Errno) -> Self {
        Self::Io {
            path: path.to_string(),
            errno,
        }
    }

    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        matches!(
            self,
            Self::Io {
                errno: Errno::NOSPC | Errno::DQUOT,
                ..
            }
        )
    }

    /// Whether permissions are in the way.
    pub fn is_denied(&self) -> bool {
        matches!(
            self,
            Self::Io {
                errno: Errno::ACCESS | Errno::PERM,
                ..
            }
        )
    }
}

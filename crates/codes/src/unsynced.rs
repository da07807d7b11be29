//! Why a file, or a collection, is not where it should be.

use super::UnknownCode;

macro_rules! unsynced {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $person:literal, $remedy:literal;)*) => {
        /// Why something is not where it should be.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Unsynced { $($(#[$doc])* $name,)* }

        impl Unsynced {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code that D-Bus, JSON and the database know.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether it stays so until a person does something.
            pub fn needs_person(self) -> bool {
                match self { $(Self::$name => $person,)* }
            }

            /// Whether it is a question, which `collections answer` answers.
            pub fn asks(self) -> bool {
                matches!(
                    self,
                    Self::Unseen | Self::RootMissing | Self::RootEmpty | Self::MassDeletion
                )
            }

            /// Whether another look may find it mended without a change in the folder itself.
            pub fn may_mend(self) -> bool {
                !matches!(
                    self,
                    Self::Special
                        | Self::PathTooLong
                        | Self::TooDeep
                        | Self::ListingTooLarge
                        | Self::NotTaken
                )
            }

            /// What a person can do about it, or that it is tried again. It is no whole sentence: no capital, no full stop.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

unsynced! {
    /// The system does not let us look at it.
    Unreadable = "unreadable", true, "make it readable for you";
    /// It was on another file system that is not mounted now, or below a folder that is another one now.
    Unseen = "unseen", true, "mount its disk; if that is gone for good, say what is to become of it: `simsync collections answer NAME deleted|give-back|stop`";
    /// A FIFO, a socket or a device.
    Special = "special", true, "only files, folders and links are synced: remove it, or move it out of the collection";
    /// Longer than a path may be.
    PathTooLong = "path-too-long", true, "shorten the names above it";
    /// Too many folders within each other.
    TooDeep = "too-deep", true, "move it up: 512 folders within each other are synced, no more";
    /// A folder with too many entries.
    ListingTooLarge = "listing-too-large", true, "put some of the folder's entries into folders of their own";
    /// It was written while it was read.
    Changing = "changing", false, "it is taken when it rests";
    /// It changed here while the vault's version was about to be written.
    ChangedMeanwhile = "changed-meanwhile", false, "both versions are looked at again at the next sync";
    /// Another terminal changed it, and the owner wants to look before it is taken.
    NotTaken = "not-taken", true, "another terminal changed it: look, and take it, with `simsync sync --review`";
    /// It cannot be written here.
    NotWritable = "not-writable", true, "make it and its folder writable for you";
    /// There is no room on the disk.
    DiskFull = "disk-full", true, "make room on the disk; it is tried again by itself";
    /// The disk refuses.
    Io = "disk-error", true, "look at the disk";
    /// A piece of it is in no pack that this terminal has.
    VaultIncomplete = "vault-incomplete", false, "another terminal may still be uploading it; it is tried again";
    /// What the vault has of it cannot be used.
    VaultDamaged = "vault-damaged", true, "what the server has of it does not open: put the same file here from the terminal that has it, or change it there; or ask the operator";
    /// The collection's folder is missing.
    RootMissing = "root-missing", true, "mount its disk, or say what is to become of it: `simsync collections answer NAME deleted|give-back|stop`";
    /// The collection's folder is empty, and was not.
    RootEmpty = "root-empty", true, "mount its disk, or say what is to become of it: `simsync collections answer NAME deleted|give-back|stop`";
    /// Very many deletions at once.
    MassDeletion = "mass-deletion", true, "say whether that is meant: `simsync collections answer NAME deleted|give-back|stop`";
    /// There was no time or room for it when the card was pulled.
    NotSealed = "not-sealed", true, "it is on this terminal only: put the card in here again";
    /// The collection could not be looked at.
    CollectionFailed = "collection-failed", true, "it is tried again; `simsync doctor` may tell more";
}

impl std::str::FromStr for Unsynced {
    type Err = UnknownCode;

    fn from_str(s: &str) -> Result<Self, UnknownCode> {
        Self::ALL
            .iter()
            .find(|c| c.as_str() == s)
            .copied()
            .ok_or(UnknownCode)
    }
}

word!(Unsynced);

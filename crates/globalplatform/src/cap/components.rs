//! What the components say, and whether they agree.

use simsync_card::client::{APPLET_AID, PACKAGE_AID};

use super::error::CapError;

const HEADER: u8 = 1;
const DIRECTORY: u8 = 2;
const APPLET: u8 = 3;
const IMPORT: u8 = 4;
const CONSTANT_POOL: u8 = 5;
const CLASS: u8 = 6;
const METHOD: u8 = 7;
const STATIC_FIELD: u8 = 8;
const REFERENCE_LOCATION: u8 = 9;
const EXPORT: u8 = 10;
const DESCRIPTOR: u8 = 11;
const DEBUG: u8 = 12;

/// Tags and names of files, in the order in which components are loaded (6.2; GPCS C.1.2).
pub(super) const NAMES: [(u8, &str); 12] = [
    (HEADER, "Header"),
    (DIRECTORY, "Directory"),
    (IMPORT, "Import"),
    (APPLET, "Applet"),
    (CLASS, "Class"),
    (METHOD, "Method"),
    (STATIC_FIELD, "StaticField"),
    (EXPORT, "Export"),
    (CONSTANT_POOL, "ConstantPool"),
    (REFERENCE_LOCATION, "RefLocation"),
    (DESCRIPTOR, "Descriptor"),
    (DEBUG, "Debug"),
];

/// What an applet cannot be without.
const REQUIRED: [u8; 9] = [
    HEADER,
    DIRECTORY,
    IMPORT,
    APPLET,
    CLASS,
    METHOD,
    STATIC_FIELD,
    CONSTANT_POOL,
    REFERENCE_LOCATION,
];

const MAGIC: [u8; 4] = [0xDE, 0xCA, 0xFF, 0xED];
/// Flags of the header: ACC_INT is what a card of 16 bits does not have, ACC_APPLET what an applet has.
const ACC_INT: u8 = 0x01;
const ACC_APPLET: u8 = 0x04;
/// Before a component's own bytes: tag, and size.
const PREFIX: usize = 3;
/// Major version of the applet that this side speaks to.
const OUR_MAJOR: u8 = 1;

/// One component, with its tag and its size in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    file_tag: u8,
    /// Tag (1 byte), size of the content (2 bytes, big-endian) and content, as the card is to get them.
    pub bytes: Vec<u8>,
}

impl Component {
    /// The tag is the one that its file's name stands for.
    pub(super) fn new(file_tag: u8, bytes: Vec<u8>) -> Self {
        Self { file_tag, bytes }
    }

    pub(super) fn tag(&self) -> u8 {
        self.file_tag
    }

    pub(super) fn rank(&self) -> usize {
        let at = NAMES.iter().position(|(tag, _)| *tag == self.file_tag);
        at.unwrap_or(NAMES.len())
    }

    /// Name of its file in the CAP file, without `.cap`: `Header`, `RefLocation`. Empty for a tag that is none of those.
    pub fn name(&self) -> &'static str {
        NAMES.get(self.rank()).map_or("", |(_, name)| name)
    }

    /// Descriptor is of use to verifiers and Debug to debuggers; no card needs them.
    pub(super) fn is_loaded(&self) -> bool {
        !matches!(self.file_tag, DESCRIPTOR | DEBUG)
    }

    fn malformed(&self, what: &'static str) -> CapError {
        CapError::Malformed {
            component: self.name(),
            what,
        }
    }

    /// Its own bytes, if tag and size in front are right.
    fn content(&self) -> Result<&[u8], CapError> {
        let (prefix, content) = self
            .bytes
            .split_first_chunk::<PREFIX>()
            .ok_or_else(|| self.malformed("ends too early"))?;
        let [tag, high, low] = *prefix;
        if tag != self.file_tag {
            return Err(self.malformed("has another component's tag"));
        }
        if content.len() != usize::from(u16::from_be_bytes([high, low])) {
            return Err(self.malformed("has another size than it says"));
        }
        Ok(content)
    }

    fn fields(&self) -> Result<Fields<'_>, CapError> {
        Ok(Fields {
            component: self,
            rest: self.content()?,
        })
    }
}

struct Fields<'a> {
    component: &'a Component,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], CapError> {
        let early = || self.component.malformed("ends too early");
        let (field, rest) = self.rest.split_at_checked(length).ok_or_else(early)?;
        self.rest = rest;
        Ok(field)
    }

    fn u8(&mut self) -> Result<u8, CapError> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, CapError> {
        let field = self.take(2)?;
        Ok(u16::from_be_bytes([field[0], field[1]]))
    }

    /// One byte of length, and so many bytes.
    fn counted(&mut self) -> Result<&'a [u8], CapError> {
        let length = self.u8()?;
        self.take(length.into())
    }

    fn finish(self) -> Result<(), CapError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.component.malformed("has bytes after its end"))
        }
    }
}

/// Checks all of them, in the order of [`NAMES`]; answers the package's version, major and minor.
pub(super) fn check(components: &[Component]) -> Result<(u8, u8), CapError> {
    for tag in REQUIRED {
        find(components, tag)?;
    }
    let mut sizes = [0; NAMES.len()];
    for component in components {
        sizes[usize::from(component.tag() - 1)] = component.content()?.len();
    }
    let (minor_format, version) = check_header(find(components, HEADER)?)?;
    check_directory(find(components, DIRECTORY)?, minor_format, &sizes)?;
    check_import(find(components, IMPORT)?)?;
    check_applet(find(components, APPLET)?, sizes[usize::from(METHOD - 1)])?;
    Ok(version)
}

fn find(components: &[Component], tag: u8) -> Result<&Component, CapError> {
    let found = components.iter().find(|c| c.tag() == tag);
    found.ok_or_else(|| {
        let name = NAMES.iter().find(|(t, _)| *t == tag);
        CapError::Missing(name.map_or("", |(_, name)| name))
    })
}

/// 6.4: magic, format, flags, package. Answers the format's minor number and the package's version.
fn check_header(header: &Component) -> Result<(u8, (u8, u8)), CapError> {
    let mut fields = header.fields()?;
    if fields.take(4)? != MAGIC {
        return Err(header.malformed("does not begin with DECAFFED"));
    }
    let (minor_format, major_format) = (fields.u8()?, fields.u8()?);
    if major_format != 2 || !matches!(minor_format, 1 | 2) {
        return Err(CapError::Format {
            major: major_format,
            minor: minor_format,
        });
    }
    let flags = fields.u8()?;
    let (minor, major) = (fields.u8()?, fields.u8()?);
    let package = fields.counted()?;
    if package != PACKAGE_AID {
        return Err(CapError::OtherPackage(hex::encode_upper(package)));
    }
    // Since 2.2 the package's name follows, of a length that may be 0.
    if minor_format >= 2 {
        fields.counted()?;
    }
    fields.finish()?;
    if flags & ACC_INT != 0 {
        return Err(header.malformed("asks for 32-bit integers, which the applet does not use"));
    }
    if flags & ACC_APPLET == 0 {
        return Err(header.malformed("says that it has no applet"));
    }
    if major != OUR_MAJOR {
        return Err(CapError::Version { major, minor });
    }
    Ok((minor_format, (major, minor)))
}

/// 6.5: the sizes of all components (Debug's since 2.2), static fields, counts, custom components.
fn check_directory(
    directory: &Component,
    minor_format: u8,
    sizes: &[usize; NAMES.len()],
) -> Result<(), CapError> {
    let mut fields = directory.fields()?;
    let told = if minor_format >= 2 { 12 } else { 11 };
    for (index, size) in sizes.iter().enumerate().take(told) {
        let says = usize::from(fields.u16()?);
        // A file without Debug or Descriptor, which are not loaded, is as good.
        let left_out = *size == 0 && matches!(index + 1, 11 | 12);
        if says != *size && !left_out {
            return Err(directory.malformed("names other sizes than the components have"));
        }
    }
    let (_image, _arrays, _array_bytes) = (fields.u16()?, fields.u16()?, fields.u16()?);
    let (_imports, applets, custom) = (fields.u8()?, fields.u8()?, fields.u8()?);
    if custom != 0 {
        return Err(directory.malformed("names custom components, which the applet does not have"));
    }
    if applets != 1 {
        return Err(directory.malformed("names another number of applets than one"));
    }
    fields.finish()
}

/// 6.6: packages that are used.
fn check_import(import: &Component) -> Result<(), CapError> {
    let mut fields = import.fields()?;
    for _ in 0..fields.u8()? {
        let (_minor, _major) = (fields.u8()?, fields.u8()?);
        let aid = fields.counted()?;
        if !(5..=16).contains(&aid.len()) {
            return Err(import.malformed("names a package that no AID can name"));
        }
    }
    fields.finish()
}

/// 6.7: applets and their install methods.
fn check_applet(applet: &Component, method_size: usize) -> Result<(), CapError> {
    let mut fields = applet.fields()?;
    let count = fields.u8()?;
    let aid = fields.counted()?;
    let install = fields.u16()?;
    fields.finish()?;
    if count != 1 || aid != APPLET_AID {
        return Err(CapError::NoApplet);
    }
    if usize::from(install) >= method_size {
        return Err(applet.malformed("names an install method outside Method"));
    }
    Ok(())
}

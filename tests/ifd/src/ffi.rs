//! The interface of pcscd's drivers (ifdhandler.h, API 3.0), which is C: all unsafe code is here.
#![allow(unsafe_code, reason = "pcscd gives pointers")]
#![allow(non_snake_case, reason = "pcscd looks the functions up by these names")]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_long, c_uchar, c_ulong};
use std::sync::Arc;

use crate::card::Power;
use crate::reader::{Failure, Reader};
use parking_lot::Mutex;

type Dword = c_ulong;
type ResponseCode = c_long;

const SUCCESS: ResponseCode = 0;
const ERROR_TAG: ResponseCode = 600;
const ERROR_NOT_SUPPORTED: ResponseCode = 606;
const ERROR_POWER_ACTION: ResponseCode = 608;
const COMMUNICATION_ERROR: ResponseCode = 612;
const ICC_PRESENT: ResponseCode = 615;
const ICC_NOT_PRESENT: ResponseCode = 616;
const NO_SUCH_DEVICE: ResponseCode = 617;
const INSUFFICIENT_BUFFER: ResponseCode = 618;

const POWER_UP: Dword = 500;
const POWER_DOWN: Dword = 501;
const RESET: Dword = 502;

const TAG_ATR: Dword = 0x0303;
const TAG_ATR_STRING: Dword = 0x9_0303;
const TAG_VENDOR_NAME: Dword = 0x1_0100;
const TAG_THREAD_SAFE: Dword = 0x0FAD;
const TAG_SLOTS_NUMBER: Dword = 0x0FAE;
const TAG_SIMULTANEOUS_ACCESS: Dword = 0x0FAF;
/// How many readers one pcscd may have with this driver.
const READERS_MAX: u8 = 16;

/// Longest message that pcscd hands over or takes, in bytes.
const MESSAGE_MAX: usize = 65_536 + 16;

/// SCARD_IO_HEADER.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IoHeader {
    protocol: Dword,
    length: Dword,
}

static READERS: Mutex<BTreeMap<Dword, Arc<Mutex<Reader>>>> = Mutex::new(BTreeMap::new());

fn with(lun: Dword, work: impl FnOnce(&mut Reader) -> ResponseCode) -> ResponseCode {
    let readers = READERS.lock();
    let reader = readers.get(&lun).cloned();
    // Not while somebody types at this reader: others go on.
    drop(readers);
    match reader {
        Some(reader) => work(&mut reader.lock()),
        None => NO_SUCH_DEVICE,
    }
}

fn code(failure: &Failure) -> ResponseCode {
    match failure {
        Failure::NotSupported => ERROR_NOT_SUPPORTED,
        Failure::Communication => COMMUNICATION_ERROR,
    }
}

/// What the caller hands over.
///
/// # Safety
/// `data` points to `length` bytes, or is null.
unsafe fn given<'a>(data: *const c_uchar, length: Dword) -> Option<&'a [u8]> {
    let length = usize::try_from(length).ok()?;
    match length {
        0 => Some(&[]),
        _ if data.is_null() || length > MESSAGE_MAX => None,
        // SAFETY: by this function's own condition.
        _ => Some(unsafe { std::slice::from_raw_parts(data, length) }),
    }
}

/// Puts an answer where the caller has room for `room` bytes, and its length.
///
/// # Safety
/// `to` points to `room` bytes, or is null; `length` points to a number, or is null.
unsafe fn give(answer: &[u8], to: *mut c_uchar, room: Dword, length: *mut Dword) -> ResponseCode {
    if to.is_null() || length.is_null() {
        return COMMUNICATION_ERROR;
    }
    let size = answer.len() as Dword;
    if size > room {
        return INSUFFICIENT_BUFFER;
    }
    // SAFETY: there is room, and nothing of ours lies there.
    unsafe {
        std::ptr::copy_nonoverlapping(answer.as_ptr(), to, answer.len());
        *length = size;
    }
    SUCCESS
}

/// Opens the reader of this device name.
///
/// # Safety
/// `name` is a C string, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn IFDHCreateChannelByName(lun: Dword, name: *const c_char) -> ResponseCode {
    if name.is_null() {
        return NO_SUCH_DEVICE;
    }
    // SAFETY: by this function's own condition.
    let name = unsafe { CStr::from_ptr(name) };
    match name.to_str().ok().and_then(Reader::open) {
        Some(reader) => {
            let mut readers = READERS.lock();
            readers.insert(lun, Arc::new(Mutex::new(reader)));
            SUCCESS
        }
        None => NO_SUCH_DEVICE,
    }
}

/// There is no reader without a device name.
#[unsafe(no_mangle)]
pub extern "C" fn IFDHCreateChannel(_lun: Dword, _channel: Dword) -> ResponseCode {
    NO_SUCH_DEVICE
}

/// Closes a reader.
#[unsafe(no_mangle)]
pub extern "C" fn IFDHCloseChannel(lun: Dword) -> ResponseCode {
    let mut readers = READERS.lock();
    readers.remove(&lun);
    SUCCESS
}

/// What the reader is and has.
///
/// # Safety
/// `length` points to the number of bytes to which `value` points; either may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn IFDHGetCapabilities(
    lun: Dword,
    tag: Dword,
    length: *mut Dword,
    value: *mut c_uchar,
) -> ResponseCode {
    if length.is_null() {
        return COMMUNICATION_ERROR;
    }
    // SAFETY: by this function's own condition, here and below.
    let room = unsafe { *length };
    let tell = |answer: &[u8]| unsafe { give(answer, value, room, length) };
    match tag {
        TAG_ATR | TAG_ATR_STRING => with(lun, |reader| tell(reader.atr())),
        TAG_VENDOR_NAME => tell(b"simsync test reader"),
        TAG_SIMULTANEOUS_ACCESS => tell(&[READERS_MAX]),
        TAG_THREAD_SAFE | TAG_SLOTS_NUMBER => tell(&[1]),
        _ => ERROR_TAG,
    }
}

/// Nothing can be set.
#[unsafe(no_mangle)]
pub extern "C" fn IFDHSetCapabilities(
    _lun: Dword,
    _tag: Dword,
    _length: Dword,
    _value: *const c_uchar,
) -> ResponseCode {
    ERROR_TAG
}

/// Any protocol will do: APDUs go as they are.
#[unsafe(no_mangle)]
pub extern "C" fn IFDHSetProtocolParameters(
    _lun: Dword,
    _protocol: Dword,
    _flags: c_uchar,
    _pts1: c_uchar,
    _pts2: c_uchar,
    _pts3: c_uchar,
) -> ResponseCode {
    SUCCESS
}

/// Power on, off, reset.
///
/// # Safety
/// `atr` points to 33 bytes (MAX_ATR_SIZE) and `length` to a number; either may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn IFDHPowerICC(
    lun: Dword,
    action: Dword,
    atr: *mut c_uchar,
    length: *mut Dword,
) -> ResponseCode {
    let power = match action {
        POWER_UP => Power::On,
        POWER_DOWN => Power::Off,
        RESET => Power::Reset,
        _ => return ERROR_NOT_SUPPORTED,
    };
    with(lun, |reader| match reader.power(power) {
        // SAFETY: the slot takes no answer to reset of more than 33 bytes.
        Ok(answer) => unsafe { give(answer, atr, 33, length) },
        Err(_) => ERROR_POWER_ACTION,
    })
}

/// One command to the card.
///
/// # Safety
/// `tx` points to `tx_length` bytes, `rx` to `*rx_length`, the others to one each; any may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn IFDHTransmitToICC(
    lun: Dword,
    send_pci: IoHeader,
    tx: *const c_uchar,
    tx_length: Dword,
    rx: *mut c_uchar,
    rx_length: *mut Dword,
    receive_pci: *mut IoHeader,
) -> ResponseCode {
    // SAFETY: by this function's own condition, here and below.
    let Some(command) = (unsafe { given(tx, tx_length) }) else {
        return COMMUNICATION_ERROR;
    };
    if rx_length.is_null() {
        return COMMUNICATION_ERROR;
    }
    let room = unsafe { *rx_length };
    // Nothing came, until something does.
    unsafe { *rx_length = 0 };
    let result = with(lun, |reader| match reader.transmit(command) {
        Ok(answer) => unsafe { give(&answer, rx, room, rx_length) },
        Err(failure) => code(&failure),
    });
    if result == SUCCESS && !receive_pci.is_null() {
        unsafe { *receive_pci = send_pci };
    }
    result
}

/// One order to the reader.
///
/// # Safety
/// `tx` points to `tx_length` bytes, `rx` to `rx_length`, `returned` to a number; any may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn IFDHControl(
    lun: Dword,
    control_code: Dword,
    tx: *const c_uchar,
    tx_length: Dword,
    rx: *mut c_uchar,
    rx_length: Dword,
    returned: *mut Dword,
) -> ResponseCode {
    // SAFETY: by this function's own condition, here and below.
    let data = unsafe { given(tx, tx_length) };
    if returned.is_null() {
        return COMMUNICATION_ERROR;
    }
    unsafe { *returned = 0 };
    let (Some(data), Ok(control)) = (data, u32::try_from(control_code)) else {
        return ERROR_NOT_SUPPORTED;
    };
    with(lun, |reader| match reader.control(control, data) {
        Ok(answer) => unsafe { give(&answer, rx, rx_length, returned) },
        Err(failure) => code(&failure),
    })
}

/// Whether a card is in.
#[unsafe(no_mangle)]
pub extern "C" fn IFDHICCPresence(lun: Dword) -> ResponseCode {
    with(lun, |reader| {
        if reader.is_present() {
            ICC_PRESENT
        } else {
            ICC_NOT_PRESENT
        }
    })
}

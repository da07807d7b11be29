//! Card readers that come and go, by udev. A hint only: pcscd has the last word.

use std::collections::HashSet;
use std::path::PathBuf;

use futures_util::StreamExt;
use tokio_udev::{AsyncMonitorSocket, Device, Enumerator, EventType, MonitorBuilder};

use crate::rules::Event;

/// Watches readers for as long as udev answers, and emits [`Event::ReaderHint`].
pub async fn run(emit: impl Fn(Event)) {
    if let Err(error) = watch(&emit).await {
        tracing::warn!(%error, "readers are not seen by udev; they are found by pcscd alone");
    }
}

async fn watch(emit: &impl Fn(Event)) -> std::io::Result<()> {
    // Listening first: what comes while the present ones are listed is not missed.
    let monitor = MonitorBuilder::new()?.match_subsystem("usb")?.listen()?;
    let mut events = AsyncMonitorSocket::new(monitor)?;
    let mut known = present()?;
    if !known.is_empty() {
        emit(Event::ReaderHint);
    }
    while let Some(event) = events.next().await {
        let event = event?;
        if note(&mut known, event.event_type(), &event.device()) {
            emit(Event::ReaderHint);
        }
    }
    Ok(())
}

/// Readers that are there.
fn present() -> std::io::Result<HashSet<PathBuf>> {
    let mut list = Enumerator::new()?;
    list.match_subsystem("usb")?;
    let readers = list.scan_devices()?.filter(is_reader);
    Ok(readers.map(|d| d.syspath().to_owned()).collect())
}

/// Whether an event is of a reader. When it is removed, the properties that say so may be gone: the path is remembered.
fn note(known: &mut HashSet<PathBuf>, what: EventType, device: &Device) -> bool {
    let path = device.syspath();
    match what {
        EventType::Remove | EventType::Unbind => {
            let was_known = if what == EventType::Remove {
                known.remove(path)
            } else {
                known.contains(path)
            };
            was_known || is_reader(device)
        }
        _ => is_reader(device) && known.insert(path.to_owned()),
    }
}

/// A device that says it is a reader, or an interface of the class of readers (CCID, 0x0b).
fn is_reader(device: &Device) -> bool {
    let property = |name: &str| {
        device
            .property_value(name)
            .map(|v| v.to_string_lossy().into_owned())
    };
    if property("ID_SMARTCARD_READER").is_some_and(|v| v == "1") {
        return true;
    }
    // Decimal class/subclass/protocol of an interface; or every interface of a device, in hexadecimal.
    property("INTERFACE").is_some_and(|v| v.starts_with("11/"))
        || property("ID_USB_INTERFACES").is_some_and(|v| v.contains(":0b"))
        || device
            .attribute_value("bInterfaceClass")
            .is_some_and(|v| v == "0b")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead;
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    /// Set in the inner run, which sees the made-up devices.
    const INNER: &str = "SIMSYNC_TEST_UDEV_INNER";

    /// Runs in the made-up world: says what it sees.
    #[tokio::test]
    #[ignore = "run by readers_come_and_go"]
    async fn inner() {
        if std::env::var_os(INNER).is_none() {
            return;
        }
        let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(run(move |e| tx.send(e).unwrap_or_default()));
        for what in ["present", "added", "removed"] {
            let next = tokio::time::timeout(Duration::from_secs(20), rx.recv());
            assert_eq!(next.await.unwrap(), Some(Event::ReaderHint));
            println!("hint {what}");
        }
    }

    /// One reader is there, another one comes and goes; a device that is no reader comes too. The remove has no
    /// properties left, as with a real kernel.
    const STAGE: &str = r#"
import ctypes, os, subprocess, sys
lib = ctypes.CDLL("libumockdev.so.0")
lib.umockdev_testbed_new.restype = ctypes.c_void_p
bed = ctypes.c_void_p(lib.umockdev_testbed_new())
def add(name, extra):
    text = ("P: /devices/pci0000:00/usb1/%s\nE: SUBSYSTEM=usb\nE: DEVTYPE=usb_device\n%s\n" % (name, extra)).encode()
    assert lib.umockdev_testbed_add_from_string(bed, ctypes.c_char_p(text), None)
    return ("/sys/devices/pci0000:00/usb1/" + name).encode()
add("1-1", "E: ID_SMARTCARD_READER=1")
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
def wait(word):
    for line in child.stdout:
        print(line, end="", flush=True)
        if word in line:
            return
    sys.exit("the watcher ended early")
wait("hint present")
mouse = add("1-2", "E: ID_USB_INTERFACES=:030102:")
lib.umockdev_testbed_uevent(bed, ctypes.c_char_p(mouse), ctypes.c_char_p(b"add"))
reader = add("1-3", "E: ID_USB_INTERFACES=:0b0000:")
lib.umockdev_testbed_uevent(bed, ctypes.c_char_p(reader), ctypes.c_char_p(b"add"))
wait("hint added")
lib.umockdev_testbed_set_property(bed, ctypes.c_char_p(reader), ctypes.c_char_p(b"ID_USB_INTERFACES"), ctypes.c_char_p(b""))
lib.umockdev_testbed_uevent(bed, ctypes.c_char_p(reader), ctypes.c_char_p(b"remove"))
wait("hint removed")
sys.exit(child.wait())
"#;

    #[test]
    fn readers_come_and_go() {
        if !Path::new("/usr/bin/umockdev-wrapper").exists()
            || !Path::new("/usr/bin/python3").exists()
        {
            println!("SKIPPED: umockdev is not installed (apt install umockdev python3)");
            return;
        }
        let mut stage = Command::new("umockdev-wrapper")
            .args(["/usr/bin/python3", "-c", STAGE])
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "watch::reader::tests::inner",
                "--ignored",
                "--nocapture",
            ])
            .env(INNER, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(stage.stdout.take().unwrap()).lines();
        let seen: Vec<String> = lines
            .map_while(Result::ok)
            .filter_map(|l| l.split("hint ").nth(1).map(str::to_owned))
            .collect();
        assert!(stage.wait().unwrap().success());
        assert_eq!(seen, ["present", "added", "removed"]);
    }
}

//! Why a modem gives no card.

use std::time::Duration;

/// A failure of the modem, or of the way to it.
#[derive(Debug, thiserror::Error)]
pub enum ModemError {
    /// The device cannot be opened.
    #[error("{0} cannot be opened: {1}")]
    Open(String, #[source] std::io::Error),
    /// It is no serial port.
    #[error("{0} is no serial port; name the modem's AT port, for example /dev/ttyUSB2")]
    NoPort(String),
    /// The device is busy (EBUSY): another program opened it for itself alone.
    #[error(
        "another program has {0} for itself, ModemManager perhaps; name another AT port of the modem, or let ModemManager leave this one alone (ID_MM_PORT_IGNORE)"
    )]
    Taken(String),
    /// No answer in time.
    #[error("the modem did not answer within {} s; is this its AT port?", .0.as_secs())]
    Silent(Duration),
    /// The device is gone.
    #[error("the modem is gone; connect it again")]
    Gone,
    /// More than it may say at once.
    #[error("the modem says too much to be understood; is this its AT port?")]
    Flood,
    /// It answers what it must not.
    #[error("the modem's answer makes no sense: {0}")]
    Nonsense(&'static str),
    /// It says no.
    #[error("the modem refused {0}: {1}")]
    Refused(&'static str, String),
    /// There is no SIM.
    #[error("there is no SIM in the modem; put it in")]
    NoSim,
    /// The network's PIN of the SIM is asked for, which is none of ours.
    #[error(
        "the SIM waits for its own PIN, which is not simsync's; give it to the modem first: mmcli --sim=N --pin=PIN"
    )]
    Locked,
    /// It has no logical channels.
    #[error(
        "this modem opens no logical channels (AT+CCHO: {0}), so the SIM's applet cannot be reached in it; put the SIM into a card reader"
    )]
    NoChannels(String),
    /// It has, and the applet cannot be selected.
    #[error(
        "the modem opened no channel to the applet ({0}): the SIM has no simsync applet, or no channel is free"
    )]
    NoApplet(String),
    /// After a failure; the channel has to be opened anew.
    #[error("an exchange with the modem broke off before; begin anew")]
    Broken,
}

impl ModemError {
    /// Whether it is only that nothing is there: no modem, no SIM, or a channel that went with it.
    pub fn is_absence(&self) -> bool {
        use std::io::ErrorKind::NotFound;
        match self {
            // A device whose hardware went: ENXIO, ENODEV, EIO.
            Self::Open(_, e) => {
                e.kind() == NotFound || matches!(e.raw_os_error(), Some(5 | 6 | 19))
            }
            Self::Gone | Self::NoSim | Self::Refused(..) | Self::Broken => true,
            _ => false,
        }
    }
}

//! A card with an issuer security domain, as far as installing needs one: registry, memory, tries, life cycle; and power
//! that fails at the N-th command.

use simsync_card::apdu::Command;
use simsync_card::client::{APPLET_AID, PACKAGE_AID};
use simsync_card::transport::{Transport, TransportError};

use crate::chip::{CardKeys, Scp02, Scp03, Secure};

const ISD: [u8; 8] = [0xA0, 0, 0, 1, 0x51, 0, 0, 0];

/// What makes one card different from another.
#[derive(Clone)]
pub struct Made {
    pub scp: u8,
    pub i: u8,
    pub key_version: u8,
    pub keys: CardKeys,
    pub kdd: [u8; 10],
    pub memory: usize,
    pub tells_memory: bool,
    pub old_java_card: bool,
    pub state: u8,
    pub tries: u8,
    /// GET STATUS knows the format of GlobalPlatform 2.1.1 only.
    pub old_status: bool,
    /// An application that is selected by default and knows no SELECT of others.
    pub default_application: bool,
    /// GET STATUS answers an entry at a time.
    pub short_answers: bool,
}

impl Default for Made {
    fn default() -> Self {
        let key: Vec<u8> = (0x40..=0x4F).collect();
        Self {
            scp: 3,
            i: 0x70,
            key_version: 0x30,
            keys: CardKeys {
                enc: key.clone(),
                mac: key,
            },
            kdd: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            memory: 100_000,
            tells_memory: true,
            old_java_card: false,
            state: 0x01,
            tries: 10,
            old_status: false,
            default_application: false,
            short_answers: false,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Selected {
    Nothing,
    Domain,
    Applet,
}

/// When the power fails, counted in commands from now on.
#[derive(Clone, Copy)]
pub enum Cut {
    Before(usize),
    After(usize),
}

pub struct Card {
    pub made: Made,
    pub tries_left: u8,
    /// EXTERNAL AUTHENTICATEs that came.
    pub authentications: usize,
    pub commands: usize,
    pub load_file: Option<Vec<u8>>,
    pub instance: Option<[u8; 16]>,
    pub lifecycle: u8,
    pub applet_locked: bool,
    counter: u32,
    selected: Selected,
    announced: bool,
    loading: Vec<u8>,
    next_block: u8,
    secure: Option<Secure>,
    open: bool,
    pending: Vec<Vec<u8>>,
    pub cut: Option<Cut>,
}

impl Card {
    pub fn new(made: Made) -> Self {
        Self {
            tries_left: made.tries,
            made,
            authentications: 0,
            commands: 0,
            load_file: None,
            instance: None,
            lifecycle: 0x01,
            applet_locked: false,
            counter: 7,
            selected: Selected::Nothing,
            announced: false,
            loading: Vec::new(),
            next_block: 0,
            secure: None,
            open: false,
            pending: Vec::new(),
            cut: None,
        }
    }

    /// Out and in again.
    pub fn power_up(&mut self) {
        self.cut = None;
        self.commands = 0;
        self.selected = Selected::Nothing;
        self.end_channel();
    }

    fn end_channel(&mut self) {
        self.secure = None;
        self.open = false;
        // What was loaded in part is lost.
        self.announced = false;
        self.loading.clear();
        self.pending.clear();
    }

    fn free(&self) -> usize {
        let used = self.load_file.as_ref().map_or(0, Vec::len)
            + if self.instance.is_some() { 4096 } else { 0 };
        self.made.memory.saturating_sub(used)
    }

    fn answer(&mut self, command: &Command) -> (Vec<u8>, u16) {
        let header = command.header();
        let [cla, ins, p1, p2] = header;
        let data = command.data();
        if ins == 0xA4 {
            return self.select(data);
        }
        if self.made.state == 0xFF && ins != 0xCA {
            return (Vec::new(), 0x6985);
        }
        if self.selected != Selected::Domain {
            return (Vec::new(), 0x6D00);
        }
        match (cla, ins) {
            (0x80, 0xCA) => self.get_data(u16::from_be_bytes([p1, p2])),
            (0x80, 0x50) => self.initialize_update(p1, data),
            (0x84, 0x82) => (Vec::new(), self.external_authenticate(&header, data)),
            (0x84, _) if self.open => {
                let Some(mut secure) = self.secure.take() else {
                    return (Vec::new(), 0x6985);
                };
                let Some(plain) = secure.unwrap(&header, data) else {
                    self.end_channel();
                    return (Vec::new(), 0x6982);
                };
                let (answer, sw) = self.managed(ins, p1, p2, &plain);
                let answer = secure.wrap(answer, sw);
                self.secure = Some(secure);
                (answer, sw)
            }
            _ => (Vec::new(), 0x6982),
        }
    }

    fn select(&mut self, aid: &[u8]) -> (Vec<u8>, u16) {
        if self.made.state == 0xFF {
            return (Vec::new(), 0x6985);
        }
        let locked = self.made.state == 0x7F;
        if locked && !aid.is_empty() && aid != ISD {
            // A locked card selects its domain only (GPCS 11.9.3.2).
            return (Vec::new(), 0x6A81);
        }
        let default = self.made.default_application && self.selected == Selected::Nothing;
        if aid == APPLET_AID {
            if self.instance.is_none() || self.applet_locked {
                return (Vec::new(), if default { 0x6D00 } else { 0x6A82 });
            }
            self.end_channel();
            self.selected = Selected::Applet;
            let mut answer = vec![1, 0, self.lifecycle, 0, 0, 0];
            answer.resize(38, 0);
            return (answer, 0x9000);
        }
        if !aid.is_empty() && aid != ISD {
            return (Vec::new(), 0x6A82);
        }
        if aid.is_empty() && default {
            return (Vec::new(), 0x9000);
        }
        self.end_channel();
        self.selected = Selected::Domain;
        let mut fci = vec![0x6F, 16, 0x84, 8];
        fci.extend(ISD);
        fci.extend([0xA5, 4, 0x9F, 0x65, 1, 0xFF]);
        (fci, if locked { 0x6283 } else { 0x9000 })
    }

    fn get_data(&self, tag: u16) -> (Vec<u8>, u16) {
        match tag {
            0x66 => {
                let mut oid = vec![0x64, 11, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xFC, 0x6B, 4];
                oid.extend([self.made.scp, self.made.i]);
                let mut data = vec![0x66, 15, 0x73, 13];
                data.extend(oid);
                (data, 0x9000)
            }
            0xFF21 if self.made.tells_memory => {
                let free = u32::try_from(self.free()).unwrap().to_be_bytes();
                let mut data = vec![0xFF, 0x21, 13, 0x81, 1, 0, 0x82, 4];
                data.extend(free);
                data.extend([0x83, 2, 4, 0]);
                (data, 0x9000)
            }
            _ => (Vec::new(), 0x6A88),
        }
    }

    fn initialize_update(&mut self, version: u8, host: &[u8]) -> (Vec<u8>, u16) {
        if version != 0 && version != self.made.key_version {
            return (Vec::new(), 0x6A88);
        }
        if self.tries_left == 0 {
            return (Vec::new(), 0x6983);
        }
        self.end_channel();
        let mut answer = self.made.kdd.to_vec();
        answer.extend([self.made.key_version, self.made.scp]);
        let low = self.counter.to_be_bytes();
        if self.made.scp == 2 {
            let challenge = [low[2], low[3], 0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5];
            let secure = Scp02::new(&self.made.keys, host, &challenge, self.made.i & 0x10 != 0);
            answer.extend(challenge);
            answer.extend(&secure.card_cryptogram);
            self.secure = Some(Secure::Two(secure));
        } else {
            answer.push(self.made.i);
            let challenge = [low[1], low[2], low[3], 0xC1, 0xC2, 0xC3, 0xC4, 0xC5];
            let secure = Scp03::new(&self.made.keys, host, &challenge);
            answer.extend(challenge);
            answer.extend(&secure.card_cryptogram);
            if self.made.i & 0x10 != 0 {
                answer.extend(&low[1..]);
            }
            self.secure = Some(Secure::Three(secure));
        }
        (answer, 0x9000)
    }

    fn external_authenticate(&mut self, header: &[u8], data: &[u8]) -> u16 {
        self.authentications += 1;
        let Some(secure) = self.secure.as_mut() else {
            return 0x6985;
        };
        if data.len() != 16 || !secure.authenticate(header, data) {
            self.tries_left -= 1;
            self.end_channel();
            return 0x6300;
        }
        self.tries_left = self.made.tries;
        self.counter += 1;
        self.open = true;
        0x9000
    }

    /// Commands within the channel.
    fn managed(&mut self, ins: u8, p1: u8, p2: u8, data: &[u8]) -> (Vec<u8>, u16) {
        match ins {
            0xF2 => self.get_status(p1, p2),
            0xE4 => (vec![0], self.delete(data)),
            0xE6 => {
                let sw = if p1 == 0x02 {
                    self.announce()
                } else {
                    self.make_instance(data)
                };
                (if sw == 0x9000 { vec![0] } else { Vec::new() }, sw)
            }
            0xE8 => (Vec::new(), self.load(p1, p2, data)),
            _ => (Vec::new(), 0x6D00),
        }
    }

    fn get_status(&mut self, part: u8, p2: u8) -> (Vec<u8>, u16) {
        if p2 & 1 == 0 {
            if self.made.old_status && p2 & 2 != 0 {
                return (Vec::new(), 0x6A86);
            }
            let entries: Vec<(&[u8], u8)> = match part {
                0x80 => vec![(&ISD, self.made.state)],
                0x40 if self.instance.is_some() => {
                    vec![(&APPLET_AID, if self.applet_locked { 0x87 } else { 0x07 })]
                }
                0x10 if self.made.old_status => return (Vec::new(), 0x6A86),
                0x10 | 0x20 if self.load_file.is_some() => vec![(&PACKAGE_AID, 0x01)],
                _ => Vec::new(),
            };
            let system: (&[u8], u8) = (&[0xA0, 0, 0, 0, 0x62, 1, 1], 0x01);
            let entries = if matches!(part, 0x10 | 0x20) {
                [vec![system], entries].concat()
            } else {
                entries
            };
            self.pending = entries
                .iter()
                .map(|(aid, state)| entry(aid, *state, p2 & 2 != 0))
                .collect();
        }
        if self.pending.is_empty() {
            return (Vec::new(), 0x6A88);
        }
        if self.made.short_answers {
            let first = self.pending.remove(0);
            let more = !self.pending.is_empty();
            return (first, if more { 0x6310 } else { 0x9000 });
        }
        (std::mem::take(&mut self.pending).concat(), 0x9000)
    }

    fn delete(&mut self, data: &[u8]) -> u16 {
        let aid = &data[2..];
        if aid == APPLET_AID && self.instance.is_some() {
            self.instance = None;
            self.applet_locked = false;
            0x9000
        } else if aid == PACKAGE_AID && self.load_file.is_some() {
            if self.instance.is_some() {
                return 0x6985;
            }
            self.load_file = None;
            0x9000
        } else {
            0x6A88
        }
    }

    fn announce(&mut self) -> u16 {
        if self.load_file.is_some() {
            return 0x6985;
        }
        self.announced = true;
        self.loading.clear();
        self.next_block = 0;
        0x9000
    }

    fn load(&mut self, p1: u8, number: u8, data: &[u8]) -> u16 {
        if !self.announced || number != self.next_block {
            return 0x6985;
        }
        self.next_block = number.wrapping_add(1);
        self.loading.extend_from_slice(data);
        if self.loading.len() > self.free() {
            self.announced = false;
            return 0x6A84;
        }
        if p1 & 0x80 == 0 {
            return 0x9000;
        }
        self.announced = false;
        let (length, rest) = match &self.loading[..] {
            [0xC4, 0x82, high, low, rest @ ..] => (u16::from_be_bytes([*high, *low]), rest),
            [0xC4, 0x81, low, rest @ ..] => (u16::from(*low), rest),
            _ => return 0x6A80,
        };
        if rest.len() != usize::from(length) {
            return 0x6A80;
        }
        if self.made.old_java_card {
            return 0x6438;
        }
        self.load_file = Some(rest.to_vec());
        0x9000
    }

    fn make_instance(&mut self, data: &[u8]) -> u16 {
        let mut fields = Vec::new();
        let mut rest = data;
        while let [length, tail @ ..] = rest {
            let (field, tail) = tail.split_at((*length).into());
            fields.push(field);
            rest = tail;
        }
        let [package, module, instance, privileges, parameters, []] = fields[..] else {
            return 0x6A80;
        };
        if package != PACKAGE_AID
            || module != APPLET_AID
            || instance != APPLET_AID
            || privileges != [0]
        {
            return 0x6A80;
        }
        let [0xC9, 16, secret @ ..] = parameters else {
            return 0x6A80;
        };
        if self.load_file.is_none() || self.instance.is_some() {
            return 0x6985;
        }
        if self.free() < 4096 {
            return 0x6A84;
        }
        self.instance = Some(secret.try_into().unwrap());
        self.lifecycle = 0x01;
        0x9000
    }
}

fn entry(aid: &[u8], state: u8, tlv: bool) -> Vec<u8> {
    let length = u8::try_from(aid.len()).unwrap();
    if !tlv {
        return [&[length][..], aid, &[state, 0]].concat();
    }
    let mut inner = [&[0x4F, length][..], aid, &[0x9F, 0x70, 1, state]].concat();
    if aid == PACKAGE_AID {
        inner.extend([0xCE, 2, 1, 0]);
    }
    [&[0xE3, u8::try_from(inner.len()).unwrap()][..], &inner].concat()
}

impl Transport for Card {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        let number = self.commands;
        self.commands += 1;
        if let Some(Cut::Before(at)) = self.cut
            && number >= at
        {
            return Err(TransportError::RemovedCard);
        }
        let command = Command::decode(apdu).unwrap();
        let (mut answer, sw) = self.answer(&command);
        if let Some(Cut::After(at)) = self.cut
            && number >= at
        {
            // The next ones do not reach the card.
            self.cut = Some(Cut::Before(0));
            return Err(TransportError::RemovedCard);
        }
        answer.extend(sw.to_be_bytes());
        Ok(answer)
    }
}

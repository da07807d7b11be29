//! Each command of docs/card.md: lifecycle, length, right, content, in this order. Commands that take no data ask for none:
//! data that comes with them goes unnoticed.

use super::chip::Chip;
use super::state::{Guarded, HEAD, Life, Memory, Open, Slot, WRITER};
use super::*;
use crate::ids::{CardId, Hash, Point, TerminalId};
use crate::sign::{self, Sig};
use crate::text::{Domain, fields};

const PIN_TRIES: u8 = 3;
const PUK_TRIES: u8 = 10;
/// PUT HEAD: how far the sequence may go up at once.
const STRIDE: u128 = 1024;
/// PUT HEAD: how far the list number may go up at once.
const LIST_STRIDE: u128 = 16;

/// 6A80 unless there are `least` to 8 ASCII digits or letters, padded with FF to 8.
fn form(value: &[u8], least: usize) -> Result<[u8; 8], u16> {
    let value: [u8; 8] = value.try_into().map_err(|_| BAD_DATA)?;
    let characters = value
        .iter()
        .take_while(|c| c.is_ascii_alphanumeric())
        .count();
    let padded = value.iter().skip(characters).all(|c| *c == 0xFF);
    if characters >= least && padded {
        Ok(value)
    } else {
        Err(BAD_DATA)
    }
}

fn length(data: &[u8], least: usize, most: usize) -> Result<(), u16> {
    if (least..=most).contains(&data.len()) {
        Ok(())
    } else {
        Err(WRONG_LENGTH)
    }
}

/// The bytes from `at` on; whoever calls has checked that they are there.
fn array<const N: usize>(data: &[u8], at: usize) -> Result<[u8; N], u16> {
    data.get(at..)
        .and_then(|d| d.first_chunk::<N>())
        .copied()
        .ok_or(BAD_DATA)
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |n, b| n << 8 | u128::from(*b))
}

fn put_lv(out: &mut Vec<u8>, value: &[u8]) {
    out.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(value);
}

/// An LV field: its value, and what follows.
fn lv(data: &[u8], least: usize, most: usize) -> Result<(&[u8], &[u8]), u16> {
    let (len, rest) = data.split_first().ok_or(BAD_DATA)?;
    let len = usize::from(*len);
    if !(least..=most).contains(&len) {
        return Err(BAD_DATA);
    }
    rest.split_at_checked(len).ok_or(BAD_DATA)
}

impl<C: Chip> Model<C> {
    fn need(&self, life: Life) -> Result<(), u16> {
        if self.memory.life == life {
            Ok(())
        } else {
            Err(NOT_NOW)
        }
    }

    fn need_pin(&self) -> Result<(), u16> {
        if !self.session.verified {
            Err(RIGHT_MISSING)
        } else if self.memory.pin_due {
            Err(CHANGE_PIN_FIRST)
        } else {
            Ok(())
        }
    }

    fn need_direct_pin(&self, direct: bool) -> Result<(), u16> {
        self.need_pin()?;
        if direct { Ok(()) } else { Err(RIGHT_MISSING) }
    }

    fn need_token(&self, data: &[u8]) -> Result<Open, u16> {
        let open = self.session.open.clone();
        open.filter(|o| data.starts_with(&o.token))
            .ok_or(RIGHT_MISSING)
    }

    /// Wrong or right, what an earlier VERIFY opened is gone or given anew.
    fn check_pin(&mut self, given: &[u8]) -> Result<(), u16> {
        self.session.verified = false;
        self.memory.pin.check(given)?;
        self.session.verified = true;
        Ok(())
    }

    fn signature(&mut self, out: &mut Vec<u8>, domain: Domain, further: &[&[u8]]) {
        let text = domain.text(&self.memory.card, further);
        let sig = self.chip.sign(&text);
        put_lv(out, &sig);
    }

    fn draw_challenge(&mut self) -> [u8; 16] {
        let challenge = self.chip.random();
        self.session.challenge = Some(challenge);
        challenge
    }

    pub(super) fn select(&mut self) -> Vec<u8> {
        let challenge = self.draw_challenge();
        let m = &self.memory;
        let has_owner = matches!(m.life, Life::Personalised | Life::Enrolled);
        let (pin, puk, state) = if has_owner {
            (m.pin.tries, m.puk.tries, 1 | u8::from(m.pin_due) << 1)
        } else {
            (0, 0, 0)
        };
        let mut out = vec![1, 1, m.life as u8, pin, puk, state];
        out.extend_from_slice(&challenge);
        if has_owner {
            let text = fields(&[&m.card.0, &m.subscriber, &challenge]);
            out.extend_from_slice(&Hash::of(&text).0[..16]);
        } else {
            out.extend_from_slice(&[0; 16]);
        }
        out
    }

    pub(super) fn challenge(&mut self) -> Answer {
        Ok(self.draw_challenge().to_vec())
    }

    pub(super) fn personalise(&mut self, data: &[u8]) -> Answer {
        if self.memory.life != Life::Personalised {
            self.need(Life::Installed)?;
        }
        length(data, 16 + 2 + 1 + 2 + 49, 16 + 33 + 33 + 65 + 49)?;
        let (secret, rest) = data.split_at(16);
        self.memory.transport.check(secret)?;
        let (subscriber, rest) = lv(rest, 1, 32)?;
        let (label, rest) = lv(rest, 0, 32)?;
        let (server, rest) = lv(rest, 1, 64)?;
        if rest.len() != 49 {
            return Err(BAD_DATA);
        }
        let pin = form(&rest[32..40], 4)?;
        let puk = form(&rest[40..48], 8)?;
        let options = rest[48];
        if options & 0xFC != 0 {
            return Err(BAD_DATA);
        }
        if self.memory.life == Life::Installed {
            self.memory.card = CardId(self.chip.random());
        }
        let m = &mut self.memory;
        m.pin = Guarded::new(pin, PIN_TRIES);
        m.puk = Guarded::new(puk, PUK_TRIES);
        m.subscriber = subscriber.to_vec();
        m.label = label.to_vec();
        m.server = server.to_vec();
        m.ca_pin = array(rest, 0)?;
        m.pin_due = options & 2 != 0;
        m.life = Life::Personalised;
        Ok(m.card.0.to_vec())
    }

    pub(super) fn generate_keys(&mut self, data: &[u8]) -> Answer {
        self.need(Life::Personalised)?;
        length(data, 48, 48)?;
        self.memory.transport.check(&data[..16])?;
        if self.memory.keys.is_none() {
            self.memory.keys = Some(self.chip.make_keys());
        }
        Ok(self.both_keys(Domain::Enrol, &data[16..]))
    }

    fn both_keys(&mut self, domain: Domain, callers: &[u8]) -> Vec<u8> {
        let (sig, kem) = self.memory.keys.unwrap_or((Point([0; 65]), Point([0; 65])));
        let mut out = [sig.0, kem.0].concat();
        self.signature(&mut out, domain, &[&sig.0, &kem.0, callers]);
        out
    }

    pub(super) fn enrolled(&mut self, data: &[u8]) -> Answer {
        self.need(Life::Personalised)?;
        length(data, 16, 16)?;
        self.memory.transport.check(data)?;
        if self.memory.keys.is_none() {
            return Err(NOT_NOW);
        }
        self.memory.life = Life::Enrolled;
        Ok(Vec::new())
    }

    pub(super) fn verify(&mut self, data: &[u8]) -> Answer {
        self.need(Life::Enrolled)?;
        if data.is_empty() {
            return if self.session.verified {
                Ok(Vec::new())
            } else {
                Err(self.memory.pin.refusal())
            };
        }
        length(data, 8, 8)?;
        self.check_pin(&form(data, 4)?)?;
        self.session.direct = true;
        Ok(Vec::new())
    }

    pub(super) fn change(&mut self, data: &[u8]) -> Answer {
        self.need(Life::Enrolled)?;
        let due = self.memory.pin_due;
        let expected = if due { 24 } else { 16 };
        length(data, expected, expected)?;
        let (old, new) = (form(&data[..8], 4)?, form(&data[8..16], 4)?);
        let puk = if due {
            let puk = form(&data[16..], 8)?;
            if old == new {
                return Err(BAD_DATA);
            }
            Some(puk)
        } else {
            None
        };
        self.check_pin(&old)?;
        self.memory.pin = Guarded::new(new, PIN_TRIES);
        if let Some(puk) = puk {
            self.memory.puk = Guarded::new(puk, PUK_TRIES);
            self.memory.pin_due = false;
        }
        Ok(Vec::new())
    }

    pub(super) fn unblock(&mut self, data: &[u8]) -> Answer {
        self.need(Life::Enrolled)?;
        length(data, 16, 16)?;
        let (puk, pin) = (form(&data[..8], 8)?, form(&data[8..], 4)?);
        self.memory.puk.check(&puk)?;
        self.session.verified = false;
        self.memory.pin = Guarded::new(pin, PIN_TRIES);
        Ok(Vec::new())
    }

    pub(super) fn read_info(&mut self) -> Answer {
        self.need(Life::Enrolled)?;
        self.need_pin()?;
        let m = &self.memory;
        let mut out = m.card.0.to_vec();
        for field in [&m.subscriber, &m.label, &m.server] {
            put_lv(&mut out, field);
        }
        out.extend_from_slice(&m.ca_pin);
        Ok(out)
    }

    pub(super) fn read_keys(&mut self, data: &[u8]) -> Answer {
        self.need(Life::Enrolled)?;
        length(data, 32, 32)?;
        self.need_pin()?;
        Ok(self.both_keys(Domain::Keys, data))
    }

    pub(super) fn set_server(&mut self, data: &[u8], direct: bool) -> Answer {
        self.need(Life::Enrolled)?;
        length(data, 34, 97)?;
        self.need_direct_pin(direct)?;
        let (server, rest) = lv(data, 1, 64)?;
        self.memory.ca_pin = rest.try_into().map_err(|_| BAD_DATA)?;
        self.memory.server = server.to_vec();
        Ok(Vec::new())
    }

    pub(super) fn add_terminal(&mut self, data: &[u8], direct: bool) -> Answer {
        self.need(Life::Enrolled)?;
        length(data, 98, 122)?;
        self.need_direct_pin(direct)?;
        let point = Point(array(data, 0)?);
        let (label, binding) = lv(&data[65..], 0, 24)?;
        if binding.len() != 32 {
            return Err(BAD_DATA);
        }
        sign::check_point(&point).map_err(|_| BAD_DATA)?;
        let id = TerminalId::of(&point);
        let m = &mut self.memory;
        let slot = match m.find(&id) {
            Some(slot) => slot,
            None => {
                let slot = m.slots.iter().position(Option::is_none).ok_or(FULL)?;
                m.settle(1 << slot);
                slot
            }
        };
        m.slots[slot] = Some(Slot {
            id,
            point,
            label: label.to_vec(),
        });
        let mut out = vec![u8::try_from(slot).unwrap_or(u8::MAX)];
        self.signature(&mut out, Domain::Pair, &[&id.0, binding]);
        Ok(out)
    }

    pub(super) fn list(&mut self, slot: usize) -> Answer {
        self.need(Life::Enrolled)?;
        self.need_pin()?;
        let taken = self.memory.slots[slot].as_ref().ok_or(NOT_FOUND)?;
        let mut out = taken.id.0.to_vec();
        put_lv(&mut out, &taken.label);
        out.extend_from_slice(&self.memory.unsettled[slot].to_be_bytes());
        Ok(out)
    }

    pub(super) fn read_sessions(&mut self) -> Answer {
        self.need(Life::Enrolled)?;
        self.need_pin()?;
        let mut out = Vec::new();
        for (i, slot) in (0u8..).zip(&self.memory.slots) {
            let n = self.memory.unsettled[usize::from(i)];
            if let (Some(slot), true) = (slot, n != 0) {
                out.push(i);
                out.extend_from_slice(&slot.id.0[..8]);
                out.extend_from_slice(&n.to_be_bytes());
            }
        }
        Ok(out)
    }

    pub(super) fn remove_terminal(&mut self, data: &[u8], direct: bool) -> Answer {
        self.need(Life::Enrolled)?;
        length(data, 32, 32)?;
        self.need_direct_pin(direct)?;
        let id = TerminalId(array(data, 0)?);
        let slot = self.memory.find(&id).ok_or(NOT_FOUND)?;
        self.memory.slots[slot] = None;
        self.memory.settle(1 << slot);
        if self.session.open.as_ref().is_some_and(|o| o.terminal == id) {
            self.session.open = None;
        }
        Ok(Vec::new())
    }

    pub(super) fn open_session(&mut self, data: &[u8]) -> Answer {
        self.need(Life::Enrolled)?;
        let challenge = self.session.challenge.take();
        length(data, 137, 201)?;
        self.need_pin()?;
        let challenge = challenge.ok_or(NOT_NOW)?;
        let id = TerminalId(array(data, 0)?);
        let binding = Hash(array(data, 32)?);
        let hpke = Point(array(data, 64)?);
        let slot = self.memory.find(&id).ok_or(NOT_FOUND)?;
        let point = self.memory.slots[slot].as_ref().map(|s| s.point);
        let text = Domain::Terminal.text(&self.memory.card, &[&challenge, &binding.0, &hpke.0]);
        let signed = Sig::from_der(&data[129..])
            .ok()
            .zip(point)
            .is_some_and(|(sig, point)| sign::verify(&point, &text, &sig).is_ok());
        if !signed {
            return Err(RIGHT_MISSING);
        }
        sign::check_point(&hpke).map_err(|_| BAD_DATA)?;
        let before = self.memory.unsettled();
        self.session.open = None;
        let n = self.memory.counter.checked_add(1).ok_or(FULL)?;
        self.memory.counter = n;
        self.memory.unsettled[slot] = n;
        let token = self.chip.random();
        self.session.open = Some(Open {
            token,
            n,
            terminal: id,
        });
        let mut out = n.to_be_bytes().to_vec();
        self.signature(
            &mut out,
            Domain::Session,
            &[&n.to_be_bytes(), &id.0, &binding.0],
        );
        out.extend_from_slice(&self.chip.agree(&hpke));
        out.push(2 | u8::from(self.memory.head.is_some()));
        out.extend_from_slice(&self.memory.head.unwrap_or([0; HEAD]));
        out.extend_from_slice(&self.memory.writer);
        out.extend_from_slice(&before.to_be_bytes());
        out.extend_from_slice(&token);
        Ok(out)
    }

    pub(super) fn renew(&mut self, data: &[u8]) -> Answer {
        self.need(Life::Enrolled)?;
        length(data, 48, 48)?;
        let open = self.need_token(data)?;
        let mut out = Vec::new();
        let n = open.n.to_be_bytes();
        self.signature(
            &mut out,
            Domain::Renew,
            &[&n, &open.terminal.0, &data[16..]],
        );
        Ok(out)
    }

    pub(super) fn put_head(&mut self, data: &[u8]) -> Answer {
        self.need(Life::Enrolled)?;
        length(data, 99, 99)?;
        let open = self.need_token(data)?;
        let writer = writer(&open);
        let restored = std::mem::take(&mut self.session.restored);
        let next: [u8; HEAD] = array(data, 16)?;
        // The last byte: flags, of which there is one.
        if next[HEAD - 1] & !1 != 0 {
            return Err(BAD_DATA);
        }
        let may = match &self.memory.head {
            Some(old) => may_follow(old, &next, restored),
            None => may_begin(&next),
        };
        if !may {
            return Err(BAD_DATA);
        }
        self.memory.put_head(next, writer);
        self.memory
            .settle(u16::from_be_bytes(array(data, 16 + HEAD)?));
        Ok(Vec::new())
    }

    pub(super) fn sign(&mut self, p1: u8, data: &[u8], direct: bool) -> Answer {
        self.need(Life::Enrolled)?;
        length(data, 32, 32)?;
        self.need_direct_pin(direct)?;
        let domain = match p1 {
            1 => Domain::KeyObject,
            2 => Domain::Erase,
            _ => Domain::Restore,
        };
        let mut out = Vec::new();
        self.signature(&mut out, domain, &[data]);
        self.session.restored |= domain == Domain::Restore;
        Ok(out)
    }

    pub(super) fn terminate(&mut self, data: &[u8]) -> Answer {
        self.need(Life::Enrolled)?;
        match data.len() {
            0 if self.memory.puk.tries > 0 => return Err(RIGHT_MISSING),
            0 => {}
            8 => self.memory.puk.check(&form(data, 8)?)?,
            _ => return Err(WRONG_LENGTH),
        }
        self.memory = Memory::new([0; 16]);
        self.memory.life = Life::Terminated;
        self.session = Default::default();
        self.chip.wipe();
        Ok(Vec::new())
    }
}

/// Who puts a head record: the beginning of the terminal's ID, and N.
pub(super) fn writer(open: &Open) -> [u8; WRITER] {
    let mut out = [0; WRITER];
    out[..8].copy_from_slice(&open.terminal.0[..8]);
    out[8..].copy_from_slice(&open.n.to_be_bytes());
    out
}

fn may_begin(next: &[u8; HEAD]) -> bool {
    let small = |at: std::ops::Range<usize>, bits: u32| number(&next[at]) < 1 << bits;
    small(0..4, 16) && small(4..12, 32) && small(44..48, 16)
}

fn may_follow(old: &[u8; HEAD], next: &[u8; HEAD], restored: bool) -> bool {
    let [epoch, sequence, head, list, list_hash] = [0..4, 4..12, 12..44, 44..48, 48..80];
    let at = |r: &std::ops::Range<usize>| (number(&old[r.clone()]), number(&next[r.clone()]));
    let same = |r: &std::ops::Range<usize>| old[r.clone()] == next[r.clone()];
    let up = |r, most| {
        let (old, next) = at(r);
        next <= old + most
    };
    let down = |r| at(r).1 < at(r).0;
    if !(up(&epoch, 1) && up(&sequence, STRIDE) && up(&list, LIST_STRIDE)) || down(&sequence) {
        return false;
    }
    // The owner ended a record that nobody can prove.
    if restored && !same(&sequence) {
        return true;
    }
    let falls = down(&epoch) || down(&list);
    let other_head = same(&epoch) && same(&sequence) && !same(&head);
    let other_list = same(&list) && !same(&list_hash);
    !(falls || other_head || other_list)
}

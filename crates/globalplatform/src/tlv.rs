//! BER-TLV as cards write it (ISO 7816-4, 5.2.2): tags of 1 or 2 bytes, lengths of 1 to 3 bytes.

/// One object: its tag, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u16,
    pub(crate) value: &'a [u8],
}

/// The objects that these bytes hold, one after the other. None if they are no such sequence.
pub(crate) fn parse(mut bytes: &[u8]) -> Option<Vec<Tlv<'_>>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (tlv, rest) = first(bytes)?;
        found.push(tlv);
        bytes = rest;
    }
    Some(found)
}

/// The first object, and what follows it.
pub(crate) fn first(bytes: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let (tag, rest) = match *bytes {
        [high, low, ref rest @ ..] if high & 0x1F == 0x1F => {
            // A third byte of the tag would follow; no card object has one.
            if low & 0x80 != 0 {
                return None;
            }
            (u16::from_be_bytes([high, low]), rest)
        }
        [tag, ref rest @ ..] if tag & 0x1F != 0x1F => (u16::from(tag), rest),
        _ => return None,
    };
    let (length, rest) = match *rest {
        [short @ 0..=0x7F, ref rest @ ..] => (usize::from(short), rest),
        [0x81, length, ref rest @ ..] => (usize::from(length), rest),
        [0x82, high, low, ref rest @ ..] => (usize::from(u16::from_be_bytes([high, low])), rest),
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((Tlv { tag, value }, rest))
}

/// The value of the first object with this tag in a sequence.
pub(crate) fn find(bytes: &[u8], tag: u16) -> Option<&[u8]> {
    let all = parse(bytes)?;
    all.into_iter().find(|t| t.tag == tag).map(|t| t.value)
}

/// A length as it stands before a value of so many bytes; below 65,536.
pub(crate) fn length(value: u16) -> Vec<u8> {
    let [high, low] = value.to_be_bytes();
    match value {
        0..=0x7F => vec![low],
        0x80..=0xFF => vec![0x81, low],
        _ => vec![0x82, high, low],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_and_lengths() {
        let bytes = [0x9F, 0x7F, 0x01, 0xAA, 0x66, 0x81, 0x02, 1, 2, 0xC5, 0x00];
        let found = parse(&bytes).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(find(&bytes, 0x9F7F), Some(&[0xAA][..]));
        assert_eq!(find(&bytes, 0x66), Some(&[1, 2][..]));
        assert_eq!(find(&bytes, 0xC5), Some(&[][..]));
        assert_eq!(find(&bytes, 0xE0), None);
    }

    #[test]
    fn what_does_not_add_up_is_nothing() {
        for bytes in [
            &[0x66][..],
            &[0x66, 0x02, 0x01],
            &[0x66, 0x83, 0, 0, 1, 0],
            &[0x9F],
            &[0x9F, 0x80, 0x01, 0x00],
            &[0x66, 0x80, 0, 0],
        ] {
            assert!(parse(bytes).is_none(), "{bytes:02X?}");
        }
    }

    proptest! {
        #[test]
        fn written_lengths_read_back(size in 0u16..2000) {
            let mut bytes = vec![0xC4];
            bytes.extend(length(size));
            bytes.extend(vec![7; size.into()]);
            let (tlv, rest) = first(&bytes).unwrap();
            prop_assert_eq!(tlv.value.len(), usize::from(size));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}

//! How wide Helvetica's characters are, by Adobe's metrics of the fonts that every PDF reader has (Helvetica.afm).

/// Of the codes 20 to 7E, in thousandths of the font's size.
#[rustfmt::skip]
const WIDTHS: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278,
    556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556,
    1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556,
    333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556,
    556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];
/// No other character of WinAnsi is wider.
const WIDEST: u16 = 1000;

/// How wide a text in WinAnsi is at most, at the size of one point.
pub fn width(text: &[u8]) -> f32 {
    let of = |b: &u8| {
        let at = usize::from(*b).checked_sub(0x20);
        at.and_then(|at| WIDTHS.get(at)).copied().unwrap_or(WIDEST)
    };
    text.iter().map(|b| f32::from(of(b)) / 1000.0).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_metrics() {
        for (text, thousandths) in [
            (&b""[..], 0.0),
            (b"0123456789", 5560.0),
            (b"ijl", 666.0),
            (b"W@~", 2543.0),
            (b"\x97\x85\x7f", 3000.0),
        ] {
            assert!(
                (width(text) * 1000.0 - thousandths).abs() < 0.01,
                "{text:?}"
            );
        }
    }
}

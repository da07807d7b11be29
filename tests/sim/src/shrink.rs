//! Leaves out what a failure does not need: halves, quarters, single operations (delta debugging).

use std::time::Duration;

use crate::ops::Op;

/// Time that shrinking may take.
pub const TIME: Duration = Duration::from_secs(120);

/// The fewest operations found that still fail. A failure that comes by chance, and not each time, shrinks less.
pub fn shrink(ops: &[Op], mut fails: impl FnMut(&[Op]) -> bool) -> Vec<Op> {
    let mut kept = ops.to_vec();
    let mut size = kept.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < kept.len() {
            let to = (from + size).min(kept.len());
            let without: Vec<Op> = [&kept[..from], &kept[to..]].concat();
            if !without.is_empty() && fails(&without) {
                kept = without;
            } else {
                from = to;
            }
        }
        size /= 2;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_left_out() {
        let ops: Vec<Op> = (0..100).map(|at| Op::Cut { at }).collect();
        let needs = |ops: &[Op], at: u8| ops.contains(&Op::Cut { at });
        let left = shrink(&ops, |ops| needs(ops, 17) && needs(ops, 80));
        assert_eq!(left, [Op::Cut { at: 17 }, Op::Cut { at: 80 }]);
    }
}

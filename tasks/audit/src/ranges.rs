//! Two lists of (offset, hash), and where they differ: pure.

use std::fmt;

/// How many ranges a sentence names.
const NAMED: usize = 3;

/// Offsets, gathered into ranges.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ranges {
    /// First and last of each; ascending.
    ranges: Vec<(i64, i64)>,
    count: u64,
}

impl Ranges {
    /// One more offset, not below those before it.
    pub fn push(&mut self, offset: i64) {
        self.count += 1;
        match self.ranges.last_mut() {
            Some((_, last)) if *last == offset || *last + 1 == offset => *last = offset,
            _ => self.ranges.push((offset, offset)),
        }
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many offsets were pushed.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl FromIterator<i64> for Ranges {
    fn from_iter<I: IntoIterator<Item = i64>>(offsets: I) -> Ranges {
        let mut ranges = Ranges::default();
        for offset in offsets {
            ranges.push(offset);
        }
        ranges
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.count == 1 { "offset" } else { "offsets" };
        formatter.write_str(what)?;
        for (index, (first, last)) in self.ranges.iter().take(NAMED).enumerate() {
            let separator = if index == 0 { " " } else { ", " };
            if first == last {
                write!(formatter, "{separator}{first}")?;
            } else {
                write!(formatter, "{separator}{first} to {last}")?;
            }
        }
        let rest = self.ranges.len().saturating_sub(NAMED);
        if rest > 0 {
            write!(formatter, " and {rest} more ranges")?;
        }
        Ok(())
    }
}

/// Where a store differs from what it must hold.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Differences {
    /// Must be there and is not.
    pub missing: Ranges,
    /// Is there and must not be, or is there twice.
    pub extra: Ranges,
    /// Is there with other content.
    pub changed: Ranges,
}

impl Differences {
    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.changed.is_empty()
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = [
            (&self.missing, "missing"),
            (&self.changed, "changed"),
            (&self.extra, "too many"),
        ];
        let mut separator = "";
        for (ranges, what) in said {
            if ranges.is_empty() {
                continue;
            }
            let verb = if ranges.count() == 1 { "is" } else { "are" };
            write!(formatter, "{separator}{ranges} {verb} {what}")?;
            if ranges.count() > 1 {
                write!(formatter, " ({})", ranges.count())?;
            }
            separator = "; ";
        }
        Ok(())
    }
}

/// Compares what must be there with what is; both ascending by offset.
pub fn compare(expected: &[(i64, u64)], found: &[(i64, u64)]) -> Differences {
    let mut differences = Differences::default();
    let mut found = found.iter().peekable();
    for (offset, hash) in expected {
        while let Some((extra, _)) = found.next_if(|(at, _)| at < offset) {
            differences.extra.push(*extra);
        }
        match found.next_if(|(at, _)| at == offset) {
            None => differences.missing.push(*offset),
            Some((_, other)) if other != hash => differences.changed.push(*offset),
            Some(_) => {}
        }
    }
    for (extra, _) in found {
        differences.extra.push(*extra);
    }
    differences
}

/// The digest of a list: the sum of its hashes, so that the order does not matter.
pub fn digest(records: &[(i64, u64)]) -> u64 {
    records
        .iter()
        .fold(0, |sum, (_, hash)| sum.wrapping_add(*hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_do_not_differ() {
        let list = [(1, 10), (2, 20), (5, 50)];
        assert!(compare(&list, &list).is_empty());
        assert!(compare(&[], &[]).is_empty());
        assert_eq!(digest(&list), digest(&[(5, 50), (1, 10), (2, 20)]));
    }

    #[test]
    fn what_is_missing_changed_or_too_many_is_named() {
        let expected: Vec<(i64, u64)> = (0..20).map(|offset| (offset, offset as u64)).collect();
        let mut found = expected.clone();
        found.retain(|(offset, _)| !(3..=5).contains(offset) && *offset != 9);
        found[0].1 = 77;
        found.push((25, 1));
        let differences = compare(&expected, &found);
        assert_eq!(
            differences.to_string(),
            "offsets 3 to 5, 9 are missing (4); offset 0 is changed; offset 25 is too many"
        );
    }

    #[test]
    fn a_repeat_is_one_too_many() {
        let differences = compare(&[(1, 1), (2, 2)], &[(1, 1), (1, 1), (2, 2)]);
        assert_eq!(differences.to_string(), "offset 1 is too many");
        let differences = compare(&[(1, 1)], &[(1, 1), (1, 1)]);
        assert_eq!(differences.extra.count(), 1);
    }

    #[test]
    fn many_ranges_are_counted() {
        let ranges: Ranges = (0..10).map(|index| index * 2).collect();
        assert_eq!(ranges.to_string(), "offsets 0, 2, 4 and 7 more ranges");
    }
}

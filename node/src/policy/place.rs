//! Places in a text as people count them, and the known word nearest to a misspelt one.

use super::error::{PolicyError, Problem};

/// Where lines begin in a file, so that an offset becomes a line and a character.
pub(super) struct Places<'a> {
    file: &'a str,
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Places<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(breaks).collect();
        Self { file, text, starts }
    }

    /// The line and character of a byte, both from 1.
    pub(super) fn of(&self, byte: usize) -> (u32, u32) {
        let line = self.starts.partition_point(|start| *start <= byte);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..byte).unwrap_or_default();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (number(line), number(before.chars().count() + 1))
    }

    /// A problem at a byte.
    pub(super) fn error(&self, byte: usize, policy: Option<&str>, problem: Problem) -> PolicyError {
        let (line, column) = self.of(byte);
        PolicyError {
            file: self.file.to_owned(),
            line,
            column,
            policy: policy.map(str::to_owned),
            problem,
        }
    }
}

/// A problem of a file as a whole.
pub(super) fn whole(file: &str, problem: Problem) -> PolicyError {
    PolicyError {
        file: file.to_owned(),
        line: 0,
        column: 0,
        policy: None,
        problem,
    }
}

/// The known word that `word` probably was to be: at most a third of its letters other, missing or swapped.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let allowed = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| {
            (
                distance(&word.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// How many letters must be changed, put in, left out or swapped with their neighbour to make `b` of `a`
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = at(&last, j) + usize::from(x != y);
            least = least.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    at(&last, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_told_as_people_count() {
        let places = Places::new("a.cedar", "ä b\nc\n");
        assert_eq!(places.of(0), (1, 1));
        assert_eq!(places.of(3), (1, 3), "an umlaut is one character");
        assert_eq!(places.of(5), (2, 1));
        assert_eq!(places.of(99), (3, 1), "beyond the end");
    }

    #[test]
    fn slips_of_the_hand_are_near_and_other_words_are_not() {
        let known = ["redact", "redact_text", "delay", "receipt"];
        assert_eq!(nearest("redcat", known).as_deref(), Some("redact"));
        assert_eq!(nearest("Delay", known).as_deref(), Some("delay"));
        assert_eq!(nearest("reciept", known).as_deref(), Some("receipt"));
        assert_eq!(nearest("log", known), None);
        assert_eq!(nearest("", known), None);
    }
}

//! Text for people: aligned tables, and others' words made harmless for a terminal.

use hanse_protocol::identity::Handle;
use hanse_protocol::local::ForwardedFrom;

/// Text of others as a terminal may show it: control characters and those that turn the direction
/// of text are written out.
pub(super) fn shown(text: &str) -> String {
    let drives = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if drives(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// JSON on one line, and as [`shown`]. A string of JSON has no line break in it (RFC 8259, section 7), so only
/// what is between values changes.
pub(super) fn one_line(json: &str) -> String {
    let lines: Vec<&str> = json.lines().map(str::trim).collect();
    shown(&lines.join(" "))
}

/// As [`shown`], cut to `most` characters.
pub(super) fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => shown(text),
        Some((end, _)) => shown(text.get(..end).unwrap_or_default()) + "…",
    }
}

/// Who signed what is shown, and who passed it on if it is of another community.
pub(super) fn signed_by(author: &Handle, forwarded: Option<&ForwardedFrom>) -> String {
    match forwarded {
        None => author.to_string(),
        Some(from) => format!(
            "{} of community {}, forwarded by {author}",
            from.author,
            from.community.short()
        ),
    }
}

/// Rows in columns that are as wide as their widest cell. The last column is not padded.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heads.map(|head| head.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        let mut row = String::new();
        for (cell, width) in cells.into_iter().zip(widths) {
            row.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    };
    line(heads);
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
    text
}

/// Lines of a name and a value.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let lines = facts
        .iter()
        .map(|(name, value)| format!("{name:<width$}  {value}\n"));
    lines.collect()
}

/// A number of bytes in the unit in which it reads best.
pub(super) fn bytes(count: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| count >> shift > 0) {
        Some((unit, shift)) => {
            let tenths = (count >> (shift - 10)) * 10 / 1_024;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{count} B"),
    }
}

/// A word with a number before it: `1 record`, `2 records`.
pub(super) fn counted(count: usize, word: &str) -> String {
    match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_shows_on_one_line_and_what_is_in_its_strings_stays() {
        let written = "{\n  \"name\": \"two  words\\nand a line\",\r\n\t\"x\": 1\n}";
        assert_eq!(
            one_line(written),
            "{ \"name\": \"two  words\\nand a line\", \"x\": 1 }"
        );
        assert_eq!(one_line("\"\u{202e}\""), "\"\\u{202e}\"");
    }
}

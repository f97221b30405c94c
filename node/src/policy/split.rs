//! A file of policies cut into single ones before any is parsed: so each has its place, a mistake in one
//! hides none in another, and nothing that nests too deep reaches the parser.

/// The most brackets within each other, and the deepest that a policy may nest once it is parsed: every
/// `&&`, `||` and bracket is a level. Evaluating it takes stack by the level, in any thread that asks.
pub(super) const DEPTH: usize = 24;
/// The most `&&`, `||`, `if` and signs of sums of one policy that is parsed at all.
const JOINTS: usize = 64;
/// The most dots in a row: `a.b.c`.
const DOTS: usize = 8;

/// One policy in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its first byte, comments before it left out.
    pub(super) start: usize,
    /// Behind its last byte.
    pub(super) end: usize,
    /// The annotations above it: their names, and where their `@` is.
    pub(super) annotations: Vec<(String, usize)>,
    /// Where a slot (`?principal`) is, if there is one.
    pub(super) slot: Option<usize>,
    /// Whether it nests deeper or joins more than is parsed.
    pub(super) tangled: bool,
}

/// Cuts a text behind each `;` that is in no brackets, string or comment. What follows the last is a
/// piece too, if it is not empty.
pub(super) fn split(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut current: Option<Piece> = None;
    let (mut depth, mut joints, mut dots) = (0usize, 0usize, 0usize);
    let mut last = ' ';
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        let length = token(rest, first);
        let (token, behind) = rest.split_at(length);
        rest = behind;
        if first.is_whitespace() || token.starts_with("//") {
            continue;
        }
        let piece = current.get_or_insert_with(|| Piece {
            start: at,
            end: at,
            annotations: Vec::new(),
            slot: None,
            tangled: false,
        });
        piece.end = at + length;
        match first {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '@' if depth == 0 => piece.annotations.push((word(behind).to_owned(), at)),
            '?' => piece.slot = piece.slot.or(Some(at)),
            '.' => dots += 1,
            '&' | '|' if first == last => joints += 1,
            '+' | '-' | '*' => joints += 1,
            _ if token == "if" => joints += 1,
            _ => {}
        }
        // Words and brackets belong to a row of dots, whatever else begins a new one.
        if !(first == '.' || first == '_' || first.is_alphanumeric() || "()[]".contains(first)) {
            dots = 0;
        }
        piece.tangled |= depth > DEPTH || joints > JOINTS || dots > DOTS;
        last = if first == last { ' ' } else { first };
        if first == ';' && depth == 0 {
            pieces.extend(current.take());
            (joints, dots) = (0, 0);
        }
    }
    pieces.extend(current);
    pieces
}

/// How long the token at the beginning of `text` is, in bytes: at least its first character.
fn token(text: &str, first: char) -> usize {
    let until = |end: Option<usize>| end.unwrap_or(text.len());
    if text.starts_with("//") {
        return until(text.find('\n'));
    }
    if first == '"' {
        let mut escaped = false;
        let end = text.char_indices().skip(1).find(|(_, c)| {
            let closes = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        });
        return until(end.map(|(at, _)| at + 1));
    }
    let word = word(text).len();
    if word > 0 { word } else { first.len_utf8() }
}

/// The word at the beginning of `text`, if there is one.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_strings_comments_and_brackets_end_nothing() {
        let text = "// one; two\n@id(\"a;\\\"b\") permit(principal, action, resource);\n\n forbid (;) ; x";
        let pieces = split(text);
        let texts: Vec<&str> = pieces.iter().map(|piece| &text[piece.start..piece.end]).collect();
        assert_eq!(
            texts,
            [
                "@id(\"a;\\\"b\") permit(principal, action, resource);",
                "forbid (;) ;",
                "x"
            ]
        );
        assert_eq!(pieces[0].annotations, [("id".to_owned(), 12)]);
    }

    #[test]
    fn what_nests_too_deep_is_seen_before_it_is_parsed() {
        let deep = format!(
            "permit(principal, action, resource) when {{ {} }};",
            "(".repeat(60)
        );
        let long = format!(
            "permit(principal, action, resource) when {{ {}true }};",
            "true&&".repeat(65)
        );
        assert!(split(&deep)[0].tangled && split(&long)[0].tangled);
        assert!(!split("permit(principal, action, resource) when { ((true)) };")[0].tangled);
    }

    #[test]
    fn any_text_is_cut_into_pieces_of_itself() {
        for text in ["", "\"", "//", "\"\\", "@", "?principal", "é;ü", "}}}};;;"] {
            for piece in split(text) {
                assert!(text.get(piece.start..piece.end).is_some(), "{text}");
            }
        }
    }
}

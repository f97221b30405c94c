//! A file of policies cut into single ones before any is parsed: so each has its place, a mistake in one
//! hides none in another, and nothing that nests too deep reaches the parser.

/// The most brackets within each other.
pub(super) const DEPTH: usize = 32;
/// The most operators, dots and words such as `if` of one policy: as deep as its parts can nest without
/// brackets.
pub(super) const SIGNS: usize = 512;

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
    /// Whether it nests deeper or has more operators than is evaluated.
    pub(super) tangled: bool,
}

/// Cuts a text behind each `;` that is in no brackets, string or comment. What follows the last is a
/// piece too, if it is not empty.
pub(super) fn split(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut current: Option<Piece> = None;
    let (mut depth, mut signs) = (0usize, 0usize);
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
            '.' | '&' | '|' | '+' | '-' | '*' | '!' | '=' | '<' | '>' => signs += 1,
            _ if ["if", "in", "has", "like", "is", "when", "unless"].contains(&token) => signs += 1,
            _ => {}
        }
        piece.tangled |= depth > DEPTH || signs > SIGNS;
        if first == ';' && depth == 0 {
            pieces.extend(current.take());
            signs = 0;
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
            "true&&".repeat(400)
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

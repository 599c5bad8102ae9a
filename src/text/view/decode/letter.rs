//! Single characters: percent escapes, escapes of strings in programs, HTML's character references.

use crate::text::view::escape;

/// Character references by name: what HTML calls the punctuation of ASCII.
const NAMES: [(&str, char); 52] = [
    ("ApplyFunction", '\u{2061}'),
    ("InvisibleComma", '\u{2063}'),
    ("InvisibleTimes", '\u{2062}'),
    ("NoBreak", '\u{2060}'),
    ("ZeroWidthSpace", '\u{200b}'),
    ("af", '\u{2061}'),
    ("amp", '&'),
    ("apos", '\''),
    ("ast", '*'),
    ("bsol", '\\'),
    ("colon", ':'),
    ("comma", ','),
    ("commat", '@'),
    ("dash", '-'),
    ("dollar", '$'),
    ("equals", '='),
    ("excl", '!'),
    ("grave", '`'),
    ("gt", '>'),
    ("Hat", '^'),
    ("hyphen", '-'),
    ("ic", '\u{2063}'),
    ("it", '\u{2062}'),
    ("lbrace", '{'),
    ("lbrack", '['),
    ("lcub", '{'),
    ("lowbar", '_'),
    ("lpar", '('),
    ("lsqb", '['),
    ("lt", '<'),
    ("nbsp", ' '),
    ("ndash", '-'),
    ("NewLine", '\n'),
    ("num", '#'),
    ("percnt", '%'),
    ("period", '.'),
    ("plus", '+'),
    ("quest", '?'),
    ("quot", '"'),
    ("rbrace", '}'),
    ("rbrack", ']'),
    ("rcub", '}'),
    ("rpar", ')'),
    ("rsqb", ']'),
    ("semi", ';'),
    ("shy", '\u{ad}'),
    ("sol", '/'),
    ("Tab", '\t'),
    ("verbar", '|'),
    ("vert", '|'),
    ("zwj", '\u{200d}'),
    ("zwnj", '\u{200c}'),
];

/// Letters of such a name, at most.
const NAME: usize = 14;

/// What follows a letter in the names of its other forms: `&afr;`, `&eacute;`.
const FORMS: [&str; 11] = ["fr", "scr", "opf", "acute", "grave", "circ", "uml", "tilde", "cedil", "ring", "caron"];

/// The names that a browser takes without a semicolon.
const BARE: [&str; 5] = ["amp", "lt", "gt", "quot", "nbsp"];

/// The character that an escape at the start of `text` stands for, and the escape's length.
pub(super) fn letter(text: &str) -> Option<(char, usize)> {
    match text.as_bytes().first()? {
        b'%' => bytes(text, "%", 16).or_else(|| {
            let (ch, len) = hexadecimal(text.strip_prefix("%u")?, 4)?;
            (len == 4).then_some((ch, 6))
        }),
        b'\\' => program(text).or_else(|| escape::escape(text)),
        b'&' => reference(text),
        _ => None,
    }
}

/// As programs write it: `\x62`, `\142`, `\u{1f600}`, `\U0001f600`.
fn program(text: &str) -> Option<(char, usize)> {
    let long = || hexadecimal(text.strip_prefix("\\U")?, 8).filter(|(_, len)| *len == 8).map(|(ch, len)| (ch, len + 2));
    bytes(text, "\\x", 16).or_else(|| bytes(text, "\\", 8)).or_else(|| braced(text)).or_else(long)
}

/// Bytes of UTF-8, each after `prefix`; one that is none counts as Latin-1.
fn bytes(text: &str, prefix: &str, radix: u32) -> Option<(char, usize)> {
    let step = prefix.len() + if radix == 16 { 2 } else { 3 };
    let byte = |nth: usize| {
        let digits = text.get(nth * step..(nth + 1) * step)?.strip_prefix(prefix)?;
        let are_digits = digits.bytes().all(|b| char::from(b).is_digit(radix));
        are_digits.then(|| u8::from_str_radix(digits, radix).ok())?
    };
    let first = byte(0)?;
    let mut sequence = [first, 0, 0, 0];
    for len in 1..=sequence.len() {
        if let Some(ch) = std::str::from_utf8(&sequence[..len]).ok().and_then(|text| text.chars().next()) {
            return Some((ch, len * step));
        }
        match byte(len) {
            Some(next) if len < sequence.len() => sequence[len] = next,
            _ => break,
        }
    }
    Some((char::from(first), step))
}

/// `\u{1f600}`.
fn braced(text: &str) -> Option<(char, usize)> {
    let inside = text.strip_prefix("\\u{")?;
    let (ch, len) = hexadecimal(inside, 6)?;
    inside[len..].starts_with('}').then_some((ch, len + 4))
}

/// `&#98;`, `&#x62;`, `&lt;`.
fn reference(text: &str) -> Option<(char, usize)> {
    let Some(number) = text.strip_prefix("&#") else { return named(&text[1..]).map(|(ch, len)| (ch, len + 1)) };
    let (digits, radix) = number.strip_prefix(['x', 'X']).map_or((number, 10), |digits| (digits, 16));
    // As many zeros as one likes. Each is looked at once: no other escape begins among them.
    let significant = digits.trim_start_matches('0');
    let start = text.len() - significant.len();
    let (ch, len) = number_of(significant, radix, 8)?;
    let end = start + len;
    Some((ch, end + usize::from(text[end..].starts_with(';'))))
}

fn named(text: &str) -> Option<(char, usize)> {
    let len = text.bytes().take(NAME).take_while(u8::is_ascii_alphabetic).count();
    let (name, rest) = text.split_at(len);
    let ends = rest.starts_with(';');
    let known = |name: &str| NAMES.iter().find(|(known, _)| *known == name).map(|(_, ch)| *ch);
    if ends {
        let form = |name: &str| name.get(1..).is_some_and(|form| FORMS.contains(&form));
        let ch = known(name).or_else(|| name.chars().next().filter(|_| form(name)))?;
        return Some((ch, len + 1));
    }
    let bare = BARE.into_iter().find(|bare| name.starts_with(bare))?;
    known(bare).map(|ch| (ch, bare.len()))
}

fn hexadecimal(text: &str, most: usize) -> Option<(char, usize)> {
    number_of(text, 16, most)
}

/// The character of this number, of so many digits at most.
fn number_of(text: &str, radix: u32, most: usize) -> Option<(char, usize)> {
    let len = text.bytes().take(most).take_while(|b| char::from(*b).is_digit(radix)).count();
    let code = u32::from_str_radix(&text[..len], radix).ok()?;
    char::from_u32(code).map(|ch| (ch, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_have_one_reading() {
        for (text, expected) in [
            ("%41", Some(('A', 3))),
            ("%e2%82%ACx", Some(('€', 9))),
            ("%e2%82", Some(('â', 3))),
            ("%u20acx", Some(('€', 6))),
            ("%u20", None),
            ("%+1", None),
            ("%4é", None),
            ("% off", None),
            (r"\x41\x42", Some(('A', 4))),
            (r"\u{1f600}", Some(('😀', 9))),
            (r"\u{1f600", None),
            (r"\q", None),
            ("&#65;", Some(('A', 5))),
            ("&#0000065x", Some(('A', 9))),
            ("&#x41;", Some(('A', 6))),
            ("&#X00041", Some(('A', 8))),
            ("&#0000000115;wordfish", Some(('s', 13))),
            ("&#x000000073;x", Some(('s', 13))),
            ("&#00000000000000000000000000000000000115;", Some(('s', 41))),
            ("&#00;", None),
            ("&#999999999;", None),
            (r"\163wordfish", Some(('s', 4))),
            (r"\303\251x", Some(('é', 8))),
            (r"\303x", Some(('Ã', 4))),
            (r"\16wordfish", None),
            (r"\477", None),
            (r"\U00000073wordfish", Some(('s', 10))),
            (r"\U0000007wordfish", None),
            (r"\U00110000", None),
            ("&#;", None),
            ("&#x110000;", None),
            ("&lt;", Some(('<', 4))),
            ("&ltx", Some(('<', 3))),
            ("&commat", None),
            ("&eacute;", Some(('e', 8))),
            ("&T", None),
            ("&é", None),
            ("&", None),
        ] {
            assert_eq!(letter(text), expected, "{text}");
        }
    }
}

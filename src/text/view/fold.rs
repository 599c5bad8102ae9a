//! Folds look-alikes and compatibility forms to what a reader takes them for, one character at a time.
//!
//! Left out: default-ignorable characters (zero-width, soft hyphen, bidi controls, variation selectors, tags), control
//! characters and the marks that stand over, under or through a letter. Blanks become spaces, dashes `-`, digits of any
//! script ASCII digits, compatibility forms their NFKC, and what the confusables of UTS 39 show to look like ASCII that
//! ASCII. ASCII stays as it is, so does case.

use std::borrow::Cow;
use std::sync::OnceLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, compose, is_combining_mark};

use super::map::{Builder, Map};

/// The folded text; `None` where folding changes nothing.
pub(super) fn folded(text: &str) -> Option<(String, Map)> {
    let first = text.char_indices().find(|&(_, ch)| *fold(ch) != Fold::Same || joins(ch))?.0;
    let mut to = Builder::for_source(text);
    text[..first].char_indices().for_each(|(at, ch)| to.copy(ch, at));
    for (at, ch) in text[first..].char_indices() {
        let at = first + at;
        match fold(ch).as_ref() {
            Fold::LeftOut => {}
            Fold::Same => match to.last_char().filter(|_| joins(ch)).and_then(|last| compose(last, ch)) {
                Some(joined) => to.replace_last(joined),
                None => to.copy(ch, at),
            },
            Fold::To(with) => to.replace(with, at),
        }
    }
    Some(to.finish(text.len()))
}

/// Bytes of `ch` that are seen at least, folded or not, where it follows `before`.
pub(super) fn seen(ch: char, before: Option<char>) -> usize {
    let apart = |before: char| *fold(before) == Fold::Same && !joins(before) && compose(before, ch).is_none();
    match fold(ch).as_ref() {
        Fold::LeftOut => 0,
        // It may become one with what comes before.
        Fold::Same if joins(ch) && !before.is_some_and(apart) => 0,
        Fold::Same => ch.len_utf8(),
        Fold::To(with) => with.len().min(ch.len_utf8()),
    }
}

/// What one character becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fold {
    Same,
    LeftOut,
    To(Box<str>),
}

/// Whether `ch` can become one with the character before it: a mark that is kept (Japanese voicing, Indic vowels) or a
/// Hangul vowel or final consonant.
fn joins(ch: char) -> bool {
    ch >= '\u{300}' && (is_combining_mark(ch) || matches!(ch, '\u{1161}'..='\u{11ff}'))
}

fn fold(ch: char) -> Cow<'static, Fold> {
    const PAGE: usize = 256;
    /// The planes with scripts; beyond them stand ideographs, tags and private use, which are folded each time.
    const PAGES: usize = 0x2_0000 / PAGE;
    /// Filled page by page as texts need them: a fold costs about a microsecond, a look-up a few nanoseconds.
    static TABLE: [OnceLock<Box<[Fold]>>; PAGES] = [const { OnceLock::new() }; PAGES];

    if is_plain(ch) {
        return Cow::Borrowed(&Fold::Same);
    }
    let code = ch as usize;
    let Some(page) = TABLE.get(code / PAGE) else { return Cow::Owned(fold_anew(ch)) };
    let page = page.get_or_init(|| {
        let first = code / PAGE * PAGE;
        (first..first + PAGE)
            .map(|code| u32::try_from(code).ok().and_then(char::from_u32).map_or(Fold::Same, fold_anew))
            .collect()
    });
    page.get(code % PAGE).map_or(Cow::Borrowed(&Fold::Same), Cow::Borrowed)
}

/// ASCII that stands for itself: all but the controls.
pub(super) fn is_plain(ch: char) -> bool {
    matches!(ch, ' '..='~' | '\t' | '\n' | '\r')
}

fn fold_anew(ch: char) -> Fold {
    if is_plain(ch) {
        return Fold::Same;
    }
    match ch {
        '\u{85}' | '\u{2028}' | '\u{2029}' => return Fold::To("\n".into()),
        // Their compatibility form has the brackets that stand for a ring here.
        '\u{249c}'..='\u{24b5}' | '\u{1f110}'..='\u{1f129}' => {
            return listed(ch).map_or(Fold::Same, |letter| Fold::To(String::from(letter).into()));
        }
        _ if is_blank(ch) => return Fold::To(" ".into()),
        _ if is_left_out(ch) || is_stripped(ch) => return Fold::LeftOut,
        _ => {}
    }
    let bare: String = std::iter::once(ch).nfkd().filter(|&part| !is_stripped(part)).nfkc().collect();
    let to: String = bare.chars().flat_map(|part| look_alike(part).chars().collect::<Vec<_>>()).collect();
    // A few Arabic ligatures stand for whole phrases; a view is to stay a small multiple of its text.
    if to.len() > 4 * ch.len_utf8() || to.chars().eq([ch]) { Fold::Same } else { Fold::To(to.into()) }
}

/// Blank, and not for its neighbours to close up over.
fn is_blank(ch: char) -> bool {
    ch.is_whitespace() && ch > '~' || matches!(ch, '\u{2800}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
}

/// Default-ignorable (UCD `Default_Ignorable_Code_Point`, less the Hangul fillers), a control, or an annotation mark.
pub fn is_left_out(ch: char) -> bool {
    match ch {
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' => true,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffc}' => true,
        '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => true,
        _ => ch.is_control(),
    }
}

/// A mark over, under or through its letter. Marks that are letters of their own in their script (Indic vowels, kana
/// voicing, Thai, Hebrew and Arabic points) have other combining classes and stay.
fn is_stripped(ch: char) -> bool {
    matches!(canonical_combining_class(ch), 1 | 200..=240)
        || matches!(ch, '\u{20dd}'..='\u{20e0}' | '\u{20e2}'..='\u{20e4}')
}

/// The ASCII that `ch` looks like, or `ch`.
fn look_alike(ch: char) -> String {
    if ch.is_ascii() {
        return ch.into();
    }
    if let Some(known) = digit(ch).or_else(|| listed(ch)) {
        return known.into();
    }
    let mut letter = [0; 4];
    let prototype = unicode_security::confusable_detection::skeleton(ch.encode_utf8(&mut letter));
    // A letter with a stroke through it is the letter.
    let prototype: String = prototype.filter(|&part| !is_stripped(part)).collect();
    match prototype.as_str() {
        // UTS 39 has one prototype for `l`, `I`, `1` and `|`, and writes `m` as `rn`: undo both.
        "l" if ch.is_uppercase() => "I".into(),
        "l" | "I" if matches!(ch, '\u{5c0}' | '\u{1c0}' | '\u{2223}' | '\u{23fd}' | '\u{ffe8}') => "|".into(),
        "rn" => "m".into(),
        _ if !prototype.is_empty() && prototype.is_ascii() => prototype,
        _ => match prototype.chars().next().filter(|_| prototype.chars().nth(1).is_none()).and_then(listed) {
            Some(known) => known.into(),
            None => ch.into(),
        },
    }
}

/// The value of a decimal digit of any script (general category Nd), as ASCII.
fn digit(ch: char) -> Option<char> {
    let code = ch as u32;
    let zero = ZEROS.get(ZEROS.partition_point(|&zero| zero <= code).checked_sub(1)?)?;
    char::from_digit((code - zero < 10).then_some(code - zero)?, 10)
}

/// What the confusables leave out and a reader does not.
fn listed(ch: char) -> Option<char> {
    let in_run = |first: char, to: u8| {
        let offset = u8::try_from(ch as u32 - first as u32).ok()?;
        Some(char::from(to.checked_add(offset)?))
    };
    match ch {
        '\u{249c}'..='\u{24b5}' => in_run('\u{249c}', b'a'),
        '\u{1f110}'..='\u{1f129}' => in_run('\u{1f110}', b'A'),
        '\u{1f150}'..='\u{1f169}' => in_run('\u{1f150}', b'A'),
        '\u{1f170}'..='\u{1f189}' => in_run('\u{1f170}', b'A'),
        '\u{1f1e6}'..='\u{1f1ff}' => in_run('\u{1f1e6}', b'A'),
        '\u{2776}'..='\u{277e}' => in_run('\u{2776}', b'1'),
        '\u{2780}'..='\u{2788}' => in_run('\u{2780}', b'1'),
        '\u{278a}'..='\u{2792}' => in_run('\u{278a}', b'1'),
        '\u{24ff}' | '\u{1f10b}' | '\u{1f10c}' => Some('0'),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2e3a}' | '\u{2e3b}' => Some('-'),
        '\u{3002}' | '\u{ff61}' => Some('.'),
        '\u{201c}'..='\u{201f}' | '\u{ab}' | '\u{bb}' => Some('"'),
        '\u{2018}'..='\u{201b}' => Some('\''),
        _ => LETTERS.split(' ').find_map(|pair| pair.strip_prefix(ch))?.chars().next(),
    }
}

/// Small capitals, turned letters and letters with a stroke, each with its ASCII letter. They are also prototypes of UTS 39, so that both
/// cases of a Cyrillic letter lead to both cases of one ASCII letter.
const LETTERS: &str = "ĸk ꓲI Ɔc ƎE ǝe ɐa ɔc ɘe əe ɟf ɢG ɥh ɪI ɯm ɴN ɹr ɾr ʀR ʁR ʃs ʇt ʌv ʍw ʎy ʏY \
    ʙB ʜH ʞk ʟL мm ᴀA ᴄC ᴅD ᴇE ᴉi ᴊJ ᴋK ᴍM ᴏO ᴘP ᴛT ᴜU ᴠV ᴡW ᴢZ ꜰF ꜱS ꞯQ \
    øo ØO ħh ĦH ŧt ŦT ɨi ƗI ǥg ǤG ƶz ƵZ ƀb ɃB ʉu ɄU ɍr ɌR ɉj ɈJ ⱥa ȺA ɇe ɆE";

/// The zeros of the decimal digits (general category Nd), sorted; each begins a run of ten.
const ZEROS: &[u32] = &[
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20,
    0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0,
    0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x10d40, 0x11066, 0x110f0, 0x11136, 0x111d0,
    0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x116d0, 0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0, 0x11c50,
    0x11d50, 0x11da0, 0x11f50, 0x16130, 0x16a60, 0x16ac0, 0x16b50, 0x16d70, 0x1ccf0, 0x1d7ce, 0x1d7d8, 0x1d7e2,
    0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e5f1, 0x1e950, 0x1fbf0,
];

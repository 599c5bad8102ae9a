//! Media that a route lets by unjudged.

use toml::Spanned;

use crate::config::load::Reader;
use crate::config::suggest::list;
use crate::config::{Diagnostic, Dialect, Origin};
use crate::text::{Media, MediaSet};

impl Dialect {
    /// The kinds that can go by in its requests or answers.
    fn media(&self) -> &'static [Media] {
        match self {
            Dialect::OpenAiChat | Dialect::Gemini => &Media::ALL,
            Dialect::OpenAiResponses => &[Media::Image, Media::Audio, Media::File],
            Dialect::Anthropic => &[Media::Image, Media::File],
            Dialect::OllamaChat | Dialect::OllamaGenerate | Dialect::OpenAiImages | Dialect::OpenAiModerations => {
                &[Media::Image]
            }
            Dialect::OpenAiCompletions | Dialect::OpenAiEmbeddings | Dialect::BedrockConverse | Dialect::Own(_) => &[],
        }
    }
}

/// The kinds of `pass_media`, each one that the dialect has and named once.
pub fn pass_media(
    reader: &mut Reader<'_>,
    at: &Origin,
    dialect: &Dialect,
    written: Option<&Spanned<Vec<Spanned<Media>>>>,
) -> Option<MediaSet> {
    let Some(written) = written else { return Some(MediaSet::default()) };
    let known = dialect.media();
    let mut kinds: Vec<Media> = Vec::new();
    let mut sound = true;
    for kind in written.get_ref() {
        let at_kind = at.with(kind.span());
        let kind = *kind.get_ref();
        let (title, label) = match known {
            _ if kinds.contains(&kind) => (format!("`{}` is named twice", kind.as_str()), "named before".to_owned()),
            [] => (format!("of `{}` no media can go by", dialect.as_str()), "leave it out".to_owned()),
            _ if !known.contains(&kind) => {
                let expected = list(known.iter().map(|kind| kind.as_str()));
                (format!("`{}` has no place for `{}`", dialect.as_str(), kind.as_str()), format!("expected {expected}"))
            }
            _ => {
                kinds.push(kind);
                continue;
            }
        };
        reader.problem(Diagnostic::error(&at_kind, title).label(label));
        sound = false;
    }
    sound.then(|| kinds.into_iter().collect())
}

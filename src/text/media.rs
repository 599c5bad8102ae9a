//! Media: what an exchange brings besides texts, by kind.

use serde::Deserialize;

/// A kind of content that is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Media {
    Image,
    Audio,
    Video,
    /// Documents and all else.
    File,
}

/// How many of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MediaCount([u32; Media::ALL.len()]);

/// A set of kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MediaSet([bool; Media::ALL.len()]);

impl Media {
    pub const ALL: [Media; 4] = [Media::Image, Media::Audio, Media::Video, Media::File];

    /// The word for settings, headers, metrics and the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Media::Image => "image",
            Media::Audio => "audio",
            Media::Video => "video",
            Media::File => "file",
        }
    }

    /// By a media type (`image/png`).
    pub fn of(media_type: &str) -> Self {
        let top = media_type.split('/').next().unwrap_or_default().trim();
        let named = Media::ALL.into_iter().find(|kind| top.eq_ignore_ascii_case(kind.as_str()));
        named.unwrap_or(Media::File)
    }
}

impl MediaCount {
    pub fn add(&mut self, kind: Media) {
        let count = &mut self.0[kind as usize];
        *count = count.saturating_add(1);
    }

    pub fn with(mut self, more: MediaCount) -> Self {
        for (count, more) in self.0.iter_mut().zip(more.0) {
            *count = count.saturating_add(more);
        }
        self
    }

    pub fn is_empty(&self) -> bool {
        *self == MediaCount::default()
    }

    /// The kinds that there are, and how many of each.
    pub fn iter(&self) -> impl Iterator<Item = (Media, u32)> {
        Media::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

impl MediaSet {
    pub const NONE: MediaSet = MediaSet([false; Media::ALL.len()]);

    pub fn has(self, kind: Media) -> bool {
        self.0[kind as usize]
    }

    pub fn iter(self) -> impl Iterator<Item = Media> {
        Media::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
}

impl FromIterator<Media> for MediaCount {
    fn from_iter<I: IntoIterator<Item = Media>>(kinds: I) -> Self {
        let mut count = MediaCount::default();
        kinds.into_iter().for_each(|kind| count.add(kind));
        count
    }
}

impl FromIterator<Media> for MediaSet {
    fn from_iter<I: IntoIterator<Item = Media>>(kinds: I) -> Self {
        let mut set = MediaSet::default();
        kinds.into_iter().for_each(|kind| set.0[kind as usize] = true);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_go_by_media_type() {
        for (media_type, kind) in [
            ("image/png", Media::Image),
            ("AUDIO/wav", Media::Audio),
            ("video/mp4", Media::Video),
            ("application/pdf", Media::File),
            ("imagery/png", Media::File),
            ("", Media::File),
        ] {
            assert_eq!(Media::of(media_type), kind, "{media_type}");
        }
    }

    #[test]
    fn counts_and_sets_keep_kinds_apart() {
        assert!(MediaCount::default().is_empty());
        let count: MediaCount = [Media::File, Media::Image, Media::File].into_iter().collect();
        assert_eq!(count.with(count).iter().collect::<Vec<_>>(), [(Media::Image, 2), (Media::File, 4)]);
        let set: MediaSet = [Media::Audio, Media::File].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Media::Audio, Media::File]);
    }
}

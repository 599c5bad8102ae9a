//! Edits of a text and of its further views, brought together: what a view shows must be what is written.

use std::collections::HashMap;

use crate::wire::answer::channels::Found;
use crate::wire::answer::unescape::Twice;
use crate::wire::shape::Form;
use crate::wire::{Channel, Event, EventText};

/// What has been written of an answer's texts that have views.
#[derive(Default)]
pub struct Views {
    /// The arguments of each tool call.
    calls: HashMap<(u32, u64), Twice>,
    /// What a channel of texts of their own had last, where that was replaced.
    last: HashMap<Channel, String>,
    /// What stands for a text of its own wherever it is told again.
    replaced: HashMap<(Channel, String), String>,
}

impl Views {
    /// Nothing that was replaced can come again.
    pub fn are_idle(&self) -> bool {
        self.replaced.is_empty()
    }

    /// What each text of an event is replaced by, if it is, after these edits of its texts and views. An edit of a view that
    /// those of its text do not make, too, is an error: the index of the text.
    pub fn settle(
        &mut self,
        found: &[Found],
        event: &Event,
        edits: &[Option<String>],
        says_again: bool,
    ) -> Result<Vec<Option<String>>, usize> {
        let views: HashMap<usize, usize> =
            event.texts.iter().enumerate().filter_map(|(view, text)| Some((text.view_of?, view))).collect();
        let mut settled = Vec::with_capacity(found.len());
        for (index, (found, (text, edit))) in found.iter().zip(event.texts.iter().zip(edits)).enumerate() {
            let view = views.get(&index).map(|&view| (&event.texts[view], edits[view].as_deref()));
            let (agrees, with) = if found.form == Form::Arguments {
                (self.call(found, text, edit.as_deref(), view), edit.clone())
            } else if found.is_own(says_again) && (edit.is_none() || found.form.is_editable()) {
                self.own(found, text, edit.as_deref(), view)
            } else {
                (view.is_none_or(|(_, edit)| edit.is_none()), edit.clone())
            };
            if !agrees {
                return Err(index);
            }
            settled.push(with);
        }
        Ok(settled)
    }

    fn call(
        &mut self,
        found: &Found,
        text: &EventText,
        edit: Option<&str>,
        view: Option<(&EventText, Option<&str>)>,
    ) -> bool {
        let call = self.calls.entry((found.choice, found.place)).or_default();
        call.write(edit.unwrap_or(&text.text));
        view.is_none_or(|(view, edit)| {
            call.decide(edit.unwrap_or(&view.text));
            edit.is_none() || call.agrees()
        })
    }

    /// A text of its own is judged as a line, and once: told again, it leaves as it left before.
    fn own(
        &mut self,
        found: &Found,
        text: &EventText,
        edit: Option<&str>,
        view: Option<(&EventText, Option<&str>)>,
    ) -> (bool, Option<String>) {
        let is_lined = text.text.len() > found.text.len();
        let with = match edit {
            Some(edit) if is_lined => match edit.strip_prefix('\n') {
                Some(edit) => Some(edit.to_owned()),
                None => return (false, None),
            },
            Some(edit) => Some(edit.to_owned()),
            None => self.replaced.get(&(text.channel, found.text.clone())).cloned(),
        };
        let now = with.as_deref().unwrap_or(&found.text);
        let agrees = view.is_none_or(|(view, edit)| {
            let before = view.text.strip_suffix(&*found.text).unwrap_or_default();
            let before = self.last.get(&text.channel).filter(|_| !before.is_empty()).map_or(before, |last| last);
            edit.is_none_or(|edit| edit.strip_prefix(before) == Some(now))
        });
        match &with {
            Some(with) => {
                self.replaced.insert((text.channel, found.text.clone()), with.clone());
                self.last.insert(text.channel, with.clone());
            }
            None => {
                self.last.remove(&text.channel);
            }
        }
        (agrees, with)
    }
}

//! What has left of a stream: the response as the client has it, for an end that tells it again.

use std::collections::BTreeMap;

use crate::wire::json::{Document, Limits, Value};
use crate::wire::openai::reply::Header;
use crate::wire::openai_responses::reply;

/// Bytes of it that are kept, at most. An answer that is larger is told again without its last items.
const MAX_KEPT: usize = 8 << 20;

/// All of it as JSON, and only what the client has been sent.
#[derive(Default)]
pub struct Left {
    header: Option<Header>,
    /// Events so far, by their own count.
    events: u64,
    items: BTreeMap<u32, Item>,
    kept: usize,
}

/// One item of the output.
enum Item {
    /// As it came.
    Done(String),
    Open {
        id: String,
        reasons: bool,
        parts: BTreeMap<Place, String>,
    },
}

/// Where a text of an item stands: its list, its index there, the type of its part.
type Place = (List, u32, &'static str);

#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum List {
    Content,
    Summary,
}

impl Left {
    /// Takes the data of an event that has left.
    pub fn take(&mut self, data: &[u8]) {
        let Ok(document) = Document::parse(data.to_vec(), &Limits::default()) else { return };
        let event = document.root();
        let number = event.get("sequence_number").and_then(Value::u32);
        self.events = number.map_or(self.events, u64::from) + 1;
        if self.kept < MAX_KEPT {
            self.kept += self.event(event).unwrap_or_default();
        }
    }

    /// Id, time and model of the response, if the client has been told that there is one.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The number of the next event.
    pub fn next(&self) -> u64 {
        self.events
    }

    /// The items, as the elements of an array. Behind an item or a part that is missing none has the position that it had.
    pub fn output(&self) -> String {
        let in_place = self.items.iter().zip(0u32..).take_while(|((index, _), position)| *index == position);
        let items = in_place.map(|((_, item), _)| match item {
            Item::Done(item) => item.clone(),
            Item::Open { id, reasons, parts } => {
                let list = |list| {
                    let of = parts.iter().filter(|((own, ..), _)| *own == list).zip(0u32..);
                    let in_place = of.take_while(|(((_, index, _), _), position)| index == position);
                    in_place.map(|(((_, _, kind), text), _)| reply::part(kind, text)).collect::<Vec<_>>().join(",")
                };
                let content = list(List::Content);
                match reasons {
                    true => format!(
                        r#"{{"id":{id},"type":"reasoning","summary":[{}],"content":[{content}],"status":"incomplete"}}"#,
                        list(List::Summary)
                    ),
                    false => reply::message(id, "incomplete", &content),
                }
            }
        });
        items.collect::<Vec<_>>().join(",")
    }

    /// Bytes that are kept of an event.
    fn event(&mut self, event: Value<'_>) -> Option<usize> {
        let kind = event.get("type")?.text()?;
        let piece = || event.get("delta");
        match &*kind {
            "response.queued" | "response.created" | "response.in_progress" if self.header.is_none() => {
                self.header = Some(header_of(event.get("response")?));
                None
            }
            "response.output_item.added" => self.open(event),
            "response.output_item.done" => {
                let item = event.get("item")?.raw();
                self.items.insert(event.get("output_index")?.u32()?, Item::Done(item.to_owned()));
                Some(item.len())
            }
            "response.content_part.added" => {
                let part = event.get("part")?;
                let kind = reply::PARTS.iter().find(|kind| part.get("type").is_some_and(|own| own.is(kind)))?;
                self.said(event, List::Content, kind, part.get("text").or_else(|| part.get("refusal")))
            }
            "response.output_text.delta" => self.said(event, List::Content, "output_text", piece()),
            "response.refusal.delta" => self.said(event, List::Content, "refusal", piece()),
            "response.reasoning_text.delta" => self.said(event, List::Content, "reasoning_text", piece()),
            "response.reasoning_summary_text.delta" => self.said(event, List::Summary, "summary_text", piece()),
            _ => None,
        }
    }

    /// An item begins. Of others than messages and reasoning only what is done counts.
    fn open(&mut self, event: Value<'_>) -> Option<usize> {
        let item = event.get("item")?;
        let kind = item.get("type")?.text()?;
        if kind == "message" || kind == "reasoning" {
            let id = item.get("id").filter(|id| id.text().is_some()).map_or("\"\"", Value::raw).to_owned();
            let open = Item::Open { id, reasons: kind == "reasoning", parts: BTreeMap::new() };
            self.items.insert(event.get("output_index")?.u32()?, open);
        }
        Some(size_of::<Item>())
    }

    fn said(&mut self, event: Value<'_>, list: List, kind: &'static str, text: Option<Value<'_>>) -> Option<usize> {
        let index = match list {
            List::Content => "content_index",
            List::Summary => "summary_index",
        };
        let text = text?.text()?;
        let place = (list, event.get(index)?.u32()?, kind);
        match self.items.get_mut(&event.get("output_index")?.u32()?)? {
            Item::Open { parts, .. } => parts.entry(place).or_default().push_str(&text),
            Item::Done(_) => return None,
        }
        Some(text.len() + size_of::<Place>())
    }
}

/// What the response says of itself: it has been judged, and has left.
fn header_of(response: Value<'_>) -> Header {
    let own = Header::new(reply::FAMILY, "");
    let text = |name| response.get(name).filter(|value| value.text().is_some()).map(|value| value.raw().to_owned());
    let created = response.get("created_at").and_then(Value::u32).map(|seconds| seconds.to_string());
    Header {
        id: text("id").unwrap_or(own.id),
        created: created.unwrap_or(own.created),
        model: text("model").unwrap_or(own.model),
    }
}

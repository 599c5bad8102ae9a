//! Events, lines and binary messages, framed as servers do.

use portcullis::wire::Framing;
use serde_json::Value as Json;

use super::random::Random;

/// Events; `end` is the data of the last, or empty.
pub fn events(random: &mut Random, events: &[Json], end: &str) -> (Framing, Vec<u8>) {
    let line = *random.pick(&["\n", "\n", "\r\n", "\r"]);
    let named = random.below(2) == 0;
    let style = random.below(5);
    let mut out = String::from(if random.below(8) == 0 { "\u{feff}" } else { "" });
    for (at, event) in events.iter().enumerate() {
        let name =
            event["type"].as_str().filter(|_| named).map_or(String::new(), |name| format!("event: {name}{line}"));
        out += &match style {
            0 if at % 5 == 0 => format!(": keep-alive{line}{line}"),
            1 => format!("id: {at}{line}"),
            2 if at == 0 => format!("retry: 3000{line}{line}"),
            _ => String::new(),
        };
        out += &name;
        match style {
            3 => {
                let pretty = serde_json::to_string_pretty(event).unwrap_or_default();
                pretty.lines().for_each(|part| out += &format!("data: {part}{line}"));
            }
            4 => out += &format!("data:{event}{line}"),
            _ => out += &format!("data: {event}{line}"),
        }
        out += line;
    }
    out += &match (end, random.below(4)) {
        ("", 0) => format!("{line}{line}"),
        ("", _) => String::new(),
        // Some leave the mark out, some the blank line behind it.
        (_, 0) => String::new(),
        (end, 1) => format!("data: {end}"),
        (end, _) => format!("data: {end}{line}{line}"),
    };
    (Framing::Sse, out.into_bytes())
}

/// JSON on each line.
pub fn lines(random: &mut Random, lines: &[Json]) -> (Framing, Vec<u8>) {
    let end = *random.pick(&["\n", "\n", "\r\n", "\n\n", " \n"]);
    let mut out: String = lines.iter().map(|line| format!("{line}{end}")).collect();
    if random.below(4) == 0 {
        out.truncate(out.trim_end().len());
    }
    (Framing::Ndjson, out.into_bytes())
}

/// Amazon's messages: the first member of an event is the header that says what it is, the others are its payload.
pub fn messages(random: &mut Random, events: &[Json]) -> (Framing, Vec<u8>) {
    let (pretty, dated) = (random.below(4) == 0, random.below(3) == 0);
    let mut out = Vec::new();
    for event in events {
        let mut payload = event.clone();
        let name = payload.as_object_mut().and_then(|event| event.remove(":event-type")).unwrap_or_default();
        // Of any length, that nobody may count letters.
        payload["p"] = "abcdefghijklmnopqrstuvwxyz"[..random.below(27)].into();
        let name = name.as_str().unwrap_or_default();
        let mut headers =
            vec![text(":event-type", name), text(":content-type", "application/json"), text(":message-type", "event")];
        if dated {
            headers.push(header(":date", 8, &1_790_000_000_000_u64.to_be_bytes()));
        }
        let turn = random.below(headers.len());
        headers.rotate_left(turn);
        let payload = if pretty { serde_json::to_vec_pretty(&payload) } else { serde_json::to_vec(&payload) };
        out.extend(message(&headers.concat(), &payload.unwrap_or_default()));
    }
    (Framing::EventStream, out)
}

/// A header that is a string, of 255 bytes at most.
pub fn text(name: &str, value: &str) -> Vec<u8> {
    header(name, 7, &[&[0, value.len() as u8], value.as_bytes()].concat())
}

/// A header of this type, with the value as it stands on the wire.
pub fn header(name: &str, kind: u8, value: &[u8]) -> Vec<u8> {
    [&[name.len() as u8], name.as_bytes(), &[kind], value].concat()
}

/// A message with these headers.
pub fn message(head: &[u8], payload: &[u8]) -> Vec<u8> {
    let (total, headers) = ((16 + head.len() + payload.len()) as u32, head.len() as u32);
    let mut out = [total.to_be_bytes(), headers.to_be_bytes()].concat();
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out.extend([head, payload].concat());
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out
}

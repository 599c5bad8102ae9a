//! Events and lines, framed as servers do.

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

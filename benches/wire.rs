//! Prints what reading and editing a large chat request costs, beside a plain parse by serde_json. Not a test: it measures,
//! and people judge. `cargo bench --bench wire`

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use portcullis::text::{Edit, Edits, Kind};
use portcullis::wire::Dialect;
use portcullis::wire::json::{Document, Limits};
use portcullis::wire::openai_chat::OpenAiChat;
use serde_json::{Value, json};

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes of each request, or a little more.
const SIZE: usize = 1 << 20;
/// All are measured in turn, so that a slow moment of the machine meets each.
const ROUNDS: usize = 101;

fn main() {
    for (name, message) in [("long messages of prose", 10_000), ("short messages", 200)] {
        measure(name, &request(message));
    }
}

/// What is measured; what it gives keeps it from being left out.
type Part<'a> = Box<dyn FnMut() -> usize + 'a>;

fn measure(name: &str, body: &Bytes) {
    let dialect = OpenAiChat::new(1 << 20);
    let prompt = dialect.parse_request(body.clone(), "").expect("a chat request");
    // The first word of every message.
    let contents = prompt.segments().iter().filter(|segment| segment.place.kind == Kind::Content);
    let edits: BTreeMap<_, _> = contents.map(|segment| (segment.id, first_word())).collect();
    let mut parts: [(&str, Part); 4] = [
        (
            "serde_json to a value",
            Box::new(|| serde_json::from_slice::<Value>(body).expect("JSON").as_object().map_or(0, |o| o.len())),
        ),
        ("strict scan", Box::new(|| Document::parse(body.clone(), &Limits::default()).expect("JSON").source().len())),
        (
            "scan and find the texts",
            Box::new(|| dialect.parse_request(body.clone(), "").expect("a chat request").segments().len()),
        ),
        ("an edit in each message", Box::new(|| prompt.edited(&edits).expect("editable").len())),
    ];
    let mut times = vec![Vec::new(); parts.len()];
    for _ in 0..ROUNDS {
        for ((_, part), times) in parts.iter_mut().zip(&mut times) {
            let begun = Instant::now();
            black_box(part());
            times.push(begun.elapsed().as_secs_f64());
        }
    }
    println!("\n{name}: {} bytes, {} texts; medians of {ROUNDS} rounds in turn", body.len(), prompt.segments().len());
    let medians: Vec<f64> = times.into_iter().map(median).collect();
    for ((what, _), seconds) in parts.iter().zip(&medians) {
        let speed = body.len() as f64 / seconds / 1e6;
        println!("  {what:<26}{:>9.3} ms{speed:>9.0} MB/s{:>9.2} of serde_json", seconds * 1e3, seconds / medians[0]);
    }
}

/// Turns of so many bytes each, with the quotes, line ends and other scripts that prose has.
fn request(message: usize) -> Bytes {
    let sentence =
        "He said \"it's fine\" — and then,\nafter a while, went on: Grüße, 世界, to all who read this line. ";
    let text: String = sentence.chars().cycle().take(message).collect();
    let turns = SIZE / message;
    let messages: Vec<_> = ["user", "assistant"]
        .into_iter()
        .cycle()
        .take(turns)
        .map(|role| json!({"role": role, "content": text}))
        .collect();
    json!({"model": "m", "temperature": 0.5, "messages": messages}).to_string().into()
}

fn first_word() -> Edits {
    let mut edits = Edits::default();
    edits.insert(Edit { span: 0..2, with: "[REDACTED:word]".into() });
    edits
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

//! What an evaluation prints: its figures, what went wrong, and what a comparison changes.

use serde_json::json;

use super::Done;
use crate::cli::desk::{columns, name};
use crate::workbench::{Change, Line, Side, Summary, brief, change, is_right, short};

/// Items that a list shows; the report and the results have more.
const ITEMS: usize = 20;
/// Characters of a text.
const TEXT: usize = 70;

/// One object: what was judged by what, and what came of it.
pub fn json(done: &Done) -> String {
    let changed =
        |wanted: Change| done.lines.iter().filter(move |line| change(line) == Some(wanted)).map(|line| line.line);
    let changes = done.b.is_some().then(|| {
        let lines = |wanted| changed(wanted).collect::<Vec<_>>();
        json!({"fixed": lines(Change::Fixed), "broken": lines(Change::Broken), "other": lines(Change::Other)})
    });
    let object = json!({
        "run": done.head,
        "counted_by": if done.data.has_labels() { "label" } else { "violation" },
        "a": done.a.1,
        "b": done.b.as_ref().map(|(_, summary)| summary),
        "changed_lines": changes,
    });
    object.to_string()
}

pub fn text(done: &Done) -> String {
    let Done { head, data, lines, a: (_, a), b } = done;
    let b = b.as_ref().map(|(_, summary)| summary);
    let mut out = format!("{} items of {}\n", lines.len(), name(&data.path));
    let side = |name: &str, side: &Side| {
        let Side { policy, policy_digest, model, effort, .. } = side;
        format!("{name}policy {policy} ({}), model {}, effort {effort}\n", short(policy_digest), short(model))
    };
    match &head.b {
        None => out += &side("", &head.a),
        Some(other) => out += &(side("A: ", &head.a) + &side("B: ", other)),
    }
    if let Some(lacking) = &data.lacking {
        out += &format!("{lacking}\n");
    }
    out += &format!("\n{}", figures(a, b));
    for (name, summary) in [("A", Some(a)), ("B", b)] {
        let Some(summary) = summary else { continue };
        let name = if b.is_some() { format!("{name}: ") } else { String::new() };
        out += &format!("\n{}", by_label(&name, summary));
        out += &format!("\n{}", confusion(&name, summary));
    }
    if b.is_some() {
        for (title, wanted) in [
            ("right in B, wrong in A", Change::Fixed),
            ("wrong in B, right in A", Change::Broken),
            ("wrong in both, in another way", Change::Other),
        ] {
            out += &list(done, title, |line| change(line) == Some(wanted));
        }
    } else {
        out += &list(done, "wrong", |line| line.a.given().is_some() && !is_right(&line.expected, &line.a));
        out += &list(done, "no verdict", |line| line.a.given().is_none());
    }
    out
}

fn figures(a: &Summary, b: Option<&Summary>) -> String {
    let row = |name: &str, figure: &dyn Fn(&Summary) -> String| {
        let sides = [Some(a), b].into_iter().flatten().map(figure);
        std::iter::once(name.to_owned()).chain(sides).collect::<Vec<_>>()
    };
    let errors = |summary: &Summary| {
        let why: Vec<String> = summary.errors.iter().map(|(error, count)| format!("{count} {error}")).collect();
        if why.is_empty() { "0".to_owned() } else { why.join(", ") }
    };
    let millis = |millis: Option<f64>| millis.map_or("-".into(), |millis| format!("{millis:.1} ms"));
    let mut rows = vec![
        row("accuracy", &|s| number(s.accuracy)),
        row("macro F1", &|s| number(s.macro_f1)),
        row("violations found (recall)", &|s| number(s.violation.recall)),
        row("alarms that are right (precision)", &|s| number(s.violation.precision)),
        row("calibration error (ECE)", &|s| number(s.calibration.as_ref().map(|c| c.ece))),
        row("Brier score", &|s| number(s.calibration.as_ref().map(|c| c.brier))),
        row("latency p50", &|s| millis(s.latency.map(|latency| latency.p50))),
        row("latency p95", &|s| millis(s.latency.map(|latency| latency.p95))),
        row("no verdict", &errors),
    ];
    if b.is_some() {
        rows.insert(0, ["", "A", "B"].map(str::to_owned).to_vec());
    }
    columns(&rows)
}

/// `name` is that of the side, where there are two.
fn by_label(name: &str, side: &Summary) -> String {
    let label = format!("{name}label");
    let mut rows = vec![[&*label, "expected", "given", "precision", "recall", "F1"].map(str::to_owned).to_vec()];
    rows.extend(side.classes.iter().map(|class| {
        let (support, given) = (class.support.to_string(), class.given.to_string());
        vec![class.class.clone(), support, given, number(class.precision), number(class.recall), number(class.f1)]
    }));
    columns(&rows)
}

fn confusion(name: &str, side: &Summary) -> String {
    let mut head = vec![format!("{name}expected \\ given")];
    head.extend(side.confusion.classes.iter().cloned());
    head.push("no verdict".into());
    let row = |(class, counts): (&String, &Vec<usize>)| {
        std::iter::once(class.clone()).chain(counts.iter().map(ToString::to_string)).collect()
    };
    let rows = side.confusion.classes.iter().zip(&side.confusion.counts).map(row);
    columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

fn list(done: &Done, title: &str, wanted: impl Fn(&Line) -> bool) -> String {
    let lines: Vec<&Line> = done.lines.iter().filter(|line| wanted(line)).collect();
    if lines.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{title}: {}\n", lines.len());
    for line in lines.iter().take(ITEMS) {
        let text = done.data.items.get(line.item).map(|item| brief(&item.text, TEXT)).unwrap_or_default();
        let b = line.b.as_ref().map(|b| format!(", B {}", brief(b.word(), TEXT))).unwrap_or_default();
        out += &format!("  line {}: {} was expected, {} given{b}: {text}\n", line.line, line.expected, line.a.word());
    }
    match lines.len().saturating_sub(ITEMS) {
        0 => out,
        more => out + &format!("  {more} more: --html and --out have them\n"),
    }
}

fn number(number: Option<f64>) -> String {
    number.map_or("-".into(), |number| format!("{number:.3}"))
}

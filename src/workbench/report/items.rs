//! The report's lists: what changes between the two sides, and what went wrong, text by text.

use super::Report;
use super::html::{Element, el};
use crate::workbench::shown::cut;
use crate::workbench::summary::{change, is_right};
use crate::workbench::{Change, Item, Judged, Line};

/// Of one list so many items are shown, and of one text so many characters.
const ITEMS: usize = 200;
const TEXT: usize = 4000;
const SUMMARY: usize = 160;

/// What B changes.
pub fn changes(report: &Report<'_>) -> Vec<Element> {
    if report.b.is_none() {
        return Vec::new();
    }
    let of = |wanted: Change| report.lines.iter().filter(move |line| change(line) == Some(wanted)).collect::<Vec<_>>();
    let lists = [
        ("Right in B, wrong in A", "good", of(Change::Fixed)),
        ("Wrong in B, right in A", "bad", of(Change::Broken)),
        ("Wrong in both, in another way", "warn", of(Change::Other)),
    ];
    let all: usize = lists.iter().map(|(_, _, lines)| lines.len()).sum();
    let mut found = vec![el("h2").text(format!("What changes from A to B: {all}"))];
    found.extend(lists.into_iter().flat_map(|(title, class, lines)| list(report, title, class, &lines)));
    found
}

/// What A got wrong.
pub fn mistakes(report: &Report<'_>) -> Vec<Element> {
    let violates = |line: &&Line| line.expected.is_violation(report.a.policy);
    let wrong: Vec<&Line> = report.lines.iter().filter(|line| !is_right(&line.expected, &line.a)).collect();
    let (given, failed): (Vec<&Line>, Vec<&Line>) = wrong.into_iter().partition(|line| line.a.given().is_some());
    let safe = |line: &&Line| line.a.given().is_some_and(|given| given.safe);
    let missed: Vec<&Line> = given.iter().copied().filter(|line| violates(line) && safe(line)).collect();
    let alarms: Vec<&Line> = given.iter().copied().filter(|line| !violates(line) && !safe(line)).collect();
    let labels: Vec<&Line> = given.iter().copied().filter(|line| violates(line) != safe(line)).collect();
    let title = if report.b.is_some() { "What went wrong in A" } else { "What went wrong" };
    let mut found = vec![el("h2").text(title)];
    if missed.len() + alarms.len() + labels.len() + failed.len() == 0 {
        found.push(el("p").text("Nothing: every text was given what was expected."));
    }
    let lists = [
        ("Violations that were missed", "bad", missed),
        ("Safe texts taken for violations", "warn", alarms),
        ("Another label than expected", "warn", labels),
        ("No verdict", "bad", failed),
    ];
    found.extend(lists.into_iter().flat_map(|(title, class, lines)| list(report, title, class, &lines)));
    found
}

fn list(report: &Report<'_>, title: &str, class: &'static str, lines: &[&Line]) -> Vec<Element> {
    if lines.is_empty() {
        return Vec::new();
    }
    let mut head = vec!["text", "line", "expected", "given"];
    head.extend(report.b.map(|_| "B gives"));
    let rows = lines.iter().take(ITEMS).filter_map(|line| {
        let item = report.data.items.get(line.item)?;
        let b = line.b.as_ref().map(given);
        let row = el("tr").add(text(item, line)).add(el("td").class("num").text(line.line));
        Some(row.add(el("td").class("label").text(&line.expected)).add(given(&line.a)).all(b))
    });
    let names = el("tr").all(head.into_iter().map(|name| el("th").text(name)));
    let table = el("table").add(el("thead").add(names)).add(el("tbody").all(rows));
    let more = lines.len().saturating_sub(ITEMS);
    let more = (more > 0).then(|| el("p").class("note").text(format!("{more} more are in the results of --out.")));
    let title = el("h3").class(class).text(format!("{title}: {}", lines.len()));
    [title, el("div").class("wide").add(table)].into_iter().chain(more).collect()
}

/// The text, and behind it what the model says of it.
fn text(item: &Item, line: &Line) -> Element {
    let mut why = Vec::new();
    for (name, judged) in [("A", Some(&line.a)), ("B", line.b.as_ref())] {
        let name = if line.b.is_some() { format!("{name}: ") } else { String::new() };
        let said = |said: &str| el("div").class("why text").text(format!("{name}{}", cut(said, TEXT)));
        match judged {
            Some(Judged::Given(given)) => {
                let words = [Some(given.reasoning.as_str()), given.category.as_deref(), given.rationale.as_deref()];
                why.extend(words.into_iter().flatten().filter(|words| !words.trim().is_empty()).map(said));
            }
            Some(Judged::Failed { detail, .. }) => why.push(said(detail)),
            None => {}
        }
    }
    let whole = item.text.chars().count() <= SUMMARY && !item.text.contains('\n');
    if whole && why.is_empty() {
        return el("td").class("text").text(&item.text);
    }
    let line = item.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let details = el("details").add(el("summary").text(cut(&line, SUMMARY)));
    let full = (!whole).then(|| el("div").class("text").text(cut(&item.text, TEXT)));
    el("td").add(details.all(full).all(why))
}

fn given(judged: &Judged) -> Element {
    match judged {
        Judged::Given(given) => {
            let score = given.score.map(|score| format!(" {:.0}\u{a0}%", 100.0 * score)).unwrap_or_default();
            let others = given.others.iter().map(|other| format!(", {other}")).collect::<String>();
            el("td").class("label").text(&given.label).add(el("span").class("dim").text(score + &others))
        }
        Judged::Failed { error, .. } => el("td").class("label bad").text(error),
    }
}

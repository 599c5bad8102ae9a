//! The report: a run as one page that holds all it needs, for people who own a policy. No script, nothing loaded.

mod html;
mod items;
mod plots;

use crate::policy::Policy;
use crate::workbench::report::html::{Element, el};
use crate::workbench::scores::ClassScores;
use crate::workbench::shown::short;
use crate::workbench::{Data, Head, Line, Side, Summary};

/// What a report is of.
pub struct Report<'a> {
    pub head: &'a Head,
    pub data: &'a Data,
    pub lines: &'a [Line],
    pub a: Judge<'a>,
    pub b: Option<Judge<'a>>,
    /// When it was made, as it is to be shown.
    pub made: String,
}

/// One side: the policy, and what came of it.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    pub policy: &'a Policy,
    pub summary: &'a Summary,
}

/// Whatever a text does to the page, the browser loads and runs nothing.
const CSP: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const BY_LABEL: &str = "Precision: of the texts that were given the label, the share that is right. Recall: of the texts \
    that should have it, the share that was given it. F1 is low where either is.";
const CONFUSION: &str = "A row is what was expected; the darker a cell, the more of its row. What is right lies on the \
    diagonal.";

impl Report<'_> {
    /// The page.
    pub fn html(&self) -> String {
        let title = format!("Policy evaluation: {}", self.a.policy.id);
        let head = el("head")
            .add(el("meta").attr("charset", "utf-8"))
            .add(el("meta").attr("http-equiv", "Content-Security-Policy").attr("content", CSP))
            .add(el("meta").attr("name", "viewport").attr("content", "width=device-width, initial-scale=1"))
            .add(el("title").text(&title))
            .add(el("style").style(include_str!("style.css")));
        let name = self.data.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let main = el("main")
            .add(el("h1").text(&title))
            .add(el("p").class("dim").text(format!("{} items of {name}. Made {}.", self.lines.len(), self.made)))
            .add(self.lead())
            .all(self.compared())
            .add(self.cards())
            .add(el("h2").text("Plots"))
            .add(self.plots())
            .add(el("h2").text("By label"))
            .all(self.each(by_label))
            .add(el("p").class("note").text(BY_LABEL))
            .add(el("h2").text("What was expected, and what was given"))
            .all(self.each(confusion))
            .add(el("p").class("note").text(CONFUSION))
            .all(items::changes(self))
            .all(items::mistakes(self))
            .add(el("h2").text("What was judged, and by what"))
            .add(self.origin());
        let page = el("html").attr("lang", "en").add(head).add(el("body").add(main));
        format!("<!doctype html>\n{page}\n")
    }

    /// The result in words.
    fn lead(&self) -> Element {
        let Summary { items, violation, errors, confusion, .. } = self.a.summary;
        let safe = items - violation.support;
        let alarms = violation.given - violation.hits;
        let mut text = format!(
            "Of {} that violate the policy, {} found. Of {}, {} taken for a violation.",
            texts(violation.support, ""),
            were(violation.hits),
            texts(safe, " that are safe"),
            were(alarms),
        );
        let failed: usize = errors.values().sum();
        text += &match failed {
            0 => " Every text has a verdict.".to_owned(),
            _ => {
                let why: Vec<String> = errors.iter().map(|(error, count)| format!("{count} {error}")).collect();
                format!(" {} without a verdict ({}) and counted as wrong.", were(failed), why.join(", "))
            }
        };
        if confusion.classes.len() > 2 {
            text += " In the figures below a text is right only with the right label.";
        }
        el("p").class("lead").text(text)
    }

    /// What the comparison is of.
    fn compared(&self) -> Option<Element> {
        let b = self.head.b.as_ref()?;
        let side = |class, name: &str, side: &Side| {
            [el("span").class(class).add(el("i").class("key")), el("span").text(name_of(side, name))]
        };
        let sides = el("p").all(side("a", "A", &self.head.a)).all(side("b", "B", b));
        let lacking = self.data.lacking.as_ref().map(|lacking| el("p").class("note").text(lacking));
        Some(el("div").add(sides).all(lacking))
    }

    /// A table of each side, under its name where there are two.
    fn each(&self, table: fn(&Summary) -> Element) -> Vec<Element> {
        let named = |class: &'static str, name: &str, judge: &Judge<'_>| {
            let name = self.b.map(|_| el("h3").class(class).text(name));
            name.into_iter().chain([table(judge.summary)]).collect::<Vec<_>>()
        };
        let b = self.b.iter().flat_map(|b| named("b", "B", b));
        named("a", "A", &self.a).into_iter().chain(b).collect()
    }

    fn cards(&self) -> Element {
        let card = |name: &str, figure: &dyn Fn(&Summary) -> String| {
            let was = self.b.map(|b| el("span").class("was").text(format!("B: {}", figure(b.summary))));
            el("div").class("card").add(el("span").text(name)).add(el("b").text(figure(self.a.summary))).all(was)
        };
        el("div")
            .class("cards")
            .add(card("accuracy", &|s| share(s.accuracy)))
            .add(card("macro F1", &|s| number(s.macro_f1)))
            .add(card("violations found (recall)", &|s| share(s.violation.recall)))
            .add(card("alarms that are right (precision)", &|s| share(s.violation.precision)))
            .add(card("no verdict", &|s| s.errors.values().sum::<usize>().to_string()))
            .add(card("calibration error (ECE)", &|s| number(s.calibration.as_ref().map(|c| c.ece))))
            .add(card("latency, median", &|s| time(s.latency.map(|latency| latency.p50))))
            .add(card("latency, 95th percentile", &|s| time(s.latency.map(|latency| latency.p95))))
    }

    fn plots(&self) -> Element {
        let sides: Vec<&Judge<'_>> = [Some(&self.a), self.b.as_ref()].into_iter().flatten().collect();
        let curves: Vec<_> = sides.iter().map(|side| side.summary.calibration.as_ref()).collect();
        let scored = plots::scored(self.lines, |line| line.expected.is_violation(self.a.policy));
        let a = self.lines.iter().filter_map(|line| Some(line.a.given()?.took)).collect();
        let b = self.lines.iter().filter_map(|line| Some(line.b.as_ref()?.given()?.took)).collect();
        let key = el("p")
            .class("note")
            .add(el("span").class("bad").add(el("i").class("key")))
            .add(el("span").text("expected to violate"))
            .add(el("span").class("good").add(el("i").class("key")))
            .add(el("span").text("expected to be safe"));
        let nothing = |whose: &str| format!("No verdict{whose} came with scores, so there is nothing to draw.");
        let reliability = plot(
            "Reliability",
            plots::reliability(&curves).ok_or_else(|| nothing("")),
            "Each dot is the texts of one range of scores: how high the score was, and how many of them are violations. On the dashed line a score can be taken at its word; below it the model is too sure of violations, above it not sure enough.",
        );
        let scores = plot(
            "Scores",
            plots::scores(&scored)
                .map(|plot| el("div").add(plot).add(key))
                .ok_or_else(|| nothing(if self.b.is_some() { " of A" } else { "" })),
            "Where the two lie apart, the model tells the texts apart. A score is the share of all labels that are not safe.",
        );
        let latency = plot(
            "Latency",
            plots::latency(&[a, b]).ok_or_else(|| "There is no verdict, so there is nothing to draw.".to_owned()),
            "How many of the verdicts took no longer than this, from ask to verdict, with the time in the engine's queue.",
        );
        el("div").class("plots").add(reliability.all(self.unscored())).add(scores).add(latency)
    }

    /// Where one of two sides has scores and the other has none, a plot of both would not say why.
    fn unscored(&self) -> Option<Element> {
        let has = |judge: &Judge<'_>| judge.summary.calibration.is_some();
        let name = match (has(&self.a), has(self.b.as_ref()?)) {
            (true, false) => "B",
            (false, true) => "A",
            _ => return None,
        };
        Some(el("p").class("note").text(format!("No verdict of {name} came with scores.")))
    }

    fn origin(&self) -> Element {
        let side = |name: &str, side: &Side| {
            let row = |what: &str, value: String| {
                el("tr").add(el("th").text(format!("{what}{name}"))).add(el("td").add(el("code").text(value)))
            };
            [
                row("policy", format!("{}, SHA-256 {}", side.policy, side.policy_digest)),
                row("model", side.model.clone()),
                row("effort", format!("{}, at most {} tokens of reasoning", side.effort, side.reasoning_tokens)),
            ]
        };
        let data = el("tr")
            .add(el("th").text("data"))
            .add(el("td").add(el("code").text(format!("SHA-256 {}", self.head.data))));
        let (a, b) = if self.head.b.is_some() { (" A", " B") } else { ("", "") };
        el("table").all(side(a, &self.head.a)).all(self.head.b.iter().flat_map(|other| side(b, other))).add(data)
    }
}

/// A plot, or why there is none.
fn plot(title: &str, plot: Result<Element, String>, note: &str) -> Element {
    let titled = el("div").class("plot").add(el("h3").text(title));
    match plot {
        Ok(plot) => titled.add(plot).add(el("p").class("note").text(note)),
        Err(why) => titled.add(el("p").class("note").text(why)),
    }
}

fn by_label(side: &Summary) -> Element {
    let row = |class: &ClassScores| {
        let cells = [
            class.support.to_string(),
            class.given.to_string(),
            share(class.precision),
            share(class.recall),
            number(class.f1),
        ];
        el("tr").add(el("td").class("label").text(&class.class)).all(cells.into_iter().map(num))
    };
    table("wide", &["label", "expected", "given", "precision", "recall", "F1"], side.classes.iter().map(row))
}

fn confusion(side: &Summary) -> Element {
    let confusion = &side.confusion;
    let mut head = vec!["expected \u{2193} given \u{2192}"];
    head.extend(confusion.classes.iter().map(String::as_str));
    head.push("no verdict");
    let rows = confusion.classes.iter().zip(&confusion.counts).enumerate().map(|(at, (class, counts))| {
        let all = counts.iter().sum::<usize>().max(1) as f64;
        let cell = |(column, count): (usize, &usize)| {
            let shade = format!("background:rgb(var(--heat)/{:.2})", 0.55 * *count as f64 / all);
            let cell = num(count.to_string()).attr("style", shade);
            if column == at { cell.attr("title", "right") } else { cell }
        };
        el("tr").add(el("th").class("label").text(class)).all(counts.iter().enumerate().map(cell))
    });
    table("wide", &head, rows)
}

/// `A: policy hate, effort low`.
fn name_of(side: &Side, name: &str) -> String {
    format!(
        "{name}: policy {} ({}), model {}, effort {}",
        side.policy,
        short(&side.policy_digest),
        short(&side.model),
        side.effort
    )
}

fn table(class: &'static str, head: &[&str], rows: impl IntoIterator<Item = Element>) -> Element {
    let cell = |(at, name): (usize, &&str)| el("th").class(if at == 0 { "label" } else { "num" }).text(name);
    let head = el("thead").add(el("tr").all(head.iter().enumerate().map(cell)));
    el("div").class(class).add(el("table").add(head).add(el("tbody").all(rows)))
}

fn num(text: String) -> Element {
    el("td").class("num").text(text)
}

fn texts(count: usize, which: &str) -> String {
    format!("{count} {}{which}", if count == 1 { "text" } else { "texts" })
}

fn were(count: usize) -> String {
    format!("{count} {}", if count == 1 { "was" } else { "were" })
}

fn share(share: Option<f64>) -> String {
    share.map_or("\u{2013}".into(), |share| format!("{:.1}\u{a0}%", 100.0 * share))
}

fn number(number: Option<f64>) -> String {
    number.map_or("\u{2013}".into(), |number| format!("{number:.3}"))
}

fn time(millis: Option<f64>) -> String {
    millis.map_or("\u{2013}".into(), |millis| match millis {
        ..10.0 => format!("{millis:.1} ms"),
        ..10_000.0 => format!("{millis:.0} ms"),
        _ => format!("{:.1} s", millis / 1000.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrail::Stage;
    use crate::workbench::{Expected, Given, Item, Judged};
    use std::sync::Arc;

    /// A verdict, where the engine tells scores with the share of violations.
    fn given(violation: Option<f32>) -> Judged {
        let (label, others, category, rationale, reasoning) =
            ("BAD".to_owned(), vec!["WORSE".to_owned()], None, None, String::new());
        let (safe, score, took) = (false, violation, 3.0);
        Judged::Given(Given { label, others, safe, score, violation, took, category, rationale, reasoning })
    }

    /// The page on one text that was judged so.
    fn page(a: Judged, b: Option<Judged>) -> String {
        let labels = "{ label = \"WORSE\", reply = \"W\" }, { label = \"BAD\", reply = \"B\" }, { label = \"FINE\", reply = \"F\", safe = true }";
        let policy = Policy::parse("p", &format!("+++\nform = \"label\"\nlabels = [{labels}]\n+++\nText.")).unwrap();
        let word = |word: &str| word.to_owned();
        let side = || Side {
            policy: word("p"),
            policy_digest: word("d"),
            model: word("m"),
            form: word("label"),
            effort: word("none"),
            reasoning_tokens: 0,
        };
        let head =
            Head { portcullis_eval: Head::FORM, data: word("x"), items: 1, a: side(), b: b.as_ref().map(|_| side()) };
        let expected = Expected::Label("WORSE".to_owned());
        let item = Item { line: 1, text: Arc::from("a text"), stage: Stage::Input, expected: expected.clone() };
        let data = Data { path: "d.jsonl".into(), digest: word("x"), items: vec![item], lacking: None };
        let summary = |judged: &Judged| Summary::new(&policy, true, [(&expected, judged)].into_iter());
        let (of_a, of_b) = (summary(&a), b.as_ref().map(summary));
        let line = Line { item: 0, line: 1, stage: Stage::Input, expected: expected.clone(), a, b };
        let report = Report {
            head: &head,
            data: &data,
            lines: &[line],
            a: Judge { policy: &policy, summary: &of_a },
            b: of_b.as_ref().map(|summary| Judge { policy: &policy, summary }),
            made: "now".to_owned(),
        };
        report.html()
    }

    #[test]
    fn where_no_scores_are_told_the_page_says_so_in_place_of_a_plot() {
        let plots = |page: &str| page.matches("<svg").count();
        let all = page(given(Some(0.75)), None);
        assert!(plots(&all) == 3 && !all.contains("came with scores"), "{all}");
        let none = page(given(None), None);
        assert_eq!((plots(&none), none.matches("No verdict came with scores").count()), (1, 2), "{none}");
        let half = page(given(None), Some(given(Some(0.75))));
        assert_eq!((plots(&half), half.matches("No verdict of A came with scores").count()), (2, 2), "{half}");
        let other = page(given(Some(0.75)), Some(given(None)));
        assert_eq!((plots(&other), other.matches("No verdict of B came with scores").count()), (3, 1), "{other}");
        let failed = page(Judged::Failed { error: "timeout".into(), detail: "late".into() }, None);
        assert!(plots(&failed) == 0 && failed.contains("There is no verdict"), "{failed}");
    }

    #[test]
    fn each_side_has_its_tables_and_every_label_that_was_found_is_told() {
        let failed = Judged::Failed { error: "timeout".into(), detail: "late".into() };
        let page = page(given(Some(0.75)), Some(failed));
        let (a, b) = (page.find("<h3 class=\"a\">A</h3>").unwrap(), page.find("<h3 class=\"b\">B</h3>").unwrap());
        assert!(a < b && page.matches("<h3 class=\"b\">B</h3>").count() == 2, "{page}");
        for head in ["recall", "no verdict"] {
            assert_eq!(page.matches(&format!("<th class=\"num\">{head}</th>")).count(), 2, "{head}: {page}");
        }
        assert!(page.contains("75\u{a0}%, WORSE"), "{page}");
    }
}

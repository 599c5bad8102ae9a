//! The report's plots, as SVG that goes with the page's colours.

use super::html::{Element, el};
use crate::workbench::Line;
use crate::workbench::calibration::{BINS, Calibration, bin_of};

/// The field that is plotted on, and its place in the picture.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 52.0;
const TOP: f64 = 14.0;
const BELOW: f64 = 44.0;
const RIGHT: f64 = 24.0;

/// The classes of the two sides' marks.
const SIDES: [&str; 2] = ["a", "b"];

/// A picture with axes. Both go from 0 to a number of their own.
struct Plot {
    svg: Element,
    x: f64,
    y: f64,
}

/// What scores against what comes of it: on the diagonal a score is a rate. Nothing where no side has scores.
pub fn reliability(sides: &[Option<&Calibration>]) -> Option<Element> {
    sides.iter().flatten().next()?;
    let mut plot = Plot::new(
        "Reliability: rate of violations by score",
        "score of a violation",
        "are violations",
        1.0,
        1.0,
        percent,
    );
    plot.line("even", &[(0.0, 0.0), (1.0, 1.0)]);
    for (side, calibration) in SIDES.iter().zip(sides) {
        let Some(calibration) = calibration else { continue };
        let bins = calibration.bins.iter().filter(|bin| bin.items > 0);
        let points: Vec<(f64, f64)> = bins.clone().map(|bin| (bin.score, bin.rate)).collect();
        plot.line(side, &points);
        let most = bins.clone().map(|bin| bin.items).max().unwrap_or(1) as f64;
        for bin in bins {
            let radius = 3.0 + 5.0 * (bin.items as f64 / most).sqrt();
            plot.dot(
                side,
                bin.score,
                bin.rate,
                radius,
                &format!("{} items: score {:.2}, rate {:.2}", bin.items, bin.score, bin.rate),
            );
        }
    }
    Some(plot.svg)
}

/// How many items score how much, of those expected to violate and of the others. Nothing where none has a score.
pub fn scores(pairs: &[(f64, bool)]) -> Option<Element> {
    pairs.first()?;
    let mut counts = [[0usize; 2]; BINS];
    for &(score, violation) in pairs {
        counts[bin_of(score)][usize::from(!violation)] += 1;
    }
    let most = counts.iter().flatten().copied().max().unwrap_or(0).max(1) as f64;
    let mut plot = Plot::new("Scores by what was expected", "score of a violation", "items", 1.0, most, whole);
    let width = 1.0 / BINS as f64;
    for (bin, counts) in counts.iter().enumerate() {
        for (at, (class, count)) in ["bad", "good"].iter().zip(counts).enumerate() {
            let expected = if at == 0 { "a violation" } else { "safe" };
            let x = width * (bin as f64 + 0.08 + 0.44 * at as f64);
            plot.bar(class, x, width * 0.4, *count as f64, &format!("{count} items expected to be {expected}"));
        }
    }
    Some(plot.svg)
}

/// The share of verdicts that took no longer. Nothing where there is no verdict.
pub fn latency(sides: &[Vec<f64>]) -> Option<Element> {
    sides.iter().flatten().next()?;
    let most = sides.iter().flatten().copied().fold(0.0, f64::max);
    let mut plot =
        Plot::new("Latency: share of verdicts by time", "milliseconds", "of verdicts", round_up(most), 1.0, percent);
    for (side, times) in SIDES.iter().zip(sides) {
        let mut sorted = times.clone();
        sorted.sort_by(f64::total_cmp);
        // So many points are seen, and no more.
        let step = (sorted.len() / 400).max(1);
        let share = |at: usize| (at + 1) as f64 / sorted.len() as f64;
        let points = (0..sorted.len()).filter(|at| at % step == 0 || at + 1 == sorted.len());
        let points = points.map(|at| (sorted[at], share(at)));
        let points: Vec<_> = sorted.first().map(|&first| (first, 0.0)).into_iter().chain(points).collect();
        if !points.is_empty() {
            plot.line(side, &points);
        }
    }
    Some(plot.svg)
}

/// Score of a violation and whether one was expected, of the first side.
pub fn scored(lines: &[Line], is_violation: impl Fn(&Line) -> bool) -> Vec<(f64, bool)> {
    let score = |line: &Line| Some(f64::from(line.a.given()?.violation?));
    lines.iter().filter_map(|line| Some((score(line)?, is_violation(line)))).collect()
}

impl Plot {
    fn new(title: &str, x_label: &str, y_label: &str, x: f64, y: f64, tick: fn(f64) -> String) -> Self {
        let (width, height) = (LEFT + WIDTH + RIGHT, TOP + HEIGHT + BELOW);
        let svg = el("svg").attr("viewBox", format!("0 0 {width} {height}")).attr("role", "img");
        let mut plot = Plot { svg: svg.attr("aria-label", title).add(el("title").text(title)), x, y };
        for step in 0..=4 {
            let share = f64::from(step) / 4.0;
            let (at_x, at_y) = (LEFT + share * WIDTH, TOP + HEIGHT - share * HEIGHT);
            plot.add(stroke("grid", LEFT, at_y, LEFT + WIDTH, at_y));
            // Counts have no fractions: what would be one is not written.
            if share * y == (share * y).floor() || y <= 1.0 {
                plot.add(label(LEFT - 7.0, at_y + 4.0, "end", &tick(share * y)));
            }
            let number = if x <= 1.0 { format!("{:.2}", share * x) } else { short(share * x) };
            plot.add(label(at_x, TOP + HEIGHT + 17.0, "middle", &number));
        }
        plot.add(stroke("axis", LEFT, TOP + HEIGHT, LEFT + WIDTH, TOP + HEIGHT));
        plot.add(label(LEFT + WIDTH / 2.0, TOP + HEIGHT + 37.0, "middle", x_label));
        let middle = TOP + HEIGHT / 2.0;
        plot.add(label(12.0, middle, "middle", y_label).attr("transform", format!("rotate(-90 12 {middle})")));
        plot
    }

    fn add(&mut self, child: Element) {
        self.svg = std::mem::replace(&mut self.svg, el("svg")).add(child);
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (LEFT + WIDTH * (x / self.x).clamp(0.0, 1.0), TOP + HEIGHT * (1.0 - (y / self.y).clamp(0.0, 1.0)))
    }

    fn line(&mut self, class: &'static str, points: &[(f64, f64)]) {
        let points = points.iter().map(|&(x, y)| self.at(x, y)).map(|(x, y)| format!("{x:.1},{y:.1}"));
        let points = points.collect::<Vec<_>>().join(" ");
        self.add(el("polyline").class(class).attr("points", points));
    }

    fn dot(&mut self, class: &'static str, x: f64, y: f64, radius: f64, title: &str) {
        let (x, y) = self.at(x, y);
        let dot = el("circle").class(class).attr("cx", format!("{x:.1}")).attr("cy", format!("{y:.1}"));
        self.add(dot.attr("r", format!("{radius:.1}")).add(el("title").text(title)));
    }

    fn bar(&mut self, class: &'static str, x: f64, width: f64, y: f64, title: &str) {
        let ((left, top), (right, bottom)) = (self.at(x, y), self.at(x + width, 0.0));
        let bar = el("rect").class(class).attr("x", format!("{left:.1}")).attr("y", format!("{top:.1}"));
        let bar = bar.attr("width", format!("{:.1}", right - left)).attr("height", format!("{:.1}", bottom - top));
        self.add(bar.add(el("title").text(title)));
    }
}

fn stroke(class: &'static str, x1: f64, y1: f64, x2: f64, y2: f64) -> Element {
    el("line").class(class).attr("x1", x1).attr("y1", y1).attr("x2", x2).attr("y2", y2)
}

fn label(x: f64, y: f64, anchor: &str, text: &str) -> Element {
    el("text").attr("x", x).attr("y", y).attr("text-anchor", anchor).text(text)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn whole(count: f64) -> String {
    format!("{count:.0}")
}

fn short(number: f64) -> String {
    if number < 10.0 { format!("{number:.1}") } else { format!("{number:.0}") }
}

/// The next number of one digit, so that an axis has round marks.
fn round_up(number: f64) -> f64 {
    if number <= 0.0 {
        return 1.0;
    }
    let scale = 10f64.powf(number.log10().floor());
    (number / scale).ceil() * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of an attribute of the elements with this tag, of this class where one is named, in the order of the page.
    fn values(svg: &str, tag: &str, class: &str, name: &str) -> Vec<String> {
        let begins = format!("<{tag} ");
        let elements = svg.split(&begins).skip(1).map(|rest| rest.split('>').next().unwrap());
        let attribute = |element: &str, name: &str| {
            let (_, rest) = element.split_once(&format!("{name}=\""))?;
            rest.split('"').next().map(str::to_owned)
        };
        let named =
            elements.filter(|element| class.is_empty() || attribute(element, "class").as_deref() == Some(class));
        named.map(|element| attribute(element, name).unwrap()).collect()
    }

    fn numbers(svg: &str, tag: &str, class: &str, name: &str) -> Vec<f64> {
        values(svg, tag, class, name).iter().map(|value| value.parse().unwrap()).collect()
    }

    /// The points of the line of this class, as numbers of the two axes.
    fn line(svg: &str, class: &str) -> Vec<(f64, f64)> {
        let lines = values(svg, "polyline", class, "points");
        let [points] = &lines[..] else { panic!("{} lines of {class}", lines.len()) };
        let point = |point: &str| {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            ((x - LEFT) / WIDTH, (TOP + HEIGHT - y) / HEIGHT)
        };
        points.split(' ').map(point).collect()
    }

    /// To the tenth of a unit of the picture.
    #[track_caller]
    fn close(found: &[(f64, f64)], expected: &[(f64, f64)]) {
        let near = |(a, b): (&(f64, f64), &(f64, f64))| (a.0 - b.0).abs() < 1e-3 && (a.1 - b.1).abs() < 1e-3;
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(near), "{found:?} for {expected:?}");
    }

    fn calibration(pairs: &[(f64, bool)]) -> Calibration {
        Calibration::new(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn what_is_calibrated_lies_on_the_diagonal() {
        // Of four that score a quarter one is a violation, of four that score three quarters three are.
        let scored = |score: f64, violations: usize| (0..4).map(move |at| (score, at < violations));
        let even: Vec<_> = scored(0.25, 1).chain(scored(0.75, 3)).collect();
        let calibration = calibration(&even);
        let svg = reliability(&[Some(&calibration)]).unwrap().to_string();
        close(&line(&svg, "even"), &[(0.0, 0.0), (1.0, 1.0)]);
        close(&line(&svg, "a"), &[(0.25, 0.25), (0.75, 0.75)]);
        assert_eq!(numbers(&svg, "circle", "a", "cx"), [LEFT + 0.25 * WIDTH, LEFT + 0.75 * WIDTH]);
        assert_eq!(numbers(&svg, "circle", "a", "cy"), [TOP + 0.75 * HEIGHT, TOP + 0.25 * HEIGHT]);
        assert!(svg.contains("<title>4 items: score 0.75, rate 0.75</title>"), "{svg}");
        assert!(!svg.contains("class=\"b\""), "{svg}");
    }

    #[test]
    fn what_is_too_sure_lies_below_it_and_more_items_make_a_larger_dot() {
        let (many, one) = (calibration(&[(0.95, true), (0.95, false), (0.15, false)]), calibration(&[(0.5, true)]));
        let svg = reliability(&[Some(&many), Some(&one)]).unwrap().to_string();
        close(&line(&svg, "a"), &[(0.15, 0.0), (0.95, 0.5)]);
        // One item is one dot.
        close(&line(&svg, "b"), &[(0.5, 1.0)]);
        let radii = numbers(&svg, "circle", "a", "r");
        assert!(radii.len() == 2 && radii[0] < radii[1], "{radii:?}");
        assert_eq!(numbers(&svg, "circle", "b", "r"), [8.0]);
    }

    #[test]
    fn a_bar_is_as_high_as_its_items_are_many() {
        let svg = scores(&[(0.05, false), (0.05, false), (0.0, true), (0.95, true), (1.0, true)]).unwrap().to_string();
        let (bad, good) = (numbers(&svg, "rect", "bad", "height"), numbers(&svg, "rect", "good", "height"));
        assert_eq!((bad.len(), good.len()), (BINS, BINS));
        let high = |heights: &[f64]| heights.iter().map(|height| (2.0 * height / HEIGHT).round()).collect::<Vec<_>>();
        assert_eq!(high(&bad), [1., 0., 0., 0., 0., 0., 0., 0., 0., 2.]);
        assert_eq!(high(&good), [2., 0., 0., 0., 0., 0., 0., 0., 0., 0.]);
        // From the left to the right, the two of a range beside each other, and none outside.
        let (bad, good) = (numbers(&svg, "rect", "bad", "x"), numbers(&svg, "rect", "good", "x"));
        let places: Vec<f64> = bad.into_iter().zip(good).flat_map(|(bad, good)| [bad, good]).collect();
        assert!(places.is_sorted() && places[0] >= LEFT && places[2 * BINS - 1] < LEFT + WIDTH, "{places:?}");
        assert!(svg.contains("<title>2 items expected to be safe</title>"), "{svg}");
        let one = scores(&[(0.5, true)]).unwrap().to_string();
        assert_eq!(numbers(&one, "rect", "bad", "height").iter().sum::<f64>(), HEIGHT);
        assert_eq!(numbers(&one, "rect", "good", "height").iter().sum::<f64>(), 0.0);
    }

    #[test]
    fn a_line_of_latency_goes_up_to_all_of_the_verdicts() {
        let svg = latency(&[vec![40.0, 10.0, 30.0, 20.0], vec![]]).unwrap().to_string();
        // The axis ends at the next number of one digit, which is 40.
        close(&line(&svg, "a"), &[(0.25, 0.0), (0.25, 0.25), (0.5, 0.5), (0.75, 0.75), (1.0, 1.0)]);
        assert!(values(&svg, "polyline", "b", "points").is_empty(), "{svg}");
        let one = latency(&[vec![], vec![7.0]]).unwrap().to_string();
        close(&line(&one, "b"), &[(1.0, 0.0), (1.0, 1.0)]);
        // Of very many some are left out, and neither the first nor the last.
        let many = latency(&[(1..=10_000).map(f64::from).collect()]).unwrap().to_string();
        let points = line(&many, "a");
        assert!((400..=402).contains(&points.len()), "{}", points.len());
        close(&[points[0], points[points.len() - 1]], &[(0.0001, 0.0), (1.0, 1.0)]);
    }

    #[test]
    fn of_nothing_there_is_no_plot() {
        assert!(reliability(&[None, None]).is_none() && scores(&[]).is_none() && latency(&[vec![], vec![]]).is_none());
        let calibration = calibration(&[(0.5, true)]);
        let svg = reliability(&[None, Some(&calibration)]).unwrap().to_string();
        assert_eq!(values(&svg, "polyline", "", "class"), ["even", "b"]);
    }
}

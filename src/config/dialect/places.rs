//! The places that a dialect names, each once: two that contradict each other are told with both.

use toml::Spanned;

use crate::config::dialect::shape::Places;
use crate::config::load::Reader;
use crate::config::{Diagnostic, Origin};
use crate::wire::custom::{Carries, Pointer, Table};

/// The table of one section, as far as it is read.
pub struct Placed<'r, 'e> {
    pub reader: &'r mut Reader<'e>,
    pub file: &'r Origin,
    pub table: Table,
    named: Vec<(Pointer, Origin)>,
}

impl<'r, 'e> Placed<'r, 'e> {
    pub fn new(reader: &'r mut Reader<'e>, file: &'r Origin) -> Self {
        Placed { reader, file, table: Table::default(), named: Vec::new() }
    }

    /// Takes in one place, which is named at `at`.
    pub fn add(&mut self, pointer: Pointer, at: Origin, carries: Carries) {
        match self.table.add(pointer.clone(), carries) {
            Ok(()) => self.named.push((pointer, at)),
            Err(other) => {
                let same = other == pointer;
                let title = if same {
                    format!("two things are said of the place `{pointer}`")
                } else {
                    format!(
                        "`{pointer}` and `{other}` contradict each other: one stands in the other, which is taken whole"
                    )
                };
                let problem = Diagnostic::error(&at, title).label(if same { "named again here" } else { "named here" });
                let first = self.named.iter().find(|(named, _)| *named == other).map(|(_, at)| at.clone());
                let problem = first.into_iter().fold(problem, |problem, first| problem.other(&first, "named before"));
                self.reader.problem(problem.help("a place carries one thing: leave out either"));
            }
        }
    }

    pub fn all(&mut self, places: Places, carries: &Carries) {
        for place in places {
            let at = self.file.with(place.span());
            self.add(place.into_inner(), at, carries.clone());
        }
    }

    /// A pointer that has to end in `*`: to each message, or each choice.
    pub fn each<'p>(&mut self, pointer: Option<&'p Spanned<Pointer>>) -> Option<&'p Pointer> {
        let pointer = pointer?;
        if pointer.get_ref().is_each() {
            return Some(pointer.get_ref());
        }
        let at = self.file.with(pointer.span());
        let problem = Diagnostic::error(&at, format!("`{}` is no list", pointer.get_ref()));
        self.reader.problem(problem.label("expected a pointer that ends in `/*`: to each element"));
        None
    }
}

//! Tables by pointers: what each place of a body carries, and that no two of them contradict each other.

use crate::text::{Kind, Role};
use crate::wire::custom::pointer::{Pointer, Step};
use crate::wire::ids::is_id;
use crate::wire::shape::{List, Own, OwnString, Rule};

const NOT_JUDGED: &str = "this route judges text only, and its dialect says that this is none";

/// What stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carries {
    /// A text that people read.
    Text(Kind),
    /// The same outside of turns, and who says it.
    By(Role),
    /// JSON in a string, as a model wrote it.
    Arguments,
    /// A text that something refers to: it is judged, and can't be redacted.
    Name,
    /// Definitions of tools, with their schemas.
    Tools,
    /// Any JSON, as one text.
    Any,
    /// A word of the API: these are not judged.
    OneOf(Box<[Box<str>]>),
    /// An id: not judged where it looks like one.
    Id,
    /// A number or a boolean of the API.
    Number,
    /// What can't be judged: refused.
    Refused,
    /// What is left out of every answer.
    Stripped,
    /// Whole what the pieces at these keys say.
    Again(Box<[Box<str>]>),
}

/// Pointers, and what stands at their places. No two of them contradict each other.
#[derive(Debug, Clone, Default)]
pub struct Table(Vec<(Pointer, Carries)>);

impl Table {
    /// Adds a place. If that contradicts another, gives that one back.
    pub fn add(&mut self, at: Pointer, carries: Carries) -> Result<(), Pointer> {
        match self.0.iter().find(|(other, own)| clash((other, own), (&at, &carries))) {
            Some((other, _)) => Err(other.clone()),
            None => {
                self.0.push((at, carries));
                Ok(())
            }
        }
    }

    pub fn get(&self, at: &Pointer) -> Option<&Carries> {
        self.0.iter().find(|(other, _)| other == at).map(|(_, carries)| carries)
    }

    /// The table of a request. The texts of one array below a message, or of one speaker, are joined.
    pub fn request(&self, turns: Option<&Pointer>) -> Own {
        self.own(turns, List::Joined(None))
    }

    /// The table of an answer. The texts of one array below a choice are one.
    pub fn answer(&self, choices: Option<&Pointer>) -> Own {
        self.own(choices, List::One)
    }

    /// Whether something says whole what has come in pieces.
    pub fn says_again(&self) -> bool {
        self.0.iter().any(|(_, carries)| matches!(carries, Carries::Again(_)))
    }

    fn own(&self, turns: Option<&Pointer>, list: List) -> Own {
        let mut root = Own::default();
        for (at, carries) in &self.0 {
            carries.put(at.steps().iter().fold(&mut root, Own::step));
        }
        if let Some(turns) = turns {
            turns.steps().iter().fold(&mut root, Own::step);
        }
        root.join(turns.map(Pointer::steps), list);
        root
    }
}

impl Carries {
    fn put(&self, own: &mut Own) {
        let string = match self {
            Carries::Text(kind) => OwnString::Rule(Rule::Text(*kind)),
            Carries::By(role) => OwnString::By(*role, Rule::Text(Kind::Content)),
            Carries::Arguments => OwnString::Rule(Rule::Arguments),
            Carries::Name => OwnString::Rule(Rule::Fixed(Kind::Name)),
            Carries::OneOf(words) => OwnString::OneOf(words.clone()),
            Carries::Id => OwnString::Rule(Rule::Like(is_id)),
            Carries::Again(keys) => OwnString::Again(keys.clone()),
            Carries::Number => return own.plain = true,
            Carries::Tools => return own.whole = Some(Rule::Schema(Kind::ToolDefinition)),
            Carries::Any => return own.whole = Some(Rule::Any(Kind::Other)),
            Carries::Refused => return own.whole = Some(Rule::Refuse(NOT_JUDGED)),
            Carries::Stripped => return own.whole = Some(Rule::Unread),
        };
        own.string = Some(string);
    }

    /// Whether it says all of what is below.
    fn is_whole(&self) -> bool {
        matches!(self, Carries::Tools | Carries::Any | Carries::Refused | Carries::Stripped)
    }
}

impl Own {
    fn step<'o>(self: &'o mut Own, step: &Step) -> &'o mut Own {
        match step {
            Step::Member(name) => self.members.entry(name.clone()).or_default(),
            Step::Flag(name) => self.flagged.entry(name.clone()).or_default(),
            Step::Elements => &mut self.elements.get_or_insert_with(|| (List::Each, Box::default())).1,
        }
    }

    /// What stands around says it.
    fn forget_speaker(&mut self) {
        if let Some(OwnString::By(_, rule)) = self.string {
            self.string = Some(OwnString::Rule(rule));
        }
        let elements = self.elements.iter_mut().map(|(_, own)| &mut **own);
        self.members.values_mut().chain(self.flagged.values_mut()).chain(elements).for_each(Own::forget_speaker);
    }

    /// Says how the arrays are read: `turns`, where they stand below here, and the outermost ones of texts as `list`.
    fn join(&mut self, turns: Option<&[Step]>, list: List) {
        let rest = |step: &Step| turns.and_then(|turns| turns.split_first()).filter(|(first, _)| *first == step);
        for (name, own) in &mut self.members {
            own.join(rest(&Step::Member(name.clone())).map(|(_, rest)| rest), list);
        }
        for (name, own) in &mut self.flagged {
            own.join(rest(&Step::Flag(name.clone())).map(|(_, rest)| rest), list);
        }
        if let Some((own_list, own)) = &mut self.elements {
            match rest(&Step::Elements) {
                Some((_, [])) => {
                    *own_list = List::Turns;
                    own.join(None, list);
                }
                Some((_, rest)) => own.join(Some(rest), list),
                None if list == List::One => *own_list = list,
                None => match own.speakers()[..] {
                    [] if own.speaks() => *own_list = list,
                    [role] => {
                        *own_list = List::Joined(Some(role));
                        own.forget_speaker();
                    }
                    _ => own.join(None, list),
                },
            }
        }
    }
}

fn clash((one, own): (&Pointer, &Carries), (other, others): (&Pointer, &Carries)) -> bool {
    one == other || (own.is_whole() && other.after(one).is_some()) || (others.is_whole() && one.after(other).is_some())
}

//! Answers of a dialect that a file describes: whole ones, events of a stream, errors.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::wire::answer::{Answers, Moment};
use crate::wire::custom::form::{EventName, Form, StreamForm};
use crate::wire::custom::pointer::{Pointer, Sign, is_something};
use crate::wire::custom::reply;
use crate::wire::json::{Patch, Value};
use crate::wire::shape::{Rule, unexpected};
use crate::wire::{Cut, Framing, WireError};

/// Choices of an answer, at most.
const MAX_CHOICES: u32 = 128;

/// One answer.
pub struct CustomAnswers {
    form: Arc<Form>,
    framing: Framing,
    /// The part that came last, by rule and choice.
    parts: BTreeMap<(usize, u32), u32>,
    /// An event has ended the stream; its mark may still come.
    ended: bool,
}

impl CustomAnswers {
    pub fn new(form: Arc<Form>, framing: Framing) -> Self {
        CustomAnswers { form, framing, parts: BTreeMap::new(), ended: false }
    }

    fn stream(&self) -> Option<&StreamForm> {
        self.form.stream.as_ref().filter(|stream| stream.framing == self.framing)
    }

    /// A reader may go by the number of a part, and what is judged is the texts as they come: the two must be one.
    fn keep_order(&mut self, event: Value<'_>) -> Result<(), WireError> {
        let form = Arc::clone(&self.form);
        let Some(stream) = form.stream.as_ref().filter(|stream| !stream.order.is_empty()) else { return Ok(()) };
        let choices = form.answer.choices.iter().flat_map(|choices| choices.at.values(event)).zip(0..);
        let choices = choices.map(|(choice, position)| Ok::<_, WireError>((self.choice(choice, position)?, choice)));
        let choices = choices.collect::<Result<Vec<_>, _>>()?;
        for (rule, order) in stream.order.iter().enumerate() {
            let whole = [(0, event)];
            for &(choice, base) in if order.in_choice { &choices[..] } else { &whole } {
                if !order.texts.values(base).into_iter().any(is_something) {
                    continue;
                }
                for number in order.number.values(base) {
                    let part = number.u32().ok_or_else(|| unexpected(number, "a whole number"))?;
                    let last = self.parts.entry((rule, choice)).or_default();
                    if part < *last {
                        return Err(unexpected(number, "the number of the last part, or of the next"));
                    }
                    *last = part;
                }
            }
        }
        Ok(())
    }
}

impl Answers for CustomAnswers {
    fn body(&self) -> Rule<'_> {
        let answer = &self.form.answer;
        if answer.strict { Rule::Closed(&answer.body) } else { Rule::Own(&answer.body) }
    }

    /// By the index, where there is one.
    fn choice(&self, choice: Value<'_>, position: u32) -> Result<u32, WireError> {
        let name = self.form.answer.choices.as_ref().map_or("index", |choices| &choices.index);
        let index = match choice.get(name).filter(|index| !index.is_null()) {
            Some(index) => index.u32(),
            None => Some(position),
        };
        let index = index.filter(|index| *index < MAX_CHOICES);
        index.ok_or_else(|| unexpected(choice, &format!("a choice with its `{name}` below {MAX_CHOICES}")))
    }

    fn part(&self, event: Value<'_>) -> Option<u64> {
        let orders = self.stream()?.order.iter().filter(|order| !order.in_choice);
        let speaks = |texts: &Pointer| texts.values(event).into_iter().any(is_something);
        orders.filter(|order| speaks(&order.texts)).find_map(|order| order.number.value(event)?.u32().map(Into::into))
    }

    fn note(&mut self, event: Value<'_>) -> Result<Moment, WireError> {
        let shows = |signs: &[Sign]| signs.iter().any(|sign| sign.stands_in(event));
        let Some(stream) = self.stream() else {
            return Err(unexpected(event, "an answer that is framed as the dialect says"));
        };
        let (ends, last, marked) = (shows(&stream.end), shows(&stream.last), stream.mark.is_some());
        self.keep_order(event)?;
        self.ended |= ends;
        Ok(match (ends, last) {
            (true, _) if !marked => Moment::End,
            (false, false) => Moment::Passing,
            _ => Moment::Last,
        })
    }

    fn is_end(&self, data: &[u8]) -> bool {
        let mark = self.stream().and_then(|stream| stream.mark.as_deref());
        mark.is_some_and(|mark| mark.as_bytes() == data)
    }

    fn may_end(&self) -> bool {
        self.ended
    }

    fn name(&self, event: Value<'_>) -> Option<&str> {
        name_of(self.stream()?.name.as_ref()?, event)
    }

    fn strip(&self, root: Value<'_>, _: bool, patch: &mut Patch) {
        for (name, parents) in self.form.answer.strip.iter().filter_map(|strip| strip.parents(root)) {
            parents.into_iter().for_each(|parent| patch.remove(parent, name));
        }
    }

    fn cut(&self, cut: Cut<'_>, _: bool) -> Bytes {
        self.stream().map_or_else(Bytes::new, |stream| reply::cut(&self.form, stream, cut))
    }

    fn says_again(&self) -> bool {
        self.form.answer.says_again
    }

    fn end(&self) -> Bytes {
        self.stream().map_or_else(Bytes::new, reply::mark)
    }
}

/// The name of an event.
pub fn name_of<'f>(name: &'f EventName, event: Value<'_>) -> Option<&'f str> {
    let word = name.at.value(event)?;
    name.words.iter().map(|own| &**own).find(|own| word.is(own))
}

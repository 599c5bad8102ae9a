//! Effort: how long the model may reason before its verdict, and when it reasons at all.

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// How long the model may reason before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// Not at all: the labels' scores are read off one pass over the prompt.
    None,
    Low,
    Medium,
    High,
    /// `None` first, then `Low` where the scores lie close together.
    Adaptive,
}

/// A difference of log-probabilities: finite, more than 0 and at most [`Nats::MOST`].
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Nats(f32);

/// An effort with its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reasoning {
    effort: Effort,
    tokens: usize,
    margin: Option<Nats>,
}

impl Effort {
    pub fn as_str(self) -> &'static str {
        match self {
            Effort::None => "none",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::Adaptive => "adaptive",
        }
    }
}

impl Nats {
    /// Beyond it nothing could be told apart any more: a share of e^-80 is none.
    pub const MOST: f32 = 80.0;

    pub fn new(nats: f64) -> Option<Self> {
        let nats = nats as f32;
        (nats > 0.0 && nats <= Nats::MOST).then_some(Nats(nats))
    }

    pub fn get(self) -> f32 {
        self.0
    }
}

/// It is never NaN.
impl Eq for Nats {}

impl Hash for Nats {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl Reasoning {
    pub const NONE: Reasoning = Reasoning { effort: Effort::None, tokens: 0, margin: None };

    /// Between two labels, the better has 95 % of what both have.
    pub const MARGIN: Nats = Nats(3.0);

    /// Bounds that are not given are the effort's own; one that the effort does not have is left out.
    pub fn new(effort: Effort, tokens: Option<usize>, margin: Option<Nats>) -> Self {
        let own = match effort {
            Effort::None => return Reasoning::NONE,
            Effort::Low | Effort::Adaptive => 512,
            Effort::Medium => 2048,
            Effort::High => 8192,
        };
        let margin = (effort == Effort::Adaptive).then_some(margin.unwrap_or(Self::MARGIN));
        Reasoning { effort, tokens: tokens.unwrap_or(own), margin }
    }

    pub fn effort(&self) -> Effort {
        self.effort
    }

    /// Tokens of reasoning, at most; at the budget the answer is opened for the model.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The model reasons where the best label leads the second by less; none where that does not decide it.
    pub fn margin(&self) -> Option<Nats> {
        self.margin
    }
}

impl From<Effort> for Reasoning {
    fn from(effort: Effort) -> Self {
        Reasoning::new(effort, None, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_scores_is_a_number_that_can_be_reached() {
        assert_eq!(Nats::new(0.5).map(Nats::get), Some(0.5));
        for wrong in [0.0, -0.0, -1.0, 80.1, 1e-60, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Nats::new(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_effort_has_the_bounds_that_mean_something_for_it() {
        let margin = Nats::new(1.0);
        assert_eq!(Reasoning::new(Effort::None, Some(9), margin), Reasoning::NONE);
        let low = Reasoning::new(Effort::Low, Some(9), margin);
        assert_eq!((low.tokens(), low.margin()), (9, None));
        let adaptive = Reasoning::new(Effort::Adaptive, None, margin);
        assert_eq!((adaptive.tokens(), adaptive.margin()), (512, margin));
        assert_eq!(Reasoning::from(Effort::Adaptive).margin(), Some(Reasoning::MARGIN));
    }
}

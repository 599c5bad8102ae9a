//! The questions of a step, answered together: one transfer from the device for each kind of question.

use tch::{Device, Kind, Tensor, no_grad_guard};

use crate::model::Transformer;
use crate::model::sequence::{Answer, Question};

/// The model's scores are not numbers: its weights are broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANumber;

/// Answers each question at its place among the tokens of `x`, which is what [`Transformer::forward`] gave.
pub fn read(model: &Transformer, x: &Tensor, asked: &[(usize, Question)]) -> Vec<Result<Answer, NotANumber>> {
    let _guard = no_grad_guard();
    let mut answers = vec![Err(NotANumber); asked.len()];
    likeliest(model, x, asked, &mut answers);
    shares(model, x, asked, &mut answers);
    answers
}

/// Of these places, those whose numbers in `x` are numbers. What is no number spreads to every token that sees it.
pub fn sound(x: &Tensor, places: &[usize]) -> Vec<bool> {
    if places.is_empty() {
        return Vec::new();
    }
    let _guard = no_grad_guard();
    let places: Vec<i64> = places.iter().map(|&place| place as i64).collect();
    let rows = x.index_select(0, &Tensor::from_slice(&places).to_device(x.device()));
    ids(&rows.isfinite().all_dim(-1, false).to_kind(Kind::Int64)).into_iter().map(|sound| sound == 1).collect()
}

fn likeliest(model: &Transformer, x: &Tensor, asked: &[(usize, Question)], answers: &mut [Result<Answer, NotANumber>]) {
    let (mut of, mut places, mut masks) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (place, question)) in asked.iter().enumerate() {
        if let Question::Likeliest(mask) = question {
            of.push(index);
            places.push(*place);
            masks.push(mask);
        }
    }
    if of.is_empty() {
        return;
    }
    let logits = model.logits(x, &places);
    let vocab = logits.size()[1] as u32;
    for (row, mask) in masks.into_iter().enumerate() {
        if let Some(mask) = mask {
            let others: Vec<bool> = (0..vocab).map(|token| !mask.contains(token)).collect();
            let others = Tensor::from_slice(&others).to_device(logits.device());
            let _ = logits.get(row as i64).masked_fill_(&others, f64::NEG_INFINITY);
        }
    }
    let (scores, tokens) = logits.max_dim(-1, false);
    let (scores, tokens) = (floats(&scores), ids(&tokens));
    for (index, (score, token)) in of.into_iter().zip(scores.into_iter().zip(tokens)) {
        if let (true, Ok(token)) = (score.is_finite(), u32::try_from(token)) {
            answers[index] = Ok(Answer::Likeliest(token));
        }
    }
}

fn shares(model: &Transformer, x: &Tensor, asked: &[(usize, Question)], answers: &mut [Result<Answer, NotANumber>]) {
    let mut of = Vec::new();
    let mut rows: Vec<u32> = Vec::new();
    for (index, (place, question)) in asked.iter().enumerate() {
        if let Question::Shares(tokens) = question {
            of.push((index, *place, tokens));
            rows.extend_from_slice(tokens);
        }
    }
    if of.is_empty() {
        return;
    }
    rows.sort_unstable();
    rows.dedup();
    let places: Vec<usize> = of.iter().map(|&(_, place, _)| place).collect();
    let scores = floats(&model.logits_of(x, &places, &rows));
    for ((index, _, tokens), scores) in of.into_iter().zip(scores.chunks_exact(rows.len())) {
        // Every token asked for is among the rows.
        let logits = tokens.iter().filter_map(|token| rows.binary_search(token).ok()).map(|row| scores[row]);
        let shares = log_softmax(logits.collect());
        if shares.iter().all(|share| !share.is_nan()) {
            answers[index] = Ok(Answer::Shares(shares));
        }
    }
}

fn log_softmax(logits: Vec<f32>) -> Vec<f32> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - highest).exp()).sum();
    logits.into_iter().map(|logit| logit - highest - sum.ln()).collect()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.to_kind(Kind::Float).to_device(Device::Cpu).flatten(0, -1);
    Vec::try_from(flat).expect("the tensor is float32, and flat")
}

fn ids(tensor: &Tensor) -> Vec<i64> {
    Vec::try_from(tensor.to_device(Device::Cpu).flatten(0, -1)).expect("the tensor is int64, and flat")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_one_and_nonsense_shows() {
        let shares = log_softmax(vec![1.0, 3.0, 2.0]);
        assert!((shares.iter().map(|share| share.exp()).sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(shares[1] > shares[2] && shares[2] > shares[0]);
        for broken in [f32::NAN, f32::INFINITY] {
            assert!(log_softmax(vec![1.0, broken]).iter().any(|share| share.is_nan()));
        }
    }
}

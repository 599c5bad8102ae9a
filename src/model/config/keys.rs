//! An object of `config.json`, read key by key; each error names its key.

use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::{Map, Value};

use crate::model::LoadError;

/// An object of the file, with the errors that name its keys.
pub struct Keys<'a> {
    pub file: &'a Path,
    /// Path of the object, with its dot.
    pub at: &'static str,
    pub map: &'a Map<String, Value>,
}

impl<'a> Keys<'a> {
    pub fn error(&self, key: &str, problem: String) -> LoadError {
        LoadError::Key { file: self.file.to_owned(), key: format!("{}{key}", self.at), problem }
    }

    /// The value; null counts as absent, as in the checkpoints of Hugging Face.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub fn must_be(&self, key: &str, expected: &str, absent: Option<&str>) -> Result<(), LoadError> {
        match self.get(key).map(|value| value.as_str().unwrap_or("another type")).or(absent) {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(self.error(key, format!("expected \"{expected}\", found \"{}\"", short(found)))),
            None => Err(self.error(key, format!("missing; expected \"{expected}\""))),
        }
    }

    pub fn must_be_flag(&self, key: &str, expected: bool) -> Result<(), LoadError> {
        match self.get(key) {
            Some(value) if *value != Value::Bool(expected) => {
                Err(self.error(key, format!("expected {expected}, found {}", brief(value))))
            }
            _ => Ok(()),
        }
    }

    pub fn int(&self, key: &str, range: RangeInclusive<i64>) -> Result<i64, LoadError> {
        let (low, high) = (range.start(), range.end());
        let value = self.get(key).ok_or_else(|| self.error(key, "missing".into()))?;
        value.as_i64().filter(|value| range.contains(value)).ok_or_else(|| {
            self.error(key, format!("expected a whole number from {low} to {high}, found {}", brief(value)))
        })
    }

    pub fn multiple(&self, key: &str, of: i64) -> Result<i64, LoadError> {
        let value = self.int(key, of..=1 << 20)?;
        if value % of == 0 {
            Ok(value)
        } else {
            Err(self.error(key, format!("expected a multiple of {of}, found {value}")))
        }
    }

    pub fn number(&self, key: &str, range: RangeInclusive<f64>, absent: Option<f64>) -> Result<f64, LoadError> {
        let (low, high) = (range.start(), range.end());
        match self.get(key) {
            Some(value) => value.as_f64().filter(|value| range.contains(value)).ok_or_else(|| {
                self.error(key, format!("expected a number from {low} to {high}, found {}", brief(value)))
            }),
            None => absent.ok_or_else(|| self.error(key, "missing".into())),
        }
    }
}

/// A value as an error shows it.
pub fn brief(value: &Value) -> String {
    short(&value.to_string())
}

/// Short, whatever the file holds.
fn short(text: &str) -> String {
    if text.chars().count() <= 40 { text.to_owned() } else { text.chars().take(40).chain(['…']).collect() }
}

//! The dialects that the examples describe.

use std::path::Path;
use std::sync::Arc;

use portcullis::config::{Dialect, Handling, load_with_env};
use portcullis::wire::custom::Form;

/// The dialect of the first route of an example.
pub fn form(example: &str) -> Arc<Form> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("examples"));
    let path = folders.map(|folder| folder.join(example)).find(|path| path.exists()).expect("an example");
    let config = load_with_env(&path, &|_| None).expect("an example is sound");
    match &config.routes[0].handling {
        Handling::Inspect { dialect: Dialect::Own(form), .. } => Arc::clone(form),
        other => panic!("no dialect of its own: {other:?}"),
    }
}

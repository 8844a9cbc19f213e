//! `stint check-document`: what is wrong with a document, before it is sent to a thousand devices.

use super::{Exit, complain, print, run_document};
use crate::document;
use std::path::Path;

/// Prints every problem of the document in `file` with its line.
pub fn run(file: &Path) -> Exit {
    let text = match run_document::read(file) {
        Ok(text) => text,
        Err(error) => return complain(&format!("stint: {error}"), Exit::Failure),
    };
    let problems = document::check(&text);
    for problem in &problems {
        print(&format!("{}:{}: {}", file.display(), problem.line, problem.what));
    }
    if problems.is_empty() { Exit::Success } else { Exit::Failure }
}

//! For `make fuzz`.

use super::parameter_store::{check_values, has_reference, is_secret, resolve};
use super::remote::{Nowhere, Patience};
use super::{Document, Flow, check, given, limits, run_document, runs_alone};
use std::slice;
use std::time::Duration;
use stint_wire::json;
use stint_wire::reply::Status;

/// A document, a NUL, and its parameters.
pub fn document(text: &str) {
    let (document, parameters) = text.split_once('\0').unwrap_or((text, "{}"));
    let _ = runs_alone(document);
    let _ = check(document);
    if let Ok(node) = json::parse(document) {
        let written = node.to_string();
        let again = json::parse(&written).map(|node| node.to_string());
        assert_eq!(again.ok().as_deref(), Some(written.as_str()), "JSON changes on its way");
        let words: Vec<_> = parameters.split(' ').map(str::to_owned).collect();
        let _ = given(&words, node.get_any_case("parameters"));
        // There is no Parameter Store: what refers to nothing there must not need one.
        let nobody = Patience::of_time(Duration::ZERO);
        let filled = resolve(slice::from_ref(&node), &Nowhere, &nobody);
        assert_eq!(filled.is_err(), limits::is_reference(&node));
        let _ = check_values(document, parameters, &Nowhere, &nobody);
        run_document::fuzz(&node);
    }
    assert!(
        !(has_reference(parameters) && is_secret(parameters)),
        "a secret is no plain reference"
    );
    let Ok(parsed) = Document::parse(document, parameters) else { return };
    let mut flow = Flow::default();
    let count = parsed.steps.len();
    for (number, step) in parsed.steps.iter().enumerate() {
        let _ = flow.next(step, number + 1 == count);
        let (status, code) = flow.ended(step, Status::Failed, number as i32);
        // Asked again, as by a worker that takes over, it must say the same.
        assert_eq!(Flow::default().ended(step, status, code), (status, code));
    }
}

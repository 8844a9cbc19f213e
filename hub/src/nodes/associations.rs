//! State Manager as a node asks for it. The hub has no associations yet, and an agent takes an
//! empty list for what it is.

use serde_json::{Value, json};

/// The answer of ListInstanceAssociations and ListAssociations: nothing to do.
pub fn none() -> Value {
    json!({"Associations": []})
}

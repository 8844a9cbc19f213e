//! Parameter Store: configuration and secrets, by name, with versions and labels.
//!
//! Never here: who is allowed to ask. Operators may do everything; what a node may read is
//! decided by [`crate::auth::roles`] and comes in as a [`Reader`].

mod by_path;
mod data_type;
mod delete;
mod describe;
mod filters;
mod get;
mod history;
mod labels;
mod name;
mod policies;
mod put;
mod rows;
mod secure;
mod selector;
mod tier;
mod versions;
mod walk;

pub use delete::{delete, delete_several, remove};
pub use describe::describe;
pub use get::Reader;
pub use history::history;
pub use labels::{label, unlabel};
pub use policies::{Due, Policies};
pub use put::put;

use super::{parse, support};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use serde_json::Value;

/// The operations that read values, for operators and nodes.
///
/// # Errors
/// Those of the operation.
pub async fn read(
    app: &App,
    reader: &Reader<'_>,
    operation: &str,
    input: Value,
) -> ApiResult<Value> {
    match operation {
        "GetParameter" => get::get(app, reader, parse(input)?).await,
        "GetParameters" => get::get_several(app, reader, parse(input)?).await,
        "GetParametersByPath" => by_path::by_path(app, reader, parse(input)?).await,
        _ => Err(support::refusal(operation)),
    }
}

/// The answer when there is no such parameter.
fn not_found(name: &str) -> ApiError {
    ApiError::new(
        "ParameterNotFound",
        format!("There is no parameter {name}. DescribeParameters lists those there are."),
    )
}

/// The answer when the parameter lacks the version or label.
fn version_not_found(name: &str, selector: &str) -> ApiError {
    ApiError::new(
        "ParameterVersionNotFound",
        format!(
            "The parameter {name} has no version or label '{}'. GetParameterHistory lists those it \
             has.",
            selector.trim_start_matches(':')
        ),
    )
}

#[cfg(test)]
mod tests;

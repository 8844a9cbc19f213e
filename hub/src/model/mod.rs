//! The service's model: which operations exist, and the shape of what goes in and out.
//!
//! `ssm.json` is made by `scripts/extract-model.py` from botocore's service model, the same data
//! that the AWS CLI and boto3 check against. Loaded once, never changed.
//!
//! Never here: what an operation does. This folder knows shapes only.

mod output;
mod pattern;
mod shapes;
mod validate;

#[cfg(test)]
pub use output::check_error;
pub use output::check_output;
pub use pattern::compile;
pub use shapes::{is_operation, operation_names};
pub use validate::validate_input;

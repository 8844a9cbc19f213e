//! The filters of inventory.

use super::item::{Entry, require_type};
use crate::error::{ApiError, ApiResult};
use serde::Deserialize;
use std::cmp::Ordering;

/// A filter as requests write it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Filter {
    key: String,
    values: Vec<String>,
    #[serde(rename = "Type")]
    kind: Option<String>,
}

/// The type and the attribute in a key such as `Custom:StintChildAgent.Status`. A type's name may
/// have dots itself; an attribute's has none.
///
/// # Errors
/// `code`, for a key that names no attribute of a type.
pub fn split<'k>(key: &'k str, code: &'static str) -> ApiResult<(&'k str, &'k str)> {
    let parts = key.rsplit_once('.').filter(|(_, attribute)| !attribute.is_empty());
    let parts = parts.filter(|(type_name, _)| require_type(type_name).is_ok());
    parts.ok_or_else(|| {
        ApiError::new(code, format!("'{key}' is no TYPE.ATTRIBUTE, such as {EXAMPLE}."))
    })
}

const EXAMPLE: &str = "Custom:StintChildAgent.Status";

impl Filter {
    /// The type and the attribute.
    ///
    /// # Errors
    /// `InvalidFilter`.
    pub fn place(&self) -> ApiResult<(&str, &str)> {
        split(&self.key, "InvalidFilter")
    }

    /// The attribute, in a request that names the type elsewhere.
    pub fn attribute(&self, type_name: &str) -> &str {
        let inner = self.key.strip_prefix(type_name).and_then(|rest| rest.strip_prefix('.'));
        inner.unwrap_or(&self.key)
    }

    /// Whether an entry passes.
    pub fn passes(&self, entry: &Entry, attribute: &str) -> bool {
        let found = entry.get(attribute).and_then(|value| value.as_str());
        let any = |test: &dyn Fn(&str, &str) -> bool| {
            found.is_some_and(|found| self.values.iter().any(|value| test(found, value)))
        };
        match self.kind.as_deref().unwrap_or("Equal") {
            "NotEqual" => !any(&|found, value| found == value),
            "BeginWith" => any(&|found, value| found.starts_with(value)),
            "LessThan" => any(&|found, value| compare(found, value).is_lt()),
            "GreaterThan" => any(&|found, value| compare(found, value).is_gt()),
            "Exists" => found.is_some() != self.values.iter().any(|v| v == "false"),
            _ => any(&|found, value| found == value),
        }
    }
}

/// Numbers by value, everything else by the alphabet.
fn compare(one: &str, other: &str) -> Ordering {
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one.total_cmp(&other),
        _ => one.cmp(other),
    }
}

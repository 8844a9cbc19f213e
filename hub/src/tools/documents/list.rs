//! ListDocuments.

use super::built_in::{self, Document};
use crate::error::{ApiError, ApiResult};
use crate::tools::{paging, present, timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

const OPERATION: &str = "ListDocuments";

/// ListDocuments' input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct List {
    document_filter_list: Option<Vec<LegacyFilter>>,
    filters: Option<Vec<Filter>>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct LegacyFilter {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    key: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

/// ListDocuments: by name. A document has to match every filter, and one of the values of each.
///
/// # Errors
/// `InvalidFilterKey`, `InvalidNextToken`.
pub fn list(input: List) -> ApiResult<Value> {
    let legacy = input.document_filter_list.unwrap_or_default().into_iter();
    let filters: Vec<(String, Vec<String>)> = legacy
        .map(|f| (f.key, vec![f.value]))
        .chain(
            input
                .filters
                .unwrap_or_default()
                .into_iter()
                .map(|f| (f.key.unwrap_or_default(), f.values)),
        )
        .collect();
    let start = paging::start::<1>(OPERATION, input.next_token.as_deref())?;
    let after = start.map(|[name]| name).unwrap_or_default();
    let limit = input.max_results.unwrap_or(paging::DEFAULT_PAGE);
    let mut found = Vec::new();
    for document in built_in::all().iter().filter(|d| d.name > after.as_str()) {
        let mut all = true;
        for (key, values) in &filters {
            all &= matches(document, key, values)?;
        }
        if all {
            found.push(document);
        }
    }
    let (page, next) = paging::page(OPERATION, found, limit, |d| vec![d.name.to_owned()]);
    let list: Vec<Value> = page.into_iter().map(identifier).collect();
    Ok(present(json!({"DocumentIdentifiers": list, "NextToken": next})))
}

fn matches(document: &Document, key: &str, values: &[String]) -> ApiResult<bool> {
    let any = |test: &dyn Fn(&str) -> bool| values.iter().any(|value| test(value));
    Ok(match key {
        // AWS matches the beginning of names.
        "Name" => any(&|value| document.name.starts_with(value)),
        "Owner" => any(&|value| matches!(value, "Amazon" | "Public" | "All")),
        "PlatformTypes" => any(&|value| document.platforms.contains(&value)),
        "DocumentType" => any(&|value| value == "Command"),
        // Built-in documents have neither a target type nor tags.
        "TargetType" => false,
        tag if tag.starts_with("tag:") => false,
        other => {
            return Err(ApiError::new(
                "InvalidFilterKey",
                format!(
                    "The filter key '{other}' isn't valid. Use Name, Owner, PlatformTypes, \
                     DocumentType, TargetType or tag:KEY."
                ),
            ));
        }
    })
}

fn identifier(document: &Document) -> Value {
    present(json!({
        "Name": document.name,
        "CreatedDate": timestamp(document.created_at),
        "Owner": built_in::OWNER,
        "PlatformTypes": document.platforms,
        "DocumentVersion": document.version,
        "DocumentType": "Command",
        "SchemaVersion": document.content.schema_version(),
        "DocumentFormat": "JSON",
        "Tags": [],
    }))
}

#[cfg(test)]
mod tests {
    use crate::tools::testbed::Testbed;
    use serde_json::json;

    #[tokio::test]
    async fn documents_are_found_by_every_filter() {
        let bed = Testbed::new().await;
        for (key, value, count) in [
            ("Name", "AWS-RunS", 1),
            ("Name", "aws", 0),
            ("Owner", "Amazon", 7),
            ("Owner", "Self", 0),
            ("PlatformTypes", "Linux", 7),
            ("PlatformTypes", "Windows", 6),
            ("DocumentType", "Command", 7),
            ("DocumentType", "Automation", 0),
            ("tag:site", "lab", 0),
        ] {
            let input = json!({"Filters": [{"Key": key, "Values": [value]}]});
            let found = bed.ok("ListDocuments", input).await;
            assert_eq!(
                found["DocumentIdentifiers"].as_array().unwrap().len(),
                count,
                "{key} {value}"
            );
        }
        let legacy = json!({"DocumentFilterList": [{"key": "Owner", "value": "Public"}]});
        let found = bed.ok("ListDocuments", legacy).await;
        assert_eq!(found["DocumentIdentifiers"][6]["Name"], "AWS-RunShellScript");
    }

    #[tokio::test]
    async fn each_bad_request_has_its_own_code() {
        let bed = Testbed::new().await;
        for (input, code) in [
            (json!({"Filters": [{"Key": "Colour", "Values": ["x"]}]}), "InvalidFilterKey"),
            (json!({"NextToken": "x"}), "InvalidNextToken"),
            (json!({"MaxResults": 0}), "ValidationException"),
        ] {
            assert_eq!(bed.code("ListDocuments", input.clone()).await, code, "{input}");
        }
    }
}

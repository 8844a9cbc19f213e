//! ListDocuments.

use super::document::Summary;
use super::{built_in, table};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::tools::tags::{self, DOCUMENT, Tag};
use crate::tools::{paging, present};
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

/// A filter of either form.
type Condition = (String, Vec<String>);

/// ListDocuments: the default version of each, by name. A document has to match every filter, and
/// one of the values of each.
///
/// # Errors
/// `InvalidFilterKey`, `InvalidNextToken`.
pub async fn list(app: &App, input: List) -> ApiResult<Value> {
    let legacy = input.document_filter_list.unwrap_or_default();
    let filters = input.filters.unwrap_or_default();
    let conditions: Vec<Condition> = legacy
        .into_iter()
        .map(|f| (f.key, vec![f.value]))
        .chain(filters.into_iter().map(|f| (f.key.unwrap_or_default(), f.values)))
        .collect();
    for (key, _) in &conditions {
        refuse_unknown(key)?;
    }
    let start = paging::start::<1>(OPERATION, input.next_token.as_deref())?;
    let after = start.map(|[name]| name).unwrap_or_default();
    let limit = input.max_results.unwrap_or(paging::DEFAULT_PAGE);

    let mut documents = table::defaults(&app.store.read).await?;
    let names: Vec<String> = documents.iter().map(|d| d.name.clone()).collect();
    let tags = tags::of_all(&app.store.read, DOCUMENT, &names).await?;
    let shipped = built_in::all().iter().filter(|document| !names.contains(&document.summary.name));
    documents.extend(shipped.map(|document| document.summary.clone()));
    // Sorted here and not by the database, whose order of letters is its own.
    documents.sort_by(|one, other| one.name.cmp(&other.name));
    let tags_of = |name: &String| tags.get(name).map(Vec::as_slice).unwrap_or_default();
    documents.retain(|document| {
        document.name > after
            && conditions
                .iter()
                .all(|condition| matches(app, document, tags_of(&document.name), condition))
    });
    let (page, next) = paging::page(OPERATION, documents, limit, |d| vec![d.name.clone()]);
    let list: Vec<Value> =
        page.iter().map(|d| d.identifier(app, &json!(tags_of(&d.name)))).collect();
    Ok(present(json!({"DocumentIdentifiers": list, "NextToken": next})))
}

fn refuse_unknown(key: &str) -> ApiResult<()> {
    let known = ["Name", "Owner", "PlatformTypes", "DocumentType", "TargetType", "SearchKeyword"];
    if known.contains(&key) || key.strip_prefix("tag:").is_some_and(|tag| !tag.is_empty()) {
        return Ok(());
    }
    Err(ApiError::new(
        "InvalidFilterKey",
        format!("The filter key '{key}' isn't valid. Use {} or tag:KEY.", known.join(", ")),
    ))
}

fn matches(app: &App, document: &Summary, tags: &[Tag], (key, values): &Condition) -> bool {
    let any = |test: &dyn Fn(&str) -> bool| values.iter().any(|value| test(value));
    match key.as_str() {
        // AWS matches the beginning of names.
        "Name" => any(&|value| document.name.starts_with(value)),
        "Owner" => any(&|value| owned(app, document, value)),
        "PlatformTypes" => {
            let platforms = document.platforms();
            any(&|value| platforms.iter().any(|platform| platform == value))
        }
        "DocumentType" => any(&|value| document.document_type == value),
        "TargetType" => any(&|value| document.target_type.as_deref() == Some(value)),
        "SearchKeyword" => any(&|value| {
            let word = value.to_lowercase();
            let texts = [
                Some(document.name.as_str()),
                document.display_name.as_deref(),
                document.description.as_deref(),
            ];
            texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&word))
        }),
        other => {
            let key = other.strip_prefix("tag:").unwrap_or_default();
            any(&|value| tags.iter().any(|tag| tag.key == key && tag.value == value))
        }
    }
}

fn owned(app: &App, document: &Summary, owner: &str) -> bool {
    match owner.to_ascii_lowercase().as_str() {
        "all" => true,
        "amazon" | "public" => document.built_in,
        "self" | "private" => !document.built_in,
        account => !document.built_in && account == app.account_id,
    }
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
            ("Owner", "Amazon", 18),
            ("Owner", "Self", 0),
            ("PlatformTypes", "Linux", 18),
            ("PlatformTypes", "Windows", 15),
            ("DocumentType", "Command", 10),
            ("DocumentType", "Session", 8),
            ("DocumentType", "Automation", 0),
            ("SearchKeyword", "DOCKER", 2),
            ("TargetType", "/AWS::EC2::Instance", 0),
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

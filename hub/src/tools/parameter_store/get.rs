//! GetParameter, GetParameters.

use super::rows::{self, Row};
use super::selector::Reference;
use super::{name, not_found, version_not_found};
use crate::app::App;
use crate::auth::roles::Grants;
use crate::error::ApiResult;
use serde::Deserialize;
use serde_json::{Value, json};

/// Who reads: an operator, or a node with its grants.
pub struct Reader<'a> {
    /// For ARNs.
    pub region: &'a str,
    /// What a node may read; an operator reads everything.
    pub grants: Option<&'a Grants>,
}

/// GetParameter's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Get {
    name: String,
    with_decryption: Option<bool>,
}

/// GetParameters' input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetSeveral {
    names: Vec<String>,
    with_decryption: Option<bool>,
}

/// GetParameter.
///
/// # Errors
/// `ParameterNotFound`, `ParameterVersionNotFound`, `ValidationException` for what is no name,
/// `AccessDeniedException` for a node, `InvalidKeyId` for a value that can't be decrypted.
pub async fn get(app: &App, reader: &Reader<'_>, input: Get) -> ApiResult<Value> {
    let reference = Reference::parse(&input.name)?;
    let names = allowed(app, reader, "GetParameter", &reference)?;
    let Some(row) = find(app, &reference, &names).await? else {
        for name in &names {
            if reference.is_of(&app.account_id) && rows::exists(app, name).await? {
                return Err(version_not_found(name, &reference.selector().unwrap_or_default()));
            }
        }
        return Err(not_found(input.name.trim()));
    };
    let decrypt = input.with_decryption.unwrap_or_default();
    let shown = row.parameter(app, reader.region, decrypt, reference.selector())?;
    Ok(json!({"Parameter": shown}))
}

/// GetParameters: by name. What isn't there, or is no name, is listed as invalid.
///
/// # Errors
/// `AccessDeniedException` when a node may not read one of them, `InvalidKeyId` for a value that
/// can't be decrypted.
pub async fn get_several(app: &App, reader: &Reader<'_>, input: GetSeveral) -> ApiResult<Value> {
    let decrypt = input.with_decryption.unwrap_or_default();
    let (mut found, mut invalid) = (Vec::new(), Vec::new());
    for (at, text) in input.names.iter().enumerate() {
        if input.names.iter().take(at).any(|before| before == text) {
            continue;
        }
        let Ok(reference) = Reference::parse(text) else {
            invalid.push(text.as_str());
            continue;
        };
        let names = allowed(app, reader, "GetParameters", &reference)?;
        match find(app, &reference, &names).await? {
            Some(row) => found.push((row, reference.selector())),
            None => invalid.push(text),
        }
    }
    found.sort_by(|(one, _), (two, _)| (&one.name, one.version).cmp(&(&two.name, two.version)));
    let shown: ApiResult<Vec<Value>> = found
        .into_iter()
        .map(|(row, selector)| row.parameter(app, reader.region, decrypt, selector))
        .collect();
    Ok(json!({"Parameters": shown?, "InvalidParameters": invalid}))
}

/// The names that the reference may stand for and the reader may read. Whether they exist is
/// asked later, so that a refusal doesn't tell it.
fn allowed(
    app: &App,
    reader: &Reader<'_>,
    operation: &str,
    reference: &Reference,
) -> ApiResult<Vec<String>> {
    let Some(grants) = reader.grants else { return Ok(reference.names.clone()) };
    let names: Vec<String> =
        reference.names.iter().filter(|name| grants.has(name)).cloned().collect();
    match reference.names.first() {
        Some(first) if names.is_empty() => {
            let arn = name::arn(reader.region, &app.account_id, first);
            Err(grants.refusal(operation, &arn))
        }
        _ => Ok(names),
    }
}

async fn find(app: &App, reference: &Reference, names: &[String]) -> ApiResult<Option<Row>> {
    if reference.is_of(&app.account_id) {
        for name in names {
            if let Some(row) = rows::find(app, name, &reference.which).await? {
                return Ok(Some(row));
            }
        }
    }
    Ok(None)
}

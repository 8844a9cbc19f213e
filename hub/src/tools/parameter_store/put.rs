//! PutParameter.

use super::policies::Policies;
use super::rows::SECURE_STRING;
use super::tier::{self, MOST_ADVANCED, MOST_STANDARD, STANDARD, Wanted};
use super::versions::{Before, New, before, make_room, write};
use super::{data_type, name, secure};
use crate::app::{App, Caller};
use crate::error::{ApiError, ApiResult};
use crate::model;
use crate::tools::tags::{self, MOST_TAGS, PARAMETER, Tag};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{Any, Transaction};

/// PutParameter's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Put {
    name: String,
    description: Option<String>,
    value: String,
    #[serde(rename = "Type")]
    parameter_type: Option<String>,
    key_id: Option<String>,
    #[serde(default)]
    overwrite: bool,
    allowed_pattern: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    tier: Option<String>,
    policies: Option<String>,
    data_type: Option<String>,
}

/// PutParameter: a new parameter, or with Overwrite a new version of one. A new version keeps
/// the description, the pattern, the data type and the policies that the request doesn't name.
///
/// # Errors
/// The model's, but `TooManyUpdates`: the hub makes changes wait for each other.
pub async fn put(app: &App, caller: &Caller, input: Put) -> ApiResult<Value> {
    let name = name::trimmed(&input.name);
    name::check(name, &caller.region, &app.account_id)?;
    check_request(&input)?;
    let now = app.now();
    let mut tx = app.store.begin().await?;
    let before = before(&mut tx, name).await?;
    if before.is_some() && !input.overwrite {
        return Err(ApiError::new(
            "ParameterAlreadyExists",
            format!("The parameter {name} already exists. Set Overwrite to give it a new version."),
        ));
    }
    let parameter_type = parameter_type(&input, before.as_ref())?;
    let kept = |given: &'_ Option<String>, old: Option<&Option<String>>| {
        given.clone().or_else(|| old.cloned().flatten()).filter(|text| !text.is_empty())
    };
    let allowed = kept(&input.allowed_pattern, before.as_ref().map(|b| &b.allowed_pattern));
    let description = kept(&input.description, before.as_ref().map(|b| &b.description));
    check_pattern(allowed.as_deref(), &input.value)?;
    let data_type = match (input.data_type.as_deref(), &before) {
        (Some(given), _) if !given.is_empty() => given,
        (None, Some(before)) => &before.data_type,
        _ => data_type::TEXT,
    };
    data_type::check(data_type, &parameter_type, &input.value)?;
    let policies = match (&input.policies, &before) {
        (Some(text), _) => Policies::parse(text, now)?,
        (None, Some(before)) => Policies::from_row(&before.policies).renewed(now),
        (None, None) => Policies::default(),
    };
    let key_id = key(&input, &parameter_type)?;
    let tier = choose_tier(&mut tx, &input, before.as_ref(), &policies, data_type).await?;
    let new = New {
        name,
        version: before.as_ref().map_or(1, |before| before.latest + 1),
        parameter_type: &parameter_type,
        value: &input.value,
        key_id,
        tier,
        data_type,
        description: description.as_deref(),
        allowed_pattern: allowed.as_deref(),
        policies,
    };
    if before.is_some() {
        make_room(&mut tx, name, new.version).await?;
    }
    write(app, caller, &mut tx, &new, now).await?;
    tags::put(&mut tx, PARAMETER, name, &input.tags).await?;
    tx.commit().await?;
    Ok(json!({"Version": new.version, "Tier": tier}))
}

/// What needs no look at the store.
fn check_request(input: &Put) -> ApiResult<()> {
    if input.value.is_empty() {
        return Err(ApiError::validation(
            "1 validation error detected: Value at 'value' failed to satisfy constraint: Member \
             must have length greater than or equal to 1",
        ));
    }
    // What the value refers to would be replaced where a document uses the parameter.
    if input.value.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}")) {
        return Err(ApiError::validation(
            "The parameter value has text between {{ and }}; a value can't refer to another \
             parameter.",
        ));
    }
    if input.overwrite && !input.tags.is_empty() {
        return Err(ApiError::validation(
            "Tags and Overwrite can't be used together. Use AddTagsToResource to tag a parameter \
             that exists.",
        ));
    }
    if input.tags.len() > MOST_TAGS {
        return Err(ApiError::validation(format!("A parameter has at most {MOST_TAGS} tags.")));
    }
    tags::check(&input.tags).map_err(ApiError::validation)
}

fn parameter_type(input: &Put, before: Option<&Before>) -> ApiResult<String> {
    match (&input.parameter_type, before) {
        (None, None) => Err(ApiError::validation(
            "A parameter type is required to create a parameter: String, StringList or \
             SecureString.",
        )),
        (Some(given), Some(before)) if *given != before.parameter_type => Err(ApiError::new(
            "HierarchyTypeMismatchException",
            format!(
                "The parameter is a {} and can't become a {given}. Delete it and create it anew.",
                before.parameter_type
            ),
        )),
        (_, Some(before)) => Ok(before.parameter_type.clone()),
        (Some(given), None) => Ok(given.clone()),
    }
}

/// The pattern has to match the whole value. Its text may stand in errors, the value may not.
fn check_pattern(pattern: Option<&str>, value: &str) -> ApiResult<()> {
    let Some(pattern) = pattern else { return Ok(()) };
    let regex = model::compile(pattern).ok_or_else(|| {
        ApiError::new(
            "InvalidAllowedPatternException",
            format!(
                "The allowed pattern '{pattern}' is no regular expression that the hub knows; it \
                 has no look-around and no back-references."
            ),
        )
    })?;
    if regex.is_match(value) {
        return Ok(());
    }
    Err(ApiError::new(
        "ParameterPatternMismatchException",
        format!("The parameter value doesn't match the allowed pattern {pattern}."),
    ))
}

fn key<'a>(input: &'a Put, parameter_type: &str) -> ApiResult<Option<&'a str>> {
    match (parameter_type == SECURE_STRING, input.key_id.as_deref()) {
        (true, given) => {
            let key = given.unwrap_or(secure::DEFAULT_KEY);
            secure::check_key(key).map(|()| Some(key))
        }
        (false, None) => Ok(None),
        (false, Some(_)) => {
            Err(ApiError::validation(format!("KeyId is for parameters of type {SECURE_STRING}.")))
        }
    }
}

async fn choose_tier(
    tx: &mut Transaction<'static, Any>,
    input: &Put,
    before: Option<&Before>,
    policies: &Policies,
    data_type: &str,
) -> ApiResult<&'static str> {
    let (standard, advanced): (i64, i64) = sqlx::query_as(
        "SELECT COUNT(CASE WHEN tier = 'Standard' THEN 1 END),
                COUNT(CASE WHEN tier = 'Advanced' THEN 1 END) FROM parameter",
    )
    .fetch_one(&mut **tx)
    .await?;
    let before = before.map(|before| before.tier.as_str());
    let tier = tier::choose(&Wanted {
        asked: input.tier.as_deref(),
        before,
        bytes: input.value.len(),
        policies: !policies.is_empty(),
        data_type,
        standard_full: before.is_none() && standard >= MOST_STANDARD,
    })?;
    let (count, most) =
        if tier == STANDARD { (standard, MOST_STANDARD) } else { (advanced, MOST_ADVANCED) };
    if before != Some(tier) && count >= most {
        return Err(ApiError::new(
            "ParameterLimitExceeded",
            format!(
                "There are {most} parameters of the {tier} tier, which is the most. Delete some."
            ),
        ));
    }
    Ok(tier)
}

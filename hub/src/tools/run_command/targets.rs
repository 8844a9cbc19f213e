//! Which nodes a command goes to, decided when it is sent.

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::store::select::{Bound, Select};
use crate::tools::documents::Summary;
use crate::tools::tags::MANAGED_INSTANCE;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One of the conditions that a node has to meet.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Target {
    /// `tag:KEY`, `tag-key` or `InstanceIds`.
    pub key: String,
    /// The node has to have one of these.
    pub values: Vec<String>,
}

/// The nodes in the order in which rate control releases them.
///
/// # Errors
/// `ValidationException` when both or neither way of naming nodes is used, or a target's key is
/// of no use; `DuplicateInstanceId`; `InvalidInstanceId` for a node that is not registered;
/// `UnsupportedPlatformType`. Targets that match no node are no error.
pub async fn resolve(
    app: &App,
    ids: &[String],
    targets: &[Target],
    document: &Summary,
) -> ApiResult<Vec<String>> {
    match (ids.is_empty(), targets.is_empty()) {
        (false, true) => {
            refuse_duplicates(ids)?;
            require(app, ids, Some(document)).await?;
            Ok(ids.to_vec())
        }
        (true, false) => Ok(matching(app, targets).await?.into_iter().collect()),
        (false, false) => Err(ApiError::validation(
            "InstanceIds and Targets can't be used together; use one of them.",
        )),
        (true, true) => {
            Err(ApiError::validation("Say where the command goes, with InstanceIds or Targets."))
        }
    }
}

/// That no node is named twice.
///
/// # Errors
/// `DuplicateInstanceId`.
pub fn refuse_duplicates(ids: &[String]) -> ApiResult<()> {
    let mut seen = BTreeSet::new();
    match ids.iter().find(|id| !seen.insert(*id)) {
        Some(id) => {
            Err(ApiError::new("DuplicateInstanceId", format!("{id} is there twice; name it once.")))
        }
        None => Ok(()),
    }
}

/// That all these nodes are registered and run what the document is for. One that is offline
/// gets the command when it is back.
async fn require(app: &App, ids: &[String], document: Option<&Summary>) -> ApiResult<()> {
    let rows: Vec<(String, Option<String>)> = Select::new("SELECT id, platform_type FROM node")
        .and_in("id", ids)
        .rows("", None, &app.store.read)
        .await?;
    let missing: Vec<&str> =
        ids.iter().filter(|id| !rows.iter().any(|r| r.0 == **id)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Err(ApiError::new(
            "InvalidInstanceId",
            format!(
                "Instances [[{}]] not in a valid state for account {}",
                missing.join(", "),
                app.account_id
            ),
        ));
    }
    for (id, platform) in &rows {
        let platform = platform.as_deref().filter(|p| !p.is_empty());
        if let (Some(document), Some(platform)) = (document, platform)
            && !document.platforms().iter().any(|known| known == platform)
        {
            return Err(ApiError::new(
                "UnsupportedPlatformType",
                format!("{} does not run on {platform}, the platform of {id}.", document.name),
            ));
        }
    }
    Ok(())
}

/// The nodes that meet all conditions, by id.
async fn matching(app: &App, targets: &[Target]) -> ApiResult<BTreeSet<String>> {
    let mut found: Option<BTreeSet<String>> = None;
    for target in targets {
        let ids = meeting(app, target).await?;
        found = Some(match found {
            Some(so_far) => so_far.intersection(&ids).cloned().collect(),
            None => ids,
        });
    }
    Ok(found.unwrap_or_default())
}

async fn meeting(app: &App, target: &Target) -> ApiResult<BTreeSet<String>> {
    let tagged = || {
        Select::new("SELECT DISTINCT resource_id FROM tag")
            .and("resource_type = ?", [Bound::from(MANAGED_INSTANCE)])
    };
    let select = match target.key.as_str() {
        "InstanceIds" => {
            require(app, &target.values, None).await?;
            return Ok(target.values.iter().cloned().collect());
        }
        "tag-key" => tagged().and_in("tag_key", &target.values),
        key => match key.strip_prefix("tag:").filter(|tag| !tag.is_empty()) {
            Some(tag) => {
                tagged().and("tag_key = ?", [Bound::from(tag)]).and_in("tag_value", &target.values)
            }
            None => return Err(unusable(key)),
        },
    };
    let rows: Vec<(String,)> = select.rows("", None, &app.store.read).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

fn unusable(key: &str) -> ApiError {
    let reason = if key.starts_with("resource-groups:") {
        "stint-hub has no resource groups"
    } else {
        "it isn't valid"
    };
    ApiError::validation(format!(
        "The target key '{key}' can't be used: {reason}. Use tag:KEY, tag-key or InstanceIds."
    ))
}

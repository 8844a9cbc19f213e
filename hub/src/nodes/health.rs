//! UpdateInstanceInformation: a node says that it lives, and what it is.

use super::sightings::{self, Device, RUN};
use super::{input, only_itself, reidentification};
use crate::app::App;
use crate::auth::identity::NodeCaller;
use crate::error::ApiResult;
use serde_json::{Value, json};
use stint_wire::text::head;

/// Bytes kept of each thing a node says of itself. A refused ping would silence the original for
/// five minutes, so what is longer is cut rather than refused.
const MEMBER_LIMIT: usize = 256;

/// Members and the columns they fill. An absent or empty one leaves the column: the original's
/// first ping names nothing but its version.
const MEMBERS: [&str; 8] = [
    "AgentName",
    "AgentVersion",
    "ComputerName",
    "IPAddress",
    "PlatformType",
    "PlatformName",
    "PlatformVersion",
    "SSMConnectionChannel",
];

/// Answers the operation. Agents of ours say more than the original, and may be told something.
///
/// # Errors
/// `ValidationException` without an InstanceId, `AccessDeniedException` for another node's.
pub async fn update(app: &App, node: &NodeCaller, input: &Value) -> ApiResult<Value> {
    only_itself(node, input::required(input, "InstanceId", 10, 124)?)?;
    let mut query = sqlx::query(
        "UPDATE node SET last_ping_at = $1,
           agent_name = COALESCE($2, agent_name),
           agent_version = COALESCE($3, agent_version),
           computer_name = COALESCE($4, computer_name),
           ip_address = COALESCE($5, ip_address),
           platform_type = COALESCE($6, platform_type),
           platform_name = COALESCE($7, platform_name),
           platform_version = COALESCE($8, platform_version),
           connection_channel = COALESCE($9, connection_channel)
         WHERE id = $10",
    )
    .bind(app.now().0 as i64);
    for member in MEMBERS {
        query = query.bind(said(input, member)?);
    }
    let device = Device::read(input)?;
    let has_run = !device.run.is_empty();
    let mut tx = app.store.begin().await?;
    query.bind(&node.id).execute(&mut *tx).await?;
    let cloned =
        has_run && sightings::note(&mut tx, &node.id, RUN, &device.run, &device, app.now()).await?;
    tx.commit().await?;
    if cloned {
        sightings::warn(app, &node.id, RUN, &device);
    }
    reidentification::heard(app, &node.id).await?;
    if has_run { reidentification::word(app, &node.id, &device).await } else { Ok(json!({})) }
}

fn said(input: &Value, member: &str) -> ApiResult<Option<String>> {
    let text = input::optional(input, member)?.filter(|text| !text.is_empty());
    Ok(text.map(|text| head(text, MEMBER_LIMIT).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use crate::nodes::registration::testing::register_node;

    #[tokio::test]
    async fn an_empty_ping_keeps_what_an_earlier_one_said() {
        let (app, _dir) = testing::app().await;
        let node = register_node(&app).await;
        for ping in [
            json!({"InstanceId": node.id, "AgentVersion": "3.3.0.0", "PlatformName": "Debian",
                   "ComputerName": "x".repeat(300), "AvailabilityZone": ""}),
            json!({"InstanceId": node.id, "AgentVersion": "3.3.0.1", "PlatformName": ""}),
        ] {
            assert_eq!(update(&app, &node, &ping).await.unwrap(), json!({}));
        }
        let row: (String, String, String, i64) = sqlx::query_as(
            "SELECT agent_version, platform_name, computer_name, last_ping_at FROM node",
        )
        .fetch_one(&app.store.read)
        .await
        .unwrap();
        assert_eq!((row.0.as_str(), row.1.as_str(), row.2.len()), ("3.3.0.1", "Debian", 256));
        assert!(row.3 > 0);
    }

    #[tokio::test]
    async fn a_node_pings_only_for_itself() {
        let (app, _dir) = testing::app().await;
        let node = register_node(&app).await;
        let other = json!({"InstanceId": "mi-0123456789abcdef0"});
        let refused = update(&app, &node, &other).await.unwrap_err();
        assert_eq!(refused.code, "AccessDeniedException");
        assert_eq!(update(&app, &node, &json!({})).await.unwrap_err().code, "ValidationException");
    }
}

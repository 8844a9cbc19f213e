//! The nodes on which a terminal can be opened now.

use crate::app::App;
use crate::error::ApiResult;
use crate::store::select::Select;
use serde_json::{Value, json};

/// Nodes on the page. Who has more knows the name of the one that is wanted.
const MOST: usize = 500;

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: Option<String>,
    computer_name: Option<String>,
}

/// The nodes that hold a control channel to this hub, by name, and how many there are.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn reachable(app: &App) -> ApiResult<Value> {
    let mut ids = app.wakeups.nodes_with_channels();
    let count = ids.len();
    ids.sort_unstable();
    ids.truncate(MOST);
    let rows: Vec<Row> = Select::new("SELECT id, name, computer_name FROM node")
        .and_in("id", ids.iter())
        .rows("ORDER BY id", None, &app.store.read)
        .await?;
    let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut nodes: Vec<(String, Value)> = rows
        .iter()
        .map(|row| {
            let name = said(&row.name).or(said(&row.computer_name)).unwrap_or_default();
            (name.clone(), json!({"id": row.id, "name": name}))
        })
        .collect();
    nodes.sort_by(|(one, _), (other, _)| one.cmp(other));
    let nodes: Vec<Value> = nodes.into_iter().map(|(_, node)| node).collect();
    Ok(json!({"nodes": nodes, "count": count}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testbed::Testbed;

    #[tokio::test]
    async fn the_nodes_with_a_channel_are_shown_by_name() {
        let bed = Testbed::new().await;
        let (one, two) = (bed.node(1, &[]).await, bed.node(2, &[]).await);
        bed.node(3, &[]).await;
        assert_eq!(reachable(&bed.app).await.unwrap(), json!({"nodes": [], "count": 0}));
        bed.sql("UPDATE node SET name = 'zebra' WHERE id = $1", &[&one]).await;
        bed.sql("UPDATE node SET name = '', computer_name = 'ape' WHERE id = $1", &[&two]).await;
        let _channels = (bed.app.wakeups.channel(&one), bed.app.wakeups.channel(&two));
        let expected = json!({"nodes": [{"id": two, "name": "ape"}, {"id": one, "name": "zebra"}],
                              "count": 2});
        assert_eq!(reachable(&bed.app).await.unwrap(), expected);
    }
}

use super::super::testing::{cancel, command, expire, hub, set};
use super::*;

fn look(node: &str, now: u64) -> Look<'_> {
    let (endpoint, now) = ("", Utc(now));
    Look { node, endpoint, now, visibility_millis: 10, most: BATCH, late_only: false }
}

async fn ids(app: &App, node: &str, now: u64) -> Vec<String> {
    match take(app, &look(node, now)).await.unwrap() {
        Offer::Messages(messages) => messages
            .iter()
            .map(|message| message["MessageId"].as_str().unwrap())
            .map(|id| stint_wire::ids::command_of_message(id).to_owned())
            .collect(),
        Offer::NothingUntil(_) => Vec::new(),
    }
}

#[tokio::test]
async fn commands_come_in_the_order_asked_and_cancellations_first() {
    let (app, node, _dir) = hub().await;
    command(&app, &node, "c-2", 2).await;
    command(&app, &node, "c-1", 1).await;
    cancel(&app, &node, "c-1", "x-1").await;
    assert_eq!(ids(&app, &node.id, 5).await, ["x-1", "c-1", "c-2"]);
    assert!(ids(&app, &node.id, 5).await.is_empty());
}

#[tokio::test]
async fn what_is_sent_before_the_disk_has_it_hidden_is_visible_unless_that_comes_to_its_end() {
    let (app, node, _dir) = hub().await;
    command(&app, &node, "c-1", 1).await;
    let Begun::Messages(messages, hiding) = begin(&app, &look(&node.id, 5)).await.unwrap() else {
        panic!("there is a command");
    };
    assert_eq!(messages.len(), 1);
    drop(hiding);
    assert_eq!(ids(&app, &node.id, 6).await, ["c-1"]);
    assert!(ids(&app, &node.id, 7).await.is_empty());
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_when_its_time_is_up() {
    let (app, node, _dir) = hub().await;
    command(&app, &node, "c-1", 1).await;
    assert_eq!(ids(&app, &node.id, 5).await, ["c-1"]);
    let offer = take(&app, &look(&node.id, 6)).await.unwrap();
    assert!(matches!(offer, Offer::NothingUntil(Some(Utc(15)))));
    assert_eq!(ids(&app, &node.id, 15).await, ["c-1"]);
}

#[tokio::test]
async fn nothing_goes_ahead_of_what_was_handed_out_and_not_acknowledged() {
    let (app, node, _dir) = hub().await;
    command(&app, &node, "c-2", 2).await;
    assert_eq!(ids(&app, &node.id, 5).await, ["c-2"]);
    command(&app, &node, "c-3", 3).await;
    let offer = take(&app, &look(&node.id, 6)).await.unwrap();
    assert!(matches!(offer, Offer::NothingUntil(Some(Utc(15)))));
    // Released late, but asked for before it: nothing holds that up.
    command(&app, &node, "c-1", 1).await;
    assert_eq!(ids(&app, &node.id, 7).await, ["c-1"]);
    // Each in its own time, and then all of them together: none is lost behind one that stays.
    assert!(ids(&app, &node.id, 15).await.is_empty());
    for now in [17, 27, 37] {
        assert_eq!(ids(&app, &node.id, now).await, ["c-1", "c-2", "c-3"]);
    }
    set(&app, "c-1", "acknowledged_at = 38").await;
    command(&app, &node, "c-4", 4).await;
    assert!(ids(&app, &node.id, 39).await.is_empty());
    for id in ["c-2", "c-3"] {
        set(&app, id, "acknowledged_at = 39").await;
    }
    assert_eq!(ids(&app, &node.id, 39).await, ["c-4"]);
}

#[tokio::test]
async fn what_would_fill_an_answer_alone_holds_nothing_up() {
    let (app, node, _dir) = hub().await;
    command(&app, &node, "c-1", 1).await;
    let large = serde_json::json!({"x": "x".repeat(BATCH_BYTES)}).to_string();
    sqlx::query("UPDATE command SET content = $1 WHERE id = 'c-1'")
        .bind(large)
        .execute(&app.store.write)
        .await
        .unwrap();
    assert_eq!(ids(&app, &node.id, 5).await, ["c-1"]);
    command(&app, &node, "c-2", 2).await;
    assert_eq!(ids(&app, &node.id, 6).await, ["c-2"]);
}

#[tokio::test]
async fn unreleased_acknowledged_finished_and_expired_commands_are_not_offered() {
    let (app, node, _dir) = hub().await;
    for (id, change) in [
        ("c-1", "released_at = NULL"),
        ("c-2", "acknowledged_at = 1"),
        ("c-3", "finished_at = 1"),
        ("c-4", "status = 'Cancelled'"),
    ] {
        command(&app, &node, id, 1).await;
        set(&app, id, change).await;
    }
    assert!(ids(&app, &node.id, 5).await.is_empty());
    command(&app, &node, "c-5", 1).await;
    expire(&app, "c-5", 100_000).await;
    assert!(ids(&app, &node.id, 100_000).await.is_empty());
    assert_eq!(ids(&app, &node.id, 99_999).await, ["c-5"]);
    assert!(ids(&app, "mi-00000000000000000", 5).await.is_empty());
}

#[tokio::test]
async fn an_unreadable_command_does_not_block_the_others() {
    let (app, node, _dir) = hub().await;
    command(&app, &node, "c-1", 1).await;
    command(&app, &node, "c-2", 2).await;
    sqlx::query("UPDATE command SET options = 'garbage' WHERE id = 'c-1'")
        .execute(&app.store.write)
        .await
        .unwrap();
    let one = Look { most: 1, ..look(&node.id, 4) };
    assert!(matches!(take(&app, &one).await.unwrap(), Offer::Messages(_)));
    assert_eq!(ids(&app, &node.id, 20).await, ["c-2"]);
}

#[tokio::test]
async fn an_answer_holds_ten_messages_at_most() {
    let (app, node, _dir) = hub().await;
    for n in 0..12 {
        command(&app, &node, &format!("c-{n:02}"), n).await;
    }
    assert_eq!(ids(&app, &node.id, 20).await.len(), 10);
    // The ten that are hidden now don't stand in the way of the rest.
    assert_eq!(ids(&app, &node.id, 21).await, ["c-10", "c-11"]);
}

#[tokio::test]
async fn a_look_for_what_is_late_sees_nothing_else() {
    let (app, node, _dir) = hub().await;
    command(&app, &node, "c-1", 1).await;
    let late = |now| Look { late_only: true, ..look(&node.id, now) };
    let first = take(&app, &late(5)).await.unwrap();
    assert!(matches!(first, Offer::NothingUntil(None)));
    assert_eq!(ids(&app, &node.id, 5).await, ["c-1"]);
    assert!(matches!(take(&app, &late(14)).await.unwrap(), Offer::NothingUntil(Some(_))));
    assert!(matches!(take(&app, &late(15)).await.unwrap(), Offer::Messages(_)));
}

#[tokio::test]
async fn one_message_at_a_time_keeps_the_order() {
    let (app, node, _dir) = hub().await;
    for (id, at) in [("c-1", 1), ("c-2", 2)] {
        command(&app, &node, id, at).await;
    }
    let one = Look { most: 1, ..look(&node.id, 5) };
    let Offer::Messages(first) = take(&app, &one).await.unwrap() else { unreachable!() };
    assert!(first.len() == 1 && first[0]["MessageId"].as_str().unwrap().contains("c-1"));
}

#[tokio::test]
async fn what_is_acknowledged_while_it_is_looked_at_keeps_nothing_behind_it_from_a_channel() {
    let (app, node, _dir) = hub().await;
    command(&app, &node, "c-1", 1).await;
    let one = Look { most: 1, ..look(&node.id, 5) };
    let found = find(&app, &one).await.unwrap();
    set(&app, "c-1", "acknowledged_at = 5").await;
    command(&app, &node, "c-2", 2).await;
    assert!(matches!(hide(&app, &one, found).await.unwrap(), Taken::Ended));
    assert_eq!(ids(&app, &node.id, 5).await, ["c-2"]);
}

#[tokio::test]
async fn what_somebody_else_takes_in_between_is_not_overtaken_on_a_channel() {
    let (app, node, _dir) = hub().await;
    for (id, at) in [("c-1", 1), ("c-2", 2)] {
        command(&app, &node, id, at).await;
    }
    let one = Look { most: 1, ..look(&node.id, 5) };
    let found = find(&app, &one).await.unwrap();
    set(&app, "c-1", "hidden_until = 15").await;
    assert!(matches!(hide(&app, &one, found).await.unwrap(), Taken::Elsewhere));
    let found = find(&app, &one).await.unwrap();
    set(&app, "c-2", "finished_at = 5").await;
    assert!(matches!(hide(&app, &one, found).await.unwrap(), Taken::Ended));
    let offer = take(&app, &one).await.unwrap();
    assert!(matches!(offer, Offer::NothingUntil(Some(Utc(15)))));
}

//! For `make fuzz`.

use super::order::{Destination, Order};
use super::words;

/// What a server orders, with the session document that somebody wrote; a command line; the note beside a transcript.
pub fn session(text: &str) {
    if let Ok(order) = Order::read(text) {
        assert!(super::is_fit_for_a_name(&order.id));
    }
    if let Ok(words) = words::split(text) {
        let quoted: Vec<_> =
            words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        let again = words::split(&quoted.join(" "));
        assert!(again.is_ok_and(|again| again == words), "a command's words change on their way");
    }
    if let Some((session, to)) = Destination::read(text) {
        let again = Destination::read(&to.note(&session));
        assert!(again.is_some_and(|again| again == (session, to)), "a note changes on its way");
    }
}

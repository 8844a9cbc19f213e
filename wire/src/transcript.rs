//! How a node hands over what a session printed: piece by piece, from where the hub has it. stint's own; AWS has
//! no such operation.

use crate::json::{self, Node, ObjectWriter};
use crate::text::base64;

/// The operation by which a node hands over a piece of a session's transcript. Its target has the prefix
/// [`crate::audit::TARGET_PREFIX`].
pub const PUT_SESSION_TRANSCRIPT: &str = "PutSessionTranscript";

/// Bytes of a piece, at most. In base64 that is 32 kB: on a line of 16 kbit/s a call's time suffices.
pub const MAX_PIECE: usize = 24_000;

/// What the hub says of a session whose transcript it doesn't want, now or ever.
pub const NOT_WANTED: &str = "DoesNotExistException";

/// The key of a session document's `inputs` by which the hub wants the transcript.
pub const WANTED: &str = "hubTranscriptEnabled";

/// The words for "yes" in a session document's `inputs`: those that Go takes.
pub const YES: [&str; 6] = ["1", "t", "T", "true", "TRUE", "True"];

/// The request: `piece` begins at `offset` in a transcript of `size` bytes.
pub fn put(session: &str, size: u64, offset: u64, piece: &[u8]) -> String {
    ObjectWriter::new()
        .string("SessionId", session)
        .raw("Size", &size.to_string())
        .raw("Offset", &offset.to_string())
        .string("Data", &base64(piece))
        .finish()
}

/// The answer: where the next piece is to begin. That is the transcript's size when the hub has what it keeps of
/// it. `None` if it is no such answer.
pub fn next(answer: &str) -> Option<u64> {
    json::parse(answer).ok()?.get("Offset").and_then(Node::as_u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_says_what_it_is_a_part_of() {
        let text = put("a-1", 7, 4, b"abc");
        assert_eq!(text, r#"{"SessionId":"a-1","Size":7,"Offset":4,"Data":"YWJj"}"#);
    }

    #[test]
    fn an_answer_says_where_to_go_on() {
        assert_eq!(next(r#"{"Offset":24000}"#), Some(24_000));
        for bad in ["", "{}", "[]", r#"{"Offset":-1}"#, r#"{"Offset":"1"}"#] {
            assert_eq!(next(bad), None, "{bad}");
        }
    }
}

//! Identifiers: managed nodes, commands, messages.

/// The length of a random UUID in its usual spelling.
pub const UUID_LENGTH: usize = 36;

/// `mi-` and 17 lower-case hexadecimal digits, made of 9 random bytes (the last half byte is
/// dropped).
pub fn managed_node_id(random: [u8; 9]) -> String {
    let digits = crate::text::hex(&random);
    format!("mi-{}", crate::text::head(&digits, 17))
}

/// A version 4 UUID (RFC 9562) made of 16 random bytes.
pub fn uuid(random: [u8; 16]) -> String {
    let mut b = random;
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let digits = crate::text::hex(&b);
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// Whether `id` has the form of a managed node's id: `mi-` and 17 hexadecimal digits.
pub fn is_managed_node_id(id: &str) -> bool {
    id.strip_prefix("mi-")
        .is_some_and(|rest| rest.len() == 17 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether `id` is a UUID in the usual spelling, in either case.
pub fn is_uuid(id: &str) -> bool {
    id.len() == UUID_LENGTH
        && id.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// `aws.ssm.<command>.<node>`: the message id under which a command reaches a node.
pub fn message_id(command: &str, node: &str) -> String {
    format!("aws.ssm.{command}.{node}")
}

/// The command id in a message id: the last but one of its parts. A message id of another form
/// is its own command id, as in amazon-ssm-agent.
pub fn command_of_message(message: &str) -> &str {
    let Some(rest) = message.strip_prefix("aws.ssm.") else { return message };
    match rest.rsplit_once('.') {
        Some((head, _)) => head.rsplit_once('.').map_or(head, |(_, id)| id),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_forms_that_clients_check() {
        let node = managed_node_id([0xab; 9]);
        assert_eq!(node, "mi-abababababababab".to_owned() + "a");
        assert!(is_managed_node_id(&node));
        let id = uuid([0xff; 16]);
        assert_eq!(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert!(is_uuid(&id));
        assert!(!is_uuid("ffffffff-ffff-4fff-bfff-fffffffffff"));
        assert!(!is_managed_node_id("mi-0123"));
    }

    #[test]
    fn a_message_id_names_its_command() {
        assert_eq!(command_of_message(&message_id("c-1", "mi-2")), "c-1");
        assert_eq!(command_of_message("aws.ssm.a.b.mi-2"), "b");
        assert_eq!(command_of_message("anything"), "anything");
        assert_eq!(command_of_message("aws.ssm.one"), "aws.ssm.one");
    }
}

-- ListCommandInvocations pages through all invocations in this order.
CREATE INDEX invocation_by_time ON invocation (requested_at DESC, command_id DESC, node_id);

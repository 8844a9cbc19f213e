"""The message gateway (ssmmessages) once more, written from the facts about the wire and never from the
code under test: what the two agree on is the protocol, not an opinion that they share.

`plugin` plays session-manager-plugin, `agent` the agent against a server, `server` the server against an
agent. What goes over their channels is in `codec` and `payloads`; how a lost message comes again in
`stream`; how several connections share a channel in `smux`.
"""

"""The Python implementation of the message gateway's protocol writes and reads every published vector byte
for byte. `stint-wire` is held to the same file by tests of its own, so the two agree on it."""

import random
from pathlib import Path

import pytest

from harness.mgs import codec, payloads, smux
from harness.mgs.codec import FROM_AGENT, FROM_CLIENT, SYN, SYN_AND_FIN, Frame, Malformed
from harness.mgs.stream import Incoming, Outgoing

FILE = Path(__file__).resolve().parents[1] / "wire" / "src" / "mgs" / "vectors.txt"
VECTORS = {letter: bytes.fromhex(digits) for letter, digits in map(str.split, FILE.open())}

CREATED = 1_700_000_000_000
NODE, SESSION = "mi-0123456789abcdef0", "alice-0a1b2c3d4e5f60718"
COMMAND = "2b196342-d7d4-436e-8f09-3883a1116ac3"
JOB = f"aws.ssm.{COMMAND}.{NODE}"

# Ids of messages.
ONE = "00112233-4455-4677-8899-aabbccddeeff"
ACK = "11111111-2222-4333-8444-555555555555"
REPLY = "22222222-3333-4444-8555-666666666666"
REPLY_ACK = "33333333-4444-4555-8666-777777777777"
STREAM_ACK = "44444444-5555-4666-8777-888888888888"
CLOSED = "55555555-6666-4777-8888-999999999999"
COMPLETE = "66666666-7777-4888-8999-aaaaaaaaaaaa"
COMPLETE_ACK = "77777777-8888-4999-8aaa-bbbbbbbbbbbb"

CONTENT = {
    "Parameters": {"commands": ["id"]},
    "DocumentContent": {
        "schemaVersion": "2.2",
        "mainSteps": [{"action": "aws:runShellScript", "name": "s1", "inputs": {"runCommand": ["id"]}}],
    },
    "CommandId": COMMAND,
    "DocumentName": "AWS-RunShellScript",
    "CloudWatchOutputEnabled": "false",
}
IN_PROGRESS = {
    "additionalInfo": {
        "agent": {
            "lang": "en-US",
            "name": "amazon-ssm-agent",
            "os": "linux",
            "osver": "1",
            "ver": "3.3.0.0",
        },
        "dateTime": "2023-11-14T22:13:20.000Z",
        "runId": "",
        "runtimeStatusCounts": None,
    },
    "documentStatus": "InProgress",
    "documentTraceOutput": "",
    "runtimeStatus": None,
}
SHELL = {
    "DocumentName": "SSM-SessionManagerRunShell",
    "DocumentContent": {"schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": {}},
    "SessionId": SESSION,
    "Parameters": {},
    "RunAsUser": "",
    "SessionOwner": "arn:aws:iam::111122223333:user/alice",
}


def of(kind: str, payload: bytes = b"", ident: str = ONE, **more: int) -> Frame:
    """A message of the moment at which all of them were made."""
    return Frame(kind, payload, id=ident, created=CREATED, **more)


def output(payload: bytes, kind: int, sequence: int) -> Frame:
    """What an agent sends to a client."""
    return of(FROM_AGENT, payload, type=kind, sequence=sequence, flags=0 if sequence else SYN)


def entry(payload: bytes, kind: int, sequence: int) -> Frame:
    """What a client sends to an agent."""
    return of(FROM_CLIENT, payload, type=kind, sequence=sequence)


FRAMES = {
    "A": of("agent_job", payloads.agent_job(CONTENT, JOB, f"aws.ssm.sendCommand.{NODE}")),
    "B": of("agent_job_ack", payloads.agent_job_ack(JOB, ONE, CREATED), ACK),
    "C": of(
        "agent_job_reply",
        payloads.agent_job_reply(JOB, payloads.dump(IN_PROGRESS).decode(), "aws.ssm.sendCommand"),
        REPLY,
    ),
    "D": of("agent_job_reply_ack", payloads.agent_job_reply_ack(JOB, REPLY), REPLY_ACK),
    "E": of("interactive_shell", payloads.interactive_shell(SHELL)),
    "F": of("agent_session_state", payloads.session_state(SESSION, "Connected"), flags=SYN_AND_FIN),
    "G": output(b"$ ", codec.OUTPUT, 0),
    "H": of("acknowledge", payloads.acknowledge(FROM_AGENT, ONE, 0), STREAM_ACK, flags=SYN_AND_FIN),
    "I": entry(payloads.size(101, 33), codec.SIZE, 0),
    "J": entry(b"ls\n", codec.OUTPUT, 1),
    "K": output(payloads.handshake_request("Port", {"portNumber": "22"}), codec.HANDSHAKE_REQUEST, 0),
    "L": entry(payloads.handshake_response(), codec.HANDSHAKE_RESPONSE, 0),
    "M": output(payloads.handshake_complete(43_724_949), codec.HANDSHAKE_COMPLETE, 1),
    "N": output(b"ERR\n", codec.STDERR, 2),
    "O": output(payloads.exit_code(7), codec.EXIT_CODE, 3),
    "P": entry(payloads.flag(codec.TERMINATE_SESSION), codec.FLAG, 3),
    "Q": of("pause_publication"),
    "R": of("start_publication"),
    "S": of("channel_closed", payloads.channel_closed(SESSION, NODE, CLOSED, CREATED), CLOSED),
    "T": of("agent_task_complete", payloads.task_complete(SESSION, NODE), COMPLETE),
    "U": of("agent_task_acknowledge", payloads.task_acknowledge(SESSION, COMPLETE), COMPLETE_ACK),
    "V": entry(smux.frame(smux.SYN, 3) + smux.frame(smux.PSH, 3, b"ping!"), codec.OUTPUT, 1),
}


def test_there_is_a_message_for_every_vector():
    assert "".join(VECTORS) == "".join(FRAMES) == "ABCDEFGHIJKLMNOPQRSTUV"


@pytest.mark.parametrize("letter", FRAMES)
def test_a_message_is_written_as_the_vector_says(letter):
    assert FRAMES[letter].bytes().hex() == VECTORS[letter].hex()


@pytest.mark.parametrize("letter", FRAMES)
def test_a_vector_is_read_as_the_message(letter):
    assert Frame.read(VECTORS[letter]) == FRAMES[letter]


@pytest.mark.parametrize(
    ("at", "byte", "what"),
    [
        (3, 0x75, "header's length"),
        (4, 0x00, "no name"),
        (39, 2, "schema"),
        (80, 0, "digest"),
        (119, 9, "said to be 9"),
        (121, 0x21, "digest"),
    ],
)
def test_a_message_with_one_wrong_byte_is_refused(at, byte, what):
    raw = bytearray(VECTORS["G"])
    assert raw[at] != byte
    raw[at] = byte
    with pytest.raises(Malformed, match=what):
        Frame.read(bytes(raw))


def test_a_message_without_a_date_is_refused():
    with pytest.raises(Malformed, match="made at 0"):
        Frame.read(Frame(FROM_AGENT, b"x", created=0).bytes())
    assert Frame.read(Frame("pause_publication", created=0).bytes()).created == 0


def test_the_captured_exchange_of_a_multiplexed_port_is_read_whatever_its_pieces():
    sent = bytes.fromhex("0100000003000000" + "0102050003000000") + b"ping!"
    answer = bytes.fromhex("01020a0003000000") + b"echo:ping!" + bytes.fromhex("0101000003000000")
    for size in (1, 3, 8, 100):
        client, server = smux.Reader(), smux.Reader()
        came = [part for at in range(0, len(sent), size) for part in server.feed(sent[at : at + size])]
        assert came == [(smux.SYN, 3, b""), (smux.PSH, 3, b"ping!")]
        came = [part for at in range(0, len(answer), size) for part in client.feed(answer[at : at + size])]
        assert came == [(smux.PSH, 3, b"echo:ping!"), (smux.FIN, 3, b"")]


@pytest.mark.parametrize("seed", range(20))
def test_a_stream_arrives_whole_over_a_way_that_loses_doubles_and_swaps(seed):
    chance = random.Random(seed)
    sender, receiver, now = Outgoing(), Incoming(answers_old=True), 0.0
    wanted, came, way, back = 200, [], [], []
    for number in range(wanted):
        assert sender.push(f"{number}", now) == number
        way.append((number, f"{number}"))
    while sender.waiting:
        now += 0.1
        chance.shuffle(way)
        for number, text in way:
            for _ in range(chance.choice([0, 1, 1, 2])):
                ready, acknowledge = receiver.take(number, text)
                came += ready
                back += [number] * acknowledge
        way = []
        chance.shuffle(back)
        for number in back:
            if chance.random() < 0.8:
                sender.acknowledged(number, now)
        back = []
        if (again := sender.due(now)) is not None:
            way.append(again)
        assert now < 1000, "it never ends"
    assert came == [f"{number}" for number in range(wanted)]


def test_the_time_until_a_message_is_sent_again_follows_the_way_and_has_an_end():
    sender = Outgoing()
    assert sender.timeout == pytest.approx(0.2)
    sender.push("a", 0.0)
    assert sender.due(0.2) is None
    assert sender.due(0.21) == (0, "a")
    sender.acknowledged(0, 0.21)
    # RTTVAR = 0.75·0 + 0.25·|100 − 0| = 25 ms; RTT = 0.875·100 + 0.125·0 = 87.5 ms; and four times the first.
    assert sender.timeout == pytest.approx(0.1875)
    sender.push("b", 1.0)
    sender.acknowledged(1, 9.0)
    assert sender.timeout == 1.0
    assert not sender.waiting

#!/usr/bin/env python3
"""Feeds every parser of the agent, and the hub's readers of documents, with what libFuzzer makes up, and says
what came of it.

    scripts/fuzz.py [--seconds N] [TARGET…]

The agent itself is built as a libFuzzer target (decision 0020), and the hub's readers of documents without
the rest of it; both need a C++ compiler. Exit code 1 if a parser crashed, hung or ate its memory: the input
is then in $CARGO_TARGET_DIR/fuzz/artifacts/.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "fuzz"
TARGETS = (
    "document",
    "payload",
    "reply",
    "spool",
    "config",
    "answers",
    "bootagent",
    "children",
    "ftp",
    "packages",
    "session",
    "update",
    "channel",
    "hub-yaml",
    "hub-check",
)

# Coverage for libFuzzer; all of these are options of the stable compiler.
COVERAGE = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    *(
        f"-Cllvm-args=-sanitizer-coverage-{option}"
        for option in ("level=4", "inline-8bit-counters", "pc-table", "trace-compares")
    ),
]
# An input: larger than any limit of the parsers would only slow them down. Bytes.
LONGEST = 8192
# One input may take this long, seconds, and this much memory, MB.
SLOWEST, MOST_MEMORY = 5, 512


def session_order(kind: str, properties: dict) -> str:
    """What a node is told of a session of this type."""
    inputs = {
        "runAsEnabled": "true",
        "runAsDefaultUser": "u",
        "s3BucketName": "b",
        "shellProfile": {"linux": "x"},
    }
    document = {
        "schemaVersion": "1.0",
        "sessionType": kind,
        "parameters": {"a": {"type": "String", "default": "1"}},
        "inputs": inputs,
        "properties": properties,
    }
    return json.dumps({"DocumentContent": document, "SessionId": "s-1", "Parameters": {"a": "22"}})


def seeds(target: str) -> list[bytes]:
    """Inputs to begin with: the conformance table's documents and messages, and files as we write them."""
    if target.startswith("hub-"):
        return [text.encode() for text in seeds_of_the_hub(target)]
    if target == "channel":
        vectors = [
            bytes.fromhex(line.split()[1])
            for line in (ROOT / "wire/src/mgs/vectors.txt").read_text().splitlines()
        ]
        # Each as a frame of a server, too; and a stream of a forwarded port.
        frames = [b"\x82\x7e" + len(vector).to_bytes(2, "big") + vector for vector in vectors]
        stream = b"\1\0\0\0\3\0\0\0\1\2\5\0\3\0\0\0ping!\1\3\0\0\0\0\0\0\1\1\0\0\3\0\0\0"
        return [*vectors, *frames, stream]
    tables = [json.loads(path.read_text()) for path in sorted((ROOT / "tests/conformance").glob("*.json"))]
    cases = [case for table in tables for case in table["cases"]]
    texts = [case.get("text") or json.dumps(case.get("document", {})) for case in cases]
    parameters = [json.dumps(case.get("parameters", {})) for case in cases]
    step = {
        **dict.fromkeys(("name", "plugin", "stdout", "stderr"), "x"),
        **{"status": "Success", "code": 0, "started": "2026-01-01T00:00:00.000Z", "ended": ""},
    }
    outcome = {"complete": True, "status": "Success", "trace": "", "steps": [step]}
    report = json.dumps({"job": "x", "receipt": "x", "outcome": outcome})
    job = dict.fromkeys(
        ("id", "receipt", "created", "node", "region", "document_name", "document", "parameters"), "x"
    )
    # The inputs of aws:runDocument as a document of their own, and what refers to Parameter Store.
    texts += [
        '{"documentType":"SSMDocument","documentPath":"arn:aws:ssm:r:1:document/D:3","timeoutSeconds":"5"}',
        '{"documentPath":"a/../b.json","documentParameters":"{\\"a\\":null}"}',
    ]
    parameters += ["{{ ssm:/a/b:3 }} {{{ssm:x}}", "{{ ssm-secure:/a }}"]
    found = {
        "document": [f"{text}\0{given}" for text, given in zip(texts, parameters, strict=True)],
        "payload": [
            '{"CancelMessageId":"aws.ssm.c-1.mi-1"}',
            *(message["payload"] for table in tables for message in table.get("messages", [])),
        ],
        "reply": [report, *(path.read_text() for path in (ROOT / "tests/fixtures").rglob("*eply*.json"))],
        "spool": ["\nrun 1 2\n\nstep 0 0.\n\nscript 3 4\n", json.dumps(job), json.dumps(outcome), report],
        "config": [
            '{"region":"eu-central-1","endpoint":"https://h:1","healthIntervalMinutes":5,"logLevel":"info"}',
            '{"Ssm":{"Endpoint":"h"},"Mds":{"Endpoint":"h"},"Identity":{"ConsumptionOrder":["OnPrem"]}}',
        ],
        "answers": [
            "https://s3.eu-central-1.amazonaws.com/bucket/a/b\n<Contents><Key>a&amp;b</Key></Contents>",
            "https://bucket.s3.amazonaws.com/k\n../other?x=1",
            "[default]\naws_access_key_id = A\naws_secret_access_key = B\n",
        ],
        "bootagent": [
            *(path.read_text() for path in (ROOT / "wire/src/bootagent/samples").iterdir()),
            '{"status":0,"agentsn":"a","tags":"b=c,d","serverkeys":["ed25519:' + 43 * "A" + '="]}',
            "https://a:1,b,[::1]:2",
        ],
        "children": [
            '{"name":"a","exec":"/a","args":["-f"],"type":"daemon","user":"u","envs":{"A":"b"},'
            '"limits":{"CPU":"10%","memory":"20M"},"stopsignal":"SIGINT","exitcodes":"0,9","order":1,'
            '"check":{"path":"/s","interval":5,"match":"regex:^a+$"},"heartbeat":{"match":"string:x"}}',
            '{"boot":"b","wanted":true,"status":"killed","reason":"oom","streak":1,"mark":"m","version":"1",'
            '"trial":true,"file":"/f","due":5,"pid":1,"started":2,"envs":{"A":"b"},"limits":{"CPU":"1%"}}',
        ],
        "ftp": [
            "220-a\r\n220 b\r\n",
            "229 passive (|||6446|)\r\n",
            "227 passive (10,0,0,1,4,1)\r\n",
            "ftp://[::1]:21/a%20b;type=i",
        ],
        "packages": [
            "https://h/agent-1.5.6-2.x86_64.rpm?x",
            "./a\n./b\0-rw-r--r-- u/g 1 2026-01-02 03:04 ./a\nlrwxrwxrwx u/g 0 2026-01-02 03:04 ./b -> a",
        ],
        "session": [
            *(
                session_order(*kind)
                for kind in (
                    ("Standard_Stream", {}),
                    ("InteractiveCommands", {"linux": {"commands": "top {{ a }}", "runAsElevated": True}}),
                    ("NonInteractiveCommands", {"commands": "a 'b c'", "stdErrSeparatorPrefix": "e:"}),
                    ("Port", {"portNumber": "{{ a }}", "host": "h", "type": "LocalPortForwarding"}),
                )
            ),
            'a \'b c\' "d \\" e" f\\ g',
            '{"session":"s-1","bucket":"b","prefix":"p","group":"g","hub":true}',
        ],
        "update": [
            '{"SchemaVersion":"1.0","Serial":3,"UriFormat":"{PackageVersion}/{FileName}","NextKeys":["ed25519:'
            + 43 * "A"
            + '="],"RevokedKeys":[],'
            + '"Packages":[{"Name":"stint","Files":[{"Name":"f","AvailableVersions":[{"Version":"1.2.0",'
            + '"CheckSum":"'
            + 64 * "a"
            + '","Size":7,"Status":"Active"}]}]}]}',
            '{"committed":{"slot":"a","version":"1","sha256":"s","size":1,"factory":"1"},"previous":null,"trial":'
            '{"slot":{"slot":"b","version":"1","sha256":"s","size":1,"factory":"1"},"tries":1,"minutes":1,'
            '"from":"1","order":"o"},"highest":"1","serial":1,"keys":[],"bad":["2"],"last":{"version":"1"}}',
            "66687aadf862bd77 " + 86 * "A" + "==",
        ],
    }
    return [text.encode() for text in found[target]]


def seeds_of_the_hub(target: str) -> list[str]:
    """Documents as operators write them, and what YAML has besides."""
    yaml = [
        "schemaVersion: '2.2'\nmainSteps:\n- action: aws:runShellScript\n  name: a\n  inputs:\n"
        "    runCommand:\n    - |\n      a: b # c\n    - >-\n      d\n    timeoutSeconds: 60\n",
        "a: &a {b: 1, c: ~}\nd:\n  <<: *a\n  b: 2.5e3\n"
        "e: [*a, !!str 5, \"\\u0041\\n\", 'it''s', 0755, yes]\n",
    ]
    if target == "hub-yaml":
        return yaml
    documents = [file.read_text() for file in sorted((ROOT / "hub/documents").glob("*.json"))]
    kinds = ["Session" if "sessionType" in json.loads(text) else "Command" for text in documents]
    runbook = {"action": "aws:runCommand", "name": "a", "nextStep": "b", "inputs": {"DocumentName": "D"}}
    bundle = {"file": "a.zip", "checksums": {"sha256": 64 * "0"}}
    package = {"packages": {"debian": {"_any": {"arm64": {"file": "a.zip"}}}}, "files": {"a.zip": bundle}}
    calendar = "BEGIN:VCALENDAR\nPRODID:a\nVERSION:2.0\nBEGIN:VEVENT\nUID:1\nEND:VEVENT\nEND:VCALENDAR\n"
    return [
        f"Command.\n{yaml[0]}",
        *(f"{kind}\n{text}" for kind, text in zip(kinds, documents, strict=True)),
        f"Automation\n{json.dumps({'schemaVersion': '0.3', 'mainSteps': [runbook]})}",
        f"Package\n{json.dumps({'schemaVersion': '2.0', 'version': '1', **package})}",
        f"ChangeCalendar\n{calendar}",
    ]


def build(package: str, *options: str) -> Path:
    """A program as a fuzz target. For a named target, so that only what runs on it is instrumented."""
    host = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    triple = re.search(r"^host: (.+)$", host, re.MULTILINE)[1]
    flags = {"CARGO_ENCODED_RUSTFLAGS": "\x1f".join(COVERAGE), "CARGO_TARGET_DIR": str(OUT)}
    command = ["cargo", "build", "--quiet", "--profile", "fuzz", "--target", triple, "--package", package]
    if (
        subprocess.run([*command, *options], cwd=ROOT, env={**os.environ, **flags}, check=False).returncode
        != 0
    ):
        sys.exit(f"fuzz: {package} can't be built as a fuzz target")
    return OUT / triple / "fuzz"


def fuzz(program: Path, target: str, seconds: int) -> bool:
    """Runs one target; whether all went well."""
    corpus, artifacts = OUT / "corpus" / target, OUT / "artifacts" / target
    fresh = OUT / "seeds" / target
    for folder in (corpus, artifacts, fresh):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (fresh / str(number)).write_bytes(seed)
    options = {
        **{"max_total_time": seconds, "max_len": LONGEST, "timeout": SLOWEST, "rss_limit_mb": MOST_MEMORY},
        **{"artifact_prefix": f"{artifacts}/", "print_final_stats": 1, "verbosity": 1},
    }
    command = [program, *(f"-{name}={value}" for name, value in options.items()), corpus, fresh]
    env = {"PATH": os.environ["PATH"], "STINT_FUZZ": target}
    log = OUT / f"{target}.log"
    with log.open("wb") as file:
        done = subprocess.run(command, env=env, stdout=file, stderr=file, check=False)
    text = log.read_text(errors="replace")
    runs = re.search(r"stat::number_of_executed_units: (\d+)", text)
    places = re.findall(r" cov: (\d+) ", text)
    if done.returncode == 0 and runs and int(runs[1]) > 0:
        print(f"   {target:10} {seconds} s, {int(runs[1]):,} inputs, {places[-1]} places reached", flush=True)
        return True
    print(f"{text[-3000:]}\nfuzz: {target} fails; what it was given is in {artifacts}, all it said in {log}")
    return False


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("targets", nargs="*", default=list(TARGETS), help=", ".join(TARGETS))
    wish = parser.parse_args()
    if unknown := set(wish.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    of_the_hub = {target for target in wish.targets if target.startswith("hub-")}
    programs = {}
    if of_the_hub:
        programs["hub"] = build("stint-hub-fuzz", "--features", "fuzz") / "stint-hub-fuzz"
    if of_the_hub != set(wish.targets):
        programs["agent"] = build("stint-agent") / "stint"
    results = [
        fuzz(programs["hub" if target in of_the_hub else "agent"], target, wish.seconds)
        for target in wish.targets
    ]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()

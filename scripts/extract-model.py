#!/usr/bin/env python3
"""Writes hub/src/model/ssm.json: the part of botocore's service model that the hub needs.

Usage: python3 scripts/extract-model.py [BOTOCORE_DATA_DIR] > hub/src/model/ssm.json

Run it with a Python that has botocore, after adding an operation to SUPPORTED. Documentation
strings are left out; names, types, limits, patterns, words and errors are kept as they are. The
file is sorted where botocore's order means nothing, so that a new botocore gives a small diff.
"""

import gzip
import json
import pathlib
import sys

# The operations that the hub answers. Their order is the order of docs/SUPPORT.md's tools.
SUPPORTED = [
    "CreateActivation",
    "DescribeActivations",
    "DeleteActivation",
    "DescribeInstanceInformation",
    "DeregisterManagedInstance",
    "AddTagsToResource",
    "ListTagsForResource",
    "RemoveTagsFromResource",
    "SendCommand",
    "ListCommands",
    "ListCommandInvocations",
    "GetCommandInvocation",
    "CancelCommand",
    "StartSession",
    "ResumeSession",
    "TerminateSession",
    "DescribeSessions",
    "GetConnectionStatus",
    "CreateDocument",
    "UpdateDocument",
    "UpdateDocumentDefaultVersion",
    "UpdateDocumentMetadata",
    "DeleteDocument",
    "GetDocument",
    "DescribeDocument",
    "ListDocuments",
    "ListDocumentVersions",
    "ListDocumentMetadataHistory",
    "DescribeDocumentPermission",
    "ModifyDocumentPermission",
    "PutInventory",
    "ListInventoryEntries",
    "GetInventory",
    "GetInventorySchema",
    "PutParameter",
    "GetParameter",
    "GetParameters",
    "GetParametersByPath",
    "GetParameterHistory",
    "DescribeParameters",
    "DeleteParameter",
    "DeleteParameters",
    "LabelParameterVersion",
    "UnlabelParameterVersion",
]

SERVICE = "ssm/2014-11-06/service-2.json"


def load(data_dir):
    """botocore's service model; the package ships it plain or compressed."""
    plain = data_dir / SERVICE
    if plain.exists():
        return json.loads(plain.read_text())
    with gzip.open(str(plain) + ".gz") as file:
        return json.load(file)


def compact(shape):
    """One shape without documentation, with botocore's own names for what is left."""
    kept = {"type": shape["type"]}
    for name in ("required", "enum", "min", "max", "pattern", "sensitive"):
        if name in shape:
            kept[name] = shape[name]
    if shape["type"] == "structure":
        kept["members"] = {name: ref["shape"] for name, ref in shape["members"].items()}
    elif shape["type"] == "list":
        kept["member"] = shape["member"]["shape"]
    elif shape["type"] == "map":
        kept["key"] = shape["key"]["shape"]
        kept["value"] = shape["value"]["shape"]
    return kept


def references(shape):
    """The names of the shapes that a compact shape refers to."""
    yield from shape.get("members", {}).values()
    for name in ("member", "key", "value"):
        if name in shape:
            yield shape[name]


def extract(model):
    """The supported operations, every shape they reach, and the names of all operations."""
    shapes = {}

    def reach(name):
        if name in shapes:
            return
        shapes[name] = compact(model["shapes"][name])
        for other in references(shapes[name]):
            reach(other)

    operations = {}
    for name in SUPPORTED:
        operation = model["operations"][name]
        operations[name] = {
            "input": operation["input"]["shape"],
            "output": operation["output"]["shape"],
            "errors": sorted(error["shape"] for error in operation.get("errors", [])),
        }
        reach(operations[name]["input"])
        reach(operations[name]["output"])
    return {
        "names": sorted(model["operations"]),
        "operations": operations,
        "shapes": dict(sorted(shapes.items())),
    }


def lines(extracted):
    """JSON with one operation or shape a line: short, and readable in a diff."""
    yield "{"
    yield f' "names": {json.dumps(extracted["names"])},'
    for group in ("operations", "shapes"):
        yield f' "{group}": {{'
        rows = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in extracted[group].items()]
        yield ",\n".join(rows)
        yield " }," if group == "operations" else " }"
    yield "}"


def main():
    if len(sys.argv) > 1:
        data_dir = pathlib.Path(sys.argv[1])
    else:
        import botocore

        data_dir = pathlib.Path(botocore.__file__).parent / "data"
    print("\n".join(lines(extract(load(data_dir)))))


if __name__ == "__main__":
    main()

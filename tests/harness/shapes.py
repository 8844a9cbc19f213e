"""Is an answer what botocore's service model says it is?

The clients don't tell: they drop unknown members, show a missing list as nothing and let a wrong
enum word pass. So every answer that a test gets, good or bad, goes through here.
"""

from botocore.model import OperationModel, Shape
from botocore.session import Session

# Codes that any operation may answer, by AWS's list of common errors.
COMMON_ERRORS = {
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InternalServerError",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SerializationException",
    "ServiceUnavailable",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "ValidationException",
}

# AWS's own documents declare parameters of types that the model does not know, StringMap for one.
_MORE_WORDS = {"DocumentParameterType"}

_SCALARS = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "double": (int, float),
    "float": (int, float),
    "timestamp": (int, float),
}


def service():
    """The model of Systems Manager in the installed botocore."""
    return Session().get_service_model("ssm")


def faults(shape: Shape, value: object, where: str = "answer") -> list[str]:
    """What is wrong with a value, by its shape. An empty list means nothing."""
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            return [f"{where} is no object: {value!r}"]
        found = [f"{where}.{name} is missing" for name in shape.required_members if name not in value]
        for name, member in value.items():
            if name in shape.members:
                found += faults(shape.members[name], member, f"{where}.{name}")
            else:
                found.append(f"{where}.{name} is not in the model")
        return found
    if kind == "list":
        if not isinstance(value, list):
            return [f"{where} is no list: {value!r}"]
        return [f for i, member in enumerate(value) for f in faults(shape.member, member, f"{where}[{i}]")]
    if kind == "map":
        if not isinstance(value, dict):
            return [f"{where} is no map: {value!r}"]
        return [f for key, member in value.items() for f in faults(shape.value, member, f"{where}[{key}]")]
    return _scalar_faults(shape, value, where)


def _scalar_faults(shape: Shape, value: object, where: str) -> list[str]:
    if not isinstance(value, _SCALARS[shape.type_name]) or (
        isinstance(value, bool) and shape.type_name != "boolean"
    ):
        return [f"{where} should be a {shape.type_name}: {value!r}"]
    found = []
    # AWS itself answers "" where nothing was set.
    words = getattr(shape, "enum", None) if shape.name not in _MORE_WORDS else None
    if words and value not in ("", *words):
        found.append(f"{where} is none of {words}: {value!r}")
    # Lower bounds bind requests only: AWS itself answers "" for members with a minimum of 1.
    longest = shape.metadata.get("max")
    if longest and isinstance(value, str) and len(value) > longest:
        found.append(f"{where} is longer than {longest}: {len(value)}")
    return found


def answer_faults(operation: OperationModel, status: int, body: object) -> list[str]:
    """What is wrong with an HTTP answer to an operation."""
    if status == 200:
        if operation.output_shape is None:
            return [] if body == {} else [f"{operation.name} should answer {{}}: {body!r}"]
        return faults(operation.output_shape, body, operation.name)
    code = body.get("__type") if isinstance(body, dict) else None
    modelled = {shape.name: shape for shape in operation.error_shapes}
    found = []
    if code not in COMMON_ERRORS and code not in modelled:
        found.append(f"{operation.name} can't answer the error {code!r}")
    if status != (500 if code == "InternalServerError" else 400):
        found.append(f"{operation.name} answered {code} with status {status}")
    if not (body.get("message") or body.get("Message")):
        found.append(f"{operation.name} answered {code} without a word of explanation: {body!r}")
    if code in modelled:
        # Clients of different ages look for the text under either name, so both may be there.
        told = {"__type", "message", "Message"} - set(modelled[code].members)
        members = {name: member for name, member in body.items() if name not in told}
        found += faults(modelled[code], members, code)
    return found
